"""A profile of rows: what each column holds, in histograms, and the rows themselves a page at a time.

DuckDB counts over all rows of a query's files at each question; no more than a page of rows is ever loaded. Every column is
read twice when a profile is made, for its range and for its histogram, and once where a filter changes; sorting reads
the column that it is by, and a page what it shows.
"""

# ruff: noqa: S608  # SQL is made here of quoted names and of values that were parsed

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptolake.archive.schemas import schema_of
from cryptolake.errors import InvalidQuery, NotPublished, StorageError
from cryptolake.plot import live
from cryptolake.readers.profile_bins import Bins, number_bins, number_text, time_bins, time_text
from cryptolake.readers.profile_filters import Filter, Kind, parse_filter
from cryptolake.readers.view_sql import MONTH, TIME, literal, quoted
from cryptolake.render.html import drawing, never_raises, number, plural, table, text

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from cryptolake.query import Query

PAGE = 50
"""Rows of a page."""

DEEPEST = 10_000
"""Rows that pages reach, in the order chosen: a page costs the reading of all before it."""

VALUES = 8
"""Values of a column of words that have a bar of their own, the most frequent ones."""

LONGEST = 60
"""Characters of a cell; longer text is cut."""

_WHOLE = frozenset({"BIGINT", "INTEGER", "UINTEGER"})
_NUMBERS = _WHOLE | {"DOUBLE", "FLOAT"}
_TIMES = frozenset({TIME, "DATE"})
_BLOCKS = " ▁▂▃▄▅▆▇█"

Ask = Callable[[str], "duckdb.DuckDBPyRelation"]
"""Answers a question in SQL to the view ``q``, which has the rows."""

Counts = tuple[tuple[int, ...], ...]
"""The rows in each bin of each column."""


