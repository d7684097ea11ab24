"""Folders of the archive, the windows in which each is listed, and what a window's answer is.

A *folder* is a symbol's files of one data type (and one interval). It is listed in *windows*, each
usually one request to S3, and all of them are sent at the same time: its monthly files, its daily files
of a calendar year, and its first daily file. So a plan for two months of one symbol does not page
through nine years, and nine years take no longer than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptolake.archive.enums import Partition
from cryptolake.archive.keys import prefix_of, stem_of
from cryptolake.errors import ListingError

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Interval, Market
    from cryptolake.archive.matrix import Row
    from cryptolake.archive.periods import Days
    from cryptolake.listing.pages import Object
    from cryptolake.query import Selection

CLOCKS_DIFFER = timedelta(minutes=15)
"""How far the clocks of two machines that share a lake may differ: S3 allows as much."""

MAX_AGE = timedelta(hours=1)
"""How old a cached listing may be before the archive is asked again. It publishes once a day."""

_SHOWN = 120
"""Characters of an odd name in a message."""

NO_SIZE = -1
"""The size of a listed object whose size cannot be true; it is never planned."""

_FIRST_YEAR = 2017
"""The year of the archive's first file."""


FolderParts = tuple["Market", "DataType", str, "Interval | None"]
"""What names a folder: market, data type, symbol and interval."""


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
        return stem_of(self.row, partition, self.symbol, self.interval)

    def prefix(self, partition: Partition) -> str:
        """Return the key prefix of the folder's files in one partition."""
        return prefix_of(self.row, partition, self.symbol, self.interval)

    @property
    def parts(self) -> FolderParts:
        """What names the folder: market, data type, symbol and interval."""
        return self.row.market, self.row.data_type, self.symbol, self.interval

    def windows(self, days: Days | None) -> list[tuple[str, str]]:
        """Return the windows that tell of some days (of every year when None): partition and name."""
        found = [("monthly", "all")] if Partition.MONTHLY in self.partitions else []
        if Partition.DAILY in self.partitions:
            first = max(days.first.year, _FIRST_YEAR) if days else self.row.first_date.year
            last = min(days.last.year if days else 9999, datetime.now(UTC).year)
            years = [("daily", str(year)) for year in range(first, last + 1)]
            found += [("daily", "first"), *years]
        return found


class Window(NamedTuple):
    """One window's answer: when it was asked (UTC), its objects, and whether the folder goes on after it."""

    at: datetime
    objects: list[Object]
    more: bool = False


def folders_of(selection: Selection, symbols: Mapping[str, Iterable[str]]) -> Iterator[Folder]:
    """Yield the folders of a selection, given each dataset's symbols."""
    for row in selection.rows():
        intervals: Iterable[Interval | None] = (None,)
        if row.has_interval:
            intervals = [i for i in selection.intervals if i in row.all_intervals]
        for symbol in symbols[row.dataset]:
            for interval in intervals:
                yield Folder(row, symbol, interval)


def shown(name: str) -> str:
    r"""Quote a listed name in a message: not too long, and without signs that a terminal obeys.

    Examples
    --------
    >>> print(shown("A" * 40), shown("a\x1b[31m"))
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' 'a\x1b[31m'
    """
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


def left_out(dataset: str, odd: Iterable[str]) -> str:
    """Say that listed names cannot be symbols of a lake.

    Examples
    --------
    >>> left_out("spot_klines", ["A=B", ".."])
    "2 listed names of spot_klines cannot be symbols and are left out: '..', 'A=B'"
    """
    names = sorted(odd)
    examples = ", ".join(map(shown, names[:3]))
    more = ", ..." if len(names) > 3 else ""
    what = "name" if len(names) == 1 else "names"
    verb = "cannot be a symbol and is" if len(names) == 1 else "cannot be symbols and are"
    return f"{len(names)} listed {what} of {dataset} {verb} left out: {examples}{more}"


def nothing_kept(trouble: ListingError | None, why: str) -> ListingError:
    """Add to what went wrong that no cached listing helps."""
    if trouble is None:
        message = f"the archive's listing is not complete: {why}."
        return ListingError(message, why=why)
    message = f"{trouble} No cached listing stands in: {why}."
    return ListingError(message, **trouble.facts)
