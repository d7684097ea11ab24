"""Trade and aggregate ids: where they do not go on by one, inside and across files.

Ids are counted per symbol. A hole means trades that the archive does not have. Aggregate ids run without
holes everywhere, trade ids on spot. On futures the venue leaves single trade ids out
(``Schema.skipping``): those are counted in one row a month, and only a long run of absent ids, or one
beside a silence that is long for its day, is a hole.

==============  ======================================================================================
kind            when
==============  ======================================================================================
``id_hole``     ids are absent between two rows: trades that the archive does not have
``ids_skipped``  ids that the venue left out: one row a symbol-month, no trade is lost
``id_repeat``   rows that came twice; the build keeps one and counts the rest as duplicates
``id_reused``   one aggregate id names several trades: all rows are kept
==============  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import Schema, schema_of
from cryptolake.quality.survey import survey
from cryptolake.render.html import plural
from cryptolake.storage.tables import record_new

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.quality.survey import Survey, SymbolMonth
    from cryptolake.query import Query

_TIME = pl.Datetime("us", "UTC")

ID_FINDINGS: dict[str, Any] = {
    "dataset": pl.String,
    "path": pl.String,
    "symbol": pl.String,
    "kind": pl.String,
    "first": _TIME,
    "last": _TIME,
    "rows": pl.Int64,
    "detail": pl.String,
}
"""The columns of :func:`id_findings`; they are columns of ``meta.findings``."""

LONG_RUN = 100
"""More absent ids than this in one place are a hole also where the venue leaves single ids out."""
SILENCE = timedelta(seconds=60)
"""Absent ids beside a silence twice as long as any unbroken one of the day are a hole, if it is at least this."""
SOME = 5
"""So many absent ids beside such a silence are a hole however short it is."""
_ONE_BY_ONE = 200
"""Holes of a day that are rows of their own; the shorter ones beyond are counted in one row."""


_WORDS = {
    "id_hole": "missing",
    "id_repeat": "twice",
    "id_reused": "reused",
    "ids_skipped": "skipped",
}


class Edge(NamedTuple):
    """The last row of what was read so far: its (last) id and its time."""

    number: int
    time: datetime


class Hole(NamedTuple):
    """Ids that are not there: the rows on both sides of them."""

    before: Edge
    after: Edge

    @property
    def ids(self) -> int:
        """How many are missing; below zero where the ids do not rise."""
        return self.after.number - self.before.number - 1


class Counter(NamedTuple):
    """A running number: the column it begins in, the one it ends in (an aggregate spans several)."""

    first: str
    last: str


class IdHole(NamedTuple):
    """A hole of a symbol-month that lost trades, by the counter that shows it."""

    month: SymbolMonth
    counter: Counter
    hole: Hole


def counters_of(schema: Schema) -> list[Counter]:
    """Return the running numbers of a dataset; none for most.

    Examples
    --------
    >>> counters_of(schema_of("spot", "aggTrades"))[1]
    Counter(first='first_trade_id', last='last_trade_id')
    """
    if schema.id is None or schema.data_type not in (DataType.TRADES, DataType.AGG_TRADES):
        return []
    own = Counter(schema.id, schema.id)
    if schema.data_type is DataType.TRADES:
        return [own]
    return [own, Counter("first_trade_id", "last_trade_id")]


def has_ids(month: SymbolMonth) -> bool:
    """Say whether a symbol-month's rows have running numbers."""
    return bool(counters_of(schema_of(month.folder.row.market, month.folder.row.data_type)))


_BROKEN = pl.col("c") != pl.col("a") + 1


def _steps(frame: pl.DataFrame, counter: Counter, time: str, edge: Edge | None) -> pl.DataFrame:
    """Return each row's predecessor and itself: id and time ``a, b``, then ``c, d``; null without one."""
    when = pl.col(time)
    before = pl.col(counter.last).shift(1, fill_value=edge.number if edge else None)
    since = when.shift(1, fill_value=edge.time if edge else None)
    return frame.select(
        before.alias("a"), since.alias("b"), pl.col(counter.first).alias("c"), when.alias("d")
    )


def ids(query: Query, lake: LakeContext) -> pl.DataFrame:
    """Check the trade and aggregate ids of a query, inside and across files; record what is new.

    Parameters
    ----------
    query
        Trades or aggTrades; symbols and days as usual. Other types have no running numbers.
    lake
        The lake, with Silver built.

    Returns
    -------
    polars.DataFrame
        As :func:`id_findings`; empty when all ids go on by one.
    """
    found = id_findings(survey(query, lake))
    record_new(found, lake.tables)
    return found


