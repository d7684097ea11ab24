"""The lake's tables: appended by anyone at any time, read as one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import TABLES, Meta, new_run_id


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
