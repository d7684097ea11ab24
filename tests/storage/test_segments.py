"""Segments of the lake's tables: merged without losing or doubling a row, and read although some are damaged."""

from __future__ import annotations

import os
import warnings
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.errors import DamagedLakeWarning
from cryptolake.storage import segments
from cryptolake.storage.files import open_storage
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import MANY, Meta


@pytest.fixture
def meta(tmp_path: Path) -> Meta:
    return Meta(open_storage(tmp_path / "lake"))


def stored(key: str, size: int) -> dict[str, object]:
    return {"key": key, "size": size, "event": "stored"}


def paths(meta: Meta, table: str = "files") -> list[str]:
    return [entry.path for entry in meta.storage.list(f"meta/{table}")]


def sizes(meta: Meta) -> dict[str, int]:
    return dict(meta.ledger().select("key", "size").iter_rows())


def test_a_table_never_has_many_segments(meta: Meta) -> None:
    for number in range(5 * MANY):
        meta.append("runs", [{"run_id": str(number)}])
        assert len(paths(meta, "runs")) <= MANY
    assert meta.read("runs")["run_id"].to_list() == [str(number) for number in range(5 * MANY)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.booleans()),
            st.just(None),  # merge
        ),
        max_size=25,
    )
)
def test_the_ledger_is_the_same_however_often_it_was_merged(tmp_path_factory, steps) -> None:
    meta = Meta(open_storage(tmp_path_factory.mktemp("lake")))
    truth: dict[str, int] = {}
    for step in steps:
        if step is None:
            meta.compact("files", many=2)
            continue
        key, size, kept = step
        meta.append("files", [{"key": key, "size": size, "event": "stored" if kept else "removed"}])
        truth.pop(key, None)
        if kept:
            truth[key] = size
    assert sizes(meta) == truth


