"""The lake's tables: appended by anyone at any time, read as one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cryptolake.storage import segments, tables
from cryptolake.storage.files import open_storage
from cryptolake.storage.newest_rows import REMEMBERED
from cryptolake.storage.scope import Scope
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import FEW, Meta, Snapshot, new_run_id


@pytest.fixture
def meta(tmp_path: Path) -> Meta:
    return Meta(open_storage(tmp_path / "lake"))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_nobody_wrote_is_empty_and_typed(meta: Meta, table: str) -> None:
    assert meta.read(table).schema == pl.Schema(TABLES[table])


def test_the_ledger_is_the_newest_row_of_each_key(meta: Meta) -> None:
    meta.append("files", [{"key": "a", "size": 1, "event": "stored"}])
    meta.append(
        "files", [{"key": "a", "size": 2, "event": "stored"}, {"key": "b", "event": "stored"}]
    )
    meta.append("files", [{"key": "b", "event": "removed"}])
    assert meta.ledger().select("key", "size").rows() == [("a", 2)]


def test_writers_do_not_lose_each_others_rows(meta: Meta) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: meta.append("files", [{"key": f"{n}", "event": "stored"}]), range(200)
            )
        )
    assert meta.ledger().height == 200


def test_merging_segments_keeps_rows_and_order(meta: Meta) -> None:
    for number in range(70):
        meta.append("transfers", [{"key": "same", "bytes": number}])
    before = meta.read("transfers")
    meta.compact("transfers", many=2)
    assert len(meta.storage.list("meta/transfers")) == 1
    assert_frame_equal(meta.read("transfers"), before)
    meta.append("transfers", [{"key": "same", "bytes": 999}])
    assert meta.read("transfers")["bytes"].to_list() == [*range(70), 999]


def test_a_value_of_another_type_is_refused(meta: Meta) -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        meta.append("runs", pl.DataFrame({"run_id": ["r"], "files": ["many"]}))


def test_a_column_the_table_lacks_is_refused(meta: Meta) -> None:
    with pytest.raises(ValueError, match="colour"):
        meta.append("runs", [{"run_id": "r", "colour": "red"}])


def test_run_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert ids[0][:15] <= ids[-1][:15]


def test_transfers_are_remembered_for_some_months(meta: Meta) -> None:
    now = datetime.now(UTC)
    for age in (200, 100, 91, 89, 0):
        meta.append("transfers", [{"key": f"{age} days", "at": now - timedelta(days=age)}])
    meta.append("transfers", [{"key": "at no time"}])
    meta.compact("transfers", many=2)
    assert meta.read("transfers")["key"].to_list() == ["89 days", "0 days", "at no time"]


def test_a_segment_of_transfers_that_is_older_is_removed_unread(meta: Meta, monkeypatch) -> None:
    old = datetime.now(UTC) - REMEMBERED - timedelta(days=1)
    monkeypatch.setattr(meta, "_after_all_seen", lambda _: f"{old:%Y%m%dT%H%M%S%f}")
    meta.append("transfers", [{"key": "old", "at": old}])
    monkeypatch.undo()
    meta.append("transfers", [{"key": "new", "at": datetime.now(UTC)}])
    monkeypatch.setattr(segments, "read_whole", lambda *_: pytest.fail("it was read"))
    meta.settle()
    assert meta.read("transfers")["key"].to_list() == ["new"]


@pytest.mark.parametrize("table", ["findings", "rejects"])
def test_what_builds_say_again_each_night_is_kept_once(meta: Meta, table: str) -> None:
    now = datetime.now(UTC)
    for night in range(30):
        at = {"at": now - timedelta(days=30 - night), "run_id": f"{night}"}
        rows = [{"path": "p", "key": "same", **at}, {"path": "p", "key": f"of {night}", **at}]
        meta.append(table, rows)
    beside = [{"path": "p", "key": "same", "at": now - timedelta(hours=25), "run_id": "beside"}]
    meta.append(table, beside)  # another build, less than a day before the last
    meta.compact(table, many=2)
    found = meta.read(table)
    assert found.filter(key="same")["run_id"].to_list() == ["28", "29", "beside"]
    assert set(found["key"]) == {"same", *(f"of {night}" for night in range(30))}


def test_a_long_segment_is_left_as_it_is_by_the_end_of_a_run(meta: Meta, monkeypatch) -> None:
    """A run ends in the same memory whatever the lake's age; ``lake.compact`` merges all."""
    monkeypatch.setattr(tables, "_LONG", 10_000)
    keys = [{"key": f"{number:06}", "event": "stored"} for number in range(20_000)]
    meta.append("files", keys)
    (long,) = meta.storage.list("meta/files")
    for number in range(3 * FEW):
        meta.append("files", [{"key": f"new {number}", "event": "stored"}])
        Meta.settle(meta)
        assert len(meta.names("files")) <= FEW + 1
    assert long in meta.storage.list("meta/files")
    meta.compact("files", many=2, whole=True)
    assert len(meta.names("files")) == 1
    assert meta.ledger().height == 20_000 + 3 * FEW


def test_a_snapshot_reads_the_rows_of_a_scope_once(meta: Meta, monkeypatch) -> None:
    meta.append("sources", [{"path": f"silver/{letter}/1", "key": "k"} for letter in "abc"])
    snapshot = Snapshot(meta)
    scope = Scope.of(["silver/b/", "silver/c/"])
    wanted = ["silver/b/1", "silver/c/1"]
    assert snapshot.within("sources", scope)["path"].to_list() == wanted
    monkeypatch.setattr(meta, "read", lambda *_, **__: pytest.fail("read again"))
    assert snapshot.within("sources", scope)["path"].to_list() == wanted
    monkeypatch.undo()
    snapshot.forget()
    meta.append("sources", [{"path": "silver/b/2", "key": "k"}])
    assert snapshot.within("sources", scope).height == 3


def test_the_end_of_a_run_writes_no_long_segments_again_until_there_are_several(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_IN_PIECES", 1)
    for number in range(FEW - 1):
        meta.append("files", [{"key": f"data/{number}", "event": "stored"}])
    assert meta.compact("files", many=2) == 0
    meta.append("files", [{"key": "data/last", "event": "stored"}])
    assert meta.compact("files", many=2) == FEW
