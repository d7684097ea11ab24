"""Silver rows with exact prices and quantities, made anew from Bronze on reading.

Silver on disk holds Float64, which is what nearly everyone computes with. Where the published decimals
themselves matter, the same rows (the same rules, order and repeats left out) are made from the verified
zips with prices, quantities and ratios as ``Decimal(38, scale)``, the scale being the most decimals that
the files print in that column. Held in memory: ask for months, not years, of trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.schemas import FLOATS, Schema, schema_of
from cryptolake.bronze.ledger import holdings, holdings_beside, one_data_type
from cryptolake.bronze.sniff import detect
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits, inflate
from cryptolake.errors import CorruptArchive
from cryptolake.silver.assembly import SourceText
from cryptolake.silver.month import read_source
from cryptolake.silver.months import Month, months_to_build
from cryptolake.silver.normalize import in_file_order, normalize
from cryptolake.silver.parse import FILE, LINE, split_lines

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage

_PRECISION = 38


def exact_frame(
    lake: LakeContext, bronze_rows: pl.DataFrame, *, limits: Limits = DEFAULT_LIMITS
) -> pl.DataFrame:
    """Return the Silver rows of whole symbol-months with exact decimals.

    Parameters
    ----------
    lake
        The lake.
    bronze_rows
        Ledger rows with their key parts (:func:`cryptolake.bronze.ledger.holdings`), of one dataset: the
        months that they lie in are read, from all of their files.
    limits
        The largest zip and the longest line that are read.

    Returns
    -------
    polars.DataFrame
        ``market, symbol, interval`` (null where there is none), then Silver's columns; months in order.

    Raises
    ------
    CorruptArchive
        A file cannot be used; ``build`` leaves such a file out, but exact rows are all or nothing.
    """
    months = months_to_build(bronze_rows, holdings_beside(lake.records, bronze_rows["key"]))
    parts = [_month(lake.storage, month, limits) for month in months]
    if not parts:
        return pl.DataFrame()
    schema = months[0].series.schema
    names = [column.name for column in schema.columns if column.kind in FLOATS]
    return pl.concat([decimals(part, names, parts) for part in parts], how="diagonal_relaxed")


def exact_rows(query: Query, lake: LakeContext) -> pl.DataFrame:
    """Return the exact rows of a query's days, both ends in, in the order of Silver.

    Raises
    ------
    InvalidQuery
        The query names no data type, or several.
    CorruptArchive
        A file cannot be used.
    """
    data_type = one_data_type(query)
    found = []
    for market, files in holdings(lake.records, query).group_by(["market"], maintain_order=True):
        days, time = query.selection.days, pl.col(schema_of(str(market[0]), data_type).time)
        rows = exact_frame(lake, files)
        if days is not None:
            rows = rows.filter(time.is_between(pl.lit(days.begin), pl.lit(days.end), closed="left"))
        found.append(rows)
    if found:
        return pl.concat(found, how="diagonal_relaxed")
    types = schema_of(query.selection.rows()[0].market, data_type).silver_dtypes()
    own = dict.fromkeys(("market", "symbol", "interval"), pl.String())
    return pl.DataFrame(schema={**own, **types})


def exact_texts(frame: pl.DataFrame, texts: Sequence[SourceText], schema: Schema) -> pl.DataFrame:
    """Put the published text of prices and quantities back into a frame that says where rows stand."""
    names = [column.name for column in schema.columns if column.kind in FLOATS]
    placed = frame.with_row_index("_place")
    parts = []
    for (number,), rows in placed.group_by([FILE], maintain_order=True):
        text = texts[int(str(number))]
        layout = detect(text.text, schema, text.key)
        lines = split_lines(text.text)
        wanted = pl.Series("", [lines[line - 1].decode() for line in rows[LINE]], pl.String)
        cells = wanted.str.split_exact(",", len(layout.columns) - 1).struct.unnest()
        cells.columns = list(layout.columns)
        known = [name for name in names if name in layout.columns]
        published = cells.select(pl.col(known).str.strip_chars(' \t\r"'))
        # A number that Silver takes for "nothing" is nothing here too.
        masked = [
            pl.when(rows[name].is_not_null()).then(pl.col(name)).alias(name) for name in known
        ]
        absent = [pl.lit(None, pl.String).alias(name) for name in names if name not in known]
        parts.append(
            pl.concat(
                [rows.drop(names), published.select(*masked).with_columns(absent)], how="horizontal"
            )
        )
    if not parts:
        return frame.with_columns(pl.col(names).cast(pl.String)).drop(FILE, LINE)
    whole = pl.concat(parts, how="diagonal_relaxed").sort("_place")
    return whole.select(name for name in frame.columns if name not in {FILE, LINE})


def decimals(
    frame: pl.DataFrame, names: Sequence[str], parts: Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """Read text columns as decimals, each with the scale that all parts together need.

    Examples
    --------
    >>> part = pl.DataFrame({"price": ["42313.90", "0E-8", None]})
    >>> decimals(part, ["price"], [part])["price"].dtype
    Decimal(precision=38, scale=8)
    """
    types = {
        name: pl.Decimal(_PRECISION, max(_scale(part[name]) for part in parts)) for name in names
    }
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in types.items())


def _scale(texts: pl.Series) -> int:
    """Return the most decimals that numbers are printed with; ``0E-8`` has eight."""
    point = texts.str.extract(r"\.(\d*)").str.len_chars().cast(pl.Int64).fill_null(0)
    power = texts.str.extract(r"[eE]([+-]?\d+)").cast(pl.Int64).fill_null(0)
    most = (point - power).max()
    return max(0, int(str(most))) if most is not None else 0


def _month(storage: Storage, month: Month, limits: Limits) -> pl.DataFrame:
    series = month.series
    texts = in_file_order(
        [
            SourceText(
                source.key, source.period, inflate(read_source(storage, source), source.key, limits)
            )
            for source in month.sources
        ]
    )
    done = normalize(
        texts,
        series.schema,
        symbol=series.symbol,
        month=month.period,
        interval=series.interval,
        limits=limits,
        places=True,
    )
    for account in done.accounts:
        if account.error is not None:
            raise CorruptArchive(str(account.error), key=account.key, reason="unusable")
    names = {
        "market": series.market.value,
        "symbol": series.symbol,
        "interval": series.interval.value if series.interval else None,
    }
    constants = [pl.lit(value, pl.String).alias(name) for name, value in names.items()]
    exact = exact_texts(done.frame, texts, series.schema)
    return exact.select(*constants, *exact.columns)
