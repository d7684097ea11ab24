"""``spread``: what the best bid and ask were, weighted by how long they stood, minute by minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl

_QUOTE = ("best_bid_price", "best_ask_price", "best_bid_quantity", "best_ask_quantity")


@recipe(book="futures_um_book_ticker", before="2m", markets=("futures_cm",))
def spread(book: pl.LazyFrame) -> pl.LazyFrame:
    """Give the best bid and ask of each minute, weighted by time, with their spread and imbalance.

    Each of ``bid``, ``ask``, ``bid_quantity`` and ``ask_quantity`` is ``sum(x * t) / sum(t)``, where ``t`` is how
    long a quote stood in the minute: from when it was known (1 ms after the later of ``time`` and ``event_time``)
    until the next one was. ``mid = (bid + ask) / 2``; ``spread = ask - bid``; ``relative_spread = spread / mid``;
    ``imbalance = (bid_quantity - ask_quantity) / (bid_quantity + ask_quantity)``. Source: J. Hasbrouck, "Empirical
    Market Microstructure" (2007), of which these are the time-weighted quoted spread and the order imbalance at
    the best prices.

    A row is known when its minute is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the minute; ``bid``, ``ask``, ``mid`` and ``spread``, in the quote asset;
        ``relative_spread``, a fraction; ``bid_quantity`` and ``ask_quantity``, in the base asset (coin-margined:
        contracts); ``imbalance``, a fraction, null where both quantities are 0; ``quotes``, that came in the minute; ``quoted``, the part of the
        minute in which a quote stood. The last quote of the minute before stands at the first of this one; older
        ones are not carried on, and a minute without quotes has no row.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> stamps = [datetime(2024, 1, 1, 0, 0, s, 999_000, tzinfo=UTC) for s in (29, 44)]
    >>> book = pl.LazyFrame(
    ...     {
    ...         "time": stamps,
    ...         "event_time": stamps,
    ...         "best_bid_price": [99.0, 97.0],
    ...         "best_ask_price": [101.0, 103.0],
    ...         "best_bid_quantity": [3.0, 3.0],
    ...         "best_ask_quantity": [1.0, 1.0],
    ...     }
    ... )
    >>> spread(book).select("mid", "spread", "imbalance", "quotes", "quoted").collect().row(0)
    (100.0, 4.0, 0.5, 2, 0.5)
    """
    import polars as pl

    from cryptolake.research.known import known

    at, minute = pl.col("at"), pl.col("at").dt.truncate("1m")
    end = minute.dt.offset_by("1m")
    until = pl.min_horizontal(at.shift(-1), end)
    quotes = book.select(*_QUOTE, at=known("futures_um", "bookTicker")).with_columns(
        open_time=minute, stood=_microseconds(until - at).clip(0)
    )
    minutes = quotes.group_by("open_time").agg(
        *((pl.col(name) * pl.col("stood")).sum() for name in _QUOTE),
        *(pl.col(name).last().alias(f"last_{name}") for name in _QUOTE),
        first=at.min(),
        stood=pl.col("stood").sum(),
        quotes=pl.len().cast(pl.Int64),
    )
    return _means(minutes.sort("open_time"))


def _means(minutes: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows of minutes: to each, the last quote of the minute before is added up to its first one."""
    import polars as pl

    opened = pl.col("open_time")
    follows = opened - opened.shift() == pl.duration(minutes=1)
    carried = pl.when(follows).then(_microseconds(pl.col("first") - opened)).otherwise(0)
    total = pl.col("stood") + pl.col("carried")
    bid, ask, bids, asks = (
        (pl.col(name) + pl.col(f"last_{name}").shift().fill_null(0) * pl.col("carried")) / total
        for name in _QUOTE
    )
    return (
        minutes.with_columns(carried=carried)
        .select(
            "open_time",
            bid=bid,
            ask=ask,
            mid=(bid + ask) / 2,
            spread=ask - bid,
            relative_spread=2 * (ask - bid) / (ask + bid),
            bid_quantity=bids,
            ask_quantity=asks,
            imbalance=pl.when(bids + asks > 0).then((bids - asks) / (bids + asks)),
            quotes="quotes",
            quoted=total / 60_000_000,
        )
        .filter(pl.col("quoted") > 0)
    )


def _microseconds(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds()
