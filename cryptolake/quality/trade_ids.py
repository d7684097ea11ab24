"""Trade and aggregate ids, which run without holes: where they do not, inside and across files.

Ids are counted per symbol. A hole means trades that the archive does not have; a repeat, one id in two
files (the build keeps one row of it and counts the rest as duplicates).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import Schema, schema_of
from cryptolake.quality.report import repeats
from cryptolake.quality.survey import survey
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


def holes(frame: pl.DataFrame, counter: Counter, time: str, edge: Edge | None) -> list[Hole]:
    """Return where ids do not go on by one, in a frame sorted by id, and from ``edge`` to its first row.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2024, 1, 1, tzinfo=UTC)
    >>> frame = pl.DataFrame({"id": [7, 8, 11], "time": [at, at, at]})
    >>> [
    ...     (hole.before.number, hole.ids)
    ...     for hole in holes(frame, Counter("id", "id"), "time", Edge(4, at))
    ... ]
    [(4, 2), (8, 2)]
    """
    if not frame.height:
        return []
    when = pl.col(time)
    before = pl.col(counter.last).shift(1, fill_value=edge.number if edge else None)
    since = when.shift(1, fill_value=edge.time if edge else None)
    pairs = frame.select(
        before.alias("a"), since.alias("b"), pl.col(counter.first).alias("c"), when.alias("d")
    )
    broken = pairs.filter(pl.col("c") != pl.col("a") + 1)
    return [Hole(Edge(a, b), Edge(c, d)) for a, b, c, d in broken.iter_rows()]


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
        One row per break: ``kind`` is ``id_hole`` (``rows`` ids are missing between two rows whose times
        are ``first`` and ``last``, UTC) or ``id_repeat`` (``rows`` ids that came twice).
    """
    rows: list[tuple[Any, ...]] = []
    edges: dict[tuple[str, str, Counter], Edge] = {}
    for month in seen.months:
        schema = schema_of(month.folder.row.market, month.folder.row.data_type)
        counters = counters_of(schema)
        who = (schema.dataset, month.path, month.folder.symbol)
        twice = repeats(seen.sources_of(month))[0] if counters else 0
        if twice:
            detail = f"{twice:,} rows whose {schema.id} is in the month already"
            rows.append((*who, "id_repeat", None, None, twice, detail))
        for piece in _pieces(month, seen, schema) if counters else ():
            for counter in counters:
                name = (schema.dataset, month.folder.symbol, counter)
                found = holes(piece, counter, schema.time, _near(edges.get(name), piece, schema))
                rows += [(*who, *_finding(hole, counter)) for hole in found]
                edges[name] = Edge(piece[counter.last][-1], piece[schema.time][-1])
    return pl.DataFrame(rows, schema=ID_FINDINGS, orient="row")


def _finding(hole: Hole, counter: Counter) -> tuple[Any, ...]:
    before, after = hole
    if hole.ids < 0:
        detail = f"{counter.first} {after.number} comes after {counter.last} {before.number}"
        return "id_repeat", before.time, after.time, -hole.ids, detail
    what = counter.first.removeprefix("first_")
    detail = f"{what} {before.number + 1} to {after.number - 1} are not there"
    return "id_hole", before.time, after.time, hole.ids, detail


def _near(edge: Edge | None, piece: pl.DataFrame, schema: Schema) -> Edge | None:
    """Return the edge unless days lie between it and the piece: those are a gap in time, not in ids."""
    if edge is None or piece[schema.time][0] - edge.time > timedelta(days=1):
        return None
    return edge


def _pieces(month: SymbolMonth, seen: Survey, schema: Schema) -> Iterator[pl.DataFrame]:
    """Read a month's ids day by day, so that no month of trades is held at once."""
    if not month.built:
        return
    columns = {name for counter in counters_of(schema) for name in counter}
    for day in month.days:
        rows = seen.rows_of(month, Days(day, day)).select(*sorted(columns), schema.time)
        piece = rows.collect().sort(schema.id or "")
        if piece.height:
            yield piece
