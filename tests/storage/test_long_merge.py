"""Long segments are merged a range of keys at a time: the rows are those of a merge in one go."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cryptolake.storage import long_merge, newest_rows, segments, tables
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"files": "key", "quarantine": "key", "months": "path", "sources": "path"}


def fill(meta: Meta, table: str, seed: int, rows: int) -> None:
    """Write rows of repeated keys in a few segments, some of them merged before."""
    dice = Random(seed)
    column = COLUMNS[table]
    for number in range(6):
        some = [
            {
                column: dice.choice(["", f"k/{dice.randrange(40):02}", "é", "k/07"]),
                "run_id": f"{at}",
            }
            for at in range(rows)
        ]
        build = {"run_id": f"run {number}", "key": "k"} if table == "sources" else {}
        meta.append(table, [row | build for row in some])
        if dice.random() < 0.3:
            meta.compact(table, many=2)


@settings(max_examples=25, deadline=None)
@given(table=st.sampled_from(sorted(COLUMNS)), seed=st.integers(0, 2**32), rows=st.integers(1, 30))
def test_the_rows_are_those_of_a_merge_in_one_go(
    tmp_path_factory: pytest.TempPathFactory, table: str, seed: int, rows: int
) -> None:
    found = []
    for pieces in (False, True):
        meta = Meta(open_storage(tmp_path_factory.mktemp("lake")))
        fill(meta, table, seed, rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "_IN_PIECES", 0 if pieces else 2**60)
            patch.setattr(long_merge, "_PIECE", 8)
            meta.compact(table, many=2, whole=True)
        assert len(meta.names(table)) == 1
        found.append(meta.read(table))
    assert_frame_equal(*found)


def test_a_damaged_segment_and_one_of_a_newer_release_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = Meta(open_storage(tmp_path / "lake"))
    for number in range(5):
        meta.append("files", [{"key": f"{number}", "event": "stored"}])
    paths = [entry.path for entry in meta.storage.list("meta/files")]
    bad, newer = (meta.storage.local(path) for path in paths[:2])
    bad.write_bytes(bad.read_bytes()[:-9])
    rows = pl.read_parquet(newer).with_columns(added=pl.lit("x"))
    newer.unlink()
    newer = newer.with_name(newer.name.rsplit("-", 1)[0] + ".parquet")
    rows.write_parquet(newer)
    monkeypatch.setattr(tables, "_IN_PIECES", 0)
    segments._WARNED.clear()
    meta.compact("files", many=2, whole=True)
    assert [bad.exists(), newer.exists(), len(meta.names("files"))] == [True, True, 3]
    with pytest.warns(Warning, match=bad.name):
        assert sorted(meta.ledger()["key"]) == ["1", "2", "3", "4"]


def test_a_range_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = Meta(open_storage(tmp_path / "lake"))
    for part in range(3):
        keys = [{"key": f"{number:06}", "event": "stored"} for number in range(part, 9000, 3)]
        meta.append("files", keys)
    monkeypatch.setattr(tables, "_IN_PIECES", 0)
    monkeypatch.setattr(long_merge, "_PIECE", 400)
    heights, settle = [], newest_rows.settled

    def settled(table: str, rows: pl.DataFrame) -> pl.DataFrame:
        heights.append(rows.height)
        return settle(table, rows)

    monkeypatch.setattr(tables, "settled", settled)
    meta.compact("files", many=2, whole=True)
    assert sum(heights) == 9000
    assert max(heights) <= 2 * 400
    assert meta.ledger()["key"].is_sorted()
