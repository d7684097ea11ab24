"""Wildcard lines: one LIST and one GET an object, and named lines where a wildcard did not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tests.transfer.archives import FolderPlan, put, write_archive, zipped
from tests.transfer.proxy import Fault

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench


def selected(bench: Bench) -> FolderPlan:
    """A plan whose files one wildcard selects."""
    plan = bench.plan()
    plan.files = plan.files.with_columns(
        selector=pl.col("key").str.replace(r"\d{4}-\d\d-\d\d\.zip$", "")
    )
    return plan


def lists(bench: Bench) -> int:
    return bench.proxy.asked["GET", ""]


def test_a_wildcard_costs_one_list_and_one_get_an_object(bench: Bench):
    keys = write_archive(bench.folder, 30)
    report = bench.transfer(selected(bench))
    assert (report.transferred, report.ok) == (30, True)
    assert bench.whole(keys)
    assert lists(bench) == 1
    assert bench.proxy.asked.total() == 61 == report.requests
    assert bench.stray() == []


def test_files_that_are_not_wanted_any_more_are_not_selected(bench: Bench):
    keys = write_archive(bench.folder, 12)
    plan = selected(bench)
    some = plan.files["key"].is_in(keys[:5])
    first = FolderPlan(plan.files.filter(some), plan.archive)
    assert bench.transfer(first).transferred == 5
    bench.proxy.forget()
    report = bench.transfer(plan)
    assert (report.transferred, report.skipped) == (7, 5)
    assert bench.whole(keys)
    assert not [key for key in keys[:5] if bench.proxy.gets(key)]


def test_what_was_published_after_the_listing_is_not_kept(bench: Bench):
    keys = write_archive(bench.folder, 5)
    plan = selected(bench)
    put(bench.folder, keys[0].replace("2020-01-01", "2020-02-28"), zipped("a.csv", "1\n"))
    assert bench.transfer(plan).transferred == 5
    assert bench.whole(keys)
    assert bench.stray() == []


def test_a_file_that_a_wildcard_brought_wrong_is_fetched_again_by_name(bench: Bench):
    keys = write_archive(bench.folder, 8)
    bench.proxy.faults = lambda method, key, nth: (
        Fault("flip") if key == keys[3] and method == "GET" and nth == 1 else None
    )
    report = bench.transfer(selected(bench))
    assert (report.transferred, report.retried) == (8, 1)
    assert bench.whole(keys)
    assert bench.proxy.gets(keys[3]) == 2


def test_a_listing_that_fails_is_mended_by_names(bench: Bench):
    keys = write_archive(bench.folder, 8)
    bench.proxy.faults = lambda method, key, nth: Fault("status", 500) if key == "" else None
    report = bench.transfer(selected(bench), options={"retries": 0})
    assert report.transferred == 8
    assert bench.whole(keys)


def test_half_a_file_left_by_a_dead_run_is_completed_by_name(bench: Bench):
    keys = write_archive(bench.folder, 6)
    dead = bench.root / "meta/incoming/20240101T000000-dead" / keys[2]
    dead.parent.mkdir(parents=True)
    dead.write_bytes((bench.folder / keys[2]).read_bytes())
    (bench.root / "meta/incoming/20240101T000000-dead/.lock").touch()
    report = bench.transfer(selected(bench))
    assert report.ok
    assert bench.whole(keys)
    assert bench.proxy.gets(keys[2]) == 0
    assert bench.proxy.gets(keys[2] + ".CHECKSUM") == 1
