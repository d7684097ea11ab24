"""``panel``: the klines of all symbols of a market in one file a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(bars="futures_um_klines:1h", each="market-month")
def panel(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the hourly klines of all USD-margined contracts as one file a month, by symbol and time.

    Nothing is computed: the rows are Silver's. What changes is how many files are opened for a cross-section: one
    a month instead of one a symbol and month, so a day of all symbols of a lake of 20,000 files is read in a
    hundredth of the time. Source: none, a layout. Other markets and intervals are a recipe of two lines::

        @cl.recipe(bars="spot_klines:1d", each="market-month")
        def spot_days(bars):
            return bars.drop("market", "interval")

    A row is known when its hour is over.

    Returns
    -------
    polars.LazyFrame
        ``symbol``, ``open_time`` (UTC), and the columns of klines: prices in the quote asset, ``volume`` in the base
        asset, ``quote_volume`` in the quote asset. Never null: an hour without a bar has no row, which ``lake.panel``
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
