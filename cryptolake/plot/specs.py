"""Vega-Lite specifications of the charts, as plain dictionaries with their rows inside.

Times are milliseconds since 1970, UTC, and the axis of times says so. A title stands above its axis, a legend below the
chart, and every mark tells its numbers where the pointer is (:func:`cryptolake.render.picture.told`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.render.picture import told

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = 420
"""The most bars in a candle chart."""

STEPS = 1200
"""The most points of all lines of a chart together."""

OVERLAID = 6
"""The most lines over one another; more stand in panels, one below the other."""

WIDTH = 680
UP, DOWN = "#2a9d8f", "#e76f51"
"""Rise and fall: distinct for colour-blind readers, and legible on light and dark."""

SERIES = ("#4c8bf5", "#e9a03b", "#2a9d8f", "#c678dd", "#e76f51", "#8a8f98")
"""Colours of lines, in the order of the series."""

_PANEL = WIDTH - 120
"""The width of a panel, with its series' name beside it."""

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
BARE = {"labels": False, "ticks": False, "title": None}
"""An axis of which another panel has the labels."""

NUMBER = ",.8~g"
"""How numbers are told."""

Spec = dict[str, Any]


class DrawnLine(NamedTuple):
    """A line with candles: ``time, value`` rows, ``apart`` in a panel of its own."""

    name: str
    apart: bool
    rows: pl.DataFrame


def candles(
    bars: pl.DataFrame,
    heading: str,
    days: str,
    value: str = "price",
    volume: str = "volume",
    *,
    shown: str = "1m",
    lines: Sequence[DrawnLine] = (),
) -> Spec:
    """Return candles above their volume, and lines with them.

    Parameters
    ----------
    bars
        ``open_time, open, high, low, close, volume``.
    heading, days
        What is drawn, and from when to when.
    value, volume
        What the bars are of and what their volume counts, with the unit: the titles of the axes.
    shown
        The interval of the bars.
    lines
        What is drawn with them.
    """
    until = pl.col("open_time").dt.offset_by(shown)
    spans = bars.with_columns(until=until, when=_when("open_time"))
    rows = spans.with_columns(
        (pl.col("open_time") + (until - pl.col("open_time")) * part).alias(name)
        for name, part in (("middle", 0.5), ("left", 0.14), ("right", 0.86))
    )
    x = time_axis("open_time", _ends(spans, "open_time", "until"))
    bare = {**x, "axis": {**x["axis"], **BARE}}
    apart = [line for line in lines if line.apart]
    traded = bool(bars["volume"].fill_null(0).max())  # an index has no volume
    over = [line for line in lines if not line.apart]
    panels = [_candles(bare if traded or apart else x, value, over)]
    if traded:
        panels.append(_volume(bare if apart else x, volume))
    for line, colour in zip(apart, reversed(SERIES), strict=False):
        panels.append(_apart(x if line is apart[-1] else bare, line, colour))
    data = {"data": values(rows), "vconcat": panels, "spacing": 24, "bounds": "flush"}
    return {**head(heading, days), **data}


def _rose() -> Spec:
    return {"condition": {"test": "datum.open <= datum.close", "value": UP}, "value": DOWN}


def _candles(x: Spec, value: str, lines: Sequence[DrawnLine]) -> Spec:
    said = told(
        ("time", "when", ""), *((name, name, NUMBER) for name in ("open", "high", "low", "close"))
    )
    tooltip = said["tooltip"]
    low = {"field": "low", "type": "quantitative", "scale": {"zero": False}, "title": value}
    body = {"y": {"field": "open", "type": "quantitative"}, "y2": {"field": "close"}}
    across = {**x, "field": "left"}
    return {
        "width": WIDTH,
        "height": 240,
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 0.8},
                "encoding": {
                    "x": {**x, "field": "middle"},
                    "y": low,
                    "y2": {"field": "high"},
                    "color": _rose(),
                    "tooltip": tooltip,
                },
            },
            {
                # The outline shows a bar that closes where it opens.
                "mark": {"type": "rect", "strokeWidth": 0.5},
                "encoding": {
                    **body,
                    "x": across,
                    "x2": {"field": "right"},
                    "fill": _rose(),
                    "stroke": _rose(),
                    "tooltip": tooltip,
                },
            },
            *_lines_over(x, lines),
            _pointed(x, said),
        ],
    }


