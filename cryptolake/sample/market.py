"""The tape: every trade of a symbol, from which its trades, aggregate trades and klines are all made.

A day holds ``events`` aggregate trades of one to four trades each. Ids run on from day to day without a
hole, and a day's trades are a pure function of seed, symbol and day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.sample.instruments import Instrument, below, life, stream, waves

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days

DAY_US = 86_400_000_000
_MARKET = tuple((360 << n, 4_500 * 14**n // 10**n) for n in range(7))
"""How the whole market wanders: turns each 6 hours to 16 days, heights growing as those of a random walk."""

_BUSY = ((43_200, 700), (10_080, 300))

_TRADES_OF_EVENT = pl.lit(pl.Series([1, 1, 2, 1, 3, 1, 1, 4], dtype=pl.Int64))


@dataclass(frozen=True)
class Halt:
    """A stop of trading, in microseconds since 1970: the first instant without trades, and the next with."""

    begin: int
    end: int


def microseconds(moment: datetime) -> int:
    """Return a UTC moment as microseconds since 1970.

    Examples
    --------
    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC)) == DAY_US
    True
    """
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def day_number(day: date) -> int:
    """Return the days since 1970."""
    return (day - date(1970, 1, 1)).days


def price_series(seed: int, symbol: str) -> int:
    """Return the noise that moves a symbol's price: one for all contracts on the same asset."""
    return stream(seed, "price", re.split(r"USDT|USD_|USD$|BVOL", symbol)[0])


def level_at(time_ms: pl.Expr, instrument: Instrument, seed: int, extra: int = 0) -> pl.Expr:
    """Return the price at a time, in ticks divided by ``10**extra``."""
    asset = instrument.asset
    own = stream(seed, "price", asset) if asset else price_series(seed, instrument.symbol)
    drift = waves(time_ms, own, instrument.wander)
    if instrument.beta:
        drift += waves(time_ms, stream(seed, "market"), _MARKET) * instrument.beta // 1000
    level = instrument.level * 10**extra
    moved: pl.Expr = level + level // 1000 * drift // 1000
    if instrument.premium:
        moved += moved * premium_at(time_ms, instrument, seed) // 10**8
    return moved


def premium_at(time_ms: pl.Expr, instrument: Instrument, seed: int) -> pl.Expr:
    """Return how far a perpetual stands above its index, in 1e-8 of it."""
    series = stream(seed, "premium", instrument.market, instrument.asset or instrument.symbol)
    (_, constant), *turning = instrument.premium
    return waves(time_ms, series, tuple(turning)) + constant


def _swing(time_ms: pl.Expr, instrument: Instrument, seed: int) -> pl.Expr:
    """Return how busy a symbol is, in thousandths: from a tenth to four times as much as usual."""
    series = stream(seed, "swing", instrument.asset or instrument.symbol)
    return (1000 + waves(time_ms, series, _BUSY)).pow(2) // 1000 + 100


def make_tape(
    instrument: Instrument, days: Days, seed: int, halt: Halt | None = None
) -> pl.DataFrame:
    """Make the aggregate trades of some days.

    Returns
    -------
    pl.DataFrame
        agg_id, time (microseconds), price (ticks), maker (bool), first_id, last_id; in order.
    """
    events = instrument.events
    pattern = pl.select(slot=pl.int_range(events)).with_columns(
        size=_TRADES_OF_EVENT.gather(below(pl.col("slot"), stream("size", instrument.symbol), 8))
    )
    pattern = pattern.with_columns(before=pl.col("size").cum_sum() - pl.col("size"))
    a_day = int(pattern["size"].sum())
    numbers = pl.DataFrame({"day": range(day_number(days.first), day_number(days.last) + 1)})
    since = pl.col("day") - day_number(instrument.opens.date())
    frame = numbers.join(pattern, how="cross").select(
        agg_id=since * events + pl.col("slot") + 1,
        time=_time(events, stream(seed, "time", instrument.market, instrument.symbol), halt),
        first_id=since * a_day + pl.col("before") + 1,
        size=pl.col("size"),
    )
    opens, closes = life(instrument)
    alive = pl.col("time").is_between(microseconds(opens), microseconds(closes) - 1)
    series = stream(seed, "event", instrument.market, instrument.symbol)
    frame = frame.filter(alive).with_columns(
        level=level_at(pl.col("time") // 1000, instrument, seed, extra=3),
        jitter=below(pl.col("agg_id"), series, 81) - 40,
    )
    price = pl.col("level") + pl.col("level") // 1_000_000 * pl.col("jitter")
    return frame.select(
        "agg_id",
        "time",
        price=pl.max_horizontal(price // 1000, 1),
        maker=below(pl.col("agg_id"), series + 1, 2) == 0,
        first_id=pl.col("first_id"),
        last_id=pl.col("first_id") + pl.col("size") - 1,
    )


def _time(events: int, series: int, halt: Halt | None) -> pl.Expr:
    """Spread a day's events evenly with some noise; those of a day with a halt share what is left."""
    start = pl.col("day").cast(pl.Int64) * DAY_US
    index = pl.col("day").cast(pl.Int64) * events + pl.col("slot")
    if halt is None:
        slot = DAY_US // events
        even: pl.Expr = start + pl.col("slot") * slot + below(index, series, slot)
        return even
    halted = pl.col("day").cast(pl.Int64) == halt.begin // DAY_US
    length = halt.end - halt.begin
    slot_length = pl.when(halted).then((DAY_US - length) // events).otherwise(DAY_US // events)
    time = start + pl.col("slot") * slot_length + below(index, series, 1 << 30) % slot_length
    shift = pl.when(halted & (time >= halt.begin)).then(length).otherwise(0)
    moved: pl.Expr = time + shift
    return moved


def make_trades(tape: pl.DataFrame, instrument: Instrument, seed: int) -> pl.DataFrame:
    """Split the tape's events into trades, with their quantities.

    Returns
    -------
    pl.DataFrame
        id, agg_id, time, price, qty (lots of ``10**-qty_scale``), quote, maker; in order. ``quote`` is in
        ``10**-(price_scale + qty_scale)`` of the quote asset, or, coin-margined, in ``1e-8`` of the coin.
    """
    ids = pl.int_ranges(pl.col("first_id"), pl.col("last_id") + 1)
    kept = ["agg_id", "time", "price", "maker"]
    if instrument.swing:
        tape = tape.with_columns(busy=_swing(pl.col("time") // 1000, instrument, seed))
        kept.append("busy")
    frame = tape.select(*kept, id=ids).explode("id")
    series = stream(seed, "qty", instrument.market, instrument.symbol)
    lots = (1 + below(pl.col("id"), series, 97)) * (
        pl.when(below(pl.col("id"), series + 1, 23) == 0).then(40).otherwise(1)
    )
    if instrument.size > 1:
        lots = lots * instrument.size
    if instrument.swing:
        lots = pl.max_horizontal(lots * pl.col("busy") // 1000, 1)
    frame = frame.with_columns(qty=lots)
    if instrument.contract:
        worth = pl.col("qty") * (instrument.contract * 10 ** (8 + instrument.price_scale))
        quote = (worth + pl.col("price") // 2) // pl.col("price")
    else:
        quote = pl.col("price") * pl.col("qty")
    return frame.select("id", "agg_id", "time", "price", "qty", "maker", quote=quote)
