"""Levels of detail: round intervals, and bars merged to them keep the outline and the sums."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.plot.levels import ROUND, merged_bars, on_grid, shown_interval

BEGAN = datetime(2024, 1, 31, 22, 7, tzinfo=UTC)


@given(
    interval=st.sampled_from(list(ROUND)),
    minutes=st.integers(0, 5_000_000),
    most=st.integers(2, 5000),
)
def test_the_finest_round_interval_that_fits_is_shown(interval, minutes, most):
    last = BEGAN + timedelta(minutes=minutes)
    shown = shown_interval(interval, BEGAN, last, most)
    names = list(ROUND)
    assert names.index(shown) >= names.index(interval)
    fits = [name for name in names[names.index(interval) :] if (last - BEGAN) / ROUND[name] < most]
    assert shown == (fits[0] if fits else names[-1])


@pytest.mark.parametrize("shown", ["3m", "1h", "8h", "1d", "1w", "1mo"])
def test_merged_bars_keep_the_outline_and_the_sums(shown):
    minutes = 90_000
    close = [100 + (at * 7919) % 1000 / 10 for at in range(minutes)]
    bars = pl.DataFrame(
        {
            "open_time": [BEGAN + timedelta(minutes=at) for at in range(minutes)],
            "open": [close[max(at - 1, 0)] for at in range(minutes)],
            "high": [value + 1 for value in close],
            "low": [value - 1 for value in close],
            "close": close,
            "volume": [float(at % 5) for at in range(minutes)],
        }
    )
    found = merged_bars(bars.sample(fraction=1, shuffle=True).lazy(), "1m", shown).collect()
    by_hand: dict[datetime, list[int]] = {}
    for at, time in enumerate(bars["open_time"]):
        by_hand.setdefault(_opening(time, shown), []).append(at)
    assert found["open_time"].to_list() == list(by_hand)
    for row, of in zip(found.iter_rows(named=True), by_hand.values(), strict=True):
        assert row["open"] == bars["open"][of[0]]
        assert row["close"] == close[of[-1]]
        assert row["high"] == max(close[at] for at in of) + 1
        assert row["low"] == min(close[at] for at in of) - 1
        assert row["volume"] == sum(at % 5 for at in of)


def _opening(time: datetime, shown: str) -> datetime:
    """The start of a round interval, from the calendar alone."""
    day = time.replace(hour=0, minute=0)
    if shown == "1mo":
        return day.replace(day=1)
    if shown == "1w":
        return day - timedelta(days=day.weekday())
    if shown == "1d":
        return day
    return day + (time - day) // ROUND[shown] * ROUND[shown]


def test_a_missing_bar_is_a_row_of_nulls():
    times = [BEGAN.replace(minute=0) + timedelta(hours=at) for at in (0, 1, 4)]
    held = pl.DataFrame({"open_time": times, "close": [1.0, 2.0, 3.0]}).with_columns(
        pl.col("open_time").dt.cast_time_unit("us")
    )
    assert on_grid(held, "1h")["close"].to_list() == [1.0, 2.0, None, None, 3.0]
