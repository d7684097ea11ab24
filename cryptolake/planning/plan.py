"""The Plan: the receipt before paying. The exact files, bytes and s5cmd commands that a query needs.

A value: it holds what was found when it was made, does no I/O by itself, and can be saved, read by a
person, and loaded elsewhere. :func:`cryptolake.planning.planner.make_plan` makes it.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import polars as pl

from cryptolake.archive.enums import dataset_name
from cryptolake.errors import IncompleteWarning, NotPublished, TransferError
from cryptolake.planning import commands, serialization
from cryptolake.planning.commands import Planned
from cryptolake.planning.early_ends import ends_early
from cryptolake.render.html import plural, size
from cryptolake.storage.spooled import Rows, Table

if TYPE_CHECKING:
    import os

    from cryptolake.archive.source import Archive
    from cryptolake.query import Query
    from cryptolake.report import Report


_HEAD = ("dataset", "interval", "symbols", "files", "cached", "new", "updated", "other", "missing")
_RARE = {"updated", "other"}
"""Columns that are left out where they hold nothing, so that a plan has room on a terminal of 80 columns."""

_MOST_ROWS = 20


def plan_text(plan: Plan) -> str:
    """Draw a plan in plain text."""
    try:
        rows = _rows(plan)
        shown = [_HEAD, *rows[:_MOST_ROWS]]
        rare = {i for i, name in enumerate(_HEAD) if name in _RARE}
        used = [i for i in range(len(_HEAD)) if i not in rare or {row[i] for row in rows} - {"0"}]
        widths = {i: max(len(row[i]) for row in shown) for i in used}
        table = ["  ".join(_cell(row, i, w) for i, w in widths.items()).rstrip() for row in shown]
        if len(rows) > _MOST_ROWS:
            table.append(f"… and {plural(len(rows) - _MOST_ROWS, 'row')} more")
        moving = f"to move: {plural(plan.to_transfer, 'file')}, {size(plan.total_bytes)}"
        if plan.to_transfer:
            moving += f" (and {size(plan.sidecar_bytes)} of checksums)"
        listing = f"listing of {plan.archive}: {age_of(plan.listed_at, plan.created_at)}"
        notes = [f"note: {note}" for note in plan.notes]
        return "\n".join([f"Plan {plan.id}", f"{plan.query!r}", *table, moving, listing, *notes])
    except Exception as error:  # noqa: BLE001 - a repr never raises
        return f"Plan {plan.id} (cannot be drawn: {type(error).__name__}: {error})"


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    group = ["market", "data_type", "interval"]
    status = pl.col("status")
    other = ~status.is_in(["cached", "new", "updated"])
    counts = plan.rows.sums(
        group,
        pl.len().alias("files"),
        (status == "cached").sum().alias("cached"),
        (status == "new").sum().alias("new"),
        (status == "updated").sum().alias("updated"),
        other.sum().alias("other"),
    )
    named = (
        plan.rows.select(*group, "symbol").group_by(group).agg(symbols=pl.col("symbol").unique())
    )
    files = counts.join(named, on=group, nulls_equal=True)
    missing = plan.missing_periods.group_by(group).agg(
        missing=pl.len(), without=pl.col("symbol").unique()
    )
    both = files.join(missing, on=group, how="full", coalesce=True, nulls_equal=True).sort(group)
    return [
        (
            dataset_name(row["market"], row["data_type"]),
            row["interval"] or "",
            f"{len({*(row['symbols'] or ()), *(row['without'] or ())}):,}",
            *(f"{row[name] or 0:,}" for name in ("files", "cached", "new", "updated", "other")),
            f"{row['missing'] or 0:,}",
        )
        for row in both.iter_rows(named=True)
    ]


def _cell(row: tuple[str, ...], index: int, width: int) -> str:
    return row[index].ljust(width) if index < 2 else row[index].rjust(width)


TO_MOVE = ("new", "updated")
"""The statuses of files that a transfer moves. The others are ``cached`` (here and recorded),
``unrecorded`` (here without a record, or without the CHECKSUM that is published by now: verified and
adopted in place) and ``quarantined``."""


ROUTE_NOTE = "files move by "
"""What the note on how a plan's files move begins with. It counts requests, which are others for a part of it."""

