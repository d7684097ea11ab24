"""Pictures: Vega-Lite specifications that show themselves offline, in the colours of the page.

:class:`Picture` draws any specification; :func:`throughput_picture` makes the one of a run's throughput.
What the pointer is told of a mark (:func:`told`) is in the SVG itself, as text that every browser shows.
"""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptolake.errors import MissingTool
from cryptolake.render.html import plural, size, text
from cryptolake.user_files import user_path, written_whole

if TYPE_CHECKING:
    from types import ModuleType

    import altair
    import polars as pl


LARGEST_SVG = 500_000
"""Bytes; no picture of this package is larger, whatever the number of rows behind it."""

FEWEST_STEPS = 3
"""Steps of a throughput below which there is nothing to see."""

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_VERSION = "5.20"
"""Fixed, so that a newer vl-convert draws the same picture."""

_FRAME = "width:100%;max-width:900px;min-width:520px;height:auto"
"""A chart takes the width of the page while its letters are legible, then it scrolls."""

_TOLD = re.compile(
    r'<(\w+) aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="[^"]*"([^>]*)/>'
)
_ROLE = re.compile(r' role="graphics-(?:object|symbol)" aria-roledescription="[^"]*"')


def told(*fields: tuple[str, str, str]) -> dict[str, Any]:
    r"""Return what is told of a mark where the pointer is: for its ``encoding``, and its SVG text.

    Parameters
    ----------
    *fields
        The name, the column and the format of each number (as d3 writes it); a text where the format is empty.
        A value that is null is left out of the SVG's text.

    Returns
    -------
    dict
        ``tooltip`` for the encoding, where a page runs Vega, and ``mark``: parts of a mark that keep the same in SVG.

    Examples
    --------
    >>> parts = told(("time", "when", ""), ("close", "close", ",.2f"))
    >>> [(each["title"], each.get("format")) for each in parts["tooltip"]]
    [('time', None), ('close', ',.2f')]
    >>> print(parts["mark"]["description"]["expr"])
    datum["when"] + (isValid(datum["close"]) ? "\nclose " + format(datum["close"], ",.2f") : "")
    """
    tooltip: list[dict[str, str]] = []
    said: list[str] = []
    for name, column, form in fields:
        kind = {"type": "quantitative", "format": form} if form else {"type": "nominal"}
        tooltip.append({"field": column, "title": name, **kind})
        value = f"datum[{json.dumps(column)}]"
        if not form:
            said.append(value if not said else f'"\\n" + {value}')
            continue
        label = json.dumps(f"\n{name} " if said else f"{name} ")
        said.append(f'(isValid({value}) ? {label} + format({value}, "{form}") : "")')
    return {
        "tooltip": tooltip,
        "mark": {"aria": True, "description": {"expr": " + ".join(said)}},
    }


class Picture:
    """A finished chart.

    Parameters
    ----------
    spec
        The Vega-Lite specification, data included; its colour ``currentColor`` follows the page.
    note
        What the chart shows, in words: the text form, and the label a screen reader says.

    Examples
    --------
    >>> from cryptolake.render.picture import Picture
    >>> bar = {"data": {"values": [{"x": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x"}}}
    >>> picture = Picture(bar, "one bar")
    >>> picture
    <Picture: one bar>
    >>> picture.svg.startswith("<svg"), picture.png()[1:4]
    (True, b'PNG')
    """

    def __init__(self, spec: dict[str, Any], note: str) -> None:
        head = {"$schema": _SCHEMA, "description": note, "config": _config("currentColor")}
        self.spec = {**head, **spec}
        self.note = note

    @cached_property
    def svg(self) -> str:
        """The chart as SVG text, with what is told of its marks as their titles."""
        drawn: str = _converter().vegalite_to_svg(
            self.spec, vl_version=_VERSION, allowed_base_urls=[]
        )
        drawn = _ROLE.sub("", _TOLD.sub(r"<\1\3><title>\2</title></\1>", drawn))
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{text(self.note)}" ', 1)

    def png(self, *, scale: float = 2.0, dark: bool = False) -> bytes:
        """Return the chart as a PNG with a background, for a page that has no colours to follow.

        Parameters
        ----------
        scale
            Pixels for each unit of the chart.
        dark
            Light ink on dark instead of dark ink on white.

        Returns
        -------
        bytes
            The file's bytes.

        Raises
        ------
        MissingTool
            vl-convert, which draws it, is not installed.

        Examples
        --------
        >>> from cryptolake.render.picture import Picture
        >>> bar = {"data": {"values": [{"x": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x"}}}
        >>> Picture(bar, "one bar").png(dark=True)[1:4]
        b'PNG'
        """
        paper, ink = ("#111418", "#e6e6e6") if dark else ("#ffffff", "#222222")
        spec = _recoloured(copy.deepcopy(self.spec), ink)
        spec["background"] = paper
        drawn: bytes = _converter().vegalite_to_png(
            spec, vl_version=_VERSION, scale=scale, allowed_base_urls=[]
        )
        return drawn

    def save(self, path: str | Path, *, scale: float = 2.0) -> Path:
        """Write the chart to a file, by its ending: ``.svg`` or ``.png``.

        Parameters
        ----------
        path
            Where it goes.
        scale
            Of a PNG, as in :meth:`png`.

        Returns
        -------
        pathlib.Path
            The file's path.

        Raises
        ------
        ValueError
            Another ending.
        MissingTool
            vl-convert, which draws it, is not installed.

        Examples
        --------
        >>> import tempfile
        >>> from cryptolake.render.picture import Picture
        >>> bar = {"data": {"values": [{"x": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x"}}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Picture(bar, "one bar").save(f"{folder}/bar.svg").name
        'bar.svg'
        """
        target = user_path(path)
        if target.suffix not in {".svg", ".png"}:
            message = f"{target.name!r}: a picture is saved as .svg or .png"
            raise ValueError(message)
        svg = target.suffix == ".svg"
        drawn = (
            self.svg.replace("currentColor", "#222222").encode() if svg else self.png(scale=scale)
        )
        with written_whole(target, "the picture") as draft:
            draft.write_bytes(drawn)
        return target

    def altair(self) -> altair.TopLevelMixin:
        """Return the chart as an altair object, to change it further.

        Returns
        -------
        altair.TopLevelMixin
            A chart of altair.

        Raises
        ------
        MissingTool
            altair is not installed.

        Examples
        --------
        >>> from cryptolake.render.picture import Picture
        >>> bar = {"data": {"values": [{"x": 1}]}, "mark": "bar", "encoding": {"x": {"field": "x"}}}
        >>> picture = Picture(bar, "one bar")
        >>> picture.altair().properties(width=200)  # doctest: +SKIP
        """
        try:
            import altair
        except ImportError:
            message = "picture.altair() needs altair: pip install altair"
            raise MissingTool(message, tool="altair") from None
        chart: altair.TopLevelMixin = altair.Chart.from_dict(self.spec)
        return chart

    def _repr_html_(self) -> str:
        label = f'role="img" aria-label="{text(self.note)}"'
        fitted = self.svg.replace(f"<svg {label} ", f'<svg style="{_FRAME}" ', 1)
        return f'<div {label} tabindex="0" style="overflow-x:auto">{fitted}</div>'

    def __repr__(self) -> str:
        return f"<Picture: {self.note}>"


