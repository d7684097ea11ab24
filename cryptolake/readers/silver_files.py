"""Which Silver files are current, and which rows of the build records account for them.

``status``, ``datasets``, quality, SQL views and frames all go by this module: a file is current when it
stands at a Silver path; its account is that of the newest build of that path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.symbols import is_glob
from cryptolake.bronze.ledger import means
from cryptolake.storage.layout import (
    SILVER,
    SILVER_PATTERN,
    SilverPath,
    parse_silver_path,
    silver_folder,
)
from cryptolake.storage.tables import of_newest_build

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Market
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader


class SilverFile(NamedTuple):
    """One symbol-month that stands in the lake: what its path says, and its size in bytes."""

    where: SilverPath
    size: int

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return self.where.path


def silver_files(storage: Storage, folder: str = SILVER) -> Iterator[SilverFile]:
    """Yield the Silver files below a folder, sorted by path."""
    for entry in storage.list(folder):
        found = parse_silver_path(entry.path)
        if found is not None:
            yield SilverFile(found, entry.size)


def current_sources(sources: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of ``meta.sources`` that account for each path's newest build.

    A build writes a row for each Bronze file of a month, under its run. The account of an older build says
    nothing of the file that stands there now: a source that it names may have been removed since.
    """
    # By the order they were written in: clocks of two machines may disagree.
    return sources.filter(of_newest_build())


def current_silver(storage: Storage, records: TableReader) -> pl.DataFrame:
    """Return a row for each Silver file that stands in the lake or should, with what its newest build recorded.

    Returns
    -------
    polars.DataFrame
        ``path, bytes, market, data_type, interval, symbol, month``; ``damaged``, whether the file is gone or has
        another size than its record says; and ``rows, duplicates, rejects, first, last`` (UTC days of the first
        and last row), which are null where no build is recorded and where the file is damaged. The files that are
        not damaged are those that SQL views and frames read.
    """
    files = list(silver_files(storage))
    standing = pl.DataFrame(
        {"path": [file.path for file in files], "bytes": [file.size for file in files]},
        schema={"path": pl.String, "bytes": pl.Int64},
    )
    recorded = records.read("months").unique("path", keep="last").select("path", recorded="size")
    built = (
        current_sources(records.read("sources"))
        .group_by("path")
        .agg(
            pl.col("rows_out").sum().alias("rows"),
            pl.col("duplicates").sum(),
            pl.col("rejects").sum(),
            pl.col("first_time").min().dt.date().alias("first"),
            pl.col("last_time").max().dt.date().alias("last"),
        )
    )
    same = pl.col("recorded").is_null() | (pl.col("bytes") == pl.col("recorded"))
    found = (
        standing.join(recorded, on="path", how="full", coalesce=True)
        .with_columns(damaged=~same.fill_null(value=False))
        .join(built, on="path", how="left")
        .with_columns(
            pl.when(~pl.col("damaged")).then(name)
            for name in ("rows", "duplicates", "rejects", "first", "last")
        )
        .drop("recorded")
    )
    parts = pl.col("path").str.extract_groups(SILVER_PATTERN).alias("_parts")
    return found.with_columns(parts).unnest("_parts").sort("path")


def silver_of(
    storage: Storage, query: Query, market: Market, data_type: DataType
) -> list[SilverFile]:
    """Return a dataset's files that a query means: its symbols, intervals, and months of its days."""
    selection = query.selection
    wanted: dict[str, bool] = {}
    files = []
    for folder in _folders(query, market, data_type):
        for file in silver_files(storage, folder):
            _, _, interval, symbol, month = file.where
            if selection.intervals and interval is not None and interval not in selection.intervals:
                continue
            if selection.days and selection.days.clip(month.days) is None:
                continue
            if symbol not in wanted:
                wanted[symbol] = means(selection, market, symbol)
            if wanted[symbol]:
                files.append(file)
    return files


def extra_columns(records: TableReader) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the columns, text all of them, that Silver files of a dataset have beyond its schema."""
    warned = current_sources(records.read("sources")).filter(
        pl.col("warnings").str.contains("extra_column:", literal=True)
    )
    found: dict[tuple[str, str], set[str]] = {}
    for path, warnings in warned.select("path", "warnings").unique().iter_rows():
        file = parse_silver_path(path)
        if file is not None:
            names = re.findall(r"extra_column:(\w+)", warnings)
            found.setdefault((file.market.value, file.data_type.value), set()).update(names)
    return {dataset: tuple(sorted(names)) for dataset, names in sorted(found.items())}


def _folders(query: Query, market: Market, data_type: DataType) -> Iterator[str]:
    """Yield the folders to list: narrow ones where the query names its symbols in full."""
    selection = query.selection
    has_interval = load_matrix().row(market, data_type).has_interval
    everything = not selection.symbols or any(is_glob(symbol) for symbol in selection.symbols)
    if everything or (has_interval and not selection.intervals):
        yield silver_folder(market, data_type)
        return
    intervals = selection.intervals if has_interval else (None,)
    for interval in intervals:
        for symbol in sorted(selection.symbols):
            yield silver_folder(market, data_type, interval, symbol)
