"""The chart's live view: lightweight-charts in the page, bars from the kernel as the page asks for them."""

from __future__ import annotations

import re
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import polars as pl
import traitlets

from cryptolake.errors import CryptolakeError, InvalidQuery, MissingTool

if TYPE_CHECKING:
    from cryptolake.plot.candle_chart import CandleChart

_STATIC = Path(__file__).parent / "static"
_EXPORT = re.compile(r"export\{([^}]*)\};?\s*$")
_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


def _script() -> str:
    """Return one module: the library, whose exports become an object, then the view's own text."""
    library = (_STATIC / "lightweight-charts.mjs").read_text("utf-8")
    found = _EXPORT.search(library)
    if found is None:
        message = "lightweight-charts.mjs has no list of exports"
        raise MissingTool(message, tool="lightweight-charts")
    names = (name.split(" as ") for name in found[1].split(","))
    exported = ", ".join(f"{name}: {inner}" for inner, name in names)
    view = (_STATIC / "candles.js").read_text("utf-8")
    return f"{library[: found.start()]}\nconst LightweightCharts = {{{exported}}};\n{view}"


class ChartWidget(anywidget.AnyWidget):
    """The view of a :class:`cryptolake.plot.candle_chart.CandleChart`.

    The page sends ``{kind: "view", id, series, since, until}`` (seconds since 1970, null for the end) and gets
    ``{kind: "bars", id, …}`` with each column as float64 bytes: times in seconds, NaN where there is no value.
    """

    _esm = _script()
    _css = _STATIC / "candles.css"
    names: Any = traitlets.List([]).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)

    def __init__(self, chart: CandleChart) -> None:
        self._chart = chart
        super().__init__(names=[series.name for series in chart.series], label=chart.note)
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, asked: Any, _buffers: list[bytes]) -> None:
        if not isinstance(asked, dict) or asked.get("kind") != "view":
            return
        number = asked.get("id")
        try:
            at, since, until = (asked.get(name) for name in ("series", "since", "until"))
            if type(at) is not int:
                message = f"the chart's series are numbered from 0, and {at!r} is no number"
                raise InvalidQuery(message, given=at)
            view = self._chart.view(at, since, until)
        except (CryptolakeError, OSError, pl.exceptions.PolarsError) as error:
            self.send({"kind": "failed", "id": number, "text": str(error)})
            return
        series = view.series
        told = {
            "kind": "bars",
            "id": number,
            "shown": series.shown_as(view.shown),
            "finest": view.shown == series.interval,
            "first": series.first.timestamp(),
            "last": series.last.timestamp(),
            "lines": [{"name": line.name, "apart": line.apart} for line, _ in view.lines],
        }
        buffers = [_floats(view.bars[name]) for name in _COLUMNS]
        for _, rows in view.lines:
            buffers += [_floats(rows["time"]), _floats(rows["value"])]
        self.send(told, buffers)


def _floats(column: pl.Series) -> bytes:
    if isinstance(column.dtype, pl.Datetime):
        column = column.dt.epoch("us") / 1e6
    return array("d", column.cast(pl.Float64).fill_null(float("nan")).to_list()).tobytes()
