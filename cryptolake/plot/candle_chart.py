"""A candle chart: a picture where nothing can be touched, and in a notebook a chart that asks for what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from cryptolake.errors import InvalidQuery
from cryptolake.plot import live, specs
from cryptolake.plot.levels import ROUND, merged_bars, on_grid, shown_interval
from cryptolake.plot.units import unit_of
from cryptolake.render.html import plural
from cryptolake.render.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

VALUES = {
    "klines": "price",
    "markPriceKlines": "mark price",
    "indexPriceKlines": "index price",
    "premiumIndexKlines": "premium index",
}
"""What the bars of a data type are of."""

MOST = 3000
"""Bars that a view gets at a time."""


@dataclass(frozen=True)
class BarSeries:
    """The bars of one symbol, and what they are."""

    market: str
    data_type: str
    symbol: str
    interval: str
    rows: pl.LazyFrame
    first: datetime
    last: datetime

    @property
    def name(self) -> str:
        """What the bars are, in words."""
        return f"{self.symbol} {self.market} {self.data_type} {self.interval}"

    def unit(self, column: str) -> str:
        """Return the unit of a column."""
        return unit_of(self.market, self.data_type, self.symbol, column)

    def level(
        self, since: datetime, until: datetime, most: int | None = None
    ) -> tuple[str, pl.DataFrame]:
        """Return the round interval that shows a span in ``most`` bars (3,000), and the bars that open in it."""
        shown = shown_interval(self.interval, since, until, most or MOST)
        asked = self.rows.filter(pl.col("open_time").is_between(since, until))
        return shown, merged_bars(asked, self.interval, shown).collect()

    def shown_as(self, shown: str) -> str:
        """Say at which interval the bars are shown, where that is not their own."""
        return self.interval if shown == self.interval else f"{self.interval}, shown as {shown}"


@dataclass(frozen=True)
class Overlay:
    """Values over time that are drawn with the bars of one symbol: ``time`` and ``value`` rows."""

    name: str
    rows: pl.LazyFrame
    symbol: str | None
    apart: bool = False
    """Whether it has a pane of its own: its unit is another than the price's."""

    def level(self, since: datetime, until: datetime, shown: str) -> pl.DataFrame:
        """Return the last value of each shown interval."""
        asked = self.rows.filter(pl.col("time").is_between(since, until)).sort("time")
        asked = asked.with_columns(pl.col("time").dt.truncate(shown))
        return asked.group_by("time", maintain_order=True).agg(pl.col("value").last()).collect()


