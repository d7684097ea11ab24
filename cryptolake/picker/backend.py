"""What the picker asks of a lake, as plain answers: no widgets, and only the lake's public methods.

Every method does I/O and runs on a background thread; the constructor does none. A ``watch`` receives the
progress of a method and can stop it (:mod:`cryptolake.progress`).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from cryptolake.archive.enums import Partition
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Period
from cryptolake.errors import CryptolakeError, MissingTool, NotPublished

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from cryptolake.archive.periods import Days
    from cryptolake.lake import Lake
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Watch
    from cryptolake.query import Query
    from cryptolake.readers.profile_page import ProfilePage
    from cryptolake.report import Report

SymbolRow = tuple[str, str, str]
"""Name, quote asset and contract."""

Coverage = dict[str, dict[str, float]]
"""Symbol to month (``YYYY-MM``) to the share of its days that is there, 0 to 1."""

COLUMNS = ("symbol", "quote", "contract")

MAX_FOLDERS = 60
"""Folders (symbol x interval) that are listed unasked; more are listed when Plan is pressed."""

BARS = frozenset({"klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines"})


@dataclass(frozen=True)
class Preview:
    """What the lake holds of a query: a profile of its rows, if there are any, and what to know of it."""

    query: Query
    page: ProfilePage | None
    note: str = ""


@dataclass(frozen=True)
class Overview:
    """A chart of a query's rows, as HTML and empty where its type has none, and the months held."""

    picture: str
    held: Coverage
    note: str = ""


@dataclass
class Backend:
    """The questions that a picker asks of its lake.

    Parameters
    ----------
    lake
        The lake.
    """

    lake: Lake
    _listed: dict[tuple[str, str], pl.DataFrame] = field(default_factory=dict)

    def symbols(self, query: Query, watch: Watch | None = None) -> list[SymbolRow]:
        """Return the symbols that the archive lists for the query's markets and data types."""
        rows: dict[str, SymbolRow] = {}
        for row in query.selection.rows():
            pair = row.market.value, row.data_type.value
            if pair not in self._listed:
                self._listed[pair] = self.lake.symbols(*pair, progress=watch or False)
            for name, quote, contract in self._listed[pair].select(*COLUMNS).iter_rows():
                rows.setdefault(name, (name, quote or "", contract or ""))
        return sorted(rows.values())

    def listed_on(self, query: Query, day: str, watch: Watch | None = None) -> list[str]:
        """Return the symbols that had files on a UTC day; asks the archive about every one."""
        names: set[str] = set()
        for row in query.selection.rows():
            found = self.lake.symbols(
                row.market.value, row.data_type.value, listed_on=day, progress=watch or False
            )
            names.update(found["symbol"])
        return sorted(names)

    def coverage(self, query: Query, watch: Watch | None = None) -> Coverage:
        """Return which months the archive has of the chosen symbols, over all its time."""
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        whole = query.between(load_matrix().first_date, yesterday)
        return coverage_of(self.lake.plan(whole, progress=watch or False).files)

    def plan(self, query: Query, watch: Watch | None = None, *, refresh: bool = False) -> Plan:
        """Return the query's plan."""
        return self.lake.plan(query, refresh=refresh, progress=watch or False)

    def bytes_per_second(self) -> float | None:
        """Return the lake's own past throughput; None before its first transfer."""
        import polars as pl

        moves = (pl.col("kind") == "transfer") & (pl.col("bytes") > 0)
        runs = self.lake.meta.runs().filter(moves).tail(20)
        seconds_each = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
        moved, seconds = runs["bytes"].sum(), runs.select(seconds_each.sum()).item()
        return float(moved) / float(seconds) if moved and seconds else None

    def pull(self, query: Query, watch: Watch) -> Report:
        """Plan, transfer and build; ``watch`` receives the progress, and may stop it."""
        return self.lake.pull(query, progress=watch)

    def build(self, query: Query, watch: Watch) -> Report:
        """Build Silver from what Bronze has; ``watch`` receives the progress, and may stop it."""
        return self.lake.build(query, progress=watch)

    def preview(self, query: Query) -> Preview:
        """Return a profile of what the lake holds; nothing is fetched."""
        from cryptolake.readers.profile_page import ProfilePage

        one, note = _one_type(query)
        name = "query" if one == query else repr(one)  # the code must run: SQL is of one type
        try:
            return Preview(one, ProfilePage(self.lake.profile(one), name), note)
        except NotPublished:
            return Preview(one, None, note)

    def overview(self, preview: Preview) -> Overview:
        """Return a chart of a preview's rows, where the type has one, and which months are held."""
        held = _held(self.lake.silver(preview.query), preview.query.selection.days)
        kind = preview.query.selection.data_types[0].value
        try:
            return Overview(self._picture(preview.query, kind), held)
        except MissingTool as error:  # the months are shown without a chart, too
            return Overview("", held, str(error))

    def _picture(self, query: Query, kind: str) -> str:
        plot = self.lake.plot
        if kind in BARS:
            return plot.candles(query)._repr_html_()
        if kind == "fundingRate":
            return plot.funding(query)._repr_html_()
        return plot.depth(query)._repr_html_() if kind == "bookDepth" else ""


