"""``depth``: which side of the book is the deeper one, within some percent of the price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(book="futures_um_book_depth", markets=("futures_cm",))
def depth(book: pl.LazyFrame) -> pl.LazyFrame:
    """Set the bids of each snapshot of the book against its asks, within each percentage of the price.

    ``imbalance = (bid_depth - ask_depth) / (bid_depth + ask_depth)``, from -1 (all asks) to 1 (all bids). The bids
    within 2 % are the published row of percentage -2, the asks that of 2; both add up all levels from the mid price
    on. Source: R. Cont, A. Kukanov, S. Stoikov, "The price impact of order book events" (2014), of which this is
    the ratio by queue sizes; the archive's ``bookDepth`` has it each half minute.

    A row is known one second after ``time``, which is published in whole seconds.

    Returns
    -------
    polars.LazyFrame
        ``time`` (UTC) of the snapshot; ``percentage``: 1 to 5, and 0.2 from January 2026 on; ``bid_depth`` and
        ``ask_depth``, in the base asset (coin-margined: contracts); ``bid_notional`` and ``ask_notional``, in the
        quote asset (coin-margined: the base asset); ``imbalance``,
        a fraction. A side that is not published is null, and so is ``imbalance`` then, or where both are 0.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> book = pl.LazyFrame(
    ...     {"percentage": [-1.0, 1.0], "depth": [3.0, 1.0], "notional": [30.0, 10.0]}
    ... )
    >>> book = book.with_columns(time=pl.lit(datetime(2024, 1, 1, tzinfo=UTC)))
    >>> depth(book).select("percentage", "bid_depth", "ask_depth", "imbalance").collect().row(0)
    (1.0, 3.0, 1.0, 0.5)
    """
    import polars as pl

    def of(side: pl.Expr, column: str) -> pl.Expr:
        return (
            pl.when(side).then(pl.col(column)).max()
        )  # the only one: no two rows share time and side

    bids, asks = pl.col("percentage") < 0, pl.col("percentage") > 0
    sides = book.group_by("time", within=pl.col("percentage").abs()).agg(
        bid_depth=of(bids, "depth"),
        ask_depth=of(asks, "depth"),
        bid_notional=of(bids, "notional"),
        ask_notional=of(asks, "notional"),
    )
    both = pl.col("bid_depth") + pl.col("ask_depth")
    return (
        sides.sort("time", "within")
        .rename({"within": "percentage"})
        .with_columns(
            imbalance=pl.when(both > 0).then((pl.col("bid_depth") - pl.col("ask_depth")) / both)
        )
    )