def throughput_picture(steps: pl.DataFrame, every: timedelta) -> Picture:
    """Draw megabytes a second over the time of a run.

    Parameters
    ----------
    steps
        Columns ``time, files, bytes, bytes_per_second``; one row for each step of time, at least one.
    every
        The length of a step.
    """
    seconds = every.total_seconds()
    began = steps["time"].min()
    rates = steps.select(
        second=(steps["time"] - began).dt.total_milliseconds() / 1000,
        rate=steps["bytes_per_second"] / 1e6,
    ).rows()
    scale, unit = (60.0, "minutes") if rates[-1][0] > 300 else (1.0, "seconds")
    rows = [
        {
            "from": second / scale,
            "to": (second + seconds) / scale,
            "rate": rate,
            "files": files,
            "megabytes": size_of / 1e6,
        }
        for (second, rate), files, size_of in zip(
            rates, steps["files"], steps["bytes"], strict=True
        )
    ]
    files, moved = steps["files"].to_list(), steps["bytes"].to_list()
    note = (
        f"{plural(sum(files), 'file')}, {size(sum(moved))} in {plural(steps.height, 'step')} of {seconds:g} s, "
        f"at most {size(max(moved) / seconds)} a second"
    )
    return Picture(_throughput_spec(rows, seconds / scale, unit), note)


def _throughput_spec(rows: list[dict[str, float]], step: float, unit: str) -> dict[str, Any]:
    x = {"type": "quantitative", "title": f"{unit} since the first file"}
    spaced = {"axis": {"labelOverlap": True, "labelSeparation": 10, "tickCount": 10}}
    said = told(
        (unit, "from", ",.1~f"),
        ("MB/s", "rate", ",.3~s" if max(row["rate"] for row in rows) >= 1000 else ",.2~f"),
        ("files", "files", ",d"),
        ("MB", "megabytes", ",.1~f"),
    )
    return {
        "data": {"values": rows},
        "width": 640,
        "height": 90,
        "mark": {"type": "bar", "color": "#4c8bf5", "binSpacing": 1, **said["mark"]},
        "encoding": {
            "x": {"field": "from", "bin": {"binned": True, "step": step}, **x, **spaced},
            "x2": {"field": "to"},
            "y": {
                "field": "rate",
                "type": "quantitative",
                "title": "MB/s",
                "axis": {"tickCount": 3},
            },
            "tooltip": said["tooltip"],
        },
    }


def _converter() -> ModuleType:
    try:
        import vl_convert
    except ImportError:
        message = "charts are drawn by vl-convert: pip install 'cryptolake[notebook]'"
        raise MissingTool(message, tool="vl-convert-python") from None
    return vl_convert


def _config(ink: str) -> dict[str, Any]:
    axis = {
        "labelColor": ink,
        "titleColor": ink,
        "tickColor": ink,
        "domainColor": ink,
        "gridColor": ink,
        "gridOpacity": 0.1,
        "domainOpacity": 0.4,
        "tickOpacity": 0.4,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titlePadding": 8,
        "labelLimit": 190,
    }
    # Above its axis and level, a title meets no label, however wide the page's font is.
    above = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleBaseline": "bottom"}
    title = {"color": ink, "subtitleColor": ink, "anchor": "start", "fontSize": 14}
    return {
        "background": "transparent",
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "axisY": {**above, "titleX": 0, "titleY": -8},
        "title": {**title, "fontWeight": 600, "subtitleFontSize": 12, "offset": 14},
        # Below the chart, where it covers no line.
        "legend": {
            "labelColor": ink,
            "titleColor": ink,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "labelLimit": 330,
            "orient": "bottom",
            "columns": 4,
            "columnPadding": 28,  # letters in a page may be wider than those that were measured
            "symbolOpacity": 1,
        },
        "aria": False,
    }


def _recoloured(part: Any, ink: str) -> Any:
    """Return the specification with a real colour where the page's would be."""
    if isinstance(part, dict):
        return {key: _recoloured(value, ink) for key, value in part.items()}
    if isinstance(part, list):
        return [_recoloured(value, ink) for value in part]
    return ink if part == "currentColor" else part
