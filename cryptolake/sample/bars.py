"""Bars of any interval: klines from the tape, and candles of mark price, index price and premium."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval
from cryptolake.sample.instruments import Instrument, life
from cryptolake.sample.market import Halt, level_at, microseconds
from cryptolake.sample.noise import below, stream, waves

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days

_MINUTE = 60_000_000
_DAY = 1440 * _MINUTE
_WEEK_SHIFT = 3 * _DAY  # 1970 began on a Thursday
_OFF_GRID_BARS = 3


def length_us(interval: Interval) -> int:
    """Return an interval's length in microseconds; a month counts as 31 days."""
    length = interval.length or timedelta(days=31)
    return length // timedelta(microseconds=1)


def open_of(time: pl.Expr, interval: Interval) -> pl.Expr:
    """Return the open of the bar that a time lies in: weeks begin on Monday, 3 days count from 1970.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> monday = microseconds(datetime(2024, 12, 30, tzinfo=UTC))
    >>> frame = pl.DataFrame({"time": [monday, monday + 7 * _DAY - 1]})
    >>> frame.select(open_of(pl.col("time"), Interval.W1) == monday).to_series().all()
    True
    """
    if interval is Interval.MO1:
        return time.cast(pl.Datetime("us")).dt.truncate("1mo").cast(pl.Int64)
    length = length_us(interval)
    shift = _WEEK_SHIFT if interval is Interval.W1 else 0
    return (time + shift) // length * length - shift


def first_open(days: Days, interval: Interval) -> int:
    """Return where the bars begin that a month's files hold: a bar belongs to the month it opens in."""
    begin, month = microseconds(days.begin), microseconds(days.begin.replace(day=1))
    if interval is Interval.MO1:
        return month
    length = length_us(interval)
    shift = _WEEK_SHIFT if interval is Interval.W1 else 0
    opened = (begin + shift) // length * length - shift
    return opened if opened >= month else opened + length


def make_grid(
    days: Days, interval: Interval, instrument: Instrument, halt: Halt | None
) -> pl.DataFrame:
    """Return the bars to publish, as open and end (excluded): whole ones, while the symbol lives."""
    opens, closes = life(instrument)
    begin, stop = first_open(days, interval), microseconds(days.end)
    length = length_us(interval)
    frame = pl.DataFrame({"open_time": range(begin, stop, length)}, {"open_time": pl.Int64})
    frame = frame.with_columns(open_time=open_of(pl.col("open_time"), interval)).unique(
        maintain_order=True
    )
    end = pl.col("open_time") + length
    if interval is Interval.MO1:
        moment = pl.col("open_time").cast(pl.Datetime("us"))
        end = moment.dt.offset_by("1mo").cast(pl.Int64)
    frame = frame.with_columns(end=end)
    if halt is not None:
        frame = _halted(frame, interval, length, halt)
    return frame.filter(
        pl.col("end") > max(microseconds(opens), microseconds(days.begin)),
        pl.col("open_time") < microseconds(closes),
        pl.col("end") <= stop,
    )


def _halted(frame: pl.DataFrame, interval: Interval, length: int, halt: Halt) -> pl.DataFrame:
    """Take a halt's bars away; the bar it cuts closes early; the hours after it leave the grid."""
    opened = pl.col("open_time")
    cut = (opened < halt.begin) & (pl.col("end") > halt.begin) & (pl.col("end") <= halt.end)
    inside = (opened >= halt.begin) & (pl.col("end") <= halt.end)
    if interval is not Interval.H1:
        frame = frame.filter(~inside)
        return frame.with_columns(end=pl.when(cut).then(halt.begin).otherwise(pl.col("end")))
    back = off_grid_end(halt)
    shifted = pl.DataFrame({"open_time": range(halt.end, back, length)}, {"open_time": pl.Int64})
    shifted = shifted.with_columns(end=pl.min_horizontal(opened + length, back))
    on_grid = frame.filter((opened < halt.begin) | (opened >= back)).with_columns(
        end=pl.when(cut).then(halt.begin).otherwise(pl.col("end"))
    )
    return pl.concat([on_grid, shifted]).sort("open_time")