def _lines_over(x: Spec, lines: Sequence[DrawnLine]) -> list[Spec]:
    names = [line.name for line in lines]
    scale = {"domain": names, "range": list(SERIES[: len(names)])}
    return [
        {
            "data": values(line.rows.with_columns(when=_when("time"))),
            "mark": {"type": "line", "strokeWidth": 1.3, "strokeCap": "round"},
            "encoding": {
                "x": {**x, "field": "time"},
                "y": {"field": "value", "type": "quantitative"},
                "color": {
                    "datum": line.name,
                    "type": "nominal",
                    "scale": scale,
                    "legend": {"title": None},
                },
                "tooltip": told(("time", "when", ""), (line.name, "value", NUMBER))["tooltip"],
            },
        }
        for line in lines
    ]


def _volume(x: Spec, title: str) -> Spec:
    said = told(("time", "when", ""), (title, "volume", NUMBER))
    return {
        "width": WIDTH,
        "height": 60,
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {"type": "rect", "opacity": 0.6},
                "encoding": {
                    "x": {**x, "field": "left"},
                    "x2": {"field": "right"},
                    "y": {
                        "field": "volume",
                        "type": "quantitative",
                        "title": title,
                        "axis": {"tickCount": 2, "format": "~s"},
                    },
                    "y2": {"datum": 0},
                    "color": _rose(),
                    "tooltip": said["tooltip"],
                },
            },
        ],
    }


def _apart(x: Spec, line: DrawnLine, colour: str) -> Spec:
    rows = _until_next(line.rows.with_columns(when=_when("time")))
    said = told(("time", "when", ""), (line.name, "value", NUMBER))
    y = {"field": "value", "type": "quantitative", "title": line.name, "axis": {"tickCount": 3}}
    return {
        "width": WIDTH,
        "height": 70,
        "data": values(rows),
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "strokeWidth": 1.3,
                    "strokeCap": "round",
                    "color": colour,
                },
                "encoding": {
                    "x": {**x, "field": "time"},
                    "y": y,
                    "tooltip": said["tooltip"],
                },
            },
            _pointed({**x, "field": "time"}, said),
        ],
    }


def lines(
    rows: pl.DataFrame, heading: str, days: str, title: str, *, step: bool = False, merged: str = ""
) -> Spec:
    """Return a line for each series: over one another, or each in a panel where they are many.

    Parameters
    ----------
    rows
        ``series, time, mean, lowest, highest``, a series' rows in order; a row without values breaks its line.
    heading, days
        What is drawn, and from when to when.
    title
        What the values are, with their unit.
    step
        Whether a value holds until the next one.
    merged
        The interval that each point stands for, where rows were merged: its lowest and highest are drawn too.
    """
    names = rows["series"].unique(maintain_order=True).to_list()
    ordered = _until_next(rows.with_columns(when=_when("time")), ["series"])
    x = time_axis("time", _ends(ordered, "time", "until"))
    if step:
        last = pl.col("time") == pl.col("time").max().over("series")
        held = ordered.filter(last).with_columns(time="until")
        ordered = pl.concat([ordered, held])
    drawn = _Lines(x, title, ordered, "step-after" if step else "linear", merged)
    if len(names) <= OVERLAID:
        return {**head(heading, days), **drawn.overlaid(names)}
    panels = [drawn.panel(name, last=name == names[-1]) for name in names]
    both = head(heading, [f"{title}; all panels have one scale", days])
    return {**both, "vconcat": panels, "spacing": 14, "bounds": "flush"}


