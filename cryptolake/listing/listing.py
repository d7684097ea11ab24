"""What the archive's own S3 listing says exists, cached in the lake with its age.

It is asked by folder and window (:mod:`cryptolake.listing.folders`). ``meta/listings/<archive>/`` holds
one Parquet file per folder, and one per level of symbols. It is a cache: it can be deleted, each file is
written whole, and of two writers the later wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cryptolake.archive.keys import is_plain, parse_key, prefix_of, symbol_below
from cryptolake.errors import ListingError
from cryptolake.listing.folders import (
    CLOCKS_DIFFER,
    MAX_AGE,
    Folder,
    Window,
    nothing_kept,
)
from cryptolake.progress import Step, tell
from cryptolake.storage import layout

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.archive.enums import Interval, Partition
    from cryptolake.archive.matrix import Row
    from cryptolake.archive.periods import Days
    from cryptolake.archive.source import Archive
    from cryptolake.listing.client import Pages
    from cryptolake.listing.pages import Object
    from cryptolake.listing.snapshot import Listed, Since
    from cryptolake.storage.files import Storage

T = TypeVar("T")

WORKERS = 32
"""How many requests are sent at the same time."""

_TICK = 0.1
"""Seconds between two checks of whether a watcher stops it, at most."""

_LONGEST_NAME = 1024
"""Characters of a listed symbol that are kept: S3 has no longer keys."""

_YEAR_OF_KEYS = 740
"""A year's zips and sidecars, and a few keys more, so that one page tells whether files go on."""


class Names(NamedTuple):
    """The symbols of a level, in the listing's order, and listed names that cannot be folders of a lake."""

    plain: list[str]
    odd: list[str]

    @classmethod
    def of(cls, listed: list[str]) -> Names:
        """Tell the names of a level apart."""
        return cls([n for n in listed if is_plain(n)], [n for n in listed if not is_plain(n)])


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

    @cached_property
    def pages(self) -> Pages:
        """The archive's S3 listing, page by page."""
        from cryptolake.listing.client import Pages  # loads botocore, which most calls never need

        return Pages(self.archive, connections=WORKERS)

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
        return levels[row.dataset, partition].plain

    def symbol_levels(
        self,
        levels: Sequence[tuple[Row, Partition]],
        *,
        refresh: bool = False,
        max_age: timedelta | None = None,
    ) -> dict[tuple[str, Partition], Names]:
        """Return the symbols of several rows' partitions, asked together, by dataset and partition.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        from cryptolake.listing import cache

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
            if (item := kept[row.dataset, partition]) is None
            or not oldest <= item.at <= datetime.now(UTC) + CLOCKS_DIFFER
        ]
        answers, trouble = self.ask_all(self._ask_symbols, stale)
        for row, partition, symbols in answers:
            cache.write_symbols(self.storage, self._symbols_path(row, partition), symbols)
            found[row.dataset, partition] = symbols
        if trouble and len(found) < len(kept):
            raise nothing_kept(trouble, "its symbols were never listed")
        return {level: Names.of(names) for level, names in found.items()}

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
        since: Since | None = None,
        only: Callable[[int, Partition, str], bool] | None = None,
    ) -> Listed:
        """Return what several folders have, from the cache where it is fresh, else from the archive.

        ``only`` says which windows (folder's number, partition and name) are meant, all when None. ``since`` says it for each window, in place of ``refresh`` and ``max_age``; who says it asks each time
        for windows that hold nothing yet, so that is not cached.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        from cryptolake.listing.snapshot import listed

        oldest = self._oldest(refresh, max_age)
        return listed(
            self,
            folders,
            days,
            since=since or (lambda *window: oldest if only is None or only(*window) else None),
            place=self.folder_path,
            empty_too=since is None,
        )

    # ------------------------------------------------------------------ asking

    def _ask_symbols(self, level: tuple[Row, Partition]) -> tuple[Row, Partition, list[str]]:
        row, partition = level
        prefix = prefix_of(row, partition)
        found = {
            symbol_below(prefix, folder)[:_LONGEST_NAME]: None
            for page in self.pages.of(prefix, folders=True)
            for folder in page.folders
        }
        return row, partition, list(found)

    def window(self, folder: Folder, partition: Partition, name: str) -> Window:
        """Ask for one window of a folder.

        Raises
        ------
        ListingError
            The archive does not answer.
        """
        stem, prefix = folder.stem(partition), folder.prefix(partition)
        at = datetime.now(UTC)
        if name == "all":
            everything = [item for page in self.pages.of(prefix) for item in page.objects]
            return Window(at, everything)
        if name == "first":
            return Window(at, self._first(prefix, stem))
        # Between two impossible months: the year's own keys, malformed ones among them.
        after, last = f"{stem}{int(name) - 1}-99", f"{stem}{name}-99"
        objects: list[Object] = []
        for page in self.pages.of(prefix, after=after, limit=_YEAR_OF_KEYS):
            # Not all that speak S3 heed start-after.
            objects += [item for item in page.objects if after < item.key <= last]
            beyond = [item for item in page.objects if item.key > last]
            if beyond:
                return Window(at, objects, any(item.key.startswith(stem) for item in beyond))
        return Window(at, objects)

    def _first(self, prefix: str, stem: str) -> list[Object]:
        for page in self.pages.of(prefix, after=f"{stem}2000", limit=4):
            for item in page.objects:
                if parse_key(item.key):
                    return [item]
        return []

    def ask_all(
        self, ask: Callable[[Any], T], jobs: Sequence[Any], *, before: int = 0, total: int = 0
    ) -> tuple[list[T], ListingError | None]:
        """Ask side by side, in order; at the first trouble stop, and keep what was answered.

        Progress is reported: these jobs come after ``before`` others of ``total``. When the watching
        callable stops it, answers that are under way are not waited for.
        """
        if not jobs:
            return [], None
        pool = ThreadPoolExecutor(min(WORKERS, len(jobs)), "cryptolake-listing")
        try:
            asked = [pool.submit(ask, job) for job in jobs]
            waiting = set(asked)
            while waiting:
                done = before + len(jobs) - len(waiting)
                every = max(total, before + len(jobs))
                tell(Step(done, every, done, every, "listings"))
                ended, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_EXCEPTION)
                if any(future.exception() for future in ended):
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        wait([future for future in asked if not future.cancelled()])  # those that were under way
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
        tag = self.archive.tag
        return layout.listed_symbols_path(tag, row.market, row.data_type, partition)

    def folder_path(self, folder: Folder) -> str:
        """Return where in the lake a folder's windows are cached."""
        return layout.listed_files_path(self.archive.tag, *folder.parts)
