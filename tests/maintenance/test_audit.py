"""``lake.verify`` finds what is damaged in Bronze, Silver and the lake's tables, and repairs it from Bronze."""

from __future__ import annotations

import errno
import shutil
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import polars as pl
import pytest

from cryptolake import DamagedLakeWarning, IncompleteWarning, Lake, StorageError, query
from cryptolake.bronze import audit
from cryptolake.storage import segments
from cryptolake.storage.files import LocalStorage, Storage
from cryptolake.storage.tables import Meta
from tests.readers.lakes import build_all, days, klines_key, put_with_checksums

HOUR = timedelta(hours=1)
KEYS = {s: [klines_key(s, day, "1h") for day in days("2024-01-30", 4)] for s in ("AUSDT", "BUSDT")}
SILVER = "silver/market=spot/data_type=klines/interval=1h/symbol={}/{}.parquet"
ROWS = "select symbol, open_time, close from silver.spot_klines order by 1, 2"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for keys in KEYS.values():
        put_with_checksums(lake.storage, lake.meta, keys)
    build_all(lake.storage, lake.meta)
    return lake


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    end = len(data)
    if data.startswith(b"PAR1"):  # the rows of Parquet, which end where the footer begins
        end -= 8 + int.from_bytes(data[-8:-4], "little")
    data[end // 2] ^= 1
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": _flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
    "a folder": _folder,
}


def _bad(lake: Lake, *asked: object) -> dict[str, str]:
    found = lake.verify(*asked).filter(pl.col("status") != "ok")  # type: ignore[arg-type]
    return dict(found.select("key", "status").iter_rows())


def test_a_sound_lake_has_a_row_for_each_file(lake: Lake):
    found = lake.verify()
    assert set(found["status"]) == {"ok"}
    assert dict(found["zone"].value_counts().iter_rows()) == {"bronze": 8, "silver": 4}
    asked = query().markets("spot").klines("1h").symbols("AUSDT").between("2024-02")
    assert lake.verify(asked).filter(zone="silver")["key"].to_list() == [
        SILVER.format("AUSDT", "2024-02")
    ]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_silver_file_is_found_and_built_again(lake: Lake, how: str):
    real = lake.sql(ROWS).fetchall()
    path = SILVER.format("AUSDT", "2024-01")
    DAMAGES[how](lake.storage.local(path))
    expected = {path: "gone" if how == "gone" else "damaged"}
    assert _bad(lake) == expected
    other = query().markets("spot").klines("1h").symbols("BUSDT")
    assert _bad(lake, other) == {}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        lake.verify(repair=True)
    assert [path in str(w.message) for w in heard] == ([True] if how == "a folder" else [])
    assert _bad(lake) == {}
    assert Lake(lake.root).sql(ROWS).fetchall() == real


def test_a_damaged_month_that_lacks_a_source_is_kept_and_built_by_the_first_call_that_can(
    lake: Lake,
):
    key, path = KEYS["AUSDT"][0], SILVER.format("AUSDT", "2024-01")
    zipped = lake.storage.read(f"bronze/{key}")
    row = lake.meta.ledger(pl.col("key") == key)
    lake.storage.delete(f"bronze/{key}")
    _flip(lake.storage.local(path))
    with pytest.warns(IncompleteWarning, match="symbol=AUSDT/2024-01"):
        lake.verify(repair=True)
    assert lake.storage.exists(path)
    assert _bad(lake) == {path: "damaged"}
    lake.storage.write(f"bronze/{key}", zipped)  # as a pull would
    lake.meta.append("files", row)
    assert lake.build(progress=False).ok
    assert _bad(lake) == {}
    assert len(lake.sql(ROWS).fetchall()) == 2 * 4 * 24


def test_a_silver_file_of_the_release_before_has_no_record_and_is_no_failure(lake: Lake):
    shutil.rmtree(lake.storage.local("meta/months"))
    found = lake.verify()
    assert set(found.filter(zone="silver")["status"]) == {"unrecorded"}
    assert set(found.filter(zone="bronze")["status"]) == {"ok"}


