"""Charts: decimation keeps the outline, pictures stay small, and what cannot be drawn is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.errors import InvalidQuery
from cryptolake.plot import Picture, specs
from cryptolake.plot.coverage import (
    MOST_RUNS,
    WHO,
    DayStates,
    coverage_spec,
    day_states,
    percent,
    shown_runs,
)
from cryptolake.plot.decimate import broken, decimate_values
from cryptolake.plot.levels import ROUND, merged_bars, shown_interval
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


def test_a_line_has_at_least_one_point():
    with pytest.raises(ValueError, match="at least one point"):
        decimate_values(bars_of([1.0]).lazy(), "close", [], 0, time="open_time")


def test_a_measure_keeps_its_extremes_for_each_series():
    rows = pl.concat(
        [
            bars_of([float(n) for n in range(100)]).with_columns(symbol=pl.lit(name))
            for name in ("A", "B")
        ]
    )
    merged, thin = decimate_values(rows.lazy(), "close", ["symbol"], 10, time="open_time")
    assert (merged, thin.height) == ("15m", 2 * 7)
    assert thin["lowest"].min() == 0
    assert thin["highest"].max() == 99
    assert decimate_values(rows.lazy(), "close", ["symbol"], 100, time="open_time")[0] == ""


@given(
    count=st.integers(1, 400),
    seconds=st.sampled_from([1, 7, 60, 97, 3600, 8 * 3600]),
    most=st.integers(1, 300),
)
def test_values_are_merged_to_round_intervals_only(count, seconds, most):
    rows = bars_of([float(n) for n in range(count)], timedelta(seconds=seconds))
    merged, thin = decimate_values(rows.lazy(), "close", [], most, time="open_time")
    assert bool(merged) == (count > most)
    assert not merged or merged in ROUND
    if merged:
        assert thin["open_time"].dt.truncate(merged).equals(thin["open_time"])
        assert (
            merged == "1mo" or thin.height <= most + 1
        )  # the first interval may begin before the first row
    assert thin["lowest"].min() == 0
    assert thin["highest"].max() == count - 1


def test_a_line_ends_where_rows_are_missing():
    rows = bars_of([1.0, 2.0, 3.0]).select(
        time="open_time", mean="close", lowest="close", highest="close"
    )
    held = pl.concat([rows, rows.with_columns(pl.col("time") + timedelta(hours=1))])
    found = broken(held, [], timedelta(minutes=2))
    assert found["mean"].to_list() == [1.0, 2.0, 3.0, None, 1.0, 2.0, 3.0]


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


DAYS = (date(2020, 1, 1), date(2025, 12, 31))


def coverage_of(symbols: int, held: pl.Expr, gaps: pl.DataFrame | None = None) -> DayStates:
    names = [("spot klines 1h", f"S{n:04d}") for n in range(symbols)]
    days = pl.DataFrame({"day": pl.date_range(*DAYS, eager=True)}).filter(held)
    present = pl.DataFrame(names, schema=list(WHO), orient="row").join(days, how="cross")
    return day_states(names, present, gaps, *DAYS)


def test_coverage_of_many_symbols_is_bounded_and_says_what_is_left_out():
    found = coverage_of(60, pl.col("day").dt.day() % 2 == 0)
    spec, note = coverage_spec(found)
    assert len(Picture(spec, note).svg.encode()) < LARGEST_SVG
    assert "the 40 of 60 series that lack most" in note
    assert "drawn by" in note
    assert shown_runs(found.days)[1].height <= MOST_RUNS


def test_coverage_is_divided_by_the_days_asked_for_and_not_by_the_days_held():
    found = coverage_of(1, pl.col("day") < date(2020, 1, 4))
    asked = (DAYS[1] - DAYS[0]).days + 1
    assert found.series.select("present", "asked").rows() == [(3, asked)]
    assert found.days["state"].unique().sort().to_list() == ["missing", "whole"]


def test_a_day_without_rows_has_the_cause_of_its_longest_gap():
    start = datetime(2020, 1, 2, tzinfo=UTC)
    gap = {"dataset": "spot klines 1h", "symbol": "S0000", "bars": 24}
    gaps = pl.DataFrame(
        [
            {**gap, "first": start, "last": start, "bars": 1, "cause": "rejected"},
            {**gap, "first": start, "last": start + timedelta(days=2), "cause": "not_pulled"},
        ]
    )
    found = coverage_of(1, pl.col("day") != date(2020, 1, 2), gaps)
    assert found.days.filter(day=date(2020, 1, 2))["state"].to_list() == ["not_pulled"]
    assert found.series["share"][0] < 1
    assert found.days.filter(day=date(2020, 1, 3))["state"].to_list() == ["whole"]


@given(present=st.integers(0, 4000), more=st.integers(0, 4000))
def test_only_what_is_whole_is_said_to_be(present, more):
    said = percent(present, present + more) if present + more else "0 %"
    assert (said == "100 %") == (more == 0 and present > 0)
    assert (said == "0 %") == (present == 0)


def marks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a specification that have a mark."""
    if "mark" in spec:
        yield spec
    for part in (*spec.get("layer", ()), *spec.get("vconcat", ())):
        yield from marks(part)


