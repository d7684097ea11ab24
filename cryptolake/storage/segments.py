"""The Parquet segments of one of a lake's own tables: listed, read, and merged when they are many.

A segment is written once and never changed. A *merged* segment (``<time>-merged-<hash>.parquet``) holds
the rows of older ones, and names them in its Parquet metadata; a reader that finds both passes over the
older ones. So a merge that is killed, or that happens twice, neither loses a row nor shows one twice.

A segment that cannot be read is named in a :class:`cryptolake.errors.DamagedLakeWarning` and passed over;
``lake.verify(repair=True)`` sets it aside.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.errors import Damaged, DamagedLakeWarning, StorageError
from cryptolake.storage import layout
from cryptolake.storage.strays import without_nameless

if TYPE_CHECKING:
    from cryptolake.storage.files import Entry, Storage

Schema = Mapping[str, Any]

MERGED = "-merged-"
"""What the name of a merged segment has between its time and its hash."""

BY_KEY = frozenset({"files", "quarantine", "months"})
"""Tables whose newest row of a key counts: a repeated row changes nothing, and their order matters."""

STAMP = "_segment"
"""The column of merged segments that holds the time of the segment that a row came from."""

_REPLACES = "cryptolake.replaces"
_ROW_GROUP = 20_000
_AT_ONCE = 16
_FILTERED_ALL = 10_000
"""Rows of a segment up to which it is not filtered by itself, which takes Polars longer than the rows do."""
_CACHED_BYTES = 32 * 2**20
_FIRST, _LAST = (
    int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for year in (1970, 9000)
)
"""What a time in a table can be, in microseconds. A later one overflows Python's, or what is counted from it does."""
_KEPT_BYTES = 128 * 2**10
"""Bytes of a frame up to which it stays in the cache when this process has written it to a bucket."""
_POLARS = pl.exceptions.PolarsError, pl.exceptions.PanicException
"""What Polars raises on damaged bytes. A panic is no ``Exception``."""
_HASHED = re.compile(r"-([0-9a-f]{16})\.parquet$")
_SCANNED_FROM = {True: 256 * 2**10, False: 2 * 2**20}
"""Bytes of a segment, on a disk and in a bucket, from which only the row groups that a filter needs are read:
in a bucket that takes a few requests instead of one."""


class _Frame(NamedTuple):
    """A segment's rows in the table's columns; ``whole`` says that it has no others."""

    rows: pl.DataFrame
    whole: bool


class _Frames:
    """Small segments that this process has read, the most recently used ones, up to some memory."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._frames: OrderedDict[tuple[str, int], _Frame] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> _Frame | None:
        with self._lock:
            frame = self._frames.get(key)
            if frame is not None:
                self._frames.move_to_end(key)
            return frame

    def put(self, key: tuple[str, int], frame: _Frame) -> None:
        size = int(frame.rows.estimated_size())
        with self._lock:
            if size > self._limit // 4 or key in self._frames:
                return
            self._frames[key] = frame
            self._size += size
            while self._size > self._limit:
                _, oldest = self._frames.popitem(last=False)
                self._size -= int(oldest.rows.estimated_size())


_FRAMES = _Frames(_CACHED_BYTES)
_WARNED: set[tuple[str, str]] = set()
_WHOLE: set[tuple[str, int, datetime]] = set()
_REPLACED: dict[tuple[str, int], frozenset[str]] = {}
_FETCHED: dict[tuple[str, int], bytes] = {}
"""Merged segments that were fetched for their metadata, until their rows are read."""


def segments(storage: Storage, folder: str) -> list[Entry]:
    """Return the segments of a table's folder, oldest first; merged ones and those they replace."""
    return [entry for entry in storage.list(folder) if entry.path.endswith(".parquet")]


def all_segments(storage: Storage) -> dict[str, list[Entry]]:
    """Return the segments of each table that has some, as :func:`segments` does, by as few requests as there can be."""
    found: dict[str, list[Entry]] = {}
    for entry in storage.list(layout.META, skip=layout.NO_TABLES):
        folder = entry.path.rpartition("/")[0]
        if entry.path.endswith(".parquet") and (table := layout.table_of(folder)):
            found.setdefault(table, []).append(entry)
    return found