def count_folders(query: Query, known: Iterable[str]) -> int:
    """Return how many archive folders a plan would list, given the known symbols' names."""
    from fnmatch import fnmatchcase

    names = list(known)
    selected = query.selection.symbols
    globs = [word for word in selected if set(word) & set("*?[")]
    matched = {name for name in names if any(fnmatchcase(name, glob) for glob in globs)}
    symbols = len(matched | (set(selected) - set(globs))) if selected else len(names)
    intervals = max(1, len(query.selection.intervals))
    return symbols * intervals * max(1, len(query.selection.rows()))


def coverage_of(files: pl.DataFrame) -> Coverage:
    """Return the coverage that a plan's files give; a month's daily files add up.

    Examples
    --------
    >>> import polars as pl
    >>> files = pl.DataFrame(
    ...     {
    ...         "symbol": ["A", "A", "A"],
    ...         "partition": ["monthly", "daily", "daily"],
    ...         "period": ["2024-01", "2024-02-01", "2024-02-02"],
    ...     }
    ... )
    >>> coverage_of(files)
    {'A': {'2024-01': 1.0, '2024-02': 0.069}}
    """
    coverage: dict[str, dict[str, set[date]]] = {}
    for symbol, partition, text in files.select("symbol", "partition", "period").unique().rows():
        period = Period.parse(text)
        days = set(period.days) if partition == Partition.MONTHLY.value else {period.first}
        coverage.setdefault(symbol, {}).setdefault(text[:7], set()).update(days)
    return {
        symbol: {
            month: round(min(1.0, len(days) / _length(month)), 3)
            for month, days in sorted(by_month.items())
        }
        for symbol, by_month in sorted(coverage.items())
    }


def error_text(error: Exception) -> str:
    """Return an error as text; an error that is not of this package is shown with its type."""
    if isinstance(error, CryptolakeError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _one_type(query: Query) -> tuple[Query, str]:
    names = [kind.value for kind in query.selection.data_types]
    if len(names) < 2:
        return query, ""
    from cryptolake.picker.choices import choose_data_types

    return choose_data_types(query, names[:1]), f"of {', '.join(names)} only {names[0]} is shown"


def _held(rows: pl.LazyFrame, asked: Days | None) -> Coverage:
    """Return the share of each month's days asked for that have rows, by symbol, and market where there are several."""
    import polars as pl

    time = next(name for name, kind in rows.collect_schema().items() if kind == pl.Datetime)
    who = pl.col("symbol", "market").cast(pl.String)
    by_month = (
        rows.group_by(who, month=pl.col(time).dt.strftime("%Y-%m"))
        .agg(days=pl.col(time).dt.date().n_unique())
        .sort("symbol", "market", "month")
        .collect()
    )
    several = by_month["market"].n_unique() > 1
    held: Coverage = {}
    for symbol, market, month, days in by_month.rows():
        name = f"{symbol} {market}" if several else symbol
        part = asked.clip(Period.parse(month).days) if asked else None
        held.setdefault(name, {})[month] = days / (len(part) if part else _length(month))
    return held


def _length(month: str) -> int:
    year, number = month.split("-")
    return calendar.monthrange(int(year), int(number))[1]
