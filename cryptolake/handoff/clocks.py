"""When the rows of a frame are known: its columns say which data type they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def known_at(rows: pl.DataFrame) -> pl.Series:
    """Return when each row is known: ``cl.known`` of the frame's market, data type and interval.

    Parameters
    ----------
    rows
        Rows of one market: klines of one interval, trades, aggTrades or bookTicker.

    Examples
    --------
    >>> import polars as pl
    >>> row = {"market": ["futures_um"], "agg_trade_id": [7]}
    >>> rows = pl.DataFrame(row).with_columns(time=pl.datetime(2024, 1, 1, time_zone="UTC"))
    >>> known_at(rows)[0].isoformat()
    '2024-01-01T00:00:00.001000+00:00'
    """
    from cryptolake.research.known import known

    columns, interval = set(rows.columns), None
    if "open_time" in columns:
        data_type, interval = "klines", str(rows["interval"][0])
    elif "best_bid_price" in columns:
        data_type = "bookTicker"
    else:
        data_type = "aggTrades" if "agg_trade_id" in columns else "trades"
    return rows.select(known(str(rows["market"][0]), data_type, interval)).to_series()
