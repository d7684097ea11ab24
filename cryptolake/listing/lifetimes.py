"""Lives of symbols and of their intervals, from the archive's listing: few questions, and cached.

What is asked for a life, beyond what a plan asks anyway, is only what can change the answer: the year it
ends in, the years of a hole, whether other symbols go on, and whether another interval does. The rules are
in :mod:`cryptolake.archive.lives`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import Interval, Partition
from cryptolake.archive.lives import (
    Life,
    MonthFiles,
    Published,
    Reach,
    life_of,
    settled_without_asking,
    with_interval_stopped,
)
from cryptolake.archive.periods import Days
from cryptolake.archive.symbols import split_symbol
from cryptolake.errors import ListingError
from cryptolake.listing import cache
from cryptolake.listing.folders import Folder

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row
    from cryptolake.listing.listing import Listing
    from cryptolake.listing.snapshot import Listed

_LONG = (Interval.D1, Interval.H1, Interval.M1)
"""The intervals whose files tell how long a symbol was listed, the fewest rows first: most have them."""

_FIRST_YEAR = 2017
"""The year of the archive's first file."""

_REFERENCES = 4
"""Symbols that are asked how far the archive is, beside those of a call."""


def published_of(folders: Sequence[Folder], listed: Listed, days: Days | None) -> list[Published]:
    """Return what a listing says of each folder, by the month; ``days`` are those it was asked about."""
    daily, monthly = (pl.col("partition") == name for name in ("daily", "monthly"))
    by_month = (
        listed.zips.lazy()
        .group_by("folder", pl.col("day").dt.month_start().alias("month"))
        .agg(
            monthly.any().alias("monthly"),
            pl.col("day").filter(daily).min().alias("first"),
            pl.col("day").filter(daily).max().alias("last"),
        )
        .collect()
    )
    months: list[dict[date, MonthFiles]] = [{} for _ in folders]
    for number, month, *files in by_month.iter_rows():
        months[number][month] = MonthFiles(*files)
    facts = {number: (first, more) for number, first, more in listed.folders.iter_rows()}
    asked: dict[int, dict[int, bool]] = {}
    for number, more, year in listed.years().iter_rows():
        asked.setdefault(number, {})[year] = bool(more)
    published = []
    for number, folder in enumerate(folders):
        first, more = facts.get(number, (None, False))
        if days is None or Partition.DAILY not in folder.partitions:
            published.append(Published(months[number], first, None))
            continue
        mine = asked.get(number, {})
        years = _known(mine, first, days)
        followed = frozenset([max(mine)] if more and mine else ())
        published.append(Published(months[number], first, years, followed))
    return published


def _known(asked: Mapping[int, bool], first: date | None, days: Days) -> frozenset[int]:
    """Return the years whose daily files are known: those asked for, and those that these say are empty."""
    end = min((year for year, more in asked.items() if not more), default=9999)
    begin = first.year if first else 0
    span = range(max(days.first.year, _FIRST_YEAR), min(days.last.year, datetime.now(UTC).year) + 1)
    return frozenset(asked) | {year for year in span if year < begin or year > end}


