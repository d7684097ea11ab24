"""Levels of detail: which round interval shows a span in so many bars, and bars merged to it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUND: Mapping[str, timedelta] = {
    "1s": timedelta(seconds=1),
    "5s": timedelta(seconds=5),
    "15s": timedelta(seconds=15),
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "3m": timedelta(minutes=3),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "6h": timedelta(hours=6),
    "8h": timedelta(hours=8),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "1w": timedelta(weeks=1),
    "1mo": timedelta(days=30),
}
"""The intervals that charts show, and their lengths (a month's is about that)."""


def shown_interval(interval: str, first: datetime, last: datetime, most: int) -> str:
    """Return the finest round interval, not finer than the bars', that shows a span in at most ``most`` bars.

    Examples
    --------
    >>> day = datetime(2024, 1, 1)
    >>> shown_interval("1m", day, datetime(2024, 1, 2), 3000)
    '1m'
    >>> shown_interval("1m", day, datetime(2025, 12, 31), 3000)
    '6h'
    """
    span = last - first
    names = list(ROUND)
    for name in names[names.index(interval) :]:
        if span / ROUND[name] < most:
            return name
    return names[-1]


def merged_bars(bars: pl.LazyFrame, interval: str, shown: str) -> pl.LazyFrame:
    """Merge bars into those of a round interval: weeks from Mondays, months from their first day, in UTC.

    A merged bar opens where its first bar opens, closes where its last one closes, spans the lowest low and the
    highest high, and adds the volumes: the outline stays, whatever was merged.

    Parameters
    ----------
    bars
        ``open_time`` (UTC), ``open, high, low, close, volume``; one symbol's, in any order.
    interval, shown
        Of the bars, and of the result.

    Examples
    --------
    >>> minutes = pl.LazyFrame(
    ...     {
    ...         "open_time": [datetime(2024, 1, 1, 0, m) for m in range(4)],
    ...         "open": [1.0, 2.0, 3.0, 4.0],
    ...         "high": [2.0, 9.0, 4.0, 5.0],
    ...         "low": [0.5, 2.0, 3.0, 1.0],
    ...         "close": [2.0, 3.0, 4.0, 4.5],
    ...         "volume": [1.0, 1.0, 1.0, 1.0],
    ...     }
    ... )
    >>> merged_bars(minutes, "1m", "3m").drop("open_time").collect().rows()
    [(1.0, 9.0, 0.5, 4.0, 3.0), (4.0, 5.0, 1.0, 4.5, 1.0)]
    """
    rows = bars.select("open_time", "open", "high", "low", "close", "volume").sort("open_time")
    if shown == interval:
        return rows
    return rows.group_by_dynamic("open_time", every=shown, start_by="window").agg(
        pl.col("open").drop_nulls().first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").drop_nulls().last(),
        pl.col("volume").sum(),
    )


def on_grid(bars: pl.DataFrame, shown: str) -> pl.DataFrame:
    """Add a row of nulls for each bar that is missing between the first and the last, so that holes are seen."""
    if bars.height < 2:
        return bars
    first, last = bars["open_time"][0], bars["open_time"][-1]
    grid = pl.datetime_range(first, last, shown, eager=True).alias("open_time")
    times = pl.concat([bars["open_time"], grid.cast(bars["open_time"].dtype)]).unique().sort()
    return times.to_frame().join(bars, on="open_time", how="left", maintain_order="left")
