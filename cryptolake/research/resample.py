"""``lake.resample``: coarser bars made of finer ones, each with how many of its bars were there.

:func:`coarser` is pure and takes the rows of one symbol from anywhere. What it makes equals what the archive
publishes: prices and counts exactly, sums of volumes but for the last bits of a float.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, parse_interval
from cryptolake.archive.grid import bar_end, bar_open
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import one_data_type
from cryptolake.errors import InvalidQuery
from cryptolake.readers.silver_files import warn_of_damage
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.research.symbol_rows import (
    SymbolFiles,
    frames_in_turn,
    held_symbols,
    in_days,
    markets_of,
    one_of,
    warn_of_absent,
)
from cryptolake.storage.identity_columns import IDENTITY

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_PRICES = ("open", "high", "low", "close")
_COUNTS = {"bars": pl.Int64(), "expected": pl.Int64(), "whole": pl.Boolean()}


class Steps(NamedTuple):
    """The bars that are there, and those that are made of them."""

    data_type: DataType
    fine: Interval
    coarse: Interval


def is_multiple(coarse: Interval, fine: Interval) -> bool:
    """Say whether every bar of one interval is made of whole bars of another, shorter one.

    Examples
    --------
    >>> is_multiple(Interval.H1, Interval.M1), is_multiple(Interval.H12, Interval.H8)
    (True, False)
    >>> is_multiple(Interval.W1, Interval.D1), is_multiple(Interval.W1, Interval.D3)
    (True, False)
    """
    if fine.length is None or coarse is fine:
        return False
    if coarse.length is None or coarse is Interval.W1:  # from a first day of a month, or a Monday
        return _DAY % fine.length == timedelta(0)
    return coarse.length > fine.length and coarse.length % fine.length == timedelta(0)


def steps_of(query: Query, every: str) -> Steps:
    """Return what a query's bars are, and what they are to become.

    Raises
    ------
    InvalidQuery
        The query does not ask for bars of one data type and one interval, or ``every`` is no multiple of it.

    Examples
    --------
    >>> from cryptolake.query import Query
    >>> asked = Query().markets("spot").klines("8h").symbols("BTCUSDT")
    >>> steps_of(asked, "12h")
    Traceback (most recent call last):
    cryptolake.errors.InvalidQuery: bars of 12h cannot be made of bars of 8h; of 8h those of 1d, 3d, 1w, 1mo can.
    """
    data_type = one_data_type(query)
    if not any(row.has_interval for row in load_matrix().rows if row.data_type is data_type):
        message = (
            f"resample makes coarser bars of finer ones, and {data_type.value} are no bars; ask for klines, "
            "or a recipe of Gold for bars of ticks."
        )
        raise InvalidQuery(message, what="data type", given=data_type.value)
    fine: Interval = one_of("interval", query.selection.intervals, "resample")
    coarse = parse_interval(every)
    if not is_multiple(coarse, fine):
        fitting = [interval.value for interval in Interval if is_multiple(interval, fine)]
        can = f"of {fine.value} those of {', '.join(fitting)} can" if fitting else "nothing can"
        message = f"bars of {coarse.value} cannot be made of bars of {fine.value}; {can}."
        raise InvalidQuery(message, what="interval", given=coarse.value, allowed=fitting)
    return Steps(data_type, fine, coarse)


def coarser(rows: pl.LazyFrame, market: Market, steps: Steps) -> pl.LazyFrame:
    """Return the coarser bars of one symbol's rows, sorted by their open times.

    Parameters
    ----------
    rows
        Bars of one symbol in the order of their open times, with the columns of Silver.
    market
        Their market, which says what columns they have.
    steps
        Their interval, and that of the result.
    """
    _, fine, coarse = steps
    names = schema_of(market, steps.data_type).silver_names
    sums = [name for name in names if name not in (*_PRICES, "open_time", "close_time")]
    opened = pl.col("open_time")
    off = opened != bar_open(opened, fine)
    # A row off the grid may end after the coarser bar that it opens in: that bar closes with it.
    last = pl.when(off).then(bar_end(opened, fine) - pl.lit(_TICK))
    made = rows.group_by(bar_open(opened, coarse).alias("_begin")).agg(
        *_prices("trades" in names),
        pl.max_horizontal(pl.col("close_time").max(), last.max()).alias("close_time"),
        *(pl.col(name).sum() for name in sums),
        pl.len().cast(pl.Int64).alias("bars"),
        off.any().alias("_off"),
    )
    begin = pl.col("_begin")
    span = (bar_end(begin, coarse) - begin).dt.total_microseconds()
    expected = span // ((fine.length or _DAY) // _TICK)
    whole = (pl.col("bars") == expected) & ~pl.col("_off")
    return made.sort("_begin").select(
        begin.alias("open_time"), *names[1:], "bars", expected=expected, whole=whole
    )


def _prices(traded: bool) -> Iterator[pl.Expr]:  # noqa: FBT001
    """Yield the four prices: of bars with trades; of a bar without any, as the finer ones repeat the last price."""
    with_trades = pl.col("trades") > 0 if traded else pl.lit(value=True)
    of = {name: pl.when(with_trades).then(pl.col(name)) for name in _PRICES}
    seen = {
        "open": (of["open"].first(ignore_nulls=True), pl.col("open").first()),
        "high": (of["high"].max(), pl.col("high").max()),
        "low": (of["low"].min(), pl.col("low").min()),
        "close": (of["close"].last(ignore_nulls=True), pl.col("close").last()),
    }
    for name, (first, second) in seen.items():
        yield (pl.coalesce(first, second) if traded else second).alias(name)


def resample(query: Query, lake: LakeContext, every: str) -> pl.LazyFrame:
    """Return a query's bars as coarser ones, made when the frame is collected.

    Parameters
    ----------
    query
        Bars of one data type and one interval.
    lake
        The lake; nothing is fetched.
    every
        The interval of the result.

    Raises
    ------
    InvalidQuery
        As :func:`steps_of` says.
    """
    steps = steps_of(query, every)
    warn_of_unusable(lake, query)
    schema: dict[str, Any] = dict.fromkeys(IDENTITY, pl.String())
    found, bad = list[SymbolFiles](), []
    for market in markets_of(query, steps.data_type):
        schema |= schema_of(market, steps.data_type).silver_dtypes()
        held = held_symbols(query, lake, market, steps.data_type)
        found += held.symbols
        bad += held.bad
    warn_of_damage(bad)
    warn_of_absent(query, lake, steps.data_type, found)
    days = in_days("open_time", query)

    def make(files: SymbolFiles, needed: Sequence[str]) -> Iterator[pl.DataFrame]:
        names = schema_of(files.market, files.data_type).silver_names
        bars = coarser(files.scan(lake.storage, names).filter(days), files.market, steps)
        made = [name for name in needed if name in names or name in _COUNTS]
        words = {**files.identity, "interval": steps.coarse.value}
        identity = [pl.lit(words[name], pl.String).alias(name) for name in IDENTITY]
        with files.scanned(lake.storage):
            found = bars.select(*made, *identity).collect(engine="streaming")
        yield found

    return frames_in_turn(found, schema | _COUNTS, make)