@dataclass(frozen=True)
class Lifetimes:
    """Finds lives; asks the archive where what is known does not decide.

    Parameters
    ----------
    listing
        The archive's listing.
    today
        The UTC day that the listing is of.
    refresh, max_age
        How old a cached answer may be, as for a plan.
    """

    listing: Listing
    today: date
    refresh: bool = False
    max_age: timedelta | None = None

    def lives(
        self, folders: Sequence[Folder], published: Sequence[Published], within: Days | None = None
    ) -> list[Life]:
        """Return the life of each folder; judged by what is known where the archive does not answer.

        Parameters
        ----------
        folders
            Symbols, and an interval of each.
        published
            What the listing says of each folder.
        within
            The days that matter: only holes that meet them are looked into.
        """
        known = self._completed(folders, published, within)
        by_row: dict[str, list[int]] = {}
        for number, folder in enumerate(folders):
            by_row.setdefault(folder.row.dataset, []).append(number)
        reaches = {
            dataset: self._reach_with(folders[numbers[0]].row, [known[n] for n in numbers])
            for dataset, numbers in by_row.items()
        }
        lives = [
            self._life(folder, one, reaches[folder.row.dataset])
            for folder, one in zip(folders, known, strict=True)
        ]
        return self._with_intervals(folders, lives)

    def lives_of_symbols(
        self, row: Row, symbols: Sequence[str], *, around: Days | None = None
    ) -> list[Life]:
        """Return the life of each symbol of a row, whatever intervals the archive has of it.

        Parameters
        ----------
        row, symbols
            Of which symbols.
        around
            Days that are asked about: where there are no monthly files, holes are found in these years only.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        years = () if around is None else range(around.first.year, around.last.year + 1)
        known = self._published(row, symbols, years)
        reach = self._reach_with(row, list(known.values()))
        names = {symbol: Folder(row, symbol) for symbol in symbols}
        return [self._life(names[s], known.get(s, Published()), reach) for s in symbols]

    def reach(self, row: Row, years: Collection[int] = ()) -> Reach:
        """Return how far the archive is with a market and data type, by a few of its symbols.

        Those are the row's example symbol and others of great age where they are listed, and a few more from
        all over the names. ``years`` are looked into where there are no monthly files.

        Raises
        ------
        ListingError
            The archive does not answer, and no cached listing can stand in.
        """
        wanted = [(row, partition) for partition in row.partitions]
        levels = self.listing.symbol_levels(wanted, refresh=self.refresh, max_age=self.max_age)
        names = sorted({name for level in levels.values() for name in level.plain})
        return Reach.of(self._published(row, references(row, names), years).values())

    def _life(self, folder: Folder, published: Published, reach: Reach) -> Life:
        name = split_symbol(folder.row.market.value, folder.symbol)
        return life_of(
            published,
            reach,
            self.today,
            expiry=name.expiry,
            settled=name.settled,
            ends=folder.row.last_date,
        )

    def _reach_with(self, row: Row, published: Sequence[Published]) -> Reach:
        """Return how far the archive is: by what is known, and by other symbols where there is doubt."""
        reach = Reach.of(published)
        holes = [hole for one in published for hole in one.holes()]
        doubt = any(not settled_without_asking(one, self.today) for one in published)
        if not doubt and not holes:
            return reach
        years = {year for a, b in holes for year in range(a.year, b.year + 1)}
        try:
            return reach.together(self.reach(row, years))
        except ListingError:
            return reach

    def _asked(self, folders: Sequence[Folder], days: Days) -> list[Published]:
        listed = self.listing.listed(folders, days, refresh=self.refresh, max_age=self.max_age)
        return published_of(folders, listed, days)

    def _completed(
        self,
        folders: Sequence[Folder],
        published: Sequence[Published],
        within: Days | None = None,
        years: Collection[int] = (),
    ) -> list[Published]:
        """Ask for the years that decide where lives end and break, as far as the archive answers."""
        known = list(published)
        more = set(years)
        while groups := self._questions(folders, known, within, more):
            more = set()
            for year, numbers in groups.items():
                days = Days(date(year, 1, 1), date(year, 1, 1))
                try:
                    found = self._asked([folders[number] for number in numbers], days)
                except ListingError:
                    return known
                for number, answer in zip(numbers, found, strict=True):
                    known[number] = _together(known[number], answer, year)
        return known

    def _questions(
        self,
        folders: Sequence[Folder],
        known: Sequence[Published],
        within: Days | None,
        years: Collection[int],
    ) -> dict[int, list[int]]:
        """Return the years to ask about, each with the numbers of the folders that need it."""
        groups: dict[int, list[int]] = {}
        for number, one in enumerate(known):
            wanted = one.years_to_ask(within)
            if Partition.MONTHLY not in folders[number].partitions:
                wanted |= {year for year in years if not one.knows(date(year, 1, 1))}
            for year in wanted:
                if _FIRST_YEAR <= year <= self.today.year:
                    groups.setdefault(year, []).append(number)
        return groups

    def _published(
        self, row: Row, symbols: Sequence[str], years: Collection[int] = ()
    ) -> dict[str, Published]:
        """Return what is published of symbols, by an interval that each has, with its end and holes.

        Daily bars tell it. Symbols without any are asked for other intervals, so that a mirror with only
        some of them tells as much.
        """
        newest = min(row.last_date or self.today, self.today)
        found: dict[str, Published] = {}
        left = list(symbols)
        for interval in _intervals(row):
            if not left:
                break
            folders = [Folder(row, symbol, interval) for symbol in left]
            first = self._asked(folders, Days(newest, newest))
            known = self._completed(folders, first, None, years)
            found |= {f.symbol: one for f, one in zip(folders, known, strict=True) if one.covered}
            left = [symbol for symbol in left if symbol not in found]
        return found

    def _with_intervals(self, folders: Sequence[Folder], lives: Sequence[Life]) -> list[Life]:
        """Tell a stopped interval from a delisted symbol: by the folders, else by another interval."""
        named = list(lives)
        by_symbol: dict[tuple[str, str], list[Life]] = {}
        for folder, life in zip(folders, lives, strict=True):
            by_symbol.setdefault((folder.row.dataset, folder.symbol), []).append(life)
        for number, folder in enumerate(folders):
            for other in by_symbol[folder.row.dataset, folder.symbol]:
                named[number] = with_interval_stopped(named[number], other)
        ended = [
            number
            for number, folder in enumerate(folders)
            if folder.interval
            and named[number].state == "delisted"
            and not split_symbol(folder.row.market.value, folder.symbol).settled
        ]
        try:
            for number, other in self._other_intervals(folders, ended):
                named[number] = with_interval_stopped(named[number], other)
        except ListingError:  # they are then called delisted, which they may be
            return named
        return named

    def _other_intervals(
        self, folders: Sequence[Folder], numbers: Sequence[int]
    ) -> list[tuple[int, Life]]:
        """Return, by the folder's number, the life of another interval of its symbol: one that has files."""
        found: list[tuple[int, Life]] = []
        left = list(numbers)
        days = Days(self.today, self.today)
        for interval in _LONG:
            asking = [
                number
                for number in left
                if folders[number].interval is not interval
                and interval in folders[number].row.all_intervals
            ]
            if not asking:
                continue
            others = [Folder(folders[n].row, folders[n].symbol, interval) for n in asking]
            known = self._completed(others, self._asked(others, days), days)
            for number, folder, one in zip(asking, others, known, strict=True):
                if one.covered:
                    left.remove(number)
                    found.append((number, self._life(folder, one, Reach.of([one]))))
        return found


