"""One damaged file of a lake stops no question about others: it is left out of the views, and named."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

import cryptolake as cl
from cryptolake import DamagedLakeWarning, IncompleteWarning, Lake, StorageError
from cryptolake.bronze import text as text_module
from cryptolake.bronze.zips import Limits
from cryptolake.storage import segments
from tests.readers.lakes import build_all, days, klines_key, klines_text, put

HOUR = timedelta(hours=1)
TABLES = ("files", "months")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0xFF
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "junk": lambda path: path.write_bytes(b"hello" * 100),
    "flipped": _flip,
    "a folder": _folder,
    "a link in circles": _link,
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for symbol in ("AUSDT", "BUSDT"):
        texts = {
            klines_key(symbol, day, "1h"): klines_text(day, 24, step=HOUR)
            for day in days("2024-01-01", 2)
        }
        put(lake.storage, lake.meta, texts)
        build_all(lake.storage, lake.meta)
    return lake


def _segment(lake: Lake, table: str) -> Path:
    return lake.storage.local(lake.storage.list(f"meta/{table}")[0].path)


def _silver(lake: Lake) -> Path:
    return next(
        lake.storage.local(e.path) for e in lake.storage.list("silver") if "AUSDT" in e.path
    )


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_segment_stops_no_question(lake: Lake, table: str, how: str):
    if table == "months":
        lake.sql("from silver.spot_klines limit 1").fetchall()
    whole = lake.meta.read(table).height
    DAMAGES[how](_segment(lake, table))
    segments._FRAMES._frames.clear()
    silver = "select count(*) from silver.spot_klines where symbol = 'BUSDT'"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedLakeWarning)
        assert lake.sql(silver).fetchall() == [(48,)]
    segments._WARNED.clear()
    with pytest.warns(DamagedLakeWarning, match=f"meta/{table}/"):
        rows = lake.sql(f"from meta.{table}").fetchall()
    assert 0 < len(rows) < whole


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_a_damaged_silver_file_is_left_out_and_named(lake: Lake, how: str):
    path = _silver(lake)
    data = path.read_bytes()
    DAMAGES[how](path)
    for view in ("silver.spot_klines_1h", 'silver."Spot_klines"', "spot_klines_1h"):
        with pytest.warns(DamagedLakeWarning, match="symbol=AUSDT"):
            found = lake.sql(f"select symbol, count(*) from {view} group by 1")
        assert found.fetchall() == [("BUSDT", 48)]
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.sql("select count(*) from silver.spot_klines").fetchall() == [(96,)]


def test_silver_that_cannot_be_decoded_is_named_by_verify_and_an_error_of_whoever_reads_it(
    lake: Lake,
):
    """Its size is the recorded one, so only its bytes tell; a lazy frame and a relation are not ours to fail."""
    path = _silver(lake)
    data = path.read_bytes()
    footer = 8 + int.from_bytes(data[-8:-4], "little")
    path.write_bytes(data[:4] + b"\xff" * (len(data) - 4 - footer) + data[-footer:])
    asked = cl.query().markets("spot").klines("1h").symbols("AUSDT")
    asked = asked.between("2024-01-01", "2024-01-02")
    with pytest.raises(pl.exceptions.PolarsError):
        lake.silver(asked).collect()
    with pytest.raises(duckdb.Error):
        lake.sql("select * from silver.spot_klines_1h where symbol = 'AUSDT'").fetchall()
    found = lake.verify(repair=True).filter(status="damaged")
    assert [lake.storage.local(key) for key in found["key"]] == [path]
    assert lake.silver(asked).collect().height == 48


def test_a_second_lake_is_warned_about_too(tmp_path: Path):
    for name in ("one", "two"):
        lake = Lake(tmp_path / name)
        path = lake.storage.local("meta/runs/20240101T000000000000-00000000.parquet")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"junk")
        with pytest.warns(DamagedLakeWarning, match="meta/runs/"):
            lake.meta.read("runs")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_zip_is_left_out_of_bronze_and_named(lake: Lake, how: str):
    key = klines_key("AUSDT", "2024-01-02", "1h")
    DAMAGES[how](lake.storage.local(f"bronze/{key}"))
    question = "select symbol, count(*) from bronze.spot_klines group by 1 order by 1"
    for _ in range(2):
        with pytest.warns(IncompleteWarning, match=key):
            assert lake.sql(question).fetchall() == [("AUSDT", 24), ("BUSDT", 48)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = "select count(*) from bronze.spot_klines where symbol = 'BUSDT'"
        assert lake.sql(other).fetchall() == [(48,)]


BRONZE = "select symbol, count(*) from bronze.spot_klines group by 1 order by 1"


def test_a_zip_that_is_gone_is_named(lake: Lake):
    key = klines_key("AUSDT", "2024-01-02", "1h")
    lake.storage.delete(f"bronze/{key}")
    for _ in range(2):
        with pytest.warns(IncompleteWarning, match=key):
            assert lake.sql(BRONZE).fetchall() == [("AUSDT", 24), ("BUSDT", 48)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.sql("select count(*) from bronze.spot_klines_1m").fetchall() == [(0,)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_text_that_is_no_utf8_is_left_out_of_sql_and_named(lake: Lake, encoding: str):
    key = klines_key("CUSDT", "2024-01-01", "1h")
    text = klines_text(days("2024-01-01", 1)[0], 24, step=HOUR).replace("100.0", "1ÿ")
    put(lake.storage, lake.meta, {key: text.encode(encoding)})
    with pytest.warns(IncompleteWarning, match=f"{key}.*not UTF-8"):
        assert lake.sql(BRONZE).fetchall() == [("AUSDT", 48), ("BUSDT", 48)]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is large: inflated as it is read."""
    monkeypatch.setattr(text_module, "AT_ONCE", 0)
    monkeypatch.setattr(text_module, "_SMALL", Limits(max_bytes=0))
    monkeypatch.setattr(text_module, "_CHUNK", 500)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_large_zip_that_is_damaged_further_on_raises_no_error_of_duckdbs(
    lake: Lake, place: float, recorded: bool
):
    key = klines_key("CUSDT", "2024-01-01", "1h")
    text = klines_text(days("2024-01-01", 1)[0], 400, step=HOUR)
    put(lake.storage, lake.meta, {key: text}, recorded=recorded)
    assert lake.sql(BRONZE).fetchall() == [("AUSDT", 48), ("BUSDT", 48), ("CUSDT", 400)]
    path = lake.storage.local(f"bronze/{key}")
    data = bytearray(path.read_bytes())
    data[int((len(data) - 200) * place) + 60] ^= 0x10
    path.write_bytes(data)
    fresh = Lake(lake.root)
    with pytest.warns(IncompleteWarning, match=f"{key} cannot be read"):
        found = dict(fresh.sql(BRONZE).fetchall())
    assert (found["AUSDT"], found["BUSDT"]) == (48, 48)
    assert found.get("CUSDT", 0) < 400


