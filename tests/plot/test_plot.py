"""Charts: decimation keeps the outline, pictures stay small, and what cannot be drawn is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.errors import InvalidQuery
from cryptolake.plot import Picture, specs
from cryptolake.plot.charts import coverage_picture
from cryptolake.plot.decimate import decimate_bars, decimate_values
from cryptolake.render.picture import LARGEST_SVG

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


def bars_of(closes: list[float], step: timedelta = timedelta(minutes=1)) -> pl.DataFrame:
    close = pl.Series("close", closes, dtype=pl.Float64)
    opened = close.shift(1, fill_value=closes[0])
    return pl.DataFrame(
        {
            "open_time": pl.Series([BEGIN + step * n for n in range(len(closes))]),
            "open": opened,
            "high": pl.Series([max(a, b) + 1 for a, b in zip(opened, close, strict=True)]),
            "low": pl.Series([min(a, b) - 1 for a, b in zip(opened, close, strict=True)]),
            "close": close,
            "volume": pl.Series([1.0] * len(closes)),
        }
    )


prices = st.lists(st.floats(min_value=1, max_value=1e6), min_size=1, max_size=60)


@given(prices, st.integers(min_value=1, max_value=50), st.randoms(use_true_random=False))
def test_merged_bars_have_the_outline_of_the_bars_they_stand_for(closes, buckets, shuffler):
    bars = bars_of(closes)
    order = list(range(bars.height))
    shuffler.shuffle(order)
    thin = decimate_bars(bars[order].lazy(), buckets)
    assert thin.height <= buckets
    assert thin["open"][0] == bars["open"][0]
    assert thin["close"][-1] == bars["close"][-1]
    assert thin["high"].max() == bars["high"].max()
    assert thin["low"].min() == bars["low"].min()
    assert thin["volume"].sum() == bars.height
    assert thin["open_time"].is_sorted()


@given(prices)
def test_with_a_bucket_for_each_bar_nothing_is_merged(closes):
    bars = bars_of(closes)
    assert (
        decimate_bars(bars.lazy(), bars.height).rows()
        == bars.select("open_time", "open", "high", "low", "close", "volume").rows()
    )


@given(prices, st.integers(min_value=1, max_value=20))
def test_each_merged_bar_is_the_first_open_the_last_close_and_the_extremes_of_its_time(closes, n):
    bars = bars_of(closes)
    thin = decimate_bars(bars.lazy(), n)
    ends = [*thin["open_time"][1:], BEGIN + timedelta(days=999)]
    for merged, end in zip(thin.rows(named=True), ends, strict=True):
        part = bars.filter(pl.col("open_time").is_between(merged["open_time"], end, closed="left"))
        assert merged["open"] == part["open"][0]
        assert merged["close"] == part["close"][-1]
        assert merged["high"] == part["high"].max()
        assert merged["low"] == part["low"].min()


def test_no_rows_give_no_bars():
    assert decimate_bars(bars_of([1.0]).clear().lazy(), 10).is_empty()


def test_a_chart_has_at_least_one_bucket():
    with pytest.raises(ValueError, match="at least one bucket"):
        decimate_bars(bars_of([1.0]).lazy(), 0)


def test_a_measure_keeps_its_extremes_for_each_series():
    rows = pl.concat(
        [
            bars_of([float(n) for n in range(100)]).with_columns(symbol=pl.lit(name))
            for name in ("A", "B")
        ]
    )
    thin = decimate_values(rows.lazy(), "close", ["symbol"], 10, time="open_time")
    assert thin.height == 20
    assert thin["lowest"].min() == 0
    assert thin["highest"].max() == 99


def test_a_million_bars_become_a_picture_within_the_stated_size():
    count = 1_000_000
    rows = pl.DataFrame(
        {
            "open_time": pl.datetime_range(
                BEGIN, BEGIN + timedelta(minutes=count - 1), "1m", time_unit="us", eager=True
            )
        }
    ).with_columns(
        (pl.int_range(pl.len()).cast(pl.Float64).sin() * 1234.56789 + 40_000).alias("close")
    )
    rows = rows.with_columns(
        open=pl.col("close") - 1, high=pl.col("close") + 2, low=pl.col("close") - 2, volume=1.5
    )
    thin = decimate_bars(rows.lazy(), specs.BARS)
    svg = Picture(specs.candles(thin, "A", "days"), "candles").svg
    assert thin.height <= specs.BARS
    assert len(svg.encode()) < LARGEST_SVG


def test_coverage_of_many_symbols_is_bounded_and_says_what_is_left_out():
    months = pl.datetime_range(BEGIN, datetime(2026, 1, 1, tzinfo=UTC), "1mo", eager=True)
    rows = pl.concat(
        [
            pl.DataFrame({"symbol": f"S{n:04d}", "month": months}).with_columns(
                share=pl.when(pl.int_range(pl.len()) % 2 == 0).then(1.0).otherwise(0.5)
            )
            for n in range(300)
        ]
    )
    picture = coverage_picture(rows)
    assert len(picture.svg.encode()) < LARGEST_SVG
    assert "260 more" in picture.note


def test_a_picture_takes_the_pages_colours_and_carries_no_script():
    picture = Picture(specs.candles(bars_of([1.0, 2.0]), "<b>", "days"), "<b>&")
    shown = picture._repr_html_()
    assert "currentColor" in shown
    assert "<script" not in shown
    assert "<b>" not in shown


def test_a_picture_is_saved_as_svg_or_png(tmp_path):
    picture = Picture(specs.candles(bars_of([1.0, 2.0]), "A", "days"), "two bars")
    assert picture.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "currentColor" not in picture.save(tmp_path / "a.svg").read_text()
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        picture.save(tmp_path / "a.gif")


def test_candles_of_trades_are_refused_in_words(tmp_path):
    import cryptolake as cl

    query = cl.query().markets("spot").data_types("trades").symbols("A").between("2024-01")
    with pytest.raises(InvalidQuery, match=r"drawn from one of klines.*says trades"):
        cl.Lake(tmp_path).plot.candles(query)
