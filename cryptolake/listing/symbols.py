"""``lake.symbols``: what the archive lists for a market and data type, as a frame of symbols."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import parse_data_type, parse_market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import DayLike, parse_days
from cryptolake.archive.symbols import in_universe, split_symbol
from cryptolake.errors import IncompleteWarning
from cryptolake.listing.folders import left_out
from cryptolake.listing.lifetimes import spans as spans_of
from cryptolake.query import Query

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row
    from cryptolake.listing.listing import Listing, Names

COLUMNS: dict[str, Any] = {
    "symbol": pl.String,
    "base": pl.String,
    "quote": pl.String,
    "contract": pl.String,
    "expiry": pl.Date,
    "settled": pl.Boolean,
}
"""What a symbol's name says; with spans also ``first`` and ``last`` (UTC days) and ``status``."""

_GRACE = timedelta(days=35)
"""How far behind the data type's newest file a symbol may be and still count as live: a monthly file is
published once a month."""


def symbol_table(
    listing: Listing,
    market: str,
    data_type: str = "klines",
    *,
    quote: str | Iterable[str] | None = None,
    contract: str | Iterable[str] | None = None,
    listed_on: DayLike | None = None,
    spans: bool = False,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> pl.DataFrame:
    """Return the symbols that the archive lists, one a row, sorted by name.

    Parameters
    ----------
    listing
        The archive's listing.
    market, data_type
        Of which matrix row.
    quote, contract
        Only these quote assets; only these contract kinds.
    listed_on
        Only symbols that have files of this UTC day's time, delisted ones included. Implies ``spans``.
    spans
        Add ``first, last`` (the UTC days of the first and last file) and ``status`` (``live`` or
        ``delisted``). This asks the archive about every symbol, some of them side by side.
    refresh, max_age
        As for a plan.

    Raises
    ------
    InvalidQuery
        A market, data type or contract kind that does not exist, or a day that cannot be read.
    ListingError
        The archive does not answer, and no cached listing can stand in.
    """
    row = load_matrix().row(parse_market(market), parse_data_type(data_type))
    universe = Query().universe(quote=quote or (), contract=contract or ()).selection.universe
    wanted = [(row, partition) for partition in row.partitions]
    levels = listing.symbol_levels(wanted, refresh=refresh, max_age=max_age)
    names = sorted({symbol for level in levels.values() for symbol in level.plain})
    _warn_of_odd(row, levels.values())
    if universe is not None:
        names = [name for name in names if in_universe(universe, row.market.value, name)]
    split = [split_symbol(row.market.value, name) for name in names]
    table = pl.DataFrame(split, schema=COLUMNS, orient="row")
    if not spans and listed_on is None:
        return table
    found = spans_of(listing, row, names, refresh=refresh, max_age=max_age)
    table = table.join(found, on="symbol", how="left", maintain_order="left")
    live = pl.col("last") >= pl.col("last").max() - _GRACE
    if row.status == "discontinued":
        live = pl.lit(value=False)
    table = table.with_columns(
        status=pl.when(pl.col("last").is_null())
        .then(None)
        .when(live)
        .then(pl.lit("live"))
        .otherwise(pl.lit("delisted"))
    )
    if listed_on is None:
        return table
    days = parse_days(listed_on)
    return table.filter((pl.col("first") <= days.last) & (pl.col("last") >= days.first))


def _warn_of_odd(row: Row, levels: Iterable[Names]) -> None:
    odd = {name for level in levels for name in level.odd}
    if odd:
        warnings.warn(f"{left_out(row.dataset, odd)}.", IncompleteWarning, stacklevel=4)
