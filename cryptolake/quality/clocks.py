"""The clock of each data type: what its rows are held to, and the rows of a symbol-month counted by it.

==========================  ==============================================================
data type                   clock
==========================  ==============================================================
klines of every kind        the bars of their interval; of prices, only those made of samples
``fundingRate``             the hours that each row itself says to lie between two fundings
``metrics``                 five minutes
``bookDepth``               minutes (a snapshot about every 30 seconds)
``BVOLIndex``               seconds
``EOHSummary``              hours
trades, books, and the like  days: they come when they come, and their ids tell more
==========================  ==============================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval
from cryptolake.archive.grid import Beats, Grid, bar_number, opens_of, present_numbers
from cryptolake.archive.schemas import schema_of

if TYPE_CHECKING:
    from cryptolake.quality.survey import Survey, SymbolMonth

_CLOCKS: dict[DataType, tuple[Interval, str]] = {
    DataType.METRICS: (Interval.M5, "bars"),
    DataType.BOOK_DEPTH: (Interval.M1, "minutes"),
    DataType.BVOL_INDEX: (Interval.S1, "seconds"),
    DataType.EOH_SUMMARY: (Interval.H1, "hours"),
}
_ROUNDED: dict[DataType, str] = {DataType.FUNDING_RATE: "1m", DataType.BVOL_INDEX: "1s"}
"""What comes some milliseconds beside its time."""

_FUNDING = timedelta(hours=8)
"""The usual time between two fundings."""

_PRICES = frozenset(
    {DataType.MARK_PRICE_KLINES, DataType.INDEX_PRICE_KLINES, DataType.PREMIUM_INDEX_KLINES}
)

HALTING = frozenset({DataType.KLINES, DataType.TRADES, DataType.AGG_TRADES, DataType.BOOK_TICKER})
"""The data types whose rows stop when trading does."""


@dataclass(frozen=True)
class RowCount:
    """The rows of a symbol-month's asked days: how many, from when to when (UTC), and their numbers.

    ``empty`` are bars made of no sample, which are not in ``present``; ``thin`` counts those of less than half
    the samples that are usual in the month; ``beside`` are the bars before and after one that holds a row off
    the grid besides its own.
    """

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    present: pl.Series = field(default_factory=lambda: pl.Series("bar", [], dtype=pl.Int64))
    empty: frozenset[int] = frozenset()
    thin: int | None = None
    beside: frozenset[int] = frozenset()


def grid_of(month: SymbolMonth, survey: Survey) -> Grid:
    """Return what a symbol-month's rows are held to."""
    if month.folder.interval:
        return month.folder.interval
    data_type = month.folder.row.data_type
    if data_type is DataType.FUNDING_RATE:
        return _fundings(month, survey)
    return _CLOCKS[data_type][0] if data_type in _CLOCKS else Interval.D1


def unit_of(month: SymbolMonth) -> str:
    """Say what ``expected`` and ``missing`` count of a symbol-month."""
    if month.folder.interval:
        return "bars"
    data_type = month.folder.row.data_type
    if data_type is DataType.FUNDING_RATE:
        return "fundings"
    return _CLOCKS[data_type][1] if data_type in _CLOCKS else "days"


def rows_of(month: SymbolMonth, survey: Survey, grid: Grid, empty_days: pl.Series) -> RowCount:
    """Count the rows of the asked days; return also their first and last time and their numbers.

    ``empty_days`` are days of which a file was read that holds no row: nothing is missing where rows come when
    they come.
    """
    if not month.built:
        return RowCount(thin=0 if month.folder.row.data_type in _PRICES else None)
    data_type = month.folder.row.data_type
    time = schema_of(month.folder.row.market, data_type).time
    rows = survey.rows_of(month, month.days)
    if grid is Interval.D1 and month.folder.interval is None:
        return _by_day(survey.collected(month, _days(rows, time), engine="streaming"), empty_days)
    prices = data_type in _PRICES
    found = survey.collected(month, rows.select(time, *(["samples"] if prices else [])))
    times = found[time]
    if not len(times):
        return RowCount(thin=0 if prices else None)
    first, last = found.select(a=pl.col(time).min(), b=pl.col(time).max()).row(0)
    if data_type in _ROUNDED:
        times = times.dt.round(_ROUNDED[data_type])
    present = present_numbers(times, grid)
    if prices:
        return _of_samples(found, time, grid, RowCount(len(found), first, last, present))
    beside = _beside(times, grid) if month.folder.interval else frozenset[int]()
    return RowCount(len(found), first, last, present, beside=beside)


def _days(rows: pl.LazyFrame, time: str) -> pl.LazyFrame:
    # Trades by the million: only their days are kept.
    return rows.group_by(bar_number(pl.col(time), Interval.D1).alias("bar")).agg(
        pl.len(), pl.col(time).min().alias("first"), pl.col(time).max().alias("last")
    )


def _by_day(days: pl.DataFrame, empty: pl.Series) -> RowCount:
    first, last = days.select(pl.col("first").min(), pl.col("last").max()).row(0)
    known = pl.concat([days["bar"].cast(pl.Int64), empty]).unique().sort()
    return RowCount(int(days["len"].sum()), first, last, known)


def _of_samples(found: pl.DataFrame, time: str, grid: Grid, rows: RowCount) -> RowCount:
    """Leave out the bars of a price that are made of no sample, and count those of few."""
    samples = found["samples"].fill_null(0)
    usual = samples.median()
    if not isinstance(usual, float) or usual <= 0:  # files of a time without counts
        return RowCount(rows.count, rows.first, rows.last, rows.present, thin=0)
    none = present_numbers(found.filter(samples == 0)[time], grid)
    some = present_numbers(found.filter(samples > 0)[time], grid)
    empty = frozenset(none) - frozenset(some)
    thin = int((samples < usual / 2).sum())
    return RowCount(rows.count, rows.first, rows.last, some, empty, thin)


def _beside(times: pl.Series, grid: Grid) -> frozenset[int]:
    """Return the bars beside those that hold two rows, one of them off the grid."""
    if not isinstance(grid, Interval):
        return frozenset()
    numbers = times.to_frame("time").select(bar_number(pl.col("time"), grid).alias("bar"))["bar"]
    twice = numbers.is_duplicated()
    if not twice.any():
        return frozenset()
    some, opens = numbers.filter(twice), times.filter(twice)
    off = some.filter(opens_of(some, grid) != opens.cast(pl.Datetime("us", "UTC")))
    return frozenset(number + step for number in off for step in (-1, 1))


def _fundings(month: SymbolMonth, survey: Survey) -> Beats:
    """Return when fundings are due, by the hours that the month's rows say."""
    days = month.month.days
    seen: list[tuple[datetime, timedelta]] = []
    if month.built:
        rows = survey.rows_of(month, days).select(
            pl.col("time").dt.round(_ROUNDED[DataType.FUNDING_RATE]),
            pl.duration(hours=pl.col("funding_interval_hours").cast(pl.Int64)).alias("step"),
        )
        told = survey.collected(month, rows).unique("time", keep="last").sort("time")
        seen = [(time, step if step else _FUNDING) for time, step in told.iter_rows()]
    return Beats.of(seen, days.begin, days.end, _FUNDING)
