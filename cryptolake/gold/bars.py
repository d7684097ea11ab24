"""``tick_bars``, ``volume_bars`` and ``dollar_bars``: bars that close after so much trading, not so much time.

A bar's size is a parameter of the function. The registered recipes have its default; another size is a recipe of
one line (:func:`tick_bars` shows it). The lake calls them with a month of trades, so bars restart each UTC month.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cryptolake.errors import InvalidQuery
from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl

_SLACK = 1e-9
"""The part of a bar's size that is the rounding of a sum: 0.1 + 0.2 does reach 0.3, and 0.7 + 0.1 reaches 0.8."""

_PART = 131_072
"""Trades that are held at once."""

_COLUMNS = (
    *("open_time", "close_time", "open", "high", "low", "close"),
    *("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"),
)


@recipe(trades="futures_um_trades", markets=("spot",))
def tick_bars(trades: pl.LazyFrame, size: int = 1_000) -> pl.LazyFrame:
    """Make bars of a number of trades each: 1,000, or ``size``.

    Trade ``n`` of the month, counted from 0, is in bar ``n // size``. Source: M. Lopez de Prado, "Advances in
    Financial Machine Learning" (2018), 2.3.1, "Tick bars". A bar is known 1 ms after ``close_time``, the partial
    one when its month is over.

    Parameters
    ----------
    trades
        Trades of one symbol and month, in order. Aggregated ones do with ``quote_quantity = price * quantity``
        added (spot and USD-margined): one of them is one tick then.
    size
        Trades a bar.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` and ``close_time`` (UTC), of the first and last trade; ``open``, ``high``, ``low`` and
        ``close``, in the quote asset; ``volume`` (base asset), ``quote_volume`` (quote asset), ``trades``;
        ``taker_buy_volume`` and ``taker_buy_quote_volume``, where the buyer took; ``partial``: the month ended
        before the bar was full. Nothing is null.

    Raises
    ------
    InvalidQuery
        ``size`` is not above 0.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> trades = pl.LazyFrame(
    ...     {
    ...         "time": [datetime(2024, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(5)],
    ...         "price": [10.0, 12.0, 11.0, 13.0, 9.0],
    ...         "quantity": [1.0, 2.0, 1.0, 4.0, 1.0],
    ...         "quote_quantity": [10.0, 24.0, 11.0, 52.0, 9.0],
    ...         "is_buyer_maker": [False, True, False, False, True],
    ...     }
    ... )
    >>> tick_bars(trades, 2).select("open", "close", "volume", "partial").collect().rows()
    [(10.0, 12.0, 3.0, False), (11.0, 13.0, 5.0, False), (9.0, 9.0, 1.0, True)]

    Bars of spot are those of a query that names it; of another size, a recipe of one's own, whose ``version`` is
    raised with this function's:

    >>> import cryptolake as cl
    >>> @cl.recipe(trades="spot_trades")
    ... def spot_ticks(trades):
    ...     return tick_bars(trades, 500)
    """
    import polars as pl

    return _bars(trades, pl.lit(1.0), size)


@recipe(trades="futures_um_trades", markets=("spot",))
def volume_bars(trades: pl.LazyFrame, size: float = 100.0) -> pl.LazyFrame:
    """Make bars of a volume each: 100 of the base asset, or ``size``.

    A trade is in bar ``floor(v / size)``, where ``v`` is the month's volume before it: a bar closes with the trade
    that reaches the next multiple of ``size``, and what that trade has beyond it counts towards the next bar. A
    trade is never split, and one above ``size`` is a bar alone or the end of one. Sums are compared to a billionth
    of ``size``. Source: as of :func:`tick_bars`, 2.3.1, "Volume bars". Known as those of :func:`tick_bars` are.

    Parameters
    ----------
    trades
        As of :func:`tick_bars`.
    size
        Base asset a bar. 100 suits BTC; another coin takes a recipe of its own.

    Returns
    -------
    polars.LazyFrame
        The columns of :func:`tick_bars`.

    Raises
    ------
    InvalidQuery
        ``size`` is not above 0.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> trades = pl.LazyFrame(
    ...     {
    ...         "time": [datetime(2024, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(4)],
    ...         "price": [10.0] * 4,
    ...         "quantity": [0.1, 0.2, 0.5, 0.1],
    ...         "quote_quantity": [1.0, 2.0, 5.0, 1.0],
    ...         "is_buyer_maker": [False] * 4,
    ...     }
    ... )
    >>> volume_bars(trades, 0.3).select("trades", "partial").collect().rows()
    [(2, False), (1, False), (1, False)]
    """
    import polars as pl

    return _bars(trades, pl.col("quantity"), size)