def current(storage: Storage, found: Sequence[Entry]) -> list[Entry]:
    """Leave out the segments whose rows another one holds: a merged one, or one with the same bytes.

    A run that is interrupted just after a write may repeat that write when it ends.
    """
    replaced: set[str] = set()
    hashes: set[str] = set()
    for place, entry in enumerate(found):
        named = None if layout.table_of(entry.path) in BY_KEY else _HASHED.search(entry.path)
        if named and MERGED not in entry.path:
            if named[1] in hashes:
                replaced.add(entry.path)
            hashes.add(named[1])
        # What it replaces sorts before it, and is mostly removed.
        if MERGED in entry.path and place:
            replaced |= replaces(storage, entry)
    return [entry for entry in found if entry.path not in replaced]


def replaces(storage: Storage, entry: Entry) -> frozenset[str]:
    """Return the paths of the segments whose rows a merged one holds; none where it is damaged."""
    key = (storage.url(entry.path), entry.size)
    if key not in _REPLACED:
        if storage.is_local and not storage.exists(entry.path) and _is_there(storage, entry):
            return frozenset()  # a pipe, or a link that leads nowhere: reading it names it
        try:
            _REPLACED[key] = _replaced(entry, _metadata(storage, entry))
        except (*_POLARS, ValueError, PermissionError):
            return frozenset()
    return _REPLACED[key]


def _replaced(entry: Entry, metadata: Mapping[str, str]) -> frozenset[str]:
    """Return the paths that a merged segment's metadata names.

    Raises
    ------
    ValueError
        It holds no list of names.
    """
    folder = entry.path.rpartition("/")[0]
    try:
        names = json.loads(metadata.get(_REPLACES, "[]"))
    except RecursionError:  # lists in lists, thousands deep
        names = None
    if not isinstance(names, list):
        message = "its metadata does not say which segments it replaces"
        raise ValueError(message)  # noqa: TRY004 - damage, as is text that is no JSON
    return frozenset(f"{folder}/{name}" for name in names)


def _metadata(storage: Storage, entry: Entry) -> dict[str, str]:
    """Return a merged segment's metadata.

    A small one in a bucket is read whole, by one request: its rows are wanted next.
    """
    if storage.is_local or entry.size >= _SCANNED_FROM[False]:
        url = storage.url(entry.path)
        return pl.read_parquet_metadata(url, **storage.polars_arguments)
    data = _bytes(storage, entry)
    if len(_FETCHED) >= _AT_ONCE:
        _FETCHED.clear()
    _FETCHED[storage.url(entry.path), entry.size] = data
    return pl.read_parquet_metadata(BytesIO(data))


def read(
    storage: Storage,
    entries: Sequence[Entry],
    schema: Schema,
    *,
    where: pl.Expr | None = None,
    damaged: Callable[[Damaged], None] | None = None,
    stamps: bool = False,
) -> pl.DataFrame:
    """Return the rows of segments, in the order they were written.

    Parameters
    ----------
    storage, entries
        The lake and the segments, as :func:`current` returns them.
    schema
        The table's columns. A column that a segment lacks is null; one that the table does not know
        (a newer release wrote it) is left out.
    where
        Only these rows. Of a long segment only the row groups that can hold such rows are read.
    damaged
        Receives each segment that cannot be read; a warning is given when left out.
    stamps
        Leave the column :data:`STAMP` in.

    Raises
    ------
    FileNotFoundError
        A segment was merged into another since it was listed.
    """
    stamped = {**schema, STAMP: pl.String}
    # A writer whose clock is behind may write a segment that sorts before a merged one.
    late = any(MERGED in entry.path for entry in entries[1:])
    columns = stamped if late or stamps else schema
    empty = pl.DataFrame(schema=columns)
    frames = [empty if where is None else empty.filter(where)]  # a wrong filter is no damage
    made = _side_by_side(storage, entries, lambda entry: _read(storage, entry, stamped, where))
    for entry, found in zip(entries, made, strict=True):
        if isinstance(found, Damaged):
            (damaged or warn)(found)
        else:
            known = without_nameless(found, entry.path, storage.root)
            frames.append(known.select(list(columns)))
    rows = pl.concat(frames)
    if where is not None:
        rows = rows.filter(where)
    if late:
        rows = rows.sort(STAMP, maintain_order=True)
    return rows.drop(STAMP) if late and not stamps else rows


