"""Long segments of a sorted table merged a range of keys at a time, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.storage import segments

if TYPE_CHECKING:
    from cryptolake.storage.files import Entry, Storage
    from cryptolake.storage.segments import Schema

_PIECE = 8_000
"""Rows of a range, about: as many as are in memory at a time."""

_SAMPLES = 4
"""Values of each segment that are looked at for a range."""


def merge_sorted(
    storage: Storage,
    folder: str,
    entries: Sequence[Entry],
    schema: Schema,
    column: str,
    settled: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Write the rows of segments as one, sorted by a column, in their place; the caller removes them then.

    Parameters
    ----------
    storage, folder, entries, schema
        As :func:`cryptolake.storage.segments.read_whole` and :func:`~cryptolake.storage.segments.merge` take them.
    column
        The rows of one value of it are settled together.
    settled
        Returns those of some rows, given in the order they were written, that still count, sorted.

    Raises
    ------
    ValueError
        A segment is damaged, or of a newer release.
    """
    stamped = {**schema, segments.STAMP: pl.String}
    scans = [segments.scan(storage, entry, stamped) for entry in entries]
    pieces = []
    for low, high in pairwise([None, *_bounds(scans, column), None]):
        mine = _between(pl.col(column), low, high)
        rows = pl.concat([scan.filter(mine).collect() for scan in scans])
        piece = BytesIO()
        settled(rows.sort(segments.STAMP, maintain_order=True)).write_parquet(piece)
        piece.seek(0)
        pieces.append(piece)
    segments.merge(storage, folder, pl.concat(map(pl.scan_parquet, pieces)), entries)


def _bounds(scans: Sequence[pl.LazyFrame], column: str) -> list[str]:
    """Return values of a column that divide the rows into ranges."""
    # Segments often hold the same values, so each is asked for some in every range.
    step = _SAMPLES * len(scans)
    every = max(1, _PIECE // step)
    samples = [scan.select(column).gather_every(every).collect() for scan in scans]
    found = pl.concat(samples)[column].drop_nulls().sort()
    return found.gather_every(step, step).unique().sort().to_list()


def _between(value: pl.Expr, low: str | None, high: str | None) -> pl.Expr:
    """Return the condition that a value is in a range; the lowest range has those that are null."""
    below = pl.lit(value=True) if high is None else value < pl.lit(high)
    if low is None:
        return value.is_null() | below
    return below & (value >= pl.lit(low))
