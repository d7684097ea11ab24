"""``open_interest``: how much of a perpetual is held, at each hour's end, by what was known then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(
    bars="futures_um_klines:1h",
    metrics="futures_um_metrics",
    intervals=("5m", "15m", "30m", "2h", "4h", "6h", "8h", "12h", "1d"),
)
def open_interest(bars: pl.LazyFrame, metrics: pl.LazyFrame, interval: str = "1h") -> pl.LazyFrame:
    """Give a USD-margined contract's open interest at each bar's end: the newest that was known by then.

    Open interest is the number of contracts that are held, each counted once. ``snapshot_time`` is the stamp of the
    newest row of ``metrics`` whose five minutes are over by the bar's end: that of minute 55 of an hour. Joined by its
    stamp, a row would be used five minutes before it is known. ``snapshot_price = open_interest_value /
    open_interest``, the mark price at the snapshot. Source: Binance, "Open Interest Statistics"
    (``/futures/data/openInterestHist``, ``sumOpenInterest`` and ``sumOpenInterestValue``), of which the archive's
    ``metrics`` are the record.

    A query's interval picks the bars; without one, hours. A row is known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the contract's bars; ``open_interest``, in the base asset;
        ``open_interest_value``, in the quote asset; ``snapshot_price``, in the quote asset; ``snapshot_time`` (UTC),
        the stamp. Null where no row known within the bar is there, and where the archive published 0, which means no
        data: nothing is carried forward, from bar to bar or within one.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> bars = pl.LazyFrame({"open_time": [datetime(2024, 1, 1, tzinfo=UTC)]})
    >>> stamps = [datetime(2024, 1, 1, *at, tzinfo=UTC) for at in ((0, 50), (0, 55), (1, 0))]
    >>> metrics = pl.LazyFrame(
    ...     {
    ...         "time": stamps,
    ...         "open_interest": [10.0, 20.0, 30.0],
    ...         "open_interest_value": [1e5, 2e5, 3e5],
    ...     }
    ... )
    >>> open_interest(bars, metrics).collect()["open_interest"].to_list()
    [20.0]
    """
    import polars as pl

    from cryptolake.research.known import known

    over = known("futures_um", "metrics")
    newest = (
        metrics.with_columns(over=over)
        .sort("over")
        .select(
            "over",
            "open_interest",
            "open_interest_value",
            snapshot_price=pl.col("open_interest_value") / pl.col("open_interest"),
            snapshot_time="time",
        )
    )
    joined = (
        bars.select("open_time", end=pl.col("open_time").dt.offset_by(interval))
        .sort("end")
        .join_asof(newest, left_on="end", right_on="over", strategy="backward")
    )
    names = ("open_interest", "open_interest_value", "snapshot_price", "snapshot_time")
    recent = pl.col("over") > pl.col("open_time")
    return joined.select("open_time", *(pl.when(recent).then(name).alias(name) for name in names))
