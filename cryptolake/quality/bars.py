"""Bars made anew from trades, aggregate trades or finer bars, and held against published ones. Pure.

Published numbers are rounded to their decimals, and sums of floats carry an error of their own, so two
values agree within half a unit of the last published decimal and a part in 10**12. Values (price times
quantity) are rounded trade by trade where they are published, so their tolerance grows with the trades.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval
from cryptolake.archive.grid import bar_number

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Schema

BAR = "bar"
"""The column of bar numbers (see :mod:`cryptolake.archive.grid`)."""

_RELATIVE = 1e-12
_MOST_DECIMALS = 10
_SUMS = ("volume", "trades", "taker_buy_volume")
_VALUES = {
    "quote_volume": "taker_buy_quote_volume",
    "base_volume": "taker_buy_base_volume",
}

DIFFERENCES: dict[str, Any] = {
    "bar": pl.Int64,
    "column": pl.String,
    "published": pl.Float64,
    "rebuilt": pl.Float64,
    "difference": pl.Float64,
    "tolerance": pl.Float64,
}
"""The columns of :func:`differences`."""


def bars_of_trades(trades: pl.LazyFrame, schema: Schema, interval: Interval) -> pl.LazyFrame:
    """Make bars of trades, or of aggregate trades, in the order of their time and id.

    Parameters
    ----------
    trades
        Silver rows of ``schema``'s dataset.
    schema
        Of trades or aggTrades; it says what the volumes are counted in.
    interval
        The bars to make.

    Returns
    -------
    polars.LazyFrame
        One row per bar that has a trade: ``bar, open, high, low, close, volume, trades,
        taker_buy_volume`` and, where it can be computed, ``quote_volume`` or ``base_volume`` with its taker
        part; sorted by bar.
    """
    aggregated = schema.data_type is DataType.AGG_TRADES
    count = (
        (pl.col("last_trade_id") - pl.col("first_trade_id") + 1).sum() if aggregated else pl.len()
    )
    value, expression = _value_of(schema)
    bought = ~pl.col("is_buyer_maker")
    values = []
    if expression is not None:
        values = [
            expression.sum().alias(value),
            expression.filter(bought).sum().alias(_VALUES[value]),
        ]
    return (
        trades.sort(schema.time, schema.id or schema.time)
        .group_by(bar_number(pl.col(schema.time), interval).alias(BAR), maintain_order=True)
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("quantity").sum().alias("volume"),
            count.cast(pl.Int64).alias("trades"),
            pl.col("quantity").filter(bought).sum().alias("taker_buy_volume"),
            *values,
        )
        .sort(BAR)
    )


def bars_of_klines(klines: pl.LazyFrame, interval: Interval) -> pl.LazyFrame:
    """Make coarser bars of finer ones; bars without a trade give no prices, unless all are such."""
    names = klines.collect_schema().names()
    ordered = klines.with_columns(bar_number(pl.col("open_time"), interval).alias(BAR)).sort(
        "open_time"
    )
    traded = (pl.col("trades") > 0).any().over(BAR)
    return joined(ordered.filter((pl.col("trades") > 0) | ~traded).select(BAR, *_made(names)))


def joined(parts: pl.LazyFrame) -> pl.LazyFrame:
    """Join parts of bars, in the order of their time, to whole bars."""
    names = parts.collect_schema().names()
    sums = [name for name in _made(names) if name not in ("open", "high", "low", "close")]
    return (
        parts.group_by(BAR, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *(pl.col(name).sum() for name in sums),
        )
        .sort(BAR)
    )


def differences(published: pl.DataFrame, rebuilt: pl.DataFrame) -> pl.DataFrame:
    """Return every value in which published bars and rebuilt ones differ, with both.

    Parameters
    ----------
    published, rebuilt
        Rows with ``bar`` and the columns to compare; columns that only one has are left out. A
        published bar without a trade agrees with none at all.

    Returns
    -------
    polars.DataFrame
        :data:`DIFFERENCES`, by bar and column. A bar that one side lacks is one row, of ``trades``, null
        on that side.

    Examples
    --------
    >>> ours = pl.DataFrame({"bar": [1, 2], "close": [10.5, 11.25], "trades": [3, 4]})
    >>> theirs = pl.DataFrame({"bar": [1, 2], "close": [10.5, 11.5], "trades": [3, 4]})
    >>> differences(ours, theirs).select("bar", "column", "published", "rebuilt").rows()
    [(2, 'close', 11.25, 11.5)]
    """
    columns = [name for name in _made(rebuilt.columns) if name in published.columns]
    within = {name: _half_unit(published, name) for name in columns}
    both = published.select(BAR, *columns).join(
        rebuilt.select(BAR, *columns), on=BAR, how="full", suffix="_r", coalesce=True
    )
    count = (
        pl.max_horizontal("trades", "trades_r").fill_null(0) if "trades" in columns else pl.lit(0)
    )
    found = []
    for name in columns:
        mine, made = pl.col(name).cast(pl.Float64), pl.col(f"{name}_r").cast(pl.Float64)
        rounded = (count + 1) if name in {*_VALUES, *_VALUES.values()} else pl.lit(1)
        tolerance = rounded * within[name] + _RELATIVE * mine.abs()
        rows = both.select(
            BAR,
            pl.lit(name).alias("column"),
            mine.alias("published"),
            made.alias("rebuilt"),
            (made - mine).alias("difference"),
            tolerance.alias("tolerance"),
        )
        found.append(rows.filter(pl.col("difference").abs() > pl.col("tolerance")))
        if name == "trades":
            lone = pl.col("published").is_null() | (
                pl.col("rebuilt").is_null() & (pl.col("published") > 0)
            )
            found.append(rows.filter(lone))
    shaped = [
        rows.select(pl.col(name).cast(kind) for name, kind in DIFFERENCES.items()) for rows in found
    ]
    return pl.concat([pl.DataFrame(schema=DIFFERENCES), *shaped]).sort(BAR, maintain_order=True)


def decimals(values: pl.Series) -> int:
    """Return how many decimals a column's published numbers have.

    Examples
    --------
    >>> decimals(pl.Series([43417.1, 43440.0, 0.05])), decimals(pl.Series([3.0]))
    (2, 0)
    """
    numbers = values.drop_nulls()
    for places in range(_MOST_DECIMALS):
        if ((numbers.round(places) - numbers).abs() <= numbers.abs() * 1e-15).all():
            return places
    return _MOST_DECIMALS


def _half_unit(published: pl.DataFrame, name: str) -> float:
    column = published[name]
    return 0.0 if column.dtype.is_integer() else 0.5 * 10.0 ** -decimals(column)


def _value_of(schema: Schema) -> tuple[str, pl.Expr | None]:
    """Return the value column that trades of a market can give, and how; None where they cannot."""
    if "base_quantity" in schema.silver_names:
        return "base_volume", pl.col("base_quantity")
    if schema.market.value == "futures_cm":  # aggregates count contracts and do not say their size
        return "base_volume", None
    return "quote_volume", pl.col("price") * pl.col("quantity")


def _made(names: list[str]) -> list[str]:
    known = ("open", "high", "low", "close", *_SUMS, *_VALUES, *_VALUES.values())
    return [name for name in known if name in names]
