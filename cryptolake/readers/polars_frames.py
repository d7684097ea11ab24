"""Bronze and Silver as Polars LazyFrames: what a query means, read when collected, file by file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import holdings, one_data_type
from cryptolake.bronze.text import ZipText
from cryptolake.errors import Damaged, StorageError
from cryptolake.readers.odd_symbols import without_odd_symbols
from cryptolake.readers.scans import frame_of_parts, scan_files
from cryptolake.readers.silver_files import (
    SilverFile,
    extra_columns,
    silver_of,
    silver_scope,
    warn_of_damage,
)
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
from cryptolake.storage.identity_columns import IDENTITY

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Market
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.layout import SilverPath


BATCH = 16 * 2**20
"""Bytes of CSV that are parsed at once: enough files to keep every core busy, few enough to hold."""


def rows_of(
    storage: Storage, files: pl.DataFrame, published: Mapping[str, Any], needed: set[str]
) -> Iterator[pl.DataFrame]:
    """Yield the rows of zips in the order of ``files``.

    Parameters
    ----------
    storage
        The lake.
    files
        A row per zip, its key in the first column; every column is repeated beside the zip's rows.
    published
        The columns of the text and their types.
    needed
        The columns to return; others are not parsed.

    Raises
    ------
    StorageError
        A file that the ledger has is not there.
    CorruptArchive
        A zip does not open.
    """
    columns = [name for name in published if name in needed]
    texts: list[bytes] = []
    places: list[int] = []
    size = 0
    for place, key in enumerate(files.to_series(0)):
        for text in _texts(storage, key):
            texts.append(text)
            places.append(place)
            size += len(text)
            if size >= BATCH:
                yield _parsed(texts, files[places], published, columns)
                texts, places, size = [], [], 0
    if texts:
        yield _parsed(texts, files[places], published, columns)


def _texts(storage: Storage, key: str) -> Iterator[bytes]:
    """Yield a zip's CSV text in pieces of whole lines."""
    path = layout.bronze_path(key)
    try:
        with in_words("read", path, storage.root):
            file = ZipText(lambda: storage.open(path), key)
    except FileNotFoundError as error:
        message = (
            f"{key} is in the ledger but not in Bronze: pull it again, or run `cryptolake verify`."
        )
        raise StorageError(message, key=key, root=storage.root) from error
    with file:
        rest = b""
        while piece := file.read(BATCH):
            end = piece.rfind(b"\n") + 1
            if end:
                yield _dense(rest + piece[:end])
                rest = piece[end:]
            else:
                rest += piece
        if rest:
            yield _dense(rest + b"\n")


def _dense(text: bytes) -> bytes:
    """Leave out empty lines, which are no rows."""
    if b"\n\n" not in text and not text.startswith(b"\n"):
        return text
    return re.sub(rb"\n+", b"\n", text).removeprefix(b"\n")


def _parsed(
    texts: list[bytes], files: pl.DataFrame, published: Mapping[str, Any], columns: list[str]
) -> pl.DataFrame:
    """Parse texts in one go when their lines add up, else one by one; a bad cell becomes null."""
    heights = [text.count(b"\n") for text in texts]
    frame = _read(texts[0] if len(texts) == 1 else b"".join(texts), published, columns)
    if frame.height != sum(heights):
        if len(texts) > 1:
            parts = [
                _parsed([text], files[[place]], published, columns)
                for place, text in enumerate(texts)
            ]
            return pl.concat(parts)
        heights = [frame.height]
    # Gathered, not repeated: the rows of a file then share one copy of its key.
    rows = [pl.repeat(n, height, dtype=pl.UInt32, eager=True) for n, height in enumerate(heights)]
    beside = files[pl.concat(rows)]
    return pl.concat([frame.select(columns), beside], how="horizontal") if columns else beside


def _read(text: bytes, published: Mapping[str, Any], columns: list[str]) -> pl.DataFrame:
    # One column has to be read for the rows to be counted, even when none is asked for.
    names = list(published)
    read = columns or names[:1]
    return pl.read_csv(
        text,
        has_header=False,
        schema=dict(published),
        columns=[names.index(name) for name in read],
        quote_char=None,  # nothing is quoted in the archive; an empty cell is sometimes two quotes
        null_values=["", '""'],
        ignore_errors=True,
        truncate_ragged_lines=True,
        extra_columns="ignore",
        missing_columns="insert",
    )


_HIVE = dict.fromkeys(("market", "data_type", "interval", "symbol"), pl.String)


def silver_frame(query: Query, lake: LakeContext) -> pl.LazyFrame:
    """Return the typed rows of a query's days: market, symbol, interval, and the schema's columns.

    Files are chosen now, read when the frame is collected, and never all at once. Rows come by market,
    interval and symbol, each in the order of time. Where markets differ in their columns, the frame has
    all of them, null where a market has none. With nothing there, it is empty and typed.

    Raises
    ------
    InvalidQuery
        The query names no data type, or several.

    Warns
    -----
    DamagedLakeWarning
        Silver files of the query are gone, or are not what was recorded; their rows are left out.
    """
    parts, bad = [], list[Damaged]()
    for market, files, types, found in _datasets(query, lake):
        bad += found
        if files:
            parts.append(_of_days(scan_months(lake.storage, files, types), query, market))
        else:
            parts.append(pl.LazyFrame(schema=_with_identity(types)))
    warn_of_damage(bad)
    return _together(parts)


