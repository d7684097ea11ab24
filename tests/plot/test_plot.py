"""Charts: decimation keeps the outline, pictures stay small, and what cannot be drawn is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from cryptolake.errors import InvalidQuery
from cryptolake.plot import Picture, specs
from cryptolake.plot.charts import coverage_picture
from cryptolake.plot.decimate import decimate_values
from cryptolake.plot.levels import merged_bars, shown_interval
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


def test_a_chart_has_at_least_one_bucket():
    with pytest.raises(ValueError, match="at least one bucket"):
        decimate_values(bars_of([1.0]).lazy(), "close", [], 0, time="open_time")


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
    ends = BEGIN, BEGIN + timedelta(minutes=count - 1)
    thin = merged_bars(rows.lazy(), "1m", shown_interval("1m", *ends, specs.BARS)).collect()
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
