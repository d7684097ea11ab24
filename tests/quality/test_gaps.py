"""Gaps: which bars should be there, and which runs of them are not."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import Interval
from cryptolake.archive.grid import expected_numbers, number_of, open_of, present_numbers
from cryptolake.quality.gaps import Gap, as_gap, missing_runs

FIXED = [interval for interval in Interval if interval.length]
BOUNDS = (datetime(2017, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001 - Hypothesis adds the zone
TIMES = st.datetimes(*BOUNDS, timezones=st.just(UTC))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def missing_bars(times: pl.Series, interval: Interval, begin: datetime, end: datetime) -> list[Gap]:
    """The gaps among the bars that should open in ``[begin, end)``, earliest first."""
    runs = missing_runs(present_numbers(times, interval), expected_numbers(interval, begin, end))
    return [as_gap(run, interval) for run in runs]


@given(st.sampled_from(list(Interval)), TIMES)
def test_a_time_lies_in_the_bar_that_its_number_names(interval, time):
    number = number_of(time, interval)
    assert open_of(number, interval) <= time < open_of(number + 1, interval)


@given(st.sampled_from(list(Interval)), TIMES)
def test_polars_and_python_number_bars_alike(interval, time):
    times = pl.Series("t", [time], dtype=pl.Datetime("us", "UTC"))
    assert present_numbers(times, interval).to_list() == [number_of(time, interval)]


@given(st.lists(st.integers(0, 40)), st.integers(0, 20), st.integers(0, 40))
def test_missing_runs_and_present_bars_make_up_the_expected_ones(present, start, length):
    expected = range(start, start + length)
    runs = missing_runs(pl.Series(sorted(set(present)), dtype=pl.Int64), expected)
    missing = [bar for run in runs for bar in run]
    assert sorted([*missing, *(bar for bar in set(present) if bar in expected)]) == list(expected)
    assert all(left.stop < right.start for left, right in pairwise(runs))


@pytest.mark.parametrize(
    ("interval", "bars"),
    [("1s", 86_400 * 29), ("1m", 1_440 * 29), ("1h", 24 * 29), ("1d", 29), ("1w", 4), ("1mo", 1)],
)
def test_february_2024_has_so_many_bars(interval, bars):
    assert len(expected_numbers(Interval(interval), utc(2024, 2, 1), utc(2024, 3, 1))) == bars


def test_a_week_opens_on_monday_and_belongs_to_the_month_it_opens_in():
    may = expected_numbers(Interval.W1, utc(2023, 5, 1), utc(2023, 6, 1))
    assert [open_of(number, Interval.W1).day for number in may] == [1, 8, 15, 22, 29]


def test_three_days_are_counted_from_the_epoch():
    opens = [
        open_of(n, Interval.D3)
        for n in expected_numbers(Interval.D3, utc(2024, 1, 1), utc(2024, 2, 1))
    ]
    assert all((open_time - utc(1970, 1, 1)).days % 3 == 0 for open_time in opens)
    assert len(opens) in (10, 11)


def test_months_of_any_length_are_one_bar_each():
    year = expected_numbers(Interval.MO1, utc(2024, 1, 1), utc(2025, 1, 1))
    assert [open_of(number, Interval.MO1).month for number in year] == list(range(1, 13))


def test_a_gap_names_the_first_and_the_last_missing_bar():
    minutes = pl.Series([utc(2018, 2, 8, 0, minute) for minute in range(29)])
    [gap] = missing_bars(minutes, Interval.M1, utc(2018, 2, 8), utc(2018, 2, 9))
    assert gap == (utc(2018, 2, 8, 0, 29), utc(2018, 2, 8, 23, 59), 1_411)


def test_an_off_grid_open_counts_as_the_bar_it_lies_in():
    odd = pl.Series(
        [utc(2018, 2, 9, 9, 28, 14) + timedelta(milliseconds=789), utc(2018, 2, 9, 10, 28)]
    )
    gaps = missing_bars(odd, Interval.H1, utc(2018, 2, 9, 8), utc(2018, 2, 9, 11))
    assert gaps == [(utc(2018, 2, 9, 8), utc(2018, 2, 9, 8), 1)]


def test_a_month_without_any_bar_is_one_gap():
    empty = pl.Series([], dtype=pl.Datetime("us", "UTC"))
    [gap] = missing_bars(empty, Interval.H1, utc(2024, 1, 1), utc(2024, 2, 1))
    assert gap.bars == 744


def test_order_and_repeats_do_not_matter():
    hours = [utc(2024, 1, 1, hour) for hour in (3, 0, 0, 2)]
    assert [
        gap.bars
        for gap in missing_bars(pl.Series(hours), Interval.H1, hours[1], utc(2024, 1, 1, 4))
    ] == [1]
