"""The quality page: one HTML document that asks nothing of any network, in the reader's colours.

A heat map is drawn by runs of days: a symbol's year is a few rectangles and not 366 cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from cryptolake.render.html import STYLE, and_more, facts, table, text


class State:
    """The states of a day that the page has a colour of its own for; others share one."""

    WHOLE, HEALED, TOLD, OUTSIDE, FROZEN = "whole", "healed", "finding", "not_listed", "frozen_run"


_LOOKS: dict[str, tuple[str, str, str, str]] = {
    "whole": ("", "all rows are there", "#d7ecd9", "#21402b"),
    "healed": ("h", "missing in one file, given by another", "#8fd0b5", "#2c7a5c"),
    "finding": ("!", "rows are there, with something to look at", "#f4d06f", "#8a6d12"),
    "frozen_run": ("F", "bars after the last trade", "#8ec5e8", "#20618c"),
    "exchange_halt": ("H", "the exchange halted", "#b79ae0", "#6a4aa0"),
    "archive_gap": ("A", "another file has it", "#7aa5f0", "#2f5fb8"),
    "not_pulled": ("P", "published, not pulled", "#f2a65a", "#a85e12"),
    "not_published": ("N", "no file has it", "#c99a6b", "#7a5230"),
    "rejected": ("R", "rows that a rule refused", "#f08fb0", "#a5345f"),
    "off_grid": ("G", "rows off the grid", "#c9c46a", "#6e6a1e"),
    "unknown": ("?", "missing, cause not known", "#ea6a62", "#b3312b"),
    "not_listed": ("", "not listed, or not due yet", "#e4e6ea", "#2c2f36"),
}
_OTHER = ("o", "other", "#bbbbbb", "#666666")

_ON_ANY_PAGE = {
    "whole": "#3a9d7a",
    "healed": "#6cc0a0",
    "finding": "#d9b23c",
    "frozen_run": "#58a6d6",
    "exchange_halt": "#9a78d0",
    "archive_gap": "#5a8ff0",
    "not_pulled": "#ee9a3f",
    "not_published": "#a8764a",
    "rejected": "#e0709a",
    "off_grid": "#a8a23c",
    "unknown": "#e05a50",
    "missing": "#e05a50",
    "none_due": "#c3c7cd",
}


def colour_of(state: str) -> str:
    """Return a state's colour, legible on light and on dark."""
    return _ON_ANY_PAGE.get(state, "#9aa0a8")


def meaning_of(state: str) -> str:
    """Return what a state of a day means.

    Examples
    --------
    >>> meaning_of("not_pulled")
    'published, not pulled'
    """
    return _MEANINGS.get(state) or _look(state)[1]


_MEANINGS = {
    "not_listed": "before its listing, or after its end",
    "interval_stopped": "files of this interval ended, the symbol goes on",
    "missing": "no rows in the lake",
    "none_due": "no rows, and none due",
}

_STYLE = f"""<style>
:root{{color-scheme:light dark}}
body{{margin:0;background:#fff;color:#1c1f24}}
.page{{box-sizing:border-box;max-width:84em!important;margin:0 auto;padding:1.4em 1.6em}}
.page h1{{font-size:19px;margin:0 0 .3em}} .page h2{{font-size:15px;margin:1.5em 0 .2em}}
.page .verdict{{font-size:15px;max-width:60em;margin:.3em 0 .6em}}
.page svg text{{font:11px system-ui,sans-serif;fill:currentColor}}
.page svg .c{{font-size:9px;font-weight:600;text-anchor:middle}}
.page .key{{display:flex;flex-wrap:wrap;gap:.2em 1.2em;margin:.4em 0;font-size:12px}}
.page .key i{{display:inline-block;width:1.5em;height:1.2em;line-height:1.2em;text-align:center;
font-style:normal;margin-right:.4em;border-radius:2px;vertical-align:top}}
{"".join(f".k-{name}{{fill:{look[2]};background:{look[2]}}}" for name, look in _LOOKS.items())}
.k-other{{fill:{_OTHER[2]};background:{_OTHER[2]}}}
@media (prefers-color-scheme:dark){{
body{{background:#14161a;color:#e3e6ea}} .cryptolake .bad{{color:#ff8a80}}
{"".join(f".k-{name}{{fill:{look[3]};background:{look[3]}}}" for name, look in _LOOKS.items())}
.k-other{{fill:{_OTHER[3]};background:{_OTHER[3]}}}
}}
</style>"""

_NOTHING_ELSE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
_LETTER, _HEIGHT, _TOP, _MOST_WIDTH = 6.6, 17, 18, 790
MAX_ROWS = 200
"""Rows of the heat map, and of each table; the rest is counted."""


@dataclass(frozen=True)
class HeatSpan:
    """A run of days in one state: ``start`` counts from the page's first day; ``part`` of each day only."""

    state: str
    start: int
    length: int
    part: bool = False