@pytest.mark.parametrize("deleted", range(4))
def test_a_merge_that_was_killed_shows_no_row_twice(meta: Meta, monkeypatch, deleted: int) -> None:
    for number in range(4):
        meta.append("runs", [{"run_id": str(number)}])
    left = iter(range(deleted))
    delete = meta.storage.delete

    def killed(path: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        delete(path)

    with monkeypatch.context() as patch:
        patch.setattr(meta.storage, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            meta.compact("runs", many=2)
    assert len(paths(meta, "runs")) == 1 + 4 - deleted
    assert sorted(meta.read("runs")["run_id"]) == ["0", "1", "2", "3"]
    meta.append("runs", [{"run_id": "4"}])
    meta.compact("runs", many=2)
    assert len(paths(meta, "runs")) == 1
    assert meta.read("runs")["run_id"].to_list() == ["0", "1", "2", "3", "4"]


def test_two_merges_at_once_show_no_row_twice(meta: Meta, monkeypatch) -> None:
    for number in range(6):
        meta.append("runs", [{"run_id": str(number)}])
    other = Meta(meta.storage)
    merge = segments.merge

    def overtaken(storage, folder, rows, entries) -> None:
        monkeypatch.setattr(segments, "merge", merge)
        other.append("runs", [{"run_id": "6"}])
        other.compact("runs", many=2)  # of the same segments and one more
        merge(storage, folder, rows, entries)

    monkeypatch.setattr(segments, "merge", overtaken)
    meta.compact("runs", many=2)
    assert sorted(meta.read("runs")["run_id"]) == [str(number) for number in range(7)]


def test_a_writer_whose_clock_is_behind_does_not_lose_to_what_was_merged(
    meta: Meta, monkeypatch
) -> None:
    meta.append("files", [stored("a", 1)])
    late = Meta(meta.storage)
    stamp = late._after_all_seen("files")
    for size in range(2, 5):
        meta.append("files", [stored("b", size)])
    meta.compact("files", many=2)
    monkeypatch.setattr(late, "_after_all_seen", lambda _: stamp)
    late.append("files", [stored("a", 9)])
    assert sizes(meta) == {"a": 9, "b": 4}
    meta.compact("files", many=2)
    assert sizes(meta) == {"a": 9, "b": 4}


def test_a_filter_reads_a_few_row_groups_of_a_long_table(meta: Meta, monkeypatch) -> None:
    many = 60_000
    keys = pl.DataFrame({"key": [f"data/{number:06}" for number in range(many)]})
    filled = keys.with_columns(
        size=pl.lit(1), event=pl.lit("stored"), sha256=pl.col("key").hash().cast(pl.String)
    )
    meta.append("files", filled.head(many // 2))
    meta.append("files", filled.tail(many // 2))
    meta.compact("files", many=2)
    monkeypatch.setattr(segments, "_SCANNED_FROM", {True: 0})
    found = meta.ledger(pl.col("key").is_between(pl.lit("data/000010"), pl.lit("data/000019")))
    assert found["key"].to_list() == [f"data/{number:06}" for number in range(10, 20)]
    assert found.schema == pl.Schema(TABLES["files"])


@pytest.mark.parametrize("column", ["size", "sha256"])
def test_a_flipped_bit_of_a_long_segment_is_seen_where_only_some_rows_are_read(
    meta: Meta, monkeypatch, column: str
) -> None:
    meta.append("files", [stored(f"data/{n:04}", n) | {"sha256": f"{n:064}"} for n in range(900)])
    (path,) = paths(meta)
    file = meta.storage.local(path)
    data = bytearray(file.read_bytes())
    data[place_in(file, column)] ^= 1
    file.write_bytes(data)
    monkeypatch.setattr(segments, "_FRAMES", segments._Frames(1))
    monkeypatch.setattr(segments, "_SCANNED_FROM", {True: 0})
    monkeypatch.setattr(segments, "_WHOLE", set())
    segments._WARNED.clear()
    with pytest.warns(DamagedLakeWarning, match=file.name):
        assert meta.ledger(pl.col("key") == "data/0007").is_empty()


def place_in(file: Path, column: str) -> int:
    """Return where a byte of a column's packed data stands."""
    text = "select data_page_offset + total_compressed_size - 1 from parquet_metadata(?) where path_in_schema = ?"
    ((place,),) = duckdb.execute(text, [str(file), column]).fetchall()
    return int(place) - 4


DAMAGES = {
    "cut": lambda path, data: path.write_bytes(data[: len(data) // 2]),
    "emptied": lambda path, data: path.write_bytes(b""),
    "junk": lambda path, data: path.write_bytes(b"hello" * 99),
    "footer": lambda path, data: path.write_bytes(
        data[:-40] + bytes([data[-40] ^ 255]) + data[-39:]
    ),
    "data": lambda path, data: path.write_bytes(data[:20] + bytes([data[20] ^ 255]) + data[21:]),
    "dangling link": lambda path, _: (path.unlink(), path.symlink_to("/nonexistent")),
    "folder": lambda path, _: (path.unlink(), path.mkdir()),
    "pipe": lambda path, _: [step(path) for step in (Path.unlink, os.mkfifo)],
    "other columns": lambda path, _: pl.DataFrame({"evil": [1]}).write_parquet(path),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("merged", [False, True])
def test_a_damaged_segment_is_named_and_the_others_are_read(
    meta: Meta, monkeypatch, damage: str, merged: bool
) -> None:
    meta.append("files", [stored("a", 1)])
    if merged:
        meta.append("files", [stored("b", 1)])
        meta.compact("files", many=2)
    (path,) = paths(meta)
    bad = meta.storage.local(path)
    DAMAGES[damage](bad, bad.read_bytes())
    monkeypatch.setattr(segments, "_FRAMES", segments._Frames(1))
    segments._WARNED.clear()
    meta.append("files", [stored("c", 3)])
    with pytest.warns(DamagedLakeWarning, match=bad.name):
        assert sizes(meta) == {"c": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes(meta) == {"c": 3}  # named once in a process
        meta.append("files", [stored("d", 4)])
        meta.compact("files", many=2)
        assert sizes(meta) == {"c": 3, "d": 4}
    assert [item.path for item in meta.damaged()] == [path]


def test_a_newer_release_may_add_columns_and_its_segments_stay_as_they_are(meta: Meta) -> None:
    meta.append("files", [stored("a", 1)])
    newer = pl.DataFrame([stored("a", 2)], schema_overrides={"size": pl.Int64}).with_columns(
        added=pl.lit("x")
    )
    path = meta.storage.local(f"meta/files/{meta._after_all_seen('files')}-00000000.parquet")
    newer.write_parquet(path)
    meta.append("files", [stored("b", 3)])
    meta.append("files", [stored("c", 4)])
    assert sizes(meta) == {"a": 2, "b": 3, "c": 4}
    meta.compact("files", many=2)
    assert "added" in pl.read_parquet(path).columns
    assert sizes(meta) == {"a": 2, "b": 3, "c": 4}


def test_a_column_that_this_release_cannot_read_is_said_to_be_of_a_newer_one(meta: Meta) -> None:
    meta.append("files", [stored("a", 1)])
    rows = meta.read("files").with_columns(pl.col("size").cast(pl.String) + " B")
    rows.write_parquet(meta.storage.local("meta/files/20990101T000000000000-00000000.parquet"))
    segments._WARNED.clear()
    with pytest.warns(DamagedLakeWarning, match="newer release"):
        assert sizes(meta) == {"a": 1}


NAMELESS = [("months", "path"), ("sources", "path"), ("sources", "key"), ("lineage", "path")]
NAMELESS += [("quarantine", "key")]


@pytest.mark.parametrize(("table", "name"), NAMELESS)
@pytest.mark.parametrize("scanned_from", [0, 2**40])
def test_a_row_about_no_file_does_not_count_and_is_named_once(
    meta: Meta, monkeypatch, table: str, name: str, scanned_from: int
) -> None:
    monkeypatch.setattr(segments, "_SCANNED_FROM", {True: scanned_from})
    other = "key" if (table, name) == ("sources", "path") else "path"
    for texts in (["a", None, "b"], [None]):
        meta.append(table, [{other: "x", name: text, "run_id": "r"} for text in texts])
    with pytest.warns(DamagedLakeWarning) as said:
        assert meta.read(table)[name].to_list() == ["a", "b"]
    assert [f"rows without a {name} are about no file" in str(one.message) for one in said] == [
        True
    ] * 2
    assert meta.read(table, where=pl.col("run_id") == "r")[name].to_list() == ["a", "b"]
    meta.compact(table, many=2)
    assert meta.read(table)[name].to_list() == ["a", "b"]


def test_a_merge_drops_no_row_about_no_file_without_a_word(meta: Meta) -> None:
    meta.append("months", [{"path": "a"}, {"path": None}])
    meta.append("months", [{"path": "b"}])
    with pytest.warns(
        DamagedLakeWarning, match=r"meta/months/.* rows without a path .* \(1 of 2\)"
    ):
        meta.compact("months", many=2)
    assert meta.read("months")["path"].to_list() == ["a", "b"]


ODD_TIMES = [2**62, -(2**62), 2**63 - 1, -(2**63) + 1, -1, int(9.3e17), 253_402_300_800_000_000]


@pytest.mark.parametrize("scanned_from", [0, 2**40])
@pytest.mark.parametrize("odd", ODD_TIMES)
def test_a_time_that_no_clock_shows_is_unknown(
    meta: Meta, monkeypatch, odd: int, scanned_from: int
) -> None:
    monkeypatch.setattr(segments, "_SCANNED_FROM", {True: scanned_from})
    now = datetime(2024, 6, 1, 12, tzinfo=UTC)
    for table, schema in TABLES.items():
        times = [name for name, kind in schema.items() if isinstance(kind, pl.Datetime)]
        name = next(iter(schema))
        texts = {other: ["x"] * 3 for other in {"path", "key"} & set(schema)}
        rows = pl.DataFrame(texts | {name: ["a", "b", "c"]}).with_columns(
            pl.Series(time, [int(now.timestamp() * 1e6), odd, None], pl.Int64).cast(schema[time])
            for time in times
        )
        meta.append(table, rows)
        found = meta.read(table, where=pl.col(name) > "")
        assert found[name].to_list() == ["a", "b", "c"]
        assert found.select(times).rows() == [(now,) * len(times), *[(None,) * len(times)] * 2]
        assert found.schema == pl.Schema(schema)


NO_NAMES = ["5", "null", "{}", '"x"', "nonsense", "[" * 100_000]


@pytest.mark.parametrize("says", NO_NAMES)
def test_a_merged_segment_that_does_not_say_what_it_replaces_is_named(
    meta: Meta, says: str
) -> None:
    meta.append("files", [stored("a", 1)])
    rows = meta.read("files").with_columns(key=pl.lit("b"))
    path = "meta/files/20990101T000000000000-merged-00000000.parquet"
    rows.write_parquet(meta.storage.local(path), metadata={"cryptolake.replaces": says})
    segments._WARNED.clear()
    with pytest.warns(DamagedLakeWarning, match="-merged-"):
        assert sizes(meta) == {"a": 1}
    assert [item.path for item in meta.damaged()] == [path]


def test_no_flipped_bit_of_a_merged_segment_stops_the_table(meta: Meta, monkeypatch) -> None:
    for key in "ab":
        meta.append("runs", [{"run_id": key}])
    monkeypatch.setattr(meta.storage, "delete_all", lambda _: None)
    meta.compact("runs", many=2)
    *_, merged = segments.segments(meta.storage, "meta/runs")
    file = meta.storage.local(merged.path)
    data = file.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    monkeypatch.setattr(segments, "_REPLACED", {})
    for place in range(footer, len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        segments.replaces(meta.storage, merged)
        segments._REPLACED.clear()


def test_what_was_read_once_is_not_read_again(meta: Meta, monkeypatch) -> None:
    meta.append("files", [stored("a", 1)])
    assert sizes(meta) == {"a": 1}
    monkeypatch.setattr(meta.storage, "read", lambda path: pytest.fail(f"read again: {path}"))
    assert sizes(meta) == {"a": 1}
