"""What the archive's own S3 listing says exists, cached in the lake with its age.

A *folder* is a symbol's files of one data type (and one interval). It is listed in *windows*, each one
question to S3 in the usual case, all of them asked at the same time: its monthly files, its daily files
of a calendar year, and its first daily file. So a plan for two months of one symbol does not page
through nine years, and nine years take no longer than one.

``meta/listings/<archive>/`` holds one Parquet file per folder, and one per level of symbols. It is a
cache: safe to delete, rewritten whole, and of two writers the later wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import polars as pl

from cryptolake import listing_cache as cache
from cryptolake.errors import ListingError
from cryptolake.keys import is_plain, parse_key, prefix_of
from cryptolake.s3pages import Pages
from cryptolake.vocabulary import Partition

if TYPE_CHECKING:
    from cryptolake.archive import Archive
    from cryptolake.availability import Row
    from cryptolake.periods import Days
    from cryptolake.storage import Storage
    from cryptolake.vocabulary import Interval

T = TypeVar("T")

MAX_AGE = timedelta(hours=1)
"""How old a cached listing may be before the archive is asked again. It publishes once a day."""

WORKERS = 32
"""How many questions are asked at the same time."""

_BATCH = 512
"""Windows that are listed and cached before the next ones are: what is interrupted is not lost."""

_FIRST_YEAR = 2017

_YEAR_OF_KEYS = 740
"""A year's zips and sidecars, and a few keys more, so that one page tells whether files go on."""


class Folder(NamedTuple):
    """The files of one symbol (and interval) of a matrix row, in both partitions."""

    row: Row
    symbol: str
    interval: Interval | None = None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions that can hold the folder's files."""
        return self.row.partitions_of(self.interval)

    def stem(self, partition: Partition) -> str:
        """Return what every zip's key begins with, up to its period."""
        key = self.row.key_pattern.format(
            partition=partition.value,
            symbol=self.symbol,
            interval=self.interval.value if self.interval else "",
            period="",
        )
        return key.removesuffix(".zip")

    def prefix(self, partition: Partition) -> str:
        """Return the key prefix of the folder's files in one partition."""
        return prefix_of(self.row, partition, self.symbol, self.interval)

    def windows(self, days: Days | None) -> list[tuple[str, str]]:
        """Return the windows that tell of some days (of every year when None): partition and name."""
        found = [("monthly", "all")] if Partition.MONTHLY in self.partitions else []
        if Partition.DAILY in self.partitions:
            first = max(days.first.year, _FIRST_YEAR) if days else self.row.first_date.year
            last = min(days.last.year if days else 9999, datetime.now(UTC).year)
            years = [("daily", str(year)) for year in range(first, last + 1)]
            found += [("daily", "first"), *years]
        return found


class Listed(NamedTuple):
    """The part of the listing that was asked for.

    ``zips``: ``folder`` (its place in the list given), ``partition, period, day`` (the first UTC day),
    ``size, etag, last_modified, checksum_size, checksum_etag``. ``stems``: ``folder, partition, stem``,
    what the keys begin with. ``strange``: ``folder, key`` of what lies among them and fits no pattern.
    ``folders``: ``folder, first_daily, more_daily``. ``at``: when the oldest part was asked (UTC).
    ``trouble``: why the archive could not be asked, where cached listings stand in.
    """

    zips: pl.DataFrame
    stems: pl.DataFrame
    strange: pl.DataFrame
    folders: pl.DataFrame
    at: datetime | None
    trouble: ListingError | None

    @property
    def files(self) -> pl.DataFrame:
        """The zips with their keys."""
        return self.keyed(self.zips)

    def keyed(self, zips: pl.DataFrame) -> pl.DataFrame:
        """Add ``key`` to rows of ``zips``. Keys are most of a listing's bytes, and few are needed."""
        key = pl.concat_str("stem", "period", pl.lit(".zip"))
        named = zips.join(self.stems, on=["folder", "partition"], how="left", maintain_order="left")
        return named.with_columns(key=key).drop("stem")


