"""``lake.symbols``: what the archive lists for a market and data type, as a frame of symbols."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import parse_data_type, parse_market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import DayLike, parse_days
from cryptolake.archive.symbols import Vocabulary, in_universe, split_symbol
from cryptolake.errors import IncompleteWarning
from cryptolake.listing.folders import left_out
from cryptolake.listing.lifetimes import Lifetimes
from cryptolake.query import Query

if TYPE_CHECKING:
    from cryptolake.archive.lives import Life
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
"""What a symbol's name says; with spans also the columns of ``SPANS``."""

SPANS: dict[str, Any] = {
    "first": pl.Date,
    "last": pl.Date,
    "status": pl.String,
    "spans": pl.List(pl.Struct({"first": pl.Date, "last": pl.Date})),
}
"""The first and last UTC day with files, how the life ends (:data:`cryptolake.archive.lives.STATES`), and its
uninterrupted parts: more than one where a pair was delisted and listed again."""


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
        Only symbols that were listed on this UTC day (or some day of a month or year), delisted ones
        included, and those not that were away then. Implies ``spans``.
    spans
        Add ``first, last`` (the UTC days of the first and last file), ``status`` (``live``, ``delisted``,
        ``delivered`` or ``discontinued``, against how far the archive is; null where no file is known) and
        ``spans``, each part of the life. This asks the archive about every symbol, some side by side.
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
    market = row.market.value
    known = Vocabulary.learn(market, names)
    if universe is not None:
        names = [name for name in names if in_universe(universe, market, name, known)]
    split = [split_symbol(market, name, known.quotes) for name in names]
    table = pl.DataFrame(split, schema=COLUMNS, orient="row")
    if not spans and listed_on is None:
        return table
    days = None if listed_on is None else parse_days(listed_on)
    asker = Lifetimes(listing, datetime.now(UTC).date(), refresh, max_age)
    lives = asker.lives_of_symbols(row, names, around=days)
    found = pl.DataFrame([_spans(life) for life in lives], schema=SPANS, orient="row")
    table = table.hstack(found)
    return table if days is None else table.filter([life.meets(days) for life in lives])


def _spans(life: Life) -> tuple[Any, ...]:
    """Return a life as the columns of ``SPANS``; what goes on ends with the newest file."""
    if not life.spans:
        return None, None, None, None
    parts = [{"first": span.first, "last": span.last or life.newest} for span in life.spans]
    return parts[0]["first"], parts[-1]["last"], life.state, parts


def _warn_of_odd(row: Row, levels: Iterable[Names]) -> None:
    odd = {name for level in levels for name in level.odd}
    if odd:
        warnings.warn(f"{left_out(row.dataset, odd)}.", IncompleteWarning, stacklevel=4)