def rotten(storage: Storage, entry: Entry) -> Damaged | None:
    """Return what is wrong with a segment's bytes; None for one that is whole, which is remembered."""
    key = (storage.url(entry.path), entry.size, entry.modified)
    if key in _WHOLE:
        return None
    try:
        _check_bytes(storage, entry)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # as in _read
        if isinstance(error, StorageError) and not storage.is_local:
            raise  # a bucket that does not answer says nothing of a file
        if isinstance(error, FileNotFoundError) and not _is_there(storage, entry):
            return None  # merged into another since it was listed
        return Damaged(entry.path, _reason(error), storage.root)
    _WHOLE.add(key)
    return None


def read_whole(
    storage: Storage, entries: Sequence[Entry], schema: Schema
) -> tuple[pl.DataFrame, list[Entry]]:
    """Return the rows of segments that are to be merged, each with its time, and the segments used.

    Segments that cannot be read are passed over. A segment of a newer release stays as it is, and so do
    those before it: what it says of a file must stay between theirs and what came later.
    """
    stamped = {**schema, STAMP: pl.String}
    frames = [pl.DataFrame(schema=stamped)]
    used: list[Entry] = []
    for entry in entries:
        try:
            frame = _FRAMES.get((storage.url(entry.path), entry.size)) or _parsed(
                storage, entry, stamped
            )
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001, S112 - as in _read; readers name the segment
            continue
        if not frame.whole:
            frames, used = frames[:1], []
            continue
        frames.append(without_nameless(frame.rows, entry.path, storage.root))
        used.append(entry)
    return pl.concat(frames).sort(STAMP, maintain_order=True), used


def warn(found: Damaged) -> None:
    """Name a damaged segment, once in a process."""
    if (found.root, found.path) in _WARNED:
        return
    _WARNED.add((found.root, found.path))
    message = (
        f"{found.path} cannot be read ({found.reason}), so its rows are missing from the lake's table. "
        "cryptolake verify --repair sets it aside, and enters Bronze files that are not in the ledger again."
    )
    warnings.warn(message, DamagedLakeWarning, stacklevel=2)


def write(storage: Storage, folder: str, stamp: str, rows: pl.DataFrame) -> str:
    """Write rows as a new segment, named by a time and the hash of its bytes; return its path."""
    buffer = BytesIO()
    rows.write_parquet(buffer, compression="zstd")
    data = buffer.getvalue()
    path = f"{folder}/{stamp}-{secrets.token_hex(4)}-{_hash(data)}.parquet"
    storage.write(path, data)
    _keep(storage, path, len(data), rows.with_columns(pl.lit(stamp).alias(STAMP)))
    return path


def _keep(storage: Storage, path: str, size: int, stamped: pl.DataFrame) -> None:
    """Remember a small segment that was just written to a bucket, so that no request reads it again."""
    if not storage.is_local and stamped.estimated_size() <= _KEPT_BYTES:
        _FRAMES.put((storage.url(path), size), _Frame(stamped, whole=True))


def merge(
    storage: Storage, folder: str, rows: pl.DataFrame | pl.LazyFrame, entries: Sequence[Entry]
) -> None:
    """Write rows in the place of the segments that held them, which the caller removes then.

    Two processes that merge the same segments write the same bytes to one name. The name sorts with the
    newest of them, and so before all that is written later.
    """
    names = sorted(entry.path.rpartition("/")[2] for entry in entries)
    data = _encoded(rows, {_REPLACES: json.dumps(names)})
    path = f"{folder}/{stamp_of(entries[-1])}{MERGED}{_hash(data)}.parquet"
    storage.write(path, data)
    _REPLACED[storage.url(path), len(data)] = frozenset(entry.path for entry in entries)
    if isinstance(rows, pl.DataFrame):
        _keep(storage, path, len(data), rows)


