"""Rules of rows: a quick look at whole columns never passes what a look at each row would not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.archive.enums import Interval
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import schema_of
from cryptolake.silver.checks import RowContext, check
from cryptolake.silver.parse import FILE, LINE
from cryptolake.silver.spans import FileSpan, file_spans
from tests.drawn import examples

KLINES = schema_of("spot", "klines")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = [Period.parse("2024-01-01"), Period.parse("2024-01-02")]
CONTEXT = RowContext(KLINES, Interval.H1, "BTCUSDT", DAYS)
PRICES = ("open", "high", "low", "close")
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "early": {"open_time": -30 * HOUR, "close_time": -30 * HOUR},
    "late": {"open_time": 60 * HOUR, "close_time": 60 * HOUR},
    "odd": {"open_time": timedelta(minutes=7)},
    "long": {"close_time": HOUR},
    "nan": {"volume": float("nan")},
    "endless": {"close": float("inf")},
    "below": {"volume": -1.0},
    "zero": {"low": 0.0},
    "crossed": {"low": 99.0},
    "empty": {"open": None},
    "no_time": {"open_time": None},
}


def row(number: int, fault: str) -> dict[str, Any]:
    opened = BEGIN + number * HOUR
    values: dict[str, object] = dict.fromkeys(KLINES.silver_names, 10.0)
    values |= {"high": 11.0, "low": 9.0, "trades": 3, FILE: number // 24, LINE: number % 24 + 1}
    values |= {"open_time": opened, "close_time": opened + HOUR - timedelta(milliseconds=1)}
    for name, change in FAULTS[fault].items():
        old = values[name]
        moved = isinstance(change, timedelta) and isinstance(old, datetime)
        values[name] = old + change if moved else change
    return values


def frame_of(faults: list[str]) -> pl.DataFrame:
    types = KLINES.silver_dtypes() | {FILE: pl.UInt32, LINE: pl.UInt32}
    rows = [row(number, fault) for number, fault in enumerate(faults)]
    return pl.DataFrame(rows, schema=types)


def broken(values: dict[str, object]) -> set[str]:
    """The rules of klines, spelled out for one row."""
    opened, closed = values["open_time"], values["close_time"]
    file = values[FILE]
    assert isinstance(file, int)
    if not isinstance(opened, datetime) or not isinstance(closed, datetime):
        return {"time_outside_period"}
    found = set()
    if not DAYS[file].days.begin <= opened < DAYS[file].days.end:
        found.add("time_outside_period")
    numbers = [v for v in values.values() if isinstance(v, float)]
    if any(v != v or abs(v) == float("inf") for v in numbers):
        found.add("not_finite")
    prices = [values[name] for name in PRICES]
    if any(isinstance(v, float) and v <= 0 for v in prices):
        found.add("price_not_positive")
    if isinstance(values["volume"], float) and values["volume"] < 0:
        found.add("quantity_negative")
    low, high = values["low"], values["high"]
    if isinstance(low, float) and isinstance(high, float) and low > high:
        found.add("high_below_low")
    return found


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.sampled_from(["none"] * 12 + sorted(FAULTS)), min_size=1, max_size=48))
def test_rejected_is_each_row_that_breaks_a_rule_and_no_other(faults: list[str]):
    frame = frame_of(faults)
    found = check(frame, CONTEXT)
    wrong = {
        (values[FILE], values[LINE]): broken(values)
        for values in (row(number, fault) for number, fault in enumerate(faults))
        if broken(values)
    }
    rejected = {(file, line): rule for file, line, rule in found.rejected.iter_rows()}
    assert rejected.keys() == wrong.keys()
    assert all(rule in wrong[place] for place, rule in rejected.items())
    assert found.frame.height == frame.height - len(wrong)
    flagged = {flag.rule for flag in found.flags}
    kept = [fault for n, fault in enumerate(faults) if not broken(row(n, fault))]
    assert ("odd_close_time" in flagged) == bool({"odd", "long"} & set(kept))
    assert ("off_grid_open_time" in flagged) == ("odd" in kept)


def test_a_time_that_is_not_there_breaks_a_rule():
    found = check(frame_of(["none", "no_time", "none"]), CONTEXT)
    assert found.rejected.select(LINE, "_rule").rows() == [(2, "time_outside_period")]


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), min_size=1, max_size=30))
def test_spans_of_files_are_those_of_their_rows_in_any_order(rows: list[tuple[int, int]]):
    frame = pl.DataFrame(
        {FILE: [file for file, _ in rows], "at": [BEGIN + n * HOUR for _, n in rows]},
        schema={FILE: pl.UInt32, "at": pl.Datetime("us", "UTC")},
    )
    spans = []
    for file in sorted({file for file, _ in rows}):
        own = [BEGIN + n * HOUR for other, n in rows if other == file]
        spans.append(FileSpan(file, len(own), min(own), max(own)))
    assert file_spans(frame, "at") == spans
    assert file_spans(frame.sort("at"), "at") == spans
    assert file_spans(frame.sort(FILE, "at"), "at") == spans
