"""Lines of everything that is neither a bar nor a trade: funding, metrics, book, liquidations, options."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl

from cryptolake.periods import Days
from cryptolake.sample.instruments import Instrument, life
from cryptolake.sample.noise import below, stream, wave
from cryptolake.sample.options import EOH_HEADER, eoh_lines
from cryptolake.sample.tape import DAY_US, level_at, microseconds
from cryptolake.sample.text import clock, fixed, padded
from cryptolake.vocabulary import DataType

HEADERS = {
    DataType.FUNDING_RATE: "calc_time,funding_interval_hours,last_funding_rate",
    DataType.METRICS: (
        "create_time,symbol,sum_open_interest,sum_open_interest_value,"
        "count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,"
        "count_long_short_ratio,sum_taker_long_short_vol_ratio"
    ),
    DataType.BOOK_DEPTH: "timestamp,percentage,depth,notional",
    DataType.BOOK_TICKER: (
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,"
        "transaction_time,event_time"
    ),
    DataType.LIQUIDATION_SNAPSHOT: (
        "time,side,order_type,time_in_force,original_quantity,price,average_price,"
        "order_status,last_fill_quantity,accumulated_fill_quantity"
    ),
    DataType.BVOL_INDEX: "calc_time,symbol,base_asset,quote_asset,index_value",
    DataType.EOH_SUMMARY: EOH_HEADER,
}
"""The header each of these data types always has."""

_DOUBLED = Days(date(2020, 9, 1), date(2021, 1, 1))
_WIDE_FROM = microseconds(datetime(2026, 1, 1, tzinfo=UTC))
_INDEX = pl.col("index")


def lines(data_type: DataType, instrument: Instrument, days: Days, seed: int) -> pl.DataFrame:
    """Return a data type's lines: time (microseconds) and text; days in order, rows as published."""
    if data_type is DataType.EOH_SUMMARY:
        return eoh_lines(instrument, days, seed)
    series = stream(seed, data_type, instrument.market, instrument.symbol)
    return _MAKERS[data_type](instrument, days, seed, series)


