"""The charts of a lake.

Each chart reads Silver rows of a query, merges them to as many as the width can show
(:mod:`cryptolake.plot.decimate`), puts them into a specification (:mod:`cryptolake.plot.specs`), and returns
a Picture.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from cryptolake.archive.symbols import is_glob
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
from cryptolake.plot.coverage import MOST_SERIES, WHO, DayStates, coverage_spec, day_states
from cryptolake.plot.decimate import broken, decimate_values
from cryptolake.plot.levels import ROUND
from cryptolake.plot.units import unit_of
from cryptolake.render.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptolake.archive.matrix import Row
    from cryptolake.query import Query

BARS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
"""Data types that have an open, a high, a low and a close."""

MAX_SERIES = 12
"""Symbols drawn as lines of one chart: more could not be read."""

LONG = ("3d", "1w", "1mo")
"""Intervals whose bars stand for more than a day."""


class LakeReader(Protocol):
    """What charts ask of a lake."""

    def silver(self, query: Query) -> pl.LazyFrame:
        """Return the Silver rows of a query."""

    def gaps(self, query: Query) -> pl.DataFrame:
        """Return what is missing of a query, with its causes."""


class Charts:
    """Charts of what the lake holds; no rows are fetched. Reached as ``lake.plot``.

    Each is a :class:`~cryptolake.render.picture.Picture`: it shows itself in a notebook, tells its numbers where the
    pointer is, and ``.save("chart.svg")``, ``.png()`` and ``.altair()`` take it elsewhere. Times are UTC.

    Parameters
    ----------
    lake
        The lake whose Silver is read.
    plain
        Gives a query with an open end its plain days.

    Examples
    --------
    >>> import cryptolake as cl
    >>> cl.Lake("/data/lake").plot
    <charts of Lake('/data/lake', archive='s3://data.binance.vision'): candles, coverage, funding, depth>
    """

    def __init__(self, lake: LakeReader, plain: Callable[[Query], Query]) -> None:
        self._lake = lake
        self._plain = plain

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
        _require_count("bars", bars, "lake.plot.candles(query, bars=420)")
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
        """Draw funding rates, in percent of the position for each payment.

        Up to six symbols are lines over one another, up to twelve are panels with one scale, and of more the heading says
        how many there are. Where payments are merged to a round interval, the line is their mean between the lowest and
        the highest, and the text below the heading says so. A line ends where payments are missing.

        Parameters
        ----------
        query
            ``fundingRate`` of some symbols.
        steps
            The most points of all lines together.

        Returns
        -------
        Picture
            It shows itself; ``.save("chart.svg")`` and ``.png()`` take it elsewhere.

        Raises
        ------
        InvalidQuery
            The query's data type is not ``fundingRate``, or ``steps`` is less than 1.
        NotPublished
            The lake has no Silver rows for the query.

        Examples
        --------
        >>> import cryptolake as cl
        >>> asked = cl.query().markets("futures_um").data_types("fundingRate").symbols("BTCUSDT")
        >>> cl.Lake("/data/empty").plot.funding(asked.between("2025-01"))
        Traceback (most recent call last):
        ...
        cryptolake.errors.NotPublished: the lake has no Silver rows for this; lake.pull(query) fetches and builds them.
        """
        _require_data_type(query, ("fundingRate",), "funding")
        _require_count("steps", steps, "lake.plot.funding(query, steps=1200)")
        rows = self._lake.silver(query)
        rates, names, count = _named(rows, query)
        percent = rates.select(
            pl.col("time").dt.round("1m"),  # it is published some milliseconds beside
            "series",
            "funding_interval_hours",
            value=pl.col("funding_rate") * 100,
        )
        most = max(1, steps // len(names))
        merged, drawn = decimate_values(percent, "value", ["series"], most, time="time")
        hours = percent.select(pl.col("funding_interval_hours").max()).collect().item() or 8
        longest = timedelta(hours=1.5 * hours)
        if merged:
            longest = max(longest, 1.5 * ROUND[merged])
        heading = f"Funding rate: {_listed(names, count)}"
        days = _merged_to(merged, _range(rows, "time"))
        spec = specs.lines(
            broken(drawn, ["series"], longest),
            heading,
            days,
            "funding rate, % a payment",
            step=not merged,
            merged=merged,
        )
        return Picture(spec, f"{heading}, {days}; {_in_words(drawn, '%')}")

    def depth(self, query: Query, *, steps: int = specs.STEPS // 6) -> Picture:
        """Draw what rests in the book within 1, 3 and 5 percent of the mid price: bids up, asks down.

        The unit is the quote asset's, of coin-margined contracts the base asset's. Where snapshots are merged to a round
        interval, each point is their mean, and the text below the heading says so.

        Parameters
        ----------
        query
            ``bookDepth``; of several symbols the first is drawn, and the heading says so.
        steps
            The most points of each level.

        Returns
        -------
        Picture
            It shows itself; ``.save("chart.svg")`` and ``.png()`` take it elsewhere.

        Raises
        ------
        InvalidQuery
            The query's data type is not ``bookDepth``, or ``steps`` is less than 1.
        NotPublished
            The lake has no Silver rows for the query.

        Examples
        --------
        >>> import cryptolake as cl
        >>> asked = cl.query().markets("futures_um").data_types("bookDepth").symbols("BTCUSDT")
        >>> cl.Lake("/data/empty").plot.depth(asked.between("2025-01-02"))
        Traceback (most recent call last):
        ...
        cryptolake.errors.NotPublished: the lake has no Silver rows for this; lake.pull(query) fetches and builds them.
        """
        _require_data_type(query, ("bookDepth",), "depth")
        _require_count("steps", steps, "lake.plot.depth(query, steps=200)")
        rows = self._lake.silver(query)
        series, number = _first_series(rows, ("market", "symbol"))
        levels = _only(rows, series).filter(
            pl.col("percentage").is_in([-5.0, -3.0, -1.0, 1.0, 3.0, 5.0])
        )
        merged, drawn = decimate_values(levels, "notional", ["percentage"], steps, time="time")
        longest = max(timedelta(minutes=5), 1.5 * ROUND[merged] if merged else timedelta(0))
        count = f", the first of {number} symbols" if number > 1 else ""
        heading = f"Book depth: {series['symbol']} {series['market']}{count}"
        days = _merged_to(merged, _range(_only(rows, series), "time"), band=False)
        unit = unit_of(series["market"], "bookDepth", series["symbol"], "notional")
        title = f"resting within 1, 3 and 5 % of the mid price, {unit}: bids above, asks below"
        spec = specs.depth(
            broken(drawn, ["percentage"], longest), heading, days, title, merged=merged
        )
        return Picture(spec, f"{heading}, {title}, {days}")

    def coverage(self, query: Query, *, causes: bool = True) -> Picture:
        """Draw which of the days asked for have rows, and why the others have none.

        A strip is a symbol of a dataset (market, data type and interval); at its end stands the share of the days asked
        for that have rows in Silver, counted with days that no file could have. Of more than 40 strips those that lack
        most are drawn. Many days are merged to weeks, months, quarters or years; half a strip's height marks one that
        lacks some of its days.

        Parameters
        ----------
        query
            Any data types; a symbol that is named and not held is a strip without rows.
        causes
            Whether to ask why days have no rows, as :meth:`cryptolake.Lake.gaps` does: of the archive's listing, where
            the lake has no copy. Without it nothing but the lake is read.

        Returns
        -------
        Picture
            It shows itself; ``.save("chart.svg")`` and ``.png()`` take it elsewhere.

        Raises
        ------
        NotPublished
            The lake has no Silver rows for the query.

        Examples
        --------
        >>> import cryptolake as cl
        >>> with cl.sample_lake() as lake:
        ...     asked = cl.query().markets("spot").klines("1d").symbols("BTCUSDT")
        ...     _ = lake.pull(asked.between("2025-01-01", "2025-01-03"), progress=False)
        ...     print(lake.plot.coverage(asked.between("2025-01-01", "2025-01-04")).note)
        Coverage of BTCUSDT: spot klines 1d 75 %, days with rows, of the 4 days asked for: 2025-01-01 to 2025-01-04 UTC
        """
        plain = self._plain(query)
        asked = plain.check().selection.days
        if asked is None:  # check() asks for them
            raise _nothing(query)
        parts = list(_by_dataset(plain))
        present = pl.concat(
            [
                self._days(part, row).filter(pl.col("day").is_between(*_ends(part)))
                for part, row in parts
            ]
        )
        if present.is_empty():
            raise _nothing(query)
        series = {*present.select(WHO).unique().iter_rows(), *_asked_by_name(parts)}
        found = day_states(sorted(series), present, None, asked.first, asked.last)
        if causes:
            gaps = self._gaps(parts, found)
            found = day_states(sorted(series), present, gaps, asked.first, asked.last)
        return Picture(*coverage_spec(found))

    def _days(self, part: Query, row: Row) -> pl.DataFrame:
        """Return the days that rows of one dataset stand for: ``dataset, symbol, day``."""
        interval = part.selection.intervals[0].value if row.has_interval else None
        first, last = _ends(part)
        before = timedelta(days=31 if interval in LONG else 0)
        rows = self._lake.silver(part.between(first - before, last))
        day = pl.col(_time_column(rows)).dt.date().alias("day")
        days = rows.select(pl.col("symbol").cast(pl.String), day).unique().collect()
        if interval in LONG:
            until = pl.col("day").dt.offset_by(interval).dt.offset_by("-1d")
            days = days.with_columns(day=pl.date_ranges("day", until)).explode("day")
        return days.select(pl.lit(_dataset(row, interval)).alias("dataset"), "symbol", "day")

    def _gaps(self, parts: Sequence[tuple[Query, Row]], found: DayStates) -> pl.DataFrame:
        """Return the gaps of the series that are drawn and lack days."""
        series = found.series.sort("share", *WHO).head(MOST_SERIES)
        lacking = series.filter(pl.col("share") < 1)
        told = [pl.DataFrame(schema=_GAPS)]
        for part, row in parts:
            interval = part.selection.intervals[0].value if row.has_interval else None
            name = _dataset(row, interval)
            symbols = lacking.filter(dataset=name)["symbol"].to_list()
            if symbols:
                gaps = self._lake.gaps(part.symbols(symbols)).with_columns(dataset=pl.lit(name))
                told.append(gaps.filter(~pl.col("healed")).select(list(_GAPS)))
        return pl.concat(told)


_GAPS: dict[str, Any] = {
    "dataset": pl.String,
    "symbol": pl.String,
    "first": pl.Datetime("us", "UTC"),
    "last": pl.Datetime("us", "UTC"),
    "bars": pl.Int64,
    "cause": pl.String,
}


def _ends(query: Query) -> tuple[Any, Any]:
    days = query.selection.days
    return (days.first, days.last) if days else (None, None)


def _by_dataset(query: Query) -> list[tuple[Query, Row]]:
    """Return a query's parts of one market, data type and interval each."""
    parts: list[tuple[Query, Row]] = []
    for row in query.selection.rows():
        one = query.markets(row.market).data_types(row.data_type)
        if not row.has_interval:
            parts.append((one.intervals(), row))
            continue
        intervals = [each for each in query.selection.intervals if each in row.all_intervals]
        parts += [(one.intervals(each), row) for each in intervals]
    return parts


