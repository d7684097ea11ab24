"""When a symbol lived in a month that was read: the listing's life, made exact by rows.

Some files go on after a symbol's end, with bars at one price and without a trade: a frozen run, no life.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.archive.grid import expected_numbers, number_of, open_of
from cryptolake.archive.lives import Life, ended_at, refined

if TYPE_CHECKING:
    from cryptolake.archive.grid import Grid
    from cryptolake.archive.periods import Period
    from cryptolake.quality.survey import Survey, SymbolMonth

_FROZEN = timedelta(days=1)
_FROZEN_BARS = 3
"""A frozen run is at least so long, and has at least so many bars."""

_FROZEN_ALIVE = timedelta(days=7)
"""So long it is at least where files go on: some pairs that live trade seldom."""

_TRADED = pl.col("volume") > 0


def life_of_month(
    month: SymbolMonth,
    survey: Survey,
    grid: Grid,
    frozen: range,
    rejected: Collection[int] = (),
) -> Life:
    """Return when a month's symbol lived, to the bar where the month's first and last day were read.

    Parameters
    ----------
    month, survey
        What was read.
    grid
        The grid of the month's bars.
    frozen
        The bars after the symbol's last trade.
    rejected
        The bars whose rows the files held and a rule refused: the symbol lived then.
    """
    life = month.folder.life
    sources = survey.sources_of(month).filter(pl.col("key").is_in(sorted(month.built)))
    first, last = sources["first_time"].min(), sources["last_time"].max()
    firsts = [*rejected, *([number_of(first, grid)] if isinstance(first, datetime) else [])]
    lasts = [*rejected, *([number_of(last, grid)] if isinstance(last, datetime) else [])]
    begin = open_of(min(firsts), grid) if firsts else None
    end = open_of(max(lasts) + 1, grid) if lasts else None
    if len(frozen):
        return ended_at(refined(life, month.month.days, begin, None), open_of(frozen.start, grid))
    return refined(life, month.month.days, begin, end)


def bars_in_life(expected: range, life: Life, grid: Grid) -> int:
    """Count the bars of a range that open within a life; all of them where nothing is known of it."""
    if not life.spans:
        return len(expected)
    count = 0
    for span in life.spans:
        start = expected_numbers(grid, span.begin, span.begin).start
        stop = expected_numbers(grid, span.end, span.end).start if span.end else expected.stop
        count += len(range(max(expected.start, start), min(expected.stop, stop)))
    return count


def frozen_run(month: SymbolMonth, survey: Survey, grid: Grid) -> range:
    """Return the bars of a month's klines after the symbol's last trade; none where it goes on.

    They count only where no later file has a trade: the month is the last one published, or those after it
    are built and have none either.
    """
    none = range(0)
    if month.folder.row.data_type is not DataType.KLINES or not month.built:
        return none
    newest = month.folder.life.newest
    if newest is None:
        return none
    after = _months_after(month, survey)
    if newest not in (after[-1].month if after else month.month).days:
        return none
    if any(_last_trade(later, survey) is not None for later in after):
        return none
    return _idle_run(month, survey, grid, ends_life=bool(after))


def _months_after(month: SymbolMonth, survey: Survey) -> list[SymbolMonth]:
    """Return the later months of the same series, without a month between them."""
    later: list[SymbolMonth] = []
    wanted = _next(month.month)
    for other in survey.months:
        if other.folder is month.folder and other.month == wanted and other.built:
            later.append(other)
            wanted = _next(wanted)
    return later


def _next(month: Period) -> Period:
    day = month.days.last + timedelta(days=1)
    return type(month).month(day.year, day.month)


def _last_trade(month: SymbolMonth, survey: Survey) -> datetime | None:
    """Return the open time of the month's last bar with a trade."""
    traded = survey.rows_of(month, month.month.days).filter(_TRADED)
    last = survey.collected(month, traded.select(pl.col("open_time").max())).item()
    return last if isinstance(last, datetime) else None


def _idle_run(month: SymbolMonth, survey: Survey, grid: Grid, *, ends_life: bool) -> range:
    """Return the bars after the month's last trade, if they are many enough to be no pause."""
    opens = pl.col("open_time")
    rows = survey.rows_of(month, month.month.days)
    times = rows.select(opens.min(), newest=opens.max(), last=opens.filter(_TRADED).max())
    first, newest, last = survey.collected(month, times).row(0)
    if not isinstance(first, datetime) or not isinstance(newest, datetime):
        return range(0)
    start = number_of(last, grid) + 1 if last else number_of(first, grid)
    run = range(start, number_of(newest, grid) + 1)
    if not len(run):
        return run
    least = _FROZEN_ALIVE if month.folder.life.state == "live" else _FROZEN
    long = open_of(run.stop, grid) - open_of(run.start, grid) >= least and len(run) >= _FROZEN_BARS
    return run if long or ends_life else range(0)
