"""The lake's charts, drawn from what was pulled of the sample archive."""

from __future__ import annotations

import re

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.errors import InvalidQuery, MissingTool, NotPublished
from cryptolake.render.picture import LARGEST_SVG

UM = cl.query().markets("futures_um").symbols("BTCUSDT").between("2024-12-31", "2025-01-02")
BARS = cl.query().markets("spot").klines("1h").symbols("BTCUSDT", "ETHUSDT").between("2025-01")


@pytest.fixture(scope="module")
def lake(tmp_path_factory, archive) -> cl.Lake:
    """A lake with bars of two symbols, funding rates, book depth and an index."""
    made = cl.Lake(tmp_path_factory.mktemp("lake"), source=archive)
    for query in (
        BARS,
        UM.data_types("fundingRate").between("2024-12", "2025-01"),
        UM.data_types("bookDepth"),
        UM.data_types("markPriceKlines").intervals("1h"),
    ):
        assert made.pull(query, progress=False).ok
    return made


def test_candles_are_of_the_first_series_and_say_so(lake):
    picture = lake.plot.candles(BARS)
    assert "BTCUSDT spot klines, 1h, shown as 2h, the first of 2" in picture.note
    assert "2025-01-01 00:00 to 2025-01-31 23:00 UTC" in picture.svg


def test_candles_are_merged_to_what_was_asked(lake):
    bars = lake.plot.candles(BARS, bars=100).spec["data"]["values"]
    silver = lake.silver(BARS.symbols("BTCUSDT")).collect()
    assert len(bars) == 31 * 3  # as 8h: the finest round interval of at most 100 bars
    assert max(bar["high"] for bar in bars) == pytest.approx(silver["high"].max(), rel=1e-5)
    assert min(bar["low"] for bar in bars) == pytest.approx(silver["low"].min(), rel=1e-5)
    assert sum(bar["volume"] for bar in bars) == pytest.approx(silver["volume"].sum(), rel=1e-4)


def test_a_chart_has_at_least_one_bar(lake):
    assert len(lake.plot.candles(BARS, bars=1).spec["data"]["values"]) == 1
    with pytest.raises(InvalidQuery, match="bars is a whole number, 1 or more, not 0"):
        lake.plot.candles(BARS, bars=0)


def test_an_index_has_candles_without_volume(lake):
    picture = lake.plot.candles(UM.data_types("markPriceKlines").intervals("1h"))
    assert ">volume" not in picture.svg
    assert len(picture.spec["vconcat"]) == 1


def test_funding_is_drawn_in_percent(lake):
    query = UM.data_types("fundingRate").between("2024-12", "2025-01")
    drawn = lake.plot.funding(query).spec["data"]["values"]
    rates = lake.silver(query).collect()["funding_rate"]
    assert len(drawn) == rates.len() + 1  # the last one holds to the end
    assert drawn[0]["mean"] == pytest.approx(rates[0] * 100, rel=1e-5)


def test_depth_shows_bids_above_and_asks_below(lake):
    drawn = lake.plot.depth(UM.data_types("bookDepth")).spec["data"]["values"]
    assert {row["level"][:4] for row in drawn if (row["value"] or 0) > 0} == {"bids"}
    assert {row["level"][:4] for row in drawn if (row["value"] or 0) < 0} == {"asks"}


def test_coverage_is_of_the_days_asked_for_with_the_cause_of_the_others(lake):
    query = BARS.symbols("BTCUSDT", "NONEUSDT").between("2025-01-30", "2025-02-08")
    picture = lake.plot.coverage(query)
    told = set(re.findall("<title>([^<]*)</title>", picture.svg))
    assert "BTCUSDT&#xA;2025-01-30 to 2025-01-31 (2 days)&#xA;has rows" in told
    pulled = "BTCUSDT&#xA;2025-02-01 (1 day)&#xA;not pulled: published, not pulled"
    assert pulled in told
    assert ">20 %</text>" in picture.svg
    assert ">0 %</text>" in picture.svg
    assert "spot klines 1h 10 %" in picture.note
    assert "not pulled" not in lake.plot.coverage(query, causes=False).svg


def test_coverage_is_of_each_market_data_type_and_interval(lake):
    query = UM.markets("spot", "futures_um").data_types("klines", "bookDepth").intervals("1h")
    found = lake.plot.coverage(query.between("2025-01-01", "2025-01-04"), causes=False)
    for dataset in (
        "futures_um bookDepth 50 %",
        "futures_um klines 1h 0 %",
        "spot klines 1h 100 %",
    ):
        assert dataset in found.note


