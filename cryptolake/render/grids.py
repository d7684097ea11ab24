"""Two grids: the matrix (market x data type) and coverage (symbols x months)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Protocol

from cryptolake.render.html import drawing, never_raises, number, text, whole

MAX_SYMBOLS = 60
"""Rows of a coverage grid; more are counted, not drawn."""

_MARKS = {"live": "●", "discontinued": "◐", "never_observed": "○"}


class _Interval(Protocol):
    @property
    def value(self) -> str: ...


class _Row(Protocol):
    @property
    def all_intervals(self) -> Sequence[_Interval]: ...
    @property
    def market(self) -> str: ...
    @property
    def data_type(self) -> str: ...
    @property
    def partitions(self) -> Sequence[str]: ...
    @property
    def first_date(self) -> date: ...
    @property
    def last_date(self) -> date | None: ...
    @property
    def status(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...


class _Matrix(Protocol):
    @property
    def bucket(self) -> str: ...
    @property
    def rows(self) -> Sequence[_Row]: ...


@never_raises
def matrix_html(matrix: _Matrix) -> str:
    """Draw the availability matrix: a row for each data type, a column for each market."""
    markets = list(dict.fromkeys(row.market for row in matrix.rows))
    types = list(dict.fromkeys(row.data_type for row in matrix.rows))
    by_pair = {(row.market, row.data_type): row for row in matrix.rows}
    head = "".join(f'<th scope="col">{text(market)}</th>' for market in markets)
    body = "".join(
        f'<tr><th scope="row">{text(kind)}</th>'
        + "".join(_matrix_cell(by_pair.get((market, kind))) for market in markets)
        + "</tr>"
        for kind in types
    )
    return drawing(
        f"<h4>What can exist in {text(matrix.bucket)}</h4>",
        f'<div class="box"><table><thead><tr><th scope="col">data type</th>{head}</tr></thead>',
        f'<tbody>{body}</tbody></table></div><p class="dim">{text(_legend())}</p>',
    )


def matrix_text(matrix: _Matrix) -> str:
    """Say the availability matrix in lines, one for each market and data type, within 80 columns."""
    head = ("market", "data type", "intervals", "files", "first day", "last day", "")
    rows = [
        (
            row.market,
            row.data_type,
            _intervals(row),
            " ".join(row.partitions),
            str(row.first_date),
            str(row.last_date or ""),
            _MARKS.get(row.status, ""),
        )
        for row in matrix.rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        " ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([*lines, _legend()])


def _intervals(row: _Row) -> str:
    """Return the shortest and the longest interval of bars; nothing where rows are no bars."""
    words = [interval.value for interval in row.all_intervals]
    return f"{words[0]} to {words[-1]}" if len(words) > 1 else "".join(words)


def _legend() -> str:
    return " ".join(f"{mark} {name.replace('_', ' ')}" for name, mark in _MARKS.items())


def _matrix_cell(row: _Row | None) -> str:
    if row is None:
        return '<td class="dim">-</td>'
    partitions = " + ".join(row.partitions)
    days = whole(row.first_date) + (f" to {whole(row.last_date)}" if row.last_date else "")
    status = row.status.replace("_", " ")
    spans = [part for part in (text(_intervals(row)), days) if part]
    since = f"<br><span class='dim'>{'<br>'.join(spans)}</span>"
    return (
        f'<td title="{text(" ".join(row.notes))}"><span aria-label="{text(status)}">'
        f"{_MARKS.get(row.status, '')}</span> {text(partitions)}{since}</td>"
    )


@never_raises
def coverage_html(
    coverage: Mapping[str, Mapping[str, float]],
    *,
    months: Sequence[str] | None = None,
    chosen: tuple[str, str] | None = None,
    title: str = "Coverage",
) -> str:
    """Draw which months each symbol has: a strip per symbol, darker where more of the month is there.

    Parameters
    ----------
    coverage
        Symbol to month (``"2024-03"``) to the share of the month that is there, 0 to 1.
    months
        The months drawn, in order; all that occur (and those between) when left out.
    chosen
        First and last month to frame.
    title
        The heading.

    Examples
    --------
    >>> drawn = coverage_html({"BTCUSDT": {"2024-01": 1.0, "2024-03": 0.5}})
    >>> drawn.count("<rect"), "2024-02" in drawn
    (2, False)
    """
    known = [month for by_month in coverage.values() for month in by_month]
    columns = list(months) if months is not None else _between(known)
    if not columns:
        return drawing(f"<h4>{text(title)}</h4>", '<p class="dim">nothing is there</p>')
    symbols = list(coverage)
    rows = "".join(
        f'<tr><th scope="row">{text(symbol)}</th><td>{_strip(coverage[symbol], columns, chosen)}</td></tr>'
        for symbol in symbols[:MAX_SYMBOLS]
    )
    more = len(symbols) - MAX_SYMBOLS
    rest = f'<p class="dim">and {number(more)} symbols more</p>' if more > 0 else ""
    return drawing(
        f'<h4>{text(title)} <span class="dim">{text(columns[0])} to {text(columns[-1])}</span></h4>',
        f'<div class="box"><table><tbody>{rows}</tbody></table></div>{rest}',
    )


def _strip(
    by_month: Mapping[str, float], months: Sequence[str], chosen: tuple[str, str] | None
) -> str:
    """Draw one symbol; consecutive months of one shade are one rectangle, so a long history stays small."""
    width = max(2, min(14, 720 // len(months)))
    rects = []
    at = 0
    for shade, run in groupby(months, key=lambda month: _shade(by_month.get(month, 0.0))):
        span = list(run)
        if shade:
            label = span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}"
            rects.append(
                f'<rect x="{at * width}" y="1" width="{len(span) * width}" height="11" '
                f'fill="currentColor" opacity="{shade}"><title>{text(label)}</title></rect>'
            )
        at += len(span)
    whole = len(months) * width
    have = sum(1 for month in months if by_month.get(month, 0.0) > 0)
    frame = _frame(months, width, chosen)
    return (
        f'<svg role="img" aria-label="{have} of {len(months)} months" width="{whole}" height="13" '
        f'viewBox="0 0 {whole} 13"><line x1="0" x2="{whole}" y1="12.5" y2="12.5" '
        f'stroke="currentColor" opacity=".25"/>{"".join(rects)}{frame}</svg>'
    )


def _frame(months: Sequence[str], width: int, chosen: tuple[str, str] | None) -> str:
    if chosen is None:
        return ""
    inside = [index for index, month in enumerate(months) if chosen[0] <= month <= chosen[1]]
    if not inside:
        return ""
    x, wide = inside[0] * width, len(inside) * width
    return (
        f'<rect x="{x + 0.5}" y=".5" width="{wide - 1}" height="12" fill="none" '
        'stroke="var(--jp-brand-color1,#1976d2)" stroke-width="1.5"/>'
    )


def _shade(share: float) -> float:
    """Return one of four opacities: few values make long runs."""
    if share <= 0:
        return 0.0
    return 0.85 if share >= 0.995 else 0.6 if share >= 0.5 else 0.35


def _between(known: Iterable[str]) -> list[str]:
    """Return every month from the first to the last of ``YYYY-MM`` texts."""
    named = sorted(set(known))
    if not named:
        return []
    year, month = (int(part) for part in named[0].split("-"))
    months = []
    while (month_text := f"{year:04d}-{month:02d}") <= named[-1]:
        months.append(month_text)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return months
