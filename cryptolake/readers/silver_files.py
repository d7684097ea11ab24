"""Which Silver files a lake has, and what their paths say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.periods import Period
from cryptolake.bronze.ledger import means

if TYPE_CHECKING:
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

GLOB_SIGNS = frozenset("*?[")


class SilverFile(NamedTuple):
    """One symbol-month: what its path says, and its size in bytes."""

    path: str
    size: int
    market: Market
    data_type: DataType
    interval: Interval | None
    symbol: str
    month: Period


def parse_silver_path(path: str, size: int = 0) -> SilverFile | None:
    """Read a Silver file's path under the root; None when it is no such file.

    Examples
    --------
    >>> path = "silver/market=spot/data_type=klines/interval=1m/symbol=BTCUSDT/2024-01.parquet"
    >>> file = parse_silver_path(path)
    >>> file.symbol, file.interval.value, str(file.month)
    ('BTCUSDT', '1m', '2024-01')
    """
    *folders, name = path.split("/")
    parts = dict(folder.split("=", 1) for folder in folders[1:] if "=" in folder)
    if folders[:1] != ["silver"] or not name.endswith(".parquet"):
        return None
    try:
        interval = parts.get("interval")
        return SilverFile(
            path,
            size,
            Market(parts["market"]),
            DataType(parts["data_type"]),
            None if interval is None else Interval(interval),
            parts["symbol"],
            Period.parse(name.removesuffix(".parquet")),
        )
    except (KeyError, ValueError):
        return None


def silver_files(storage: Storage, folder: str = "silver") -> Iterator[SilverFile]:
    """Yield the Silver files below a folder, sorted by path."""
    for entry in storage.list(folder):
        found = parse_silver_path(entry.path, entry.size)
        if found is not None:
            yield found


def silver_of(
    storage: Storage, query: Query, market: Market, data_type: DataType
) -> list[SilverFile]:
    """Return a dataset's files that a query means: its symbols, intervals, and months of its days."""
    selection = query.selection
    wanted: dict[str, bool] = {}
    files = []
    for folder in _folders(query, market, data_type):
        for file in silver_files(storage, folder):
            if (
                selection.intervals
                and file.interval is not None
                and file.interval not in selection.intervals
            ):
                continue
            if selection.days and selection.days.clip(file.month.days) is None:
                continue
            if file.symbol not in wanted:
                wanted[file.symbol] = means(selection, market, file.symbol)
            if wanted[file.symbol]:
                files.append(file)
    return files


def extra_columns(records: TableReader) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the columns, text all of them, that Silver files of a dataset have beyond its schema."""
    import polars as pl

    warned = records.read("sources").filter(
        pl.col("warnings").str.contains("extra_column:", literal=True)
    )
    found: dict[tuple[str, str], set[str]] = {}
    for path, warnings in warned.select("path", "warnings").unique().iter_rows():
        file = parse_silver_path(path)
        if file is not None:
            names = re.findall(r"extra_column:(\w+)", warnings)
            found.setdefault((file.market, file.data_type), set()).update(names)
    return {dataset: tuple(sorted(names)) for dataset, names in sorted(found.items())}


def _folders(query: Query, market: Market, data_type: DataType) -> Iterator[str]:
    """Yield the folders to list: narrow ones where the query names its symbols in full."""
    selection = query.selection
    top = f"silver/market={market.value}/data_type={data_type.value}"
    has_interval = data_type.value.lower().endswith("klines")
    if not selection.symbols or any(GLOB_SIGNS & set(symbol) for symbol in selection.symbols):
        yield top
    elif not has_interval:
        yield from (f"{top}/symbol={symbol}" for symbol in sorted(selection.symbols))
    elif selection.intervals:
        for interval in selection.intervals:
            yield from (
                f"{top}/interval={interval.value}/symbol={s}" for s in sorted(selection.symbols)
            )
    else:
        yield top
