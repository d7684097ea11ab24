"""How fast a transfer went, over its time: a small chart."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptolake.render.html import plural, size
from cryptolake.render.picture import Picture

if TYPE_CHECKING:
    import polars as pl

WIDTH, HEIGHT = 640, 90
FEW = 3
"""Slots below which there is nothing to see."""


def throughput_picture(slots: pl.DataFrame, every: timedelta) -> Picture:
    """Draw megabytes a second, for ``time, files, bytes, bytes_per_second`` rows of ``every`` seconds each."""
    seconds = every.total_seconds()
    began = slots["time"].min()
    shown = slots.select(
        second=(slots["time"] - began).dt.total_milliseconds() / 1000,
        rate=slots["bytes_per_second"] / 1e6,
    )
    scale, unit = (60.0, "minutes") if shown["second"].max() > 300 else (1.0, "seconds")  # type: ignore[operator]
    rows = [
        {"from": second / scale, "to": (second + seconds) / scale, "rate": rate}
        for second, rate in shown.rows()
    ]
    ends = {"type": "quantitative", "title": f"{unit} since the first file"}
    spec: dict[str, Any] = {
        "data": {"values": rows},
        "width": WIDTH,
        "height": HEIGHT,
        "mark": {"type": "bar", "color": "#4c8bf5", "binSpacing": 1},
        "encoding": {
            "x": {"field": "from", "bin": {"binned": True, "step": seconds / scale}, **ends},
            "x2": {"field": "to"},
            "y": {
                "field": "rate",
                "type": "quantitative",
                "title": "MB/s",
                "axis": {"tickCount": 3},
            },
        },
    }
    files, moved = slots["files"].to_list(), slots["bytes"].to_list()
    note = (
        f"{plural(sum(files), 'file')}, {size(sum(moved))} in {plural(slots.height, 'step')} of {seconds:g} s, "
        f"at most {size(max(moved) / seconds)} a second"
    )
    return Picture(spec, note)
