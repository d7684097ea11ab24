"""Lives: spans of publication, from files, from how far the archive is, and from rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.lives import (
    STATES,
    Life,
    MonthFiles,
    Published,
    Reach,
    Span,
    ended_at,
    life_of,
    refined,
    with_interval_stopped,
)
from cryptolake.archive.periods import Days, Period, parse_days

TODAY = date(2026, 11, 28)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def month(text: str) -> date:
    return Period.parse(text).first


def published(
    months: dict[str, tuple[bool, str | None, str | None]], first_daily: str | None = None
) -> Published:
    """Return what is published: per month whether there is a monthly file, its first and last daily one."""

    def day(text: str | None) -> date | None:
        return date.fromisoformat(text) if text else None

    files = {
        month(text): MonthFiles(monthly, day(first), day(last))
        for text, (monthly, first, last) in months.items()
    }
    return Published(files, day(first_daily))


def whole(first: str, last: str) -> dict[str, tuple[bool, str | None, str | None]]:
    """Return months of which both partitions have all."""
    return {
        str(period): (True, str(period.days.first), str(period.days.last))
        for period in parse_days(first, last).months()
    }


MARKET = Reach.of([published(whole("2019-01", "2025-06"))])
"""How far the archive is in most tests: to the end of June 2025."""


def test_a_pair_delisted_in_mid_month_ends_with_its_last_daily_file():
    life = life_of(
        published(whole("2021-02", "2021-04") | {"2021-05": (True, "2021-05-01", "2021-05-11")}),
        MARKET,
        TODAY,
    )
    assert life.state == "delisted"
    assert life.spans == (Span(at("2021-02-01"), at("2021-05-12")),)


def test_a_month_without_a_monthly_file_ends_with_its_last_daily_file():
    """The archive is at 15 June; the pair's last daily file is of the 6th, and no monthly one is out."""
    reach = Reach(date(2025, 6, 15), month("2025-05"))
    files = whole("2025-04", "2025-05") | {"2025-06": (False, "2025-06-01", "2025-06-06")}
    life = life_of(published(files), reach, date(2025, 6, 17))
    assert (life.state, life.end) == ("delisted", at("2025-06-07"))


def test_where_only_months_are_published_the_last_row_says_the_day():
    life = life_of(published({"2021-05": (True, None, None)}), MARKET, TODAY)
    assert (life.end, life.spans[0].end_known) == (at("2021-06-01"), False)
    exact = refined(
        life, Period.parse("2021-05").days, at("2021-05-03 02:00"), at("2021-05-20 09:30")
    )
    assert exact.spans[0][:2] == (at("2021-05-03 02:00"), at("2021-05-20 09:30"))


def test_rows_move_no_end_that_daily_files_tell():
    """A monthly file cut short does not shorten a life that daily files show to be longer."""
    life = life_of(published({"2021-05": (True, "2021-05-01", "2021-05-20")}), MARKET, TODAY)
    cut = refined(life, Period.parse("2021-05").days, None, at("2021-05-09 10:00"))
    assert cut.end == at("2021-05-21")
    inside = refined(life, Period.parse("2021-05").days, None, at("2021-05-20 10:00"))
    assert inside.end == at("2021-05-20 10:00")


def test_a_relisted_pair_has_two_spans_by_the_days_of_its_files():
    files = whole("2020-01", "2020-03") | {"2020-04": (True, "2020-04-01", "2020-04-17")}
    files |= {"2020-11": (True, "2020-11-09", "2020-11-30")} | whole("2020-12", "2025-06")
    life = life_of(published(files), MARKET, TODAY)
    assert [span[:2] for span in life.spans] == [
        (at("2020-01-01"), at("2020-04-18")),
        (at("2020-11-09"), None),
    ]
    assert life.holes == [(at("2020-04-18"), at("2020-11-09"))]
    listed = {
        day: life.meets(parse_days(day)) for day in ("2020-04-17", "2020-04-18", "2020-11-09")
    }
    assert listed == {"2020-04-17": True, "2020-04-18": False, "2020-11-09": True}


