"""Which Bronze files a lake holds, and which of them a query means: the ledger with its keys read."""

from __future__ import annotations

import re
import warnings
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Interval, Partition
from cryptolake.archive.keys import KEY_PATTERN, MARKET_PATHS, SYMBOL_FOLDER, ZIP, prefix_of
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.symbols import in_universe
from cryptolake.errors import DamagedLakeWarning, InvalidQuery
from cryptolake.storage import layout
from cryptolake.storage.scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType
    from cryptolake.archive.periods import Period
    from cryptolake.query import Query, Selection
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader


# As plain text, Polars takes them faster.
_INTERVALS = [interval.value for interval in Interval]


def in_months(files: pl.DataFrame, months: pl.DataFrame) -> pl.DataFrame:
    """Return those of some files (with their key parts) that lie in some series' months.

    Parameters
    ----------
    files
        With ``market, data_type, symbol, interval`` and ``period``.
    months
        With the same names, and ``month`` as ``YYYY-MM``.
    """
    names = ["market", "data_type", "symbol", "interval", "month"]
    rows = files.with_columns(month=pl.col("period").str.slice(0, 7))
    return rows.join(months, on=names, how="semi", nulls_equal=True).drop("month")


def with_key_parts(files: pl.DataFrame) -> pl.DataFrame:
    """Add what a key says to a frame that has a ``key`` column.

    Returns
    -------
    polars.DataFrame
        With ``market, data_type, symbol, interval`` (null where there is none), ``partition, period``
        (text), and the UTC days ``first`` and ``last`` that the file covers. All are null where the archive's
        grammar does not know the key: a type that the market has not, an interval that does not exist, or a
        day like 2024-02-31.

    Examples
    --------
    >>> key = "data/futures/um/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.zip"
    >>> with_key_parts(pl.DataFrame({"key": [key]})).select("market", "period", "last").row(0)
    ('futures_um', '2024-02', datetime.date(2024, 2, 29))
    """
    parts = pl.col("key").str.extract_groups(KEY_PATTERN)
    names = ("partition", "data_type", "symbol", "interval", "period")
    monthly = pl.col("partition") == "monthly"
    begin = pl.concat_str(
        "period", pl.when(monthly).then(pl.lit("-01")).otherwise(pl.lit(""))
    ).str.to_date("%Y-%m-%d", strict=False)
    named = files.with_columns(
        parts.struct.field("path")
        .replace_strict(MARKET_PATHS, return_dtype=pl.String)
        .alias("market"),
        *(parts.struct.field(name) for name in names),
    ).with_columns(begin.alias("first"))
    level = pl.concat_str("market", "data_type", pl.col("interval").is_null(), separator="/")
    known = (
        level.is_in(_levels())
        & (pl.col("interval").is_null() | pl.col("interval").is_in(_INTERVALS))
        & pl.col("first").is_not_null()
    )
    return named.with_columns(
        pl.when(known).then(name) for name in ("market", *names, "first")
    ).with_columns(
        pl.when(monthly).then(pl.col("first").dt.month_end()).otherwise("first").alias("last")
    )


def _levels() -> list[str]:
    """Return each market with its data types, and whether their keys name no interval, as Polars writes it."""
    rows = load_matrix().rows
    return [f"{row.market}/{row.data_type}/{str(not row.has_interval).lower()}" for row in rows]


def holdings(records: TableReader, query: Query | None = None) -> pl.DataFrame:
    """Return the ledger's rows with their key parts; only those that a query means, when one is given.

    A file counts when its period overlaps the query's days. Words the query leaves out do not narrow.
    """
    if query is None:
        return with_key_parts(records.ledger())
    return narrowed(with_key_parts(records.ledger(scope=scope_of(query))), query)


def warn_of_lost_ledger(storage: Storage, records: TableReader) -> None:
    """Warn where no record names a file, and Bronze has some all the same: not the files are gone, but the ledger.

    Nothing is listed unless the ledger is empty.
    """
    if not records.ledger().is_empty():
        return
    zips = sum(entry.path.endswith(ZIP) for entry in storage.list(layout.BRONZE))
    if zips:
        message = (
            f"{layout.BRONZE}/ of the lake at {storage.root} has {zips:,} zips, and its ledger (meta/files) names none: "
            "`cryptolake verify --repair` checks them and records them again, and `cryptolake build` goes on from there."
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=3)


def holdings_beside(records: TableReader, keys: pl.Series) -> pl.DataFrame:
    """Return the ledger's rows of the symbols that some keys are of, with their key parts."""
    return with_key_parts(records.ledger(scope=scope_of_keys(keys)))


def scope_of(query: Query) -> Scope:
    """Return the keys that a query's markets, data types and symbols allow; days do not narrow.

    A glob counts by the letters before its first wildcard.

    Examples
    --------
    >>> from cryptolake.query import Query
    >>> asked = Query().markets("spot").data_types("trades").symbols("BTC*")
    >>> scope_of(asked).prefixes
    ('data/spot/daily/trades/BTC', 'data/spot/monthly/trades/BTC')
    """
    selection = query.selection
    if not (selection.markets or selection.data_types or selection.symbols):
        return EVERYTHING
    names = [_literal(word) for word in sorted(selection.symbols)] or [""]
    matrix = load_matrix()
    heads = [
        prefix_of(row, partition)
        for row in matrix.rows
        if (not selection.markets or row.market in selection.markets)
        and (not selection.data_types or row.data_type in selection.data_types)
        for partition in Partition
    ]
    return Scope.of(head + name for head in heads for name in names)


def scope_of_keys(keys: pl.Series) -> Scope:
    """Return the keys of the symbols that some keys are of, in both partitions.

    Examples
    --------
    >>> scope_of_keys(
    ...     pl.Series(["data/spot/daily/trades/AUSDT/AUSDT-trades-2024-01-01.zip"])
    ... ).prefixes
    ('data/spot/daily/trades/AUSDT/', 'data/spot/monthly/trades/AUSDT/')
    """
    found = keys.str.extract(SYMBOL_FOLDER).unique()
    if found.null_count():
        return EVERYTHING  # a key that the archive's grammar does not know
    both = (found.str.replace(r"/(daily|monthly)/", f"/{tree.value}/") for tree in Partition)
    return Scope.of(prefix for prefixes in both for prefix in prefixes)


def _literal(word: str) -> str:
    """Return what every symbol that a name or glob means begins with."""
    plain = re.split(r"[*?\[]", word, maxsplit=1)[0]
    return plain if plain != word else f"{word}/"


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


def means_month(selection: Selection, market: str, symbol: str | None, month: Period) -> bool:
    """Say whether a selection takes in some days of a month's file of a market: of a symbol's, or of all symbols (None)."""
    if selection.days and selection.days.clip(month.days) is None:
        return False
    return symbol is None or means(selection, market, symbol)


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