def drawn_lines(names: int, count: int = 5) -> dict[str, Any]:
    rows = bars_of([float(n - 2) for n in range(count)]).select(
        time="open_time", mean="close", lowest="close", highest="close"
    )
    of = [rows.with_columns(series=pl.lit(f"S{n:02d}")) for n in range(names)]
    return specs.lines(pl.concat(of), "Values", "days", "value, USDT")


LEVELS = pl.concat(
    bars_of([1.0, 2.0]).select(
        time="open_time", mean="close", percentage=pl.lit(level), lowest="close", highest="close"
    )
    for level in (-5.0, -3.0, -1.0, 1.0, 3.0, 5.0)
)
ALL = {
    "candles": specs.candles(bars_of([1.0, 2.0]), "A", "days", "price, USDT", "volume, BTC"),
    "candles of one bar": specs.candles(bars_of([-1.0]), "A", "days", "ratio", "volume"),
    "a line": drawn_lines(1),
    "a point": drawn_lines(1, 1),
    "lines": drawn_lines(6),
    "panels": drawn_lines(12),
    "depth": specs.depth(LEVELS, "Depth", "days", "resting, USDT"),
    "coverage": coverage_spec(coverage_of(2, pl.col("day") < date(2021, 1, 1)))[0],
}


@pytest.mark.parametrize("name", ALL)
def test_every_mark_tells_its_numbers_and_every_axis_its_unit(name):
    spec = ALL[name]
    for part in marks(spec):
        tooltip = part["encoding"]["tooltip"]
        assert tooltip
        assert all("format" in each for each in tooltip if each["type"] == "quantitative")
    titles = {
        part["encoding"]["x"]["title"]
        for part in marks(spec)
        if isinstance(part["encoding"].get("x"), dict) and "title" in part["encoding"]["x"]
    }
    assert titles == {"time (UTC)"}
    svg = Picture(spec, name).svg
    assert svg.count("time (UTC)") == 1  # panels one below the other have one axis of times
    assert svg.count("<title>") > 0
    assert "NaN" not in svg
    assert "null" not in svg
    ElementTree.fromstring(svg)


def test_a_legend_stands_below_the_chart_and_not_on_its_lines():
    spec = Picture(ALL["lines"], "lines").spec
    assert spec["config"]["legend"]["orient"] == "bottom"
    assert all(
        "orient" not in (part["encoding"].get("color") or {}).get("legend", {})
        for part in marks(spec)
    )


def test_what_is_told_in_the_svg_has_times_in_utc_and_numbers_with_separators():
    svg = Picture(specs.candles(bars_of([87654.321, 1.5]), "A", "days"), "candles").svg
    told = "2020-01-01 00:00 UTC&#xA;open 87,654.321&#xA;high 87,655.321&#xA;low 87,653.321"
    assert f"<title>{told}&#xA;close 87,654.321</title>" in svg


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