def off_grid_end(halt: Halt) -> int:
    """Return when hourly bars are back on the grid after a halt."""
    return (halt.end // (60 * _MINUTE) + _OFF_GRID_BARS + 1) * 60 * _MINUTE


def make_klines(trades: pl.DataFrame, grid: pl.DataFrame) -> pl.DataFrame:
    """Aggregate trades into the grid's bars; a bar without trades repeats the close before it.

    Returns
    -------
    pl.DataFrame
        open_time, end, open, high, low, close, volume, quote, count, taker_volume, taker_quote.
    """
    taker = ~pl.col("maker")
    bars = (
        trades.filter(pl.col("time") < grid["end"].max())
        .join_asof(
            grid.rename({"open_time": "bar"}),
            left_on="time",
            right_on="bar",
            check_sortedness=False,
        )
        .group_by("bar", maintain_order=True)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("qty").sum(),
            quote=pl.col("quote").sum(),
            count=pl.len().cast(pl.Int64),
            taker_volume=pl.col("qty").filter(taker).sum(),
            taker_quote=pl.col("quote").filter(taker).sum(),
        )
    )
    before = bars.filter(pl.col("bar").is_null())["close"].to_list()
    sums = ("volume", "quote", "count", "taker_volume", "taker_quote")
    full = grid.join(bars, left_on="open_time", right_on="bar", how="left", maintain_order="left")
    last = pl.col("close").forward_fill()
    last = last.fill_null(pl.lit(before[0]) if before else pl.col("open").drop_nulls().first())
    return full.with_columns(pl.col(name).fill_null(0) for name in sums).with_columns(
        pl.col(name).fill_null(last) for name in ("open", "high", "low", "close")
    )


def make_price_minutes(
    instrument: Instrument, data_type: DataType, days: Days, seed: int
) -> pl.DataFrame:
    """Make the minutes of a price that is sampled, not traded; in 1e-8.

    Returns
    -------
    pl.DataFrame
        time, open, high, low, close.
    """
    # One minute more than wanted: the last one's close is the next one's open.
    begin, end = microseconds(days.begin) // _MINUTE, microseconds(days.end) // _MINUTE
    minutes = pl.int_range(begin, end + 1)
    frame = pl.select(minute=minutes).with_columns(time=pl.col("minute") * _MINUTE)
    series = stream(seed, data_type, instrument.market, instrument.symbol)
    frame = frame.with_columns(
        open=_sample(instrument, data_type, seed, series),
        up=below(pl.col("minute"), series + 1, 1_000),
        down=below(pl.col("minute"), series + 2, 1_000),
    )
    frame = frame.with_columns(close=pl.col("open").shift(-1)).head(end - begin)
    top, bottom = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    if data_type is DataType.PREMIUM_INDEX_KLINES:
        high, low = top + pl.col("up") * 20, bottom - pl.col("down") * 20
    else:
        high = top + top // 10_000_000 * pl.col("up")
        low = bottom - bottom // 10_000_000 * pl.col("down")
    return frame.select("time", "open", high=high, low=low, close=pl.col("close"))


def make_price_bars(minutes: pl.DataFrame, data_type: DataType, grid: pl.DataFrame) -> pl.DataFrame:
    """Aggregate the minutes of a sampled price into the grid's bars.

    Returns
    -------
    pl.DataFrame
        open_time, end, open, high, low, close, count (of samples).
    """
    per_minute = 12 if data_type is DataType.PREMIUM_INDEX_KLINES else 60
    joined = minutes.filter(pl.col("time") < grid["end"].max()).join_asof(
        grid.rename({"open_time": "bar"}), left_on="time", right_on="bar", check_sortedness=False
    )
    bars = joined.group_by("bar", maintain_order=True).agg(
        open=pl.col("open").first(),
        high=pl.col("high").max(),
        low=pl.col("low").min(),
        close=pl.col("close").last(),
        count=pl.len().cast(pl.Int64) * per_minute,
    )
    return grid.join(bars, left_on="open_time", right_on="bar", how="inner", maintain_order="left")


def _sample(instrument: Instrument, data_type: DataType, seed: int, series: int) -> pl.Expr:
    """Return the price at each minute's beginning, in 1e-8."""
    time_ms = pl.col("time") // 1000
    jitter = below(pl.col("minute"), series, 2001) - 1000
    if data_type is DataType.PREMIUM_INDEX_KLINES:
        return waves(time_ms, series, ((480, 60_000), (30, 20_000))) + jitter * 20
    price = level_at(time_ms, instrument, seed, extra=8 - instrument.price_scale)
    return price + price // 100_000_000 * jitter
