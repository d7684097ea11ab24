"""Vega-Lite specifications of the charts, as plain dictionaries with their rows inside.

Times are milliseconds since 1970, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = 420
"""The most bars in a candle chart: two pixels each."""

STEPS = 900
"""The most points of all lines of a chart together."""

SYMBOLS = 40
"""The most symbols in a coverage chart."""

WIDTH = 840
UP, DOWN = "#2a9d8f", "#e76f51"
"""Rise and fall: distinct for colour-blind readers, and legible on light and dark."""

_SERIES = ["#4c8bf5", "#e9a03b", "#2a9d8f", "#c678dd", "#e76f51", "#8a8f98"]

_TIME_FORMATS = {
    "year": "%Y",
    "quarter": "%b",
    "month": "%b",
    "week": "%d %b",
    "date": "%d %b",
    "day": "%d %b",
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
}

Spec = dict[str, Any]


def candles(bars: pl.DataFrame, heading: str, days: str, value: str = "price") -> Spec:
    """Return candles above volume, for ``open_time, open, high, low, close, volume`` rows of a named value."""
    rose = {"condition": {"test": "datum.open <= datum.close", "value": UP}, "value": DOWN}
    thick = max(1.2, min(14.0, 0.7 * WIDTH / max(1, bars.height)))
    price = {"field": "low", "type": "quantitative", "scale": {"zero": False}, "title": value}
    top: Spec = {
        "width": WIDTH,
        "height": 250,
        "encoding": {"x": _time("open_time", labels=False), "color": rose},
        "layer": [
            {"mark": {"type": "rule"}, "encoding": {"y": price, "y2": {"field": "high"}}},
            {
                "mark": {"type": "bar", "size": thick},
                "encoding": {
                    "y": {"field": "open", "type": "quantitative"},
                    "y2": {"field": "close"},
                },
            },
        ],
    }
    bottom: Spec = {
        "width": WIDTH,
        "height": 60,
        "mark": {"type": "bar", "size": thick, "opacity": 0.6},
        "encoding": {
            "x": _time("open_time"),
            "y": {
                "field": "volume",
                "type": "quantitative",
                "title": "volume",
                "axis": {"tickCount": 2, "format": "~s"},
            },
            "color": rose,
        },
    }
    traded = bool(bars["volume"].fill_null(0).max())
    if not traded:  # an index: no volume to show
        top["encoding"]["x"] = _time("open_time")
    panels = [top, bottom] if traded else [top]
    return {**_head(heading, days), "data": _values(bars), "vconcat": panels, "spacing": 6}


def funding(rates: pl.DataFrame, heading: str, days: str) -> Spec:
    """Return a line per symbol with its band, for ``time, symbol, mean, lowest, highest`` rows."""
    names = rates["symbol"].unique(maintain_order=True).to_list()
    colour = {
        "field": "symbol",
        "type": "nominal",
        "scale": {"domain": names, "range": _SERIES[: len(names)]},
        "legend": {"title": None, "orient": "top-left"} if len(names) > 1 else None,
    }
    value = {"field": "lowest", "type": "quantitative", "title": "percent a funding"}
    return {
        **_head(heading, days),
        "data": _values(rates),
        "width": WIDTH,
        "height": 220,
        "encoding": {"x": _time("time"), "color": colour},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.25},
                "encoding": {"y": value, "y2": {"field": "highest"}},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1.4, "interpolate": "step-after"},
                "encoding": {"y": {"field": "mean", "type": "quantitative"}},
            },
            _zero(),
        ],
    }


def depth(levels: pl.DataFrame, heading: str, days: str) -> Spec:
    """Return mirrored areas, for ``time, percentage, mean`` rows; bids up, asks down."""
    shown = levels.with_columns(
        within=pl.col("percentage").abs().cast(pl.Int64).cast(pl.String) + " %",
        value=pl.when(pl.col("percentage") < 0).then(pl.col("mean")).otherwise(-pl.col("mean")),
        order=-pl.col("percentage").abs(),
    ).select("time", "percentage", "within", "value", "order")
    panels = []
    for level in (5, 3, 1):
        for side, colour in ((-1, UP), (1, DOWN)):
            panels.append(
                {
                    "transform": [{"filter": f"datum.percentage === {side * level}"}],
                    "mark": {
                        "type": "area",
                        "color": colour,
                        "opacity": {5: 0.25, 3: 0.4, 1: 0.9}[level],
                    },
                    "encoding": {
                        "y": {
                            "field": "value",
                            "type": "quantitative",
                            "title": "asks below, bids above",
                            "axis": {"labelExpr": "format(abs(datum.value), '.3~s')"},
                        }
                    },
                }
            )
    return {
        **_head(heading, f"{days}; resting within 1, 3 and 5 percent of the mid price"),
        "data": _values(shown),
        "width": WIDTH,
        "height": 240,
        "encoding": {"x": _time("time")},
        "layer": [*panels, _zero()],
    }


def coverage(months: pl.DataFrame, symbols: Sequence[str], heading: str) -> Spec:
    """Return a strip per symbol, for ``symbol, month, share`` rows; consecutive months of one shade are one bar."""
    marked = months.filter(pl.col("symbol").is_in(list(symbols))).with_columns(
        shade=pl.when(pl.col("share") >= 0.999).then(pl.lit("whole")).otherwise(pl.lit("in part")),
        last=pl.col("month").dt.offset_by("1mo"),
    )
    new_run = (
        (pl.col("month") != pl.col("last").shift(1)) | (pl.col("shade") != pl.col("shade").shift(1))
    ).fill_null(value=True)
    runs = (
        marked.sort("symbol", "month")
        .with_columns(run=new_run.cum_sum().over("symbol"))
        .group_by("symbol", "run", maintain_order=True)
        .agg(pl.col("month").min(), pl.col("last").max(), pl.col("shade").first())
        .drop("run")
    )
    return {
        **_head(heading, "by month, of the days asked for"),
        "data": _values(runs.head(2000)),
        "width": WIDTH,
        "height": {"step": 16},
        "mark": {"type": "bar", "height": 10, "color": _SERIES[0]},
        "encoding": {
            "x": _time("month"),
            "x2": {"field": "last"},
            "y": {"field": "symbol", "type": "nominal", "title": None, "sort": list(symbols)},
            "opacity": {
                "field": "shade",
                "type": "nominal",
                "scale": {"domain": ["whole", "in part"], "range": [0.95, 0.45]},
                "legend": {"title": None, "orient": "top", "symbolType": "square"},
            },
        },
    }


def _head(heading: str, days: str) -> Spec:
    return {"title": {"text": heading, "subtitle": days}}


def _time(field: str, *, labels: bool = True) -> Spec:
    axis: Spec = {"labels": labels, "ticks": labels, "tickCount": 8, "labelOverlap": True}
    axis["format"] = _TIME_FORMATS
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc"},
        "title": None,
        "axis": axis,
    }


def _zero() -> Spec:
    return {
        "mark": {"type": "rule", "color": "currentColor", "opacity": 0.5},
        "encoding": {
            "y": {"datum": 0},
            "x": {"value": 0},
            "x2": {"value": WIDTH},
            "color": {"value": "currentColor"},
        },
    }


def _values(rows: pl.DataFrame) -> Spec:
    """Return rows as JSON data, rounded to six digits: more than a pixel can show."""
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    floats = [name for name, kind in rows.schema.items() if kind.is_float()]
    plain = rows.with_columns(
        pl.col(times).dt.epoch("ms"), pl.col(floats).round_sig_figs(6).fill_nan(None)
    )
    return {"values": plain.to_dicts()}
