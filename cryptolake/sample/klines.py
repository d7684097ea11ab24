"""Lines of klines, trades and aggregate trades, as each market writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Market
from cryptolake.sample.formats import fixed, flag, padded, trimmed
from cryptolake.sample.market import microseconds

if TYPE_CHECKING:
    from cryptolake.sample.instruments import Instrument

MICROSECONDS_FROM = microseconds(datetime(2025, 1, 1, tzinfo=UTC))
"""When spot files went from milliseconds to microseconds."""

TRIMMED_FROM = microseconds(datetime(2022, 8, 11, tzinfo=UTC))
"""When futures trades lost the zeros at the end, and quote quantities their rounding to cents."""

_IGNORED_FROM = microseconds(datetime(2017, 12, 18, 13, tzinfo=UTC))
"""When the last column of spot klines, which means nothing, became 0."""

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
