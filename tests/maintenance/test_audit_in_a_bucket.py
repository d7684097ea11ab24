"""``lake.verify`` finds and repairs in a bucket what it finds and repairs on a disk."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from cryptolake import Lake
from cryptolake.storage import segments
from tests.readers.lakes import build_all, days, klines_key, put_with_checksums

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

HOUR = timedelta(hours=1)
KEYS = [klines_key("AUSDT", day, "1h") for day in days("2024-01-30", 4)]
SILVER = "silver/market=spot/data_type=klines/interval=1h/symbol=AUSDT/2024-01.parquet"


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _change(change: Callable[[bytes], bytes]) -> Callable[[Storage, str], None]:
    return lambda storage, path: storage.write(path, change(storage.read(path)))


DAMAGES: dict[str, Callable[[Storage, str], None]] = {
    "flipped": _change(_flipped),
    "cut": _change(lambda data: data[:50]),
    "gone": lambda storage, path: storage.delete(path),
}


@pytest.fixture
def lake(bucket_options: dict[str, Any]) -> Lake:
    lake = Lake(f"s3://lakes/{secrets.token_hex(4)}", storage_options=bucket_options)
    put_with_checksums(lake.storage, lake.meta, KEYS)
    build_all(lake.storage, lake.meta)
    return lake


def _rows(lake: Lake) -> list[tuple[Any, ...]]:
    return lake.sql("select open_time, close from silver.spot_klines order by 1").fetchall()


def _again(lake: Lake) -> Lake:
    """The lake as another process opens it."""
    segments._FRAMES._frames.clear()
    return Lake(lake.root, storage_options=lake.storage.options)  # type: ignore[attr-defined]


def _bad(lake: Lake) -> dict[str, str]:
    found = lake.verify().filter(pl.col("status") != "ok")
    return dict(found.select("key", "status").iter_rows())


def test_a_sound_lake_has_a_row_for_each_object(lake: Lake):
    found = lake.verify()
    assert set(found["status"]) == {"ok"}
    assert dict(found["zone"].value_counts().iter_rows()) == {"bronze": 4, "silver": 2}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_silver_object_is_found_and_built_again(lake: Lake, how: str):
    real = _rows(lake)
    DAMAGES[how](lake.storage, SILVER)
    assert _bad(_again(lake)) == {SILVER: "gone" if how == "gone" else "damaged"}
    lake.verify(repair=True)
    assert _bad(_again(lake)) == {}
    assert _rows(_again(lake)) == real


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_zip_is_taken_out_and_its_rows_stay_in_silver(lake: Lake, how: str):
    real = _rows(lake)
    DAMAGES[how](lake.storage, f"bronze/{KEYS[1]}")
    assert _bad(_again(lake)) == {KEYS[1]: "gone" if how == "gone" else "damaged"}
    lake.verify(repair=True)
    assert KEYS[1] not in set(_again(lake).meta.ledger()["key"])
    assert not lake.storage.exists(f"bronze/{KEYS[1]}")
    assert _rows(_again(lake)) == real
    assert not _again(lake).build(progress=False).ok  # the month is kept, and lacks a source


@pytest.mark.parametrize("table", ["files", "months", "sources"])
def test_a_damaged_segment_is_set_aside_and_made_again(lake: Lake, table: str):
    real, ledger = _rows(lake), set(lake.meta.ledger()["key"])
    segment = lake.storage.list(f"meta/{table}")[0].path
    DAMAGES["flipped"](lake.storage, segment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _again(lake).verify(repair=True)
    assert found.filter(zone="meta").select("key", "status").rows() == [(segment, "damaged")]
    assert not lake.storage.exists(segment)
    assert lake.storage.exists(f"meta/quarantine/{table}/{segment.rpartition('/')[2]}.damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lake = _again(lake)
        assert set(lake.meta.ledger()["key"]) == ledger
        assert lake.build(progress=False).ok
        assert _rows(lake) == real
    assert _bad(lake) == {}


def test_a_lost_ledger_is_made_again_from_bronze_and_its_checksums(lake: Lake):
    before = lake.meta.ledger()
    for entry in lake.storage.list("meta/files"):
        lake.storage.delete(entry.path)
    DAMAGES["flipped"](lake.storage, f"bronze/{KEYS[1]}")
    lake = _again(lake)
    assert lake.verify().filter(zone="bronze", status="unrecorded").height == 4
    found = lake.verify(repair=True).filter(zone="bronze")
    assert dict(found.select("key", "status").iter_rows())[KEYS[1]] == "damaged"
    after = _again(lake).meta.ledger()
    facts = ("key", "size", "sha256")
    expected = before.filter(pl.col("key") != KEYS[1]).select(facts).sort("key")
    assert after.select(facts).sort("key").equals(expected)
    assert lake.meta.quarantined()["key"].to_list() == [KEYS[1]]
    assert lake.storage.exists(f"meta/quarantine/{KEYS[1]}")
    assert not lake.storage.exists(f"bronze/{KEYS[1]}")
