"""The sample lake: empty, its archive on loopback with what the default preset promises, gone afterwards."""

import pickle
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.sample.server import Served
from tests.examples import served_already

DATASETS = [
    ("spot", "klines", ("1m", "1h")),
    ("futures_um", "klines", ("1m", "1h")),
    ("spot", "trades", ()),
    ("futures_um", "trades", ()),
    ("futures_um", "fundingRate", ()),
    ("futures_um", "metrics", ()),
]


@pytest.fixture(scope="module")
def lake(default_served: Served) -> Iterator[cl.Lake]:
    """The default sample, whose archive examples have, too."""
    with pytest.MonkeyPatch.context() as patch:
        served_already(default_served, patch)
        lake = cl.sample_lake()
    with lake:
        yield lake
    assert not Path(lake.root).parent.exists()


@pytest.mark.parametrize(("market", "data_type", "intervals"), DATASETS)
def test_the_archive_covers_75_days_of_both_symbols(lake, market, data_type, intervals):
    query = cl.query().markets(market).data_types(data_type).intervals(*intervals)
    query = query.symbols("BTCUSDT", "ETHUSDT").between("2024-12-01", "2025-02-28")
    plan = lake.plan(query, progress=False)
    assert plan.missing == 0
    assert {*plan.files["symbol"]} == {"BTCUSDT", "ETHUSDT"}
    assert {*plan.files["interval"].drop_nulls()} == set(intervals)
    days = query.selection.days
    assert days is not None
    assert days.last - days.first >= timedelta(days=74)


def test_the_lake_is_empty_and_can_be_filled(lake):
    assert not Path(lake.root).exists() or lake.datasets().is_empty()
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-03-01")
    assert lake.frame(query, progress=False).height == 24


def test_wrong_presets_and_missing_libraries_are_said_at_the_call(monkeypatch):
    with pytest.raises(cl.InvalidQuery, match="default, bars, datasets, nightly, research"):
        cl.sample_lake("big")
    monkeypatch.setitem(sys.modules, "moto", None)
    with pytest.raises(cl.MissingTool, match=r"pip install 'cryptolake\[demo\]'"):
        cl.sample_lake()


def test_without_a_block_it_is_open_until_closed_and_shows_neither_folder_nor_port():
    lake = cl.sample_lake("nightly")
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").since("2025-02-03")
    assert lake.frame(query, progress=False).height == 24
    day = {"datasets": ["spot_klines"], "symbols": ["BTCUSDT"], "intervals": ["1h"]}
    assert lake.publish(**day, partitions=["daily"], days="2025-02-04").files == 1
    assert lake.update(query, progress=False).changed
    for shown in (repr(lake), lake._repr_html_()):
        assert "the sample" in shown
        assert [word for word in ("/tmp", "127.0.0.1", lake.root) if word in shown] == []
    assert type(pickle.loads(pickle.dumps(lake))) is cl.Lake
    lake.close()
    assert not Path(lake.root).parent.exists()


def test_it_can_lie_in_a_bucket_beside_its_archive():
    with cl.sample_lake("nightly", bucket="sample-lake") as lake:
        query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-02-01")
        report = lake.pull(query, progress=False)
        assert {*report.files["mode"]} == {"direct"}
        assert lake.silver(query).collect().height == 24
        assert "s3://sample-lake/lake" in repr(lake)
