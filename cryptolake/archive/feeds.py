"""The grammar of a recipe's input: ``"dataset:interval"``, as ``"futures_um_klines:1h"``. Pure."""

from __future__ import annotations

from typing import NamedTuple

from cryptolake.archive.enums import (
    DataType,
    Interval,
    Market,
    dataset_name,
    parse_dataset,
    parse_interval,
)
from cryptolake.archive.matrix import load_matrix
from cryptolake.errors import InvalidQuery, hint


class Feed(NamedTuple):
    """One dataset, at one interval where its type has intervals.

    Examples
    --------
    >>> feed = Feed.parse("futures_um_klines:1h")
    >>> feed.market.value, feed.interval.value, str(feed), str(Feed.parse("spot_trades"))
    ('futures_um', '1h', 'futures_um_klines:1h', 'spot_trades')
    """

    market: Market
    data_type: DataType
    interval: Interval | None

    @classmethod
    def parse(cls, text: str) -> Feed:
        """Read a dataset's SQL name, and ``:interval`` for the kline types and no others.

        Raises
        ------
        InvalidQuery
            An unknown dataset or interval, an interval that is missing, or one that the type does not have.

        Examples
        --------
        >>> Feed.parse("futures_um_klines")
        Traceback (most recent call last):
        ...
        cryptolake.errors.InvalidQuery: 'futures_um_klines' names no interval; write 'futures_um_klines:1h'. ...
        """
        name, colon, word = str(text).partition(":")
        market, data_type = parse_dataset(name)
        known = load_matrix().row(market, data_type).all_intervals
        words = ", ".join(level.value for level in known)
        if not known and colon:
            message = f"{name} has no intervals; write {name!r}."
        elif known and not word:
            message = f"{text!r} names no interval; write '{name}:1h'. Choose from: {words}."
        else:
            interval = parse_interval(word) if word else None
            if interval is None or interval in known:
                return cls(market, data_type, interval)
            told = hint(word, [level.value for level in known])
            message = f"{name} has no interval {word!r}{told} Choose from: {words}."
        raise InvalidQuery(message, what="input", given=text)

    def __str__(self) -> str:
        name = dataset_name(self.market, self.data_type)
        return name if self.interval is None else f"{name}:{self.interval.value}"
