"""Other engines read the trees of a lake without cryptolake: the same rows, sums, symbols and intervals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset
import pyarrow.parquet
import pytest

import cryptolake as cl
from tests.silver.texts import written_before

# Dask calls what this pandas will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

DAYS = ("2024-12-30", "2025-02-01")
SYMBOLS = ("BTCUSDT", "龙虾USDT")
BARS = cl.query().markets("spot").klines("1h", "1d").symbols(*SYMBOLS).between(*DAYS)
PERPS = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between(*DAYS)
TRADES = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT").between("2025-01-01")

HIVE = pyarrow.dataset.HivePartitioning.discover(infer_dictionary=True)


def read_pyarrow(folder: Path) -> Any:
    return pyarrow.dataset.dataset(folder, partitioning=HIVE).to_table()


def read_polars(folder: Path) -> Any:
    return pl.scan_parquet(folder, missing_columns="insert", extra_columns="ignore").collect()


def read_dask(folder: Path) -> Any:
    import dask.dataframe  # takes a second, which only the process that runs this test needs to spend

    rows = dask.dataframe.read_parquet(folder, dataset={"partitioning": None})
    return rows.compute(scheduler="synchronous")


def read_dask_by_file(folder: Path) -> Any:
    import dask.dataframe

    files = pyarrow.dataset.dataset(folder, partitioning=HIVE)
    names = [name for name in files.schema.names if name != "market"]
    rows = dask.dataframe.from_map(
        lambda part: part.to_table(schema=files.schema, columns=names).to_pandas(),
        list(files.get_fragments()),
    )
    return rows.compute(scheduler="synchronous")


ANY_FILES: dict[str, Callable[[Path], Any]] = {
    "pyarrow": read_pyarrow,
    "pandas": pd.read_parquet,
    "duckdb": lambda folder: duckdb.read_parquet(
        f"{folder}/**/*.parquet", hive_partitioning=True
    ).pl(),
    "polars": read_polars,
    "dask by file": read_dask_by_file,
}
"""Calls for files with the columns of what they are of, without them, and for both beside each other."""

ENGINES: dict[str, Callable[[Path], Any]] = ANY_FILES | {
    "pyarrow, plain": lambda folder: pyarrow.dataset.dataset(folder).to_table(),
    "pyarrow, table": lambda folder: pyarrow.parquet.read_table(folder),
    "duckdb, plain": lambda folder: duckdb.read_parquet(f"{folder}/**/*.parquet").pl(),
    "polars, plain": lambda folder: pl.scan_parquet(folder).collect(),
    "dask": read_dask,
}
"""And those for trees of which each file has the columns."""

GOLD = {name: read for name, read in ENGINES.items() if name != "dask by file"}


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


@pytest.fixture(scope="module", params=["old", "old first", "new first"])
def older(
    lake: cl.Lake,
    archive: cl.Archive,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> cl.Lake:
    """The lake with files of the release before: all of them, those of the first month or of the other ones."""
    root = tmp_path_factory.mktemp("older") / "lake"
    shutil.copytree(lake.root, root)
    made = cl.Lake(root, source=archive)
    paths = [entry.path for entry in made.storage.list("silver")]
    first = {"old": ("20",), "old first": ("2024-12",), "new first": ("2025",)}[request.param]
    written_before(made.storage, [path for path in paths if Path(path).name.startswith(first)])
    return made


def klines_of(lake: cl.Lake) -> Path:
    return Path(lake.root) / "silver" / "market=spot" / "data_type=klines"


@pytest.mark.parametrize("engine", ENGINES)
def test_silver_says_what_it_is_of(lake: cl.Lake, engine: str):
    expected = totals(lake.silver(BARS).collect(), ["interval", "symbol"], "volume")
    assert len(expected) == 4
    rows = ENGINES[engine](klines_of(lake))
    assert totals(rows, ["interval", "symbol"], "volume") == expected
    if engine != "dask by file":  # which leaves out what is null in files of the release before
        assert {market for market, *_ in totals(rows, ["market"], "volume")} == {"spot"}


@pytest.mark.parametrize("engine", ANY_FILES)
def test_files_of_the_release_before_are_read_by_their_folders(
    lake: cl.Lake, older: cl.Lake, engine: str
):
    by = ["interval", "symbol"]
    expected = totals(lake.silver(BARS).collect(), by, "volume")
    assert totals(ANY_FILES[engine](klines_of(older)), by, "volume") == expected


def test_a_lake_of_both_reads_as_before(lake: cl.Lake, older: cl.Lake):
    for query in (BARS, PERPS, TRADES):
        assert older.silver(query).collect().equals(lake.silver(query).collect())
        text = "select * from q order by all"
        assert older.sql(text, query=query).pl().equals(lake.sql(text, query=query).pl())
    for view in ("spot_klines", "spot_klines_1d", "spot_trades"):
        text = f"from silver.{view} order by all"
        assert older.sql(text).pl().equals(lake.sql(text).pl())
    assert older.quality(BARS).equals(lake.quality(BARS))
    before = {entry.path: entry.size for entry in older.storage.list("silver")}
    assert older.build(BARS, progress=False).ok
    assert {entry.path: entry.size for entry in older.storage.list("silver")} == before


@pytest.mark.parametrize("engine", ENGINES)
def test_a_type_without_intervals_has_no_such_column(lake: cl.Lake, engine: str):
    folder = Path(lake.root) / "silver" / "market=spot" / "data_type=trades"
    rows = ENGINES[engine](folder)
    expected = totals(lake.silver(TRADES).collect(), ["symbol"], "price")
    assert totals(rows, ["symbol"], "price") == expected
    names = rows.column_names if isinstance(rows, pyarrow.Table) else list(rows.columns)
    assert "interval" not in names
    assert names.count("symbol") == 1


@pytest.mark.parametrize("engine", GOLD)
def test_gold_has_symbol_market_and_interval_in_its_files(lake: cl.Lake, engine: str):
    by = ["market", "symbol", "interval"]
    expected = totals(lake.gold("basis", PERPS, progress=False).collect(), by, "basis")
    assert expected[0][:3] == ("futures_um", "BTCUSDT", "1h")
    assert totals(GOLD[engine](Path(lake.root) / "gold" / "basis"), by, "basis") == expected


def test_one_file_says_what_it_is(lake: cl.Lake):
    path = next(Path(lake.root).glob("silver/**/interval=1h/symbol=龙虾USDT/2025-01.parquet"))
    said = json.loads(pyarrow.parquet.read_metadata(path).metadata[b"cryptolake"])
    facts = [said[name] for name in ("dataset", "symbol", "interval", "month")]
    assert facts == ["spot_klines", "龙虾USDT", "1h", "2025-01"]
    assert all(len(source["sha256"]) == 64 for source in said["sources"])
    assert said["schema_version"].endswith("+columns")
    table = pyarrow.parquet.ParquetFile(path).read()
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    assert [field.type for field in table.schema][:3] == [text] * 3
    assert set(zip(*(table[name].to_pylist() for name in table.column_names[:3]), strict=True)) == {
        ("spot", "龙虾USDT", "1h")
    }
    assert table.schema.field("open_time").type == pyarrow.timestamp("us", "UTC")
