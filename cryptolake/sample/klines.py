"""Klines, trades and aggregate trades: the grid of bars, what is in them, and their lines in each market."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.sample.formats import fixed, flag, padded, trimmed
from cryptolake.sample.instruments import Instrument, below, life, stream, waves
from cryptolake.sample.market import Halt, level_at, microseconds, premium_at

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days

MICROSECONDS_FROM = microseconds(datetime(2025, 1, 1, tzinfo=UTC))
"""When spot files went from milliseconds to microseconds."""

TRIMMED_FROM = microseconds(datetime(2022, 8, 11, tzinfo=UTC))
"""When futures trades lost the zeros at the end, and quote quantities their rounding to cents."""

_IGNORED_FROM = microseconds(datetime(2017, 12, 18, 13, tzinfo=UTC))
"""When the last column of spot klines, which means nothing, became 0."""

_MINUTE = 60_000_000
_DAY = 1440 * _MINUTE
_WEEK_SHIFT = 3 * _DAY  # 1970 began on a Thursday
_OFF_GRID_BARS = 3

KLINES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
AGG_TRADES_HEADER = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
)


def trades_header(market: Market) -> str:
    """Return the header of trades: coin-margined ones name the base quantity.

    Examples
    --------
    >>> trades_header(Market.FUTURES_CM)
    'id,price,qty,base_qty,time,is_buyer_maker'
    """
    kind = "base" if market is Market.FUTURES_CM else "quote"
    return f"id,price,qty,{kind}_qty,time,is_buyer_maker"


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
        if instrument.premium:
            return premium_at(time_ms, instrument, seed) + jitter * 2
        return waves(time_ms, series, ((480, 60_000), (30, 20_000))) + jitter * 20
    if data_type is DataType.INDEX_PRICE_KLINES:
        instrument = replace(instrument, premium=())
    price = level_at(time_ms, instrument, seed, extra=8 - instrument.price_scale)
    return price + price // 100_000_000 * jitter


def time_text(time: pl.Expr, market: Market, by: pl.Expr | None = None) -> pl.Expr:
    """Write a time in the unit of its file, which the time ``by`` decides: a bar's is its open."""
    coarse = time // 1000
    if market is not Market.SPOT:
        return coarse.cast(pl.String)
    fine = (time if by is None else by) >= MICROSECONDS_FROM
    return pl.when(fine).then(time).otherwise(coarse).cast(pl.String)


