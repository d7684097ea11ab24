"""Months that the cached listing knows to be unpublished; nothing is asked of the archive.

What reads a lake says which of its files are missing. A month before a symbol's listing or after its delisting
is not missing: no pull can bring it. Cached listings tell, where an earlier pull asked for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.lives import MONTH_LATE
from cryptolake.archive.matrix import load_matrix
from cryptolake.listing import cache
from cryptolake.listing.folders import Folder

if TYPE_CHECKING:
    from cryptolake.archive.periods import Period
    from cryptolake.listing.listing import Listing
    from cryptolake.storage.layout import SilverPath


def unpublished_months(listing: Listing, months: Iterable[SilverPath]) -> set[SilverPath]:
    """Return those of some months of folders of which the archive is known to have no file.

    A month is known to be unpublished where each partition of its folder was listed after the month's files
    were due, and has none of it. What was not listed is unknown, and so is a folder without any file: its
    symbol may be misspelled.

    Parameters
    ----------
    listing
        The archive's listing, of which only the lake's cached part is read, in one query for all folders.
    months
        Months of folders, as the paths of their Silver files.
    """
    wanted = list(months)
    matrix = load_matrix()
    folders = {
        where[:4]: Folder(matrix.row(where.market, where.data_type), where.symbol, where.interval)
        for where in wanted
    }
    numbers = {parts: number for number, parts in enumerate(folders)}
    paths = {numbers[parts]: listing.folder_path(folder) for parts, folder in folders.items()}
    if not paths:
        return set()
    known = _Known.of(cache.read_whole_folders(listing.storage, paths))
    return {
        where
        for where in wanted
        if known.lacks(numbers[where[:4]], folders[where[:4]].partitions, where.month)
    }


class _Known(NamedTuple):
    """What cached listings say of folders, by their numbers."""

    asked: dict[tuple[int, str, str], datetime]
    """When each window (folder, partition, name) was asked."""
    first: dict[int, date]
    """The first daily file."""
    covered: set[tuple[int, date]]
    """The months that have files, by their first days."""
    filled: set[int]
    """The folders that have files."""

    @classmethod
    def of(cls, kept: cache.Kept) -> _Known:
        marks = kept.marks.filter("mark").select("folder", *cache.WINDOW, "at")
        first = kept.marks.filter(~pl.col("mark")).select("folder", "day").drop_nulls()
        month = pl.col("day").dt.month_start()
        covered = set(kept.zips.select("folder", month).unique().iter_rows())
        begins = dict(first.iter_rows())
        return cls(
            {(number, part, window): at for number, part, window, at in marks.iter_rows()},
            begins,
            covered,
            {number for number, _ in covered} | begins.keys(),
        )

    def lacks(self, folder: int, partitions: Iterable[Partition], month: Period) -> bool:
        """Say whether a month has no file in any partition, each listed when its files were due."""
        day = month.days.first
        if (folder, day) in self.covered or folder not in self.filled:
            return False
        due = month.days.last + MONTH_LATE
        asked = [self._asked(folder, partition, month) for partition in partitions]
        return all(at is not None and at.date() > due for at in asked)

    def _asked(self, folder: int, partition: Partition, month: Period) -> datetime | None:
        """Return when a month's files in one partition were asked for; the first daily file tells of those before."""
        if partition is Partition.MONTHLY:
            return self.asked.get((folder, "monthly", "all"))
        at = self.asked.get((folder, "daily", str(month.days.first.year)))
        if at is None and (first := self.first.get(folder)) and first > month.days.last:
            at = self.asked.get((folder, "daily", "first"))
        return at
