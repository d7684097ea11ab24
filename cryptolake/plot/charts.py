"""The charts of a lake.

Each chart reads Silver rows of a query, merges them to as many as the width can show
(:mod:`cryptolake.plot.decimate`), puts them into a specification (:mod:`cryptolake.plot.specs`), and returns
a Picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from cryptolake.errors import InvalidQuery, NotPublished
from cryptolake.plot import specs
from cryptolake.plot.candle_chart import (
    BarSeries,
    CandleChart,
    Overlay,
    close_overlay,
    ends_of,
    funding_overlay,
)
from cryptolake.plot.decimate import decimate_values
from cryptolake.plot.levels import ROUND
from cryptolake.render.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.query import Query

BARS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
"""Data types that have an open, a high, a low and a close."""

MAX_SERIES = 6
"""Symbols drawn as lines of one chart; more could not be distinguished."""


class SilverReader(Protocol):
    """What charts ask of a lake."""

    def silver(self, query: Query) -> pl.LazyFrame:
        """Return the Silver rows of a query."""


class Charts:
    """Charts of what the lake holds; nothing is fetched. Reached as ``lake.plot``.

    Parameters
    ----------
    lake
        The lake whose Silver is read.
    """

    def __init__(self, lake: SilverReader) -> None:
        self._lake = lake

    def __repr__(self) -> str:
        return f"<charts of {self._lake!r}: candles, coverage, funding, depth>"

    def candles(
        self, query: Query, *, bars: int = specs.BARS, funding: bool = False, mark: bool = False
    ) -> CandleChart:
        """Draw price bars with their volume: in a notebook a chart to zoom and read, elsewhere a picture.

        Parameters
        ----------
        query
            One kline type and any number of symbols, which a list in the chart chooses among. Of several intervals the
            finest is drawn.
        bars
            The most bars of the static picture; longer ranges are merged to a round interval, which the heading names.
        funding, mark
            Draw funding rates (in percent, in a pane of their own) and mark prices too, where the lake holds them for
            these days; ``chart.line(frame, "column")`` draws what you like.

        Returns
        -------
        CandleChart
            It shows itself; ``.save("chart.svg")``, ``.png()`` and ``.svg`` are its static form.

        Raises
        ------
        InvalidQuery
            The query's data type has no bars, or ``bars`` is less than 1.
        NotPublished
            The lake has no Silver rows for the query.

        Examples
        --------
        >>> import cryptolake as cl
        >>> asked = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
        >>> cl.Lake("/data/empty").plot.candles(asked)
        Traceback (most recent call last):
        ...
        cryptolake.errors.NotPublished: the lake has no Silver rows for this; lake.pull(query) fetches and builds them.
        """
        _require_data_type(query, BARS, "candles")
        if type(bars) is not int or bars < 1:
            message = f"bars is a whole number, 1 or more, not {bars!r}: lake.plot.candles(query, bars=420)."
            raise InvalidQuery(message, what="bars", given=bars)
        found = self._series(query)
        overlays: list[Overlay] = []
        for each in found if funding or mark else ():
            of = query.markets(each.market).symbols(each.symbol)
            if funding:
                rows = self._lake.silver(of.data_types("fundingRate").intervals())
                overlays.append(funding_overlay(rows, each.symbol))
            if mark:
                rows = self._lake.silver(of.data_types("markPriceKlines").intervals(each.interval))
                overlays.append(close_overlay(rows, each.symbol, "mark price"))
        return CandleChart(found, bars, overlays)

    def _series(self, query: Query) -> list[BarSeries]:
        """Return a query's series, the first interval of each symbol: finer ones stand first."""
        (data_type,) = (kind.value for kind in query.selection.data_types)
        rows = self._lake.silver(query)
        names = ("market", "symbol", "interval")
        keys = rows.select(pl.col(names).cast(pl.String)).unique().collect()
        order = {name: at for at, name in enumerate(ROUND)}
        found: dict[tuple[str, str], BarSeries] = {}
        for market, symbol, interval in sorted(
            keys.rows(), key=lambda key: (key[0], key[1], order[key[2]])
        ):
            of = dict(zip(names, (market, symbol, interval), strict=True))
            its = _only(rows, of)
            ends = ends_of(its)
            if ends is not None and (market, symbol) not in found:
                found[market, symbol] = BarSeries(market, data_type, symbol, interval, its, *ends)
        if not found:
            raise _nothing(query)
        return list(found.values())

    def funding(self, query: Query, *, steps: int = specs.STEPS) -> Picture:
        """Draw funding rates in percent, with the lowest and highest of each step.

        Parameters
        ----------
        query
            ``fundingRate`` of some symbols; the first six are drawn.
        steps
            The most points of each line.

        Raises
        ------
        InvalidQuery
            The query's data type is not ``fundingRate``.
        NotPublished
            The lake has no Silver rows for the query.
        """
        _require_data_type(query, ("fundingRate",), "funding")
        rows = self._lake.silver(query)
        symbols = _symbols(rows)
        shown = symbols[:MAX_SERIES]
        percent = rows.filter(pl.col("symbol").cast(pl.String).is_in(shown)).with_columns(
            pl.col("symbol").cast(pl.String), pl.col("funding_rate") * 100
        )
        merged = decimate_values(
            percent, "funding_rate", ["symbol"], max(1, steps // len(shown)), time="time"
        )
        count = (
            f" and {len(symbols) - len(shown)} more not drawn" if len(symbols) > len(shown) else ""
        )
        heading = f"Funding rate: {', '.join(shown)}{count}"
        return Picture(specs.funding(merged, heading, _range(rows, "time")), heading)

    def depth(self, query: Query, *, steps: int = specs.STEPS // 6) -> Picture:
        """Draw what rests in the book within 1 to 5 percent of the mid price: bids up, asks down.

        Parameters
        ----------
        query
            ``bookDepth``; of several symbols the first is drawn, and the heading says so.
        steps
            The most points of each level; each is the mean of its time.

        Raises
        ------
        InvalidQuery
            The query's data type is not ``bookDepth``.
        NotPublished
            The lake has no Silver rows for the query.
        """
        _require_data_type(query, ("bookDepth",), "depth")
        rows = self._lake.silver(query)
        series, number = _first_series(rows, ("market", "symbol"))
        levels = _only(rows, series).filter(
            pl.col("percentage").is_in([-5.0, -3.0, -1.0, 1.0, 3.0, 5.0])
        )
        merged = decimate_values(levels, "notional", ["percentage"], steps, time="time")
        count = f", the first of {number}" if number > 1 else ""
        heading = f"Book depth: {_name(series)}{count}"
        return Picture(specs.depth(merged, heading, _range(rows, "time")), heading)

    def coverage(self, query: Query) -> Picture:
        """Draw which months of each symbol Silver holds, as far as the query's days go.

        Raises
        ------
        NotPublished
            The lake has no Silver rows for the query.
        """
        rows = self._lake.silver(query)
        time = _time_column(rows)
        months = (
            rows.group_by(
                pl.col("symbol").cast(pl.String), pl.col(time).dt.truncate("1mo").alias("month")
            )
            .agg(pl.col(time).dt.date().n_unique().alias("days"))
            .with_columns(share=pl.col("days") / pl.col("month").dt.days_in_month())
            .sort("symbol", "month")
            .collect()
        )
        if months.is_empty():
            raise _nothing(query)
        return coverage_picture(months)


def coverage_picture(months: pl.DataFrame) -> Picture:
    """Draw ``symbol, month, share`` rows (share of the month's days, 0 to 1)."""
    symbols = months["symbol"].unique().sort().to_list()
    shown = symbols[: specs.SYMBOLS]
    more = f", and {len(symbols) - len(shown)} more" if len(symbols) > len(shown) else ""
    heading = f"Coverage: {len(shown)} symbol{'s' if len(shown) > 1 else ''}{more}"
    return Picture(specs.coverage(months, shown, heading), heading)


def _require_data_type(query: Query, kinds: Sequence[str], chart: str) -> None:
    given = [kind.value for kind in query.selection.data_types]
    if len(given) != 1 or given[0] not in kinds:
        message = (
            f"a chart of {chart} is drawn from one of {', '.join(kinds)}; "
            f"the query says {', '.join(given) or 'no data type'}."
        )
        raise InvalidQuery(message, what="data type", given=tuple(given), allowed=tuple(kinds))


def _first_series(rows: pl.LazyFrame, names: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Return the first series by name, and how many there are."""
    found = rows.select(pl.col(list(names)).cast(pl.String)).unique().sort(list(names)).collect()
    if found.is_empty():
        raise _nothing(None)
    return found.row(0, named=True), found.height


def _only(rows: pl.LazyFrame, series: dict[str, Any]) -> pl.LazyFrame:
    return rows.filter(
        *(pl.col(name).cast(pl.String).eq_missing(value) for name, value in series.items())
    )


def _symbols(rows: pl.LazyFrame) -> list[str]:
    names = rows.select(pl.col("symbol").cast(pl.String)).unique().collect()["symbol"].sort()
    if names.is_empty():
        raise _nothing(None)
    return names.to_list()


def _time_column(rows: pl.LazyFrame) -> str:
    schema = rows.collect_schema()
    return next(name for name, kind in schema.items() if isinstance(kind, pl.Datetime))


def _name(series: dict[str, Any]) -> str:
    tail = " ".join(str(series[name]) for name in ("interval", "market") if series.get(name))
    return f"{series['symbol']} {tail}"


def _range(rows: pl.LazyFrame, time: str) -> str:
    """Return the first and last time of the rows as text, before any are merged."""
    ends = rows.select(first=pl.col(time).min(), last=pl.col(time).max()).collect()
    first, last = ends.select(pl.all().dt.strftime("%Y-%m-%d %H:%M")).row(0)
    return f"{first} to {last} UTC"


def _nothing(query: Query | None) -> NotPublished:
    message = "the lake has no Silver rows for this; lake.pull(query) fetches and builds them."
    return NotPublished(message, query=query)
