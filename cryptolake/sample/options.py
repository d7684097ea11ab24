"""Lines of EOHSummary: 26 columns an option and hour, with zeros printed ``0E-8``."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.sample.formats import fixed, scientific
from cryptolake.sample.market import DAY_US, day_number, level_at
from cryptolake.sample.noise import below, stream

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days
    from cryptolake.sample.instruments import Instrument

EOH_HEADER = (
    "date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,"
    "best_bid_price,best_ask_price,best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,mark_price,"
    "mark_iv,delta,gamma,vega,theta,openinterest_contracts,openinterest_usdt"
)
_STRIKES = (-30, -20, -10, -5, 0, 5, 10, 20, 30)
_UNIT = 10**8
_STEP = 5 * _UNIT
_GREEKS = ("delta", "gamma", "vega", "theta")
_INDEX = pl.col("index")


def eoh_lines(instrument: Instrument, days: Days, seed: int) -> pl.DataFrame:
    """Write every hour of a day for two expiries and nine strikes; the hours are not in order.

    Returns
    -------
    pl.DataFrame
        time (microseconds, the hour), text.
    """
    series = stream(seed, DataType.EOH_SUMMARY, instrument.symbol)
    asset = instrument.symbol.removesuffix("USDT")
    contracts = pl.DataFrame(_contracts(instrument, days))
    numbers = range(day_number(days.first), day_number(days.last) + 1)
    hours = pl.DataFrame({"day": numbers}).join(pl.DataFrame({"hour": range(24)}), how="cross")
    frame = (
        hours.with_columns(place=below(pl.col("day") * 24 + pl.col("hour"), series + 77, 997))
        .sort("day", "place", maintain_order=True)
        .join(contracts, how="cross", maintain_order="left_right")
        .with_columns(
            index=(pl.col("day") * 24 + pl.col("hour")) * 64 + pl.col("number"),
            time=pl.col("day").cast(pl.Int64) * DAY_US + pl.col("hour") * (DAY_US // 24),
        )
    )
    frame = frame.with_columns(
        spot=level_at(pl.col("time") // 1000, instrument, seed) * 10**4,
        traded=below(_INDEX, series + 2, 10) >= 4,
        quoted=below(_INDEX, series + 3, 20) > 0,
    )
    spot, traded, quoted = pl.col("spot"), pl.col("traded"), pl.col("quoted")
    strike = pl.col("strike").cast(pl.Int64) * _UNIT
    inner = pl.when("call").then(spot - strike).otherwise(strike - spot)
    sign = pl.when("call").then(1).otherwise(-1)
    frame = frame.with_columns(
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
    frame = frame.with_columns(
        tick=pl.col("mark") // _STEP * _STEP,
        worth=pl.col("held") // 10**6 * (spot // 10**2),
    )
    column = pl.col
    none = pl.lit('""')
    volume = _or_zero(column("volume"), traded)
    cells = [
        column("time").cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d,%H"),
        pl.concat_str(pl.lit(f"{asset}-"), "code", pl.lit("-"), "kind"),
        pl.lit(instrument.symbol),
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
    return frame.select("time", text=pl.concat_str(cells, separator=","))


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
