"""The bins of a histogram: round edges over a column's range, linear or by powers of ten. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

BINS = 18
"""Bins aimed at; round edges make some more or fewer."""

MOST_BINS = 24
"""Bins that no histogram exceeds."""

SECOND, DAY = 1_000_000, 86_400_000_000
"""Microseconds."""

_STEPS = (
    *(step * SECOND for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(hours * 3600 * SECOND for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
"""Steps of time that read well, in microseconds."""

_MANTISSAS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))

SKEWED = 0.02
"""Where the mean lies this near to the low end of the range, equal bins would show one bar."""

Edge = int | float


@dataclass(frozen=True)
class Bins:
    """Edges of bins that each hold ``low <= value < high``.

    Examples
    --------
    >>> bins = Bins((0, 10, 20))
    >>> bins.pairs, bins.uppers
    ([(0, 10), (10, 20)], [9, 19])
    """

    edges: tuple[Edge, ...]
    scale: Literal["linear", "log"] = "linear"

    @property
    def pairs(self) -> list[tuple[Edge, Edge]]:
        """The ends of each bin."""
        return list(zip(self.edges[:-1], self.edges[1:], strict=True))

    @property
    def uppers(self) -> list[Edge]:
        """The largest value of each bin: what DuckDB's ``histogram``, whose bins have their upper end in, takes."""
        return [
            edge - 1 if isinstance(edge, int) else math.nextafter(edge, -math.inf)
            for edge in self.edges[1:]
        ]


def number_bins(
    low: Edge, high: Edge, mean: float, smallest: Edge | None, *, whole: bool = False
) -> Bins:
    """Return bins over numbers.

    Parameters
    ----------
    low, high, mean
        Of the values.
    smallest
        The smallest value above 0. Powers of ten are taken where values crowd at the low end; what is below
        ``smallest``, zeros, is then a bin of its own.
    whole
        Whether the values are whole numbers.

    Examples
    --------
    >>> number_bins(0.5, 17.2, 9.0, 0.5).edges[:4], number_bins(3, 3, 3.0, 3, whole=True).edges
    ((0.0, 1.0, 2.0, 3.0), (3, 4))
    >>> skewed = number_bins(0.0, 7180.0, 6.8, 0.4)
    >>> skewed.scale, skewed.edges[:5]
    ('log', (0.0, 0.2, 0.5, 1.0, 2.0))
    """
    if high - low <= max(abs(low), abs(high), 1e-280) * 1e-14:  # one value, as far as floats tell
        return Bins((int(low), int(high) + 1) if whole else (low, math.nextafter(high, math.inf)))
    skewed = low >= 0 and smallest is not None and (mean - low) / (high - low) < SKEWED
    if skewed and smallest and high / smallest >= MOST_BINS:
        edges = _powers(smallest, high)
        if low < edges[0]:
            edges = [0.0, *edges]
        return Bins(tuple(_typed(edge, whole=whole) for edge in edges), "log")
    step = _round_up((high - low) / BINS)
    step = max(1.0, step) if whole else step
    return Bins(tuple(_typed(edge, whole=whole) for edge in _multiples(low, high, step)))


def time_bins(low: int, high: int) -> Bins:
    """Return bins over times, in microseconds since 1970; days begin at midnight UTC.

    Examples
    --------
    >>> day = 86_400_000_000
    >>> [edge / day for edge in time_bins(20_089 * day + 5, 20_119 * day).edges][:3]
    [20089.0, 20091.0, 20093.0]
    """
    span = high - low
    step = next((step for step in _STEPS if span / step <= BINS), None)
    if step is None or span < SECOND * BINS // 2:
        return number_bins(low, high, (low + high) / 2, None, whole=True)
    first = low // min(step, DAY) * min(step, DAY)
    return Bins(tuple(range(first, high + step + 1, step))[: (high - first) // step + 2])


def number_text(value: Edge) -> str:
    """Return a number as text, short.

    Examples
    --------
    >>> number_text(0.1 + 0.2), number_text(1234567.0), number_text(10**9), number_text(2e-7)
    ('0.3', '1234567', '1000000000', '2e-07')
    """
    return str(value) if isinstance(value, int) else f"{value:.10g}"


def time_text(value: int) -> str:
    """Return a time, in microseconds since 1970, as UTC text without what is zero at its end.

    Examples
    --------
    >>> (
    ...     time_text(1_735_689_600_000_000),
    ...     time_text(1_735_689_660_000_000),
    ...     time_text(1_735_689_600_000_001),
    ... )
    ('2025-01-01', '2025-01-01 00:01', '2025-01-01 00:00:00.000001')
    """
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
    text = when.strftime("%Y-%m-%d %H:%M:%S.%f")
    if text.endswith(".000000"):
        text = text.removesuffix(".000000").removesuffix(":00")
    return text.removesuffix(" 00:00")


def _typed(edge: float, *, whole: bool) -> Edge:
    return round(edge) if whole else float(edge)


def _round_up(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def _multiples(low: float, high: float, step: float) -> list[float]:
    digits = max(0, 2 - math.floor(math.log10(step)))  # what a multiple of the step has
    first = math.floor(low / step)
    while round(first * step, digits) > low:
        first -= 1
    edges = [round(first * step, digits)]
    while edges[-1] <= high:
        edges.append(round((first + len(edges)) * step, digits))
    return edges


def _powers(smallest: float, high: float) -> list[float]:
    """Return powers of ten, and 2 and 5 times them where there is room, from below ``smallest`` to above ``high``."""
    bottom, top = math.floor(math.log10(smallest)), math.floor(math.log10(high)) + 1
    for mantissas in _MANTISSAS:
        points = [float(f"{m:g}e{k}") for k in range(bottom, top + 1) for m in mantissas]
        points = [p for p in points if p <= high] + [next(p for p in points if p > high)]
        start = max(at for at, point in enumerate(points) if point <= smallest)
        if len(points) - start <= MOST_BINS:
            return points[start:]
    every = math.ceil((top - bottom) / (MOST_BINS - 2))
    return [float(f"1e{k}") for k in range(bottom, top + every, every)]