def id_findings(seen: Survey) -> pl.DataFrame:
    """Check the ids of every built month of a survey, and across months that follow each other.

    Returns
    -------
    polars.DataFrame
        One row per break, by ``kind`` (the table above): ``rows`` ids are missing, came twice or name
        several trades; ``first`` and ``last`` are the times (UTC) of the rows on both sides, or of the
        first and the last of what one row sums up.
    """
    walk = _Walk(seen)
    for month in seen.months:
        walk.read(month)
    return pl.DataFrame(walk.rows, schema=ID_FINDINGS, orient="row")


def id_holes(seen: Survey) -> list[IdHole]:
    """Return every hole of a survey that lost trades, each once: of an aggregate by its own id."""
    walk = _Walk(seen)
    for month in seen.months:
        walk.read(month)
    return walk.holes


def ids_in_words(found: pl.DataFrame) -> str:
    """Say what the check of a month's ids found: of aggregates, and of trades.

    Examples
    --------
    >>> rows = {"kind": ["id_hole", "id_hole"], "rows": [4, 1]}
    >>> found = pl.DataFrame({**rows, "detail": ["trade_id 2 to 5 are", "agg_trade_id 2 to 2 are"]})
    >>> ids_in_words(found), ids_in_words(found.clear())
    ('1 aggregate missing, 4 trades missing', 'whole')
    """
    aggregates = pl.col("detail").str.contains("agg_trade_id", literal=True)
    counts = found.group_by("kind", aggregates=aggregates).agg(pl.col("rows").sum())
    ordered = sorted(counts.iter_rows(), key=lambda row: (list(_WORDS).index(row[0]), not row[1]))
    said = []
    for kind, of_aggregates, count in ordered:
        what = "aggregate" if of_aggregates else "trade"
        said.append(f"{count:,} {what}{'' if count == 1 else 's'} {_WORDS[kind]}")
    return ", ".join(said) or "whole"


@dataclass
class _Skipped:
    """The ids of one counter that the venue left out of a month."""

    ids: int = 0
    places: int = 0
    longest: int = 0
    times: list[datetime] = field(default_factory=list)

    def add(self, broken: pl.DataFrame) -> None:
        """Count steps (``a, b, c, d``) over absent ids."""
        absent: list[int] = (broken["c"] - broken["a"] - 1).to_list()
        self.ids += sum(absent)
        self.places += len(absent)
        self.longest = max(self.longest, *absent, 0)
        ends = (*broken["b"].bottom_k(1), *broken["d"].top_k(1), *self.times)
        self.times = [min(ends), max(ends)] if ends else []


class _Walk:
    """Months read one after the other, and what their ids showed."""

    def __init__(self, seen: Survey) -> None:
        self.seen = seen
        self.rows: list[tuple[Any, ...]] = []
        self.holes: list[IdHole] = []
        self._edges: dict[tuple[str, str, Counter], Edge] = {}

    def read(self, month: SymbolMonth) -> None:
        """Check one month, and how it goes on from the one before."""
        schema = schema_of(month.folder.row.market, month.folder.row.data_type)
        counters = counters_of(schema)
        if not counters:
            return
        who = (schema.dataset, month.path, month.folder.symbol)
        twice = self.seen.repeats_of(month)[0]
        if twice:
            detail = f"{plural(twice, 'row')} whose {schema.id} is in the month already"
            self.rows.append((*who, "id_repeat", None, None, twice, detail))
        skipped = {counter: _Skipped() for counter in counters}
        for piece in _pieces(month, self.seen, schema):
            sure: pl.Series | None = None
            for counter in counters:
                steps = self._steps(piece, counter, month, schema)
                sure = _lossy(steps, skipping=counter.first in schema.skipping, sure=sure)
                skipped[counter].add(_left_out(steps, sure))
                found = [
                    Hole(Edge(a, b), Edge(c, d))
                    for a, b, c, d in steps.filter(sure | (steps["c"] <= steps["a"])).iter_rows()
                ]
                self.rows += [(*who, *row) for row in _findings(found, counter, schema)]
                if counter is counters[0]:
                    self.holes += [IdHole(month, counter, hole) for hole in found if hole.ids > 0]
        self.rows += [
            (*who, *_said(counter, some)) for counter, some in skipped.items() if some.ids
        ]

    def _steps(
        self, piece: pl.DataFrame, counter: Counter, month: SymbolMonth, schema: Schema
    ) -> pl.DataFrame:
        name = (schema.dataset, month.folder.symbol, counter)
        steps = _steps(piece, counter, schema.time, _near(self._edges.get(name), piece, schema))
        self._edges[name] = Edge(piece[counter.last][-1], piece[schema.time][-1])
        return steps


