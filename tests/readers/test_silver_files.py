"""Every reader holds Silver files against their records: one that is not what was recorded is named, not read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cryptolake import DamagedLakeWarning, Lake, StorageError, query
from cryptolake.readers.silver_files import reading
from cryptolake.silver.records import damaged_rows
from tests.readers.lakes import build_all, days, klines_key, klines_text, put

HOUR = timedelta(hours=1)
QUERY = query().markets("spot").klines("1h").symbols("*USDT").between("2024-01-01", "2024-01-31")
DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": Path.unlink,
    "written by another program": lambda path: (
        pl.read_parquet(path, hive_partitioning=False).head(3).write_parquet(path)
    ),
}
READERS: dict[str, Callable[[Lake], dict[str, int]]] = {
    "silver": lambda lake: dict(
        lake.silver(QUERY).group_by(pl.col("symbol").cast(str)).len().collect().iter_rows()
    ),
    "sql": lambda lake: dict(
        lake.sql("select symbol, count(*) from silver.spot_klines group by 1").fetchall()
    ),
    "connect": lambda lake: dict(
        lake.connect()
        .sql("select symbol, count(*) from Silver.spot_klines_1h group by 1")
        .fetchall()
    ),
    "quality": lambda lake: dict(
        lake.quality(QUERY).filter(pl.col("rows") > 0).select("symbol", "rows").iter_rows()
    ),
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    texts = {
        klines_key(symbol, day, "1h"): klines_text(day, 24, step=HOUR)
        for symbol in ("AUSDT", "BUSDT")
        for day in days("2024-01-01", 2)
    }
    put(lake.storage, lake.meta, texts)
    build_all(lake.storage, lake.meta)
    return lake


def _silver(lake: Lake) -> Path:
    return next(
        lake.storage.local(e.path) for e in lake.storage.list("silver") if "AUSDT" in e.path
    )


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("how", DAMAGES)
def test_a_silver_file_that_is_not_what_was_recorded_is_named_once_and_left_out(
    lake: Lake, how: str, reader: str
):
    DAMAGES[how](_silver(lake))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert READERS[reader](lake) == {"BUSDT": 48}
    (warning,) = heard
    assert warning.category is DamagedLakeWarning
    assert "symbol=AUSDT/2024-01.parquet" in str(warning.message)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_question_about_others_says_nothing(lake: Lake, how: str):
    DAMAGES[how](_silver(lake))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.silver(QUERY.symbols("BUSDT")).collect().height == 48
        assert lake.silver(QUERY.between("2024-02-01", "2024-02-02")).collect().height == 0


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_verify_found_wrong_is_not_read_although_its_size_is_right(
    lake: Lake, reader: str
):
    path = _silver(lake).relative_to(lake.root).as_posix()
    lake.meta.append("months", damaged_rows([path], "x", datetime.now(UTC)))
    with pytest.warns(DamagedLakeWarning, match="verify has found other bytes"):
        assert READERS[reader](lake) == {"BUSDT": 48}


def _record_more(lake: Lake, state: str) -> None:
    """Record months as a build does that has not placed them yet."""
    now = datetime.now(UTC)
    rows = lake.meta.read("months")
    newer = rows.with_columns(size=pl.col("size") + 1, run_id=pl.lit("other"))
    lake.meta.append("months", newer)
    run: dict[str, Any] = {"run_id": "other", "state": state, "started_at": now}
    lake.meta.append("runs", [{**run, "host": "elsewhere", "heartbeat_at": now}])


@pytest.mark.parametrize("reader", READERS)
def test_what_a_build_is_about_to_replace_is_read_until_then(lake: Lake, reader: str):
    _record_more(lake, "running")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert READERS[reader](lake) == {"AUSDT": 48, "BUSDT": 48}


def test_a_month_that_a_running_build_is_about_to_place_is_not_missed_yet(lake: Lake):
    _record_more(lake, "running")
    _silver(lake).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.silver(QUERY).collect().height == 48
        assert lake.status()["damaged"].to_list() == [0]
    _record_more(lake, "failed")
    with pytest.warns(DamagedLakeWarning, match="it is gone"):
        assert lake.silver(QUERY).collect().height == 48
    assert lake.status()["damaged"].to_list() == [1]


def test_a_lake_without_records_of_months_is_read_as_it_stands(lake: Lake):
    for entry in lake.storage.list("meta/months"):
        lake.storage.delete(entry.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reader in READERS.values():
            assert reader(lake) == {"AUSDT": 48, "BUSDT": 48}


def _flip_unreadable(path: Path) -> None:
    """Flip bits of the data pages until Polars does not read the times of the file, whose size stays."""
    data = path.read_bytes()
    for place in range(4, len(data) // 2):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            pl.read_parquet(path, columns=["open_time"], hive_partitioning=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return
    message = "no flip makes the file unreadable"
    raise AssertionError(message)


def test_damage_that_the_size_does_not_show_is_an_error_of_ours(lake: Lake):
    path = _silver(lake)
    _flip_unreadable(path)
    with pytest.raises(StorageError, match=r"symbol=AUSDT/2024-01\.parquet cannot be read"):
        lake.quality(QUERY)


def test_a_panic_of_polars_is_an_error_of_ours():
    with pytest.raises(StorageError, match="x cannot be read"), reading("x", "root"):
        raise pl.exceptions.PanicException("index out of bounds")


def test_a_file_that_goes_while_it_is_read_is_an_error_of_ours(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    rows = pl.scan_parquet(path)
    path.unlink()
    words = "x in the lake at root cannot be read: it is gone"
    with pytest.raises(StorageError, match=words), reading("x", "root"):
        rows.collect()
