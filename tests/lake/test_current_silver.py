"""``status``, ``datasets``, SQL and frames count the same Silver rows, whatever happened to Bronze."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

import cryptolake as cl
from tests.readers.lakes import build_all, days, klines_key, klines_text, put


@pytest.fixture
def lake(tmp_path):
    lake = cl.Lake(tmp_path / "lake")
    texts = {
        klines_key("BTCUSDT", day, "1h"): klines_text(day, 24, step=timedelta(hours=1))
        for day in days("2024-01-01", 10)
    }
    put(lake.storage, lake.meta, texts)
    build_all(lake.storage, lake.meta)
    return lake


def counts(lake: cl.Lake) -> dict[str, int]:
    """Return how many rows each reader says that Silver has, and how many its files have."""
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-01", "2024-01")
    files = lake.storage.local("silver").rglob("*.parquet")
    return {
        "status": lake.status().filter(dataset="spot_klines")["rows"].item(),
        "datasets": lake.datasets().filter(zone="silver")["rows"].sum(),
        "sql": lake.sql("select count(*) from silver.spot_klines").fetchall()[0][0],
        "frame": lake.silver(query).collect().height,
        "files": sum(
            pl.scan_parquet(file).select(pl.len()).collect().item()
            for file in files
            if len(file.stem) == 7
        ),
    }


def test_all_agree_after_a_damaged_daily_zip_is_repaired_away(lake):
    assert set(counts(lake).values()) == {240}
    bronze = lake.storage.local("bronze")
    damaged = next(path for path in bronze.rglob("*.zip") if "2024-01-05" in path.name)
    damaged.write_bytes(b"no zip")
    lake.verify(repair=True)
    assert set(counts(lake).values()) == {240}  # Silver stands as it was built
    assert not lake.build(progress=False).ok  # the month is kept, and it is said
    assert set(counts(lake).values()) == {240}


def test_all_agree_when_a_silver_file_is_gone_or_is_none_of_ours(lake):
    [month] = lake.storage.local("silver").rglob("*.parquet")
    frame = pl.read_parquet(month)
    frame.write_parquet(month.with_name("copy.parquet"))
    frame.write_parquet(month.with_name("2024-01-01.parquet"))
    assert set(counts(lake).values()) == {240}
    month.unlink()
    with pytest.warns(cl.DamagedLakeWarning, match="2024-01.parquet"):
        found = counts(lake)
    assert set(found.values()) == {0}


def test_rows_without_an_account_are_not_called_none(lake):
    for segment in lake.storage.local("meta/sources").iterdir():
        segment.unlink()
    lost = cl.Lake(lake.root)
    row = lost.status().row(0, named=True)
    assert (row["months"], row["rows"], row["rejects"]) == (1, None, None)
    assert lost.datasets().filter(zone="silver")["rows"].to_list() == [None]
    assert "cryptolake_silver_rows" not in lost.metrics()
    lost.build(force=True, progress=False)
    assert set(counts(lost).values()) == {240}
