"""Clocks that are wrong: what was written last counts as last, whatever time its writer thought it was."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.silver.records import current
from cryptolake.storage import tables as module
from cryptolake.storage.files import open_storage
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import Meta, Snapshot

KEY = "data/spot/daily/klines/A/1m/A-1m-2024-01-01.zip"
offsets = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-400_000_000, 400_000_000)), min_size=1, max_size=6
)


class Clock(datetime):
    """A clock that is off by some seconds."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + cls.ahead


@pytest.fixture(scope="module", autouse=True)
def clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "datetime", Clock)
        yield


@given(offsets)
@settings(deadline=None, max_examples=25)
def test_the_newest_row_is_the_one_written_last_by_who_knew_the_others(
    writes: list[tuple[int, int]],
):
    with tempfile.TemporaryDirectory() as folder:
        processes = [Meta(open_storage(folder)) for _ in range(3)]
        for version, (number, ahead) in enumerate(writes):
            Clock.ahead = timedelta(seconds=ahead)
            process = processes[number]
            process.ledger()  # whoever stores a file has looked what is there
            process.append("files", [{"key": KEY, "size": version, "event": "stored"}])
            assert process.ledger()["size"].to_list() == [version]
        reader = Meta(open_storage(folder))
        assert reader.ledger()["size"].to_list() == [len(writes) - 1]
        assert reader.read("files")["size"].to_list() == list(range(len(writes)))


def test_a_clock_set_back_within_one_process_changes_no_order(tmp_path: Any):
    own = Meta(open_storage(tmp_path))
    for version, ahead in enumerate((3600, 0, -3600)):
        Clock.ahead = timedelta(seconds=ahead)
        own.append("files", [{"key": KEY, "size": version, "event": "stored"}])
    assert own.ledger()["size"].to_list() == [2]


DAYS = (-400, -2, 2, 400)


@pytest.mark.parametrize("ahead", DAYS)
def test_a_file_stored_after_it_was_in_quarantine_is_there_no_more_whatever_clocks_say(
    tmp_path: Any, ahead: int
):
    Clock.ahead = timedelta(days=ahead)
    Meta(open_storage(tmp_path)).append(
        "quarantine", [{"key": KEY, "etag": "bad", "at": Clock.now(UTC)}]
    )
    Clock.ahead = timedelta()
    own = Meta(open_storage(tmp_path))
    assert own.quarantined()["key"].to_list() == [KEY]
    stored = {"key": KEY, "etag": "good", "event": "stored", "fetched_at": Clock.now(UTC)}
    own.append("files", [stored])
    assert own.quarantined().is_empty()
    assert Snapshot(own).quarantined().is_empty()
    own.compact("files", many=1, whole=True)
    assert own.quarantined().is_empty()


@pytest.mark.parametrize("ahead", DAYS)
def test_a_version_put_into_quarantine_after_another_was_stored_is_there_whatever_clocks_say(
    tmp_path: Any, ahead: int
):
    Clock.ahead = timedelta(days=ahead)
    stored = {"key": KEY, "etag": "good", "event": "stored", "fetched_at": Clock.now(UTC)}
    Meta(open_storage(tmp_path)).append("files", [stored])
    Clock.ahead = timedelta()
    own = Meta(open_storage(tmp_path))
    own.append("quarantine", [{"key": KEY, "etag": "bad", "at": Clock.now(UTC)}])
    own.compact("quarantine", many=1, whole=True)
    assert own.quarantined().columns == list(TABLES["quarantine"])
    assert own.quarantined()["etag"].to_list() == ["bad"]


@pytest.mark.parametrize("ahead", DAYS)
@pytest.mark.parametrize("table", ["rejects", "findings"])
def test_merging_keeps_what_the_newest_build_says_and_not_what_the_latest_clock_says(
    tmp_path: Any, table: str, ahead: int
):
    said: dict[str, Any] = {"dataset": "spot_klines", "path": "p", "key": KEY}
    for run, off in (("old", ahead), ("new", 0)):
        Clock.ahead = timedelta(days=off)
        build = Meta(open_storage(tmp_path))
        build.read("months")  # all that a build has to read of what is there
        now = {"run_id": run, "path": "p", "built_at": Clock.now(UTC)}
        build.append("sources", [{**now, "key": KEY, "rejects": 1}])
        build.append(table, [{**said, "at": now["built_at"], "run_id": run}])
    tables = Meta(open_storage(tmp_path))
    assert current(tables, table)["run_id"].to_list() == ["new"]
    for name in ("sources", table):
        tables.compact(name, many=1, whole=True)
    assert tables.read(table)["run_id"].to_list() == ["new"]
    assert current(tables, table)["run_id"].to_list() == ["new"]


def test_a_clock_that_was_ahead_once_lets_no_later_transfer_be_forgotten(tmp_path: Any):
    for run, off in (("ahead", 400), ("right", 0), ("again", 0)):
        Clock.ahead = timedelta(days=off)
        row = {"run_id": run, "key": KEY, "at": Clock.now(UTC)}
        Meta(open_storage(tmp_path)).append("transfers", [row])
    own = Meta(open_storage(tmp_path))
    own.compact("transfers", many=1, whole=True)
    assert own.read("transfers")["run_id"].to_list() == ["ahead", "right", "again"]


def test_a_file_that_is_no_segment_of_ours_hides_no_time_of_those_before_it(tmp_path: Any):
    Clock.ahead = timedelta(days=400)
    Meta(open_storage(tmp_path)).append("files", [{"key": KEY, "size": 1, "event": "stored"}])
    (tmp_path / "meta" / "files" / "notes.parquet").write_bytes(b"no segment")
    Clock.ahead = timedelta()
    own = Meta(open_storage(tmp_path))
    own.append("files", [{"key": KEY, "size": 2, "event": "stored"}])
    with pytest.warns(cl.DamagedLakeWarning, match="notes.parquet"):
        assert own.ledger()["size"].to_list() == [2]


def test_a_file_accepted_by_a_machine_whose_clock_is_behind_is_in_quarantine_no_more(
    tmp_path: Any,
):
    own, now = Meta(open_storage(tmp_path)), datetime.now(UTC)
    own.append("quarantine", [{"key": KEY, "etag": "e", "at": now + timedelta(hours=1)}])
    assert own.quarantined().height == 1
    row = {"key": KEY, "etag": "e", "fetched_at": now, "event": "stored"}
    own.append("files", [row | {"verified": "stale_accepted"}])
    assert own.quarantined().is_empty()
    own.append("quarantine", [{"key": KEY, "etag": "f", "at": now + timedelta(hours=2)}])
    assert own.quarantined().height == 1, "a new version that is stale too"
