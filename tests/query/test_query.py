"""The Query: verbs replace, commute, and leave what they are said to as it was."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.enums import DATA_TYPE_ALIASES, DataType, Interval, Market

Verb = tuple[str, tuple[Any, ...], dict[str, Any]]

words = st.sampled_from(
    ["BTCUSDT", "ETH*", "1000SHIBUSDT", "BTCUSD_PERP", "[AB]*USDT", "龙虾USDT", "btcusdt"]
)
quotes = st.sampled_from(["USDT", "BTC", "EUR"])
some_day = st.dates(date(2017, 8, 1), date(2026, 1, 1))


def said(name: str, choices: st.SearchStrategy[str]) -> st.SearchStrategy[Verb]:
    return st.lists(choices, max_size=3).map(lambda given: (name, tuple(given), {}))


verbs = {
    "markets": said("markets", st.sampled_from([m.value for m in Market])),
    "data_types": said("data_types", st.sampled_from([*DataType, *DATA_TYPE_ALIASES])),
    "intervals": said("intervals", st.sampled_from([*(i.value for i in Interval), "1M"])),
    "symbols": said("symbols", words),
    "universe": st.builds(
        lambda quote, exclude, day: (
            "universe",
            (),
            {"quote": quote, "exclude": exclude, "listed_on": day},
        ),
        st.lists(quotes, max_size=2),
        st.lists(words, max_size=2),
        st.none() | some_day,
    ),
    "days": st.one_of(
        st.builds(
            lambda first, days: ("between", (first, first + timedelta(days)), {}),
            some_day,
            st.integers(0, 400),
        ),
        some_day.map(lambda first: ("between", (first, "latest"), {})),
        some_day.map(lambda first: ("since", (first,), {})),
        st.builds(
            lambda number, unit: ("last", (f"{number}{unit}",), {}),
            st.integers(1, 99999),
            st.sampled_from(["d", "w", "mo", "M", "y"]),
        ),
    ),
}
"""One verb of each kind; the days can be said by any of three, and one replaces the others."""

some_verbs = st.lists(st.sampled_from(sorted(verbs)), unique=True).flatmap(
    lambda names: st.tuples(*(verbs[name] for name in names))
)


def say(query: cl.Query, spoken: tuple[Verb, ...]) -> cl.Query:
    for name, args, kwargs in spoken:
        query = getattr(query, name)(*args, **kwargs)
    return query


some_query = some_verbs.map(lambda spoken: say(cl.query(), spoken))


@given(some_verbs, st.randoms())
def test_verbs_commute(spoken: tuple[Verb, ...], random: Any):
    order = list(spoken)
    random.shuffle(order)
    assert say(cl.query(), tuple(order)) == say(cl.query(), spoken)


@given(some_query, st.sampled_from(sorted(verbs)).flatmap(lambda name: verbs[name]))
def test_a_verb_said_again_replaces_and_the_receiver_stays(query: cl.Query, verb: Verb):
    before = query.to_json()
    once = say(query, (verb,))
    assert query.to_json() == before
    assert say(once, (verb,)) == once
    alone, among = (said.selection.model_dump() for said in (say(cl.query(), (verb,)), once))
    days = ("first", "last", "latest", "back")
    for name in days if verb[0] in ("between", "since", "last") else (verb[0],):
        assert alone[name] == among[name]


@given(some_query)
def test_json_and_repr_read_back_as_the_same_query(query: cl.Query):
    assert cl.Query.from_json(query.to_json()) == query
    assert eval(repr(query), {"cl": cl}) == query
    assert pickle.loads(pickle.dumps(query)) == copy.deepcopy(query) == query
    assert hash(cl.Query.from_json(query.to_json())) == hash(query)


@given(some_query)
def test_problems_are_told_all_at_once_and_agree_with_check(query: cl.Query):
    problems = query.problems(today=date(2026, 6, 1))
    assert all(problems)
    if query.problems():
        with pytest.raises(cl.InvalidQuery) as caught:
            query.check()
        assert list(caught.value.problems) == query.problems()
    else:
        assert query.check() is query


@pytest.mark.parametrize(
    ("ask", "nearest"),
    [
        (lambda: cl.query().markets("spott"), "spot"),
        (lambda: cl.query().markets("futures_usdm"), "futures_um"),
        (lambda: cl.query().data_types("kline"), "klines"),
        (lambda: cl.query().data_types("aggtrade"), "aggTrades"),
        (lambda: cl.query().klines("1min"), "1m"),
    ],
)
def test_an_unknown_word_is_refused_at_its_verb_with_the_nearest_one(
    ask: Callable[[], Any], nearest: str
):
    with pytest.raises(cl.InvalidQuery, match="did you mean") as caught:
        ask()
    assert caught.value.nearest == nearest
    assert nearest in caught.value.allowed


@pytest.mark.parametrize(
    "name", ["BTC USDT", "BTC'USDT", 'A"B', "A;B", "A\nB", "../x", "A/B", "..", "", "$(id)", "`id`"]
)
def test_a_name_that_could_reach_a_path_or_a_shell_is_no_symbol(name: str):
    with pytest.raises(cl.InvalidQuery, match="cannot be a symbol"):
        cl.query().symbols(name)


def test_words_that_do_not_agree_are_all_named_before_any_io():
    query = cl.query().markets("futures_um", "spot").data_types("klines", "metrics").intervals("1s")
    query = query.symbols("BTCUSDT").between("2016-01-01", "2016-02-01")
    with pytest.raises(cl.InvalidQuery) as caught:
        query.check()
    text = str(caught.value)
    assert "spot has no metrics" in text
    assert "futures_um klines has no interval 1s" in text
    assert "before the archive's first month" in text


def test_the_future_and_the_time_before_a_type_are_refused():
    def base() -> cl.Query:
        return cl.query().markets("options").data_types("BVOLIndex").symbols("*")

    tomorrow = base().between("2024-01-01", "2024-05-01").problems(today=date(2024, 4, 30))
    assert [problem for problem in tomorrow if "is in the future" in problem]
    early = base().between("2020-01-01", "2020-05-01").problems(today=date(2024, 4, 30))
    assert [problem for problem in early if "begins at" in problem]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"markets": ["mars"]}', '{"nonsense": 1}', '{"first": "2024-01-01"}'),
        *('{"latest": true}', '{"back": "90x"}', '{"back": "9d", "first": "2024-01-01"}'),
    ],
)
def test_json_that_is_no_query_says_what_is_wrong(text: str):
    with pytest.raises(cl.InvalidQuery):
        cl.Query.from_json(text)


def test_a_query_has_no_truth_value_no_length_and_no_iteration_and_cannot_be_set():
    query = cl.query()
    with pytest.raises(TypeError, match=r"lake\.plan"):
        bool(query)
    with pytest.raises(TypeError, match=r"lake\.plan"):
        iter(query)
    with pytest.raises(AttributeError, match="say the verb again"):
        query.markets = "spot"  # type: ignore[assignment, method-assign]


def test_every_order_of_the_four_words_is_the_same_sentence():
    spoken: list[Verb] = [
        ("markets", ("spot",), {}),
        ("klines", ("1h",), {}),
        ("symbols", ("BTCUSDT",), {}),
        ("between", ("2024-01",), {}),
    ]
    sentences = {repr(say(cl.query(), order)) for order in itertools.permutations(spoken)}
    assert len(sentences) == 1


def test_json_of_the_release_before_still_reads():
    text = '{"markets":["spot"],"first":"2024-01-01","last":"2024-01-31"}'
    assert cl.Query.from_json(text) == cl.query().markets("spot").between("2024-01")
    assert cl.query().markets("spot").between("2024-01").to_json() == text


@given(some_query, some_day)
def test_the_newest_day_makes_plain_days_of_every_query(query: cl.Query, newest: date):
    selection = query.selection
    if not selection.is_open:
        assert query.ending(newest) is query
    elif selection.latest and selection.first and selection.first > newest:
        with pytest.raises(cl.NotPublished, match=f"newest day is {newest}"):
            query.ending(newest)
    else:
        days = query.ending(newest).selection.days
        assert days is not None
        assert days.last == newest
        assert query.ending(newest).undated() == query.undated()


@pytest.mark.parametrize(
    ("stretch", "newest", "first"),
    [
        ("1d", "2024-03-01", "2024-03-01"),
        ("90d", "2024-03-30", "2024-01-01"),
        ("2w", "2024-03-14", "2024-03-01"),
        ("1mo", "2024-02-29", "2024-02-01"),
        ("3mo", "2024-05-15", "2024-02-16"),
        ("1mo", "2024-03-30", "2024-02-29"),
        ("1y", "2024-02-29", "2023-03-01"),
        ("1y", "2023-12-31", "2023-01-01"),
        ("99999y", "2023-12-31", "2017-08-01"),
    ],
)
def test_a_stretch_ends_with_the_newest_day_and_months_are_of_the_calendar(
    stretch: str, newest: str, first: str
):
    days = cl.query().last(stretch).ending(date.fromisoformat(newest)).selection.days
    assert days
    assert (days.first, days.last) == (
        date.fromisoformat(first),
        date.fromisoformat(newest),
    )


@pytest.mark.parametrize(
    ("stretch", "near"),
    [
        *[("36h", "2d"), ("90", "90d"), ("90 days", "90d"), ("3months", "3mo"), ("1Y", "1y")],
        *[("5m", "1d"), ("0d", "1d"), ("", "90d"), ("-3d", "3d"), ("2W", "2w")],
    ],
)
def test_a_stretch_of_another_unit_names_the_nearest(stretch: str, near: str):
    with pytest.raises(cl.InvalidQuery) as caught:
        cl.query().last(stretch)
    assert caught.value.nearest == near
    cl.query().last(near)


def test_an_open_range_that_begins_too_late_is_refused_without_asking():
    begun = cl.query().since("2024-05-01")
    assert any("begins on 2024-05-01" in text for text in begun.problems(today=date(2024, 5, 1)))
    assert not any("2024-05-01" in text for text in begun.problems(today=date(2024, 5, 2)))
    with pytest.raises(cl.InvalidQuery, match="is the end of a range"):
        cl.query().between("latest", "2024-01-01")
    with pytest.raises(cl.InvalidQuery, match="newest published day"):
        _ = begun.selection.days


def test_an_open_range_shows_itself():
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")
    assert "last" in query.last("90d")._repr_html_()
    assert "90d, up to the newest published UTC day" in query.last("90d")._repr_html_()
    assert "2024-01-01, up to the newest" in query.since("2024")._repr_html_()
