"""Trades and quotes as hftbacktest's event array."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptolake.archive.periods import parse_duration
from cryptolake.errors import InvalidQuery
from cryptolake.handoff.clocks import known_at
from cryptolake.handoff.rows import only_one, require, rows_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_USE = "handoff.hft_events"
_DEPTH, _TRADE = 1, 2
_BUY, _SELL = 1 << 29, 1 << 28
"""hftbacktest's numbers: what an event is, and its side."""
_DTYPE = [
    ("ev", "u8"),
    ("exch_ts", "i8"),
    ("local_ts", "i8"),
    ("px", "f8"),
    ("qty", "f8"),
    ("order_id", "u8"),
    ("ival", "i8"),
    ("fval", "f8"),
]


def hft_events(
    trades: pl.DataFrame | pl.LazyFrame | None = None,
    quotes: pl.DataFrame | pl.LazyFrame | None = None,
    *,
    latency: timedelta | str = "10ms",
) -> np.ndarray[Any, Any]:
    """Make hftbacktest's event array from trades, quotes or both.

    A trade is a TRADE event of the taker's side. A quote is a DEPTH event for the best level of each side, and
    one of quantity zero for the level that was the best before, if the price moved. bookDepth has no price
    levels (it sums over percent bands), so there is nothing in it for an order book.

    Parameters
    ----------
    trades
        Rows of trades or aggTrades (:meth:`cryptolake.Lake.frame`) of one symbol.
    quotes
        Rows of bookTicker of the same symbol.
    latency
        How long an event takes from the exchange to you: ``"500us"``, ``"10ms"``, a timedelta. **An
        assumption, not data**: the archive's files have no clock of a receiver. It is added to the time at
        which the row is known (``cl.known``), which is after ``event_time`` for quotes.

    Returns
    -------
    numpy.ndarray
        Structured as hftbacktest's ``event_dtype``, by ``exch_ts``, trades before quotes of the same time.
        Times are nanoseconds since 1970 UTC. Pass it through hftbacktest's own ``correct_event_order``, which
        sets the flags for exchange and receiver, and ``validate_event_order``. Keep a reference to the array
        that you give to ``BacktestAsset().data([...])``: hftbacktest reads its memory and does not keep it.

    Raises
    ------
    InvalidQuery
        Nothing is given, the rows are of several symbols or markets, or the latency is no length of time.
    SchemaMismatch
        The rows are not trades, or not bookTicker.
    MissingTool
        numpy is not installed.

    Examples
    --------
    >>> import cryptolake as cl
    >>> import polars as pl
    >>> rows = pl.DataFrame({"market": ["futures_um"], "symbol": ["BTCUSDT"], "price": [42283.5]})
    >>> rows = rows.with_columns(
    ...     quantity=0.5, is_buyer_maker=True, time=pl.datetime(2024, 1, 1, time_zone="UTC")
    ... )
    >>> events = cl.handoff.hft_events(trades=rows, latency="5ms")
    >>> int(events["local_ts"][0] - events["exch_ts"][0])
    6000000
    """
    np = require("numpy", _USE)
    delay = parse_duration(latency) // timedelta(microseconds=1) * 1_000
    if trades is None and quotes is None:
        message = f"{_USE} needs trades=, quotes= or both"
        raise InvalidQuery(message, use=_USE)
    rows = _events(trades, quotes, delay)
    made = np.zeros(rows.height, np.dtype(_DTYPE, align=True))
    for name in ("ev", "exch_ts", "local_ts", "px", "qty"):
        made[name] = rows[name].to_numpy()
    return made  # type: ignore[no-any-return]


def _events(
    trades: pl.DataFrame | pl.LazyFrame | None,
    quotes: pl.DataFrame | pl.LazyFrame | None,
    delay: int,
) -> pl.DataFrame:
    import polars as pl

    parts: list[pl.DataFrame] = []
    names: list[tuple[str, str]] = []
    for given, columns, events in (
        (trades, ("price", "quantity", "is_buyer_maker"), _trade_events),
        (quotes, ("best_bid_price", "best_bid_quantity", "best_ask_price", "best_ask_quantity"), _quote_events),
    ):  # fmt: skip
        if given is not None:
            rows = rows_of(
                given, _USE, ("market", "symbol", "time", *columns), ("market", "symbol")
            )
            names.append((str(rows["market"][0]), str(rows["symbol"][0])))
            parts.extend(events(_clocked(rows, delay)))
    only_one(_USE, "market", [market for market, _ in names])
    only_one(_USE, "symbol", [symbol for _, symbol in names])
    return pl.concat(parts).sort("exch_ts", "kind", "place", "step", maintain_order=True)


def _clocked(rows: pl.DataFrame, delay: int) -> pl.DataFrame:
    """Return rows in the order of the exchange, with its time and the receiver's: a feed overtakes itself never."""
    import polars as pl

    numbers = [name for name in ("trade_id", "agg_trade_id", "update_id") if name in rows.columns]
    rows = rows.sort("time", *numbers, maintain_order=True)
    received = known_at(rows).dt.timestamp("ns").cum_max() + delay
    return rows.with_columns(
        exch_ts=pl.col("time").dt.timestamp("ns"), local_ts=received
    ).with_row_index("place")


def _trade_events(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    import polars as pl

    side = pl.when("is_buyer_maker").then(_SELL).otherwise(_BUY)
    yield _shaped(rows, _TRADE | side, "price", pl.col("quantity"), kind=0, step=0)


def _quote_events(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    import polars as pl

    for side, flag in (("bid", _BUY), ("ask", _SELL)):
        price, event = f"best_{side}_price", pl.lit(_DEPTH | flag)
        there = rows.filter(pl.col(price) > 0).with_columns(old=pl.col(price).shift())
        left = there.filter(pl.col("old") != pl.col(price))
        yield _shaped(left, event, "old", pl.lit(0.0), kind=1, step=0)
        yield _shaped(there, event, price, pl.col(f"best_{side}_quantity"), kind=1, step=1)


def _shaped(
    rows: pl.DataFrame, event: pl.Expr, price: str, quantity: pl.Expr, *, kind: int, step: int
) -> pl.DataFrame:
    import polars as pl

    return rows.select(
        "exch_ts",
        "local_ts",
        "place",
        ev=event.cast(pl.UInt64),
        px=pl.col(price).cast(pl.Float64),
        qty=quantity.cast(pl.Float64),
        kind=pl.lit(kind, pl.UInt8),
        step=pl.lit(step, pl.UInt8),
    )
