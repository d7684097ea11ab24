"""Which Bronze files a lake holds, and which of them a query means: the ledger with its keys read."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.symbols import in_universe
from cryptolake.errors import InvalidQuery

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType
    from cryptolake.query import Query, Selection
    from cryptolake.storage.tables import TableReader

_KEY = (
    r"^data/(?<path>spot|futures/um|futures/cm|option)/(?<partition>daily|monthly)/(?<data_type>[^/]+)"
    r"/(?<symbol>[^/]+)/(?:(?<interval>[0-9a-z]+)/)?[^/]+-(?<period>\d{4}-\d{2}(?:-\d{2})?)\.zip$"
)
_MARKETS = {
    "spot": "spot",
    "futures/um": "futures_um",
    "futures/cm": "futures_cm",
    "option": "options",
}


def with_key_parts(files: pl.DataFrame) -> pl.DataFrame:
    """Add what a key says to a frame that has a ``key`` column.

    Returns
    -------
    polars.DataFrame
        With ``market, data_type, symbol, interval`` (null where there is none), ``partition, period``
        (text), and the UTC days ``first`` and ``last`` that the file covers.

    Examples
    --------
    >>> key = "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.zip"
    >>> with_key_parts(pl.DataFrame({"key": [key]})).select("market", "period", "last").row(0)
    ('futures_um', '2024-02', datetime.date(2024, 2, 29))
    """
    parts = pl.col("key").str.extract_groups(_KEY)
    names = ("partition", "data_type", "symbol", "interval", "period")
    monthly = pl.col("partition") == "monthly"
    begin = pl.concat_str(
        "period", pl.when(monthly).then(pl.lit("-01")).otherwise(pl.lit(""))
    ).str.to_date("%Y-%m-%d")
    return (
        files.with_columns(
            parts.struct.field("path")
            .replace_strict(_MARKETS, return_dtype=pl.String)
            .alias("market"),
            *(parts.struct.field(name) for name in names),
        )
        .with_columns(begin.alias("first"))
        .with_columns(
            pl.when(monthly).then(pl.col("first").dt.month_end()).otherwise("first").alias("last")
        )
    )


def holdings(records: TableReader, query: Query | None = None) -> pl.DataFrame:
    """Return the ledger's rows with their key parts; only those that a query means, when one is given.

    A file counts when its period overlaps the query's days. Words the query leaves out do not narrow.
    """
    files = with_key_parts(records.ledger())
    return files if query is None else narrowed(files, query)


def narrowed(files: pl.DataFrame, query: Query) -> pl.DataFrame:
    """Keep the rows (with key parts) that a query means."""
    selection = query.selection
    keep = pl.lit(value=True)
    if selection.markets:
        keep &= pl.col("market").is_in([market.value for market in selection.markets])
    if selection.data_types:
        keep &= pl.col("data_type").is_in([data_type.value for data_type in selection.data_types])
    if selection.intervals:
        words = [interval.value for interval in selection.intervals]
        keep &= pl.col("interval").is_null() | pl.col("interval").is_in(words)
    if selection.days:
        keep &= (pl.col("first") <= selection.days.last) & (pl.col("last") >= selection.days.first)
    found = files.filter(keep)
    if not selection.symbols and not selection.universe:
        return found
    pairs = found.select("market", "symbol").unique()
    wanted = [
        (market, symbol) for market, symbol in pairs.iter_rows() if means(selection, market, symbol)
    ]
    chosen = pl.DataFrame(wanted, schema={"market": pl.String, "symbol": pl.String}, orient="row")
    return found.join(chosen, on=["market", "symbol"], how="semi", maintain_order="left")


def means(selection: Selection, market: str, symbol: str) -> bool:
    """Say whether a selection's names, globs and universe take in a symbol of a market."""
    named = not selection.symbols or any(
        fnmatchcase(symbol.upper(), word) for word in selection.symbols
    )
    return named and (selection.universe is None or in_universe(selection.universe, market, symbol))


def one_data_type(query: Query) -> DataType:
    """Return the one data type of a query that is to become one frame.

    Raises
    ------
    InvalidQuery
        The query names none, or several, which have different columns.
    """
    types = query.selection.data_types
    if len(types) == 1:
        return types[0]
    names = ", ".join(data_type.value for data_type in types) or "none"
    message = (
        f"a frame holds one data type, and this query names {names}; "
        "ask for each on its own: query.data_types('klines')."
    )
    raise InvalidQuery(message, what="data type", given=names)
