"""What the lake records of itself: append-only tables of immutable Parquet segments.

``meta/<table>/<time>-<writer>-<hash>.parquet``: every append writes a new file under a name that no other
writer uses, so any number of processes write at once without a lock. Readers take all segments; of the
ledger the newest row of a key counts. :meth:`Meta.compact` merges segments when there are many
(:mod:`cryptolake.storage.segments`).
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from cryptolake.storage import layout, runs, segments
from cryptolake.storage.lake_format import mark_format
from cryptolake.storage.long_merge import merge_sorted
from cryptolake.storage.newest_rows import STAMPS, forgotten, in_quarantine, settled
from cryptolake.storage.scope import EVERYTHING, NOTHING, Scope
from cryptolake.storage.strays import without_strays
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.errors import Damaged
    from cryptolake.storage.files import Entry, Storage


T = TypeVar("T")

MANY = 64
"""Segments of a table from which on they are merged while a run goes on."""

FEW = 8
"""Segments of a table that stay on a disk when a run ends: more of them are merged. In a bucket, where each is
a request, all short ones are merged into one."""

_LONGER = 4
_SHORT = 64 * 2**10
"""Bytes of a merged segment up to which it is merged again, with however few rows."""

_SORTED = {
    "files": "key",
    "quarantine": "key",
    "months": "path",
    "sources": "path",
    "lineage": "path",
}
"""Tables whose merged segments are sorted, and by what."""

_LONG = 16 * 2**20
"""Bytes of a sorted segment from which on only :func:`Meta.compact` of the whole table merges it."""

_IN_PIECES = 2**20
"""Bytes of segments from which on they are merged a range of keys at a time, so that the end of a run takes the same
memory whatever the lake's age; those of tables that are not sorted stay from that length on."""

_LOOK_EVERY = MANY // 2
_TRIES = 10


class TableReader(ABC):
    """What can be asked of a lake's tables."""

    @abstractmethod
    def read(
        self, table: str, *, where: pl.Expr | None = None, stamps: bool = False
    ) -> pl.DataFrame:
        """Return the rows of a table in the order they were written; typed and empty when none.

        ``stamps``: with a column more, which orders rows of different tables.
        """

    def within(self, table: str, scope: Scope) -> pl.DataFrame:
        """Return the rows of a table whose ``path`` is in a scope; of long segments the rest is not read."""
        return self.read(table, where=scope.where("path"))

    def ledger(self, where: pl.Expr | None = None, scope: Scope = EVERYTHING) -> pl.DataFrame:
        """Return the newest row of every Bronze file the lake holds.

        Parameters
        ----------
        where
            Only rows of these keys: a condition on ``key``.
        scope
            Only keys of this scope; the rest of the ledger is not read.
        """
        both = _both(scope.where(), where)
        files = self.read("files", where=both).unique("key", keep="last", maintain_order=True)
        return files.filter(pl.col("event") == "stored")

    def runs(self) -> pl.DataFrame:
        """Return a row a run: its newest state, which is ``lost`` where a running one went quiet."""
        return runs.with_lost(runs.newest(self.read("runs")))

    def quarantined(self, scope: Scope = EVERYTHING) -> pl.DataFrame:
        """Return the newest row of every file that lies in quarantine and was not stored since."""
        return in_quarantine(self, scope)