def _encoded(rows: pl.DataFrame | pl.LazyFrame, metadata: dict[str, str]) -> bytes:
    """Return the bytes of a merged segment; of a lazy frame some rows are in memory at a time."""
    buffer = BytesIO()
    (rows.sink_parquet if isinstance(rows, pl.LazyFrame) else rows.write_parquet)(
        buffer,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        statistics=True,
        metadata=metadata,
    )
    return buffer.getvalue()


def scan(storage: Storage, entry: Entry, schema: Schema) -> pl.LazyFrame:
    """Return the rows of a segment whose bytes are whole, each with its time; on a disk they are not held.

    Raises
    ------
    ValueError
        Its bytes are not those in its name, or a newer release wrote it.
    """
    place: str | BytesIO = storage.url(entry.path)
    if not storage.is_local:
        place = BytesIO(_bytes(storage, entry))
    elif rotten(storage, entry) is not None:
        message = f"{entry.path} is damaged"
        raise ValueError(message)
    rows = pl.scan_parquet(place, glob=False)
    known = rows.collect_schema().names()
    if set(known) - set(schema):
        message = f"{entry.path} is of a newer release"
        raise ValueError(message)
    missing = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in known]
    return rows.with_columns(missing).select(
        pl.col(name).cast(kind) if name != STAMP else pl.col(name).fill_null(stamp_of(entry))
        for name, kind in schema.items()
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def overlap(storage: Storage, found: Sequence[Entry]) -> bool:
    """Say whether two merged segments hold the rows of the same older one (two merges at once)."""
    merged = [entry for entry in current(storage, found) if MERGED in entry.path]
    seen: set[str] = set()
    for entry in merged if len(merged) > 1 else []:
        names = replaces(storage, entry)
        if seen & names:
            return True
        seen |= names
    return False


def _side_by_side(
    storage: Storage, entries: Sequence[Entry], job: Callable[[Entry], pl.DataFrame | Damaged]
) -> Iterator[pl.DataFrame | Damaged]:
    if storage.is_local or len(entries) < 2:
        yield from map(job, entries)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(entries)), "cryptolake-segments") as pool:
        yield from pool.map(job, entries)


def _read(
    storage: Storage, entry: Entry, schema: Schema, where: pl.Expr | None
) -> pl.DataFrame | Damaged:
    key = (storage.url(entry.path), entry.size)
    frame = _FRAMES.get(key)
    try:
        if frame is None and where is not None and entry.size >= _SCANNED_FROM[storage.is_local]:
            return _scanned(storage, entry, schema, where)
        if frame is None:
            frame = _parsed(storage, entry, schema)
            _FRAMES.put(key, frame)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # Polars panics on some damage, and a panic is no Exception
        if isinstance(error, FileNotFoundError) and not _is_there(storage, entry):
            raise
        return Damaged(entry.path, _reason(error), storage.root)
    few = frame.rows.height <= _FILTERED_ALL  # those of all segments are filtered together
    return frame.rows if where is None or few else frame.rows.filter(where)


def _parsed(storage: Storage, entry: Entry, schema: Schema) -> _Frame:
    key = (storage.url(entry.path), entry.size)
    data = _FETCHED.pop(key, None) or _bytes(storage, entry)
    if MERGED in entry.path and key not in _REPLACED:
        _REPLACED[key] = _replaced(entry, pl.read_parquet_metadata(BytesIO(data)))
    raw = pl.read_parquet(BytesIO(data))
    return _Frame(_stamped(entry, shaped(raw, schema)), whole=not set(raw.columns) - set(schema))


