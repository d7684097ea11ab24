"""The picker's messages, as escaped HTML. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.render.coverage import coverage_html
from cryptolake.render.html import number, plural, seconds, size, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.picker.backend import Overview, Preview
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


NOTHING_HELD = "<p>The lake holds no Silver rows of this yet: Pull fetches and builds them.</p>"


def preview_html(preview: Preview, overview: Overview | None = None) -> str:
    """Return what stands above a profile: what to know of it, and the chart and the months held, folded."""
    if preview.page is None:
        return NOTHING_HELD
    remark = f"{text(preview.note)}. " if preview.note else ""
    said = f"<p>{remark}What the lake holds of this; nothing was fetched.</p>"
    if overview is None:
        return said
    missing = f"<p>{text(overview.note)}</p>" if overview.note else ""
    held = coverage_html(overview.held, title="Held in Silver")
    title = "Chart and months held" if overview.picture else "Months held"
    return f"{said}<details><summary>{title}</summary>{missing}{overview.picture}{held}</details>"
