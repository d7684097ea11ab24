"""``lake.universe``: the symbols that traded most, as of each period's start, delisted names included.

A symbol's rank at a time is its volume of the days before, by what was known then (:func:`~cryptolake.research.known.known`).
Nothing later moves it: who was delisted since is there as long as it was, and who was listed since is not.
:func:`periods` and :func:`ranked` are pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from cryptolake.archive.assets import ASSET_KINDS, load_assets
from cryptolake.archive.enums import DataType, Interval
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days, parse_duration
from cryptolake.archive.schemas import schema_of
from cryptolake.archive.symbols import Universe, Vocabulary, in_universe, matching, split_symbol
from cryptolake.errors import InvalidQuery, unknown_word
from cryptolake.planning.plan import require_rows
from cryptolake.planning.planner import make_plan
from cryptolake.progress import shown
from cryptolake.query import Query, Selection
from cryptolake.research.known import known

if TYPE_CHECKING:
    from cryptolake.archive.enums import Market
    from cryptolake.archive.schemas import Schema
    from cryptolake.listing.context import LakeContext
    from cryptolake.transfer.pull import RunSettings


class DailyBars(Protocol):
    """The daily bars that a lake holds of a market, and what is known of their files."""

    def bars(self, market: Market, days: Days) -> pl.LazyFrame:
        """Return the bars of every symbol: ``symbol, open_time, close_time`` and volumes."""

    def is_fetched(self, needed: Query) -> bool:
        """Say whether all that is published of a query was fetched, as far as a listing can tell."""

    def note_fetched(self, needed: Query, listed_at: datetime | None) -> None:
        """Keep that all that a listing of some time has of a query was fetched."""


_TIME = pl.Datetime("us", "UTC")
_EACH = re.compile(r"([1-9]\d{0,3})(d|w|mo)", re.ASCII)
_RANKED_BY = ("quote asset", "contracts", "trades")
"""Units of columns that can be compared between symbols; of these, amounts of the base asset are none."""

_MONDAY = date(1970, 1, 5)
_Window = tuple[datetime, datetime]


# ------------------------------------------------------------------------------------------------ pure


def periods(days: Days, each: str) -> list[tuple[datetime, datetime]]:
    """Return the periods of a range, ``[from, until)``, UTC; the first begins with the range.

    Parameters
    ----------
    days
        The range.
    each
        ``"1mo"`` (also ``3mo``: months of the calendar), ``"1w"`` (from Mondays), or days, counted from the
        first of the range: ``"7d"``.

    Raises
    ------
    InvalidQuery
        ``each`` is no such text.

    Examples
    --------
    >>> found = periods(Days(date(2024, 1, 15), date(2024, 3, 2)), "1mo")
    >>> [(f"{begin:%m-%d}", f"{until:%m-%d}") for begin, until in found]
    [('01-15', '02-01'), ('02-01', '03-01'), ('03-01', '04-01')]
    """
    match = _EACH.fullmatch(str(each).replace("M", "mo"))
    if match is None:
        message = f"cannot read {each!r} as a period; write '1mo', '1w' or '7d' (a number and mo, w or d)."
        raise InvalidQuery(message, what="each", given=each)
    count, unit = int(match[1]), match[2]
    begin, found = days.first, []
    while begin <= days.last:
        until = _next(begin, count, unit)
        found.append((_midnight(begin), _midnight(until)))
        begin = until
    return found


def _next(day: date, count: int, unit: str) -> date:
    """Return the first border after a day: of months and weeks those of the calendar."""
    if unit == "mo":
        number = (day.year * 12 + day.month - 1) // count * count + count
        return date(number // 12, number % 12 + 1, 1)
    if unit == "w":
        weeks = (day - _MONDAY).days // 7 // count * count + count
        return _MONDAY + timedelta(weeks=weeks)
    return day + timedelta(days=count)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def ranked(
    daily: pl.DataFrame,
    spans: Sequence[_Window],
    *,
    by: str,
    over: timedelta,
    top: int,
    among: Iterable[str],
) -> pl.DataFrame:
    """Rank symbols at the start of each period, by what was known then.

    Parameters
    ----------
    daily
        ``symbol, open_time, known_at`` and ``by``: a row a symbol and day.
    spans
        The periods.
    by
        The column that is summed.
    over
        How long before a period's start a day may begin.
    top
        How many symbols a period has.
    among
        The symbols that may be members. Others say only which days the market has.

    Returns
    -------
    polars.DataFrame
        ``from, until, rank, symbol``, the sum, and ``days``, how many days it is of.
    """
    # In one piece and by time, so that a symbol's sum of floats is the same at each call.
    rows = daily.sort("open_time", maintain_order=True).rechunk()
    names = rows["symbol"].unique().sort()
    codes = pl.Series(range(names.len()), dtype=pl.UInt32)
    rows = rows.select(
        pl.col("symbol").replace_strict(names, codes, return_dtype=pl.UInt32).alias("code"),
        *("open_time", "known_at", by),
    )
    begins = pl.Series([begin for begin, _ in spans], dtype=_TIME)
    lows = rows["open_time"].search_sorted(begins - over, "left")
    highs = rows["open_time"].search_sorted(begins, "right")
    windows = list(enumerate(zip(lows, highs, strict=True)))
    sums = [_summed(rows, group, begins, by) for group in _groups(windows)]
    of_periods = pl.DataFrame(
        {"from": begins, "until": pl.Series([until for _, until in spans], dtype=_TIME)}
    )
    found = (
        pl.concat(sums)
        .with_columns(symbol=names.gather(pl.concat(sums)["code"]))
        .filter(pl.col("symbol").is_in(sorted(among)))
        .sort("period", by, "code", descending=[False, True, False])
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("period").alias("rank"))
        .filter(pl.col("rank") <= top)
    )
    ranks = pl.concat([of_periods[found["period"]], found], how="horizontal")
    return pl.concat(
        [_none_ranked(daily, by), ranks.select("from", "until", "rank", "symbol", by, "days")]
    )


_AT_ONCE = 1_000_000
"""Rows of windows that are summed together: windows overlap where periods are shorter than them."""

_Numbered = tuple[int, tuple[int, int]]
"""The number of a period, and the first row of its window and the one after its last."""


def _groups(windows: Sequence[_Numbered]) -> Iterator[list[_Numbered]]:
    """Yield windows, in groups of about :data:`_AT_ONCE` rows; at least one group."""
    group: list[_Numbered] = []
    rows = 0
    for number, (low, high) in windows:
        group.append((number, (low, high)))
        rows += high - low
        if rows >= _AT_ONCE:
            yield group
            group, rows = [], 0
    if group or not windows:
        yield group


def _summed(
    rows: pl.DataFrame, windows: Sequence[_Numbered], begins: pl.Series, by: str
) -> pl.DataFrame:
    """Return, by period and symbol: the sum and the days of what was known; only who traded on the newest day."""
    spread = pl.concat(
        [rows.clear().with_columns(period=pl.lit(0, pl.UInt32))]
        + [
            rows.slice(low, high - low).with_columns(period=pl.lit(number, pl.UInt32))
            for number, (low, high) in windows
        ]
    )
    traded = pl.when(pl.col(by) > 0).then(pl.col("open_time").dt.date()).max()
    # Who did not trade on the market's newest day cannot be bought any more.
    return (
        spread.filter(pl.col("known_at") <= begins.gather(spread["period"]))
        .group_by("period", "code", maintain_order=True)
        .agg(pl.col(by).sum(), pl.len().cast(pl.Int64).alias("days"), traded.alias("traded"))
        .filter(pl.col("traded") == pl.col("traded").max().over("period"))
        .drop("traded")
    )


def _none_ranked(daily: pl.DataFrame, by: str) -> pl.DataFrame:
    schema: dict[str, Any] = {
        **dict.fromkeys(("from", "until"), _TIME),
        "rank": pl.Int64,
        "symbol": pl.String,
    }
    return pl.DataFrame(schema={**schema, by: daily.schema[by], "days": pl.Int64})


def candidates(selection: Selection, market: str, symbols: Sequence[str]) -> list[str]:
    """Return the symbols that a query means, without stablecoins, money and leveraged tokens.

    Examples
    --------
    >>> asked = Query().universe(quote="USDT").selection
    >>> candidates(asked, "spot", ["BTCUSDT", "JUPUSDT", "BTCUPUSDT", "USDCUSDT", "ETHBTC"])
    ['BTCUSDT', 'JUPUSDT']
    """
    vocabulary = Vocabulary.learn(market, symbols)
    named = matching(list(symbols), selection.symbols) if selection.symbols else symbols
    rule = _rule(selection)
    return [symbol for symbol in named if in_universe(rule, market, symbol, vocabulary)]


def _rule(selection: Selection) -> Universe:
    rule = selection.universe or Universe()
    return rule.model_copy(update={"leave_out": ASSET_KINDS})


# ------------------------------------------------------------------------------------------ of a lake


def universe(
    query: Query,
    lake: LakeContext,
    settings: RunSettings,
    daily: DailyBars,
    *,
    top: int = 50,
    by: str = "quote_volume",
    over: str | timedelta = "30d",
    each: str = "1mo",
    refresh: bool = False,
) -> pl.DataFrame:
    """Return a market's most traded symbols as of the start of each period of the query's days.

    Parameters
    ----------
    query
        One market and the days; symbols and a rule narrow whom it ranks.
    lake, settings
        The lake, and how the daily klines that it lacks are fetched.
    daily
        What gives a market's daily bars.
    top, by, over, each
        How many, by which column, summed over how long before each period.
    refresh
        Ask the archive again even where its cached listing is fresh.

    Returns
    -------
    polars.DataFrame
        As :func:`ranked`.

    Raises
    ------
    InvalidQuery
        The query is not of one market with klines, or its symbols are quoted in several assets.
    """
    market, days = _market_of(query), _days_of(query)
    schema = schema_of(market, DataType.KLINES)
    length, spans = _checked(top, by, over, each, days, schema)
    window = Days((spans[0][0] - length).date(), spans[-1][0].date() - timedelta(days=1))
    earliest = load_matrix().row(market, DataType.KLINES).first_date
    if window.last < earliest:
        message = f"{schema.dataset} begins at {earliest}, so nothing is known before {days.first}."
        raise InvalidQuery(message, what="days", given=str(days.first))
    window = Days(max(window.first, earliest), window.last)
    needed = needed_of(query, market, window)
    if refresh or not daily.is_fetched(needed):
        daily.note_fetched(needed, _fetch(needed, lake, settings, refresh=refresh))
    rows = daily.bars(market, window).select(
        pl.col("symbol").cast(pl.String),
        "open_time",
        known(market.value, DataType.KLINES.value, Interval.D1.value).alias("known_at"),
        by,
    )
    bars = rows.collect()
    among = candidates(query.selection, market.value, sorted(bars["symbol"].unique()))
    if schema.column(by).unit == "quote asset":
        _one_quote(market.value, among, by)
    return ranked(bars, spans, by=by, over=length, top=top, among=among)


def _market_of(query: Query) -> Market:
    selection = query.selection
    types = {*selection.data_types} - {DataType.KLINES}
    if types or len(selection.markets) != 1:
        what, words = ("data type", types) if types else ("market", selection.markets)
        names = ", ".join(word.value for word in words) or "none"
        message = (
            f"a universe is ranked by the daily klines of one market, and this query names the {what} {names}; "
            "write cl.query().markets('futures_um').universe(quote='USDT').between('2024')."
        )
        raise InvalidQuery(message, what=what, given=names)
    return load_matrix().row(selection.markets[0], DataType.KLINES).market


def _days_of(query: Query) -> Days:
    days = query.selection.days
    if days is None:
        message = "say which days the universe is of: .between('2024-01', '2024-12')."
        raise InvalidQuery(message, what="days", given=None)
    return days


def _checked(
    top: int, by: str, over: str | timedelta, each: str, days: Days, schema: Schema
) -> tuple[timedelta, list[_Window]]:
    """Return how long is summed over, and the periods."""
    columns = [c.name for c in schema.columns if c.unit in _RANKED_BY and c.kind != "price"]
    if by not in columns:
        raise unknown_word("column to rank by", by, columns)
    if top < 1:
        message = f"a universe has at least one symbol, and top is {top}."
        raise InvalidQuery(message, what="top", given=top)
    length = parse_duration(over)
    if length < timedelta(days=1):
        message = f"a universe is ranked by whole days: over is {over!r}, write '1d' or more."
        raise InvalidQuery(message, what="over", given=over)
    return length, periods(days, each)


def _one_quote(market: str, symbols: Sequence[str], by: str) -> None:
    """Refuse symbols whose volumes are in several assets: kinds of dollars count as one."""
    dollars = load_assets().dollars
    quotes = {split_symbol(market, symbol).quote for symbol in symbols}
    if len({"USD" if quote in dollars else quote for quote in quotes}) > 1:
        names = ", ".join(sorted(quotes))
        message = (
            f"{market} symbols of this query are quoted in {names}, and {by} in one of them does not "
            "compare with another; say .universe(quote='USDT')."
        )
        raise InvalidQuery(message, what="quote", given=tuple(sorted(quotes)))


def needed_of(query: Query, market: Market, days: Days) -> Query:
    """Return the query of the daily klines of a query's symbols."""
    selection = query.selection
    words: dict[str, Any] = _rule(selection).model_dump(exclude={"listed_on"})
    return (
        Query()
        .markets(market)
        .klines(Interval.D1)
        .symbols(*(selection.symbols or ("*",)))
        .universe(**words)
        .between(days.first, days.last)
    )


def _fetch(
    needed: Query, lake: LakeContext, settings: RunSettings, *, refresh: bool
) -> datetime | None:
    """Bring what is published of a query into Bronze; no Silver is built. Return when it was listed."""
    with shown(settings.progress):
        plan = make_plan(needed, lake, route=settings.route, refresh=refresh)
    report = settings.transfer(plan, lake)
    lake.records.forget()
    require_rows(plan, report)
    return plan.listed_at if report.ok else None
