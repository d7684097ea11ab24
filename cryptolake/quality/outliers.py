"""Prices far from their neighbours, by a rule that a page can state. A large move is not wrong by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType

if TYPE_CHECKING:
    from cryptolake.quality.survey import Survey, SymbolMonth

RULE = (
    "A bar's high, low or close lies further from the median close of the five bars before it, itself and "
    "the five after it than ten times what is usual in the month (1.4826 times the median distance), and at "
    "least 5 % off; it is left out where bitcoin's own bar, if it is asked for too, lies at least half as far."
)

OUTLIERS: dict[str, Any] = {
    "time": pl.Datetime("us", "UTC"),
    "column": pl.String,
    "price": pl.Float64,
    "typical": pl.Float64,
    "off": pl.Float64,
}
"""The columns of :func:`outliers`; ``off`` is the natural logarithm of ``price`` over ``typical``."""

_WINDOW, _LEAST_ROWS, _TIMES, _LEAST = 11, 6, 10 * 1.4826, math.log(1.05)
_BITCOIN = ("BTCUSDT", "BTCUSD_PERP")
_PRICED = (DataType.KLINES, DataType.MARK_PRICE_KLINES, DataType.INDEX_PRICE_KLINES)


def outliers(month: SymbolMonth, seen: Survey) -> pl.DataFrame:
    """Return the bars of a month that break :data:`RULE`, the furthest first."""
    if month.folder.row.data_type not in _PRICED or not month.built:
        return pl.DataFrame(schema=OUTLIERS)
    far = _distances(month, seen)
    usual = far["off"].abs().median()
    if not isinstance(usual, float):
        return pl.DataFrame(schema=OUTLIERS)
    odd = far.filter(pl.col("off").abs() > max(_TIMES * usual, _LEAST))
    bitcoin = _bitcoin(month, seen)
    if odd.height and bitcoin is not None:
        its = _distances(bitcoin, seen).select("time", its=pl.col("off").abs())
        joined = odd.join(its, on="time", how="left")
        odd = joined.filter(pl.col("its").fill_null(0) < pl.col("off").abs() / 2)
    return odd.sort(pl.col("off").abs(), descending=True).select(*OUTLIERS)


def _distances(month: SymbolMonth, seen: Survey) -> pl.DataFrame:
    """Return each bar's price that lies furthest from the median of its neighbours."""
    names = ("high", "low", "close")
    rows = seen.rows_of(month, month.days).select(pl.col("open_time").alias("time"), *names)
    typical = pl.col("close").rolling_median(_WINDOW, center=True, min_samples=_LEAST_ROWS)
    bars = seen.collected(month, rows).sort("time").with_columns(typical=typical)
    apart = [(pl.col(name) / pl.col("typical")).log() for name in names]
    furthest = pl.concat_list(item.abs() for item in apart).list.arg_max()
    return (
        bars.with_columns(
            at=furthest, off=pl.concat_list(apart).list.get(furthest, null_on_oob=True)
        )
        .filter(pl.col("off").is_not_null() & pl.col("off").is_finite())
        .with_columns(
            column=pl.lit(pl.Series(names)).gather(pl.col("at")),
            price=pl.concat_list(names).list.get(pl.col("at")),
        )
        .select(*OUTLIERS)
    )


def _bitcoin(month: SymbolMonth, seen: Survey) -> SymbolMonth | None:
    """Return bitcoin's month of the same dataset and interval, where it is asked for and another one."""
    mine = month.folder
    for other in seen.months:
        its = other.folder
        same = (its.row, its.interval, other.month) == (mine.row, mine.interval, month.month)
        if same and other.built and its.symbol in _BITCOIN and its.symbol != mine.symbol:
            return other
    return None
