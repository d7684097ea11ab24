"""A Report, drawn: failures first, then what was moved and built, and how fast."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from cryptolake.render.html import (
    drawing,
    facts,
    never_raises,
    number,
    plural,
    seconds,
    size,
    table,
    text,
)
from cryptolake.render.throughput import FEW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

    from cryptolake.report import Report

MOST_FAULTS = 20
"""Faults shown one by one; the rest is counted."""

FAULTS = ("failed", "quarantined")


@never_raises
def report_html(report: Report) -> str:
    """Draw a report: what went wrong first, then the counts."""
    state = {"stopped": "stopped before its end"}.get(report.state, "not all well")
    mark = '<span class="good">ok</span>' if report.ok else f'<span class="bad">{state}</span>'
    kind, run = text(report.kind), text(report.run_id)
    head = f'<h4>Report: {kind} {mark} <span class="dim">{run}</span></h4>'
    return drawing(
        head,
        _faults(report.files, "key", "Files"),
        _faults(report.months, "path", "Silver months"),
        facts(_counts(report)),
        _fallbacks(report.fallbacks),
        _retries(report),
        _pace(report),
    )


def _counts(report: Report) -> Iterator[tuple[str, str]]:
    if report.files.height:
        yield "moved", number(report.transferred)
        yield "here before", number(report.skipped)
        yield "failed", number(report.failed)
        yield "quarantined", number(report.quarantined)
        yield "moved", size(report.bytes)
    if report.months.height:
        yield "Silver months built", number(report.built)
        yield "rows", number(report.rows)
        for name in ("duplicates", "rejects"):
            total = int(report.months[name].sum() or 0)
            if total:
                yield name, number(total)
    yield "", seconds(report.seconds)
    if report.bytes and report.seconds:
        yield "a second", size(report.bytes / report.seconds)


def _fallbacks(fallbacks: Mapping[str, int]) -> str:
    items = "".join(f"<li>{number(n)}: {text(why)}</li>" for why, n in fallbacks.items())
    return f"<h5>Moved another way than asked</h5><ul>{items}</ul>" if items else ""


def _retries(report: Report) -> str:
    if not report.retried:
        return ""
    again = int(report.files["retries"].sum())
    items = "".join(f"<li>{number(n)}: {text(why)}</li>" for why, n in report.retries.items())
    told = f"{number(again)} requests made again for {plural(report.retried, 'file')}"
    return f"<h5>{told}</h5><ul>{items}</ul>"


def _pace(report: Report) -> str:
    """Draw the throughput where there is some to see, and something to draw it with."""
    if importlib.util.find_spec("vl_convert") is None or report.throughput().height < FEW:
        return ""
    return report.chart()._repr_html_()


def _faults(frame: pl.DataFrame, name: str, title: str) -> str:
    import polars as pl

    if frame.is_empty():
        return ""
    wrong = frame.filter(pl.col("status").is_in(FAULTS))
    if wrong.is_empty():
        return ""
    rows = wrong.head(MOST_FAULTS).select(name, "status", "error").rows()
    more = wrong.height - len(rows)
    rest = f'<p class="dim">and {number(more)} more</p>' if more else ""
    return (
        f'<h5 class="bad">{text(title)} that need a look: {number(wrong.height)}</h5>'
        + table([name, "what", "why"], [[a, b, c or ""] for a, b, c in rows])
        + rest
    )