def test_a_hole_that_all_have_is_the_archives():
    files = whole("2020-01", "2020-03") | whole("2020-07", "2020-12")
    everyone = Reach.of([published(files)])
    assert len(life_of(published(files), everyone, TODAY).spans) == 1
    assert len(life_of(published(files), MARKET, TODAY).spans) == 2


def test_a_contract_ends_at_eight_of_its_delivery_day():
    files = published(whole("2024-07", "2024-08") | {"2024-09": (True, "2024-09-01", "2024-09-27")})
    life = life_of(files, MARKET, TODAY, expiry=date(2024, 9, 27))
    assert (life.state, life.end) == ("delivered", at("2024-09-27 08:00"))
    months = published({"2024-09": (True, None, None)})
    assert life_of(months, MARKET, TODAY, expiry=date(2024, 9, 27)).end == at("2024-09-27 08:00")


def test_a_contract_whose_delivery_the_archive_has_not_reached_lives():
    files = published(whole("2025-03", "2025-06"))
    life = life_of(files, MARKET, TODAY, expiry=date(2025, 9, 26))
    assert (life.state, life.end) == ("live", None)


def test_a_settled_name_never_lives_on():
    files = published(whole("2025-01", "2025-06"))
    assert life_of(files, MARKET, TODAY, settled=True).state == "delisted"
    assert life_of(files, MARKET, TODAY).state == "live"


def test_a_frozen_archive_delists_nobody():
    """The same files, years later, and in a mirror that ends where they do."""
    files = published(
        whole("2022-01", "2022-02") | {"2022-03": (False, "2022-03-01", "2022-03-09")}
    )
    mirror = Reach.of([files])
    assert life_of(files, mirror, TODAY).state == "live"
    assert life_of(files, MARKET, TODAY).state == "delisted"


def test_a_type_that_the_archive_stopped_is_discontinued_not_delisted():
    files = published(
        whole("2023-01", "2023-09") | {"2023-10": (False, "2023-10-01", "2023-10-23")}
    )
    stopped = date(2023, 10, 23)
    assert life_of(files, Reach.of([files]), TODAY, ends=stopped).state == "discontinued"
    early = published(whole("2023-01", "2023-05"))
    assert life_of(early, Reach.of([files]), TODAY, ends=stopped).state == "delisted"


def test_an_interval_that_stops_while_the_symbol_goes_on_is_not_delisted():
    weeks = life_of(published({"2023-11": (True, None, None)}), MARKET, TODAY)
    days = life_of(published(whole("2023-11", "2025-06")), MARKET, TODAY)
    assert with_interval_stopped(weeks, days).state == "interval_stopped"
    assert with_interval_stopped(weeks, Life()).state == "delisted"
    ended = life_of(published(whole("2023-10", "2023-11")), MARKET, TODAY)
    assert with_interval_stopped(weeks, ended).state == "delisted"


def test_monthly_files_that_may_still_come_end_nobody():
    reach = Reach(date(2025, 7, 3), month("2025-06"))
    late = published({"2025-05": (True, None, None)})
    assert life_of(late, reach, date(2025, 7, 4)).state == "live"
    assert life_of(late, reach, date(2025, 8, 1)).state == "delisted"


def test_months_end_too_where_only_daily_files_of_others_go_on():
    reach = Reach(date(2025, 6, 20), month("2025-02"))
    assert life_of(published({"2025-02": (True, None, None)}), reach, TODAY).state == "delisted"
    assert life_of(published({"2025-04": (True, None, None)}), reach, TODAY).state == "live"


def test_rows_without_a_trade_end_a_life_earlier_than_its_files():
    life = life_of(published(whole("2025-01", "2025-06")), MARKET, TODAY)
    ended = ended_at(life, at("2025-06-06 09:00"))
    assert (ended.state, ended.end) == ("delisted", at("2025-06-06 09:00"))


