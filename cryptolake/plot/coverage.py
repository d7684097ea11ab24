"""Coverage: which of the days asked for have rows, series by series, and why the others have none. Pure.

A series is a symbol of a dataset: ``dataset`` is its market, data type and interval in words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.plot import specs
from cryptolake.render.html import plural
from cryptolake.render.picture import told
from cryptolake.render.quality import State, colour_of, meaning_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from cryptolake.plot.specs import Spec

MOST_SERIES = 40
"""Series that are drawn: of more, those that lack most."""

MOST_RUNS = 1500
"""Bars that are drawn; beyond, days are merged to weeks, months, quarters, years."""

STEPS = ("1d", "1w", "1mo", "1q", "1y")

SILENT = "none_due"
"""The state of a day without rows of which :meth:`cryptolake.Lake.gaps` tells no gap: none was due."""

WHO = ("dataset", "symbol")


class DayStates(NamedTuple):
    """Days asked for by series: ``dataset, symbol, day, state``, and the first and last day."""

    days: pl.DataFrame
    first: date
    last: date

    @property
    def series(self) -> pl.DataFrame:
        """``dataset, symbol, present, asked, share`` of each series."""
        there = (pl.col("state") == State.WHOLE).sum()
        found = self.days.group_by(*WHO).agg(present=there, asked=pl.len())
        return found.with_columns(share=pl.col("present") / pl.col("asked")).sort(*WHO)


def day_states(
    series: Iterable[tuple[str, str]],
    present: pl.DataFrame,
    gaps: pl.DataFrame | None,
    first: date,
    last: date,
) -> DayStates:
    """Name the state of each day asked for, of each series.

    Parameters
    ----------
    series
        The dataset and symbol of each.
    present
        ``dataset, symbol, day`` of the days with rows.
    gaps
        ``dataset, symbol, first, last, bars, cause`` of what is missing; None where nobody was asked.
    first, last
        The days asked for, both ends in.

    Examples
    --------
    >>> from datetime import date
    >>> held = pl.DataFrame({"dataset": "spot klines 1h", "symbol": "A", "day": [date(2025, 1, 1)]})
    >>> asked = date(2025, 1, 1), date(2025, 1, 4)
    >>> found = day_states([("spot klines 1h", "A"), ("spot klines 1h", "B")], held, None, *asked)
    >>> found.series.rows()
    [('spot klines 1h', 'A', 1, 4, 0.25), ('spot klines 1h', 'B', 0, 4, 0.0)]
    """
    days = pl.DataFrame({"day": pl.date_range(first, last, eager=True)})
    rows = pl.DataFrame(list(series), schema=dict.fromkeys(WHO, pl.String), orient="row")
    asked = rows.unique().join(days, how="cross")
    there = present.select(*WHO, "day", held=pl.lit(value=True)).unique()
    states = asked.join(there, on=[*WHO, "day"], how="left")
    if gaps is None:
        cause = pl.lit("missing")
    else:
        states = states.join(_causes(gaps), on=[*WHO, "day"], how="left")
        cause = pl.col("cause").fill_null(SILENT)
    state = pl.when("held").then(pl.lit(State.WHOLE)).otherwise(cause)
    return DayStates(states.select(*WHO, "day", state=state).sort(*WHO, "day"), first, last)


def _causes(gaps: pl.DataFrame) -> pl.DataFrame:
    """Return the cause of each day: of several, that of the longest gap."""
    spans = gaps.with_columns(
        day=pl.date_ranges(pl.col("first").dt.date(), pl.col("last").dt.date())
    )
    return (
        spans.sort("bars", descending=True)
        .explode("day")
        .unique([*WHO, "day"], keep="first", maintain_order=True)
        .select(*WHO, "day", "cause")
    )


def runs_of(days: pl.DataFrame, step: str) -> pl.DataFrame:
    """Return runs of one state: ``dataset, symbol, from, until, state, days, part``; ``until`` is not in it.

    Days are merged by a step first: of weeks and more, one that lacks some of its days is of their commonest cause, and a
    ``part``.
    """
    there = pl.col("state") == State.WHOLE
    lacking = pl.col("state").filter(~there)
    merged = days.group_by(
        *WHO, pl.col("day").dt.truncate(step).alias("step"), maintain_order=True
    ).agg(
        pl.col("day").min().alias("from"),
        pl.col("day").max().alias("to"),
        pl.len().alias("asked"),
        there.sum().alias("present"),
        lacking.mode().sort().first().fill_null(State.WHOLE).alias("state"),
    )
    part = (pl.col("present") > 0) & (pl.col("state") != State.WHOLE)
    merged = merged.with_columns(part=part)
    same = (pl.col("state") == pl.col("state").shift(1)) & (
        pl.col("part") == pl.col("part").shift(1)
    )
    return (
        merged.with_columns(run=(~same.fill_null(value=False)).cum_sum().over(WHO))
        .group_by(*WHO, "run", maintain_order=True)
        .agg(
            pl.col("from").min(),
            pl.col("to").max(),
            pl.col("state", "part").first(),
            pl.col("asked", "present").sum(),
        )
        .drop("run")
    )


def shown_runs(days: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """Return the finest step of which there are at most ``MOST_RUNS`` runs, and the runs."""
    *finer, coarsest = STEPS
    for step in finer:
        runs = runs_of(days, step)
        if runs.height <= MOST_RUNS:
            return step, runs
    return coarsest, runs_of(days, coarsest)


def coverage_spec(found: DayStates) -> tuple[Spec, str]:
    """Return the chart of a coverage, and what it shows in words."""
    series = found.series
    drawn = series.sort("share", *WHO).head(MOST_SERIES).sort(*WHO)
    step, runs = shown_runs(found.days.join(drawn, on=WHO, how="semi"))
    many = series.height
    count = (
        f"{many} series"
        if many == drawn.height
        else f"the {drawn.height} of {many} series that lack most"
    )
    heading = f"Coverage of {count}" if many > 1 else f"Coverage of {series['symbol'][0]}"
    asked = (found.last - found.first).days + 1
    by = "" if step == "1d" else f", drawn by {_STEP_NAMES[step]}"
    days = f"days with rows, of the {plural(asked, 'day')} asked for{by}: {found.first} to {found.last} UTC"
    states = [name for name in runs["state"].unique().sort() if name != State.WHOLE]
    domain = [State.WHOLE, *states]
    names = drawn["dataset"].unique(maintain_order=True).to_list()
    axis = [int(_epoch(found.first)), int(_epoch(found.last)) + _DAY]
    panels = [
        _panel(
            runs.filter(pl.col("dataset") == name),
            drawn.filter(pl.col("dataset") == name),
            series.filter(pl.col("dataset") == name),
            (axis, domain, name == names[-1]),
        )
        for name in names
    ]
    spec = {**specs.head(heading, days), "vconcat": panels, "spacing": 26, "bounds": "flush"}
    return spec, f"{heading}: {_in_words(series)}, {days}"


_DAY = 86_400_000
_STEP_NAMES = {"1w": "week", "1mo": "month", "1q": "quarter", "1y": "year"}


def _epoch(day: date) -> int:
    return (day.toordinal() - 719_163) * _DAY


def _in_words(series: pl.DataFrame) -> str:
    sums = series.group_by("dataset", maintain_order=True).agg(pl.col("present", "asked").sum())
    return "; ".join(
        f"{name} {percent(present, asked)}" for name, present, asked in sums.iter_rows()
    )


def percent(present: int, asked: int) -> str:
    """Return a share as text; 100 % only where all is there, 0 % only where nothing is.

    Examples
    --------
    >>> percent(999_999, 1_000_000), percent(1, 1_000_000), percent(3, 3), percent(0, 3)
    ('99.9 %', '0.1 %', '100 %', '0 %')
    """
    if present in (0, asked):
        return "100 %" if present else "0 %"
    tenths = max(1, present * 1000 // asked)
    return f"{tenths / 10:g} %"


def _panel(
    runs: pl.DataFrame,
    drawn: pl.DataFrame,
    series: pl.DataFrame,
    frame: tuple[Sequence[int], Sequence[str], bool],
) -> Spec:
    """Return the strips of one dataset, with the share of each at its end."""
    domain, states, last = frame
    (name,) = drawn["dataset"].unique()
    present, asked = int(series["present"].sum()), int(series["asked"].sum())
    title = f"{name}: {percent(present, asked)}, {present:,} of {asked:,} days"
    x = specs.time_axis("from", domain)
    if not last:
        x = {**x, "axis": {**x["axis"], **specs.BARE}}
    symbols = drawn["symbol"].to_list()
    y = {"field": "symbol", "type": "nominal", "title": None, "sort": symbols}
    said = told(("", "symbol", ""), ("days", "when", ""), ("state", "what", ""))
    shares = [
        {"symbol": row[0], "share": percent(*row[1:]), "days": f"{row[1]:,} of {row[2]:,} days"}
        for row in drawn.select("symbol", "present", "asked").iter_rows()
    ]
    return {
        "width": specs.WIDTH - 110,
        "height": {"step": 17},
        "title": {"text": title, "fontSize": 12, "fontWeight": "normal", "offset": 4},
        "encoding": {"y": {**y, "axis": {"minExtent": 130, "maxExtent": 130, "labelLimit": 126}}},
        "layer": [
            _strips(runs, x, states, said),
            {
                "data": {"values": shares},
                "mark": {"type": "text", "align": "left", "color": "currentColor"},
                "encoding": {
                    "x": {"value": specs.WIDTH - 102},
                    "text": {"field": "share"},
                    "tooltip": told(("", "symbol", ""), ("coverage", "days", ""))["tooltip"],
                },
            },
        ],
    }


def _strips(runs: pl.DataFrame, x: Spec, states: Sequence[str], said: Spec) -> Spec:
    rows = _strip_rows(runs)
    back = [{**row, "state": State.WHOLE} for row in rows if row["part"]]
    colour = {
        "field": "state",
        "type": "nominal",
        "scale": {"domain": list(states), "range": [colour_of(name) for name in states]},
        "legend": {
            "title": None,
            "columns": 1,
            "symbolType": "square",
            "labelExpr": _labels(states),
        },
    }
    across = {"x": x, "x2": {"field": "until"}, "color": colour, "tooltip": said["tooltip"]}
    # An outline shows what is narrower than a pixel.
    encoding = {**across, "stroke": {**colour, "legend": None}}
    high = [*back, *(row for row in rows if not row["part"])]
    low = [row for row in rows if row["part"]]
    return {
        "layer": [
            {
                "data": {"values": drawn},
                "mark": {
                    "type": "bar",
                    "height": {"band": band},
                    "strokeWidth": 0.8,
                    **said["mark"],
                },
                "encoding": encoding,
            }
            for drawn, band in ((high, 0.78), (low, 0.4))
        ]
    }


def _strip_rows(runs: pl.DataFrame) -> list[dict[str, object]]:
    return [
        {
            "symbol": row["symbol"],
            "from": _epoch(row["from"]),
            "until": _epoch(row["to"]) + _DAY,
            "state": row["state"],
            "part": row["part"],
            "when": _span(row),
            "what": _told(row),
        }
        for row in runs.iter_rows(named=True)
    ]


def _labels(states: Sequence[str]) -> str:
    """Return the legend's text of each state, as an expression."""
    names = {name: _meaning(name) for name in states}
    return f"{json.dumps(names)}[datum.value]"


def _meaning(state: str) -> str:
    """Return what a state is, in words."""
    return "has rows" if state == State.WHOLE else f"{state.replace('_', ' ')}: {meaning_of(state)}"


def _span(row: dict[str, object]) -> str:
    first, last, asked = row["from"], row["to"], row["asked"]
    days = plural(int(str(asked)), "day")
    return f"{first} ({days})" if first == last else f"{first} to {last} ({days})"


def _told(row: dict[str, object]) -> str:
    state = str(row["state"])
    some = f", {row['present']:,} of {row['asked']:,} days have rows" if row["part"] else ""
    return f"{_meaning(state)}{some}"
