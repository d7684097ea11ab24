"""One rule says which Gold files count, for ``lake.gold`` and for SQL: both name the same ones, and count the same rows."""

from __future__ import annotations

import shutil
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.readers import gold_files
from cryptolake.storage.runs import run_row
from tests.readers.lakes import build_all, days, klines_key, klines_text, put

HOUR = timedelta(hours=1)
QUERY = cl.query().symbols("*USDT").between("2024-01-30", "2024-01-31")
FILE = "gold/closes/market=spot/symbol={}/interval=1h/2024-01.parquet"
MINE, OTHER = FILE.format("AUSDT"), FILE.format("BUSDT")


@pytest.fixture
def lake(tmp_path: Path) -> cl.Lake:
    """A lake with a Gold file of a symbol of whose Silver there is none: no build makes it anew."""

    @cl.recipe(bars="spot_klines:1h")
    def closes(bars):
        return bars.select("open_time", "close")

    lake = cl.Lake(tmp_path / "lake")
    texts = {
        klines_key("AUSDT", day, "1h"): klines_text(day, 24, step=HOUR)
        for day in days("2024-01-30", 2)
    }
    put(lake.storage, lake.meta, texts)
    build_all(lake.storage, lake.meta)
    assert lake.gold("closes", QUERY, progress=False).collect().height == 48
    other = lake.storage.local(OTHER)
    other.parent.mkdir(parents=True)
    shutil.copyfile(lake.storage.local(MINE), other)
    return lake


def record(lake: cl.Lake, state: str | None, *, more: int = 0, age: timedelta = HOUR) -> None:
    """Record the other file, with more bytes than it has, by a run that is in a state; None for no run."""
    row = lake.meta.read("lineage").filter(path=MINE).row(0, named=True)
    now = datetime.now(UTC)
    row |= {"path": OTHER, "size": row["size"] + more, "run_id": "other", "built_at": now - age}
    lake.meta.append("lineage", [row])
    if state is not None:
        lake.meta.append("runs", [run_row("other", "gold", state, now)])


def counted(lake: cl.Lake) -> list[tuple[int, str]]:
    """The rows that each door finds, and what it says of the other file."""
    found = []
    for door in (
        lambda: lake.gold("closes", QUERY, progress=False).collect().height,
        lambda: lake.sql("select count(*) from gold.closes").fetchall()[0][0],
        lambda: lake.connect().sql("select count(*) from gold.closes").fetchall()[0][0],
    ):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            rows = door()
        said = [text for one in heard if OTHER in (text := str(one.message))]
        found.append((rows, said[0].partition(f"{OTHER} (")[2].partition(")")[0] if said else ""))
    return found


def test_a_file_that_no_build_has_recorded_is_named_and_no_row_of_it_counts(lake: cl.Lake) -> None:
    (said,) = set(counted(lake))
    assert said[0] == 48
    assert said[1].startswith("no build has recorded it: lake.build(query, gold=['closes']")
    lake.storage.delete(OTHER)
    assert set(counted(lake)) == {(48, "")}


def test_a_file_as_recorded_counts(lake: cl.Lake) -> None:
    record(lake, "done")
    assert set(counted(lake)) == {(96, "")}


@pytest.mark.parametrize("state", ["done", None])
def test_a_file_of_ours_that_is_another_than_was_recorded_is_named(
    lake: cl.Lake, state: str | None
) -> None:
    record(lake, state, more=7)
    size = lake.storage.size(OTHER) or 0
    assert set(counted(lake)) == {
        (48, f"it has {size:,} bytes, not the {size + 7:,} that were recorded")
    }


@pytest.mark.parametrize("state", ["running", "failed", None])
def test_between_record_and_place_the_file_of_the_build_before_counts(
    lake: cl.Lake, state: str | None
) -> None:
    record(lake, state, more=7, age=timedelta())
    assert set(counted(lake)) == {(96, "")}
    pl.DataFrame({"open_time": [datetime.now(UTC)], "close": [1.0]}).write_parquet(
        lake.storage.local(OTHER)
    )
    ((rows, said),) = set(counted(lake))
    assert rows == 48
    assert "that were recorded" in said


def test_a_record_of_a_clock_that_was_ahead_hides_no_file_that_is_another(lake: cl.Lake) -> None:
    record(lake, None, more=7, age=-timedelta(days=400))
    ((rows, said),) = set(counted(lake))
    assert rows == 48
    assert "that were recorded" in said


def test_a_file_that_is_gone_is_named_by_both(lake: cl.Lake) -> None:
    record(lake, "done")
    lake.storage.delete(OTHER)
    assert set(counted(lake)) == {(48, "it is gone")}


def test_a_file_that_is_placed_while_it_is_judged_counts(
    lake: cl.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lake.meta.read("lineage")
    record(lake, "done")
    monkeypatch.setattr(gold_files, "_facts", lambda *_: before)  # read before it was recorded
    assert set(counted(lake)) == {(96, "")}


def test_a_folder_that_no_recipe_is_named_like_is_not_the_lakes(lake: cl.Lake) -> None:
    record(lake, "done")
    mine = lake.storage.local("gold/notebook/a.parquet")
    mine.parent.mkdir()
    pl.DataFrame({"x": [1, 2]}).write_parquet(mine)
    assert lake.sql("select sum(x) from gold.notebook").fetchall() == [(3,)]
    assert set(counted(lake)) == {(96, "")}