class CandleChart(Picture):
    """Candles with their volume.

    In a notebook it can be zoomed, moved and read at the crosshair, by mouse or keys (arrows, ``+``, ``-``, ``0``); at
    most 3,000 bars are in the page, and finer ones are asked of the lake as one zooms in. Its static form is what
    :meth:`save`, ``svg`` and :meth:`png` give, and what is shown where no kernel answers.

    Parameters
    ----------
    series
        One symbol's bars each, at least one; the page has a list to choose from where there are several. The static
        form draws the first.
    bars
        The most bars of the static form.
    overlays
        What is drawn with them.

    Examples
    --------
    >>> import cryptolake as cl, polars as pl
    >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
    >>> with cl.sample_lake() as lake:
    ...     average = lake.frame(query).with_columns(average=pl.col("close").rolling_mean(24))
    ...     chart = lake.plot.candles(query).line(average, "average")
    ...     view = chart.view(0, None, None)
    >>> [line.name for line in chart.overlays("BTCUSDT")], view.shown, view.bars.height
    (['average'], '1h', 744)
    """

    def __init__(
        self, series: Sequence[BarSeries], bars: int = specs.BARS, overlays: Sequence[Overlay] = ()
    ) -> None:
        first = series[0]
        shown, drawn = first.level(first.first, first.last, bars)
        count = f", the first of {len(series)}" if len(series) > 1 else ""
        heading = f"{first.symbol} {first.market} {first.data_type}, {first.shown_as(shown)}{count}"
        ends = f"{first.first:%Y-%m-%d %H:%M} to {first.last:%Y-%m-%d %H:%M} UTC"
        value = f"{VALUES[first.data_type]}, {first.unit('close')}"
        volume = f"volume, {first.unit('volume')}"
        over = [each for each in overlays if each.symbol in (None, first.symbol)]
        step = ROUND[shown]
        lines = [
            specs.DrawnLine(
                each.name, each.apart, each.level(first.first - step, first.last + step, shown)
            )
            for each in over
        ]
        spec = specs.candles(drawn, heading, ends, value, volume, shown=shown, lines=lines)
        super().__init__(spec, f"candles of {heading}: {_in_words(drawn, value)}, {ends}")
        self._series = tuple(series)
        self._bars = bars
        self._overlays = tuple(overlays)

    @property
    def series(self) -> tuple[BarSeries, ...]:
        """The symbols that can be shown."""
        return self._series

    def line(
        self, rows: pl.DataFrame | pl.LazyFrame, value: str, *, name: str | None = None
    ) -> Self:
        """Return the chart with a line of the user's: an average, an entry price, an equity curve.

        Parameters
        ----------
        rows
            A UTC time (the first column of that type) and ``value``; a ``symbol`` column where the line is of one
            symbol each.
        value
            The column to draw, in the unit of the price.
        name
            Its name in the legend; the column's when left out.

        Returns
        -------
        CandleChart
            A new chart; this one stays as it is.

        Raises
        ------
        InvalidQuery
            There is no such column, or none of a time.

        Examples
        --------
        See :class:`CandleChart`.
        """
        frame = rows.lazy()
        schema = frame.collect_schema()
        times = [column for column, kind in schema.items() if isinstance(kind, pl.Datetime)]
        if value not in schema or not times:
            message = f"a line needs a time and {value!r}; these rows have {', '.join(schema)}."
            raise InvalidQuery(message, given=value, allowed=tuple(schema))
        zone = getattr(schema[times[0]], "time_zone", None)
        time = pl.col(times[0]).dt
        time = time.convert_time_zone("UTC").dt if zone else time.replace_time_zone("UTC").dt
        drawn = {"time": time.cast_time_unit("us"), "value": pl.col(value).cast(pl.Float64)}
        label = name or value
        if "symbol" not in schema:
            return self._with(Overlay(label, frame.select(**drawn), None))
        symbol = pl.col("symbol").cast(pl.String)
        of = [one.symbol for one in self._series]
        return self._with(
            *(Overlay(label, frame.filter(symbol == each).select(**drawn), each) for each in of)
        )

    def _with(self, *overlays: Overlay) -> Self:
        return type(self)(self._series, self._bars, (*self._overlays, *overlays))

    def overlays(self, symbol: str) -> list[Overlay]:
        """Return what is drawn with a symbol's bars.

        Parameters
        ----------
        symbol
            One of the chart's.

        Returns
        -------
        list of Overlay
            Lines of this symbol, and those of all.

        Examples
        --------
        See :class:`CandleChart`.
        """
        return [each for each in self._overlays if each.symbol in (None, symbol)]

    def view(self, at: int, since: float | None, until: float | None) -> ChartView:
        """Return what a page shows of a series between two times.

        Parameters
        ----------
        at
            The place of the series in ``series``.
        since, until
            Seconds since 1970 UTC, both ends in; None: from its first bar, to its last.

        Returns
        -------
        ChartView
            ``bars`` at the level of detail ``shown``, with a row of nulls for each that is missing, and the ``lines``.

        Raises
        ------
        InvalidQuery
            There is no such series, or no such time.

        Examples
        --------
        See :class:`CandleChart`.
        """
        if not 0 <= at < len(self._series):
            message = f"there is no series {at}: the chart has {plural(len(self._series), 'series', 'series')}, from 0."
            raise InvalidQuery(message, given=at)
        series = self._series[at]
        first = series.first if since is None else max(_time(since), series.first)
        last = series.last if until is None else min(_time(until), series.last)
        last = max(first, last)
        shown, bars = series.level(first, last)
        step = ROUND[shown]
        with_lines = [
            (each, each.level(first - step, last + step, shown))
            for each in self.overlays(series.symbol)
        ]
        return ChartView(series, shown, on_grid(bars, shown), with_lines)

    def _repr_mimebundle_(self, **_: Any) -> live.Bundle:
        """Return the live view where a kernel answers one, and the picture for where none does."""
        static = {"text/html": self._repr_html_(), "text/plain": repr(self)}
        return live.bundle(static, self._widget)

    def _display_(self) -> Any:
        """Return what marimo shows."""
        return live.for_marimo(self._repr_html_(), self._widget)

    def _widget(self) -> Any:
        from cryptolake.plot.chart_widget import ChartWidget

        return ChartWidget(self)


@dataclass(frozen=True)
class ChartView:
    """Bars at one level of detail, with a row of nulls for each that is missing, and the lines beside them."""

    series: BarSeries
    shown: str
    bars: pl.DataFrame
    lines: list[tuple[Overlay, pl.DataFrame]]


def ends_of(rows: pl.LazyFrame) -> tuple[datetime, datetime] | None:
    """Return the first and last time of bars; None where there are none."""
    ends = rows.select(first=pl.col("open_time").min(), last=pl.col("open_time").max()).collect()
    first, last = ends.row(0)
    return None if first is None else (first, last)


def _in_words(bars: pl.DataFrame, value: str) -> str:
    """Return what a picture of bars shows, for who does not see it."""
    count = plural(bars.height, "bar")
    ends = bars.select(
        pl.col("open").drop_nulls().first(),
        pl.col("close").drop_nulls().last(),
        pl.col("low").min(),
        pl.col("high").max(),
    ).row(0)
    if None in ends:
        return count
    first, last, low, high = (f"{each:.8g}" for each in ends)
    return f"{count}, {value} from {first} to {last}, lowest {low}, highest {high}"


def _time(seconds: float) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError):
        message = f"{seconds!r} is no time: seconds since 1970, of the years 1 to 9999."
        raise InvalidQuery(message, given=seconds) from None


def funding_overlay(rows: pl.LazyFrame, symbol: str) -> Overlay:
    """Return funding rates in percent, in a pane of their own."""
    of = rows.filter(pl.col("symbol").cast(pl.String) == symbol)
    drawn = of.select("time", value=pl.col("funding_rate") * 100)
    return Overlay("funding, percent", drawn, symbol, apart=True)


def close_overlay(rows: pl.LazyFrame, symbol: str, name: str) -> Overlay:
    """Return the closes of other bars as a line."""
    of = rows.filter(pl.col("symbol").cast(pl.String) == symbol)
    return Overlay(name, of.select(time=pl.col("open_time"), value=pl.col("close")), symbol)
