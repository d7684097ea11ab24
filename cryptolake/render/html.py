"""What every drawing is made of: escaping, numbers as text, tables, the style sheet."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

P = ParamSpec("P")

_DAY = re.compile(r"\d{4}-\d\d(-\d\d)?")

STYLE = """<style>
.cryptolake{font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);max-width:64em;color:inherit}
.cryptolake h4{margin:0 0 .35em;font-size:14px;font-weight:600}
.cryptolake h5{margin:.8em 0 .2em;font-size:12px;font-weight:600}
.cryptolake p{margin:.25em 0}
.cryptolake .dim{opacity:.7;font-weight:400}
.cryptolake code,.cryptolake pre{font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:12px;
background:none;color:inherit;white-space:pre-wrap;overflow-wrap:anywhere;margin:0;padding:0}
.cryptolake .box{overflow-x:auto}
.cryptolake table{border-collapse:collapse;border:0;margin:.3em 0;font-size:12px;color:inherit}
.cryptolake.cryptolake th,.cryptolake.cryptolake td{padding:.18em .8em .18em 0;text-align:left;border:0;background:none;
border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent);vertical-align:top}
.cryptolake.cryptolake th{font-weight:600;white-space:nowrap}
.cryptolake.cryptolake .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.cryptolake .w{white-space:nowrap}
.cryptolake ul{margin:.2em 0 .2em 1.3em;padding:0}
.cryptolake .bad{color:var(--jp-error-color1,#c5362b);font-weight:600}
.cryptolake .good{color:var(--jp-success-color0,#2e7d32);font-weight:600}
.cryptolake .tag{border:1px solid color-mix(in srgb,currentColor 35%,transparent);border-radius:3px;
padding:0 .4em;font-size:11px;white-space:nowrap}
.cryptolake .facts{display:flex;flex-wrap:wrap;gap:.2em 1.6em;margin:.3em 0}
.cryptolake .facts b{font-variant-numeric:tabular-nums}
</style>"""
"""JupyterLab aligns cells to the right by a rule as exact as one class, hence two. Sent with each drawing: an output cell may be shown alone. Every rule is scoped to the drawing."""


def text(value: object) -> str:
    """Return a value as escaped text, fit for an element or a quoted attribute.

    Examples
    --------
    >>> text('<b onclick="x">')
    '&lt;b onclick=&quot;x&quot;&gt;'
    """
    return html.escape(str(value), quote=True)


def number(value: float | None) -> str:
    """Return a count with thousands separated.

    Examples
    --------
    >>> number(1234567), number(None)
    ('1,234,567', '-')
    """
    return "-" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Return bytes as text, in decimal units.

    Examples
    --------
    >>> size(0), size(999), size(1_300_000), size(None)
    ('0 B', '999 B', '1.3 MB', '-')
    """
    if value is None:
        return "-"
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 999.95:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} PB"


def seconds(value: float | None) -> str:
    """Return a duration as text.

    Examples
    --------
    >>> seconds(0.42), seconds(75), seconds(7260), seconds(200_000)
    ('0.4 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    if value is None:
        return "-"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    start = next(i for i, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[start : start + 2])


def plural(count: float, noun: str, many: str | None = None) -> str:
    """Return a count and its noun, or the words for more than one where an ``s`` does not make them.

    Examples
    --------
    >>> plural(1, "file"), plural(2000, "file"), plural(2, "file is", "files are")
    ('1 file', '2,000 files', '2 files are')
    """
    return f"{number(count)} {noun if count == 1 else many or f'{noun}s'}"


def some_of(items: Iterable[object], most: int = 3, between: str = ", ") -> str:
    """Return names in a row, the first few of many, and how many more there are; not escaped.

    Examples
    --------
    >>> some_of(["A", "B", "C"], most=2)
    'A, B and 1 more'
    >>> some_of(["a is gone", "b is gone"], most=1, between="; ")
    'a is gone; and 1 more'
    """
    names = [str(item) for item in items]
    more = (
        f"{between.rstrip(', ')} and {number(len(names) - most)} more" if len(names) > most else ""
    )
    return between.join(names[:most]) + more


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return name and value pairs in one wrapping row; values are plain text."""
    # A space between them, for pages that show a saved notebook without its style sheet.
    cells = " ".join(
        f'<span><b>{text(value)}</b> <span class="dim">{text(name)}</span></span>'
        for name, value in pairs
    )
    return f'<div class="facts">{cells}</div>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()
) -> str:
    """Return a table of plain values; columns named in ``numbers`` are right-aligned."""
    marks = [' class="n"' if name in numbers else "" for name in head]
    top = "".join(
        f'<th scope="col"{mark}>{text(name)}</th>' for name, mark in zip(head, marks, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{mark}>{_cell(v)}</td>" for v, mark in zip(row, marks, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="box"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def and_more(count: int, what: str = "more") -> str:
    """Return the line below a table that is cut: how many rows are not drawn; nothing for none."""
    return f'<p class="dim">and {number(count)} {what}</p>' if count > 0 else ""


def whole(value: object) -> str:
    """Return escaped text that stays on one line, as a day does, which a page breaks at its hyphens."""
    return f'<span class="w">{text(value)}</span>'


def _cell(value: object) -> str:
    return whole(value) if _DAY.fullmatch(str(value)) else text(value)


def drawing(*parts: str) -> str:
    """Wrap finished parts into one drawing with its style."""
    return f'<div class="cryptolake">{STYLE}{"".join(parts)}</div>'


def never_raises(draw: Callable[P, str]) -> Callable[P, str]:
    """Make a drawing show its object's plain text where it cannot be drawn.

    A repr that raises fails the whole cell, and hides the object that it should show.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return draw(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (a repr shows something, whatever the object holds)
            note = f'<p class="dim">(shown plainly: {text(type(error).__name__)})</p>'
            return drawing(f"<pre>{_plain(args)}</pre>", note)

    return drawn


def _plain(args: tuple[Any, ...]) -> str:
    try:
        return text(repr(args[0]))
    except Exception:  # noqa: BLE001 (see never_raises)
        return text(type(args[0]).__name__ if args else "")
