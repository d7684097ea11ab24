"""``premium``: what a perpetual costs above or below its index, by the venue's own measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(index="futures_um_premium_index_klines:1h", markets=("futures_cm",), intervals="all")
def premium(index: pl.LazyFrame) -> pl.LazyFrame:
    """Give a perpetual's premium over its index at each bar's end, and its range in the bar.

    ``premium = (max(0, impact bid - index) - max(0, index - impact ask)) / index``, computed by Binance every five
    seconds: 0.001 is 0.1 % above the index. Impact prices are those at which a position of a given margin would be
    filled. Source: Binance, "Introduction to Binance Futures Funding Rates"; the values are the archive's premium
    index klines. Against spot's own trades, see ``basis``. The funding rate of an interval follows from its mean.

    A query's market and interval pick the contracts and the bars; without them, USD-margined ones by the hour. A row is
    known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC); ``premium``, the last value of the bar; ``premium_low`` and ``premium_high``, of the
        values in it, all fractions of the index; ``samples``, how many values there were. Premiums are null in a
        bar that has no sample and is 0 throughout, which is a bar that was filled in; bars that the archive does
        not have are left out.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> bars = pl.LazyFrame(
    ...     {
    ...         "open_time": [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)],
    ...         "high": [0.0009, 0.0],
    ...         "low": [0.0006, 0.0],
    ...         "close": [0.0008, 0.0],
    ...         "samples": [720, 0],
    ...     }
    ... )
    >>> premium(bars).collect()["premium"].to_list()
    [0.0008, None]
    """
    import polars as pl

    values = [pl.col(name) for name in ("high", "low", "close")]
    filled = (pl.col("samples") == 0) & pl.all_horizontal(value == 0 for value in values)
    premiums = {"premium": "close", "premium_low": "low", "premium_high": "high"}
    shown = {name: pl.when(~filled).then(pl.col(of)) for name, of in premiums.items()}
    return index.select("open_time", **shown, samples=pl.col("samples"))
