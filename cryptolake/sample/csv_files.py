"""Which maker writes which data type, and the header each file has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.periods import Days, Period
from cryptolake.sample import klines, other_types
from cryptolake.sample.klines import (
    first_open,
    make_grid,
    make_klines,
    make_price_bars,
    make_price_minutes,
)
from cryptolake.sample.market import DAY_US, Halt, make_tape, make_trades

if TYPE_CHECKING:
    from cryptolake.sample.instruments import Instrument

_SAMPLED = (
    DataType.MARK_PRICE_KLINES,
    DataType.INDEX_PRICE_KLINES,
    DataType.PREMIUM_INDEX_KLINES,
)
_HEADERS = {
    DataType.KLINES: klines.KLINES_HEADER,
    DataType.AGG_TRADES: klines.AGG_TRADES_HEADER,
    **dict.fromkeys(_SAMPLED, klines.KLINES_HEADER),
    **other_types.HEADERS,
}


def header_line(market: Market, data_type: DataType) -> bytes:
    r"""Return the header that a data type's files have where they have one.

    Examples
    --------
    >>> header_line(Market.FUTURES_UM, DataType.TRADES)
    b'id,price,qty,quote_qty,time,is_buyer_maker\n'
    """
    if data_type is DataType.TRADES:
        return f"{klines.trades_header(market)}\n".encode()
    return f"{_HEADERS[data_type]}\n".encode()


def header_of(market: Market, data_type: DataType, period: Period) -> bytes:
    """Return the header line of one file, empty where it has none."""
    sampled = data_type in _SAMPLED
    if sampled or data_type in (DataType.KLINES, DataType.TRADES, DataType.AGG_TRADES):
        monthly = period.partition is Partition.MONTHLY
        if not klines.has_header(market, period.first, monthly=monthly, sampled=sampled):
            return b""
    return header_line(market, data_type)


class Maker:
    """Make the lines of any file. Keeps the last symbol's trades, which several data types share."""

    def __init__(self, seed: int, halts: dict[tuple[Market, str], Halt] | None = None) -> None:
        self.seed = seed
        self.halts = halts or {}
        self._kept: dict[str, tuple[object, pl.DataFrame]] = {}

    def bars(
        self,
        data_type: DataType,
        instrument: Instrument,
        intervals: Sequence[Interval],
        days: Days,
    ) -> Iterator[tuple[Interval, pl.DataFrame]]:
        """Yield each interval's lines in order: time (microseconds, the open) and text.

        Bars belong to the day they open in; weeks and months may open before ``days`` begins.
        """
        if not intervals:
            return
        # From the day before the first bar, for the close that an empty first bar repeats.
        first = min(first_open(days, interval) for interval in intervals)
        reach = Days(min(days.first, _day_of(first)) - timedelta(days=1), days.last)
        for interval in intervals:
            yield interval, self._bars(data_type, instrument, interval, days, reach)

    def lines(self, data_type: DataType, instrument: Instrument, days: Days) -> pl.DataFrame:
        """Return the lines of a data type without intervals: time (microseconds) and text."""
        if data_type in (DataType.TRADES, DataType.AGG_TRADES):
            trades = self._trades(instrument, days)
            if data_type is DataType.TRADES:
                return klines.trade_lines(trades, instrument)
            return klines.agg_trade_lines(trades, instrument)
        return other_types.lines(data_type, instrument, days, self.seed)

    def _bars(
        self,
        data_type: DataType,
        instrument: Instrument,
        interval: Interval,
        days: Days,
        reach: Days,
    ) -> pl.DataFrame:
        traded = data_type is DataType.KLINES
        grid = make_grid(days, interval, instrument, self._halt(instrument) if traded else None)
        if grid.is_empty():
            return pl.DataFrame(schema={"time": pl.Int64, "text": pl.String})
        if traded:
            bars = make_klines(self._trades(instrument, reach), grid)
            return klines.kline_lines(bars, instrument)
        minutes = self._keep(
            "minutes",
            (instrument, data_type, reach),
            lambda: make_price_minutes(instrument, data_type, reach, self.seed),
        )
        return klines.price_bar_lines(make_price_bars(minutes, data_type, grid), instrument)

    def _trades(self, instrument: Instrument, days: Days) -> pl.DataFrame:
        def make() -> pl.DataFrame:
            tape = make_tape(instrument, days, self.seed, self._halt(instrument))
            return make_trades(tape, instrument, self.seed)

        return self._keep("trades", (instrument, days), make)

    def _halt(self, instrument: Instrument) -> Halt | None:
        return self.halts.get((instrument.market, instrument.symbol))

    def _keep(self, name: str, of: object, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        kept = self._kept.get(name)
        if kept is None or kept[0] != of:
            kept = (of, make())
            self._kept[name] = kept
        return kept[1]


def _day_of(time: int) -> date:
    return date(1970, 1, 1) + timedelta(days=time // DAY_US)