_OF_LINES = ("key", "partition", "period", "checksum_size", "selector")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Plan:
    """The files that a query needs, where each one stands, and what it takes to have them all.

    ``lake.plan(query)`` makes one. ``files`` has a row a file: ``key``, ``market``, ``data_type``, ``symbol``, ``interval``
    (null where the type has none), ``partition``, ``period``, ``size`` (bytes), ``etag``, ``status``
    (``notebooks/guide/words.md#files-in-a-plan``), ``last_modified`` (UTC), ``checksum_size`` (bytes) and
    ``checksum_etag`` (null where no CHECKSUM is published), ``suspect_size`` (whether it is far smaller than its
    neighbours) and ``selector``, the key prefix by which one wildcard fetches it. ``missing_periods`` has a row a period
    that is not published: ``market``, ``data_type``, ``symbol``, ``interval``, ``period``, ``reason``
    (``notebooks/guide/words.md#periods-that-are-missing``). ``listed_at`` is when the oldest part of the listing behind it
    was asked (UTC); ``notes`` say in words what a reader should know.

    ``rows`` are those of ``files``. A large plan has them on disk, and each use of ``files`` reads them
    all: hold on to the frame, or go through ``rows.pieces()``.

    Examples
    --------
    >>> import cryptolake as cl
    >>> query = (
    ...     cl.query()
    ...     .markets("spot")
    ...     .klines("1h")
    ...     .symbols("BTCUSDT")
    ...     .between("2025-01", "2025-02-02")
    ... )
    >>> with cl.sample_lake() as lake:
    ...     plan = lake.plan(query)
    >>> plan.to_transfer, plan.cached, plan.missing, plan.rows_expected
    (3, 0, 0, 792)
    >>> plan.files.select("partition", "period", "status").rows()
    [('monthly', '2025-01', 'new'), ('daily', '2025-02-01', 'new'), ('daily', '2025-02-02', 'new')]
    """

    id: str
    query: Query
    archive: Archive
    created_at: datetime
    listed_at: datetime | None
    files: Table = Table()  # noqa: RUF009 - a descriptor, and no default
    missing_periods: pl.DataFrame
    notes: tuple[str, ...] = field(default=())
    _files: Rows = field(init=False)

    @property
    def rows(self) -> Rows:
        """The rows of ``files``, which need not be in memory."""
        return self._files

    # ------------------------------------------------------------------ totals

    @property
    def moving(self) -> pl.DataFrame:
        """The files to move: new ones, and those that the archive has rewritten; the columns are those of ``files``."""
        return self.rows.filter(pl.col("status").is_in(TO_MOVE))

    @property
    def total_bytes(self) -> int:
        """Bytes of zips to move."""
        return self._total("size", *TO_MOVE)

    @property
    def sidecar_bytes(self) -> int:
        """Bytes of CHECKSUM sidecars to move."""
        return self._total("checksum_size", *TO_MOVE)

    @property
    def to_transfer(self) -> int:
        """Files (zips) to move."""
        return self._total("files", *TO_MOVE)

    @property
    def objects(self) -> int:
        """Objects to move: the zips, and the CHECKSUM sidecars that are published for them."""
        return self.to_transfer + self._total("sidecars", *TO_MOVE)

    @property
    def cached(self) -> int:
        """Files that the lake holds already, as the archive has them now."""
        return self._total("files", "cached")

    @property
    def updated(self) -> int:
        """Files that the lake holds in an older version than the archive has now."""
        return self._total("files", "updated")

    @property
    def missing(self) -> int:
        """Periods of the range that the archive does not publish."""
        return self.missing_periods.height

    @property
    def request_count(self) -> int:
        """Requests that the commands make, about: a LIST a wildcard line, a GET an object."""
        return commands.request_count(planned(self.rows))

    @property
    def rows_expected(self) -> int | None:
        """Rows of all planned kline files when no bar is absent; None where a file is of another kind."""
        from cryptolake.planning.estimates import rows_expected

        return rows_expected(self.files)

    # ------------------------------------------------------------------ what to run

    def commands(self, keys: Iterable[str] | None = None, *, into: str = "") -> list[str]:
        r"""Return the s5cmd command lines that fetch the files to move and their sidecars.

        Parameters
        ----------
        keys
            Only these zips of them, with their sidecars.
        into
            What every destination begins with: nothing, for paths relative to the folder that s5cmd
            runs in, or ``"s3://bucket/prefix/"``.

        Returns
        -------
        list of str
            Lines for ``s5cmd run``; the endpoint and ``--no-sign-request`` are flags of the whole run.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-01")
        >>> with cl.sample_lake() as lake:
        ...     plan = lake.plan(query)
        >>> print(*plan.commands(), sep="\n")
        cp ...
        """
        files = planned(self.rows)
        if keys is not None:
            wanted = set(keys)
            files = (file for file in files if file.key in wanted)
        return commands.lines(files, self.archive.bucket, into=into)

    # ------------------------------------------------------------------ cut and keep

    def shards(self, n: int | None = None, *, max_bytes: int | None = None) -> list[Plan]:
        """Cut the plan into plans that can be transferred and built side by side, on any machine.

        A symbol's month is never cut: all its files, and what is missing of it, are in one shard. Neighbouring
        months stay together, and the commands of each shard are worked out anew, so that a shard of one file makes
        two or three requests. The same files give the same shards, in whatever order they are.

        Parameters
        ----------
        n
            How many shards; fewer where there are fewer symbol-months.
        max_bytes
            The most bytes of a shard; only one symbol-month with more has more. With ``n`` as well there are at
            least ``n``. Bytes are those to move, or, where nothing is to move, those of all files.

        Returns
        -------
        list of Plan
            At least one, in the order of markets, data types, intervals, symbols and months. The largest has as few
            bytes as whole neighbouring symbol-months allow. Each is a plan: it saves, loads and pickles, and
            ``lake.transfer`` and ``lake.build`` take it. Its ``query`` names its symbols and days.

        Raises
        ------
        InvalidQuery
            Neither ``n`` nor ``max_bytes``, or one that is less than 1.

        Examples
        --------
        >>> import cryptolake as cl
        >>> query = (
        ...     cl.query()
        ...     .markets("spot")
        ...     .klines("1h")
        ...     .symbols("BTCUSDT", "ETHUSDT")
        ...     .between("2025-01")
        ... )
        >>> with cl.sample_lake() as lake:
        ...     shards = lake.plan(query).shards(2)
        ...     moved = cl.Report.merge(lake.transfer(shard) for shard in shards)
        >>> [shard.files["symbol"].item() for shard in shards], moved.transferred
        (['BTCUSDT', 'ETHUSDT'], 2)
        """
        from cryptolake.planning.shards import cut

        return cut(self, n, max_bytes)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, as JSON.

        Parameters
        ----------
        path
            Where it goes; what is there is replaced when all is written.

        Raises
        ------
        StorageError
            The file cannot be written.

        Examples
        --------
        >>> import cryptolake as cl, tempfile
        >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> with cl.sample_lake() as lake, tempfile.TemporaryDirectory() as folder:
        ...     plan = lake.plan(query)
        ...     plan.save(f"{folder}/plan.json")
        ...     cl.Plan.load(f"{folder}/plan.json").files.equals(plan.files)
        True
        """
        header = {
            "id": self.id,
            "query": json.loads(self.query.to_json()),
            # The endpoint in use, so that the plan means the same archive where the environment differs.
            "archive": {**self.archive.model_dump(), "endpoint_url": self.archive.endpoint},
            "created_at": self.created_at.isoformat(),
            "listed_at": self.listed_at.isoformat() if self.listed_at else None,
            "notes": list(self.notes),
        }
        serialization.save(path, header, self.missing_periods, self.rows)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Plan:
        """Read a plan that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        Plan
            As it was saved; the status of each file is that of then.

        Raises
        ------
        PlanError
            The file is absent, or holds no plan that this version reads.

        Examples
        --------
        >>> import cryptolake as cl
        >>> cl.Plan.load("/data/no-plan.json")
        Traceback (most recent call last):
        ...
        cryptolake.errors.PlanError: /data/no-plan.json ...
        """
        return Plan(**serialization.load(path))

    # ------------------------------------------------------------------ show

    def __repr__(self) -> str:

        return plan_text(self)

    def _repr_html_(self) -> str:
        from cryptolake.planning.cards import plan_html

        return plan_html(self)

    @cached_property
    def _totals(self) -> pl.DataFrame:
        """Return ``status, files, sidecars, size, checksum_size``, the last two in bytes."""
        counts = (pl.len().alias("files"), pl.col("checksum_size").count().alias("sidecars"))
        return self.rows.sums("status", *counts, pl.col("size", "checksum_size").sum())

    def _total(self, column: str, *statuses: str) -> int:
        return int(self._totals.filter(pl.col("status").is_in(statuses))[column].sum())


def planned(rows: Rows) -> Iterator[Planned]:
    """Yield the files to move, as the command lines are made of them."""
    counts = selected(rows)
    for piece in rows.pieces():
        moving = piece.filter(pl.col("status").is_in(TO_MOVE)).select(_OF_LINES).iter_rows()
        for key, partition, period, checksum_size, selector in moving:
            sidecar = checksum_size is not None
            yield Planned(key, partition, period, sidecar, selector, counts[selector])


def facts_of_plan(plan: Plan) -> dict[str, Any]:
    """Return what the log says of a plan."""
    selection = plan.query.selection
    return {
        "plan": plan.id,
        "markets": ",".join(selection.markets),
        "data_types": ",".join(selection.data_types),
        "files": plan.to_transfer,
        "bytes": plan.total_bytes,
        "cached": plan.cached,
        "missing": plan.missing,
    }


class Counts(NamedTuple):
    """What a route needs to know of the files to move, to say how many requests they take."""

    objects: int
    request_count: int

    @classmethod
    def of(cls, rows: Rows) -> Counts:
        """Count the objects to move and the requests of the command lines that fetch them."""
        objects = sum(1 + file.sidecar for file in planned(rows))
        return cls(objects, commands.request_count(planned(rows)))


class Counted(Protocol):
    """A plan, or its counts."""

    @property
    def objects(self) -> int:
        """Objects to move: zips and sidecars."""

    @property
    def request_count(self) -> int:
        """Requests that the plan's command lines make, about."""


