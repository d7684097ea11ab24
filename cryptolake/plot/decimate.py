"""Decimation: merge rows to a round interval, so that the chart keeps its outline and can say what a point is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.plot.levels import shown_interval

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


def decimate_values(
    rows: pl.LazyFrame, value: str, by: Sequence[str], most: int, *, time: str
) -> tuple[str, pl.DataFrame]:
    """Summarize a measure in at most ``most`` points for each group, by a round interval where that is needed.

    Parameters
    ----------
    rows
        Columns ``time`` (UTC), ``value`` and those in ``by``.
    value
        The measure's column.
    by
        Columns that tell the series apart.
    most
        The most rows to return for each series, 1 or more.
    time
        The column of times.

    Returns
    -------
    str
        The interval that rows were merged to; empty where they are as they were.
    polars.DataFrame
        ``time``, the columns in ``by``, ``mean``, ``lowest`` and ``highest`` of each interval.
    """
    if most < 1:
        message = f"a line has at least one point, not {most}"
        raise ValueError(message)
    known = rows.filter(pl.col(value).is_not_null())
    counts = known.group_by(by) if by else known.group_by(pl.lit(0).alias("_all"))
    longest, first, last = (
        counts.agg(pl.len(), first=pl.col(time).min(), last=pl.col(time).max())
        .select(pl.col("len").max(), pl.col("first").min(), pl.col("last").max())
        .collect()
        .row(0)
    )
    merged = "" if longest is None or longest <= most else shown_interval("1s", first, last, most)
    of = pl.col(value)
    return merged, (
        known.group_by(*by, (pl.col(time).dt.truncate(merged) if merged else pl.col(time)))
        .agg(mean=of.mean(), lowest=of.min(), highest=of.max())
        .sort(*by, time)
        .collect()
    )


def broken(rows: pl.DataFrame, by: Sequence[str], longest: timedelta) -> pl.DataFrame:
    """Add a row without values after each that is followed by none for longer than a time: a line ends there.

    Parameters
    ----------
    rows
        ``time``, the columns in ``by``, ``mean``, ``lowest``, ``highest``; in order.
    by
        Columns that tell the series apart.
    longest
        The longest time between two rows that is no hole.

    Examples
    --------
    >>> from datetime import datetime, timedelta
    >>> times = [datetime(2025, 1, 1, hour) for hour in (0, 1, 5)]
    >>> rows = pl.DataFrame({"time": times, "mean": 1.0, "lowest": 1.0, "highest": 1.0})
    >>> broken(rows, [], timedelta(hours=1))["mean"].to_list()
    [1.0, 1.0, None, 1.0]
    """
    after = pl.col("time").diff().shift(-1)
    after = after.over(by) if by else after
    ends = rows.filter(after > longest).with_columns(
        pl.col("time") + longest, *(pl.lit(None, pl.Float64).alias(n) for n in _VALUES)
    )
    return pl.concat([rows, ends.select(rows.columns)]).sort(*by, "time")


_VALUES = ("mean", "lowest", "highest")
