"""What a query says, as frozen data, and whether its words agree. Pure.

The grammar over it is :class:`cryptolake.query.Query`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from cryptolake.archive.enums import DataType, Interval, Market, parse_symbol
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import Days
from cryptolake.errors import InvalidQuery

Contract = Literal["spot", "perpetual", "delivery", "index", "option"]
"""What a symbol is: a spot pair, a perpetual or dated future, an index, or an option underlying."""

CONTRACTS: tuple[Contract, ...] = ("spot", "perpetual", "delivery", "index", "option")


class Universe(BaseModel):
    """A rule that picks symbols: by quote asset, contract kind, day listed, and names left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quote: tuple[str, ...] = ()
    contract: tuple[Contract, ...] = ()
    exclude: tuple[str, ...] = ()
    listed_on: date | None = None


class Selection(BaseModel):
    """What a Query holds: plain words, in the order they were said, without repeats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    markets: tuple[Market, ...] = ()
    data_types: tuple[DataType, ...] = ()
    intervals: tuple[Interval, ...] = ()
    symbols: tuple[str, ...] = ()
    universe: Universe | None = None
    first: date | None = None
    last: date | None = None

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(parse_symbol(symbol) for symbol in symbols)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if (self.first is None) != (self.last is None):
            message = "a selection has both ends of its range or neither"
            raise ValueError(message)
        if self.first is not None and self.last is not None:
            Days(self.first, self.last)
        return self

    @property
    def days(self) -> Days | None:
        """The range asked for; None when it was not said."""
        return Days(self.first, self.last) if self.first and self.last else None

    def rows(self) -> list[Row]:
        """Return the matrix rows of every market and data type said that exist together."""
        matrix = load_matrix()
        pairs = ((market, data_type) for market in self.markets for data_type in self.data_types)
        return [matrix.row(*pair) for pair in pairs if pair in matrix]


def problems(said: Selection, today: date) -> Iterator[str]:
    """Yield everything that keeps a selection from being planned, as seen on a UTC day."""
    if not said.markets:
        yield f"say which markets: .markets({', '.join(repr(m.value) for m in Market)})"
    if not said.data_types:
        yield "say which data types: .klines('1m') or .data_types('aggTrades')"
    if not said.symbols and not said.universe:
        yield "say which symbols: .symbols('BTCUSDT', 'ETH*') or .universe(quote='USDT')"
    if not said.days:
        yield "say which days: .between('2024-01-01', '2024-03-31')"
    yield from _pair_problems(said)
    yield from _interval_problems(said)
    yield from _day_problems(said, today)


def _pair_problems(said: Selection) -> Iterator[str]:
    matrix = load_matrix()
    for market in said.markets:
        for data_type in said.data_types:
            if (market, data_type) not in matrix:
                try:
                    matrix.row(market, data_type)
                except InvalidQuery as error:
                    yield str(error).removesuffix(".")


def _interval_problems(said: Selection) -> Iterator[str]:
    rows = said.rows()
    with_interval = [row for row in rows if row.has_interval]
    if rows and said.intervals and not with_interval:
        names = ", ".join(_unique(rows))
        yield f"{names} has no interval: drop .intervals(...)"
    if with_interval and not said.intervals:
        names = ", ".join(_unique(with_interval))
        yield f"{names} needs an interval: .intervals('1m')"
    for row in with_interval:
        for interval in said.intervals:
            if interval not in row.all_intervals:
                have = [known.value for known in row.all_intervals]
                near = _nearest_interval(interval, row.all_intervals)
                yield (
                    f"{row.market.value} {row.data_type.value} has no interval {interval.value}; "
                    f"it has {', '.join(have)}; the nearest is {near.value}"
                )


def _nearest_interval(interval: Interval, known: tuple[Interval, ...]) -> Interval:
    order = list(Interval)
    return min(known, key=lambda other: abs(order.index(other) - order.index(interval)))


def _day_problems(said: Selection, today: date) -> Iterator[str]:
    days = said.days
    if not days:
        return
    if days.last > today:
        yield (
            f"{days.last} is in the future; the archive's newest day is at most the day before "
            f"{today} (UTC): end the range there"
        )
    matrix = load_matrix()
    first = min((row.first_date for row in said.rows()), default=matrix.first_date)
    if days.first < matrix.first_date:
        yield (
            f"{days.first} is before the archive's first month; begin at {matrix.first_date} or later"
        )
    elif days.last < first:
        names = ", ".join(row.dataset for row in said.rows())
        yield f"{names} begins at {first}, after the range {days.first} to {days.last}"


def _unique(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.data_type.value for row in rows))
