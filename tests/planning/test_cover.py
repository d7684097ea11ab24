"""The cover: every day of the range once or missing with a reason, by the fewest and smallest files."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cryptolake.archive.periods import Days, Period, parse_days
from cryptolake.planning.cover import FOLDER, REASONS, Cover, cover

FIRST = date(2023, 11, 20)
SPAN = 130  # days: parts of two months around three whole ones
MONTHS = [
    date(2023, 11, 1),
    date(2023, 12, 1),
    date(2024, 1, 1),
    date(2024, 2, 1),
    date(2024, 3, 1),
]
ASOF = date(2024, 4, 2)


class Shelf(NamedTuple):
    """What the archive has of one folder."""

    daily: frozenset[date]
    monthly: frozenset[date]


def day(number: int) -> date:
    return FIRST + timedelta(number)


shelves = st.builds(
    Shelf,
    # Runs with holes are likelier than scattered days, and both matter.
    st.builds(
        lambda start, length, holes: frozenset(
            day(start + i) for i in range(length) if i not in holes
        ),
        st.integers(0, SPAN - 1),
        st.integers(0, SPAN),
        st.frozensets(st.integers(0, SPAN), max_size=6),
    ),
    st.frozensets(st.sampled_from(MONTHS)),
)
ranges = st.tuples(st.integers(0, SPAN - 1), st.integers(0, SPAN - 1)).map(
    lambda ends: Days(day(min(ends)), day(max(ends)))
)


def covered(shelves: list[Shelf], days: Days, *, ends: date | None = None) -> Cover:
    """Cover folders as the planner does: daily files by the years of the range, the rest told of."""
    rows = [
        (number, partition, first)
        for number, shelf in enumerate(shelves)
        for partition, firsts in (("daily", shelf.daily), ("monthly", shelf.monthly))
        for first in sorted(firsts)
        if partition == "monthly" or days.first.year <= first.year <= days.last.year
    ]
    folders = [
        (
            number,
            True,
            True,
            min(shelf.daily, default=None),
            any(first.year > days.last.year for first in shelf.daily),
            ends,
        )
        for number, shelf in enumerate(shelves)
    ]
    schema = {"folder": pl.UInt32, "partition": pl.String, "day": pl.Date}
    return cover(
        pl.DataFrame(folders, schema=FOLDER, orient="row"),
        pl.DataFrame(rows, schema=schema, orient="row"),
        days,
        ASOF,
    )


def days_of(partition: str, first: date) -> Days:
    return (
        Period.day(first).days
        if partition == "daily"
        else Period.month(first.year, first.month).days
    )


@given(st.lists(shelves, min_size=1, max_size=3), ranges)
@example([Shelf(frozenset(), frozenset())], Days(FIRST, FIRST))
def test_every_day_of_the_range_is_covered_once_or_reported_missing(
    shelves: list[Shelf], days: Days
):
    found = covered(shelves, days)
    for number in range(len(shelves)):
        chosen = found.files.filter(pl.col("folder") == number).select("partition", "day").rows()
        missing = found.missing.filter(pl.col("folder") == number)["period"].to_list()
        spans = [days_of(*file) for file in chosen] + [Period.parse(text).days for text in missing]
        counts = {today: sum(today in span for span in spans) for today in days}
        assert set(counts.values()) <= {1}, {k: v for k, v in counts.items() if v != 1}


@given(st.lists(shelves, min_size=1, max_size=3), ranges)
def test_no_file_lies_outside_the_range_and_every_one_exists(shelves: list[Shelf], days: Days):
    for number, partition, first in (
        covered(shelves, days).files.select("folder", "partition", "day").rows()
    ):
        assert days_of(partition, first).clip(days)
        assert first in getattr(shelves[number], partition)


@given(shelves, ranges)
def test_a_whole_month_comes_from_its_monthly_file_and_a_part_from_days_where_they_are(
    shelf: Shelf, days: Days
):
    found = covered([shelf], days)
    by_month = set(found.files.filter(pl.col("partition") == "monthly")["day"])
    for month in days.months():
        asked = days.clip(month.days)
        assert asked
        if month.first not in shelf.monthly:
            assert month.first not in by_month
        elif asked == month.days:
            assert month.first in by_month
        elif all(today in shelf.daily for today in asked):
            assert month.first not in by_month


@given(shelves, ranges)
def test_what_is_reported_missing_has_no_file_and_a_known_reason(shelf: Shelf, days: Days):
    found = covered([shelf], days)
    for period, reason in found.missing.select("period", "reason").rows():
        assert reason in REASONS
        span = Period.parse(period).days
        assert not set(span) & shelf.daily
        if reason == "not_published":
            assert Period.parse(period).of_month.first not in shelf.monthly


@given(shelves, ranges)
def test_two_folders_are_covered_as_each_one_alone(shelf: Shelf, days: Days):
    other = Shelf(frozenset(day(n) for n in range(SPAN)), frozenset(MONTHS))
    both, alone = covered([shelf, other], days), covered([shelf], days)
    assert both.files.filter(pl.col("folder") == 0).equals(alone.files)
    assert both.missing.filter(pl.col("folder") == 0).equals(alone.missing)


# ---------------------------------------------------------------------- by example


def run(first: str, last: str) -> frozenset[date]:
    return frozenset(parse_days(first, last))


def reasons(found: Cover) -> dict[str, str]:
    return dict(found.missing.select("period", "reason").rows())


def test_a_symbol_listed_in_mid_month_needs_no_monthly_file_for_a_part_of_it():
    shelf = Shelf(run("2024-01-15", "2024-02-29"), frozenset({date(2024, 1, 1)}))
    found = covered([shelf], parse_days("2024-01-10", "2024-01-30"))
    assert set(found.files["partition"]) == {"daily"}
    assert found.files.height == 16
    assert reasons(found) == {f"2024-01-{n}": "not_listed" for n in range(10, 15)}


def test_a_symbol_delisted_in_mid_month_needs_none_either():
    shelf = Shelf(run("2023-12-01", "2024-01-15"), frozenset({date(2024, 1, 1)}))
    found = covered([shelf], parse_days("2024-01-10", "2024-01-17"))
    assert set(found.files["partition"]) == {"daily"}
    assert reasons(found) == {"2024-01-16": "delisted", "2024-01-17": "delisted"}


def test_a_day_without_a_file_brings_the_monthly_file_of_its_month():
    days = run("2023-12-01", "2024-02-29") - {date(2024, 1, 20)}
    found = covered(
        [Shelf(days, frozenset({date(2024, 1, 1)}))], parse_days("2024-01-15", "2024-02-02")
    )
    assert found.files.select("partition", "day").rows() == [
        ("monthly", date(2024, 1, 1)),
        ("daily", date(2024, 2, 1)),
        ("daily", date(2024, 2, 2)),
    ]
    assert found.missing.is_empty()


def test_a_month_that_is_not_out_yet_comes_from_its_days():
    found = covered([Shelf(run("2024-03-01", "2024-03-20"), frozenset())], parse_days("2024-03"))
    assert found.files.height == 20
    assert set(reasons(found).values()) == {"not_yet_published"}


def test_a_hole_is_told_from_an_end():
    shelf = Shelf(run("2023-12-01", "2023-12-10") | run("2023-12-12", "2023-12-20"), frozenset())
    found = covered([shelf], parse_days("2023-12-09", "2024-01-31"))
    told = reasons(found)
    assert told["2023-12-11"] == "not_published"
    assert told["2023-12-21"] == told["2024-01"] == "delisted"


def test_a_retired_data_type_says_so():
    shelf = Shelf(run("2023-12-01", "2023-12-20"), frozenset())
    found = covered([shelf], parse_days("2023-12-20", "2023-12-31"), ends=date(2023, 12, 20))
    assert set(reasons(found).values()) == {"discontinued"}


def test_types_with_monthly_files_only_take_every_month_the_range_touches():
    folders = pl.DataFrame([(0, False, True, None, False, None)], schema=FOLDER, orient="row")
    rows = [(0, "monthly", first) for first in MONTHS[:3]]
    schema = {"folder": pl.UInt32, "partition": pl.String, "day": pl.Date}
    found = cover(
        folders,
        pl.DataFrame(rows, schema=schema, orient="row"),
        parse_days("2023-12-31", "2024-02-02"),
        date(2024, 2, 3),
    )
    assert found.files["day"].to_list() == [date(2023, 12, 1), date(2024, 1, 1)]
    assert reasons(found) == {"2024-02-01": "not_yet_published", "2024-02-02": "not_yet_published"}


def test_types_with_daily_files_only_name_each_day():
    folders = pl.DataFrame([(0, True, False, FIRST, False, None)], schema=FOLDER, orient="row")
    rows = pl.DataFrame(
        [(0, "daily", FIRST)],
        schema={"folder": pl.UInt32, "partition": pl.String, "day": pl.Date},
        orient="row",
    )
    found = cover(folders, rows, parse_days("2024-01"), ASOF)
    assert found.missing.height == 31


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_explained(reason: str):
    assert len(REASONS[reason]) > 20
