"""Per file of a month being made: how many rows, from when to when."""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

import polars as pl

from cryptolake.silver.parse import FILE


class FileSpan(NamedTuple):
    """The rows of one file, and their first and last time."""

    file: int
    rows: int
    first: datetime
    last: datetime


def file_spans(frame: pl.DataFrame, time: str) -> list[FileSpan]:
    """Return the span of each file that has rows in a frame, in the files' order.

    Parameters
    ----------
    frame
        Rows with their file's number.
    time
        The column of their times, none of them null.

    Examples
    --------
    >>> rows = pl.DataFrame({"_file": [0, 0, 1], "at": [datetime(2024, 1, 1, h) for h in range(3)]})
    >>> [(span.file, span.rows, span.last.hour) for span in file_spans(rows, "at")]
    [(0, 2, 1), (1, 1, 2)]
    """
    times = frame[time]
    if not (never_falls(frame[FILE]) and never_falls(times)):
        at = pl.col(time)
        ends = (at.min().alias("first"), at.max().alias("last"))
        grouped = frame.group_by(FILE).agg(pl.len().alias("rows"), *ends).sort(FILE)
        return [FileSpan(*row) for row in grouped.rows()]
    # Each file's rows stand together, in order: their ends tell.
    runs = frame[FILE].rle().struct.unnest()
    ends_at = list(accumulate(runs["len"]))
    firsts = times[[end - rows for end, rows in zip(ends_at, runs["len"], strict=True)]]
    lasts = times[[end - 1 for end in ends_at]]
    spans = zip(runs["value"], runs["len"], firsts, lasts, strict=True)
    return [FileSpan(*span) for span in spans]


def never_falls(values: pl.Series) -> bool:
    """Say whether no value is below the one before it, and none is null.

    Examples
    --------
    >>> never_falls(pl.Series([1, 1, 2])), never_falls(pl.Series([2, 1]))
    (True, False)
    """
    later, earlier = values.slice(1), values.slice(0, max(0, len(values) - 1))
    return not values.has_nulls() and bool((later >= earlier).all())
