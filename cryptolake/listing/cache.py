"""The cached listing's files: Parquet under ``meta/listings/``, one per folder, one per symbol level.

Rows are zips with their sidecars' sizes beside them. A row without a key is a *mark*: it says that a
window was asked, and when, even where it held nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import polars as pl

from cryptolake.archive.keys import CHECKSUM, ZIP
from cryptolake.archive.periods import DAY_IN_KEY, MONTH_IN_KEY
from cryptolake.listing.folders import CLOCKS_DIFFER, MAX_AGE, NO_SIZE
from cryptolake.progress import Step, tell
from cryptolake.storage.errors import where_allowed
from cryptolake.storage.lake_format import mark_format

if TYPE_CHECKING:
    from cryptolake.listing.pages import Object
    from cryptolake.storage.files import Storage

T = TypeVar("T")
R = TypeVar("R")

TIME = pl.Datetime("us", "UTC")

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What reading a cached file raises where it is damaged; a panic of Polars is no ``Exception``."""

WINDOW = ("partition", "window")
"""The columns that name a window of a folder."""

COLUMNS: dict[str, Any] = {
    "folder": pl.UInt32,
    "partition": pl.String,
    "window": pl.String,
    "at": TIME,
    "key": pl.String,
    "period": pl.String,
    "day": pl.Date,
    "size": pl.Int64,
    "etag": pl.String,
    "last_modified": TIME,
    "checksum_size": pl.Int64,
    "checksum_etag": pl.String,
    "more": pl.Boolean,
}
"""``at`` is when it was asked; ``period`` and ``day`` (its first UTC day) are null where a key fits no
pattern; sizes are bytes; ``more``, on marks, says that the folder's files go on after the window."""

RAW: dict[str, Any] = {
    "key": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "last_modified": pl.String,
}

_NAME = "folder"

FEW = 8
"""Folders up to which each one's place is looked at by itself; for more, what is above them is listed."""

_TOGETHER = 256
"""Cached files read in one scan: enough to be quick, few enough to be light."""


class Symbols(NamedTuple):
    """A level of symbols as it was listed at a time (UTC), names that cannot be folders among them."""

    symbols: list[str]
    at: datetime


class Kept(NamedTuple):
    """Cached rows by what they are: ``marks``, ``zips`` without their keys, and what fits no pattern.

    Keys are most of a listing's bytes, and few are needed: stem and period say the others.
    """

    marks: pl.DataFrame
    zips: pl.DataFrame
    strange: pl.DataFrame

    def without(self, windows: pl.DataFrame) -> Kept:
        """Return what is not of these windows."""
        name = [_NAME, *WINDOW]
        return Kept(*(part.join(windows, on=name, how="anti") for part in self))


def split(rows: pl.DataFrame) -> Kept:
    """Sort cached rows by what they are. A folder's first day counts as a mark: it is no file of its own."""
    marks_window = pl.col("key").is_null() | (pl.col("window") == "first")
    fits = pl.col("day").is_not_null()
    zips = rows.filter(~marks_window & fits).drop("key", "at", "more")
    strange = rows.filter(~marks_window & ~fits).select(_NAME, *WINDOW, "key")
    marks = rows.filter(marks_window).select(
        _NAME, *WINDOW, "at", "more", "day", mark=pl.col("key").is_null()
    )
    # A scan of many files comes in as many chunks, which every later step would pay for.
    return Kept(marks.rechunk(), zips.rechunk(), strange.rechunk())


def together(parts: Sequence[Kept]) -> Kept:
    """Return several parts as one."""
    return Kept(*(pl.concat(frames) for frames in zip(*parts, strict=True)))


def empty() -> pl.DataFrame:
    """Return a frame of cached rows without any."""
    return pl.DataFrame(schema=COLUMNS)


def raw_window(objects: Sequence[Object], stem: str, *, more: bool, **where: Any) -> pl.DataFrame:
    """Return one window's objects as they were answered, and its mark."""
    mark = pl.DataFrame([(None, None, None, None)], schema=RAW, orient="row")
    rows = pl.concat([mark, pl.DataFrame(objects, schema=RAW, orient="row")])
    return rows.with_columns(
        pl.lit(stem).alias("stem"),
        pl.lit(more).alias("more"),
        *(pl.lit(value, COLUMNS[name]).alias(name) for name, value in where.items()),
    )


