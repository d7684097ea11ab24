"""A transfer to a lake on a disk: what arrives, what is recorded, what is not fetched again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.transfer import staging
from cryptolake.transfer.staging import Staging
from tests.transfer.archives import put, write_archive, zipped
from tests.transfer.conftest import Bench


def test_every_file_stands_in_bronze_verified_with_its_sidecar_and_a_ledger_row(bench: Bench):
    keys = write_archive(bench.folder, 7)
    report = bench.transfer()
    assert (report.transferred, report.failed, report.ok) == (7, 0, True)
    assert bench.whole(keys)
    assert bench.stray() == []
    ledger = bench.meta.ledger()
    assert set(ledger["verified"]) == {"sha256"}
    first = ledger.row(by_predicate=pl.col("key") == keys[0], named=True)
    assert first["sha256"] == hashlib.sha256((bench.folder / keys[0]).read_bytes()).hexdigest()
    assert first["mode"] == "download"


def test_the_report_counts_bytes_of_zips_as_the_plan_does(bench: Bench):
    write_archive(bench.folder, 3)
    report = bench.transfer()
    assert report.bytes == sum(p.stat().st_size for p in bench.folder.rglob("*.zip"))
    assert set(report.files["status"]) == {"transferred"}
    assert report.summary().startswith(f"transfer {report.run_id}: done in")


def test_each_object_is_asked_for_once(bench: Bench):
    keys = write_archive(bench.folder, 5)
    bench.transfer()
    assert all(bench.proxy.gets(k) == 1 for key in keys for k in (key, key + ".CHECKSUM"))


def test_the_same_plan_again_asks_the_archive_nothing(bench: Bench):
    write_archive(bench.folder, 5)
    plan = bench.plan()
    bench.transfer(plan)
    bench.proxy.forget()
    report = bench.transfer(plan)
    assert (report.transferred, report.skipped) == (0, 5)
    assert not bench.proxy.asked


def test_files_at_their_final_names_without_a_record_are_adopted_without_a_fetch(bench: Bench):
    keys = write_archive(bench.folder, 5)
    bench.transfer()
    shutil.rmtree(bench.root / "meta")
    bench.proxy.forget()
    report = bench.transfer(bench.plan("unrecorded"))
    assert (report.adopted, report.transferred) == (5, 0)
    assert bench.whole(keys)
    assert not bench.proxy.asked


def test_an_unrecorded_file_that_is_bad_is_fetched_anew(bench: Bench):
    keys = write_archive(bench.folder, 2)
    bench.transfer()
    shutil.rmtree(bench.root / "meta")
    bad = bench.bronze(keys[0])
    bad.write_bytes(bad.read_bytes()[:-1] + b"?")
    report = bench.transfer(bench.plan("unrecorded"))
    assert (report.adopted, report.transferred) == (1, 1)
    assert bench.whole(keys)


def test_a_rewritten_file_replaces_the_old_one(bench: Bench):
    keys = write_archive(bench.folder, 2)
    bench.transfer()
    put(bench.folder, keys[0], zipped("x.csv", "new rows\n" * 50))
    plan = bench.plan()
    plan.files = plan.files.with_columns(
        status=pl.when(pl.col("key") == keys[0]).then(pl.lit("updated")).otherwise(pl.lit("cached"))
    )
    report = bench.transfer(plan)
    assert (report.transferred, report.skipped) == (1, 1)
    assert bench.whole(keys)
    assert bench.meta.read("files").filter(pl.col("key") == keys[0]).height == 2


def test_complete_files_of_a_dead_run_are_used_and_partial_ones_removed(bench: Bench):
    keys = write_archive(bench.folder, 4)
    dead = bench.root / "meta/incoming/20240101T000000-dead"
    for name in (keys[0], keys[0] + ".CHECKSUM", keys[1]):
        (dead / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bench.folder / name, dead / name)
    (dead / (keys[2] + "123456789")).write_bytes(b"half")
    (dead / ".lock").touch()
    report = bench.transfer()
    assert report.ok
    assert bench.whole(keys)
    assert [bench.proxy.gets(key) for key in keys] == [0, 0, 1, 1]
    assert bench.proxy.gets(keys[1] + ".CHECKSUM") == 1
    assert not dead.exists()
    assert bench.stray() == []


def test_the_files_of_a_run_just_killed_are_waited_for_until_its_s5cmd_has_ended(bench: Bench):
    keys = write_archive(bench.folder, 2)
    dead = bench.root / "meta/incoming/20240101T000000-dead"
    for name in (keys[0], keys[0] + ".CHECKSUM"):
        (dead / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bench.folder / name, dead / name)
    (dead / ".run").touch()  # nobody's: its process is gone
    lock = os.open(dead / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel still ends the threads of its s5cmd
    end = threading.Timer(0.4, os.close, [lock])
    end.start()
    report = bench.transfer()
    end.join()
    assert report.ok
    assert bench.whole(keys)
    assert bench.proxy.gets(keys[0]) == 0
    assert not dead.exists()


@pytest.mark.parametrize("right", [True, False], ids=["its own", "another version's"])
def test_a_run_killed_between_a_sidecar_and_its_zip_fetches_neither_again(
    bench: Bench, right: bool
):
    keys = write_archive(bench.folder, 2)
    sidecar = keys[0] + ".CHECKSUM"
    dead = bench.root / "meta/incoming/20240101T000000-dead"
    for target in (dead / keys[0], bench.bronze(sidecar)):  # the sidecar goes to its place first
        target.parent.mkdir(parents=True)
    shutil.copy(bench.folder / keys[0], dead / keys[0])
    shutil.copy(bench.folder / (sidecar if right else keys[1] + ".CHECKSUM"), bench.bronze(sidecar))
    (dead / ".lock").touch()
    assert bench.transfer().ok
    assert bench.whole(keys)
    assert bench.stray() == []
    assert bench.proxy.gets(keys[0]) == 0
    assert bench.proxy.gets(sidecar) == (0 if right else 1)


def test_the_files_of_a_run_that_lives_are_left_alone_and_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(staging, "_lock_soon")  # the one place that waits
    keys = write_archive(bench.folder, 1)
    with Staging(bench.root / "meta/incoming", "20240101T000000-live") as other:
        for name in (keys[0], keys[0] + ".CHECKSUM"):
            other.path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bench.folder / name, other.path(name))
        report = bench.transfer()
        assert report.ok
        assert bench.proxy.gets(keys[0]) == 1
        assert other.path(keys[0]).exists()


def test_files_that_a_person_fetched_with_the_plans_commands_are_used(bench: Bench):
    keys = write_archive(bench.folder, 2)
    incoming = bench.root / "meta/incoming"
    for name in (keys[0], keys[0] + ".CHECKSUM"):
        (incoming / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bench.folder / name, incoming / name)
    bench.transfer()
    assert bench.whole(keys)
    assert bench.proxy.gets(keys[0]) == 0


def test_a_left_over_file_of_an_older_version_is_not_used(bench: Bench):
    keys = write_archive(bench.folder, 1)
    dead = bench.root / "meta/incoming/20240101T000000-dead"
    (dead / keys[0]).parent.mkdir(parents=True)
    for name in (keys[0], keys[0] + ".CHECKSUM"):
        shutil.copy(bench.folder / name, dead / name)
    (dead / ".lock").touch()
    put(bench.folder, keys[0], zipped("x.csv", "new rows\n" * 50))
    report = bench.transfer()
    assert report.transferred == 1
    assert bench.whole(keys)


def test_a_file_without_a_sidecar_is_verified_by_its_etag(bench: Bench):
    put(
        bench.folder,
        "data/spot/daily/klines/A/1m/A-1m-2024-01-01.zip",
        zipped("a.csv", "1\n"),
        None,
    )
    report = bench.transfer()
    assert report.files["verified"].to_list() == ["none_published"]
    assert bench.meta.ledger()["verified"].to_list() == ["none_published"]


def test_a_run_is_recorded_when_it_starts_and_when_it_ends(bench: Bench):
    write_archive(bench.folder, 2)
    report = bench.transfer()
    runs = bench.meta.read("runs").filter(pl.col("run_id") == report.run_id)
    assert runs["state"].to_list() == ["running", "done"]
    assert runs["files"].to_list() == [0, 2]
    moved = bench.meta.read("transfers")
    assert moved["status"].to_list() == ["transferred"] * 2
    assert (moved["attempts"] == 1).all()


@pytest.mark.parametrize(
    "name", ["a b", "it's", 'say "x"', "a*b[c]?", "semi;colon & $HOME", "line\nbreak"]
)
def test_no_sign_in_the_roots_name_is_interpreted(bench: Bench, name: str):
    keys = write_archive(bench.folder, 2)
    odd = Bench(bench.folder, bench.proxy, bench.root / name)
    assert odd.transfer().ok
    assert odd.whole(keys)


@pytest.mark.parametrize("symbol", ["龙虾USDT", "A B", "A'B", "A*B"])
def test_no_sign_in_a_key_is_interpreted(bench: Bench, symbol: str):
    key = f"data/spot/daily/klines/{symbol}/1m/{symbol}-1m-2024-01-01.zip"
    put(bench.folder, key, zipped("a.csv", "1\n"))
    put(bench.folder, key.replace(symbol, "AXB"), zipped("a.csv", "2\n"))
    assert bench.transfer().transferred == 2
    assert bench.whole([key])


def test_a_key_that_would_leave_the_root_is_refused(bench: Bench):
    keys = write_archive(bench.folder, 1)
    plan = bench.plan()
    plan.files = plan.files.with_columns(key=pl.lit("../" + keys[0]))
    with pytest.raises(cl.CryptolakeError, match="not a path inside the lake"):
        bench.transfer(plan)
    assert not (bench.root.parent / "data").exists()


def test_a_mode_that_does_not_fit_a_lake_on_a_disk_is_refused(bench: Bench):
    write_archive(bench.folder, 1)
    with pytest.raises(cl.InvalidQuery, match=r"direct.*use auto or download"):
        bench.transfer(mode="direct")
    with pytest.raises(cl.InvalidQuery, match="did you mean 'download'"):
        bench.transfer(mode="downlod")


def test_a_root_that_cannot_be_written_is_a_storage_error(bench: Bench):
    write_archive(bench.folder, 1)
    bench.root.write_text("a file, where the lake should be")
    with pytest.raises(OSError, match="not a folder"):
        bench.transfer()
