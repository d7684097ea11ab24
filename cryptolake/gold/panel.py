"""``panel``: the klines of all symbols of a market in one file a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(
    bars="futures_um_klines:1h",
    each="market-month",
    markets=("spot", "futures_cm"),
    intervals="all",
)
def panel(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the klines of all symbols of a market as one file a month, by symbol and time.

    Nothing is computed: the rows are Silver's. What changes is how many files are opened for a cross-section: one
    a month instead of one a symbol and month, so a day of all symbols of a lake of 20,000 files is read in a
    hundredth of the time. Source: none, a layout. A query's market and interval pick the bars; without them, the
    hourly ones of USD-margined contracts::

        lake.gold("panel", cl.query().markets("spot").klines("1d").between("2024"))

    A row is known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``symbol``, ``open_time`` (UTC), and the columns of klines: prices in the quote asset, ``volume`` in the base
        asset, ``quote_volume`` in the quote asset (coin-margined: ``volume`` in contracts, ``base_volume`` in the
        base asset). Never null: a time without a bar has no row, which ``lake.panel``
        shows as null on the whole grid, with its cause.

    Examples
    --------
    >>> import polars as pl
    >>> from cryptolake.gold.recipes import input_schema, recipe_named
    >>> bars = pl.LazyFrame(schema=input_schema(recipe_named("panel").lead))
    >>> panel(bars).collect_schema().names()[:4]
    ['symbol', 'open_time', 'open', 'high']
    """
    return bars.drop("market", "interval")