def shaped(raw: pl.DataFrame) -> pl.DataFrame:
    """Read the keys, strictly, and put each sidecar beside its zip.

    What fits no pattern, or has a size or an ETag that no file has, stays as a row without a period: it has to be
    known, or a wildcard would pick it up. A key that is there several times counts once.
    """
    name = pl.col("key").str.strip_suffix(CHECKSUM)
    period = name.str.strip_prefix(pl.col("stem")).str.strip_suffix(ZIP)
    monthly = pl.col("partition") == "monthly"
    form = (
        pl.when(monthly)
        .then(period.str.contains(f"^{MONTH_IN_KEY}$"))
        .otherwise(period.str.contains(f"^{DAY_IN_KEY}$"))
    )
    day = pl.when(monthly).then(period + "-01").otherwise(period).str.to_date(strict=False)
    fits = (
        form
        & day.is_not_null()
        & (name == pl.concat_str("stem", period, pl.lit(ZIP)))
        & (pl.col("size") != NO_SIZE)
    )
    # Some gateways repeat keys at a page's edge; the later answer is the newer one.
    once = raw.unique([_NAME, *WINDOW, "key"], keep="last", maintain_order=True)
    rows = once.with_columns(
        period=pl.when(fits).then(period),
        day=pl.when(fits).then(day),
        zip=pl.when(fits).then(name),
        sidecar=pl.col("key").str.ends_with(CHECKSUM),
        last_modified=pl.col("last_modified").str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False
        ),
    )
    sidecars = rows.filter("sidecar", pl.col("zip").is_not_null()).select(
        *WINDOW, _NAME, zip="zip", checksum_size="size", checksum_etag="etag"
    )
    zips = rows.filter(~pl.col("sidecar").fill_null(value=False)).join(
        sidecars, on=[*WINDOW, _NAME, "zip"], how="left", maintain_order="left"
    )
    # A sidecar without a zip counts as strange: nothing plans it.
    orphans = rows.filter("sidecar").join(
        zips.select(*WINDOW, _NAME, "zip"), on=[*WINDOW, _NAME, "zip"], how="anti"
    )
    return pl.concat([_columns(zips), _columns(orphans.drop("period", "day"))])


def _columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the cache's columns; those that the rows lack are null."""
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in COLUMNS.items()
    )


def read_folders(storage: Storage, paths: dict[int, str], windows: pl.DataFrame) -> Kept:
    """Return some windows of folders, which are given as number and path, as they are cached.

    A file that is absent or cannot be read counts as never listed.
    """
    places = list(_present(storage, paths).items())
    groups = [dict(places[at : at + _TOGETHER]) for at in range(0, len(places), _TOGETHER)]
    parts = [split(empty())]
    for group in groups:
        done = len(parts) - 1
        tell(Step(done, len(groups), done * _TOGETHER, len(places), "cached listings"))
        parts.append(split(_load(storage, group, windows)))
    return together(parts)


def read_few(storage: Storage, paths: dict[int, str]) -> pl.DataFrame | None:
    """Return all rows that a few folders' places in a bucket hold, one request each; None for others."""
    if storage.is_local or len(paths) > FEW:
        return None
    return _read(storage, paths)


def read_whole_folders(storage: Storage, paths: dict[int, str]) -> Kept:
    """Return everything that is cached of some folders, which are given as number and path."""
    present = _present(storage, paths)
    return split(_load(storage, present, None) if present else empty())


def read_kept_file(storage: Storage, path: str) -> pl.DataFrame:
    """Return all rows of one folder's cached file; none where it is absent or cannot be read."""
    return _read(storage, {0: path}).filter(pl.col("key").is_not_null())


def write_folders(
    storage: Storage,
    new: pl.DataFrame,
    paths: dict[int, str],
    *,
    empty_too: bool = True,
    known: pl.DataFrame | None = None,
) -> None:
    """Put newly listed windows beside the others that each folder's place in the cache holds.

    ``known`` is what those places held a moment ago, where that was read: what is as it was is not read again.

    A folder whose windows are as they are kept is not written while those are fresh: the same answer, asked
    some minutes later, saves nobody a request. Later it is written for its age. Nor is a folder written only
    because windows that were never listed hold nothing, unless ``empty_too``.
    """
    name = [_NAME, *WINDOW]
    held = _held(storage, paths) if known is None else known
    told = new
    if not empty_too:
        filled = new.drop_nulls("key")
        both = pl.concat([filled.select(name), held.select(name)]).unique()
        told = new.join(both, on=name, how="semi")
    new = new.filter(pl.col(_NAME).is_in(_changed(held, told).implode()))
    if not new.height:
        return
    if known is not None:  # another process may have listed other windows since
        held = _held(storage, {number: paths[number] for number in new[_NAME].unique()})
    others = held.filter(pl.col(_NAME).is_in(new[_NAME].unique().implode()))
    rows = pl.concat([others.join(new, on=name, how="anti", maintain_order="left"), new])
    folders = rows.partition_by(_NAME, as_dict=True)
    jobs = [(paths[number], frame.drop(_NAME)) for (number,), frame in folders.items()]
    with where_allowed():
        mark_format(storage)
        _each(storage, jobs, lambda job: _write(storage, *job))


