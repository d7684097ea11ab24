"""How fast a transfer went: counted from what each file's row says, and drawn small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.report import FILES, Report

BEGAN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def report_of(stored: list[tuple[float, int]], **given: object) -> Report:
    """Return the report of a run that stored files so many seconds after it began, of so many bytes."""
    rows = [
        {
            "key": f"{number}.zip",
            "status": "transferred",
            "bytes": size,
            "ended_at": BEGAN + timedelta(seconds=after),
            "attempts": 1,
            "retries": 0,
        }
        for number, (after, size) in enumerate(stored)
    ]
    files = pl.DataFrame(rows, schema=FILES)
    return Report("transfer", "20240102T030405-00000000", 1.0, files, **given)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.integers(1, 10**9)), min_size=1, max_size=30),
    st.sampled_from([None, timedelta(minutes=1)]),
)
def test_every_byte_is_in_one_step_and_the_steps_follow_each_other(
    stored: list[tuple[float, int]], every: timedelta | None
):
    slots = report_of(stored).throughput(every)
    assert slots["bytes"].sum() == sum(size for _, size in stored)
    assert slots["files"].sum() == len(stored)
    assert every or slots.height <= 61
    assert slots["time"].diff().drop_nulls().n_unique() <= 1


def test_a_step_without_a_file_is_zero_not_absent():
    slots = report_of([(0, 100), (3, 60)]).throughput(timedelta(seconds=1))
    assert slots["bytes"].to_list() == [100, 0, 0, 60]
    assert slots["bytes_per_second"].to_list() == [100.0, 0.0, 0.0, 60.0]


def test_a_run_that_moved_nothing_has_no_throughput_and_says_so():
    idle = Report("transfer", "20240102T030405-00000000", 1.0)
    assert idle.throughput().is_empty()
    with pytest.raises(cl.InvalidQuery, match="moved no file"):
        idle.chart()


def test_a_notebook_shows_the_chart_of_a_run_that_took_a_while():
    long = report_of([(second, 10**6) for second in range(30)])
    assert "30 files, 30.0 MB in 30 steps of 1 s, at most 1.0 MB a second" in long._repr_html_()
    assert "<svg" in long._repr_html_()
    assert "<svg" not in report_of([(0.0, 10**6)])._repr_html_()


def test_requests_made_again_are_shown_with_their_reason():
    report = report_of([(0, 1), (0, 1)], retries={"SlowDown <b>": 3})
    report.files.replace_column(
        report.files.get_column_index("retries"), pl.Series("retries", [3, 0], pl.Int64)
    )
    shown = report._repr_html_()
    assert "3 requests made again for 1 file" in shown
    assert "3: SlowDown &lt;b&gt;" in shown
