"""Days and periods: what a range means, and how a file's period is written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import Partition
from cryptolake.archive.periods import Days, Period, format_days, parse_days
from cryptolake.errors import InvalidQuery

some_day = st.dates(date(2017, 1, 1), date(2035, 12, 31))
some_days = st.tuples(some_day, some_day).map(lambda ends: Days(min(ends), max(ends)))


@given(some_days)
def test_a_range_has_as_many_days_as_it_says(days: Days):
    assert len(list(days)) == len(days) == (days.end - days.begin).days


@given(some_days)
def test_the_months_of_a_range_hold_every_day_of_it_once(days: Days):
    clipped = [days.clip(month.days) for month in days.months()]
    assert [day for part in clipped if part for day in part] == list(days)


@given(some_days)
def test_a_range_written_down_reads_back_as_itself(days: Days):
    assert parse_days(*format_days(days)) == days


@given(some_day, st.sampled_from(Partition))
def test_a_period_written_down_reads_back_as_itself(day: date, partition: Partition):
    period = Period.day(day) if partition is Partition.DAILY else Period.month(day.year, day.month)
    assert Period.parse(str(period)) == period
    assert day in period.days
    assert period.days.first == period.first


@given(some_days, some_days)
def test_clipping_keeps_the_days_that_both_ranges_have(one: Days, other: Days):
    both = one.clip(other)
    assert set(both or ()) == set(one) & set(other)
    assert both == other.clip(one)


@given(some_day)
def test_a_day_may_be_a_text_a_date_or_a_moment(day: date):
    begun = datetime(day.year, day.month, day.day, tzinfo=UTC)
    elsewhere = begun.astimezone(timezone(timedelta(hours=-5)))
    assert parse_days(day) == parse_days(day.isoformat()) == parse_days(begun) == Days(day, day)
    assert parse_days(elsewhere) == parse_days(begun.replace(tzinfo=None)) == Days(day, day)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("2024-02-31", "2024-02-29"),
        ("2023-02-29", "2023-02-28"),
        ("2024-04-00", "2024-04-01"),
        ("2024-13", "2024-12"),
        ("2024-00", "2024-01"),
        ("2024-13-05", "2024-12-05"),
        ("2024-1-5", "2024-01-05"),
        ("2024-1", "2024-01"),
        ("2024/01/05", "2024-01-05"),
        ("20240105", "2024-01-05"),
        ("2024-01-05T12:00", "2024-01-05"),
        ("0000-01-01", "0001-01-01"),
    ],
)
def test_a_text_that_is_no_day_is_refused_with_the_nearest_one(text: str, near: str):
    with pytest.raises(
        InvalidQuery, match=f"cannot read '{text}'.* The nearest is '{near}'"
    ) as caught:
        parse_days(text)
    assert caught.value.nearest == near
    parse_days(near)


def test_a_day_after_the_end_of_its_month_is_refused_with_the_days_of_the_month():
    with pytest.raises(InvalidQuery, match=r"'2024-02-31' as a day \(2024-02 has 29 days\)"):
        parse_days("2024-01-01", "2024-02-31")


@pytest.mark.parametrize("text", ["soon", "", "24-01-05", "2024-", "123456789"])
def test_a_text_that_is_like_no_day_has_no_nearest_one(text: str):
    with pytest.raises(InvalidQuery, match=r"or pass a date\.$") as caught:
        parse_days(text)
    assert caught.value.nearest is None


@pytest.mark.parametrize(
    ("moment", "said", "near"),
    [
        (datetime(2024, 1, 1, 5), "2024-01-01 05:00:00 is not midnight UTC", "2024-01-01"),  # noqa: DTZ001
        (
            datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=9))),
            "2024-01-01 00:00:00+09:00 is 2023-12-31 15:00:00 UTC, which is not midnight UTC",
            "2024-01-01",
        ),
        (
            datetime(2024, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5))),
            "is 2024-01-02 04:30:00 UTC",
            "2024-01-02",
        ),
    ],
)
def test_a_time_of_day_is_refused_and_not_dropped(moment: datetime, said: str, near: str):
    for days in [(moment,), ("2024", moment)]:
        with pytest.raises(InvalidQuery) as caught:
            parse_days(*days)
        assert said in str(caught.value)
        assert f"pass '{near}'" in str(caught.value)
        assert str(caught.value.nearest) == near


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-02-30", "2024-1", "24-01-01", "", "٢٠٢٤", "2024-01-01 "]
)
def test_what_is_no_day_is_refused_with_the_forms_that_are(text: str):
    with pytest.raises(InvalidQuery, match="2024-03-15"):
        parse_days(text)


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("2024-03", "2024-01", "range 2024-03 to 2024-01 .* between('2024-01', '2024-03')"),
        ("2025", "2024-06", "range 2025 to 2024-06 .* between('2024-06', '2025')"),
        (date(2024, 3, 1), "2024-01", "between('2024-01', date(2024, 3, 1))"),
        (
            datetime(2024, 3, 1, tzinfo=UTC),
            datetime(2024, 1, 1),  # noqa: DTZ001
            "between(datetime(2024, 1, 1, 0, 0), datetime(2024, 3, 1, 0, 0, tzinfo=timezone.utc))",
        ),
    ],
)
def test_a_reversed_range_is_swapped_in_the_words_that_were_given(first, last, said):
    with pytest.raises(InvalidQuery) as caught:
        parse_days(first, last)
    for part in said.split(" .* "):
        assert part in str(caught.value)
    swapped = str(caught.value).partition("between")[2].rstrip(".")
    assert eval(f"parse_days{swapped}") == parse_days(last, first)


def test_a_range_that_ends_before_it_begins_says_how_to_swap_it():
    with pytest.raises(InvalidQuery, match=r"between\('2024-01-01', '2024-02-01'\)"):
        parse_days("2024-02-01", "2024-01-01")