def _held(storage: Storage, paths: dict[int, str]) -> pl.DataFrame:
    present = _present(storage, paths)
    return _load(storage, present, None) if present else empty()


def _changed(held: pl.DataFrame, new: pl.DataFrame) -> pl.Series:
    """Return the folders of which a newly listed window has other rows than are kept, or those are old."""
    name = [_NAME, *WINDOW]
    facts = [column for column in COLUMNS if column != "at"]
    kept = held.join(new, on=name, how="semi")
    differ = [
        one.join(other, on=facts, how="anti", nulls_equal=True)
        for one, other in ((new, kept), (kept, new))
    ]
    times = new.filter(pl.col("key").is_null()).join(
        kept.filter(pl.col("key").is_null()).select(*name, before="at"), on=name
    )
    age = pl.col("at") - pl.col("before")
    old = times.filter((age > MAX_AGE) | (age < -CLOCKS_DIFFER))
    return pl.concat([*differ, old], how="diagonal").get_column(_NAME).unique()


def read_symbols(storage: Storage, path: str) -> Symbols | None:
    """Return a cached level of symbols; None where there is none that can be read."""
    try:
        frame = pl.read_parquet(BytesIO(storage.read(path))).select(
            pl.col("symbol").cast(pl.String), pl.col("at").cast(TIME)
        )
        at: datetime | None = frame["at"][0]
        return None if at is None else Symbols(frame["symbol"].drop_nulls().to_list(), at)
    except (*_UNREADABLE, IndexError):
        return None


def write_symbols(storage: Storage, path: str, symbols: Iterable[str]) -> None:
    """Keep a level of symbols, asked just now."""
    frame = pl.DataFrame({"symbol": [None, *symbols]}, schema={"symbol": pl.String})
    with where_allowed():
        mark_format(storage)
        _write(storage, path, frame.with_columns(pl.lit(datetime.now(UTC), TIME).alias("at")))


def _write(storage: Storage, path: str, frame: pl.DataFrame) -> None:
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    storage.write(path, buffer.getvalue())


def _present(storage: Storage, paths: dict[int, str]) -> dict[int, str]:
    if len(paths) <= FEW:
        if not storage.is_local:
            return paths  # that one is absent is told by the request that reads it
        return {number: path for number, path in paths.items() if storage.exists(path)}
    above = {path.rsplit("/", 2)[0] for path in paths.values()}
    there = {entry.path for folder in above for entry in storage.list(folder)}
    return {number: path for number, path in paths.items() if path in there}


def _load(storage: Storage, paths: dict[int, str], windows: pl.DataFrame | None) -> pl.DataFrame:
    def some(rows: pl.LazyFrame) -> pl.DataFrame:
        if windows is not None:
            rows = rows.join(windows.lazy(), on=[_NAME, *WINDOW], how="semi")
        return rows.collect()

    if storage.is_local:
        try:
            return some(_scan(storage, paths))
        except _UNREADABLE:  # one of them is damaged: find out which
            pass
    return some(_read(storage, paths).lazy())


def _scan(storage: Storage, present: dict[int, str]) -> pl.LazyFrame:
    names = {storage.url(path): number for number, path in present.items()}
    numbers = pl.LazyFrame(
        {"path": list(names), _NAME: list(names.values())},
        schema={"path": pl.String, _NAME: pl.UInt32},
    )
    # glob=False: the lake's root may hold a '*' or a '['.
    rows = pl.scan_parquet(list(names), glob=False, include_file_paths="path")
    return rows.join(numbers, on="path", how="inner").select(
        pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()
    )


def _read(storage: Storage, present: dict[int, str]) -> pl.DataFrame:
    def read(place: tuple[int, str]) -> pl.DataFrame:
        number, path = place
        try:
            frame = pl.read_parquet(BytesIO(storage.read(path)))
            return frame.with_columns(pl.lit(number, pl.UInt32).alias(_NAME)).select(
                pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()
            )
        except _UNREADABLE:
            return empty()

    return pl.concat([empty(), *_each(storage, list(present.items()), read)])


def _each(storage: Storage, jobs: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """Do jobs one after another on a disk, side by side against a bucket."""
    if storage.is_local or len(jobs) < 2:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(work, jobs))
