"""``funding``, payments at the bar where they fall, and ``perp_returns``, what a perpetual's holder earned.

Both are in one module so that a change of how payments are placed makes both anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


_INTERVALS = ("1m", "3m", "5m", "15m", "30m")
"""Intervals beside the hour whose bars end at each hour: at most one payment falls at a bar's end, and none within."""


def payments_at(bars: pl.LazyFrame, rates: pl.LazyFrame, interval: str = "1h") -> pl.LazyFrame:
    """Add to bars, of an hour or an even part of it, the payment at each bar's end: ``funding_rate`` and ``funding_time``.

    A rate's time, up to 15 ms after the hour, is rounded to the hour. Bars between two payments have a rate of 0;
    bars of which the payment before says that one is due by now, and none is there, have null.
    """
    import polars as pl

    end = pl.col("open_time").dt.offset_by(interval)
    known = rates.select(
        paid=pl.col("time").dt.round("1h"),
        due=pl.col("time").dt.round("1h") + pl.duration(hours="funding_interval_hours"),
        rate="funding_rate",
        funding_time="time",
    ).sort("paid")
    joined = (
        bars.with_columns(end=end)
        .sort("end")
        .join_asof(known, left_on="end", right_on="paid", strategy="backward")
    )
    falls = pl.col("paid") == pl.col("end")
    between = pl.col("end") < pl.col("due")
    none = pl.when(between).then(0.0)
    return joined.with_columns(
        funding_rate=pl.when(falls).then(pl.col("rate")).otherwise(none),
        funding_time=pl.when(falls).then(pl.col("funding_time")),
    )


@recipe(
    bars="futures_um_klines:1h",
    rates="futures_um_funding_rate",
    after="1h",
    markets=("futures_cm",),
    intervals=_INTERVALS,
)
def funding(bars: pl.LazyFrame, rates: pl.LazyFrame, interval: str = "1h") -> pl.LazyFrame:
    """Give the funding of a perpetual at the bar that ends with it: who holds through the end pays it.

    ``funding_rate`` is the rate of the payment at the bar's end, paid by longs to shorts where positive, as a
    fraction of the position's value at the mark price. Source: Binance, "Introduction to Binance Futures Funding
    Rates": funding amount = nominal value of positions x funding rate, at 00:00, 08:00 and 16:00 UTC, or each
    four hours or hour. The archive stamps rates up to 15 ms after the hour: joined by equal times, more than half of
    a month's payments are lost. Here the time is rounded to the hour, and the payment belongs to the bar that ends
    there: USD-margined hours where the query names no market and interval. So the payment at the first instant of a month is in the last bar of the month before.

    A row is known at the later of the bar's end and ``funding_time``.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the contract's bars; ``funding_rate``, a fraction: 0 in bars at whose end
        nothing is paid, null where it is not known whether something was: before the first payment that is here,
        and where one was due by the interval of the payment before it and none is here (after a gap; where the
        interval just became longer, until the next payment; in the last bar of a month until the next month's
        file is in the lake); ``funding_time`` (UTC), when the rate was fixed, as published, null without a payment.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime, timedelta
    >>> midnight = datetime(2024, 1, 1, tzinfo=UTC)
    >>> opens = [midnight + timedelta(hours=hour) for hour in (6, 7, 8)]
    >>> paid = [midnight + timedelta(hours=8, milliseconds=3)]
    >>> rates = pl.LazyFrame(
    ...     {"time": paid, "funding_interval_hours": [8], "funding_rate": [0.0001]}
    ... )
    >>> funding(pl.LazyFrame({"open_time": opens}), rates).collect()["funding_rate"].to_list()
    [None, 0.0001, 0.0]
    """
    return payments_at(bars, rates, interval).select("open_time", "funding_rate", "funding_time")


@recipe(
    bars="futures_um_klines:1h",
    rates="futures_um_funding_rate",
    before="1h",
    after="1h",
    intervals=_INTERVALS,
)
def perp_returns(bars: pl.LazyFrame, rates: pl.LazyFrame, interval: str = "1h") -> pl.LazyFrame:
    """Split what a long of a USD-margined perpetual earned in each bar into price and funding.

    Of a position of one unit of the quote asset at the close of the bar before, held through the bar's end (bars are
    hours where the query names no interval):

    - ``price = close / previous close - 1``
    - ``funding = -funding_rate * close / previous close``: paid on the position's value at that instant
    - ``total = price + funding``; a short earned its negative

    Source: Binance, "Introduction to Binance Futures Funding Rates" (funding amount = nominal value of positions x
    funding rate). The nominal value is at the mark price; here the bar's own close takes its place. Fees are not
    included. Bars compound: ``(1 + total).cum_prod()`` is a position that is brought back to one times its equity
    at each close.

    A row is known at the later of the bar's end and ``funding_time``.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC); ``price``, ``funding`` and ``total``, fractions of the value at the bar's start;
        ``funding_time`` (UTC), as in ``funding``. ``price`` is null where the time before has no bar, ``funding``
        there too and where ``funding_rate`` is null, ``total`` where one of them is. Nothing is carried over a gap.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime, timedelta
    >>> midnight = datetime(2024, 1, 1, tzinfo=UTC)
    >>> opens = [midnight + timedelta(hours=hour) for hour in (-1, 6, 7)]
    >>> bars = pl.LazyFrame({"open_time": opens, "close": [100.0, 100.0, 101.0]})
    >>> rates = pl.LazyFrame(
    ...     {
    ...         "time": [midnight, midnight + timedelta(hours=8)],
    ...         "funding_interval_hours": [8, 8],
    ...         "funding_rate": [0.0002, 0.001],
    ...     }
    ... )
    >>> perp_returns(bars, rates).collect()["total"].round(5).to_list()
    [None, None, 0.00899]
    """
    import polars as pl

    placed = payments_at(bars, rates, interval)
    before = pl.col("open_time").dt.offset_by(f"-{interval}") == pl.col("open_time").shift(1)
    grown = pl.when(before).then(pl.col("close") / pl.col("close").shift(1))
    parts = placed.select(
        "open_time",
        price=grown - 1,
        funding=-pl.col("funding_rate") * grown,
        funding_time="funding_time",
    )
    total = pl.col("price") + pl.col("funding")
    return parts.select("open_time", "price", "funding", total.alias("total"), "funding_time")
