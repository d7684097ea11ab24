"""Rows of the lake's tables that cannot be: they stop no call, and hide no row of another file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from tests.quality.conftest import world
from tests.quality.world import World, key_of

__all__ = ["world"]

BARS = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT")
BARS = BARS.between("2024-06-28", "2024-07-02")
KEYS = {
    "no such day": key_of("2024-02-31"),
    "the last day of all": key_of("9999-12-31"),
    "the last month of all": key_of("9999-12"),
    "the first day of all": key_of("0001-01-01"),
    "a month among the days": key_of("2024-06").replace("monthly", "daily"),
    "no such type": key_of("2024-06-01", data_type="nosuch"),
    "a type of another market": key_of("2024-06-01", market="spot", data_type="metrics"),
    "an interval where there is none": "data/spot/daily/trades/BTCUSDT/1h/BTCUSDT-1h-2024-06-01.zip",
    "no interval": "data/futures/um/daily/klines/BTCUSDT/BTCUSDT-1h-2024-06-30.zip",
    "no such interval": key_of("2024-06-01", interval="7h"),
    "no such market": "data/mars/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-06-01.zip",
    "no key": "x",
}
VERBS: dict[str, Callable[[cl.Lake], Any]] = {
    "status": lambda lake: lake.status(),
    "datasets": lambda lake: lake.datasets(),
    "freshness": lambda lake: lake.freshness(),
    "metrics": lambda lake: lake.metrics(),
    "quality": lambda lake: lake.quality(BARS),
    "verify": lambda lake: lake.verify(),
    "build": lambda lake: lake.build(progress=False),
    "update": lambda lake: lake.update(progress=False),
    "pull": lambda lake: lake.pull(BARS, progress=False),
    "frame": lambda lake: lake.frame(BARS, progress=False),
}


@pytest.fixture
def lake(world: Callable[..., World]) -> cl.Lake:
    here = world(
        datasets=["futures_um_klines"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2024-06-28", "2024-07-02"),
        partitions=["daily"],
    )
    here.pull(BARS)
    return here.lake


def absurd(key: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    proof = {"sha256": "0" * 64, "verified": "sha256", "event": "stored"}
    return {"key": key, "size": 10, "etag": "x", "fetched_at": now, **proof}


@pytest.mark.filterwarnings("ignore::cryptolake.IncompleteWarning")
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_a_key_that_cannot_be_in_the_ledger_stops_nothing(lake: cl.Lake, key: str):
    lake.context.tables.append("files", [absurd(key)])
    again = cl.Lake(lake.root, source=lake.source)
    for verb, call in VERBS.items():
        assert call(again) is not None, verb
    assert again.build(progress=False).ok
    assert again.silver(BARS).collect().height == 5 * 24


PATHS = {
    "no such market": "silver/market=mars/data_type=klines/interval=1h/symbol=BTCUSDT/2024-06.parquet",
    "a type of another market": "silver/market=spot/data_type=metrics/symbol=BTCUSDT/2024-06.parquet",
    "no month": "silver/market=spot/data_type=klines/interval=1h/symbol=BTCUSDT/2024-13.parquet",
    "out of the lake": "../x.parquet",
    "no path": "x",
}


@pytest.mark.filterwarnings("ignore::cryptolake.DamagedLakeWarning")
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_a_month_that_cannot_be_in_the_records_stops_nothing(lake: cl.Lake, path: str):
    now = datetime.now(UTC)
    facts = {"size": 10, "sha256": "0" * 64, "origin": "x", "built_at": now, "run_id": "r"}
    lake.context.tables.append("months", [{"path": path, **facts}])
    again = cl.Lake(lake.root, source=lake.source)
    for verb, call in VERBS.items():
        assert call(again) is not None, verb
    assert "futures_um_klines" in again.status()["dataset"].to_list()
    assert again.silver(BARS).collect().height == 5 * 24


@pytest.mark.filterwarnings("ignore::cryptolake.DamagedLakeWarning")
def test_an_account_of_no_file_stops_nothing(lake: cl.Lake):
    [newest] = (
        lake.context.tables.read("sources")
        .filter(pl.col("path").str.ends_with("2024-07.parquet"))
        .tail(1)
        .to_dicts()
    )
    lake.context.tables.append("sources", [{**newest, "key": None, "rows_out": 0}])
    again = cl.Lake(lake.root, source=lake.source)
    for verb, call in VERBS.items():
        assert call(again) is not None, verb
    assert again.quality(BARS)["verdict"].to_list() == ["whole", "whole"]


def far(microseconds: int) -> pl.Expr:
    """All times of a table, as one that is as many microseconds after 1970."""
    times = pl.selectors.datetime()
    return (times.cast(pl.Int64) * 0 + microseconds).cast(pl.Datetime("us", "UTC"))


BROKEN = {
    "no path": pl.lit(None, pl.String).alias("path"),
    "a time that Python has not": far(2**62),
    "the last second of Python's": far(253_402_300_799_000_000),
}
ABOUT_A_PATH = ["months", "sources", "lineage"]
CASES = [
    (table, broken)
    for table in [*ABOUT_A_PATH, "files", "runs"]
    for broken in BROKEN
    if broken != "no path" or table in ABOUT_A_PATH
]


@pytest.mark.filterwarnings("ignore::cryptolake.IncompleteWarning")
@pytest.mark.filterwarnings("ignore:.* rows without a path:cryptolake.DamagedLakeWarning")
@pytest.mark.parametrize(("table", "broken"), CASES)
def test_a_row_of_no_path_or_of_a_time_that_cannot_be_stops_nothing(
    lake: cl.Lake, table: str, broken: str
):
    basis = lake.gold("basis", BARS).collect()
    rows = lake.context.tables.read(table)
    assert rows.height
    lake.context.tables.append(table, rows.with_columns(BROKEN[broken]))
    again = cl.Lake(lake.root, source=lake.source)
    for verb, call in VERBS.items():
        assert call(again) is not None, verb
    known = rows[rows.columns[0]].n_unique()  # SQL shows a run in one row
    assert len(again.sql(f"select * from meta.{table}").fetchall()) >= known
    assert again.silver(BARS).collect().height == 5 * 24
    assert again.gold("basis", BARS).collect().equals(basis)


def test_rows_of_no_path_or_key_are_named_once(lake: cl.Lake):
    lake.context.tables.append("quarantine", [{"path": "x", "reason": "r", "detail": "d"}])
    told = {"quarantine": "key"}
    for table, name in {"months": "path", "sources": "key"}.items():
        rows = lake.context.tables.read(table)
        lake.context.tables.append(table, rows.with_columns(pl.lit(None, pl.String).alias(name)))
        told[table] = name
    again = cl.Lake(lake.root, source=lake.source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for verb, call in VERBS.items():
            assert call(again) is not None, verb
    said = [str(one.message) for one in caught if one.category is cl.DamagedLakeWarning]
    for table, name in told.items():
        assert sum(f"meta/{table}/" in one and f"rows without a {name}" in one for one in said) == 1
    assert len(said) == len(told)
    assert again.silver(BARS).collect().height == 5 * 24
