"""The words of the archive: markets, data types, intervals, partitions.

Members are spelled as Python names, values as the archive spells them (the options market's path is
``option``, its name here ``options``). Pure: no I/O, no third-party import.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum

from cryptolake.errors import InvalidQuery, unknown_word


class Market(StrEnum):
    """A market of the archive. The value is the word used in queries and in the lake."""

    SPOT = "spot"
    FUTURES_UM = "futures_um"
    FUTURES_CM = "futures_cm"
    OPTIONS = "options"


class DataType(StrEnum):
    """A data type, in the archive's own spelling."""

    KLINES = "klines"
    TRADES = "trades"
    AGG_TRADES = "aggTrades"
    FUNDING_RATE = "fundingRate"
    PREMIUM_INDEX_KLINES = "premiumIndexKlines"
    INDEX_PRICE_KLINES = "indexPriceKlines"
    MARK_PRICE_KLINES = "markPriceKlines"
    METRICS = "metrics"
    BOOK_DEPTH = "bookDepth"
    BOOK_TICKER = "bookTicker"
    LIQUIDATION_SNAPSHOT = "liquidationSnapshot"
    BVOL_INDEX = "BVOLIndex"
    EOH_SUMMARY = "EOHSummary"

    @property
    def snake(self) -> str:
        """The name in snake case, as SQL uses it.

        Examples
        --------
        >>> DataType.AGG_TRADES.snake, DataType.EOH_SUMMARY.snake, DataType.BVOL_INDEX.snake
        ('agg_trades', 'eoh_summary', 'bvol_index')
        """
        return self.name.lower()


DATA_TYPE_ALIASES = {"premiumIndex": DataType.PREMIUM_INDEX_KLINES}
"""Names other tools use for a data type, and what the archive calls it."""


class Interval(StrEnum):
    """A kline interval. ``1mo`` is the archive's path spelling; ``1M`` is accepted for it."""

    S1 = "1s"
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1mo"

    @property
    def length(self) -> timedelta | None:
        """The bar's length; None for ``1mo``, which has no fixed one.

        Examples
        --------
        >>> Interval("15m").length
        datetime.timedelta(seconds=900)
        >>> Interval("1mo").length is None
        True
        """
        match = re.fullmatch(r"(\d+)(s|m|h|d|w|mo)", self.value)
        if match is None or match[2] == "mo":
            return None
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
        return timedelta(**{unit: int(match[1])})


class Partition(StrEnum):
    """Which of the archive's two trees a file is in."""

    DAILY = "daily"
    MONTHLY = "monthly"


def _snake_words() -> dict[str, DataType]:
    return {data_type.snake: data_type for data_type in DataType}


def parse_market(word: str) -> Market:
    """Read a market word.

    Raises
    ------
    InvalidQuery
        The word is no market; the message names the nearest one.

    Examples
    --------
    >>> parse_market("futures_um")
    <Market.FUTURES_UM: 'futures_um'>
    """
    try:
        return Market(word)
    except ValueError:
        raise unknown_word("market", str(word), list(Market)) from None


def parse_data_type(word: str) -> DataType:
    """Read a data type: the archive's spelling, its snake case, or the alias ``premiumIndex``.

    Raises
    ------
    InvalidQuery
        The word is no data type; the message names the nearest one.

    Examples
    --------
    >>> parse_data_type("aggTrades") is parse_data_type("agg_trades")
    True
    >>> parse_data_type("premiumIndex")
    <DataType.PREMIUM_INDEX_KLINES: 'premiumIndexKlines'>
    """
    if word in DATA_TYPE_ALIASES:
        return DATA_TYPE_ALIASES[word]
    snake = _snake_words().get(word)
    if snake is not None:
        return snake
    try:
        return DataType(word)
    except ValueError:
        raise unknown_word("data type", str(word), list(DataType)) from None


def parse_interval(word: str) -> Interval:
    """Read an interval; ``1M`` is the month that the archive's paths call ``1mo``.

    Raises
    ------
    InvalidQuery
        The word is no interval; the message names the nearest one.

    Examples
    --------
    >>> parse_interval("1M"), parse_interval("1m")
    (<Interval.MO1: '1mo'>, <Interval.M1: '1m'>)
    """
    if word == "1M":
        return Interval.MO1
    try:
        return Interval(word)
    except ValueError:
        raise unknown_word("interval", str(word), list(Interval)) from None


def dataset_name(market: str, data_type: str) -> str:
    """Return the dataset's SQL name.

    Examples
    --------
    >>> dataset_name("futures_um", "aggTrades")
    'futures_um_agg_trades'
    """
    return f"{Market(market).value}_{DataType(data_type).snake}"


def parse_dataset(name: str) -> tuple[Market, DataType]:
    """Read a dataset's SQL name back into its market and data type.

    Examples
    --------
    >>> parse_dataset("futures_um_agg_trades")
    (<Market.FUTURES_UM: 'futures_um'>, <DataType.AGG_TRADES: 'aggTrades'>)
    """
    for market in Market:
        snake = name.removeprefix(f"{market.value}_")
        if snake != name and snake in _snake_words():
            return market, _snake_words()[snake]
    names = [dataset_name(m, d) for m in Market for d in DataType]
    raise unknown_word("dataset", name, names)


SYMBOL = re.compile(r"[^\s\x00-\x1f\x7f/\\'\"`;:,<>|&$%#(){}+=~^]{1,64}")
"""What a query takes for a symbol: a name, or a glob."""


def parse_symbol(word: object) -> str:
    """Read a symbol name or a glob (``*``, ``?``, ``[...]``), upper-cased.

    A name with white space, a quote, a slash or a shell character cannot be in the archive and is
    refused here, before it can reach a path or a command line.

    Raises
    ------
    InvalidQuery
        The word cannot be a symbol.

    Examples
    --------
    >>> parse_symbol("btcusdt"), parse_symbol("ETH*"), parse_symbol("BTCUSD_PERP")
    ('BTCUSDT', 'ETH*', 'BTCUSD_PERP')
    """
    if not isinstance(word, str) or not SYMBOL.fullmatch(word) or set(word) <= {"."}:
        message = (
            f"{word!r} cannot be a symbol: letters, digits, '_', '-', '.' and the glob signs "
            "'*', '?', '[...]' are allowed; write it as the archive does, e.g. 'BTCUSDT' or 'ETH*'."
        )
        raise InvalidQuery(message, what="symbol", given=word)
    return word.upper()
