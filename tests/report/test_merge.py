"""``Report.merge``: counts add up, rows are kept, seconds are the wall's."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from cryptolake.errors import InvalidQuery
from cryptolake.report import FILES, MONTHS, Report

START = datetime(2025, 1, 1, tzinfo=UTC)


def report(
    files: dict[str, str] | None = None,
    months: dict[str, str] | None = None,
    *,
    after: float = 0,
    seconds: float = 1.0,
    **given: Any,
) -> Report:
    rows = [
        {
            "key": key,
            "status": status,
            "bytes": 10 if status == "transferred" else 0,
            "attempts": 1,
            "retries": 1,
        }
        for key, status in (files or {}).items()
    ]
    built = [
        {"path": path, "status": status, "rows": 5, "error": "bad" if status == "failed" else None}
        for path, status in (months or {}).items()
    ]
    fields: dict[str, Any] = {"kind": "transfer", "run_id": "r", **given}
    return Report(
        seconds=seconds,
        files=pl.DataFrame(rows, schema=FILES),
        months=pl.DataFrame(built, schema=MONTHS),
        started_at=START + timedelta(seconds=after),
        **fields,
    )


def test_counts_add_up_and_seconds_are_the_walls():
    one = report(
        {"a": "transferred", "b": "failed", "c": "cached"},
        after=1,
        seconds=4,
        requests=7,
        retries={"503": 2},
        fallbacks={"x": 1},
        run_id="one",
    )
    two = report(
        {"d": "transferred", "e": "quarantined", "f": "adopted"},
        after=2,
        seconds=1,
        requests=5,
        retries={"503": 1, "reset": 3},
        state="failed",
    )
    three = report(
        {"g": "cached"}, {"silver/p": "built"}, after=0, seconds=1, kind="build", requests=None
    )
    both = Report.merge(iter([one, two, three]))
    assert (both.kind, both.run_id, both.state) == ("pull", "one", "failed")
    assert (both.transferred, both.failed, both.skipped, both.quarantined, both.adopted) == (
        2,
        1,
        3,
        1,
        1,
    )
    assert (both.bytes, both.requests, both.built, both.rows) == (20, 12, 1, 5)
    assert (both.retries, both.fallbacks) == ({"503": 3, "reset": 3}, {"x": 1})
    assert (both.started_at, both.seconds) == (START, 5.0)
    assert both.files["key"].to_list() == list("abcdefg")
    again = pickle.loads(pickle.dumps(both))
    assert again.files.equals(both.files)
    assert again.summary() == both.summary()


def test_of_a_month_in_several_reports_the_last_counts_and_a_build_stays_one():
    parts = [
        report(
            months={"p": "built", "q": "failed", "r": "unchanged", "s": "built"}, damaged=("k",)
        ),
        report(
            months={"p": "unchanged", "q": "built", "r": "unchanged", "s": "failed"}, damaged=("j",)
        ),
    ]
    merged = Report.merge(parts)
    assert dict(merged.months.select("path", "status").iter_rows()) == {
        "p": "built",
        "q": "built",
        "r": "unchanged",
        "s": "failed",
    }
    assert merged.damaged == ("j", "k")
    assert merged.failed == 1


def test_a_file_in_quarantine_is_named_once_and_a_stop_is_the_worst_end():
    parts = [
        report({"a": "quarantined"}),
        report({"a": "quarantined"}, state="stopped"),
        report(state="failed"),
    ]
    merged = Report.merge(parts)
    assert (merged.quarantined, merged.files.height, merged.state) == (1, 1, "stopped")
    assert merged.requests is None
    assert not merged.ok


def test_a_report_says_by_itself_when_it_began():
    before = datetime.now(UTC)
    made = Report("build", "r", 2.0)
    assert timedelta(0) <= made.started_at + timedelta(seconds=2) - before < timedelta(seconds=9)


def test_nothing_is_no_report():
    with pytest.raises(InvalidQuery, match="at least one"):
        Report.merge([])
