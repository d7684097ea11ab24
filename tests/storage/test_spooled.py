"""Long tables: what is on disk reads as what is in memory, and is gone with the table."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryptolake.storage.spooled import FEW, PIECE, Rows, Table

LONG = 2 * FEW + 7


def table(height: int) -> pl.DataFrame:
    number = pl.int_range(height, eager=True, dtype=pl.Int64)
    key = number.cast(pl.String)
    status = pl.select(pl.when(number % 3 == 0).then(pl.lit("new"))).to_series().fill_null("cached")
    group = pl.select(pl.when(number % 5 > 0).then(number % 5)).to_series()
    return pl.DataFrame({"key": key, "status": status, "group": group, "size": number * number})


@settings(deadline=None, max_examples=40)
@given(st.integers(0, LONG), st.lists(st.integers(0, LONG), max_size=5))
@example(FEW, [])
@example(FEW + 1, [])
@example(LONG, [FEW, FEW + 1])
def test_rows_are_the_table_wherever_it_was_cut(height: int, cuts: list[int]):
    whole = table(height)
    ends = sorted({0, height} | {min(cut, height) for cut in cuts})
    rows = Rows(whole[a:b] for a, b in pairwise(ends)) if height else Rows([whole])
    assert rows.height == height
    assert all(piece.height <= PIECE for piece in rows.pieces())
    assert rows.frame().equals(whole)
    assert rows.select("size", "key").equals(whole.select("size", "key"))
    new = pl.col("status") == "new"
    assert rows.filter(new).equals(whole.filter(new))
    sums = rows.sums(["status", "group"], pl.len().alias("files"), pl.col("size").sum())
    expected = whole.group_by("status", "group").agg(pl.len().alias("files"), pl.col("size").sum())
    order = ["status", "group"]
    assert sums.sort(order).equals(expected.sort(order), null_equal=True)
    assert pickle.loads(pickle.dumps(rows)).frame().equals(whole)


def test_many_threads_read_the_same_rows():
    rows = Rows([table(LONG)])
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: pl.concat(rows.pieces()), range(16)))
    assert all(frame.equals(table(LONG)) for frame in read)


def test_a_frame_that_somebody_holds_is_not_read_again():
    rows = Rows([table(LONG)])
    held = rows.frame()
    assert rows.frame() is held


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_only_a_long_table_has_a_file_and_it_goes_with_the_table():
    def files() -> int:
        gc.collect()
        open_files = [
            str(item.readlink()) for item in Path("/proc/self/fd").iterdir() if item.is_symlink()
        ]
        return sum(
            name.startswith(tempfile.gettempdir()) and name.endswith("(deleted)")
            for name in open_files
        )

    before = files()
    short = Rows([table(FEW)])
    assert files() == before
    long = Rows([table(LONG)])
    assert files() == before + 1
    del short, long
    assert files() == before


def test_where_no_temporary_file_can_be_had_rows_stay_in_memory(monkeypatch: pytest.MonkeyPatch):
    def refused(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert Rows([table(LONG)]).frame().equals(table(LONG))


def test_a_disk_that_fills_up_in_between_loses_no_row(monkeypatch: pytest.MonkeyPatch):
    class Full(BytesIO):
        written = 0

        def write(self, data: Any) -> int:
            self.written += 1
            if self.written > 3:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    assert Rows([table(LONG)]).frame().equals(table(LONG))


def test_a_field_takes_and_gives_frames_and_a_copy_with_changes_keeps_it():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Holder:
        name: str
        files: Table = Table()  # noqa: RUF009 - a descriptor
        _files: Rows = dataclasses.field(init=False)

    holder = Holder(name="a", files=table(LONG))
    renamed = dataclasses.replace(holder, name="b")
    assert holder.files.equals(table(LONG))
    assert renamed.files.equals(table(LONG))
    with pytest.raises(TypeError, match="files"):
        Holder(name="a")
