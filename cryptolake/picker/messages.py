"""The picker's messages, as escaped HTML. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.render import coverage_html
from cryptolake.render.html import number, plural, seconds, size, table, text, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.picker.backend import Preview
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Step


def to_do(problems: Sequence[str], days: str = "") -> str:
    """Return what is still to be chosen; ``days`` is why those that are typed are no range.

    Examples
    --------
    >>> to_do(["say which symbols: .symbols('A')"])
    '<span class="cl-dim">Still to choose:</span> which symbols'
    """
    if not problems:
        return ""
    short = [problem.removeprefix("say ").split(": .")[0] for problem in problems]
    if days:
        short = [f"{each} ({days})" if each == "which days" else each for each in short]
    return f'<span class="cl-dim">Still to choose:</span> {text("; ".join(short))}'


def plan_line(plan: Plan, rate: float | None) -> str:
    """Return a plan in a line: files, bytes, cached, missing, and the time at the lake's past rate."""
    files = plan.rows.height
    parts = [
        f"<b>{text(plural(files, 'file'))}</b>",
        f"{text(plural(plan.to_transfer, 'file'))} to move, <b>{text(size(plan.total_bytes))}</b>",
        f"{number(plan.cached)} cached",
        f"{text(plural(plan.missing, 'period'))} missing",
    ]
    if plan.to_transfer and rate:
        parts.append(f"about {text(seconds(max(1.0, plan.total_bytes / rate)))}")
    elif plan.to_transfer:
        parts.append('<span class="cl-dim">no past transfer to estimate from</span>')
    else:
        parts.append("nothing to fetch")
    return " · ".join(parts)


def note(what: str) -> str:
    """Return a remark."""
    return f'<span class="cl-dim">{text(what)}</span>'


def working(what: str) -> str:
    """Return that something is being done.

    Examples
    --------
    >>> working("Listing <b>")
    '<span class="cl-dim">Listing &lt;b&gt; …</span>'
    """
    return note(f"{what} …")


def progress(what: str, step: Step) -> str:
    """Return how far a piece of work is."""
    moved = f"{size(step.done)} of {size(step.total)}, " if step.unit == "files" else ""
    counts = f"{moved}{number(step.pieces)} of {number(step.all_pieces)} {step.unit}"
    bar = f'<progress max="1" value="{step.share:.4f}" aria-label="{text(what)}"></progress>'
    return f"{text(what)} {bar} {step.share:.0%} <span class='cl-dim'>{text(counts)}</span>"


def failure(message: str) -> str:
    """Return what went wrong."""
    return f'<span class="cl-bad"><b>Not done.</b> {text(message)}</span>'


def preview_html(preview: Preview) -> str:
    """Return the first rows, the chart and the months held."""
    if not preview.rows:
        return "<p>The lake holds no Silver rows of this yet: Pull fetches and builds them.</p>"
    head = preview.head
    shown = [name for name in head.columns if head[name].null_count() < head.height]
    rows = [[_cell(value) for value in row] for row in head.select(shown).rows()]
    numeric = [name for name in shown if head.schema[name].is_numeric()]
    remark = f" {text(preview.note)}." if preview.note else ""
    held = coverage_html(preview.held, title="Held in Silver") if preview.held else ""
    of = words(preview.held, most=4)
    return (
        f"<p><b>{text(plural(preview.rows, 'row'))}</b> of {text(of)}.{remark} The first:</p>"
        f'<div class="cryptolake">{table(shown, rows, numbers=numeric)}</div>{preview.picture}{held}'
    )


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.10g}"
    shown = str(value)
    return shown.removesuffix("+00:00") if shown.endswith("+00:00") else value
