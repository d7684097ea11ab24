"""Units of what charts draw: those of the schemas, in the assets that a symbol's name says."""

from __future__ import annotations

from cryptolake.archive.schemas import schema_of
from cryptolake.archive.symbols import split_symbol


def unit_of(market: str, data_type: str, symbol: str, column: str) -> str:
    """Return the unit of a column for a symbol; ``ratio`` where it has none.

    Examples
    --------
    >>> unit_of("spot", "klines", "ETHBTC", "close"), unit_of("spot", "klines", "ETHBTC", "volume")
    ('BTC', 'ETH')
    >>> unit_of("futures_cm", "klines", "BTCUSD_PERP", "volume")
    'contracts'
    >>> unit_of("futures_um", "premiumIndexKlines", "BTCUSDT", "close")
    'ratio'
    """
    unit = schema_of(market, data_type).column(column).unit
    name = split_symbol(market, symbol)
    if unit == "1":
        return "ratio"
    return {"quote asset": name.quote, "base asset": name.base}.get(unit) or unit
