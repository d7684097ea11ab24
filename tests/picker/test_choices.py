"""What the picker offers always agrees, and what it makes is always a Query."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.errors import InvalidQuery
from cryptolake.picker import choices
from cryptolake.picker.backend import _held

markets = st.lists(st.sampled_from([m.value for m in Market]), unique=True)
data_types = st.lists(st.sampled_from([d.value for d in DataType]), unique=True)
intervals = st.lists(st.sampled_from([i.value for i in Interval]), unique=True)


def enabled(options: list[choices.Option]) -> list[str]:
    return [option.value for option in options if option.enabled]


def test_spot_offers_what_the_matrix_has_for_spot():
    offered = enabled(choices.data_type_options(cl.query().markets("spot")))
    assert offered == [d.value for d in DataType if (Market.SPOT, d) in load_matrix()]


def test_two_markets_offer_only_what_both_have():
    both = enabled(choices.data_type_options(cl.query().markets("spot", "futures_um")))
    assert "klines" in both
    assert "fundingRate" not in both


def test_a_data_type_that_is_not_offered_says_where_it_is_lacking():
    options = choices.data_type_options(cl.query().markets("spot"))
    funding = next(option for option in options if option.value == "fundingRate")
    assert funding.why == "not in spot"


def test_a_discontinued_data_type_says_its_last_day():
    options = choices.data_type_options(cl.query().markets("futures_um"))
    ticker = next(option for option in options if option.value == "bookTicker")
    assert ticker.enabled
    assert "ended 20" in ticker.why


def test_no_interval_is_offered_where_the_data_type_has_none():
    query = cl.query().markets("spot").data_types("trades")
    assert enabled(choices.interval_options(query)) == []


def test_choosing_a_market_drops_what_it_lacks():
    query = cl.query().markets("spot").klines("1s", "1h").symbols("BTCUSDT").between("2024-01")
    changed = choices.choose_markets(query, ["spot", "futures_um"])
    assert [i.value for i in changed.selection.intervals] == ["1h"]
    assert changed.problems() == []


@given(st.lists(st.one_of(
    st.tuples(st.just("markets"), markets),
    st.tuples(st.just("data_types"), data_types),
    st.tuples(st.just("intervals"), intervals),
), max_size=8))  # fmt: skip
def test_whatever_is_clicked_the_words_agree(clicks):
    query = cl.query()
    for verb, words in clicks:
        query = getattr(choices, f"choose_{verb}")(query, words)
        said = query.selection
        pairs = [(m, d) for m in said.markets for d in said.data_types]
        assert all(pair in load_matrix() for pair in pairs)
        rows = [row for row in said.rows() if row.has_interval]
        assert all(i in row.all_intervals for i in said.intervals for row in rows)
        assert {v.value for v in said.data_types} <= set(enabled(choices.data_type_options(query)))


def test_a_rule_goes_to_the_query_and_back():
    rule = {"quote": ["USDT"], "contract": ["perpetual"], "listed_on": "2024-01-01"}
    rule["exclude"] = ["BTC*"]
    query = choices.choose_rule(cl.query(), rule)
    assert choices.rule_of(query) == rule


def test_empty_filters_take_the_rule_away():
    query = cl.query().universe(quote="USDT")
    assert choices.choose_rule(query, {}) == cl.query()


def test_a_rule_with_an_impossible_name_is_refused():
    with pytest.raises(InvalidQuery, match="cannot be a symbol"):
        choices.choose_rule(cl.query(), {"exclude": ["A B"]})


@given(st.dates(min_value=date(2018, 1, 2), max_value=date(2100, 1, 1)))
def test_presets_end_before_today_and_begin_before_they_end(day):
    for _, first, last in choices.presets(day, load_matrix().first_date):
        assert first <= last < day.isoformat()


def test_the_picker_begins_with_hourly_spot_klines_of_last_month():
    query = choices.initial_query(date(2024, 3, 10))
    assert query == cl.query().markets("spot").klines("1h").between("2024-02")


@given(
    markets, intervals, st.lists(st.from_regex(r"[A-Z0-9*?_.-]*[A-Z]", fullmatch=True), max_size=4)
)
def test_the_code_gives_the_query_back(chosen, bars, symbols):
    query = cl.query().markets(*chosen).klines(*bars).symbols(*symbols).between("2024-01")
    space: dict[str, object] = {}
    said, _, last = choices.code(query, '/tmp/it\'s "here"').rpartition("\n")
    exec(said, space)
    assert space["query"] == query
    assert last == "frame = lake.frame(query)"


def test_the_code_has_a_line_for_each_verb_with_a_universe_too():
    query = cl.query().universe(quote="USDT", exclude=("A*", "B*")).between("2024-01")
    lines = choices.code(query, "lake").splitlines()
    assert [line for line in lines if line.startswith("    .universe")]
    assert lines[-2:] == [")", "frame = lake.frame(query)"]


def test_what_is_held_is_of_the_days_asked_for_and_of_each_market():
    times = [datetime(2025, 1, day, tzinfo=UTC) for day in (30, 31)]
    rows = pl.LazyFrame({"symbol": "A", "market": ["spot", "spot"], "open_time": times})
    assert _held(rows, Days(date(2025, 1, 30), date(2025, 2, 2))) == {"A": {"2025-01": 1.0}}
    both = pl.concat([rows, rows.with_columns(market=pl.lit("futures_um")).head(1)])
    found = _held(both, Days(date(2025, 1, 28), date(2025, 1, 31)))
    assert found == {"A futures_um": {"2025-01": 0.25}, "A spot": {"2025-01": 0.5}}