def _dataset(row: Row, interval: str | None) -> str:
    return " ".join(part for part in (row.market.value, row.data_type.value, interval) if part)


def _asked_by_name(parts: Sequence[tuple[Query, Row]]) -> list[tuple[str, str]]:
    """Return the series that a query names: a glob names none."""
    return [
        (_dataset(row, part.selection.intervals[0].value if row.has_interval else None), symbol)
        for part, row in parts
        for symbol in part.selection.symbols
        if not is_glob(symbol)
    ]


def _require_data_type(query: Query, kinds: Sequence[str], chart: str) -> None:
    given = [kind.value for kind in query.selection.data_types]
    if len(given) != 1 or given[0] not in kinds:
        message = (
            f"a chart of {chart} is drawn from one of {', '.join(kinds)}; "
            f"the query says {', '.join(given) or 'no data type'}."
        )
        raise InvalidQuery(message, what="data type", given=tuple(given), allowed=tuple(kinds))


def _require_count(what: str, given: object, example: str) -> None:
    if type(given) is not int or given < 1:
        message = f"{what} is a whole number, 1 or more, not {given!r}: {example}."
        raise InvalidQuery(message, what=what, given=given)


def _named(rows: pl.LazyFrame, query: Query) -> tuple[pl.LazyFrame, list[str], int]:
    """Return the rows of the series that are drawn, with the name of each, the names, and how many there are."""
    keys = rows.select(pl.col("symbol", "market").cast(pl.String)).unique().collect()
    if keys.is_empty():
        raise _nothing(query)
    several = keys["market"].n_unique() > 1
    name = pl.concat_str("symbol", "market", separator=" ") if several else pl.col("symbol")
    keys = keys.with_columns(series=name).sort("series")
    shown = keys.head(MAX_SERIES)
    plain = rows.with_columns(pl.col("symbol", "market").cast(pl.String))
    drawn = plain.join(shown.lazy(), on=["symbol", "market"], how="inner")
    return drawn, shown["series"].to_list(), keys.height