class KnownEnd(NamedTuple):
    """The newest day that cached listings know of, and the UTC day on which the archive was asked."""

    day: date
    asked: date


def known_end(listing: Listing, row: Row, folders: Sequence[Folder]) -> KnownEnd | None:
    """Return how far the archive was when it was asked last: by cached listings, and nothing is asked.

    Parameters
    ----------
    listing, row
        Of which archive, market and data type.
    folders
        Folders of it that the lake holds files of; the cached listing of the row's best-known symbol is
        looked at too.
    """
    interval = _intervals(row)[0]
    known = Folder(row, row.example_symbol, interval)
    some = list({folder.parts: folder for folder in (*folders, known)}.values())
    paths = {number: listing.folder_path(folder) for number, folder in enumerate(some)}
    kept = cache.read_whole_folders(listing.storage, paths)
    ends = [
        end
        for number, folder in enumerate(some)
        if (end := _kept_end(folder, *(part.filter(folder=number) for part in kept[:2])))
    ]
    return max(ends, default=None)


def _kept_end(folder: Folder, marks: pl.DataFrame, zips: pl.DataFrame) -> KnownEnd | None:
    """Return a folder's newest day by its cached windows; None where its end was not asked for."""
    windows = marks.filter("mark", pl.col("window") != "first").sort("window")
    newest = windows.group_by("partition").agg(pl.col("at", "more").last())
    wanted = {partition.value for partition in folder.partitions}
    if set(newest["partition"]) != wanted or newest["more"].any() or not zips.height:
        return None
    ends = pl.when(partition="monthly").then(pl.col("day").dt.month_end()).otherwise("day")
    day, asked = zips.select(ends.max()).item(), newest["at"].min()
    return KnownEnd(day, asked.date()) if isinstance(asked, datetime) else None


def _intervals(row: Row) -> list[Interval | None]:
    """Return the intervals that tell how long a symbol was listed, the best first."""
    if not row.has_interval:
        return [None]
    first = [interval for interval in _LONG if interval in row.all_intervals]
    return [*first, *(one for one in reversed(row.all_intervals) if one not in first)]


def references(row: Row, names: Sequence[str]) -> list[str]:
    """Return the symbols that tell how far the archive is.

    Examples
    --------
    >>> from cryptolake.archive.enums import DataType, Market
    >>> from cryptolake.archive.matrix import load_matrix
    >>> row = load_matrix().row(Market.SPOT, DataType.KLINES)
    >>> references(row, ["AAAUSDT", "BTCUSDT", "ETHUSDT", "ZZZUSDT"])
    ['BTCUSDT', 'ETHUSDT', 'AAAUSDT', 'ZZZUSDT']
    """
    listed = set(names)
    old = [row.example_symbol, "BTCUSDT", "ETHUSDT", "BTCUSD_PERP", "ETHUSD_PERP"]
    plain = [name for name in names if not split_symbol(row.market.value, name).expiry]
    step = max(1, (len(plain) - 1) // (_REFERENCES - 1))
    spread: Iterable[str] = [*plain[::step], *plain[-1:], *reversed(names)]
    chosen = dict.fromkeys(name for name in [*old, *spread] if name in listed)
    return list(chosen)[:_REFERENCES]


def _together(one: Published, more: Published, year: int) -> Published:
    """Add to what is known of a folder the answer about a year."""
    new = {m: files for m, files in more.months.items() if files.last or m not in one.months}
    return Published(
        {**one.months, **new},
        one.first_daily or more.first_daily,
        None if one.years is None else one.years | {year},
        one.followed | more.followed,
    )