class Meta(TableReader):
    """The tables of one lake, as they are now: every read reads their segments."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._seen: dict[str, str] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._written: Counter[str] = Counter()
        self._unsettled: set[str] = set()
        self._looked = False
        self.part_of: str | None = None
        """The run that runs recorded here are parts of. Its parts leave the merging of segments to it."""
        self.changes = 0
        """Counts what this process adds to the tables and takes from them: a listing of before is another one's."""

    def append(self, table: str, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> str | None:
        """Add rows as one new segment, and return its path. Columns left out are null; others than the table's fail.

        Raises
        ------
        StorageError
            The lake cannot be written.
        """
        frame = _shaped(table, rows)
        if not frame.height:
            return None
        if table == "runs" and self.part_of is not None:
            frame = frame.with_columns(part_of=pl.lit(self.part_of))
        mark_format(self.storage)
        if table == "files":  # its rows say what is in Bronze, which has to outlive a power failure
            self.storage.sync()
        self.changes += 1
        path = segments.write(self.storage, _folder(table), self._after_all_seen(table), frame)
        self._unsettled.add(table)
        self._written[table] += 1
        if self._written[table] % _LOOK_EVERY == 0:
            self.compact(table)
        return path

    def read(
        self,
        table: str,
        *,
        where: pl.Expr | None = None,
        stamps: bool = False,
        listed: Mapping[str, list[Entry]] | None = None,
    ) -> pl.DataFrame:
        """Return the rows of a table in the order they were written; typed and empty when none.

        Parameters
        ----------
        table
            Its name, one of :data:`TABLES`.
        where
            Only these rows; of long segments only the row groups that can hold them are read.
        stamps
            With the column :data:`~cryptolake.storage.segments.STAMP`, which orders rows of different tables.
        listed
            The segments of the tables, as :meth:`segments` returned them; they are listed anew when left out, and
            where one of them was merged into another since.

        Warns
        -----
        DamagedLakeWarning
            A segment cannot be read; its rows are left out.
        """
        if listed is not None:
            with suppress(FileNotFoundError):
                return self._load(table, listed.get(table, []), where, stamps=stamps)
        return self._again(lambda: self._load(table, self._segments(table), where, stamps=stamps))

    def segments(self) -> dict[str, list[Entry]]:
        """Return the segments of all tables; a bucket is asked once for the lot."""
        self._looked = True
        listed = segments.all_segments(self.storage)
        for table, entries in listed.items():
            self._saw(table, entries)
        return listed

    def ledger(self, where: pl.Expr | None = None, scope: Scope = EVERYTHING) -> pl.DataFrame:
        """Return the newest row of every Bronze file; keys that lead out of the lake are named and left out."""
        return without_strays(super().ledger(where, scope), self.storage.root)

    def damaged(self) -> list[Damaged]:
        """Return the segments of all tables that cannot be read."""
        found: list[Damaged] = []
        for table in TABLES:
            self._again(partial(self._whole, table, found))
        return list(dict.fromkeys(found))

    def _whole(self, table: str, found: list[Damaged]) -> None:
        self._load(table, self._segments(table), None, found.append)

    def names(self, table: str) -> frozenset[str]:
        """Return the paths of a table's segments. Where they are the same, no row was added or taken."""
        return frozenset(entry.path for entry in self._segments(table))

    def last_names(self, table: str) -> frozenset[str]:
        """Return what :meth:`names` would have said when this object last listed or read the table."""
        return self._names.get(table, frozenset())

    def settle(self, tables: Iterable[str] = ()) -> None:
        """End a run: merge the segments of tables that were written, where they are too many; and of others named.

        In a bucket that is each time: the new segments are known, so a merge reads one, writes one, and removes
        those of all tables by one request. A night's requests do not grow with the nights before it.
        """
        self._looked = False
        if self.part_of is not None:
            return
        written, self._unsettled = self._unsettled | set(tables), set()
        self.changes += 1
        many = FEW + 1 if self.storage.is_local else 2
        with suppress(FileNotFoundError):
            self.storage.delete_all(
                [path for table in sorted(written) for path in self._merged(table, many)]
            )

    def compact(self, table: str, *, many: int = MANY // 2, whole: bool = False) -> int:
        """Merge a table's segments when there are many; safe beside other writers, and when killed.

        Parameters
        ----------
        table
            Its name, one of :data:`TABLES`.
        many
            From how many segments on.
        whole
            Merge all of them, however long the older ones are.

        Returns
        -------
        int
            How many segments were removed, since one merged from them holds their rows; none where another process
            merges them now.
        """
        self.changes += 1
        done = self._merged(table, many, whole=whole)
        self.storage.delete_all(done)
        return len(done)

    def _merged(self, table: str, many: int, *, whole: bool = False) -> list[str]:
        """Merge segments; return the paths of those that another one holds now, to be removed."""
        done: list[str] = []
        try:
            listed = self._segments(table)
            live = segments.current(self.storage, listed)
            # Others are there where a merge was killed before it removed them.
            done += [entry.path for entry in listed if entry not in set(live)]
            if table == "transfers":
                done += [entry.path for entry in forgotten(live)]
                live = [entry for entry in live if entry.path not in set(done)]
            long = _LONG if table in _SORTED else _IN_PIECES
            if whole:
                done += self._joined(table, live)
            elif sum(entry.size < long for entry in live) >= many:
                for group in _groups(live, long):
                    done += self._joined(table, group)
        except FileNotFoundError:  # another process merges them now
            pass
        return done

    def _joined(self, table: str, entries: list[Entry]) -> list[str]:
        """Write the rows of some segments as one; return the paths of those segments."""
        if table in _SORTED and len(entries) > 1 and sum(e.size for e in entries) >= _IN_PIECES:
            try:
                return self._joined_in_pieces(table, entries)
            except (FileNotFoundError, KeyboardInterrupt, SystemExit, MemoryError):
                raise
            except BaseException:  # noqa: BLE001, S110 - one is damaged, or newer: below it is passed over
                pass
        rows, used = segments.read_whole(self.storage, entries, TABLES[table])
        if len(used) < 2:
            return []
        if segments.overlap(self.storage, used):
            rows = rows.unique(maintain_order=True, keep="first")
        segments.merge(self.storage, _folder(table), settled(table, rows), used)
        return [entry.path for entry in used]

    def _joined_in_pieces(self, table: str, entries: list[Entry]) -> list[str]:
        twice = segments.overlap(self.storage, entries)

        def counting(rows: pl.DataFrame) -> pl.DataFrame:
            once = rows.unique(maintain_order=True, keep="first") if twice else rows
            return settled(table, once)

        merge_sorted(self.storage, _folder(table), entries, TABLES[table], _SORTED[table], counting)
        return [entry.path for entry in entries]

    def _segments(self, table: str) -> list[Entry]:
        listed = segments.segments(self.storage, _folder(table))
        self._saw(table, listed)
        return listed

    def _saw(self, table: str, listed: list[Entry]) -> None:
        self._names[table] = frozenset(entry.path for entry in listed)
        newest = next((s for s in map(segments.stamp_of, reversed(listed)) if _next(s)), "")
        self._seen[table] = max(newest, self._seen.get(table, ""))

    def _load(
        self,
        table: str,
        listed: list[Entry],
        where: pl.Expr | None,
        damaged: Callable[[Damaged], None] | None = None,
        *,
        stamps: bool = False,
    ) -> pl.DataFrame:
        chosen = segments.current(self.storage, listed)
        how: dict[str, Any] = {"where": where, "damaged": damaged, "stamps": stamps}
        rows = segments.read(self.storage, chosen, TABLES[table], **how)
        # A run that Ctrl-C interrupts just after a write repeats that write when it ends. Rows of files and
        # quarantine are then identified by their keys.
        if table == "transfers" or segments.overlap(self.storage, chosen):
            return rows.unique(maintain_order=True, keep="first")
        return rows

    def _again(self, read: Callable[[], T]) -> T:
        """Read, and again where a segment was merged into another meanwhile."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return read()
        return read()

    def _after_all_seen(self, table: str) -> str:
        """Return the stamp of a new segment: now, or just after the newest of any table that was seen.

        So what is written with knowledge of other rows sorts behind them, although the clock of who wrote
        those was ahead of ours, or our own was set back. A run sees what is there before it writes first: what it
        knows of a table's rows, it may know from another table.
        """
        if not self._looked:
            self.segments()
        newest = max(self._seen.values(), default="")
        stamp = max(f"{datetime.now(UTC):{STAMPS}}", _next(newest))
        self._seen[table] = stamp
        return stamp


class _Moment(TableReader):
    """The tables of a lake in a bucket, whose segments were listed together, by one request."""

    def __init__(self, tables: Meta) -> None:
        self.changes = tables.changes
        self._tables, self._listed = tables, tables.segments()

    def read(
        self, table: str, *, where: pl.Expr | None = None, stamps: bool = False
    ) -> pl.DataFrame:
        """Return the rows of a table as they were at that moment."""
        return self._tables.read(table, where=where, stamps=stamps, listed=self._listed)

    def ledger(self, where: pl.Expr | None = None, scope: Scope = EVERYTHING) -> pl.DataFrame:
        """Return the newest row of every Bronze file, as :meth:`Meta.ledger`."""
        return without_strays(super().ledger(where, scope), self._tables.storage.root)


class Snapshot(TableReader):
    """The tables as one call sees them: each is read once, until :meth:`forget`.

    A call that has written, or has waited while others may have, forgets what it read before it decides
    anew. Of the ledger a call reads what it is about (:meth:`about`); a wider question reads it again.
    """

    def __init__(self, tables: Meta) -> None:
        self._tables = tables
        self._whole: dict[str, pl.DataFrame] = {}
        self._parts: dict[tuple[str, Scope], pl.DataFrame] = {}
        self._about = self._covered = NOTHING
        self._ledger: pl.DataFrame | None = None
        self._moment: _Moment | None = None
        self.ledger_names: frozenset[str] | None = None
        """On a disk, the segments that the ledger had just before it was read; in a bucket they cost a request."""

    def about(self, scope: Scope) -> None:
        """Set what the call is about: the first question about any part of it reads all of it."""
        self._about = scope

    def read(
        self, table: str, *, where: pl.Expr | None = None, stamps: bool = False
    ) -> pl.DataFrame:
        """Return the rows of a table as they were when this call first read it; with stamps, as they are now."""
        if stamps:
            return self._now().read(table, where=where, stamps=True)
        if table in self._whole:
            rows = self._whole[table]
            return rows if where is None else rows.filter(where)
        rows = self._now().read(table, where=where)
        if where is None:
            self._whole[table] = rows
        return rows

    def within(self, table: str, scope: Scope) -> pl.DataFrame:
        """Return the rows of a table whose ``path`` is in a scope, as they were when this call first read them."""
        if scope == EVERYTHING or table in self._whole:
            return super().within(table, scope)
        if (table, scope) not in self._parts:
            self._parts[table, scope] = super().within(table, scope)
        return self._parts[table, scope]

    def ledger(self, where: pl.Expr | None = None, scope: Scope = EVERYTHING) -> pl.DataFrame:
        """Return the newest row of every Bronze file the lake holds; parameters as above."""
        if self._ledger is None or not self._covered.covers(scope):
            if where is not None and scope == EVERYTHING:
                return self._now().ledger(where)
            self._ledger = None  # not beside the one that is read now
            self._covered = self._about if self._about.covers(scope) else scope
            local = self._tables.storage.is_local
            self.ledger_names = self._tables.names("files") if local else None
            self._ledger = self._now().ledger(scope=self._covered)
        both = _both(None if scope == self._covered else scope.where(), where)
        return self._ledger if both is None else self._ledger.filter(both)

    def forget(self) -> None:
        """Drop what was read: the next question reads the lake again."""
        self._whole.clear()
        self._parts.clear()
        self._ledger = self._moment = None

    def _now(self) -> TableReader:
        """Return what reads a table for the first time.

        In a bucket, what lists segments of all tables by one request: tables that this call reads later are as they
        were then. Where this process has written since, they are listed again.
        """
        if self._tables.storage.is_local:
            return self._tables
        if self._moment is None or self._moment.changes != self._tables.changes:
            self._moment = _Moment(self._tables)
        return self._moment


def _both(one: pl.Expr | None, other: pl.Expr | None) -> pl.Expr | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _folder(table: str) -> str:
    return layout.table_folder(table)


def _groups(live: list[Entry], long: int) -> list[list[Entry]]:
    """Return the groups of neighbours to merge, each into one segment.

    A segment is not merged with much less than itself, so each row is written only about as often as the number
    of segments ever written has digits; a long one stays as it is. Of many short ones, those that fit into memory
    together are a group. Where there is more to write than that, a group waits until it has several: few runs pay
    for it.
    """
    found: list[list[Entry]] = [[]]
    size = 0
    for entry in reversed(live):
        if size and entry.size > min(long, max(_SHORT, _LONGER * size)):
            found.append([])
            size = 0
        found[-1].insert(0, entry)
        size += entry.size
        if size >= (long if entry.size >= _IN_PIECES else _IN_PIECES):
            found.append([])
            size = 0
    return [group for group in found if len(group) > 1 and (_is_short(group) or len(group) >= FEW)]


def _is_short(group: list[Entry]) -> bool:
    return sum(entry.size for entry in group) < 2 * _IN_PIECES


def _next(stamp: str) -> str:
    try:
        return f"{datetime.strptime(stamp, STAMPS) + timedelta(microseconds=1):{STAMPS}}"  # noqa: DTZ007 - UTC
    except (ValueError, OverflowError):
        return ""  # no stamp of ours


def empty(table: str) -> pl.DataFrame:
    """Return a table without rows.

    Examples
    --------
    >>> empty("runs").columns[:3]
    ['run_id', 'kind', 'state']
    """
    return pl.DataFrame(schema=TABLES[table])


def _shaped(table: str, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    schema = TABLES[table]
    named = rows.columns if isinstance(rows, pl.DataFrame) else set().union(*rows)
    if unknown := set(named) - set(schema):
        message = f"the table {table!r} has no column {sorted(unknown)}"
        raise ValueError(message)
    if not isinstance(rows, pl.DataFrame):
        return pl.DataFrame([tuple(map(row.get, schema)) for row in rows], schema, orient="row")
    missing = [
        pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in rows
    ]
    return rows.with_columns(missing).select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )


def new_run_id() -> str:
    """Return a name for a run: its UTC start and four random bytes, so that names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


_SAME = ["path", "kind", "first", "detail"]
_MOST = 10_000
"""Findings of one kind and file that a check records one by one; one more row says how many follow, and when."""


def record_new(found: pl.DataFrame, meta: Meta) -> int:
    """Add findings that ``meta.findings`` does not have yet; return how many those are.

    Parameters
    ----------
    found
        Columns of ``meta.findings``, ``path``, ``kind``, ``first`` and ``detail`` among them.
    meta
        The lake's tables.
    """
    if not found.height:
        return 0
    alike = [pl.col(name).is_in(found[name].unique().implode()) for name in ("kind", "path")]
    known = meta.read("findings", where=alike[0] & alike[1])
    typed = _summed_up(_shaped("findings", found)).select(found.columns)
    new = typed.join(known, on=_SAME, how="anti", nulls_equal=True)
    now, run = datetime.now(UTC), new_run_id()
    meta.append("findings", new.with_columns(pl.lit(now).alias("at"), pl.lit(run).alias("run_id")))
    meta.settle()
    return new.height


def _summed_up(found: pl.DataFrame) -> pl.DataFrame:
    """Keep the first findings of each kind and file, and one row for the rest of them, so that none is hidden."""
    place = pl.int_range(pl.len()).over("path", "kind")
    rest = found.filter(place >= _MOST)
    if not rest.height:
        return found
    names = ["path", "kind"]
    said = pl.format(
        "and {} more, from {} to {}", pl.len(), pl.col("first").min(), pl.col("last").max()
    )
    summed = rest.group_by(names, maintain_order=True).agg(
        *(pl.col(name).first() for name in ("dataset", "symbol", "interval")),
        pl.col("first").min(),
        pl.col("last").max(),
        pl.col("rows").sum(),
        detail=said,
    )
    return pl.concat([found.filter(place < _MOST), summed], how="diagonal_relaxed")
