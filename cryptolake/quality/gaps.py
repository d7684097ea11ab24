"""The runs of bars that a span should have and lacks, by bar number. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.grid import open_of

if TYPE_CHECKING:
    from cryptolake.archive.grid import Grid


class Gap(NamedTuple):
    """A run of missing bars: the open times of the first and the last of them (UTC), and how many."""

    first: datetime
    last: datetime
    bars: int


def missing_runs(present: pl.Series, expected: range) -> list[range]:
    """Return the runs of expected bar numbers that are not in ``present`` (sorted, unique).

    Examples
    --------
    >>> missing_runs(pl.Series([2, 3, 6]), range(1, 9))
    [range(1, 2), range(4, 6), range(7, 9)]
    """
    if not len(expected):
        return []
    inside = present.filter((present >= expected.start) & (present < expected.stop)).cast(pl.Int64)
    fence = pl.concat(
        [pl.Series([expected.start - 1]), inside.alias(""), pl.Series([expected.stop])]
    )
    holes = fence.to_frame("after").select(
        (pl.col("after").shift(1) + 1).alias("from"), pl.col("after").alias("to")
    )
    found = holes.filter(pl.col("from") < pl.col("to"))
    return [range(first, stop) for first, stop in found.iter_rows()]


def as_gap(run: range, interval: Grid) -> Gap:
    """Return a run of bar numbers as the Gap that people read."""
    return Gap(open_of(run.start, interval), open_of(run.stop - 1, interval), len(run))