class Listing:
    """The listing of one archive, kept in one lake.

    Parameters
    ----------
    archive
        What is listed.
    storage
        The lake that keeps it.
    max_age
        How old a cached listing may be before the archive is asked again.
    """

    def __init__(self, archive: Archive, storage: Storage, *, max_age: timedelta = MAX_AGE) -> None:
        self.archive = archive
        self.storage = storage
        self.max_age = max_age
        self.pages = Pages(archive, connections=WORKERS)

    def symbols(
        self,
        row: Row,
        partition: Partition,
        *,
        refresh: bool = False,
        max_age: timedelta | None = None,
    ) -> list[str]:
        """Return the symbols that have files in one partition of a row, in the listing's order.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        levels = self.symbol_levels([(row, partition)], refresh=refresh, max_age=max_age)
        return levels[row.dataset, partition]

    def symbol_levels(
        self,
        levels: Sequence[tuple[Row, Partition]],
        *,
        refresh: bool = False,
        max_age: timedelta | None = None,
    ) -> dict[tuple[str, Partition], list[str]]:
        """Return the symbols of several rows' partitions, asked together, by dataset and partition.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        kept = {
            (row.dataset, partition): cache.read_symbols(
                self.storage, self._symbols_path(row, partition)
            )
            for row, partition in levels
        }
        oldest = self._oldest(refresh, max_age)
        found = {level: item.symbols for level, item in kept.items() if item}
        stale = [
            (row, partition)
            for row, partition in levels
            if (item := kept[row.dataset, partition]) is None or item.at < oldest
        ]
        answers, trouble = self._ask_all(self._ask_symbols, stale)
        for row, partition, symbols in answers:
            cache.write_symbols(self.storage, self._symbols_path(row, partition), symbols)
            found[row.dataset, partition] = symbols
        if trouble and len(found) < len(kept):
            raise _nothing_kept(trouble, "its symbols were never listed")
        return found

    def files(
        self,
        row: Row,
        symbol: str,
        interval: Interval | None = None,
        *,
        days: Days | None = None,
        refresh: bool = False,
        max_age: timedelta | None = None,
    ) -> pl.DataFrame:
        """Return what one symbol has: both partitions; of the daily one the years that days touch.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        folder = Folder(row, symbol, interval)
        return self.listed([folder], days, refresh=refresh, max_age=max_age).files.drop("folder")

    def listed(
        self,
        folders: Sequence[Folder],
        days: Days | None = None,
        *,
        refresh: bool = False,
        max_age: timedelta | None = None,
    ) -> Listed:
        """Return what several folders have, from the cache where it is fresh, else from the archive.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        name = ["folder", *cache.WINDOW]
        wanted = pl.DataFrame(
            [(number, *window) for number, f in enumerate(folders) for window in f.windows(days)],
            schema={column: cache.COLUMNS[column] for column in name},
            orient="row",
        )
        paths = dict(enumerate(map(self._folder_path, folders)))
        kept = cache.read_folders(self.storage, paths, wanted)
        marks = kept.filter("mark")
        fresh = marks.filter(pl.col("at") >= self._oldest(refresh, max_age))
        stale = wanted.join(fresh, on=name, how="anti", maintain_order="left")
        trouble = None
        if stale.height:
            jobs = [(folders[number], number, *window) for number, *window in stale.iter_rows()]
            new, trouble = self._renew(jobs, paths)
            kept = pl.concat([kept.join(new, on=name, how="anti", maintain_order="left"), new])
        never = wanted.join(kept.filter("mark"), on=name, how="anti").height
        if never:
            why = f"{never} of the {wanted.height} parts of it asked for were never listed"
            raise _nothing_kept(trouble, why)
        return _listed(kept, _stems(folders), trouble)

    def _renew(
        self, jobs: Sequence[tuple[Folder, int, str, str]], paths: dict[int, str]
    ) -> tuple[pl.DataFrame, ListingError | None]:
        """Ask for windows, some at a time, and put what comes into the cache, up to the first trouble."""
        parts = [cache.light(cache.empty().lazy()).collect()]
        trouble = None
        for start in range(0, len(jobs), _BATCH):
            answers, trouble = self._ask_all(self._ask_window, jobs[start : start + _BATCH])
            if answers:
                new = cache.shaped(pl.concat(answers))
                some = {number: paths[number] for number in new["folder"].unique()}
                cache.write_folders(self.storage, new, some)
                parts.append(cache.light(new.lazy()).collect())
            if trouble:
                break
        return pl.concat(parts), trouble

    # ------------------------------------------------------------------ asking

    def _ask_symbols(self, level: tuple[Row, Partition]) -> tuple[Row, Partition, list[str]]:
        row, partition = level
        prefix = prefix_of(row, partition)
        names = [
            folder.removeprefix(prefix).removesuffix("/")
            for page in self.pages.of(prefix, folders=True)
            for folder in page.folders
        ]
        return row, partition, [name for name in names if is_plain(name)]

    def _ask_window(self, job: tuple[Folder, int, str, str]) -> pl.DataFrame:
        folder, number, partition, window = job
        stem, prefix = folder.stem(Partition(partition)), folder.prefix(Partition(partition))
        at = datetime.now(UTC)
        objects: list[tuple[str, int, str, str]] = []
        more = False
        if window == "first":
            first = self._first(prefix, stem)
            objects = [first] if first else []
        elif window == "all":
            objects = [item for page in self.pages.of(prefix) for item in page.objects]
        else:
            # Between two impossible months: the year's own keys, malformed ones among them.
            last = f"{stem}{window}-99"
            after = f"{stem}{int(window) - 1}-99"
            for page in self.pages.of(prefix, after=after, limit=_YEAR_OF_KEYS):
                objects += [item for item in page.objects if item[0] <= last]
                more = any(item[0] > last and item[0].startswith(stem) for item in page.objects)
                if len(page.objects) and page.objects[-1][0] > last:
                    break
        return cache.raw_window(
            objects, stem, more=more, folder=number, partition=partition, window=window, at=at
        )

    def _first(self, prefix: str, stem: str) -> tuple[str, int, str, str] | None:
        for page in self.pages.of(prefix, after=f"{stem}2000", limit=4):
            for item in page.objects:
                if parse_key(item[0]):
                    return item
        return None

    def _ask_all(
        self, ask: Callable[[Any], T], jobs: Sequence[Any]
    ) -> tuple[list[T], ListingError | None]:
        """Ask side by side, in order; at the first trouble stop, and keep what was answered."""
        if not jobs:
            return [], None
        with ThreadPoolExecutor(min(WORKERS, len(jobs)), "cryptolake-listing") as pool:
            asked = [pool.submit(ask, job) for job in jobs]
            try:
                wait(asked, return_when=FIRST_EXCEPTION)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        answers: list[T] = []
        trouble: ListingError | None = None
        for future in asked:
            if future.cancelled():
                continue
            error = future.exception()
            if isinstance(error, ListingError):
                trouble = trouble or error
            else:
                answers.append(future.result())
        return answers, trouble

    def _oldest(self, refresh: bool, max_age: timedelta | None) -> datetime:  # noqa: FBT001
        now = datetime.now(UTC)
        return now if refresh else now - (self.max_age if max_age is None else max_age)

    def _symbols_path(self, row: Row, partition: Partition) -> str:
        name = f"{row.market.value}/{row.data_type.value}-{partition.value}.parquet"
        return f"meta/listings/{self.archive.tag}/symbols/{name}"

    def _folder_path(self, folder: Folder) -> str:
        row = folder.row
        interval = folder.interval.value if folder.interval else "all"
        # Percent-encoded, so that no file system minds a symbol's letters.
        name = f"{quote(folder.symbol, safe='')}/{interval}.parquet"
        place = f"meta/listings/{self.archive.tag}/files"
        return f"{place}/{row.market.value}/{row.data_type.value}/{name}"