def _is_there(storage: Storage, entry: Entry) -> bool:
    """Say whether something is at a path on a disk, and be it a link that leads nowhere."""
    return storage.is_local and os.path.lexists(storage.local(entry.path))


def _scanned(storage: Storage, entry: Entry, schema: Schema, where: pl.Expr) -> pl.DataFrame:
    """Read some row groups; on a disk, where that costs no request, the whole file is hashed first, once."""
    if storage.is_local and (found := rotten(storage, entry)) is not None:
        raise ValueError(found.reason)
    url = storage.url(entry.path)
    scan = pl.scan_parquet(url, **storage.polars_arguments, glob=False)
    missing = [pl.lit(None, kind).alias(name) for name, kind in schema.items()]
    known = scan.collect_schema().names()
    rows = scan.with_columns(column for column in missing if column.meta.output_name() not in known)
    return _stamped(entry, shaped(rows.filter(where).collect(), schema))


def _stamped(entry: Entry, rows: pl.DataFrame) -> pl.DataFrame:
    """Give each row the time in its segment's name; rows of a merged segment have their own."""
    return rows.with_columns(pl.col(STAMP).fill_null(stamp_of(entry)))


def stamp_of(entry: Entry) -> str:
    """Return the time that a segment's name begins with."""
    return entry.path.rpartition("/")[2].partition("-")[0]


def _bytes(storage: Storage, entry: Entry) -> bytes:
    """Return a segment's bytes, compared with the hash in its name where that has one."""
    data = storage.read(entry.path)
    _compare(entry, hashlib.sha256(data))
    return data


def _check_bytes(storage: Storage, entry: Entry) -> None:
    """Compare a segment's bytes with the hash in its name, and read its footer; on a disk it is not held."""
    if not storage.is_local:
        pl.read_parquet_schema(BytesIO(_bytes(storage, entry)))
        return
    digest = hashlib.sha256()
    for piece in storage.pieces(entry.path, entry.size):
        digest.update(piece)
    _compare(entry, digest)
    with storage.open(entry.path) as file:  # by its path, Polars would read '[' as a pattern
        pl.read_parquet_schema(file)


def _compare(entry: Entry, digest: hashlib._Hash) -> None:
    named = _HASHED.search(entry.path)
    if named and digest.hexdigest()[:16] != named[1]:
        message = "its bytes differ from the hash in its name"
        raise ValueError(message)


def shaped(rows: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return rows with a table's columns and types; columns that the table does not know are left out.

    Raises
    ------
    ValueError
        A column holds what its type cannot: a newer release wrote it.
    """
    if dict(rows.schema) == dict(schema):
        return sound(rows)
    if not set(rows.columns) & set(schema) - {STAMP}:
        message = f"it has none of the table's columns, but {', '.join(rows.columns)}"
        raise ValueError(message)
    missing = [
        pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in rows.columns
    ]
    try:
        typed = rows.with_columns(missing).select(
            pl.col(name).cast(kind) for name, kind in schema.items()
        )
    except pl.exceptions.PolarsError as error:
        message = f"a newer release of cryptolake wrote it ({str(error).splitlines()[0]}); upgrade to read it"
        raise ValueError(message) from error
    return sound(typed)


def sound(rows: pl.DataFrame) -> pl.DataFrame:
    """Take times that no clock shows as unknown."""
    columns = rows.get_columns()
    odd = [c.name for c in columns if isinstance(c.dtype, pl.Datetime) and not _is_of_a_clock(c)]
    if odd:
        possible = pl.col(odd).cast(pl.Int64).is_between(_FIRST, _LAST)
        rows = rows.with_columns(pl.when(possible).then(pl.col(odd)))
    return rows


def _is_of_a_clock(times: pl.Series) -> bool:
    """Say whether all times are between the first and the last that can be."""
    # As numbers: times that Python does not have, Polars cannot hand over.
    numbers = times.cast(pl.Int64)
    least: Any = numbers.min()
    most: Any = numbers.max()
    return least is None or (least >= _FIRST and most <= _LAST)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