class _Lines(NamedTuple):
    x: Spec
    title: str
    rows: pl.DataFrame
    interpolate: str
    merged: str

    @property
    def _crosses(self) -> bool:
        below, above = (self.rows["lowest"] < 0).any(), (self.rows["highest"] > 0).any()
        return below and above

    def _told(self, *names: tuple[str, str, str]) -> Spec:
        return told(("time", "when", ""), *names)

    def _numbers(self) -> list[tuple[str, str, str]]:
        if not self.merged:
            return [(self.title, "mean", NUMBER)]
        mean = (f"mean of {self.merged}", "mean", NUMBER)
        return [mean, ("lowest", "lowest", NUMBER), ("highest", "highest", NUMBER)]

    def _marks(self, said: Spec, y: Spec, *, band: bool, colour: Spec) -> list[Spec]:
        shape = {"interpolate": self.interpolate, "strokeCap": "round"}
        line = {
            "mark": {"type": "line", "strokeWidth": 1.4, **shape},
            "encoding": {"y": {**y, "field": "mean"}, **colour, "tooltip": said["tooltip"]},
        }
        area = {
            "mark": {"type": "area", "opacity": 0.25, "interpolate": self.interpolate},
            "encoding": {
                "y": {**y, "field": "lowest"},
                "y2": {"field": "highest"},
                **colour,
                "tooltip": said["tooltip"],
            },
        }
        return [*([area] if band else []), *([zero()] if self._crosses else []), line]

    def overlaid(self, names: Sequence[str]) -> Spec:
        """Return the lines over one another, and one text at each time for all of them."""
        y = {"type": "quantitative", "title": self.title, "scale": {"zero": False}}
        colours = {"domain": list(names), "range": list(SERIES[: len(names)])}
        legend = {"title": None} if len(names) > 1 else None
        colour = {"field": "series", "type": "nominal", "scale": colours, "legend": legend}
        said = self._told(("series", "series", ""), *self._numbers())
        marks = self._marks(
            said, y, band=bool(self.merged) and len(names) == 1, colour={"color": colour}
        )
        # The row that only holds a last value tells of the time before it.
        at_once = self.rows.filter(pl.col("mean").is_not_null(), pl.col("time") < pl.col("until"))
        wide = at_once.pivot(
            "series", index=["time", "when"], values="mean", aggregate_function="first"
        )
        wide = _until_next(wide.sort("time"))
        all_of = self._told(*((name, name, NUMBER) for name in names if name in wide.columns))
        pointed = {"data": values(wide), **_pointed(self.x, all_of)}
        return {
            "data": values(self.rows),
            "width": WIDTH,
            "height": 240,
            "encoding": {"x": self.x},
            "layer": [*marks, pointed],
        }

    def panel(self, name: str, *, last: bool) -> Spec:
        """Return the panel of one series; all have one scale."""
        ends = [self.rows["lowest"].min(), self.rows["highest"].max()]
        y = {
            "type": "quantitative",
            "title": name,
            "scale": {"domain": ends, "nice": True},
            "axis": {
                "tickCount": 2,
                "labelFontSize": 10,
                "titleX": _PANEL + 8,
                "titleY": 26,
                "titleLimit": WIDTH - _PANEL,
            },
        }
        said = self._told(*self._numbers())
        x = self.x if last else {**self.x, "axis": {**self.x["axis"], **BARE}}
        mine = self.rows.filter(pl.col("series") == name)
        pointed = values(
            mine.filter(pl.col("mean").is_not_null(), pl.col("time") < pl.col("until"))
        )
        return {
            "data": values(mine),
            "width": _PANEL,
            "height": 42,
            "encoding": {"x": x},
            "layer": [
                *self._marks(said, y, band=bool(self.merged), colour={}),
                {"data": pointed, **_pointed(x, said)},
            ],
        }


def depth(levels: pl.DataFrame, heading: str, days: str, title: str, *, merged: str = "") -> Spec:
    """Return mirrored areas, for ``time, percentage, mean`` rows; bids up, asks down.

    Parameters
    ----------
    levels
        The rows; ``percentage`` is below zero for bids.
    heading, days, title
        As :func:`lines` takes them.
    merged
        The interval that each point is the mean of.
    """
    side = pl.when(pl.col("percentage") < 0).then(pl.lit("bids")).otherwise(pl.lit("asks"))
    within = pl.col("percentage").abs().cast(pl.Int64).cast(pl.String)
    sign = pl.when(pl.col("percentage") < 0).then(1).otherwise(-1)
    rows = levels.with_columns(
        level=side + " within " + within + " %",
        value=sign * pl.col("mean"),
        when=_when("time"),
    ).sort(pl.col("percentage").abs(), "time", descending=[True, False])
    names = [f"{who} within {far} %" for who in ("bids", "asks") for far in (5, 3, 1)]
    shades = [f"rgba({rgb},{part})" for rgb in _SIDES for part in (0.3, 0.55, 1)]
    number = (f"mean of {merged}" if merged else "notional", "mean", ",.4~s")
    said = told(("time", "when", ""), ("level", "level", ""), number)
    wide = rows.filter(pl.col("mean").is_not_null())
    wide = wide.pivot("level", index=["time", "when"], values="mean", aggregate_function="first")
    here = [name for name in names if name in wide.columns]
    all_of = told(("time", "when", ""), *((name, name, ",.4~s") for name in here))
    ordered = _until_next(wide.sort("time"))
    x = time_axis("time", _ends(ordered, "time", "until"))
    colour = {"field": "level", "type": "nominal", "scale": {"domain": names, "range": shades}}
    area = _areas(title, colour, said["tooltip"])
    return {
        **head(heading, days),
        "data": values(rows.drop("percentage")),
        "width": WIDTH,
        "height": 240,
        "encoding": {"x": x},
        "layer": [area, zero(), {"data": values(ordered), **_pointed(x, all_of)}],
    }