def _stems(folders: Sequence[Folder]) -> pl.DataFrame:
    rows = [
        (number, partition.value, folder.stem(partition))
        for number, folder in enumerate(folders)
        for partition in folder.partitions
    ]
    schema = {"folder": pl.UInt32, "partition": pl.String, "stem": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _listed(rows: pl.DataFrame, stems: pl.DataFrame, trouble: ListingError | None) -> Listed:
    marks = rows.filter("mark")
    first = rows.filter((pl.col("window") == "first") & pl.col("day").is_not_null())
    last = (
        marks.filter((pl.col("partition") == "daily") & (pl.col("window") != "first"))
        .sort("window")
        .group_by("folder")
        .agg(more_daily=pl.col("more").last())
    )
    folders = (
        marks.select("folder")
        .unique()
        .join(first.select("folder", first_daily="day"), on="folder", how="left")
        .join(last, on="folder", how="left")
        .with_columns(pl.col("more_daily").fill_null(value=False))
        .sort("folder")
    )
    held = rows.lazy().filter(~pl.col("mark") & (pl.col("window") != "first"))
    zips = held.filter(pl.col("day").is_not_null()).drop("window", "at", "more", "mark", "key")
    strange = held.filter(pl.col("day").is_null()).select("folder", "key").collect()
    at = marks["at"].min()
    asked = at if isinstance(at, datetime) else None
    return Listed(zips.collect(), stems, strange, folders, asked, trouble)


def _nothing_kept(trouble: ListingError | None, why: str) -> ListingError:
    """Add to what went wrong that no cached listing helps."""
    if trouble is None:
        message = f"the archive's listing is not complete: {why}."
        return ListingError(message, why=why)
    message = f"{trouble} No cached listing stands in: {why}."
    return ListingError(message, **trouble.facts)