@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
@pytest.mark.parametrize("table", ["files", "months", "sources"])
def test_a_damaged_segment_is_set_aside_and_the_ledger_made_again(lake: Lake, table: str, how: str):
    real = lake.sql(ROWS).fetchall()
    before = lake.meta.ledger().select("key", "size", "sha256", "md5").sort("key")
    segment = lake.storage.list(f"meta/{table}")[0].path
    DAMAGES[how](lake.storage.local(segment))
    segments._FRAMES._frames.clear()
    lake = Lake(lake.root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = lake.verify(repair=True)
    assert found.filter(zone="meta").select("key", "status").rows() == [(segment, "damaged")]
    assert not lake.storage.exists(segment)
    assert lake.storage.exists(f"meta/quarantine/{table}/{Path(segment).name}.damaged")
    assert lake.meta.read("findings")["kind"].to_list() == ["damaged_segment"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "damaged" not in set(lake.verify()["status"])
        after = lake.meta.ledger().select("key", "size", "sha256").sort("key")
        assert after.equals(before.drop("md5"))
        assert lake.build(progress=False).ok
        assert lake.sql(ROWS).fetchall() == real
    assert set(lake.verify()["status"]) == {"ok"}


def test_a_lost_ledger_is_made_again_from_bronze_and_its_checksums(lake: Lake, monkeypatch):
    wrong, alone = KEYS["AUSDT"][1], KEYS["BUSDT"][1]
    before = lake.meta.ledger()
    known = KEYS["BUSDT"][0]
    shutil.rmtree(lake.storage.local("meta/files"))
    lake.meta.append("files", before.filter(pl.col("key") == known))
    _flip(lake.storage.local(f"bronze/{wrong}"))
    lake.storage.delete(f"bronze/{alone}.CHECKSUM")
    read: list[str] = []
    real = LocalStorage.open

    def noted(self: LocalStorage, path: str) -> IO[bytes]:
        read.append(path)
        return real(self, path)

    monkeypatch.setattr(LocalStorage, "open", noted)
    assert lake.verify().filter(zone="bronze", status="unrecorded").height == 7
    assert not read
    found = lake.verify(repair=True).filter(zone="bronze")
    assert f"bronze/{known}" not in read
    assert dict(found.select("key", "status").iter_rows())[wrong] == "damaged"
    ledger = lake.meta.ledger()
    assert set(ledger["key"]) == set(before["key"]) - {wrong, alone}
    assert set(ledger["verified"]) == {"sha256"}
    assert lake.meta.quarantined()["key"].to_list() == [wrong]
    assert lake.storage.exists(f"meta/quarantine/{wrong}")
    assert lake.storage.exists(f"meta/quarantine/{wrong}.CHECKSUM")
    assert not lake.storage.exists(f"bronze/{wrong}")
    assert lake.storage.exists(f"bronze/{alone}")  # nothing proves it, and nothing says it is wrong
    assert _bad(lake) == {alone: "unrecorded"}


@pytest.mark.parametrize("after", [False, True], ids=["just before", "just after"])
def test_a_zip_that_another_process_stores_as_a_wrong_one_is_set_aside_stays_with_its_checksum(
    lake: Lake, monkeypatch, after: bool
):
    key = KEYS["AUSDT"][1]
    place, sidecar = (lake.storage.local(f"bronze/{key}{end}") for end in ("", ".CHECKSUM"))
    good, before = place.read_bytes(), lake.meta.ledger()
    shutil.rmtree(lake.storage.local("meta/files"))
    lake.meta.append("files", before.filter(pl.col("key") != key))
    _flip(place)
    real = audit.set_aside
    stored: list[str] = []

    def stores() -> None:
        if stored:
            return
        stored.append(key)
        place.write_bytes(good)
        row = before.filter(pl.col("key") == key)
        Meta(lake.storage).append("files", row.with_columns(fetched_at=datetime.now(UTC)))

    def raced(storage: Storage, path: str, aside: str) -> bool:
        if not after:
            stores()
        moved = real(storage, path, aside)
        stores()
        return moved

    monkeypatch.setattr("cryptolake.maintenance.ledger_rebuild.set_aside", raced)
    lake.verify(repair=True)
    assert stored
    assert place.read_bytes() == good
    assert sidecar.is_file()
    again = Lake(lake.root)
    assert again.meta.quarantined().is_empty()
    assert _bad(again) == {}
    assert again.build(progress=False).quarantined == 0


def test_a_zip_that_another_process_stores_while_a_damaged_one_is_taken_out_stays_recorded(
    lake: Lake, monkeypatch
):
    key = KEYS["AUSDT"][1]
    place, sidecar = (lake.storage.local(f"bronze/{key}{end}") for end in ("", ".CHECKSUM"))
    good, row = place.read_bytes(), lake.meta.ledger(pl.col("key") == key)
    _flip(place)
    real = audit._now

    def raced(tables: Meta, entered: audit.Entered) -> audit.Entered:
        found = real(tables, entered)
        place.write_bytes(good)
        Meta(lake.storage).append("files", row.with_columns(fetched_at=datetime.now(UTC)))
        return found

    monkeypatch.setattr(audit, "_now", raced)
    assert audit.take_out(lake.storage, lake.meta, [key]) == []
    assert place.read_bytes() == good
    assert sidecar.is_file()
    assert Lake(lake.root).meta.ledger(pl.col("key") == key).height == 1


def test_what_cannot_be_set_aside_is_named_in_words(lake: Lake, monkeypatch):
    _flip(lake.storage.local(f"bronze/{KEYS['AUSDT'][1]}"))

    def refused(path: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StorageError, match=r"cannot set aside.*read-only"):
        lake.verify(repair=True)


def test_a_segment_of_a_newer_release_stays_where_it_is(lake: Lake):
    rows = lake.meta.read("runs").with_columns(pl.col("files").cast(pl.String) + " files")
    path = "meta/runs/20990101T000000000000-00000000.parquet"
    rows.write_parquet(lake.storage.local(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = lake.verify(repair=True).filter(zone="meta")
    assert found["key"].to_list() == [path]
    assert "newer release" in found["detail"].item()
    assert lake.storage.exists(path)


@pytest.mark.parametrize("how", ["cut", "empty", "gone"])
def test_status_and_datasets_do_not_count_a_file_that_is_gone_or_cut(lake: Lake, how: str):
    DAMAGES[how](lake.storage.local(SILVER.format("AUSDT", "2024-01")))
    status = lake.status().select("months", "rows", "damaged")
    assert status.rows() == [(3, 3 * 2 * 24, 1)]
    with pytest.warns(DamagedLakeWarning, match="symbol=AUSDT/2024-01"):
        silver = lake.datasets().filter(zone="silver")
    assert silver.select("files", "rows").rows() == [(3, 3 * 2 * 24)]


STRAYS = [
    "../../etc/passwd",
    "data/spot/daily/klines/../1h/x-1h-2024-01-01.zip",
    "data/spot/daily/klines/A\\B/1h/AB-1h-2024-01-01.zip",
    "/etc/passwd",
    None,
]
UNKNOWN = [
    "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-02-31.zip",
    "data/spot/daily/klines/AUSDT/1h/AUSDT-1h-2024-13.zip",
    "data/spot/daily/klines/AUSDT/7h/AUSDT-7h-2024-02-01.zip",
    "data/spot/daily/hello/AUSDT/AUSDT-hello-2024-02-01.zip",
    "hello",
]


def _enter(lake: Lake, keys: list[str | None]) -> None:
    row = {
        "size": 1,
        "sha256": "x",
        "etag": "e",
        "event": "stored",
        "fetched_at": datetime.now(UTC),
    }
    lake.meta.append("files", [{"key": key, **row} for key in keys])


def _asked(lake: Lake) -> None:
    asked = (
        query().markets("spot").klines("1h").symbols("AUSDT").between("2024-01-01", "2024-02-28")
    )
    assert lake.status()["files"].to_list() == [8]
    assert lake.datasets().filter(zone="bronze")["files"].to_list() == [8]
    assert lake.silver(asked).collect().height == 96
    assert lake.bronze(asked).collect().height == 96
    assert lake.quality(asked)["rows"].sum() == 96
    assert lake.build(progress=False).ok


def test_keys_that_lead_out_of_the_lake_are_named_and_taken_out_of_the_ledger(lake: Lake):
    _enter(lake, [*STRAYS])
    with pytest.warns(DamagedLakeWarning, match="5 keys that are no paths inside the lake"):
        lake.meta.ledger()
    _asked(lake)
    found = lake.verify(repair=True).filter(zone="meta")
    assert set(found["key"]) == set(STRAYS)
    assert set(found["status"]) == {"damaged"}
    assert _bad(lake) == {}
    assert lake.meta.read("findings")["kind"].to_list() == ["stray_key"] * 5
    _asked(lake)


def test_keys_that_the_archive_cannot_have_stop_nothing_and_are_taken_out(lake: Lake):
    _enter(lake, [*UNKNOWN])
    _asked(lake)
    assert _bad(lake) == dict.fromkeys(UNKNOWN, "gone")
    lake.verify(repair=True)
    assert _bad(lake) == {}