def _lossy(steps: pl.DataFrame, *, skipping: bool, sure: pl.Series | None) -> pl.Series:
    """Return which steps go over ids that lost trades; ``sure`` are those that another counter shows."""
    absent = (pl.col("c") > pl.col("a") + 1).fill_null(value=False)
    if not skipping:
        return steps.select(absent).to_series()
    silence = pl.col("d") - pl.col("b")
    usual = silence.filter(~_BROKEN).max().fill_null(timedelta(0))
    ids = pl.col("c") - pl.col("a") - 1
    odd = (silence > 2 * usual) & ((silence >= SILENCE) | (ids >= SOME))
    long = (ids > LONG_RUN) | odd
    found = steps.select(absent & long.fill_null(value=False)).to_series()
    return found if sure is None else found | (steps.select(absent).to_series() & sure)


def _left_out(steps: pl.DataFrame, sure: pl.Series) -> pl.DataFrame:
    """Return the steps over absent ids that lost nothing."""
    return steps.filter(((steps["c"] > steps["a"] + 1) & ~sure).fill_null(value=False))


def _findings(found: list[Hole], counter: Counter, schema: Schema) -> Iterator[tuple[Any, ...]]:
    """Yield rows of a day's breaks: each its own, unless there are very many; none is left out."""
    own = set(sorted(found, key=lambda hole: -abs(hole.ids))[:_ONE_BY_ONE])
    yield from (_finding(hole, counter, schema) for hole in found if hole in own)
    for missing in (True, False):
        rest = [hole for hole in found if hole not in own and (hole.ids > 0) is missing]
        if rest:
            kind, *_ = _finding(rest[0], counter, schema)
            most, what = max(abs(hole.ids) for hole in rest), counter.first.removeprefix("first_")
            count = sum(abs(hole.ids) for hole in rest)
            words = "are not there" if missing else "come again"
            detail = (
                f"{count:,} more of {what} {words}, in {len(rest):,} places of at most {most:,}"
            )
            yield kind, rest[0].before.time, rest[-1].after.time, count, detail


def _finding(hole: Hole, counter: Counter, schema: Schema) -> tuple[Any, ...]:
    before, after = hole
    if hole.ids < 0:
        own = counter.first == schema.id and schema.key != (schema.id,)
        kind = "id_reused" if own else "id_repeat"
        detail = f"{counter.first} {after.number} comes after {counter.last} {before.number}"
        if own:
            detail += ", for other trades: all rows are kept"
        return kind, before.time, after.time, -hole.ids, detail
    what = counter.first.removeprefix("first_")
    detail = f"{what} {before.number + 1} to {after.number - 1} are not there"
    return "id_hole", before.time, after.time, hole.ids, detail


def _said(counter: Counter, skipped: _Skipped) -> tuple[Any, ...]:
    """Return the row of a month that says which ids the venue left out."""
    what = counter.first.removeprefix("first_")
    detail = (
        f"the venue left {skipped.ids:,} of {what} out, in {skipped.places:,} places of at most "
        f"{skipped.longest:,}; no trade is lost"
    )
    return "ids_skipped", *skipped.times, skipped.ids, detail


def _near(edge: Edge | None, piece: pl.DataFrame, schema: Schema) -> Edge | None:
    """Return the edge unless days lie between it and the piece: those are a gap in time, not in ids."""
    if edge is None or piece[schema.time][0] - edge.time > timedelta(days=1):
        return None
    return edge


def _pieces(month: SymbolMonth, seen: Survey, schema: Schema) -> Iterator[pl.DataFrame]:
    """Read a month's ids day by day, so that no month of trades is held at once."""
    if not month.built:
        return
    columns = sorted({name for counter in counters_of(schema) for name in counter})
    order = [name for name in schema.key if name in columns]
    for day in month.days:
        rows = seen.rows_of(month, Days(day, day)).select(*columns, schema.time)
        piece = seen.collected(month, rows).sort(order)
        if piece.height:
            yield piece
