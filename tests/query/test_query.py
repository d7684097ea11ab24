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
    "between": st.builds(
        lambda first, days: ("between", (first, first + timedelta(days)), {}),
        some_day,
        st.integers(0, 400),
    ),
}
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
    assert (
        say(cl.query(), (verb,)).selection.model_dump()[_field(verb)]
        == once.selection.model_dump()[_field(verb)]
    )


def _field(verb: Verb) -> str:
    return "first" if verb[0] == "between" else verb[0]


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
    "text", ["", "[]", "{", '{"markets": ["mars"]}', '{"nonsense": 1}', '{"first": "2024-01-01"}']
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