@recipe(trades="futures_um_trades", markets=("spot",))
def dollar_bars(trades: pl.LazyFrame, size: float = 1_000_000.0) -> pl.LazyFrame:
    """Make bars of a quote volume each: 1,000,000 of the quote asset, or ``size``.

    As :func:`volume_bars`, of ``quote_quantity``. Source: as of :func:`tick_bars`, 2.3.1, "Dollar bars". Known as
    those of :func:`tick_bars` are.

    Parameters
    ----------
    trades
        As of :func:`tick_bars`.
    size
        Quote asset a bar.

    Returns
    -------
    polars.LazyFrame
        The columns of :func:`tick_bars`.

    Raises
    ------
    InvalidQuery
        ``size`` is not above 0.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> trades = pl.LazyFrame(
    ...     {
    ...         "time": [datetime(2024, 1, 1, 0, 0, s, tzinfo=UTC) for s in range(3)],
    ...         "price": [10.0, 20.0, 10.0],
    ...         "quantity": [4.0, 4.0, 1.0],
    ...         "quote_quantity": [40.0, 80.0, 10.0],
    ...         "is_buyer_maker": [False] * 3,
    ...     }
    ... )
    >>> dollar_bars(trades, 100).select("trades", "quote_volume", "partial").collect().rows()
    [(2, 120.0, False), (1, 10.0, True)]
    """
    import polars as pl

    return _bars(trades, pl.col("quote_quantity"), size)


def _bars(trades: pl.LazyFrame, amount: pl.Expr, size: float) -> pl.LazyFrame:
    """Return the bars of trades in order: each closes with the trade that reaches the next multiple of a size.

    Trades are read some at a time when the bars are collected, so a month of any length takes the same memory: the
    running sum and the bar that is still open are what goes from one part to the next.
    """
    from polars.io.plugins import register_io_source

    if not size > 0:
        message = f"a bar's size is above 0; {size!r} is not."
        raise InvalidQuery(message, what="size", given=size)
    rows = trades.select(
        "time", "price", "quantity", "quote_quantity", "is_buyer_maker", amount=amount
    )

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG001  # parts are cut by trades, so that sums are the same each time
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for bars in _in_parts(rows, size):
            found = bars if predicate is None else bars.filter(predicate)
            found = found if left is None else found.head(left)
            yield found if with_columns is None else found.select(with_columns)
            if left is not None:
                left -= found.height
                if left == 0:
                    return

    def schema() -> pl.Schema:
        return _closed(_part(rows.collect_schema().to_frame(), 0.0, size), size).schema

    return register_io_source(read, schema=schema)


def _in_parts(rows: pl.LazyFrame, size: float) -> Iterator[pl.DataFrame]:
    """Yield bars as trades come: those that later trades cannot change, and at the end the last one."""
    import polars as pl

    reached, bars = 0.0, None
    for part in rows.collect_batches(chunk_size=_PART, lazy=True):
        made = _part(part, reached, size)
        bars = made if bars is None else _joined(pl.concat([bars, made]))
        reached = bars["reached"][-1]
        yield _closed(bars[:-1], size)
        bars = bars[-1:]
    if bars is not None:
        yield _closed(bars, size)


def _part(trades: pl.DataFrame, reached: float, size: float) -> pl.DataFrame:
    """Return the bars of a part of the trades, the first and last of which may be parts themselves."""
    import polars as pl

    taken = (~pl.col("is_buyer_maker")).cast(pl.Float64)
    # The sum so far is added first, not last: the same rounding as of one sum over all trades.
    sums = pl.concat([pl.Series([reached]), trades["amount"]]).cum_sum()
    bar = (sums[:-1] / size + _SLACK).floor().cast(pl.Int64).set_sorted()
    numbered = trades.with_columns(bar=bar, reached=sums[1:])
    return numbered.group_by("bar", maintain_order=True).agg(
        open_time=pl.col("time").first(),
        close_time=pl.col("time").last(),
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.col("quantity").sum(),
        quote_volume=pl.col("quote_quantity").sum(),
        trades=pl.len().cast(pl.Int64),
        taker_buy_volume=(pl.col("quantity") * taken).sum(),
        taker_buy_quote_volume=(pl.col("quote_quantity") * taken).sum(),
        reached=pl.col("reached").last(),
    )


def _joined(bars: pl.DataFrame) -> pl.DataFrame:
    """Make one of the parts of a bar, which follow each other."""
    import polars as pl

    first, last = ("open_time", "open"), ("close_time", "close", "reached")
    sums = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
    parts = bars.group_by("bar", maintain_order=True)
    return parts.agg(
        pl.col(*first).first(),
        pl.col(*last).last(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col(*sums).sum(),
    ).select(bars.columns)


def _closed(bars: pl.DataFrame, size: float) -> pl.DataFrame:
    """Return the rows of bars that nothing is added to any more."""
    import polars as pl

    full = (pl.col("reached") / size + _SLACK).floor() > pl.col("bar")
    return bars.select(*_COLUMNS, partial=~full)
