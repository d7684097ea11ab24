"""Coverage as strips: a row a symbol, a mark a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from cryptolake.render.html import and_more, drawing, never_raises, text

MAX_SYMBOLS = 60
"""Rows of a coverage grid; more are counted, not drawn."""


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
    rest = and_more(len(symbols) - MAX_SYMBOLS, "symbols more")
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