@dataclass(frozen=True)
class ProfileColumn:
    """A column over all rows: what it holds, its range, and its bins with how many rows each has.

    ``values`` are the bins of words, the most frequent first; ``counts`` is one longer than they are where rows of other
    values are left.
    """

    name: str
    kind: Kind
    type: str
    unit: str
    nulls: int = 0
    low: str = ""
    high: str = ""
    distinct: int | None = None
    bins: Bins | None = None
    values: tuple[str | None, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same, be it a value or none."""
        return self.low == self.high and (self.nulls == 0 or not self.low)

    @property
    def labels(self) -> list[tuple[str, str]]:
        """The ends of each bin as text; of words the value and nothing."""
        if self.bins is None:
            rest = [("other values", "")] if len(self.counts) > len(self.values) else []
            return [("null" if value is None else value, "") for value in self.values] + rest
        if self.kind == "time":
            return [(time_text(int(low)), time_text(int(high))) for low, high in self.bins.pairs]
        return [(number_text(low), number_text(high)) for low, high in self.bins.pairs]

    @property
    def blocks(self) -> str:
        """The histogram as text: a block a bin; of words the most frequent values and their rows."""
        if self.bins is None:
            shown = zip(self.labels[:3], self.counts, strict=False)
            return ", ".join(f"{value} {rows:,}" for (value, _), rows in shown)
        most = max(self.counts, default=0) or 1
        return "".join(_BLOCKS[-(-rows * 8 // most)] for rows in self.counts)


@dataclass(frozen=True)
class ProfileView:
    """What is shown of a profile: the rows that pass the filters, counted by bin, and one page of them."""

    rows: int
    counts: Counts
    cells: list[list[str | None]]
    page: int
    pages: int
    filters: tuple[Filter, ...]
    sort: tuple[str, bool] | None
    sql: str


class Profile:
    """What a query's rows hold, a histogram a column, over all rows. Made by :meth:`cryptolake.Lake.profile`.

    In a notebook it is sorted by a click on a column's name and narrowed by its bars, by a range or by values, with mouse
    or keys; DuckDB counts anew over all rows, and at most a page of rows is in the page. Elsewhere it is a table
    of the summaries.

    Parameters
    ----------
    ask
        Answers SQL over the view ``q``.
    query
        The query whose rows those are, of one data type.

    Raises
    ------
    NotPublished
        There are no rows.

    Examples
    --------
    >>> import cryptolake as cl
    >>> query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-01")
    >>> with cl.sample_lake() as lake:
    ...     report = lake.pull(query)
    ...     profile = lake.profile(query)
    ...     view = profile.view([{"column": "close", "low": 0}], sort=("close", True))
    ...     found = profile.summary().filter(column="open_time")
    >>> profile, view.rows, view.sql
    (<Profile: 24 rows of klines, 14 columns>, 24, 'from q where ...')
    >>> found["max"].item()
    '2025-01-01 23:00'
    """

    def __init__(self, ask: Ask, query: Query) -> None:
        self._ask, self._query = ask, query
        relation = ask("FROM q")
        named = zip(relation.columns, map(str, relation.types), strict=True)
        self._types = {name: kind for name, kind in named if name != MONTH}
        self.rows, self.columns = self._measured()
        if not self.rows:
            message = (
                "the lake has no Silver rows for this; lake.pull(query) fetches and builds them."
            )
            raise NotPublished(message, query=query)
        self._counted: tuple[tuple[Filter, ...], int, Counts] = ((), *self._count(()))
        self._all = self._counted
        pairs = zip(self.columns, self._all[2], strict=True)
        self.columns = tuple(replace(column, counts=counts) for column, counts in pairs)
        self.first = self.view()

    def view(
        self,
        filters: Iterable[Filter | Mapping[str, Any]] = (),
        sort: tuple[str, bool] | None = None,
        page: int = 0,
    ) -> ProfileView:
        """Count the rows that pass filters, and return a page of them.

        Parameters
        ----------
        filters
            One a column: ``{"column": "close", "low": 1.0, "high": 2.0}`` with ``low`` in and ``high`` out unless
            ``closed``; ``{"column": "symbol", "values": ["BTCUSDT"]}``; ``[None]`` for rows without a value.
        sort
            A column, and whether it falls. Left out: the files' order.
        page
            From 0; pages have 50 rows, and reach 10,000.

        Returns
        -------
        ProfileView
            ``rows`` that pass, ``counts`` by column and bin, the ``cells`` of the page as text, and ``sql``, the same question.

        Raises
        ------
        InvalidQuery
            A column, value or end that cannot be.

        Examples
        --------
        See :class:`Profile`.
        """
        kinds = {column.name: column.kind for column in self.columns}
        chosen = tuple(
            each if isinstance(each, Filter) else parse_filter(each, kinds) for each in filters
        )
        if sort is not None and sort[0] not in kinds:
            message = (
                f"there is no column {sort[0]!r} to sort by; the columns are {', '.join(kinds)}."
            )
            raise InvalidQuery(message, given=sort[0], allowed=tuple(kinds))
        if not chosen:
            self._counted = self._all
        elif chosen != self._counted[0]:
            self._counted = (chosen, *self._count(chosen))
        _, rows, counts = self._counted
        pages = max(1, math.ceil(min(rows, DEEPEST) / PAGE))
        at = min(max(0, page), pages - 1)
        asked = f"from q{_where(chosen)}{self._order(sort)}"
        names = ", ".join(quoted(column.name) for column in self.shown) or "1"
        found = self._rows(f"select {names} {asked} limit {PAGE} offset {at * PAGE}")
        cells = [[_cell(value) for value in row] for row in found]
        return ProfileView(rows, counts, cells, at, pages, chosen, sort, asked)

    def summary(self) -> pl.DataFrame:
        """Return what each column holds over all rows.

        Returns
        -------
        polars.DataFrame
            A row a column: ``column``, ``type``, ``unit``, ``nulls`` (rows without a value), ``distinct`` (values, of words
            only), ``min`` and ``max`` as text (times are UTC), and ``histogram``: a list of ``from``, ``to`` and ``rows``,
            where a value lies from ``from`` on and below ``to``; of words ``from`` is the value, and the last may be
            ``other values``.

        Examples
        --------
        See :class:`Profile`.
        """
        import polars as pl

        bar = pl.Struct({"from": pl.String, "to": pl.String, "rows": pl.Int64})
        rows = [
            {
                "column": column.name,
                "type": column.type,
                "unit": column.unit,
                "nulls": column.nulls,
                "distinct": column.distinct,
                "min": column.low,
                "max": column.high,
                "histogram": [
                    {"from": low, "to": high or None, "rows": count}
                    for (low, high), count in zip(column.labels, column.counts, strict=True)
                ],
            }
            for column in self.columns
        ]
        texts = dict.fromkeys(("column", "type", "unit"), pl.String)
        schema: dict[str, Any] = {**texts, "nulls": pl.Int64, "distinct": pl.Int64}
        schema |= {"min": pl.String, "max": pl.String, "histogram": pl.List(bar)}
        return pl.DataFrame(rows, schema=schema)

    @property
    def shown(self) -> tuple[ProfileColumn, ...]:
        """The columns in which rows differ."""
        return tuple(column for column in self.columns if not column.is_constant)

    @property
    def constants(self) -> tuple[ProfileColumn, ...]:
        """The columns in which all rows have the same."""
        return tuple(column for column in self.columns if column.is_constant)

    @property
    def heading(self) -> str:
        """How many rows of what."""
        (data_type,) = (kind.value for kind in self._query.selection.data_types)
        return f"{plural(self.rows, 'row')} of {data_type}"

    def __repr__(self) -> str:
        return f"<Profile: {self.heading}, {plural(len(self.columns), 'column')}>"

    @never_raises
    def _repr_html_(self) -> str:
        names = ["column", "type", "unit", "nulls", "min", "max", "rows by value"]
        cells = [
            (c.name, c.type, c.unit, number(c.nulls), c.low, c.high, c.blocks) for c in self.columns
        ]
        return drawing(
            f"<h4>{text(self.heading)}</h4>", table(names, cells, numbers=("nulls", "min", "max"))
        )

    def _repr_mimebundle_(self, **_: Any) -> live.Bundle:
        """Return the live view where a kernel answers one, and the table for where none does."""
        static = {"text/html": self._repr_html_(), "text/plain": repr(self)}
        return live.bundle(static, self._widget)

    def _display_(self) -> Any:
        """Return what marimo shows."""
        return live.for_marimo(self._repr_html_(), self._widget)

    def _widget(self) -> Any:
        from cryptolake.plot.profile_widget import ProfileWidget
        from cryptolake.readers.profile_page import ProfilePage

        return ProfileWidget(ProfilePage(self))

    # ---------------------------------------------------------------- SQL

    def _rows(self, sql: str) -> list[Any]:
        """Return what a question answers; what is damaged in the files is found only while they are read."""
        import duckdb

        try:
            return self._ask(sql).fetchall()
        except duckdb.Error as error:
            message = (
                f"a Silver file of the query cannot be read ({str(error).splitlines()[0]}): its bytes are damaged. "
                "cryptolake verify names the file; with --repair it is built again from Bronze."
            )
            raise StorageError(message) from error

    def _measured(self) -> tuple[int, tuple[ProfileColumn, ...]]:
        """Count the rows, find each column's range or values, and choose its bins."""
        kinds = {name: _kind(sql) for name, sql in self._types.items()}
        binned = [name for name, kind in kinds.items() if kind != "words"]
        parts = [part for name in binned for part in _measures(name, self._types[name])]
        (found,) = self._rows(f"select {', '.join(['count(*)', *parts])} from q")
        rows, rest = int(found[0]), iter(found[1:])
        if not rows:
            return 0, ()
        types, units = _known(self._query)
        made = {}
        for name, kind in kinds.items():
            told = ProfileColumn(name, kind, types.get(name, "String"), units.get(name, ""))
            if kind == "words":
                made[name] = told
            else:
                made[name] = self._with_bins(told, rows, [next(rest) for _ in range(5)])
        words = [name for name, kind in kinds.items() if kind == "words"]
        made |= {name: self._with_values(made[name], own) for name, own in self._values(words)}
        return rows, tuple(made.values())

    def _with_bins(
        self, column: ProfileColumn, rows: int, measures: Sequence[Any]
    ) -> ProfileColumn:
        """Give a column of numbers or times its range and bins."""
        sql = self._types[column.name]
        count, low, high, mean, smallest = measures
        if isinstance(high, float) and not (math.isfinite(high) and math.isfinite(low)):
            name = quoted(column.name)
            asked = f"select {', '.join(_range(name))} from q where isfinite({name})"
            ((low, high, mean, smallest),) = self._rows(asked)
        nulls = rows - count
        if low is None:
            return replace(column, nulls=nulls)
        if column.kind == "time":
            ends, bins = (time_text(low), time_text(high)), time_bins(low, high)
        else:
            ends = number_text(low), number_text(high)
            bins = number_bins(low, high, mean, smallest, whole=sql in _WHOLE)
        return replace(column, nulls=nulls, low=ends[0], high=ends[1], bins=bins)

    def _values(self, names: Sequence[str]) -> Iterable[tuple[str, list[Any]]]:
        """Yield columns of words with their most frequent values: value, rows, values in all, first, last."""
        selects = [
            f"(select {literal(name)}, v, n, count(*) over (), min(v) over (), max(v) over (), "
            "coalesce(sum(n) filter (v is null) over (), 0) "
            f"from (select {quoted(name)}::varchar v, count(*) n from q group by v) "
            f"order by n desc, v limit {VALUES})"
            for name in names
        ]
        found = self._rows(" union all ".join(selects)) if selects else []
        for name in names:
            yield (
                name,
                sorted(
                    (row[1:] for row in found if row[0] == name),
                    key=lambda row: (-row[1], row[0] or ""),
                ),
            )

    @staticmethod
    def _with_values(column: ProfileColumn, found: list[Any]) -> ProfileColumn:
        """Give a column of words its most frequent values."""
        _, _, distinct, low, high, nulls = found[0]
        of = replace(column, nulls=int(nulls), low=low or "", high=high or "")
        values = () if of.is_constant else tuple(row[0] for row in found)
        return replace(of, distinct=distinct - (nulls > 0), values=values)

    def _count(self, filters: Sequence[Filter]) -> tuple[int, Counts]:
        """Count the rows that pass filters, by the bins of each column, and by their values."""
        where = _where(filters)
        binned = [(column, column.bins) for column in self.columns if column.bins is not None]
        parts = [_histogram(each.name, self._types[each.name], bins) for each, bins in binned]
        (found,) = self._rows(f"select {', '.join(['count(*)', *parts])} from q{where}")
        rows = int(found[0])
        counts = {
            each.name: tuple(
                (told or {}).get(upper, 0) for upper in bins.uppers
            )  # named by upper ends
            for (each, bins), told in zip(binned, found[1:], strict=True)
        }
        words = [column for column in self.columns if column.values]
        selects = [
            f"select {literal(column.name)}, {quoted(column.name)}::varchar v, count(*) "
            f"from q{_where([Filter(column.name, 'words', values=column.values), *filters])} group by v"
            for column in words
        ]
        by_value = self._rows(" union all ".join(selects)) if selects else []
        for column in words:
            of = {value: int(n) for name, value, n in by_value if name == column.name}
            each = tuple(of.get(value, 0) for value in column.values)
            whole = (column.distinct or 0) + (column.nulls > 0) <= len(column.values)
            counts[column.name] = each if whole else (*each, rows - sum(each))
        return rows, tuple(counts.get(column.name, ()) for column in self.columns)

    def _order(self, sort: tuple[str, bool] | None) -> str:
        """Return the order of the rows; rows alike in the column asked for stay in the order of time."""
        if sort is None:
            return ""
        name, falls = sort
        rest = [column for column in self._ties() if column != name]
        by = [f"{quoted(name)}{' desc' if falls else ''}", *map(quoted, rest)]
        return f" order by {', '.join(by)}"

    def _ties(self) -> Iterable[str]:
        """Return the columns that tell rows apart: Silver's own order, then whose row it is."""
        markets = [row.market for row in self._query.selection.rows()]
        own = schema_of(markets[0], self._query.selection.data_types[0]).sort
        names = dict.fromkeys((*own, "market", "symbol", "interval"))
        return [name for name in names if any(name == column.name for column in self.shown)]


def _kind(sql: str) -> Kind:
    return "number" if sql in _NUMBERS else "time" if sql in _TIMES else "words"


def _value(name: str, sql: str) -> str:
    """Return a column as its range and bins take it: times are microseconds."""
    return f"epoch_us({quoted(name)}::{TIME})" if sql in _TIMES else quoted(name)


def _range(value: str) -> list[str]:
    return [f"min({value})", f"max({value})", f"avg({value})", f"min({value}) filter ({value} > 0)"]


def _measures(name: str, sql: str) -> list[str]:
    """Return what is asked of a column of numbers or times: values, lowest, highest, mean, smallest above 0."""
    value = _value(name, sql)
    if sql in _NUMBERS:
        return [f"count({value})", *_range(value)]
    return [f"count({value})", f"min({value})", f"max({value})", "null", "null"]


def _histogram(name: str, sql: str, bins: Bins) -> str:
    return f"histogram({_value(name, sql)}, [{', '.join(map(repr, bins.uppers))}])"


def _where(filters: Iterable[Filter]) -> str:
    conditions = [each.sql for each in filters]
    return f" where {' and '.join(conditions)}" if conditions else ""


def _known(query: Query) -> tuple[dict[str, str], dict[str, str]]:
    """Return the type and the unit of each column, as the schemas of the query's markets have them."""
    types: dict[str, str] = {}
    units: dict[str, dict[str, None]] = {}
    for row in query.selection.rows():
        schema = schema_of(row.market, row.data_type)
        types |= {name: str(dtype).split("(")[0] for name, dtype in schema.silver_dtypes().items()}
        for column in schema.silver_columns:
            units.setdefault(column.name, {})[column.unit] = None
    return types, {name: " or ".join(filter(None, told)) for name, told in units.items()}


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return str(value.replace(tzinfo=None))
    shown = str(value)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
