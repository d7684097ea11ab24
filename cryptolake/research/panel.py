"""``lake.panel``: one column of bars as a table of time and symbol, on the whole UTC grid, with its holes explained.

The rows of one symbol at a time are placed on the grid, so that memory is that of the table and of a few
symbols. :func:`placed`, :func:`is_member` and :func:`table` are pure and take rows from anywhere: from Silver,
or from any frame with ``open_time, symbol`` and a value.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.grid import bar_number, expected_numbers, number_of, opens_of
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of
from cryptolake.archive.symbols import is_glob
from cryptolake.bronze.ledger import means
from cryptolake.errors import IncompleteWarning, InvalidQuery, unknown_word
from cryptolake.readers.odd_symbols import without_odd_symbols
from cryptolake.readers.scans import scan_files
from cryptolake.readers.silver_files import reading, silver_of, warn_of_damage
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.render.html import some_of
from cryptolake.research.symbol_rows import never_published

if TYPE_CHECKING:
    from datetime import datetime

    from cryptolake.archive.enums import DataType, Interval, Market
    from cryptolake.listing.context import LakeContext
    from cryptolake.quality.survey import SymbolMonth
    from cryptolake.query import Query

GAP = "gap"
"""The column that stands for the causes of holes."""

NOT_MEMBER = "not_member"
"""The cause of a cell outside the membership of its symbol."""

OFF_GRID = "off_grid"
"""The cause of a cell whose bar has a row only at a time off the grid."""

_TIME = pl.Datetime("us", "UTC")
_SYMBOLS_AT_ONCE = 8


class PanelBars(NamedTuple):
    """What a query for a panel asks: bars of one kind, and the days."""

    market: Market
    data_type: DataType
    interval: Interval
    days: Days

    @property
    def numbers(self) -> range:
        """The numbers of the bars of the grid."""
        return expected_numbers(self.interval, self.days.begin, self.days.end)

    def grid(self) -> pl.Series:
        """Return the open times of the grid, UTC."""
        numbers = self.numbers
        counted = pl.int_range(numbers.start, numbers.stop, eager=True, dtype=pl.Int64)
        return opens_of(counted, self.interval).alias("open_time")


class SymbolCells(NamedTuple):
    """A symbol's rows on the grid: the values, and which bars have a row.

    ``off`` are the bars that have a row off the grid, and none on it; None where there are none.
    """

    values: pl.Series
    here: pl.Series
    off: pl.Series | None = None


# ------------------------------------------------------------------------------------------------ pure


def bars_of(query: Query) -> PanelBars:
    """Return what a query for a panel asks.

    Raises
    ------
    InvalidQuery
        It asks for several markets, data types or intervals, or for rows that are not bars.

    Examples
    --------
    >>> from cryptolake.query import Query
    >>> asked = Query().markets("spot").klines("1h").symbols("A*").between("2024-01")
    >>> len(bars_of(asked).numbers)
    744
    >>> bars_of(asked.intervals("1h", "4h"))
    Traceback (most recent call last):
    cryptolake.errors.InvalidQuery: a panel holds one interval, and this query names 1h, 4h; ...
    """
    selection = query.selection
    _one("market", selection.markets, _units(selection.markets, selection.data_types))
    _one("data type", selection.data_types)
    for row in selection.rows():
        if not row.has_interval:
            message = (
                f"a panel holds bars on a grid of times, and {row.data_type.value} are rows at times of their own; "
                "ask for klines, or join them to bars: lake.asof."
            )
            raise InvalidQuery(message, what="data type", given=row.data_type.value)
    _one("interval", selection.intervals)
    days = query.check().selection.days or Days(
        date.min, date.min
    )  # a checked query names its days
    return PanelBars(selection.markets[0], selection.data_types[0], selection.intervals[0], days)


def _one(what: str, words: Sequence[Any], because: str = "") -> None:
    if len(words) > 1:
        names = ", ".join(word.value for word in words)
        plural = what.replace(" ", "_")
        verb = {"market": "markets", "data_type": "data_types", "interval": "intervals"}[plural]
        message = (
            f"a panel holds one {what}, and this query names {names}{because}; "
            f"ask for each on its own: query.{verb}({words[0].value!r})."
        )
        raise InvalidQuery(message, what=what, given=names)


def _units(markets: Sequence[Market], data_types: Sequence[DataType]) -> str:
    """Say which columns of some markets have the same name and not the same unit."""
    if len(markets) < 2 or len(data_types) != 1:
        return ""
    units: dict[str, dict[str, str]] = {}
    for market in markets:
        try:
            schema = schema_of(market, data_types[0])
        except InvalidQuery:
            return ""
        for column in schema.columns:
            units.setdefault(column.name, {})[market.value] = column.unit
    for name, by_market in units.items():
        if len(set(by_market.values())) > 1:
            told = " and ".join(f"{unit} in {market}" for market, unit in by_market.items())
            return f", where {name} is {told}"
    return ""


def placed(rows: pl.DataFrame, grid: pl.Series, interval: Interval) -> SymbolCells:
    """Place the rows of one symbol on the grid.

    Parameters
    ----------
    rows
        ``open_time`` and the value, in that order.
    grid
        The open times of the bars, in order.
    interval
        The bars.

    Raises
    ------
    InvalidQuery
        Two rows have one open time.
    """
    name = rows.columns[1]
    times = rows["open_time"]
    if rows.height == grid.len() and (times == grid).all():
        return SymbolCells(rows[name], _all(grid))
    marked = rows.with_columns(_here=pl.lit(value=True))
    joined = grid.to_frame("open_time").join(
        marked, on="open_time", how="left", maintain_order="left"
    )
    if joined.height != grid.len():
        twice = str(times.filter(times.is_duplicated()).min())
        message = f"a panel needs one row a bar, and {twice} has several."
        raise InvalidQuery(message, what="rows", given=twice)
    here = joined["_here"].fill_null(value=False)
    number = rows.select(bar_number(pl.col("open_time"), interval).alias("bar"))["bar"]
    opens = opens_of(number, interval)
    astray = opens.filter(opens != times)
    off = (grid.is_in(astray.implode()) & ~here) if astray.len() else None
    return SymbolCells(joined[name], here, off)


def _all(grid: pl.Series) -> pl.Series:
    return pl.repeat(value=True, n=grid.len(), dtype=pl.Boolean, eager=True)


def is_member(grid: pl.Series, spans: Iterable[tuple[Any, Any]]) -> pl.Series:
    """Say of each time of a sorted grid whether one of some half-open spans holds it.

    Examples
    --------
    >>> hours = pl.Series([0, 1, 2, 3, 4])
    >>> is_member(hours, [(1, 3), (4, 9)]).to_list()
    [False, True, True, False, True]
    """
    ends = [
        (int(grid.search_sorted(begin, "left")), int(grid.search_sorted(until, "left")))
        for begin, until in spans
    ]
    bars = pl.int_range(grid.len(), eager=True)
    inside = ~_all(grid)
    for begin, until in ends:
        inside |= (bars >= begin) & (bars < until)
    return inside


def spans_of(members: pl.DataFrame) -> dict[str, list[tuple[Any, Any]]]:
    """Return the spans of membership of each symbol: ``[from, until)``, UTC.

    Raises
    ------
    InvalidQuery
        The frame has no columns ``from``, ``until`` and ``symbol``, or its times are none.
    """
    needed = ("from", "until", "symbol")
    absent = [name for name in needed if name not in members.columns]
    timeless = [
        name for name in needed[:2] if name not in absent and not members.schema[name].is_temporal()
    ]
    if absent or timeless:
        what = ", ".join(absent or timeless)
        wrong = f"lacks {what}" if absent else f"has no times in {what}"
        message = f"members is a frame with from, until and symbol, as lake.universe returns it; this one {wrong}."
        raise InvalidQuery(message, what="members", given=tuple(members.columns))
    spans: dict[str, list[tuple[Any, Any]]] = {}
    for begin, until, symbol in members.select(
        _utc(members, "from"), _utc(members, "until"), pl.col("symbol").cast(pl.String)
    ).iter_rows():
        spans.setdefault(symbol, []).append((begin, until))
    return spans


def _utc(members: pl.DataFrame, name: str) -> pl.Expr:
    zone = getattr(members.schema[name], "time_zone", None)
    time = pl.col(name).cast(pl.Datetime("us", zone))
    return time.dt.replace_time_zone("UTC") if zone is None else time.dt.convert_time_zone("UTC")


def table(
    grid: pl.Series,
    columns: Iterable[tuple[str, pl.Series]],
    spans: Mapping[str, list[tuple[Any, Any]]] | None = None,
) -> pl.DataFrame:
    """Join columns to a table; where ``spans`` are given, null outside those of a column's symbol."""
    if spans is None:
        return pl.DataFrame([grid, *(values.alias(name) for name, values in columns)])
    inside = ((name, values, is_member(grid, spans.get(name, ()))) for name, values in columns)
    masked = (values.set(~mask, None).alias(name) for name, values, mask in inside)
    return pl.DataFrame([grid, *masked])