class Way(Protocol):
    """How files will move; of the transfer, whose route says it in a note."""

    def note(self, plan: Counted) -> str:
        """Say how the files of a plan move, and in how many requests."""


def selected(rows: Rows) -> Counter[str]:
    """Return how many of a plan's files that are to move each selector has."""
    counts: Counter[str] = Counter()
    for piece in rows.pieces():
        named = zip(piece["selector"], piece["status"], strict=True)
        counts.update(selector for selector, status in named if selector and status in TO_MOVE)
    return counts


def age_of(moment: datetime | None, now: datetime | None = None) -> str:
    """Say how long ago a UTC moment was, in words.

    Examples
    --------
    >>> age_of(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, 5, tzinfo=UTC))
    '2 days old'
    """
    if moment is None:
        return "never asked"
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''} old"
    return f"{seconds} seconds old" if seconds > 5 else "fresh"


def require_rows(plan: Plan, report: Report) -> None:
    """Say what a frame of a plan's rows would lack.

    Raises
    ------
    NotPublished
        The plan has no file.
    TransferError
        Files or months failed.

    Warns
    -----
    IncompleteWarning
        Files are in quarantine, or cannot be used; or what is published ends before the days asked for do.
    """
    if not plan.rows.height:
        raise _not_published(plan)
    failed = report.count("failed")
    if failed:
        message = (
            f"{failed:,} of the range's files or months could not be fetched or built; error.report says "
            "which and why. lake.silver(query) has the rows that are here; pull again for the rest.\n"
            f"{report.summary()}"
        )
        raise TransferError(message, report=report, plan=plan)
    if report.failed:
        _warn(
            f"{plural(report.failed, 'month of the range has', 'months of the range have')} files that cannot be used",
            report,
        )
    if report.quarantined:
        _warn(
            f"{plural(report.quarantined, 'file of the range is', 'files of the range are')} in quarantine, so rows are missing: "
            "see lake.meta.quarantined(), or pull with checksum_policy='accept'",
            report,
        )
    told = ends_early(plan.missing_periods, plan.query.selection.days)
    if told:
        warnings.warn(told, IncompleteWarning, stacklevel=4)


def _warn(what: str, report: Report) -> None:
    warnings.warn(f"{what}.\n{report.summary()}", IncompleteWarning, stacklevel=4)


def _not_published(plan: Plan) -> NotPublished:
    reasons = plan.missing_periods.group_by("reason").len("periods").sort("reason").rows()
    why = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons)
    notes = " ".join(plan.notes)
    message = f"the archive has no file for {plan.query!r} (periods: {why or 'none'}). {notes}"
    return NotPublished(message.strip(), plan=plan, reasons=dict(reasons))
