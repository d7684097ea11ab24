"""Folders of Silver that can be no symbol's are named and passed over, by frames and by SQL, and are not counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import cryptolake as cl
from tests.readers.lakes import build_all, days, klines_key, klines_text, put

QUERY = cl.query().markets("spot").klines("1h").symbols("*").between("2024-01-30", "2024-01-31")
HOUR = timedelta(hours=1)
COUNTS = "select symbol, count(*) from {} group by 1"


@pytest.fixture
def lake(tmp_path: Path) -> cl.Lake:
    lake = cl.Lake(tmp_path / "lake")
    texts = {
        klines_key("AUSDT", d, "1h"): klines_text(d, 24, step=HOUR) for d in days("2024-01-30", 2)
    }
    put(lake.storage, lake.meta, texts)
    build_all(lake.storage, lake.meta)
    return lake


def read(lake: cl.Lake) -> dict[str, Callable[[], object]]:
    """What each way to read finds, as symbols and counts."""
    return {
        "silver": lambda: lake.silver(QUERY).collect()["symbol"].value_counts().rows(),
        "sql": lambda: lake.sql(COUNTS.format("silver.spot_klines")).fetchall(),
        "sql of an interval": lambda: lake.sql(COUNTS.format("silver.spot_klines_1h")).fetchall(),
        "sql of a query": lambda: lake.sql(COUNTS.format("q"), query=QUERY).fetchall(),
        "connect": lambda: lake.connect().sql(COUNTS.format("silver.spot_klines")).fetchall(),
    }


@pytest.mark.parametrize("name", ["*", "A?[b]", "AUSD[T]"])
@pytest.mark.parametrize("way", read(cl.Lake("nowhere")))
def test_they_are_named_and_passed_over(lake: cl.Lake, name: str, way: str) -> None:
    folder = lake.storage.local("silver/market=spot/data_type=klines/interval=1h")
    shutil.copytree(folder / "symbol=AUSDT", folder / f"symbol={name}")
    with pytest.warns(cl.DamagedLakeWarning) as heard:
        assert read(lake)[way]() == [("AUSDT", 48)]
    assert f"symbol={name}/2024-01.parquet (its folder can be no symbol's" in str(heard[0].message)
    shutil.rmtree(folder / f"symbol={name}")
    assert read(lake)[way]() == [("AUSDT", 48)]


@pytest.mark.parametrize("name", ["*", "A?[b]", "AUSD[T]", "A%2FB"])
def test_they_are_not_counted(lake: cl.Lake, name: str) -> None:
    before = lake.datasets(), lake.status()
    assert before[0].filter(zone="silver")["symbols"].to_list() == [1]
    folder = lake.storage.local("silver/market=spot/data_type=klines/interval=1h")
    shutil.copytree(folder / "symbol=AUSDT", folder / f"symbol={name}")
    assert_frame_equal(lake.datasets(), before[0])
    assert_frame_equal(lake.status(), before[1])