# ------------------------------------------------------------------------------------------ of a lake


def panel(
    query: Query,
    lake: LakeContext,
    column: str = "close",
    *,
    rows: pl.LazyFrame | None = None,
    members: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return one column of a query's bars, or the causes of its holes, by time and symbol.

    Parameters
    ----------
    query
        One market, data type and interval; symbols and days.
    lake
        The lake; nothing is fetched. For causes its archive's listing is asked, where no cached one is there.
    column
        A column of the bars; ``"gap"`` for causes.
    rows
        Other rows than Silver's: a frame with ``open_time, symbol`` and ``column``.
    members
        ``from, until, symbol``: cells outside are null.

    Returns
    -------
    polars.DataFrame
        ``open_time`` (UTC), and a column a symbol, by name.

    Raises
    ------
    InvalidQuery
        The query mixes markets, data types or intervals, or asks for rows that are not bars; or there is no
        such column.
    """
    asked = bars_of(query)
    spans = None if members is None else spans_of(members)
    grid = asked.grid()
    if column == GAP and rows is not None:
        message = (
            "causes are of the query's own bars: leave out of=, as in lake.panel(query, 'gap')."
        )
        raise InvalidQuery(message, what="column", given=column)
    if rows is not None:
        parts = _of_frame(rows, column, query, asked)
    else:
        value = "close_time" if column == GAP else column
        parts = _of_silver(value, query, lake, asked)
    on_grid = ((name, _placed_of(name, part, grid, asked.interval)) for name, part in parts)
    if column == GAP:
        return _causes(dict(on_grid), grid, query, lake, spans)
    cells = ((name, item.values) for name, item in on_grid)
    return table(grid, _told(cells, query, lake, asked.data_type), spans)


def _placed_of(name: str, rows: pl.DataFrame, grid: pl.Series, interval: Interval) -> SymbolCells:
    try:
        return placed(rows, grid, interval)
    except InvalidQuery as error:
        message = f"{name}: {error}"
        raise InvalidQuery(message, symbol=name, **error.facts) from None


def _told(
    cells: Iterable[tuple[str, pl.Series]], query: Query, lake: LakeContext, data_type: DataType
) -> Iterator[tuple[str, pl.Series]]:
    """Pass the columns on, and warn at the end of those without any value that may be published."""
    empty = []
    for name, values in cells:
        if values.len() and values.null_count() == values.len():
            empty.append(name)
        yield name, values
    never = never_published(query, lake, data_type, empty)
    empty = [name for name in empty if name not in never]
    if empty:
        message = (
            f"no rows of {some_of(empty)} are in the lake for {query.selection.first} to "
            f"{query.selection.last}: their columns are null. lake.panel(query, 'gap') says why, and "
            "lake.pull(query) fetches what is published."
        )
        warnings.warn(message, IncompleteWarning, stacklevel=2)


def _named(query: Query, market: str) -> set[str]:
    """Return the symbols that a query names in full: each has a column, whatever is there."""
    selection = query.selection
    plain = (word for word in selection.symbols if not is_glob(word))
    return {word for word in plain if means(selection, market, word)}


def _of_silver(
    column: str, query: Query, lake: LakeContext, asked: PanelBars
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each symbol's rows, a few symbols at a time."""
    types = schema_of(asked.market, asked.data_type).silver_dtypes()
    if column not in types or column == "open_time":
        raise unknown_word("column", column, [*(n for n in types if n != "open_time"), GAP])
    warn_of_unusable(lake, query)
    found = silver_of(lake.storage, lake.records, query, asked.market, asked.data_type)
    held = without_odd_symbols(found, lake.storage.root)
    warn_of_damage(held.bad)
    files: dict[str, list[str]] = {name: [] for name in _named(query, asked.market.value)}
    for file in held.whole:
        files.setdefault(file.where.symbol, []).append(file.path)
    schema = {"open_time": types["open_time"], column: types[column]}
    none = pl.LazyFrame(schema=schema)
    days = pl.col("open_time").is_between(
        pl.lit(asked.days.begin), pl.lit(asked.days.end), closed="left"
    )

    def scan(paths: list[str]) -> pl.LazyFrame:
        if not paths:
            return none
        return scan_files(lake.storage, paths, schema).filter(days)

    symbols = sorted(files)
    for place in range(0, len(symbols), _SYMBOLS_AT_ONCE):
        names = symbols[place : place + _SYMBOLS_AT_ONCE]
        with reading("a Silver file of the query", lake.storage.root):
            frames = pl.collect_all([scan(files[name]) for name in names])
        yield from zip(names, frames, strict=True)


def _of_frame(
    rows: pl.LazyFrame, column: str, query: Query, asked: PanelBars
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield each symbol's rows of a frame: those that the query means, in its days."""
    names = rows.collect_schema().names()
    absent = [name for name in ("open_time", "symbol") if name not in names]
    if absent:
        message = f"a panel is made of a frame with open_time, symbol and a value; this one lacks {', '.join(absent)}."
        raise InvalidQuery(message, what="frame", given=tuple(names))
    if column not in names:
        raise unknown_word("column", column, [n for n in names if n not in ("open_time", "symbol")])
    time = pl.col("open_time").cast(_TIME)
    chosen = rows.select(pl.col("symbol").cast(pl.String), time, pl.col(column)).filter(
        pl.col("open_time").is_between(asked.days.begin, asked.days.end, closed="left")
    )
    found = chosen.collect()
    parts = found.partition_by("symbol", as_dict=True, include_key=False, maintain_order=True)
    by_name = {name: part for (name,), part in parts.items()}
    none = found.clear().drop("symbol")
    market = asked.market.value
    held = {name for name in by_name if means(query.selection, market, name)}
    for name in sorted(held | _named(query, market)):
        yield name, by_name.get(name, none)


# --------------------------------------------------------------------------------------------- causes


def _causes(
    cells: Mapping[str, SymbolCells],
    grid: pl.Series,
    query: Query,
    lake: LakeContext,
    spans: Mapping[str, list[tuple[Any, Any]]] | None,
) -> pl.DataFrame:
    """Return the cause of each cell without a row; null where there is one."""
    asked = bars_of(query)
    inside = {
        name: _all(grid) if spans is None else is_member(grid, spans.get(name, ()))
        for name in cells
    }
    holes = {name: grid.filter(~item.here & inside[name]) for name, item in cells.items()}
    found = _gaps({name: times for name, times in holes.items() if times.len()}, query, lake)
    whole = pl.Series("", [None], dtype=pl.String).new_from_index(0, grid.len())
    columns = []
    for name, item in cells.items():
        told = _cause_column(item, found[name], asked, grid) if name in found else whole
        columns.append((name, told.set(~inside[name], NOT_MEMBER)))
    return table(grid, columns)


class _SymbolGaps(NamedTuple):
    """What quality says of a symbol's holes: the gaps, and the cause of what it does not say."""

    gaps: list[tuple[int, int, str]]
    """Number of the first bar, bars, cause."""
    newest: datetime | None = None
    """The time from which the archive has published nothing yet; None where that is not known."""
    other: str = "unknown"
    """The cause of what is in no gap."""


def _gaps(
    holes: Mapping[str, pl.Series], query: Query, lake: LakeContext
) -> dict[str, _SymbolGaps]:
    """Return the gaps of the months in which symbols have holes."""
    from cryptolake.quality.assess import assess
    from cryptolake.quality.survey import survey

    wanted = {
        (name, year, month)
        for name, times in holes.items()
        for year, month in times.to_frame("t")
        .select(y=pl.col("t").dt.year(), m=pl.col("t").dt.month())
        .unique()
        .iter_rows()
    }
    names = sorted({name for name, _, _ in wanted})
    if not names:
        return {}
    seen = survey(query.symbols(names), lake, listed=True)
    listing_seen = any(month.folder.listed is not None for month in seen.months)
    # Of a symbol without a month nothing is known: neither a file here, nor one that is published.
    nothing = "not_listed" if listing_seen else "unknown"
    found = {name: _SymbolGaps([], other=nothing) for name in names}
    for month in seen.months:
        name, first = month.folder.symbol, month.month.days.first
        if found[name].other == nothing:
            found[name] = _SymbolGaps(found[name].gaps, _newest(month))
        interval = month.folder.interval
        if (name, first.year, first.month) in wanted and interval is not None:
            found[name].gaps.extend(
                (number_of(gap.first, interval), gap.bars, gap.cause)
                for gap in assess(month, seen).gaps
                if not gap.healed
            )
    return found


def _newest(month: SymbolMonth) -> datetime | None:
    newest = month.folder.life.newest
    live = month.folder.life.state == "live"
    return Days(newest, newest).end if live and newest is not None else None


def _cause_column(
    item: SymbolCells, found: _SymbolGaps, asked: PanelBars, grid: pl.Series
) -> pl.Series:
    """Return the causes of one symbol's holes."""
    causes: list[str | None] = [None] * grid.len()
    start, stop = asked.numbers.start, asked.numbers.stop
    for first, bars, cause in found.gaps:
        begin, end = max(first, start) - start, min(first + bars, stop) - start
        causes[begin:end] = [cause] * max(end - begin, 0)
    told = pl.Series("", causes, dtype=pl.String)
    if found.newest is not None:
        told = told.set(told.is_null() & (grid >= found.newest), "not_published")
    told = told.fill_null(found.other)
    if item.off is not None:
        told = told.set(item.off, OFF_GRID)
    return told.set(item.here, None)
