"""``daily`` among the recipes: its rows by query, its report, and its files made anew.

It is not a function from Silver to Gold as the others are (:mod:`cryptolake.gold.daily`), and its market is the
query's; what is asked of it is the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import means
from cryptolake.errors import InvalidQuery
from cryptolake.gold.daily import (
    RECIPE,
    VERSION,
    daily_bars,
    make_months,
    market_months,
    none,
    warn_of,
)
from cryptolake.query import Query
from cryptolake.report import MONTHS, Report
from cryptolake.storage.layout import parse_gold_path
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext

WHAT = "Give the 1d klines of a market's symbols, one file a month, straight from Bronze."
_ALWAYS = Days(date(2017, 1, 1), date(2199, 12, 31))


def daily_row() -> dict[str, Any]:
    """Return the row of ``lake.recipes()``."""
    columns = daily_columns(Market.FUTURES_UM)
    return {
        "name": RECIPE,
        "version": str(VERSION),
        "each": "market-month",
        "inputs": ["bronze=klines:1d of the query's market"],
        "before": None,
        "columns": [f"{name} {kind}" for name, kind in columns.items()],
        "what": WHAT,
        "source": f"{daily_bars.__module__}.{daily_bars.__qualname__}",
    }


def daily_columns(market: Market) -> dict[str, pl.DataType]:
    """Return the columns of a market's daily bars.

    Examples
    --------
    >>> list(daily_columns(Market.SPOT))[:4]
    ['market', 'symbol', 'interval', 'open_time']
    """
    return dict(none(schema_of(market, DataType.KLINES)).schema)


def daily_market(query: Query) -> Market:
    """Return the one market that daily bars are asked of.

    Raises
    ------
    InvalidQuery
        The query names several markets or none, another data type or interval, or options.

    Examples
    --------
    >>> daily_market(Query().markets("spot")).value
    'spot'
    """
    asked = query.selection
    words = [word.value for word in asked.markets]
    others = {*asked.data_types} - {DataType.KLINES} or {*asked.intervals} - {Interval.D1}
    if len(asked.markets) != 1 or others:
        named = ", ".join(sorted(word.value for word in others) or words) or "no market"
        message = (
            f"gold.daily has the 1d klines of one market, and the query names {named}; "
            "write cl.query().markets('spot').between('2024')."
        )
        raise InvalidQuery(message, what="markets", given=tuple(words), recipe=RECIPE)
    return load_matrix().row(asked.markets[0], DataType.KLINES).market


def daily_rows(lake: LakeContext, query: Query) -> pl.LazyFrame:
    """Make the months that are stale, and return the bars of a query's symbols and days.

    Raises
    ------
    InvalidQuery
        As :func:`daily_market`.

    Warns
    -----
    IncompleteWarning
        Files of Bronze cannot be used, or rows of them are rejected.
    """
    market, asked = daily_market(query), query.selection
    rows = daily_bars(lake, market, asked.days or _ALWAYS)
    if not asked.symbols and not asked.universe:
        return rows
    held = rows.select(pl.col("symbol").unique()).collect()["symbol"]
    return rows.filter(pl.col("symbol").is_in([s for s in held if means(asked, market, s)]))


def build_daily(lake: LakeContext, query: Query, *, force: bool = False) -> Report:
    """Make the stale months of the market of a query, or, with ``force``, all that it means.

    Raises
    ------
    InvalidQuery
        As :func:`daily_market`.

    Warns
    -----
    IncompleteWarning
        Files of Bronze cannot be used, or rows of them are rejected.
    """
    begun = time.perf_counter()
    months = market_months(lake, daily_market(query), query.selection.days)
    if force:
        months = [replace(month, whole=True) for month in months]
    stale = [month for month in months if not month.is_fresh]
    made = {one.path: one for one in make_months(lake, stale)}
    warn_of(list(made.values()))
    rows = []
    for month in months:
        one = made.get(month.path)
        status = "unchanged" if one is None else "built"
        row: dict[str, Any] = {
            "path": month.path,
            "status": status,
            "rows": one.file.rows if one else None,
        }
        row |= {"rejects": len(one.rejects) if one else None, "seconds": 0.0}
        rows.append(row | {"error": "; ".join(one.unusable) or None if one else None})
    table = pl.DataFrame(rows, schema=MONTHS).sort("path")
    seconds = time.perf_counter() - begun
    return Report("build", new_run_id(), seconds, months=table, state="done")


def remake_daily(lake: LakeContext, paths: Iterable[str]) -> str | None:
    """Make files anew from Bronze; return why some are not."""
    wanted = {path: place for path in paths if (place := parse_gold_path(path)) is not None}
    left = set(wanted)
    for place in wanted.values():
        query = Query().markets(place.market).between(place.month.days.first, place.month.days.last)
        report = build_daily(lake, query, force=True)
        left -= set(report.months.filter(status="built")["path"])
    return "its zips are not in Bronze." if left else None
