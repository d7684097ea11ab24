"""The tables of Gold whoever makes them: the rows of a recipe, the daily bars and the filled ones, and what each is.

``lake.gold`` makes recipes and daily bars; filled bars are made by ``lake.fill`` on request, and are read here as they
stand.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.feeds import Feed
from cryptolake.bronze.ledger import means_month, narrowed, with_key_parts
from cryptolake.errors import InvalidQuery
from cryptolake.gold import daily, filled
from cryptolake.gold.daily_recipe import WHAT, daily_columns, daily_market
from cryptolake.gold.lineage import gold_records
from cryptolake.gold.recipes import input_schema, recipe_named
from cryptolake.gold.rows import (
    by_symbol,
    gold_rows,
    gold_symbols,
    is_meant,
    together,
    whole_files,
)
from cryptolake.gold.targets import variants_of
from cryptolake.readers.scans import scan_files
from cryptolake.readers.silver_files import current_sources
from cryptolake.storage import layout
from cryptolake.storage.identity_columns import AS_TEXT

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

Meant = Callable[[layout.GoldPath], bool]


class TableNotes(NamedTuple):
    """What a table is: the version of what makes it, its description, and its columns of a query's markets."""

    version: str
    text: str
    columns: Mapping[str, pl.DataType]


def table_rows(lake: LakeContext, name: str, query: Query) -> pl.LazyFrame:
    """Return the rows of a query; a recipe's are made where they are stale.

    Raises
    ------
    InvalidQuery
        There is no such table, or it has nothing of the query's markets, data types and intervals.
    """
    if name == filled.NAME:
        return _filled_rows(lake, query)
    return gold_rows(lake, name, query)


def table_symbols(lake: LakeContext, name: str, query: Query) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Yield the rows of :func:`table_rows` symbol by symbol."""
    if name in (filled.NAME, daily.RECIPE):
        return by_symbol(table_rows(lake, name, query))
    return gold_symbols(lake, name, query)


def table_notes(name: str, query: Query) -> TableNotes:
    """Return what a table is."""
    if name == daily.RECIPE:
        columns = daily_columns(daily_market(query))
        return TableNotes(str(daily.VERSION), WHAT, columns)
    if name == filled.NAME:
        columns = dict(pl.concat(map(_no_bars, Market), how="diagonal").collect_schema())
        return TableNotes(filled.VERSION, inspect.getdoc(filled) or "", columns)
    variants = variants_of(recipe_named(name), query)
    columns = {of: kind for recipe in variants for of, kind in recipe.columns.items()}
    text = inspect.getdoc(variants[0].make) or ""
    return TableNotes(variants[0].version, text, columns)


def table_sources(lake: LakeContext, name: str, query: Query) -> pl.DataFrame:
    """Return the ledger's rows of the archive's files that the rows of a query were made of."""
    records, meant = gold_records(lake.records, name), _meant(name, query)
    places = {path: layout.parse_gold_path(path) for path in records}
    inputs = {
        path
        for of, where in places.items()
        if where is not None and meant(where)
        for path in records[of].paths
    }
    keys = [key for path in inputs if (key := layout.bronze_key(path)) is not None]
    if keys:  # daily bars are made of Bronze, each symbol's of its own files
        held = lake.records.ledger().filter(pl.col("key").is_in(keys))
        return narrowed(with_key_parts(held), query.data_types(DataType.KLINES)).select(
            held.columns
        )
    silver = pl.Series(sorted(inputs), dtype=pl.String).implode()
    made_of = current_sources(lake.records.read("sources", where=pl.col("path").is_in(silver)))
    return lake.records.ledger().join(made_of, on="key", how="semi")


def _meant(name: str, query: Query) -> Meant:
    """Return what says of a file of a table whether it has rows of a query."""
    asked = query.selection
    if name == filled.NAME:
        return lambda where: _is_filled(where, query)
    if name == daily.RECIPE:
        market = daily_market(query)
        return lambda where: (
            where.market is market and means_month(asked, market, None, where.month)
        )
    variants = variants_of(recipe_named(name), query)
    return lambda where: any(is_meant(where, recipe, asked) for recipe in variants)


def _is_filled(where: layout.GoldPath, query: Query) -> bool:
    asked = query.selection
    return (
        (not asked.markets or where.market in asked.markets)
        and (not asked.data_types or where.data_type in asked.data_types)
        and (not asked.intervals or where.interval in asked.intervals)
        and where.symbol is not None
        and means_month(asked, where.market, where.symbol, where.month)
    )


def _no_bars(market: Market) -> pl.LazyFrame:
    klines = market is not Market.OPTIONS
    schema = input_schema(Feed(market, DataType.KLINES, Interval.M1)) if klines else {}
    return pl.LazyFrame(schema={**schema, "origin": pl.String()} if klines else {})


def _filled_rows(lake: LakeContext, query: Query) -> pl.LazyFrame:
    """Scan the filled bars of a query as they stand, by market, symbol and time."""
    asked = query.selection
    if asked.data_types and DataType.KLINES not in asked.data_types:
        words = ", ".join(word.value for word in asked.data_types)
        message = f"gold.filled has klines, and the query names the data types {words}."
        raise InvalidQuery(message, what="data types", given=words, recipe=filled.NAME)
    remedy = "lake.fill(query, against=...) makes them anew."
    files = whole_files(lake, filled.NAME, lambda where: _is_filled(where, query), remedy)
    parts = []
    for market in dict.fromkeys(where.market for where in files):
        paths = (where.path for where in files if where.market is market)
        schema = _no_bars(market).collect_schema()
        rows = scan_files(lake.storage, paths, schema, cast_options=AS_TEXT)
        if asked.days is not None:
            begin, end = pl.lit(asked.days.begin), pl.lit(asked.days.end)
            rows = rows.filter(pl.col("open_time").is_between(begin, end, closed="left"))
        parts.append(rows)
    return together(parts or [pl.LazyFrame(schema=filled.COLUMNS)])