def _every(step: timedelta, days: Days, instrument: Instrument) -> pl.DataFrame:
    """Return regular times while the symbol lives: index (counted from 1970), time, time_ms."""
    length = step // timedelta(microseconds=1)
    opens, closes = (microseconds(moment) for moment in life(instrument))
    span = pl.int_range(microseconds(days.begin) // length, microseconds(days.end) // length)
    frame = pl.select(index=span).with_columns(time=pl.col("index") * length)
    alive = pl.col("time").is_between(opens, closes - 1)
    return frame.filter(alive).with_columns(time_ms=pl.col("time") // 1000)


def _joined(frame: pl.DataFrame, *cells: pl.Expr | str) -> pl.DataFrame:
    parts = [pl.lit(cell) if isinstance(cell, str) else cell.cast(pl.String) for cell in cells]
    return frame.select("time", text=pl.concat_str(parts, separator=","))


def _funding(instrument: Instrument, days: Days, _seed: int, series: int) -> pl.DataFrame:
    hours = 4 if instrument.symbol.startswith("1000") else 8
    frame = _every(timedelta(hours=hours), days, instrument)
    late = pl.max_horizontal(below(_INDEX, series, 28) - 14, 0)
    rate = below(_INDEX, series ^ 1, 24_000) - 9_000
    return _joined(frame, pl.col("time_ms") + late, str(hours), fixed(rate, 8))


def _metrics(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    frame = _every(timedelta(minutes=5), days, instrument)
    ratios = [below(_INDEX, series ^ n, 300_000_000) + 20_000_000 for n in (1, 2, 3, 4)]
    size = 7_400_000_000_000 + wave(pl.col("time_ms"), series, 14_400_000, 400_000_000_000)
    size = size // 10**5 * 10**5
    price = level_at(pl.col("time_ms"), instrument, seed)
    if instrument.contract:
        value = size // 10**4 * (instrument.contract * 10**instrument.price_scale) // price * 10**4
        ratio_cells: list[pl.Expr | str] = ['""', '""', '""']
    else:
        value = size // 10**6 * price // 10**instrument.price_scale * 10**6
        ratio_cells = [fixed(ratio, 8) for ratio in ratios[:3]]
    interest = [fixed(size, 8), fixed(value, 8)]
    wide = pl.col("time") >= _WIDE_FROM
    cells = [pl.when(wide).then(cell + "00000000").otherwise(cell) for cell in interest]
    made = _joined(
        frame,
        clock(pl.col("time_ms")),
        instrument.symbol,
        *cells,
        *ratio_cells,
        fixed(ratios[3], 8),
    )
    number = pl.col("time") // DAY_US
    # Recent files are not in order of time; those of 2020 have every row twice.
    shuffled = pl.when(pl.col("time") >= _WIDE_FROM).then(
        below(pl.col("time") // 300_000_000, 5, 997)
    )
    made = made.with_columns(day=number, place=shuffled.otherwise(0))
    made = made.sort("day", "place", maintain_order=True).drop("day", "place")
    twice = pl.col("time").is_between(microseconds(_DOUBLED.begin), microseconds(_DOUBLED.end) - 1)
    return made.select(pl.all().repeat_by(pl.when(twice).then(2).otherwise(1))).explode(
        "time", "text"
    )


def _book_depth(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a snapshot each ten minutes (the real ones come each 30 s): ten levels, twelve since 2026."""
    frame = _every(timedelta(minutes=10), days, instrument)
    frame = frame.with_columns(late=below(_INDEX, series, 12) * 1000)
    inner = pl.DataFrame({"level": [-500, -400, -300, -200, -100, 100, 200, 300, 400, 500]})
    outer = pl.DataFrame(
        {"level": [-500, -400, -300, -200, -100, -20, 20, 100, 200, 300, 400, 500]}
    )
    old, new = pl.col("time") < _WIDE_FROM, pl.col("time") >= _WIDE_FROM
    frame = pl.concat(
        [frame.filter(old).join(inner, how="cross"), frame.filter(new).join(outer, how="cross")]
    )
    number = _INDEX * 16 + pl.col("level") // 100
    depth = pl.col("level").abs() * 2_000 + below(number, series ^ 1, 150_000)
    price = level_at(pl.col("time_ms"), instrument, seed)
    if instrument.contract:
        amount = depth * 10**8
        notional = (depth * (instrument.contract * 10**instrument.price_scale) // price + 1) * 10**8
    else:
        amount = depth * 10**5
        notional = depth * price // 10**instrument.price_scale * 10**5
    level = pl.col("level")
    whole, full = (level // 100).cast(pl.String), fixed(level, 2)
    percentage = pl.when(pl.col("time") >= _WIDE_FROM).then(full).otherwise(whole)
    when = clock(pl.col("time_ms") + pl.col("late"))
    return _joined(frame, when, percentage, fixed(amount, 8), fixed(notional, 8))


def _book_ticker(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a quote each two minutes (the real ones come by the thousand)."""
    frame = _every(timedelta(minutes=2), days, instrument)
    late = below(_INDEX, series, 90_000)
    tick, lot = instrument.price_scale, instrument.qty_scale
    bid = level_at(pl.col("time_ms"), instrument, seed)
    ask = bid + 1 + below(_INDEX, series ^ 1, 3)
    sizes = [padded(1 + below(_INDEX, series ^ n, 4000), lot) for n in (2, 3)]
    moment = pl.col("time_ms") + late
    number = _INDEX * 457 + below(_INDEX, series ^ 4, 400)
    cells = (padded(bid, tick), sizes[0], padded(ask, tick), sizes[1])
    return _joined(frame, number, *cells, moment, moment + 2 + below(_INDEX, series ^ 5, 5))


def _liquidations(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a liquidation each half hour, every row twice, as the archive has them."""
    frame = _every(timedelta(minutes=30), days, instrument)
    sell = below(_INDEX, series, 2) == 0
    size = 1 + below(_INDEX, series ^ 1, 60)
    fill = size - below(_INDEX, series ^ 2, 1 << 20) % size
    price = level_at(pl.col("time_ms"), instrument, seed)
    scale, lot = instrument.price_scale, instrument.qty_scale
    average = price - price // 250
    moment = pl.col("time_ms") + below(_INDEX, series ^ 3, 1_700_000)
    side = pl.when(sell).then(pl.lit("SELL")).otherwise(pl.lit("BUY"))
    prices = (fixed(price, scale), fixed(average, scale))
    sizes = (fixed(fill, lot), fixed(size, lot))
    made = _joined(frame, moment, side, "LIMIT", "IOC", fixed(size, lot), *prices, "FILLED", *sizes)
    return made.select(pl.all().repeat_by(2)).explode("time", "text")


def _bvol(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write the volatility index each second; it moves a few times a minute."""
    frame = _every(timedelta(seconds=1), days, instrument)
    first = pl.when(pl.col("time") % DAY_US == 0).then(2).otherwise(0)
    slow = pl.col("time_ms") // 20_000 * 20_000
    value = level_at(slow, instrument, seed) + below(slow // 20_000, series, 900)
    base = instrument.symbol.removesuffix("USDT")
    return _joined(
        frame, pl.col("time_ms") + first, instrument.symbol, base, "USDT", fixed(value, 4)
    )


_MAKERS: dict[DataType, Callable[[Instrument, Days, int, int], pl.DataFrame]] = {
    DataType.FUNDING_RATE: _funding,
    DataType.METRICS: _metrics,
    DataType.BOOK_DEPTH: _book_depth,
    DataType.BOOK_TICKER: _book_ticker,
    DataType.LIQUIDATION_SNAPSHOT: _liquidations,
    DataType.BVOL_INDEX: _bvol,
}
