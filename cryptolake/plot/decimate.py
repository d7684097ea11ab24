"""Decimation: merge rows into one for each pixel column, so that the chart keeps its outline."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

_MICROSECOND = timedelta(microseconds=1)


def decimate_values(
    rows: pl.LazyFrame, value: str, by: Sequence[str], buckets: int, *, time: str
) -> pl.DataFrame:
    """Summarize a measure in at most ``buckets`` steps of time for each group.

    Parameters
    ----------
    rows
        Columns ``time`` (UTC), ``value`` and those in ``by``.
    value
        The measure's column.
    by
        Columns that tell the series apart.
    buckets
        The most rows to return for each series, 1 or more.
    time
        The column of times.

    Returns
    -------
    polars.DataFrame
        ``time``, the columns in ``by``, ``mean``, ``lowest`` and ``highest`` of each step.
    """
    merged = [
        pl.col(time).min(),
        pl.col(value).mean().alias("mean"),
        pl.col(value).min().alias("lowest"),
        pl.col(value).max().alias("highest"),
    ]
    return _by_bucket(rows, by, buckets, time, merged)


def _by_bucket(
    rows: pl.LazyFrame, by: Sequence[str], buckets: int, time: str, merged: list[pl.Expr]
) -> pl.DataFrame:
    if buckets < 1:
        message = f"a chart has at least one bucket, not {buckets}"
        raise ValueError(message)
    ends = rows.select(first=pl.col(time).min(), last=pl.col(time).max()).collect()
    first, last = ends.row(0)
    if first is None:
        return (
            rows.group_by(*by, pl.col(time).alias("_bucket")).agg(merged).drop("_bucket").collect()
        )
    since = (pl.col(time) - first).dt.total_microseconds().cast(pl.Float64)
    span = float((last - first) // _MICROSECOND) + 1.0
    bucket = (since * (buckets / span)).floor().cast(pl.Int64).clip(0, buckets - 1)
    return (
        rows.group_by(*by, bucket.alias("_bucket"))
        .agg(merged)
        .sort(*by, "_bucket")
        .drop("_bucket")
        .collect()
    )