def _areas(title: str, colour: Spec, tooltip: list[Spec]) -> Spec:
    return {
        "mark": {"type": "area"},
        "encoding": {
            "y": {
                "field": "value",
                "type": "quantitative",
                "stack": None,
                "title": title,
                "axis": {"labelExpr": "format(abs(datum.value), '.3~s')"},
            },
            "color": {**colour, "legend": {"title": None, "columns": 3}},
            "tooltip": tooltip,
        },
    }


_SIDES = ("42,157,143", "231,111,81")
"""``UP`` and ``DOWN``, of which levels are shades."""


def head(heading: str, days: str | Sequence[str]) -> Spec:
    """Return a chart's heading, and a line below it."""
    return {"title": {"text": heading, "subtitle": days}}


def zero() -> Spec:
    """Return the line at zero."""
    said = told(("zero", "zero", ""))["tooltip"]
    return {
        "data": {"values": [{"zero": "0"}]},
        "mark": {"type": "rule", "color": "currentColor", "opacity": 0.5},
        "encoding": {"y": {"datum": 0}, "x": None, "color": None, "tooltip": said},
    }


def values(rows: pl.DataFrame) -> Spec:
    """Return rows as JSON data, rounded to eight digits: more than a pixel can show."""
    times = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    floats = [name for name, kind in rows.schema.items() if kind.is_float()]
    plain = rows.with_columns(
        pl.col(times).dt.epoch("ms"), pl.col(floats).round_sig_figs(8).fill_nan(None)
    )
    return {"values": plain.to_dicts()}


def _pointed(x: Spec, said: Spec) -> Spec:
    """Return columns of the whole height that are not seen and tell what is there."""
    return {
        "mark": {"type": "rect", "fill": "transparent", **said["mark"]},
        "encoding": {"x": x, "x2": {"field": "until"}, "tooltip": said["tooltip"]},
    }


def _when(time: str) -> pl.Expr:
    """Return times as text, UTC; seconds where there are any."""
    column = pl.col(time)
    seconds = (column.dt.second() != 0).any()
    long, short = (column.dt.strftime(f"%Y-%m-%d %H:%M{part} UTC") for part in (":%S", ""))
    return pl.when(seconds).then(long).otherwise(short)


def _until_next(rows: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Add ``until``: when the next row comes; after the last one as much time as between two."""
    after = pl.col("time").diff().shift(-1)
    after = after.over(by) if by else after
    step = after.median() if rows.height > 1 else None
    lasts = after.fill_null(step if step is not None else pl.duration(hours=1))
    return rows.with_columns(until=pl.col("time") + lasts.fill_null(pl.duration(hours=1)))


def _ends(rows: pl.DataFrame, first: str, last: str) -> list[int]:
    ends = rows.select(pl.col(first).min().dt.epoch("ms"), pl.col(last).max().dt.epoch("ms"))
    return list(ends.row(0))


def time_axis(field: str, ends: Sequence[int] | None = None) -> Spec:
    """Return an axis of times, from one end to the other."""
    domain = {"domain": list(ends)} if ends and None not in ends else {}
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc", **domain},
        "title": "time (UTC)",
        "axis": {
            "tickCount": 8,
            "labelOverlap": True,
            "labelSeparation": 14,
            "format": _TIME_FORMATS,
        },
    }
