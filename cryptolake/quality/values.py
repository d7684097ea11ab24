"""Values that are empty in fact: zeros, blanks, and rows that say what the row before said.

They are kept as they were published. Some are usual (a bar without a trade, an unchanged funding rate), so
they are counts; what is never usual is a finding as well: open interest that is blank or zero for whole days,
and a frozen run of bars after the last trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.archive.schemas import FLOATS, schema_of
from cryptolake.render.html import plural

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Schema
    from cryptolake.quality.survey import Survey, SymbolMonth

_BARS = ("open", "high", "low", "close")
_ZERO = {
    DataType.KLINES: "volume",
    DataType.TRADES: "quantity",
    DataType.AGG_TRADES: "quantity",
    DataType.METRICS: "open_interest",
    DataType.FUNDING_RATE: "funding_rate",
    DataType.BOOK_DEPTH: "depth",
}
"""The column whose zeros are counted: what was traded, held or offered."""

_SAME: dict[DataType, tuple[str, ...]] = {
    DataType.KLINES: _BARS,
    DataType.MARK_PRICE_KLINES: _BARS,
    DataType.INDEX_PRICE_KLINES: _BARS,
    DataType.PREMIUM_INDEX_KLINES: _BARS,
    DataType.METRICS: ("open_interest", "open_interest_value"),
    DataType.FUNDING_RATE: ("funding_rate",),
}
"""The columns that change from row to row; ticks and books repeat themselves by nature."""

_FINDING: dict[str, Any] = {
    "path": pl.String,
    "kind": pl.String,
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
    "rows": pl.Int64,
    "detail": pl.String,
}


class Values(NamedTuple):
    """Rows with a quantity of zero, with a blank value, and with the values of the row before; None: not counted."""

    zeros: int | None
    nulls: int | None
    unchanged: int | None


def values_of(month: SymbolMonth, seen: Survey) -> Values:
    """Count the zeros, blanks and unchanged rows in the asked days of a month."""
    if not month.built:
        return Values(None, None, None)
    schema = _schema(month)
    rows = seen.rows_of(month, month.days)
    names = rows.collect_schema().names()
    zero, same = _ZERO.get(schema.data_type), _SAME.get(schema.data_type, ())
    blank = [
        column.name
        for column in schema.columns
        if column.kind in FLOATS and column.nullable and column.name in names
    ]
    counts = rows.select(
        zeros=(pl.col(zero) == 0).sum() if zero else pl.lit(None, pl.Int64),
        nulls=pl.any_horizontal(pl.col(blank).is_null()).sum() if blank else pl.lit(0),
        unchanged=_unchanged(same) if same else pl.lit(None, pl.Int64),
    )
    return Values(*seen.collected(month, counts, engine="streaming").row(0))


def _unchanged(columns: Iterable[str]) -> pl.Expr:
    """Count the rows that say in all columns what the row before says; Silver is in the order of time."""
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in columns).sum()


def value_findings(month: SymbolMonth, seen: Survey, idle: int) -> pl.DataFrame:
    """Return what is never usual: a frozen run of ``idle`` bars, and days without open interest.

    Returns
    -------
    polars.DataFrame
        ``path, kind, first, last, rows, detail``, columns of ``meta.findings``; of kind ``frozen_run`` or
        ``open_interest_empty``.
    """
    found = [*_frozen(month, seen, idle), *_without_interest(month, seen)]
    return pl.DataFrame([(month.path, *row) for row in found], schema=_FINDING, orient="row")


def _frozen(month: SymbolMonth, seen: Survey, idle: int) -> Iterator[tuple[Any, ...]]:
    if not idle:
        return
    opens = pl.col("open_time")
    last_bars = seen.rows_of(month, month.days).select(opens, "close").sort(opens).tail(idle)
    first, last, price = (
        seen.collected(month, last_bars)
        .select(opens.min().alias("a"), opens.max().alias("b"), pl.col("close").last())
        .row(0)
    )
    if isinstance(first, datetime):
        detail = f"no trade after {first:%F %R}: {plural(idle, 'bar')} at {price:g} to the symbol's last file"
        yield "frozen_run", first, last, idle, detail


def _without_interest(month: SymbolMonth, seen: Survey) -> Iterator[tuple[Any, ...]]:
    """Yield each run of days whose open interest is blank or zero in every row."""
    schema = _schema(month)
    if schema.data_type is not DataType.METRICS or not month.built:
        return
    time, interest = pl.col(schema.time), pl.col("open_interest")
    by_day = (
        seen.rows_of(month, month.days)
        .group_by(time.dt.truncate("1d").alias("day"))
        .agg(
            time.min().alias("first"),
            time.max().alias("last"),
            pl.len().alias("rows"),
            (interest.fill_null(0) == 0).all().alias("empty"),
        )
    )
    days = seen.collected(month, by_day).sort("day")
    run = (
        pl.col("empty")
        & pl.col("empty").shift(1, fill_value=False)
        & (pl.col("day").diff() == pl.duration(days=1))
    )
    runs = (
        days.with_columns(run=(~run.fill_null(value=False)).cum_sum())
        .filter("empty")
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("first").min(),
            pl.col("last").max(),
            pl.col("rows").sum(),
            pl.len().alias("days"),
        )
    )
    for first, last, rows, count in runs.drop("run").iter_rows():
        many = f"{count} day{'s' * (count != 1)}"
        detail = f"open interest is blank or zero in every row of {many}"
        yield "open_interest_empty", first, last, rows, detail


def _schema(month: SymbolMonth) -> Schema:
    return schema_of(month.folder.row.market, month.folder.row.data_type)
