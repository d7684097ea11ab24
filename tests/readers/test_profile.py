"""A profile counts over all rows, as a question by hand does, and narrows, sorts and turns pages by the same SQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.plot.profile_widget import ProfileWidget
from cryptolake.readers.profile import DEEPEST, PAGE, Profile
from cryptolake.readers.profile_bins import MOST_BINS, number_bins, time_bins
from cryptolake.readers.profile_page import ProfilePage

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT", "ETHUSDT").between("2025-01")
TRADES = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT").between("2025-01")


@pytest.fixture(scope="module")
def lake(tmp_path_factory, archive: cl.Archive) -> cl.Lake:
    lake = cl.Lake(tmp_path_factory.mktemp("profile") / "lake", source=archive)
    lake.pull(QUERY, progress=False)
    return lake


@pytest.fixture(scope="module")
def profile(lake: cl.Lake) -> Profile:
    return lake.profile(QUERY)


@pytest.fixture(scope="module")
def rows(lake: cl.Lake) -> pl.DataFrame:
    return lake.silver(QUERY).collect()


def test_a_damaged_file_is_named_as_damaged(tmp_path: Path, archive: cl.Archive):
    lake = cl.Lake(tmp_path / "lake", source=archive)
    lake.pull(QUERY, progress=False)
    for path in (tmp_path / "lake" / "silver").rglob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[4:4000] = bytes(3996)  # of the same size, so that only reading its rows finds it
        path.write_bytes(data)
    with pytest.raises(cl.StorageError, match="its bytes are damaged"):
        lake.profile(QUERY).summary()


def over(select: str) -> Profile:
    """A profile of rows that a question makes."""
    connection = duckdb.connect()
    connection.execute(f"create view q as {select}")
    return Profile(lambda text: connection.cursor().sql(text), TRADES)


def test_the_summary_says_what_the_rows_hold(profile, rows):
    told = {row["column"]: row for row in profile.summary().to_dicts()}
    assert list(told) == rows.columns
    assert told["close"]["unit"] == "quote asset"
    assert told["close"]["type"] == "Float64"
    assert float(told["close"]["max"]) == rows["close"].max()
    assert (told["open_time"]["min"], told["open_time"]["max"]) == (
        "2025-01-01",
        "2025-01-31 23:00",
    )
    assert told["symbol"]["distinct"] == 2
    assert told["symbol"]["histogram"] == [
        {"from": name, "to": None, "rows": 744} for name in ("BTCUSDT", "ETHUSDT")
    ]
    assert [column.name for column in profile.constants] == ["market", "interval"]
    for bar in told["close"]["histogram"]:
        inside = pl.col("close").is_between(float(bar["from"]), float(bar["to"]), closed="left")
        assert bar["rows"] == rows.filter(inside).height
    assert sum(bar["rows"] for bar in told["volume"]["histogram"]) == profile.rows == 1488


def test_filters_count_and_show_what_a_question_by_hand_does(profile, rows):
    days = {"column": "open_time", "low": "2025-01-03", "high": "2025-01-04"}
    view = profile.view([days, {"column": "symbol", "values": ["ETHUSDT"]}], ("volume", True))
    begin, end = datetime(2025, 1, 3, tzinfo=UTC), datetime(2025, 1, 5, tzinfo=UTC)
    kept = rows.filter(
        pl.col("symbol").cast(pl.String) == "ETHUSDT",
        pl.col("open_time").is_between(begin, end, closed="left"),
    ).sort("volume", descending=True)
    assert view.rows == kept.height == 48
    assert all(sum(counts) in {0, 48} for counts in view.counts)
    names = [column.name for column in profile.shown]
    volumes = [float(cells[names.index("volume")] or 0) for cells in view.cells]
    assert volumes == pytest.approx(kept["volume"].to_list()[:PAGE])
    assert [each.label for each in view.filters] == [
        "open_time ≥ 2025-01-03 and < 2025-01-05",
        "symbol is ETHUSDT",
    ]


def test_what_is_shown_is_asked_again_by_its_code(lake, profile):
    page = ProfilePage(profile)
    asked = {"filters": [{"column": "symbol", "values": ["ETHUSDT"]}], "sort": ["close", True]}
    told = page.answer(asked)
    again = eval(told["code"], {"lake": lake, "query": QUERY})
    assert len(again.fetchall()) == told["rows"] == 744


def test_the_bars_of_a_column_filter_to_their_own_counts(profile):
    page = ProfilePage(profile)
    for at, column in enumerate(page.head["columns"]):
        bar = max(column["bins"], key=lambda each: each["rows"])
        by = {"values": [bar["by"]["value"]]} if column["kind"] == "words" else bar["by"]
        told = page.answer({"filters": json.loads(json.dumps([{"column": column["name"], **by}]))})
        assert told["rows"] == bar["rows"]
        assert sum(told["counts"][at]) == bar["rows"]
        # what the page sends back is what it was given
        assert page.answer({"filters": told["filters"]})["rows"] == bar["rows"]


def test_pages_neither_repeat_nor_lose_rows_and_stay_in_reach():
    many = over("select range as trade_id, 'x' || range % 3 as side from range(50000)")
    few = [{"column": "trade_id", "low": 100, "high": 420}]
    seen = [row for page in range(7) for row in many.view(few, ("side", True), page).cells]
    wanted = sorted(range(100, 420), key=lambda number: (-(number % 3), number))
    assert [row[0] for row in seen] == [str(number) for number in wanted]
    assert many.first.pages * PAGE == DEEPEST
    assert many.view(page=10**9).cells[-1][0] == str(DEEPEST - 1)
    assert len(json.dumps(ProfilePage(many).first)) < 10_000


def test_nulls_words_and_odd_numbers():
    odd = over(
        "select * from (values (1.5::double, 'it''s', true), ('nan'::double, null, false), "
        "('inf'::double, 'a', true), (null, 'a', true), (-2.0, null, null)) t(price, side, flag)"
    )
    told = {row["column"]: row for row in odd.summary().to_dicts()}
    assert (told["price"]["min"], told["price"]["max"], told["price"]["nulls"]) == ("-2", "1.5", 1)
    assert (told["side"]["nulls"], told["side"]["distinct"]) == (2, 2)
    assert [bar["from"] for bar in told["side"]["histogram"]] == ["null", "a", "it's"]
    assert odd.view([{"column": "side", "values": ["it's", None]}]).rows == 3
    assert odd.view([{"column": "price", "values": [None]}]).rows == 1
    assert odd.view([{"column": "flag", "values": ["true"]}]).rows == 3


def test_more_values_than_bars_leave_a_rest():
    many = over("select 's' || (range % 20) as side, range as trade_id from range(200)")
    column = next(each for each in many.columns if each.name == "side")
    assert column.distinct == 20
    assert column.labels[-1] == ("other values", "")
    assert column.counts == (10,) * 8 + (120,)
    assert many.view([{"column": "trade_id", "low": 0, "high": 20}]).counts[0][-1] == 12


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"column": "nope", "low": 1}, "there is no column 'nope'"),
        ({"column": "close", "low": "abc"}, "'abc' is not a number"),
        ({"column": "open_time", "high": "yesterday"}, "is not a UTC time"),
        ({"column": "close", "low": float("inf")}, "is not a number"),
        ({"column": "close"}, "from or to which value"),
        ({"column": "symbol", "low": "A"}, "holds words"),
        ({"column": "close", "values": ["1"]}, "low and high"),
        ({"column": "close", "low": True, "high": {}}, "is not a number"),
        ({"column": "close", "low": 10**400}, "is not a number"),
        ({"column": "open_time", "low": 10**30}, "years 1 to 9999"),
        ({"column": "open_time", "low": 1e300}, "years 1 to 9999"),
        ({"column": "open_time", "high": "9999-12-31"}, "years 1 to 9999"),
        ("close", "a filter is an object"),
        (1, "a filter is an object"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_and_the_page_told(profile, asked, why):
    with pytest.raises(cl.InvalidQuery, match=why):
        profile.view([asked])
    assert why in ProfilePage(profile).answer({"filters": [asked]})["failed"]


def test_no_name_or_value_becomes_sql(profile):
    text = "x'); drop view q; --"
    assert profile.view([{"column": "symbol", "values": [text]}]).rows == 0
    with pytest.raises(cl.InvalidQuery, match="to sort by"):
        profile.view(sort=('close" desc; --', False))
    assert profile.view().rows == profile.rows


def test_of_nothing_held_it_says_what_to_do_and_of_several_types_which(lake):
    with pytest.raises(cl.NotPublished, match=r"lake\.pull"):
        lake.profile(QUERY.symbols("LTCUSDT"))
    with pytest.raises(cl.InvalidQuery):
        lake.profile(QUERY.data_types("klines", "trades"))


def test_it_shows_itself_as_a_table_and_repr_does_no_io(profile, monkeypatch):
    monkeypatch.setattr(profile, "_ask", None)
    assert repr(profile) == "<Profile: 1,488 rows of klines, 14 columns>"
    html = profile._repr_mimebundle_()["text/html"]
    assert "quote asset" in html
    assert "█" in html
    assert "BTCUSDT 744, ETHUSDT 744" in html


def test_a_widget_answers_its_page(profile):
    widget = ProfileWidget(ProfilePage(profile))
    sent: list[dict[str, object]] = []
    send: Callable[[dict[str, object]], None] = sent.append
    widget.send = lambda content, buffers=None: send(content)
    widget._handle_custom_msg(
        {"kind": "view", "id": 3, "filters": [], "sort": ["close", True], "page": 1}, []
    )
    assert (sent[0]["id"], sent[0]["page"], sent[0]["rows"]) == (3, 1, 1488)
    for text in (widget._esm, widget._css):
        assert "http" not in str(text)
    widget.show(None)
    assert widget.head == {}
    widget.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"filters": "abc"},
        {"filters": 5},
        {"filters": {"a": 1}},
        {"sort": 5},
        {"sort": ["close"]},
        {"sort": "close"},
        {"page": "x"},
        {"page": 1e308},
        {"page": [0]},
    ],
)
def test_a_page_may_ask_anything_and_is_told_what_is_wrong(profile, asked):
    assert list(ProfilePage(profile).answer(asked)) == ["failed"]
    widget = ProfileWidget(ProfilePage(profile))
    for message in (asked, None, "view", [1]):
        widget._answer(widget, message, [])
    widget.close()


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12), st.floats(0, 1), st.booleans())
def test_bins_hold_every_number(low, span, mean, whole):
    low, span = (int(low), int(span)) if whole else (low, span)
    high = low + span
    smallest = low if low > 0 else None
    bins = number_bins(low, high, low + span * mean, smallest, whole=whole)
    assert bins.edges[0] <= low
    assert bins.edges[-1] > high
    assert all(left < right for left, right in bins.pairs)
    assert len(bins.pairs) <= MOST_BINS + 1


@given(st.integers(0, 1_800_000_000_000_000), st.integers(0, 300_000_000_000_000))
def test_bins_hold_every_time(low, span):
    bins = time_bins(low, low + span)
    assert bins.edges[0] <= low
    assert bins.edges[-1] > low + span
    assert len(bins.pairs) <= MOST_BINS
