"""Lines of everything that is neither a bar nor a trade: funding, metrics, book, liquidations, options."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.archive.periods import Days
from cryptolake.sample.formats import clock, fixed, padded, scientific
from cryptolake.sample.instruments import Instrument, below, life, stream, wave
from cryptolake.sample.market import (
    DAY_US,
    day_number,
    level_at,
    make_tape,
    microseconds,
    premium_at,
)

EOH_HEADER = (
    "date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,"
    "best_bid_price,best_ask_price,best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,mark_price,"
    "mark_iv,delta,gamma,vega,theta,openinterest_contracts,openinterest_usdt"
)
_STRIKES = (-30, -20, -10, -5, 0, 5, 10, 20, 30)
_UNIT = 10**8
_STEP = 5 * _UNIT
_GREEKS = ("delta", "gamma", "vega", "theta")

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

_DOUBLED = Days(date(2020, 9, 1), date(2021, 5, 20))
_NUMBERED_FROM = datetime(2023, 5, 16, tzinfo=UTC)
_WIDE_FROM = microseconds(datetime(2026, 1, 1, tzinfo=UTC))
_TWELVE_FROM = microseconds(datetime(2026, 1, 15, 12, tzinfo=UTC))
_INDEX = pl.col("index")
_SAMPLES = 4  # of the premium, for a funding rate
_INTEREST = 10_000  # 0.01 % in 1e-8
_DRAWN = 50_000


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


def _funding(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    if instrument.funding:
        frame = _scheduled(instrument, days, seed)
    else:
        hours = 4 if instrument.symbol.startswith("1000") else 8
        frame = _every(timedelta(hours=hours), days, instrument).with_columns(
            hours=pl.lit(hours), rate=below(_INDEX, series + 1, 24_000) - 9_000
        )
    late = pl.max_horizontal(below(_INDEX, series, 28) - 14, 0)
    return _joined(frame, pl.col("time_ms") + late, pl.col("hours"), fixed(pl.col("rate"), 8))


def _scheduled(instrument: Instrument, days: Days, seed: int) -> pl.DataFrame:
    """Return the payments of a schedule that may change, at rates that follow from the premium.

    The rate of 8 hours is the mean premium since the payment before, drawn by at most 0.05 % towards
    0.01 %; a shorter interval pays its part of it.
    """
    starts = [microseconds(moment) for moment, _ in instrument.funding]
    ends = [*starts[1:], 1 << 62]
    parts = [
        _every(timedelta(hours=hours), days, instrument)
        .filter(pl.col("time").is_between(start, end, closed="right"))
        .with_columns(hours=pl.lit(hours))
        for (_, hours), start, end in zip(instrument.funding, starts, ends, strict=True)
    ]
    frame = pl.concat(parts).filter(pl.col("time") > microseconds(instrument.opens))
    back = pl.col("hours") * (3_600_000 // _SAMPLES)
    seen = [
        premium_at(pl.col("time_ms") - back * number, instrument, seed)
        for number in range(_SAMPLES)
    ]
    premium = pl.sum_horizontal(seen) // _SAMPLES
    rate = premium + (_INTEREST - premium).clip(-_DRAWN, _DRAWN)
    return frame.with_columns(rate=rate * pl.col("hours") // 8)


def _metrics(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    frame = _every(timedelta(minutes=5), days, instrument)
    size = 7_400_000_000_000 + wave(pl.col("time_ms"), series, 14_400_000, 400_000_000_000)
    frame = frame.with_columns(
        size=size // 10**5 * 10**5,
        price=level_at(pl.col("time_ms"), instrument, seed),
        **{f"ratio{n}": below(_INDEX, series + n, 300_000_000) + 20_000_000 for n in range(4)},
    )
    ratios: list[pl.Expr | str] = [fixed(pl.col(f"ratio{n}"), 8) for n in range(4)]
    one = 10**instrument.price_scale
    if instrument.contract:
        worth = instrument.contract * one
        value = pl.col("size") // 10**4 * worth // pl.col("price") * 10**4
        ratios[:3] = ['""', '""', '""']
    else:
        value = pl.col("size") // 10**6 * pl.col("price") // one * 10**6
    frame = frame.with_columns(value=value)
    wide = pl.col("time") >= _WIDE_FROM
    interest = [fixed(pl.col(name), 8) for name in ("size", "value")]
    cells = [pl.when(wide).then(cell + "00000000").otherwise(cell) for cell in interest]
    made = _joined(frame, clock(pl.col("time_ms")), instrument.symbol, *cells, *ratios)
    # Recent files are not in order of time; those up to May 2021 have every row twice.
    place = pl.when(wide).then(below(pl.col("time") // 300_000_000, 5, 997)).otherwise(0)
    made = made.with_columns(day=pl.col("time") // DAY_US, place=place)
    made = made.sort("day", "place", maintain_order=True).drop("day", "place")
    twice = pl.col("time").is_between(microseconds(_DOUBLED.begin), microseconds(_DOUBLED.end) - 1)
    times = pl.when(twice).then(2).otherwise(1)
    return made.select(pl.all().repeat_by(times)).explode("time", "text")


def _book_depth(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a snapshot each 30 s, as the real ones come: ten levels, twelve from within a day on."""
    frame = _every(timedelta(seconds=30), days, instrument).with_columns(
        late=below(_INDEX, series, 12) * 1000,
        price=level_at(pl.col("time_ms"), instrument, seed),
    )
    inner = pl.DataFrame({"level": [-500, -400, -300, -200, -100, 100, 200, 300, 400, 500]})
    outer = pl.DataFrame(
        {"level": [-500, -400, -300, -200, -100, -20, 20, 100, 200, 300, 400, 500]}
    )
    new = pl.col("time") >= _TWELVE_FROM
    frame = pl.concat(
        [frame.filter(~new).join(inner, how="cross"), frame.filter(new).join(outer, how="cross")]
    )
    level, one = pl.col("level"), 10**instrument.price_scale
    number = _INDEX * 16 + level // 100
    frame = frame.with_columns(depth=level.abs() * 2_000 + below(number, series + 1, 150_000))
    if instrument.contract:
        scale = 10**8
        notional = pl.col("depth") * (instrument.contract * one) // pl.col("price") + 1
    else:
        scale = 10**5
        notional = pl.col("depth") * pl.col("price") // one
    frame = frame.with_columns(amount=pl.col("depth") * scale, notional=notional * scale)
    whole, full = (level // 100).cast(pl.String), fixed(level, 2)
    percentage = pl.when(new).then(full).otherwise(whole)
    when = clock(pl.col("time_ms") + pl.col("late"))
    return _joined(frame, when, percentage, *(fixed(pl.col(n), 8) for n in ("amount", "notional")))


def _book_ticker(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a quote each two minutes (the real ones come by the thousand), or those of the trades too."""
    frame = _every(timedelta(minutes=2), days, instrument).with_columns(
        moment=pl.col("time_ms") + below(_INDEX, series, 90_000),
        bid=level_at(pl.col("time_ms"), instrument, seed),
        more=1 + below(_INDEX, series + 1, 3),
        number=_INDEX * 457 + below(_INDEX, series + 4, 400),
        late=2 + below(_INDEX, series + 5, 5),
    )
    if instrument.quoted:
        frame = _with_quotes_of_trades(frame, instrument, days, seed, series)
    tick, lot = instrument.price_scale, instrument.qty_scale
    return _joined(
        frame,
        pl.col("number"),
        padded(pl.col("bid"), tick),
        padded(1 + below(_INDEX, series + 2, 4000), lot),
        padded(pl.col("bid") + pl.col("more"), tick),
        padded(1 + below(_INDEX, series + 3, 4000), lot),
        pl.col("moment"),
        pl.col("moment") + pl.col("late"),
    )


def _with_quotes_of_trades(
    frame: pl.DataFrame, instrument: Instrument, days: Days, seed: int, series: int
) -> pl.DataFrame:
    """Add a quote in the millisecond of every third trade, which is its effect; number all by their time."""
    tape = make_tape(instrument, days, seed).filter(below(pl.col("agg_id"), series + 6, 3) == 0)
    of_trades = tape.select(
        index=pl.col("agg_id"),
        time=pl.col("time"),
        time_ms=pl.col("time") // 1000,
        moment=pl.col("time") // 1000,
        bid=pl.col("price") - pl.when("maker").then(0).otherwise(1),
        more=pl.lit(1, pl.Int64),
        number=pl.lit(1, pl.Int64),
        late=below(pl.col("agg_id"), series + 7, 3),
    )
    number = (pl.col("moment") - microseconds(_NUMBERED_FROM) // 1000) * 2 + pl.col("number")
    both = pl.concat(
        [frame.with_columns(number=pl.lit(0, pl.Int64), time=pl.col("moment") * 1000), of_trades]
    )
    return both.with_columns(number=number).sort("number")


def _liquidations(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write a liquidation each half hour, every row twice, as the archive has them."""
    frame = _every(timedelta(minutes=30), days, instrument).with_columns(
        moment=pl.col("time_ms") + below(_INDEX, series, 1_700_000),
        sell=below(_INDEX, series + 1, 2) == 0,
        size=1 + below(_INDEX, series + 2, 60),
        left=below(_INDEX, series + 3, 1 << 20),
        price=level_at(pl.col("time_ms"), instrument, seed),
    )
    frame = frame.with_columns(
        fill=pl.col("size") - pl.col("left") % pl.col("size"),
        average=pl.col("price") - pl.col("price") // 250,
    )
    prices = (fixed(pl.col(name), instrument.price_scale) for name in ("price", "average"))
    size, fill = (fixed(pl.col(name), instrument.qty_scale) for name in ("size", "fill"))
    side = pl.when("sell").then(pl.lit("SELL")).otherwise(pl.lit("BUY"))
    moment = pl.col("moment")
    made = _joined(frame, moment, side, "LIMIT", "IOC", size, *prices, "FILLED", fill, size)
    return made.select(pl.all().repeat_by(2)).explode("time", "text")


def _bvol(instrument: Instrument, days: Days, seed: int, series: int) -> pl.DataFrame:
    """Write the volatility index each second; it moves a few times a minute."""
    frame = _every(timedelta(seconds=1), days, instrument)
    slow = pl.col("time_ms") // 20_000 * 20_000
    moves = frame.select(slow=slow).unique(maintain_order=True)
    moves = moves.with_columns(
        value=level_at(pl.col("slow"), instrument, seed)
        + below(pl.col("slow") // 20_000, series, 900)
    )
    frame = frame.with_columns(slow=slow).join(moves, on="slow", maintain_order="left")
    first = pl.when(pl.col("time") % DAY_US == 0).then(2).otherwise(0)
    base = instrument.symbol.removesuffix("USDT")
    value = fixed(pl.col("value"), 4)
    return _joined(frame, pl.col("time_ms") + first, instrument.symbol, base, "USDT", value)


_MAKERS: dict[DataType, Callable[[Instrument, Days, int, int], pl.DataFrame]] = {
    DataType.FUNDING_RATE: _funding,
    DataType.METRICS: _metrics,
    DataType.BOOK_DEPTH: _book_depth,
    DataType.BOOK_TICKER: _book_ticker,
    DataType.LIQUIDATION_SNAPSHOT: _liquidations,
    DataType.BVOL_INDEX: _bvol,
}


def eoh_lines(instrument: Instrument, days: Days, seed: int) -> pl.DataFrame:
    """Write every hour of a day for two expiries and nine strikes; the hours are not in order.

    Returns
    -------
    pl.DataFrame
        time (microseconds, the hour), text.
    """
    series = stream(seed, DataType.EOH_SUMMARY, instrument.symbol)
    hours = _eoh_hours(instrument, days, series).with_columns(
        spot=level_at(pl.col("time") // 1000, instrument, seed) * 10**4,
        traded=below(_INDEX, series + 2, 10) >= 4,
        quoted=below(_INDEX, series + 3, 20) > 0,
    )
    cells = _eoh_cells(instrument.symbol)
    return _eoh_values(hours, series).select("time", text=pl.concat_str(cells, separator=","))


def _eoh_hours(instrument: Instrument, days: Days, series: int) -> pl.DataFrame:
    """Return a row for each contract and hour: index, time, and what names the contract."""
    contracts = pl.DataFrame(_contracts(instrument, days))
    numbers = range(day_number(days.first), day_number(days.last) + 1)
    hours = pl.DataFrame({"day": numbers}).join(pl.DataFrame({"hour": range(24)}), how="cross")
    return (
        hours.with_columns(place=below(pl.col("day") * 24 + pl.col("hour"), series + 77, 997))
        .sort("day", "place", maintain_order=True)
        .join(contracts, how="cross", maintain_order="left_right")
        .with_columns(
            index=(pl.col("day") * 24 + pl.col("hour")) * 64 + pl.col("number"),
            time=pl.col("day").cast(pl.Int64) * DAY_US + pl.col("hour") * (DAY_US // 24),
        )
    )


def _eoh_values(hours: pl.DataFrame, series: int) -> pl.DataFrame:
    """Add prices, sizes, volatilities and greeks, in ``1e-8``."""
    spot = pl.col("spot")
    strike = pl.col("strike").cast(pl.Int64) * _UNIT
    inner = pl.when("call").then(spot - strike).otherwise(strike - spot)
    sign = pl.when("call").then(1).otherwise(-1)
    frame = hours.with_columns(
        mark=pl.max_horizontal(inner, 0) + spot // 200 + below(_INDEX, series, 900) * _UNIT // 10,
        spread=(1 + below(_INDEX, series + 4, 8)) * _STEP,
        volume=(1 + below(_INDEX, series + 5, 12_000)) * 10**6,
        held=below(_INDEX, series + 6, 40_000) * 10**6,
        bid_size=(1 + below(_INDEX, series + 7, 900)) * 10**6,
        ask_size=(1 + below(_INDEX, series + 8, 900)) * 10**6,
        implied=35_000_000 + below(_INDEX, series + 9, 50_000_000),
        far=below(_INDEX, series + 3, 20) == 1,  # from the money: all but 0
        delta=below(_INDEX, series + 10, _UNIT) * sign,
        gamma=below(_INDEX, series + 11, 20_000),
        vega=below(_INDEX, series + 12, 90 * _UNIT),
        theta=-below(_INDEX, series + 13, 40 * _UNIT),
    ).with_columns(
        pl.when("far").then(pl.col(greek) % 150).otherwise(pl.col(greek)).alias(greek)
        for greek in _GREEKS
    )
    return frame.with_columns(
        tick=pl.col("mark") // _STEP * _STEP,
        worth=pl.col("held") // 10**6 * (spot // 10**2),
    )


def _eoh_cells(symbol: str) -> list[pl.Expr]:
    """Return the cells of a line, in the order of :data:`EOH_HEADER`."""
    column, none = pl.col, pl.lit('""')
    traded, quoted = column("traded"), column("quoted")
    volume = _or_zero(column("volume"), traded)
    return [
        column("time").cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d,%H"),
        pl.concat_str(pl.lit(f"{symbol.removesuffix('USDT')}-"), "code", pl.lit("-"), "kind"),
        pl.lit(symbol),
        column("kind"),
        column("code"),
        *(_or_zero(column("tick") + add * _STEP, traded) for add in (0, 3, -1, 1)),
        volume,
        volume,  # both hold the same number in the real files
        _or_zero(column("tick"), quoted),
        _or_zero(column("tick") + column("spread"), quoted),
        _or_zero(column("bid_size"), quoted),
        _or_zero(column("ask_size"), quoted),
        none,
        pl.when(quoted).then(fixed(column("implied"), 8)).otherwise(pl.lit("-1E-8")),
        fixed(column("mark"), 8),
        fixed(column("implied") + 1_000_000, 8),
        *(scientific(column(greek)) for greek in _GREEKS),
        pl.when(quoted).then(_or_zero(column("held"), traded)).otherwise(none),
        pl.when(quoted).then(_or_zero(column("worth"), traded)).otherwise(none),
    ]


def _or_zero(value: pl.Expr, known: pl.Expr) -> pl.Expr:
    return pl.when(known).then(scientific(value)).otherwise(pl.lit("0E-8"))


def _contracts(instrument: Instrument, days: Days) -> list[dict[str, object]]:
    """Return two expiries' calls and puts at strikes about the price."""
    round_to = 10 ** max(len(str(instrument.level // 10**instrument.price_scale)) - 2, 0)
    about = instrument.level // 10**instrument.price_scale
    contracts: list[dict[str, object]] = []
    for expiry in (_friday(days.last, 7), _friday(days.last, 60)):
        for percent in _STRIKES:
            strike = about * (100 + percent) // 100 // round_to * round_to
            for kind in "CP":
                code = f"{expiry:%y%m%d}-{strike}"
                row = {"number": len(contracts), "strike": strike, "kind": kind, "code": code}
                contracts.append({**row, "call": kind == "C"})
    return contracts


def _friday(day: date, ahead: int) -> date:
    later = day + timedelta(days=ahead)
    return later + timedelta(days=(4 - later.weekday()) % 7)