def test_a_zone_that_cannot_be_listed_is_named_and_no_raw_error(lake: Lake) -> None:
    root = Path(lake.root)
    shutil.rmtree(root / "bronze")
    (root / "bronze").write_bytes(b"")
    with pytest.warns(IncompleteWarning, match="cannot be read") as caught:
        assert lake.sql("select count(*) from bronze.spot_klines").fetchall() == [(0,)]
    assert any("the folder 'bronze' of the lake is a file" in str(one.message) for one in caught)
    (root / "meta" / "locks").symlink_to("locks")
    assert Lake(root).sql("select 1").fetchall() == [(1,)]
    (root / "gold").symlink_to("gold")
    with pytest.raises(StorageError, match="cannot list 'gold'"):
        Lake(root).sql("select 1")


@pytest.mark.parametrize("lost", ["meta", "meta/files"])
def test_a_ledger_that_is_gone_is_said_by_each_overview(lake: Lake, lost: str) -> None:
    shutil.rmtree(Path(lake.root) / lost)
    lake = Lake(lake.root)
    query = (
        cl.query().markets("spot").klines("1h").symbols("AUSDT").between("2024-01-01", "2024-01-02")
    )
    words = r"bronze/ of the lake .* has 4 zips, and its ledger .* names none"
    asked: list[Callable[[], object]] = [
        lake.status,
        lake.datasets,
        lambda: lake.build(progress=False),
        lambda: lake.quality(query),
    ]
    for ask in asked:
        with pytest.warns(DamagedLakeWarning, match=words):
            ask()
