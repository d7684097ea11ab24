"""A lake's Silver months follow its Bronze: only what changed, whole or not at all, and accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.bronze.zips import Limits
from cryptolake.errors import BuildError
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.silver.records import current
from tests.silver.texts import day_text, key, ledger_row, silver, stored, zipped

if TYPE_CHECKING:
    from cryptolake.report import Report
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

PATH = "silver/market=futures_um/data_type=klines/interval=1h/symbol=BTCUSDT/2024-01.parquet"
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def day_zips(days: list[str]) -> dict[str, bytes]:
    return {key(day): zipped(day_text(day)) for day in days}


def built(storage: Storage, meta: Meta, **options: object) -> Report:
    return build(LakeContext.of(storage), holdings(meta), progress=False, **options)  # type: ignore[arg-type]


def add(storage: Storage, meta: Meta, name: str, data: bytes) -> None:
    storage.write(f"bronze/{name}", data)
    meta.append("files", [ledger_row(name, data)])


def test_daily_files_become_one_month_in_the_documented_place(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    report = built(storage, meta)
    assert report.ok
    assert report.months["path"].to_list() == [PATH]
    assert (report.built, report.rows) == (1, 72)
    assert pl.read_parquet(storage.local(PATH))["open_time"].is_sorted()


def test_a_build_leaves_its_row_among_the_runs(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    report = built(storage, meta)
    (run,) = meta.runs().rows(named=True)
    assert (run["run_id"], run["kind"], run["state"]) == (report.run_id, "build", "done")
    assert (run["files"], run["failed"], run["note"]) == (3, 0, "1 of 1 months built")
    assert 0 < run["seconds"] == (run["ended_at"] - run["started_at"]).total_seconds()


def test_the_parquet_metadata_names_every_source_and_its_hash(tmp_path: Path):
    zips = day_zips(DAYS)
    storage, meta = stored(tmp_path, zips)
    built(storage, meta)
    said = json.loads(pl.read_parquet_metadata(storage.local(PATH))["cryptolake"])
    assert {item["key"]: item["sha256"] for item in said["sources"]} == {
        name: ledger_row(name, data)["sha256"] for name, data in zips.items()
    }
    assert said["dataset"] == "futures_um_klines"
    assert said["rows"] == 72


def test_the_sources_table_reconciles(tmp_path: Path):
    line = b"1704067200000,1,2\n"
    zips = {key(DAYS[0]): zipped(day_text(DAYS[0]) + day_text(DAYS[0], header=False) + line)}
    storage, meta = stored(tmp_path, zips)
    built(storage, meta)
    row = meta.read("sources").row(0, named=True)
    assert (row["rows_in"], row["rows_out"], row["duplicates"], row["rejects"]) == (49, 24, 24, 1)
    assert f"{row['first_time']:%F %T}" == "2024-01-01 00:00:00"
    assert f"{row['last_time']:%F %T}" == "2024-01-01 23:00:00"
    reject = current(meta, "rejects").row(0, named=True)
    assert (reject["key"], reject["line"]) == (key(DAYS[0]), 50)
    assert (reject["rule"], reject["text"]) == ("wrong_column_count", line.decode().strip())


def test_a_second_build_does_nothing(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    built(storage, meta)
    before = [(entry.path, entry.modified) for entry in storage.list("silver")]
    report = built(storage, meta)
    assert report.months["status"].to_list() == ["unchanged"]
    assert [(entry.path, entry.modified) for entry in storage.list("silver")] == before
    assert meta.read("sources").height == 3


def test_only_the_month_whose_file_was_rewritten_is_built_anew(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips([*DAYS, "2024-02-01"]))
    built(storage, meta)
    add(storage, meta, key("2024-02-01"), zipped(day_text("2024-02-01", header=False)))
    report = built(storage, meta)
    assert dict(report.months.select("path", "status").iter_rows()) == {
        PATH: "unchanged",
        PATH.replace("2024-01", "2024-02"): "built",
    }


def test_a_month_is_made_of_all_its_files_whichever_of_them_was_asked_for(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    one = holdings(meta).filter(pl.col("period") == "2024-01-02")
    report = build(LakeContext.of(storage), one, progress=False)
    assert report.rows == 72


def test_an_empty_lake_has_nothing_to_build(tmp_path: Path):
    storage, meta = stored(tmp_path, {})
    report = built(storage, meta)
    assert report.ok
    assert report.months.height == 0
    assert storage.list("silver") == []


def test_a_damaged_zip_is_named_and_the_rest_of_its_month_is_built(tmp_path: Path):
    zips = day_zips(DAYS)
    zips[key(DAYS[1])] = zips[key(DAYS[1])][:-30]
    storage, meta = stored(tmp_path, zips)
    report = built(storage, meta)
    (row,) = report.months.iter_rows(named=True)
    assert (row["status"], row["rows"]) == ("built", 48)
    assert key(DAYS[1]) in row["error"]
    findings = current(meta, "findings")
    assert findings.filter(kind="unusable_file")["key"].to_list() == [key(DAYS[1])]
    again = built(storage, meta).months.row(0, named=True)
    assert again["status"] == "unchanged"
    assert key(DAYS[1]) in again["error"]


def test_bytes_that_are_not_those_verified_are_not_used(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    storage.write(f"bronze/{key(DAYS[0])}", zipped(day_text("2024-01-01") * 2))
    report = built(storage, meta)
    assert "sha256" in report.months["error"][0]
    assert report.rows == 48


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    storage.delete(f"bronze/{key(DAYS[2])}")
    assert "not in Bronze" in built(storage, meta).months["error"][0]


def test_a_month_of_which_nothing_can_be_used_leaves_the_old_one_and_says_so(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS[:1]))
    built(storage, meta)
    before = storage.read(PATH)
    add(storage, meta, key(DAYS[0]), b"no zip at all")
    report = built(storage, meta)
    assert report.months["status"].to_list() == ["kept"]
    assert not report.ok
    assert report.failed == 1
    assert DAYS[0] in report.summary()
    assert storage.read(PATH) == before


def test_strict_raises_for_files_that_could_not_be_used(tmp_path: Path):
    storage, meta = stored(tmp_path, {key(DAYS[0]): b"no zip at all"})
    with pytest.raises(BuildError, match="2024-01-01"):
        built(storage, meta, strict=True)


def test_a_bomb_is_refused_and_the_limit_is_the_callers(tmp_path: Path):
    zips = day_zips(DAYS[:2])
    storage, meta = stored(tmp_path, zips)
    report = built(storage, meta, limits=Limits(max_bytes=100))
    assert "max_bytes" in report.months["error"][0]
    assert built(storage, meta, force=True).rows == 48


def test_a_file_that_is_no_parquet_of_ours_is_replaced(tmp_path: Path):
    storage, meta = stored(tmp_path, day_zips(DAYS))
    storage.write(PATH, b"PAR1 something else")
    assert built(storage, meta).built == 1
    assert silver(storage).height == 72


def test_a_label_that_steps_into_the_next_month_is_built_there(tmp_path: Path):
    name = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2020-12-31.zip"
    rest = "BTCUSDT,1,2,3,4,5,6"
    text = f"2020-12-31 23:55:00,{rest}\n2021-01-01 00:00:00,{rest}\n".encode()
    storage, meta = stored(tmp_path, {name: zipped(text)})
    report = built(storage, meta)
    assert [path[-15:-8] for path in report.months["path"]] == ["2020-12", "2021-01"]
    assert report.months["rows"].to_list() == [1, 1]
    assert built(storage, meta).months["status"].to_list() == ["unchanged", "unchanged"]


def test_many_months_are_built_at_once_and_give_the_same_bytes_as_one_by_one(tmp_path: Path):
    days = [f"2024-{month:02}-0{day}" for month in range(1, 13) for day in (1, 2)]
    zips = day_zips(days)
    together, meta = stored(tmp_path / "a", zips)
    built(together, meta, threads=4)
    apart, meta = stored(tmp_path / "b", zips)
    built(apart, meta, threads=1)
    paths = [entry.path for entry in together.list("silver")]
    assert len(paths) == 12
    assert all(together.read(path) == apart.read(path) for path in paths)
    assert meta.runs()["state"].to_list() == ["done"]


def test_a_symbol_in_chinese_has_its_silver(tmp_path: Path):
    name = key(DAYS[0]).replace("BTCUSDT", "龙虾USDT")
    storage, meta = stored(
        tmp_path / "a lake; with 'quotes' [*]", {name: zipped(day_text(DAYS[0]))}
    )
    assert built(storage, meta).rows == 24
    assert built(storage, meta).months["status"].to_list() == ["unchanged"]