def test_nothing_published_is_nothing_known():
    assert life_of(Published(), MARKET, TODAY) == Life()
    assert Life().state in STATES
    assert not Life().meets(parse_days("2024"))


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        # The end: the year of the last monthly file, whose daily ones say the day.
        (Published({month("2021-05"): MonthFiles(True)}, None, frozenset({2026})), {2021}),
        # Daily files only: every year between the first and the newest.
        (Published({}, date(2023, 3, 4), frozenset({2026})), {2023, 2024, 2025}),
        # Known to go on after the years asked for: nothing.
        (Published({}, date(2023, 3, 4), frozenset({2023}), frozenset({2023})), set()),
        # No daily partition: nothing can be asked.
        (Published({month("2021-05"): MonthFiles(True)}), set()),
    ],
)
def test_only_years_that_decide_are_asked_for(known: Published, asked: set[int]):
    assert known.years_to_ask() == asked


def test_the_years_of_a_hole_are_asked_for_where_the_days_matter():
    files = {month(text): MonthFiles(True) for text in ("2019-11", "2019-12", "2021-02")}
    known = Published(files, None, frozenset({2021}))
    assert known.years_to_ask() == {2019, 2020}
    assert known.years_to_ask(parse_days("2022")) == set()
    assert known.years_to_ask(parse_days("2020-06-01")) == {2019, 2020}


# ---------------------------------------------------------------------- what always holds

MONTHS = [period.first for period in parse_days("2022-01", "2024-12").months()]


@st.composite
def month_files(draw: st.DrawFn, first: date) -> MonthFiles:
    days = Period.month(first.year, first.month).days
    monthly = draw(st.booleans())
    if monthly and draw(st.booleans()):
        return MonthFiles(monthly=True)
    one, other = sorted(draw(st.tuples(*[st.integers(0, len(days) - 1)] * 2)))
    return MonthFiles(monthly, first + timedelta(one), first + timedelta(other))


@st.composite
def shelves(draw: st.DrawFn) -> Published:
    chosen = draw(st.lists(st.sampled_from(MONTHS), unique=True, max_size=12))
    return Published({first: draw(month_files(first)) for first in sorted(chosen)})


reaches = st.lists(shelves(), max_size=3).map(Reach.of)


@given(shelves(), reaches, st.booleans(), st.one_of(st.none(), st.sampled_from(MONTHS)))
def test_spans_are_in_order_apart_and_hold_every_file(
    files: Published, others: Reach, settled: bool, expiry: date | None
):
    reach = others.together(Reach.of([files]))
    life = life_of(files, reach, TODAY, settled=settled, expiry=expiry)
    assert bool(life.spans) == bool(files.months)
    assert all(span.end is None or span.begin < span.end for span in life.spans)
    assert all(a.end and a.end < b.begin for a, b in pairwise(life.spans))
    assert (life.end is None) == (life.state in ("live", "unknown"))
    for first, one in files.months.items():
        days = Days(one.first or first, one.last or Period.month(first.year, first.month).days.last)
        assert life.meets(days) or life.state == "delivered"


@given(shelves(), reaches)
def test_what_reaches_as_far_as_the_archive_lives_and_an_archive_that_goes_further_ends_it(
    files: Published, others: Reach
):
    alone = life_of(files, Reach.of([files]), TODAY)
    both = life_of(files, others.together(Reach.of([files])), TODAY)
    if alone.state == "delisted":
        assert both.state == "delisted"
    if files.months and others.day and others.day > (alone.newest or TODAY) + timedelta(70):
        assert both.state == "delisted"


@given(shelves(), st.sampled_from(MONTHS), st.integers(0, 40 * 24))
def test_rows_never_lengthen_a_life_backwards(files: Published, first: date, hours: int):
    life = life_of(files, MARKET, TODAY)
    days = Period.month(first.year, first.month).days
    exact = refined(life, days, days.begin + timedelta(hours=hours), None)
    assert [a.begin >= b.begin for a, b in zip(exact.spans, life.spans, strict=True)] == [
        True for _ in life.spans
    ]
    assert [span.end for span in exact.spans] == [span.end for span in life.spans]