@dataclass(frozen=True)
class Section:
    """A table of the page, and what it says where it has no row."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    numbers: Sequence[str] = ()
    nothing: str = "none"


@dataclass(frozen=True)
class QualityFacts:
    """What the page shows; ``heat`` has a label and the spans of each symbol."""

    title: str
    verdict: str
    figures: Sequence[tuple[str, str]]
    first: date
    days: int
    heat: Sequence[tuple[str, Sequence[HeatSpan]]]
    sections: Sequence[Section]
    made: str


def quality_page_html(page: QualityFacts) -> str:
    """Return the page as one HTML document without a script, an image or a link."""
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            _NOTHING_ELSE,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(page.title)}</title>{STYLE}{_STYLE}</head>",
            f'<body><main class="cryptolake page"><h1>{text(page.title)}</h1>',
            f'<p class="verdict">{text(page.verdict)}</p>{facts(page.figures)}',
            "<h2>Days by cause</h2>",
            _heat_map(page),
            *(_section(section) for section in page.sections),
            f'<p class="dim">{text(page.made)}</p></main></body></html>\n',
        ]
    )


def _section(section: Section) -> str:
    note = f'<p class="dim">{text(section.note)}</p>' if section.note else ""
    head = f"<h2>{text(section.title)}</h2>"
    if not section.rows:
        return f"{head}<p>{text(section.nothing)}</p>"
    body = table(section.head, section.rows[:MAX_ROWS], numbers=section.numbers)
    return f"{head}{note}{body}{and_more(len(section.rows) - MAX_ROWS)}"


def _heat_map(page: QualityFacts) -> str:
    shown = page.heat[:MAX_ROWS]
    step = max(1.0, min(28.0, _MOST_WIDTH / max(page.days, 1)))
    left = 12 + _LETTER * max((len(label) for label, _ in shown), default=0)
    width, height = left + page.days * step, _TOP + len(shown) * _HEIGHT + 2
    rows = "".join(
        _heat_row(label, spans, (left, _TOP + place * _HEIGHT), step, page.first)
        for place, (label, spans) in enumerate(shown)
    )
    used = {span.state for _, spans in shown for span in spans}
    rest = and_more(len(page.heat) - len(shown), "rows more")
    return (
        f'{_key(used)}<div class="box" tabindex="0" role="group" aria-label="days by cause">'
        f'<svg role="img" aria-label="a row a series, a column a UTC day, from {page.first}" width="{width:.0f}" '
        f'height="{height}">{_ticks(page, left, step)}{rows}</svg></div>{rest}'
    )


def _ticks(page: QualityFacts, left: float, step: float) -> str:
    """Name the first of each month, and in a short page every fifth day."""
    marks = []
    for place in range(page.days):
        day = page.first + timedelta(days=place)
        name = f"{day:%Y-%m}" if day.day == 1 or not place else ""
        if not name and page.days <= 62 and day.day % 5 == 0:
            name = str(day.day)
        if name and (page.days <= 400 or day.month in (1, 7) or not place):
            marks.append(f'<text x="{left + place * step:.1f}" y="12">{name}</text>')
    return "".join(marks)


def _heat_row(
    label: str, spans: Sequence[HeatSpan], corner: tuple[float, int], step: float, first: date
) -> str:
    left, top = corner
    drawn = [f'<text x="0" y="{top + 12}">{text(label)}</text>']
    for span in spans:
        letter = _look(span.state)[0]
        begin, end = (
            first + timedelta(days=place) for place in (span.start, span.start + span.length - 1)
        )
        days = f"{begin}" if begin == end else f"{begin} to {end}"
        part = ", a part of each day" if span.part else ""
        x, wide = left + span.start * step, span.length * step
        high, low = (10, top + 5) if span.part else (_HEIGHT - 2, top)
        said = text(f"{label}: {span.state.replace('_', ' ')}, {days}{part}")
        back = _rect(State.WHOLE, x, top, wide, _HEIGHT - 2, "") if span.part else ""
        drawn.append(back + _rect(span.state, x, low, wide, high, f"<title>{said}</title>"))
        if letter and wide >= 9:
            base = top + (13 if span.part else 11)
            drawn.append(f'<text class="c" x="{x + wide / 2:.1f}" y="{base}">{letter}</text>')
    return "".join(drawn)


def _rect(state: str, x: float, y: float, wide: float, high: float, inside: str) -> str:
    name = state if state in _LOOKS else "other"
    gap = 0.6 if wide > 3 else 0
    size = f'x="{x:.1f}" y="{y}" width="{wide - gap:.1f}" height="{high}"'
    return f'<rect class="k-{name}" {size}>{inside}</rect>'


def _key(used: set[str]) -> str:
    names = [name for name in _LOOKS if name in used] + sorted(used - _LOOKS.keys())
    items = "".join(
        f'<span><i class="k-{name if name in _LOOKS else "other"}">{_look(name)[0]}</i>'
        f"<b>{text(name.replace('_', ' '))}</b> {text(_look(name)[1])}</span>"
        for name in names
    )
    return f'<div class="key">{items}</div><p class="dim">A mark of half the height stands for a part of a day.</p>'


def _look(state: str) -> tuple[str, str, str, str]:
    return _LOOKS.get(state, _OTHER)
