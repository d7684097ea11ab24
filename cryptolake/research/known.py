"""When a row is known: from that instant on a decision may use it, and no join of ours uses it before.

A row is known one tick of its clock after the last instant that it covers. What that means for each dataset
is data, ``known`` in ``matrix/schemas.json``; the evidence:

- every kline type: the later of ``open_time + interval`` and ``close_time + 1us``. ``close_time`` alone looks
  ahead, since around halts it can lie inside the bar; so does the end of the grid's bar for rows off the grid.
- trades, aggTrades: stamps are cut to milliseconds, so 1 ms later; spot files of 2025 and later have
  microseconds.
- bookTicker: 1 ms after the later of ``time`` and ``event_time``: a quote in a trade's own millisecond may be
  the trade's effect.
- fundingRate: at ``time`` as published, up to 15 ms after the hour. As a *payment* it belongs to the bar that
  ends at the hour: round the time to the hour to add payments up.
- metrics: 5 minutes after the stamp, which holds whether stamps name the start or the end of their 5 minutes.
- bookDepth: stamps are whole seconds, so 1 s later.
- liquidationSnapshot: 1 s later, as the venue's stream of that name sends one order of each second, and which
  one is settled when the second is over.
- BVOLIndex: computed at its stamp, in milliseconds, so 1 ms later.
- EOHSummary: 1 h after the stamp, which names the start of the hour whose end the values are of.

When the archive publishes the file, a day later or more, is another question: see ``lag`` of ``lake.asof``.
"""

from __future__ import annotations

from datetime import UTC, datetime, time

import polars as pl

from cryptolake.archive.enums import Interval, parse_data_type, parse_interval, parse_market
from cryptolake.archive.grid import bar_end
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import parse_duration
from cryptolake.archive.schemas import BAR, KnownTime, schema_of
from cryptolake.errors import InvalidQuery


def known(market: str, data_type: str, interval: str | None = None) -> pl.Expr:
    """Return when a row of a dataset is known, as an expression over its Silver columns.

    Parameters
    ----------
    market, data_type
        As a query takes them.
    interval
        The interval of the bars, for the kline types and no others.

    Returns
    -------
    polars.Expr
        ``Datetime("us", "UTC")``, named ``known_at``. A decision at an instant may use the rows that are
        known at or before it.

    Raises
    ------
    InvalidQuery
        A word that does not exist, a type that the market has not, an interval that is missing or that the
        type does not have.

    Examples
    --------
    >>> import polars as pl
    >>> import cryptolake as cl
    >>> from datetime import UTC, datetime
    >>> rows = pl.DataFrame({"time": [datetime(2024, 1, 1, 0, 5, tzinfo=UTC)]})
    >>> rows.select(cl.known("futures_um", "metrics")).item().time()
    datetime.time(0, 10)
    """
    row = load_matrix().row(parse_market(market), parse_data_type(data_type))
    level = None if interval is None else parse_interval(interval)
    if (level is None) == row.has_interval or (level and level not in row.all_intervals):
        have = ", ".join(known.value for known in row.all_intervals) or "none"
        given = "no interval was given" if level is None else f"{level.value} was given"
        message = f"{row.dataset} has the intervals {have}, and {given}."
        raise InvalidQuery(message, what="interval", given=interval)
    bounds = [_bound(bound, level) for bound in schema_of(row.market, row.data_type).known]
    latest = bounds[0] if len(bounds) == 1 else pl.max_horizontal(bounds)
    return latest.alias("known_at")


def _bound(bound: KnownTime, interval: Interval | None) -> pl.Expr:
    time_of = pl.col(bound.column)
    first = _after(time_of, bound.plus, interval)
    if bound.since is None or bound.then is None:
        return first
    begin = datetime.combine(bound.since, time(), UTC)
    later = _after(time_of, bound.then, interval)
    return pl.when(time_of < pl.lit(begin, pl.Datetime("us", "UTC"))).then(first).otherwise(later)


def _after(time_of: pl.Expr, plus: str, interval: Interval | None) -> pl.Expr:
    if plus == BAR and interval is not None:
        return bar_end(time_of, interval)
    return time_of + pl.lit(parse_duration(plus))