def _listed(names: Sequence[str], count: int) -> str:
    """Return what is drawn, in as many words as a heading has room for."""
    if count > len(names):
        return f"the first {len(names)} of {count} symbols"
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} symbols"


def _merged_to(merged: str, days: str, *, band: bool = True) -> str:
    if not merged:
        return days
    return f"{days}; mean of each {merged}{', with the lowest and the highest' if band else ''}"


def _in_words(drawn: pl.DataFrame, unit: str) -> str:
    ends = drawn.select(pl.col("lowest").min(), pl.col("highest").max(), pl.col("mean").mean())
    low, high, mean = (f"{each:.4g} {unit}" for each in ends.row(0))
    return f"lowest {low}, highest {high}, mean {mean}"


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


def _time_column(rows: pl.LazyFrame) -> str:
    schema = rows.collect_schema()
    return next(name for name, kind in schema.items() if isinstance(kind, pl.Datetime))


def _range(rows: pl.LazyFrame, time: str) -> str:
    """Return the first and last time of the rows as text, before any are merged."""
    ends = rows.select(first=pl.col(time).min(), last=pl.col(time).max()).collect()
    first, last = ends.select(pl.all().dt.strftime("%Y-%m-%d %H:%M")).row(0)
    return f"{first} to {last} UTC"


def _nothing(query: Query | None) -> NotPublished:
    message = "the lake has no Silver rows for this; lake.pull(query) fetches and builds them."
    return NotPublished(message, query=query)