def test_every_chart_stays_within_the_stated_size(lake):
    for picture in (
        lake.plot.candles(BARS),
        lake.plot.funding(UM.data_types("fundingRate").between("2024-12", "2025-01")),
        lake.plot.depth(UM.data_types("bookDepth")),
        lake.plot.coverage(BARS),
    ):
        assert len(picture.svg.encode()) < LARGEST_SVG
        assert picture.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("chart", ["candles", "funding", "depth"])
def test_a_chart_of_the_wrong_type_is_refused_in_words(lake, chart):
    query = UM.data_types("metrics")
    with pytest.raises(InvalidQuery, match="drawn from one of"):
        getattr(lake.plot, chart)(query)


def test_a_chart_of_nothing_says_how_to_get_something(lake):
    with pytest.raises(NotPublished, match="no Silver rows"):
        lake.plot.candles(BARS.between("2019-01"))


def test_a_picture_goes_on_as_an_altair_chart(lake):
    pytest.importorskip("altair")
    chart = lake.plot.candles(BARS, bars=10).altair()
    assert len(chart.to_dict()["vconcat"]) == 2


def test_without_the_drawing_library_the_error_says_what_to_install(lake, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(MissingTool, match=r"pip install 'cryptolake\[notebook\]'"):
        _ = lake.plot.candles(BARS).svg


def test_a_view_asks_for_the_level_that_its_span_has_room_for(lake):
    chart = lake.plot.candles(BARS)
    whole = chart.view(0, None, None)
    assert (whole.shown, whole.bars.height) == ("1h", 31 * 24)
    first, last = whole.series.first.timestamp(), whole.series.last.timestamp()
    assert chart.view(1, first + 3600, first + 7200).bars.height == 2
    assert chart.view(0, first - 1e6, last + 1e6).bars.equals(whole.bars)


def test_lines_of_the_user_are_at_the_level_of_the_bars(lake):
    silver = lake.silver(BARS).with_columns(mean=pl.col("close").rolling_mean(24)).collect()
    chart = lake.plot.candles(BARS).line(silver, "mean", name="24 h mean")
    ((overlay, rows),) = chart.view(1, None, None).lines
    of = silver.filter(pl.col("symbol").cast(pl.String) == "ETHUSDT")
    assert (overlay.name, rows["value"].to_list()) == ("24 h mean", of["mean"].to_list())
    with pytest.raises(InvalidQuery, match="a line needs a time and 'meen'"):
        chart.line(silver, "meen")


def test_funding_has_a_pane_of_its_own_and_mark_prices_the_bars(lake):
    chart = lake.plot.candles(
        UM.data_types("markPriceKlines").intervals("1h"), funding=True, mark=True
    )
    view = chart.view(0, None, None)
    assert [(line.name, line.apart) for line, _ in view.lines] == [
        ("funding, percent", True),
        ("mark price", False),
    ]
    closes = view.bars["close"].to_list()
    assert view.lines[1][1]["value"].to_list() == closes


def test_what_the_bars_are_of_is_named(lake):
    picture = lake.plot.candles(UM.data_types("markPriceKlines").intervals("1h"))
    assert ">mark price, USDT<" in picture.svg


def test_the_static_form_has_the_lines_that_the_chart_has(lake):
    chart = lake.plot.candles(BARS, funding=False)
    silver = lake.silver(BARS).collect()
    with_line = chart.line(silver, "close", name="my line")
    assert ">my line<" in with_line.svg
    assert ">my line<" not in chart.svg
    assert len(lake.plot.candles(BARS.markets("spot")).spec["vconcat"]) == 2


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"series": 99},
        {"series": -1},
        {"series": "a"},
        {"series": 0, "since": 1e300},
        {"series": 0, "since": float("nan")},
        {"series": 0, "since": {}, "until": []},
        {"series": 0, "until": "x"},
    ],
)
def test_a_page_may_ask_a_chart_anything_and_is_told_what_is_wrong(lake, asked):
    from cryptolake.plot.chart_widget import ChartWidget

    widget = ChartWidget(lake.plot.candles(BARS, bars=1))
    sent = []
    widget.send = lambda content, buffers=None: sent.append(content)
    for message in (None, "view", [1]):
        widget._answer(widget, message, [])
    widget._answer(widget, {"kind": "view", "id": 7, **asked}, [])
    assert [(told["kind"], told["id"]) for told in sent] == [("failed", 7)]
    widget.close()
