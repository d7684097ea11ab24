"""``flow``: which side took, minute by minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(bars="futures_um_klines:1m", markets=("spot",), intervals="all")
def flow(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Give a contract's signed volume and taker imbalance, bar by bar.

    ``signed_volume = taker_buy_volume - taker_sell_volume = 2 * taker_buy_volume - volume``, above 0 where buyers
    took more than sellers did; ``signed_quote_volume`` likewise; ``imbalance = signed_volume / volume``, from -1 to
    1. Source: T. Chordia, R. Roll, A. Subrahmanyam, "Order imbalance, liquidity, and market returns" (2002); who
    took is published, so no rule has to guess it. A query's market (spot too) and interval pick the bars; without
    them, the minutes of USD-margined contracts.

    A row is known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the bars; ``volume`` and ``signed_volume``, in the base asset;
        ``signed_quote_volume``, in the quote asset; ``imbalance``, a fraction, null where nothing traded;
        ``trades``. A bar that is not published has no row.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> bars = pl.LazyFrame(
    ...     {
    ...         "open_time": [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in (0, 1)],
    ...         "volume": [4.0, 0.0],
    ...         "quote_volume": [400.0, 0.0],
    ...         "taker_buy_volume": [3.0, 0.0],
    ...         "taker_buy_quote_volume": [301.0, 0.0],
    ...         "trades": [7, 0],
    ...     }
    ... )
    >>> flow(bars).select("signed_volume", "signed_quote_volume", "imbalance").collect().rows()
    [(2.0, 202.0, 0.5), (0.0, 0.0, None)]
    """
    import polars as pl

    signed = 2 * pl.col("taker_buy_volume") - pl.col("volume")
    return bars.select(
        "open_time",
        "volume",
        signed_volume=signed,
        signed_quote_volume=2 * pl.col("taker_buy_quote_volume") - pl.col("quote_volume"),
        imbalance=pl.when(pl.col("volume") > 0).then(signed / pl.col("volume")),
        trades="trades",
    )