def silver_symbols(query: Query, lake: LakeContext) -> Iterator[tuple[SilverPath, pl.LazyFrame]]:
    """Yield the rows of :func:`silver_frame` symbol by symbol, each with where its first month is.

    A part has the rows of one market, interval and symbol, in the order of time.

    Warns
    -----
    DamagedLakeWarning
        As :func:`silver_frame` does.
    """
    datasets = list(_datasets(query, lake))
    warn_of_damage([item for *_, bad in datasets for item in bad])
    for market, files, types, _ in datasets:
        series = groupby(files, lambda file: (file.where.interval, file.where.symbol))
        for _, months in series:
            found = list(months)
            rows = _of_days(scan_months(lake.storage, found, types), query, market)
            yield found[0].where, rows


def _datasets(
    query: Query, lake: LakeContext
) -> Iterator[tuple[Market, list[SilverFile], dict[str, Any], list[Damaged]]]:
    """Yield each market of a query: its files that can be read, their columns, and the damaged ones."""
    data_type = one_data_type(query)
    extras = extra_columns(lake.records, silver_scope(query))
    for market in markets_of(query, data_type):
        types = schema_of(market, data_type).silver_dtypes()
        types |= dict.fromkeys(extras.get((market, data_type), ()), pl.String())
        found = silver_of(lake.storage, lake.records, query, market, data_type)
        held = without_odd_symbols(found, lake.storage.root)
        yield market, held.whole, types, held.bad


def _of_days(rows: pl.LazyFrame, query: Query, market: Market) -> pl.LazyFrame:
    days = query.selection.days
    if days is None:
        return rows
    time = pl.col(schema_of(market, one_data_type(query)).time)
    return rows.filter(time.is_between(pl.lit(days.begin), pl.lit(days.end), closed="left"))


def bronze_frame(query: Query, lake: LakeContext) -> pl.LazyFrame:
    """Return the rows of a query's Bronze files as published, then key, market, symbol and interval.

    Every file whose day or month overlaps the query's days is read whole, in place and still zipped,
    some at a time. Times are the integers that the archive wrote, in milliseconds or microseconds; a cell
    that is no number where one belongs is null, and cells past the last column are left out. A column of ours whose name the archive uses itself
    is called ``file_symbol`` instead.

    Raises
    ------
    InvalidQuery
        The query names no data type, or several.
    """
    data_type = one_data_type(query)
    held = holdings(lake.records, query)
    parts = []
    for market in markets_of(query, data_type):
        published = schema_of(market, data_type).published_dtypes()
        names = {name: f"file_{name}" if name in published else name for name in ("key", *IDENTITY)}
        schema = {**published, **dict.fromkeys(names.values(), pl.String)}
        files = held.filter(pl.col("market") == market.value).select("key", *IDENTITY).rename(names)
        keys = list(names.values())
        parts.append(_source(lake.storage, schema, files.sort(keys[0]), keys))
    return _together(parts)


def markets_of(query: Query, data_type: DataType) -> list[Market]:
    """Return the markets that a query asks this data type of; all that have it, when it names none."""
    matrix = load_matrix()
    if not query.selection.markets:
        return [row.market for row in matrix.rows if row.data_type is data_type]
    asked = query.selection.markets
    found = [market for market in asked if (market, data_type) in matrix]
    if not found:
        matrix.row(asked[0], data_type)  # raises the InvalidQuery that says what there is
    return found


def _with_identity(types: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(IDENTITY, pl.String()), **types}


def _together(parts: list[pl.LazyFrame]) -> pl.LazyFrame:
    if len(parts) == 1:
        return parts[0]
    schemas = [part.collect_schema() for part in parts]
    same = all(schema == schemas[0] for schema in schemas)
    return pl.concat(parts, how="vertical" if same else "diagonal")


def scan_months(
    storage: Storage, files: list[SilverFile], types: Mapping[str, Any]
) -> pl.LazyFrame:
    """Scan Silver files, whose folders say market, symbol and interval."""
    has_interval = files[0].where.interval is not None
    order = [name for name in IDENTITY if has_interval or name != "interval"]
    hive = {name: kind for name, kind in _HIVE.items() if has_interval or name != "interval"}
    paths = (file.path for file in files)
    scan = scan_files(storage, paths, types, hive_partitioning=True, hive_schema=hive)
    if has_interval:
        return scan.select(*order, *types)
    without = pl.lit(None, pl.String).alias("interval")
    return scan.select(*order, without, *types).select(_with_identity(types).keys())


def _source(
    storage: Storage, schema: Mapping[str, Any], files: pl.DataFrame, own: list[str]
) -> pl.LazyFrame:
    """Make a LazyFrame that reads Bronze files when collected, with what the query engine hands in."""
    published = {name: kind for name, kind in schema.items() if name not in own}

    def make(needed: list[str], predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
        chosen = files
        if predicate is not None and set(predicate.meta.root_names()) <= set(own):
            chosen = files.filter(predicate)  # decided by the key alone: no other file is opened
        return rows_of(storage, chosen, published, set(needed))

    return frame_of_parts(schema, make)
