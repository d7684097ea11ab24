"""Parts of days that ticks lack, which a sibling file may have: ids that are not there, and hours without a row.

Ids know best: a hole in them says exactly what is lost. Where a file ends early, no later id tells of it, so
whole hours without a row count as well, in a month whose days have rows in nearly every hour. Days without
any row are gaps of :func:`cryptolake.quality.report.gaps`, and hours of a known halt are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Interval
from cryptolake.archive.grid import bar_number, open_of
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of
from cryptolake.quality.gaps import missing_runs
from cryptolake.quality.halts import load_halts
from cryptolake.quality.trade_ids import IdHole, id_holes

if TYPE_CHECKING:
    from cryptolake.quality.survey import Survey, SymbolMonth

_BUSY = 0.9
"""The share of its hours in which a month's days have rows, from which on an hour without any is odd."""
_HOURS_A_DAY = 24
_TICKS = frozenset({DataType.TRADES, DataType.AGG_TRADES, DataType.BOOK_TICKER})


class TickHole(NamedTuple):
    """Ids or hours that a symbol-month lacks: between two rows, or from one hour to another (UTC)."""

    month: SymbolMonth
    unit: str
    first: datetime
    last: datetime
    numbers: range
    detail: str
    siblings: tuple[str, ...]

    def within(self, others: Iterable[TickHole]) -> int:
        """Return how many of the hole's ids or hours others, found later, still lack."""
        mine = self.numbers
        return sum(
            max(0, min(mine.stop, other.numbers.stop) - max(mine.start, other.numbers.start))
            for other in others
            if (other.month.path, other.unit) == (self.month.path, self.unit)
        )

    @property
    def days(self) -> Days:
        """The days that it lies in."""
        return Days(
            self.first.date(), max(self.first, self.last - timedelta(microseconds=1)).date()
        )


def tick_holes(seen: Survey) -> list[TickHole]:
    """Return the holes of a survey's ticks that a file of the other partition could fill."""
    both = {
        id(month): month
        for month in seen.months
        if month.built and not month.folder.interval and len(month.folder.row.partitions) > 1
    }
    if not both:
        return []
    found = [_of_ids(hole) for hole in id_holes(seen) if id(hole.month) in both]
    for month in both.values():
        known = [hole for hole in found if hole.month.folder is month.folder]
        found += (
            hole
            for hole in _silent_hours(month, seen)
            if not any(hole.first < ids.last and ids.first < hole.last for ids in known)
        )
    return found


def _of_ids(found: IdHole) -> TickHole:
    before, after = found.hole
    numbers = range(before.number + 1, after.number)
    what = found.counter.first
    detail = f"{what} {numbers.start} to {numbers.stop - 1} are not there"
    hole = TickHole(found.month, "ids", before.time, after.time, numbers, detail, ())
    return hole._replace(siblings=_siblings(found.month, hole.days))


def _siblings(month: SymbolMonth, days: Days) -> tuple[str, ...]:
    """Return the files of some days that the month is not made of."""
    near = month.folder.known.filter(
        (pl.col("first") <= days.last) & (pl.col("last") >= days.first)
    )
    return tuple(key for key in near["key"] if key not in month.built)


def silent_hours(month: SymbolMonth, seen: Survey) -> int | None:
    """Count the hours without a row of a month's days that have some; None for what is no tick.

    They count only where that is rare in the month, and inside the symbol's life.
    """
    if month.folder.row.data_type not in _TICKS:
        return None
    runs = _odd_hours(month, seen) if month.built else []
    return sum(len(run) for run in runs if not _after_end(run, month))


def _silent_hours(month: SymbolMonth, seen: Survey) -> Iterator[TickHole]:
    """Yield the hours without a row as holes."""
    for run in _odd_hours(month, seen):
        first, last = open_of(run.start, Interval.H1), open_of(run.stop, Interval.H1)
        detail = f"no row from {first:%F %R} to {last:%F %R}"
        hole = TickHole(month, "hours", first, last, run, detail, ())
        siblings = _siblings(month, hole.days)
        # Hours after the very last row may be after the symbol's end: they are holes where a sibling can tell.
        if siblings or not _after_end(run, month):
            yield hole._replace(siblings=siblings)


def _odd_hours(month: SymbolMonth, seen: Survey) -> list[range]:
    """Return the hours without a row of the days that have some, where that is rare in the month."""
    time = schema_of(month.folder.row.market, month.folder.row.data_type).time
    numbers = bar_number(pl.col(time), Interval.H1).alias("hour")
    rows = seen.rows_of(month, month.days).select(numbers).unique()
    hours = seen.collected(month, rows, engine="streaming")["hour"].sort()
    days = (hours // _HOURS_A_DAY).unique().sort()
    runs = [
        run
        for day in days
        for run in missing_runs(hours, range(day * _HOURS_A_DAY, (day + 1) * _HOURS_A_DAY))
        if not _before_listing(run, month) and not _halted(run, month)
    ]
    expected = len(days) * _HOURS_A_DAY
    rare = runs and len(hours) >= _BUSY * (expected - max(map(len, runs)))
    return runs if rare else []


def _before_listing(run: range, month: SymbolMonth) -> bool:
    """Say whether hours begin a day on which the symbol was listed: nothing is expected before its first row."""
    begins = [span.first for span in month.folder.life.spans] or month.folder.known["first"].head(1)
    return run.start % _HOURS_A_DAY == 0 and open_of(run.start, Interval.H1).date() in begins


def _after_end(run: range, month: SymbolMonth) -> bool:
    """Say whether hours end the last day of the symbol, or of what is known of it."""
    ends = {span.last for span in month.folder.life.spans} | {month.folder.known["last"].max()}
    return run.stop % _HOURS_A_DAY == 0 and open_of(run.start, Interval.H1).date() in ends


def _halted(run: range, month: SymbolMonth) -> bool:
    first, end = open_of(run.start, Interval.H1), open_of(run.stop, Interval.H1)
    halts = load_halts().of(month.folder.row.market)
    return any(halt.start < end and first < halt.end for halt in halts)
