"""Other engines read the trees of a lake without cryptolake: the same rows, sums, symbols and intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset
import pyarrow.parquet
import pytest

import cryptolake as cl

# Dask calls what this pandas will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

DAYS = ("2024-12-30", "2025-02-01")
SYMBOLS = ("BTCUSDT", "龙虾USDT")
BARS = cl.query().markets("spot").klines("1h", "1d").symbols(*SYMBOLS).between(*DAYS)
PERPS = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between(*DAYS)
TRADES = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT").between("2025-01-01")

ENGINES: dict[str, Callable[[Path], Any]] = {
    "pyarrow": lambda folder: pyarrow.dataset.dataset(folder, partitioning="hive").to_table(),
    "pandas": pd.read_parquet,
    "duckdb": lambda folder: duckdb.read_parquet(
        f"{folder}/**/*.parquet", hive_partitioning=True
    ).pl(),
    "polars": lambda folder: pl.scan_parquet(folder).collect(),
    "dask": lambda folder: dask.dataframe.read_parquet(folder).compute(scheduler="synchronous"),
}

GOLD: dict[str, Callable[[Path], Any]] = ENGINES | {
    "pyarrow": lambda folder: pyarrow.dataset.dataset(folder).to_table(),
    "pandas": lambda folder: pd.read_parquet(folder, partitioning=None),
    "dask": lambda folder: dask.dataframe.read_parquet(
        folder, dataset={"partitioning": None}
    ).compute(scheduler="synchronous"),
}
"""The columns of Gold's files have the names of its folders, which pyarrow takes for two types of one column."""


@pytest.fixture(scope="module")
def lake(archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """Bars of two symbols and intervals, trades, and a recipe of Gold; tests only read it."""
    made = cl.Lake(tmp_path_factory.mktemp("engines") / "lake", source=archive)
    for query in (BARS, PERPS, TRADES):
        made.pull(query, progress=False)
    made.gold("basis", PERPS, progress=False)
    return made


def totals(rows: Any, by: list[str], column: str) -> list[tuple[Any, ...]]:
    """Return, by group, the number of rows and the sum of a column, as Polars counts them."""
    if not isinstance(rows, pl.DataFrame):
        names = [*by, column]
        table = rows if isinstance(rows, pyarrow.Table) else pyarrow.Table.from_pandas(rows)
        rows = pl.DataFrame(pl.from_arrow(table.select(names)))
    texts = (pl.col(name).cast(pl.String) for name in by)
    found = rows.with_columns(texts).group_by(by).agg(pl.len(), pl.col(column).sum().round(6))
    return sorted(found.rows())


@pytest.mark.parametrize("engine", ENGINES)
def test_silver_is_read_by_its_folders(lake: cl.Lake, engine: str):
    folder = Path(lake.root) / "silver" / "market=spot" / "data_type=klines"
    expected = totals(lake.silver(BARS).collect(), ["interval", "symbol"], "volume")
    assert len(expected) == 4
    assert totals(ENGINES[engine](folder), ["interval", "symbol"], "volume") == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_a_type_without_intervals_has_no_such_column(lake: cl.Lake, engine: str):
    folder = Path(lake.root) / "silver" / "market=spot" / "data_type=trades"
    rows = ENGINES[engine](folder)
    expected = totals(lake.silver(TRADES).collect(), ["symbol"], "price")
    assert totals(rows, ["symbol"], "price") == expected
    names = rows.column_names if isinstance(rows, pyarrow.Table) else list(rows.columns)
    assert "interval" not in names


@pytest.mark.parametrize("engine", GOLD)
def test_gold_has_symbol_market_and_interval_in_its_files(lake: cl.Lake, engine: str):
    by = ["market", "symbol", "interval"]
    expected = totals(lake.gold("basis", PERPS, progress=False).collect(), by, "basis")
    assert expected[0][:3] == ("futures_um", "BTCUSDT", "1h")
    assert totals(GOLD[engine](Path(lake.root) / "gold" / "basis"), by, "basis") == expected


def test_one_file_says_what_it_is_in_its_metadata(lake: cl.Lake):
    path = next(Path(lake.root).glob("silver/**/interval=1h/symbol=BTCUSDT/2025-01.parquet"))
    said = json.loads(pyarrow.parquet.read_metadata(path).metadata[b"cryptolake"])
    facts = [said[name] for name in ("dataset", "symbol", "interval", "month")]
    assert facts == ["spot_klines", "BTCUSDT", "1h", "2025-01"]
    assert all(len(source["sha256"]) == 64 for source in said["sources"])
