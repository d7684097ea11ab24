"""The grid of bars: a bar's number, its open time, and the numbers a span should have. Pure.

A bar's *number* is how many bars of its interval lie between the interval's anchor and its open time.
Fixed intervals count from 1970-01-01 UTC (``1w`` from a Monday), months from January 1970. An open time
off the grid, as the archive has beside exchange halts, counts as the bar it lies in.

What comes at times of its own, as fundings do, is held to :class:`Beats`: the number of one is its place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

from cryptolake.archive.enums import Interval

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Beats:
    """Times at which something is due, in order and apart by no fixed length; ``step`` goes on outside them."""

    times: tuple[datetime, ...]
    step: timedelta

    @classmethod
    def of(
        cls,
        seen: Iterable[tuple[datetime, timedelta]],
        begin: datetime,
        end: datetime,
        usual: timedelta,
    ) -> Beats:
        """Return the times due in ``[begin, end)``, from those seen, each with the step that it says.

        Where two neighbours say different steps, the longer one counts: the step changes at one of them.

        Parameters
        ----------
        seen
            Times and steps, in order.
        begin, end
            The span.
        usual
            The step where nothing was seen.

        Examples
        --------
        >>> day, hours = datetime(2025, 4, 1, tzinfo=UTC), timedelta(hours=1)
        >>> beats = Beats.of(
        ...     [(day, 8 * hours), (day + 8 * hours, 4 * hours)], day, day + 24 * hours, hours
        ... )
        >>> [time.hour for time in beats.times]
        [0, 8, 12, 16, 20]
        """
        rows = list(seen) or [(begin, usual)]
        first, step = rows[0]
        times = [first]
        while times[0] - step >= begin:
            times.insert(0, times[0] - step)
        for (_, before), (time, after) in pairwise(rows):
            step = max(before, after)
            while times[-1] + step < time:
                times.append(times[-1] + step)
            times.append(time)
        step = rows[-1][1]
        while times[-1] + step < end:
            times.append(times[-1] + step)
        return cls(tuple(times), step)

    def number(self, time: datetime) -> int:
        """Return the place of the last beat that is not after a time."""
        if time < self.times[0]:
            return (time - self.times[0]) // self.step
        if time >= self.times[-1]:
            return len(self.times) - 1 + (time - self.times[-1]) // self.step
        return bisect_right(self.times, time) - 1

    def time(self, number: int) -> datetime:
        """Return when a beat is due."""
        if number < 0:
            return self.times[0] + number * self.step
        beyond = number - len(self.times) + 1
        return self.times[-1] + beyond * self.step if beyond > 0 else self.times[number]


Grid = Interval | Beats
"""What rows are held to."""


def bar_number(time: pl.Expr, interval: Interval) -> pl.Expr:
    """Return the number of the bar that a time (``Datetime("us", "UTC")``) lies in.

    Examples
    --------
    >>> opens = pl.DataFrame({"t": [datetime(2024, 1, 31, 23, tzinfo=UTC)]})
    >>> opens.select(bar_number(pl.col("t"), Interval.MO1)).item()
    648
    """
    step = interval.length
    if step is None:
        year, month = time.dt.year().cast(pl.Int64), time.dt.month().cast(pl.Int64)
        return (year - 1970) * 12 + month - 1
    anchor = (_anchor(interval) - _EPOCH) // _MICROSECOND
    return (time.dt.epoch("us") - anchor).floordiv(step // _MICROSECOND)


def bar_open(time: pl.Expr, interval: Interval) -> pl.Expr:
    """Return the open time of the bar that a time (``Datetime("us", "UTC")``) lies in.

    Examples
    --------
    >>> sunday = pl.DataFrame({"t": [datetime(2024, 3, 3, 23, tzinfo=UTC)]})
    >>> sunday.select(bar_open(pl.col("t"), Interval.W1)).item()
    datetime.datetime(2024, 2, 26, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))
    """
    step = interval.length
    if step is None:
        return time.dt.truncate("1mo")
    anchor = (_anchor(interval) - _EPOCH) // _MICROSECOND
    number = bar_number(time, interval)
    opens = number * (step // _MICROSECOND) + anchor
    return opens.cast(pl.Datetime("us", "UTC"))


def bar_end(open_time: pl.Expr, interval: Interval) -> pl.Expr:
    """Return when a bar ends that opens at a time, on the grid or off it: a bar of a month a month later.

    Examples
    --------
    >>> opens = pl.DataFrame({"t": [datetime(2024, 2, 1, tzinfo=UTC)]})
    >>> opens.select(bar_end(pl.col("t"), Interval.MO1)).item()
    datetime.datetime(2024, 3, 1, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))
    """
    step = interval.length
    return open_time.dt.offset_by("1mo") if step is None else open_time + pl.lit(step)


def number_of(time: datetime, interval: Grid) -> int:
    """Return the number of the bar that one instant lies in.

    Examples
    --------
    >>> number_of(datetime(1970, 1, 1, 1, 30, tzinfo=UTC), Interval.H1)
    1
    """
    if isinstance(interval, Beats):
        return interval.number(time)
    step = interval.length
    if step is None:
        return (time.year - 1970) * 12 + time.month - 1
    return (time - _anchor(interval)) // step


def open_of(number: int, interval: Grid) -> datetime:
    """Return the open time of a bar, UTC.

    Examples
    --------
    >>> open_of(number_of(datetime(2024, 2, 29, tzinfo=UTC), Interval.W1), Interval.W1)
    datetime.datetime(2024, 2, 26, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(interval, Beats):
        return interval.time(number)
    step = interval.length
    if step is None:
        return datetime(1970 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return _anchor(interval) + number * step


def opens_of(numbers: pl.Series, interval: Interval) -> pl.Series:
    """Return the open times of many bars, ``Datetime("us", "UTC")``."""
    step = interval.length
    time = pl.Datetime("us", "UTC")
    if step is None:
        opens = [open_of(number, interval) for number in numbers]
        return pl.Series(numbers.name, opens, dtype=time)
    anchor = (_anchor(interval) - _EPOCH) // _MICROSECOND
    return (numbers.cast(pl.Int64) * (step // _MICROSECOND) + anchor).cast(time)


def expected_numbers(interval: Grid, begin: datetime, end: datetime) -> range:
    """Return the numbers of the bars that open in ``[begin, end)``, both UTC.

    Examples
    --------
    >>> len(expected_numbers(Interval.M1, _EPOCH, _EPOCH + timedelta(days=1)))
    1440
    """
    return range(
        _first_at(begin, interval), max(_first_at(end, interval), _first_at(begin, interval))
    )


def present_numbers(times: pl.Series, interval: Grid) -> pl.Series:
    """Return the sorted, unique bar numbers of open times, in any order and with repeats."""
    frame = times.to_frame("time").drop_nulls()
    if isinstance(interval, Beats):
        numbers = {interval.number(time) for time in frame["time"]}
        return pl.Series("bar", sorted(numbers), dtype=pl.Int64)
    return frame.select(bar_number(pl.col("time"), interval).alias("bar"))["bar"].unique().sort()


def _anchor(interval: Interval) -> datetime:
    return _MONDAY if interval is Interval.W1 else _EPOCH


def _first_at(time: datetime, interval: Grid) -> int:
    """Return the number of the first bar that opens at or after the time."""
    number = number_of(time, interval)
    return number if open_of(number, interval) == time else number + 1
