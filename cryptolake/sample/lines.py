"""Which maker writes which data type, and the header each file has."""

from __future__ import annotations

import polars as pl

from cryptolake.periods import Days, Period
from cryptolake.sample import klines
from cryptolake.sample.bars import first_open, make_grid, make_klines, make_price_bars
from cryptolake.sample.instruments import Instrument
from cryptolake.sample.tape import DAY_US, Halt, make_tape, make_trades
from cryptolake.vocabulary import DataType, Interval, Market, Partition

_SAMPLED = (
    DataType.MARK_PRICE_KLINES,
    DataType.INDEX_PRICE_KLINES,
    DataType.PREMIUM_INDEX_KLINES,
)
_HEADERS = {
    DataType.KLINES: klines.KLINES_HEADER,
    DataType.AGG_TRADES: klines.AGG_TRADES_HEADER,
    **dict.fromkeys(_SAMPLED, klines.KLINES_HEADER),
}


def header_line(market: Market, data_type: DataType) -> bytes:
    """Return the header that a data type's files have where they have one.

    Examples
    --------
    >>> header_line(Market.FUTURES_UM, DataType.TRADES)
    b'id,price,qty,quote_qty,time,is_buyer_maker\\n'
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
        self._kept: tuple[object, pl.DataFrame] = (None, pl.DataFrame())

    def lines(
        self, data_type: DataType, instrument: Instrument, interval: Interval | None, days: Days
    ) -> pl.DataFrame:
        """Return a data type's lines in order: time (microseconds) and text.

        Bars belong to the day they open in; weeks and months may open before ``days`` begins.
        """
        if data_type is DataType.KLINES and interval is not None:
            halt = self.halts.get((instrument.market, instrument.symbol))
            grid = make_grid(days, interval, instrument, halt)
            if grid.is_empty():
                return _NOTHING
            trades = self._trades(instrument, _reach(days, interval))
            return klines.kline_lines(make_klines(trades, grid), instrument)
        if data_type in _SAMPLED and interval is not None:
            grid = make_grid(days, interval, instrument, None)
            if grid.is_empty():
                return _NOTHING
            bars = make_price_bars(instrument, data_type, grid, self.seed)
            return klines.price_bar_lines(bars, instrument)
        trades = self._trades(instrument, days)
        if data_type is DataType.TRADES:
            return klines.trade_lines(trades, instrument)
        return klines.agg_trade_lines(trades, instrument)

    def _trades(self, instrument: Instrument, days: Days) -> pl.DataFrame:
        wanted = (instrument, days)
        if self._kept[0] != wanted:
            halt = self.halts.get((instrument.market, instrument.symbol))
            tape = make_tape(instrument, days, self.seed, halt)
            self._kept = (wanted, make_trades(tape, instrument, self.seed))
        return self._kept[1]


_NOTHING = pl.DataFrame(schema={"time": pl.Int64, "text": pl.String})


def _reach(days: Days, interval: Interval) -> Days:
    """Return the days whose trades the bars need: from the day before the first bar."""
    begin = first_open(days, interval) // DAY_US - 1
    return Days(min(days.first, _day(begin)), days.last)


def _day(number: int):  # noqa
    from datetime import date, timedelta

    return date(1970, 1, 1) + timedelta(days=number)