def _close_text(market: Market) -> pl.Expr:
    """Write a bar's last instant: a millisecond or a microsecond before its end."""
    coarse = (pl.col("end") // 1000 - 1).cast(pl.String)
    if market is not Market.SPOT:
        return coarse
    fine = (pl.col("end") - 1).cast(pl.String)
    return pl.when(pl.col("open_time") >= MICROSECONDS_FROM).then(fine).otherwise(coarse)


def _line(time: pl.Expr, *cells: pl.Expr | str) -> list[pl.Expr]:
    parts = [pl.lit(cell) if isinstance(cell, str) else cell for cell in cells]
    return [time.alias("time"), pl.concat_str(parts, separator=",").alias("text")]


def kline_lines(bars: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """Write klines: spot padded to 8 decimals, futures as wide as tick and lot size.

    Returns
    -------
    pl.DataFrame
        time (microseconds, the open), text (one line without its end).
    """
    market, tick, lot = instrument.market, instrument.price_scale, instrument.qty_scale
    quote = 8 if instrument.contract else tick + lot
    column = pl.col
    if market is Market.SPOT:
        prices = [padded(column(name), tick) for name in ("open", "high", "low", "close")]
        volumes = [padded(column(name), lot) for name in ("volume", "taker_volume")]
        quotes = [padded(column(name), quote) for name in ("quote", "taker_quote")]
    else:
        prices = [fixed(column(name), tick) for name in ("open", "high", "low", "close")]
        volumes = [fixed(column(name), lot) for name in ("volume", "taker_volume")]
        quotes = [fixed(column(name), quote) for name in ("quote", "taker_quote")]
    count = column("count").cast(pl.String)
    last = pl.lit("0")
    if market is Market.SPOT:
        early = column("open_time") < _IGNORED_FROM
        last = pl.when(early).then(padded(column("quote"), quote)).otherwise(last)
    return bars.select(
        _line(
            column("open_time"),
            time_text(column("open_time"), market),
            *prices,
            volumes[0],
            _close_text(market),
            quotes[0],
            count,
            volumes[1],
            quotes[1],
            last,
        )
    )


def price_bar_lines(bars: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """Write candles of mark, index or premium: 8 decimals, volumes a bare ``0``."""
    prices = [fixed(pl.col(name), 8) for name in ("open", "high", "low", "close")]
    market, opened = instrument.market, pl.col("open_time")
    count, zero = pl.col("count").cast(pl.String), pl.lit("0")
    cells = (*prices, zero, _close_text(market), zero, count, zero, zero, zero)
    return bars.select(_line(opened, time_text(opened, market), *cells))


def trade_lines(trades: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """Write single trades."""
    tick, lot = instrument.price_scale, instrument.qty_scale
    time, maker = pl.col("time"), pl.col("maker")
    number = pl.col("id").cast(pl.String)
    when = time_text(time, instrument.market)
    quote = pl.col("quote")
    if instrument.market is Market.SPOT:
        cells = [padded(pl.col("price"), tick), padded(pl.col("qty"), lot)]
        cells += [padded(quote, tick + lot), when, flag(maker, capital=True), pl.lit("True")]
        return trades.select(_line(time, number, *cells))
    scale = 8 if instrument.contract else tick + lot
    cells = [_futures(pl.col("price"), tick), _futures(pl.col("qty"), lot)]
    cents = fixed(quote // 10 ** max(scale - 2, 0), min(scale, 2))
    text = fixed(quote, 8) if instrument.contract else trimmed(quote, scale)
    old = pl.when(time < TRIMMED_FROM).then(cents if not instrument.contract else text)
    cells += [old.otherwise(text), when, flag(maker, capital=False)]
    return trades.select(_line(time, number, *cells))


def agg_trade_lines(trades: pl.DataFrame, instrument: Instrument) -> pl.DataFrame:
    """Write aggregate trades, added up from the single ones."""
    tick, lot, market = instrument.price_scale, instrument.qty_scale, instrument.market
    frame = trades.group_by("agg_id", maintain_order=True).agg(
        pl.col("time", "price", "maker").first(),
        qty=pl.col("qty").sum(),
        first_id=pl.col("id").first(),
        last_id=pl.col("id").last(),
    )
    number = pl.col("agg_id").cast(pl.String)
    ids = [pl.col(name).cast(pl.String) for name in ("first_id", "last_id")]
    when, maker = time_text(pl.col("time"), market), pl.col("maker")
    if market is Market.SPOT:
        cells = [padded(pl.col("price"), tick), padded(pl.col("qty"), lot), *ids, when]
        cells += [flag(maker, capital=True), pl.lit("True")]
    else:
        cells = [_futures(pl.col("price"), tick), _futures(pl.col("qty"), lot), *ids, when]
        cells += [flag(maker, capital=False)]
    return frame.select(_line(pl.col("time"), number, *cells))


def _futures(value: pl.Expr, scale: int) -> pl.Expr:
    """Write a futures price or quantity: of fixed width in old files, trimmed since."""
    old = pl.when(pl.col("time") < TRIMMED_FROM).then(fixed(value, scale))
    return old.otherwise(trimmed(value, scale))


def has_header(market: Market, first: date, *, monthly: bool, sampled: bool) -> bool:
    """Whether a file of klines, trades or candles has a header line.

    Spot never has; futures have since August 2022. Daily files of sampled prices (mark, index, premium)
    always do.

    Examples
    --------
    >>> has_header(Market.FUTURES_UM, date(2022, 5, 4), monthly=False, sampled=False)
    False
    """
    if market is Market.SPOT:
        return False
    if sampled and not monthly:
        return True
    return first >= (date(2022, 9, 1) if monthly else date(2022, 8, 11))
