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
from cryptolake.plot.decimate import decimate_bars, decimate_values
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

    def candles(self, query: Query, *, bars: int = specs.BARS) -> Picture:
        """Draw price bars with their volume.

        Parameters
        ----------
        query
            One kline type. Where it selects several symbols or intervals the first is drawn, and the
            heading says so.
        bars
            The most bars to draw; longer ranges are merged, each bar with the first open, the last
            close, the highest high and the lowest low of what it stands for.

        Raises
        ------
        InvalidQuery
            The query's data type has no bars.
        NotPublished
            The lake has no Silver rows for the query.
        """
        _require_data_type(query, BARS, "candles")
        rows = self._lake.silver(query)
        series, number = _first_series(rows, ("market", "symbol", "interval"))
        merged = decimate_bars(_only(rows, series), bars)
        name = _name(series)
        count = f", the first of {number}" if number > 1 else ""
        return Picture(
            specs.candles(merged, name + count, _range(rows, "open_time")),
            f"candles of {name}{count}: {merged.height} bars",
        )

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
