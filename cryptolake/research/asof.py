"""``lake.asof``: rows of other datasets beside a query's rows, each from when it was known on.

A row of the query is decided at an instant, and is given what was known then at the latest: see
:mod:`cryptolake.research.known`. Symbols are joined one at a time, with both sides sorted here, since a join of
unsorted rows gives wrong ones in silence. :func:`newest` is pure.

How long a row stands for the present, where ``max_age`` is not given, is data as well (``max_age`` in
``matrix/schemas.json``): kline types for less than one interval, so that a missing bar is null and not the bar
before it; metrics 15 minutes, three of their rows; fundingRate 9 hours, the longest usual interval and one more;
trades, aggTrades and bookTicker 5 minutes, so that nothing is carried over a hole of the feed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import polars as pl
import polars.selectors as cs

from cryptolake.archive.enums import DataType, Interval, Market, parse_data_type, parse_interval
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days, parse_duration
from cryptolake.archive.schemas import BAR, Schema, load_schemas, schema_of
from cryptolake.archive.symbols import is_glob, split_symbol
from cryptolake.bronze.ledger import one_data_type
from cryptolake.errors import Damaged, InvalidQuery, unknown_word
from cryptolake.listing.unpublished import unpublished_months
from cryptolake.readers.silver_files import warn_of_damage
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.research.known import known
from cryptolake.research.symbol_rows import (
    SymbolFiles,
    frames_in_turn,
    held_symbols,
    in_days,
    markets_of,
    warn_of_absent,
    warn_of_missing_months,
)
from cryptolake.storage.identity_columns import IDENTITY
from cryptolake.storage.layout import SilverPath

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

At = Literal["end", "open"]
Duration = str | timedelta
ByType = Mapping[str, Duration]

_TICK = timedelta(microseconds=1)
_MONTH = timedelta(days=31)
_DAY = timedelta(days=1)
_PIECE = 64 * 2**20
"""Bytes of Silver that are joined at once."""


class Other(NamedTuple):
    """A dataset that is joined: its type and interval, how late it is, and how long a row of it stands."""

    data_type: DataType
    interval: Interval | None
    lag: timedelta
    max_age: timedelta | None

    @property
    def known_at(self) -> str:
        """The name of the column that says when the joined row was known."""
        return f"{self.data_type.snake}_known_at"

    def of_bars(self, interval: Interval | None) -> Other:
        """Return the same with the interval of the rows it is joined to, where it has none of its own."""
        has = _has_interval(self.data_type)
        return self if self.interval or not has else self._replace(interval=interval)

    @property
    def age(self) -> timedelta:
        """The age up to which a row is joined."""
        if self.max_age is not None:
            return self.max_age
        length = _MONTH if self.interval is None else self.interval.length or _MONTH
        return length - _TICK

    @property
    def reach(self) -> timedelta:
        """How long before a decision a row that is joined can have its time, at most."""
        length = timedelta(0) if self.interval is None else self.interval.length or _MONTH
        return self.age + self.lag + length + _DAY


def _has_interval(data_type: DataType) -> bool:
    return any(row.has_interval for row in load_matrix().rows if row.data_type is data_type)


def others_of(
    words: Sequence[str], lag: ByType | None, max_age: Duration | ByType | None
) -> list[Other]:
    """Read the datasets to join: a data type, or ``"markPriceKlines:1h"`` with an interval of its own.

    Raises
    ------
    InvalidQuery
        A word that does not exist, a type named twice, one of which several rows have one time, or a duration
        that cannot be read.

    Examples
    --------
    >>> [other.known_at for other in others_of(["fundingRate", "markPriceKlines:1h"], None, None)]
    ['funding_rate_known_at', 'mark_price_klines_known_at']
    """
    if not words:
        message = "say what to join: lake.asof(query, 'fundingRate', 'metrics')."
        raise InvalidQuery(message, what="data type", given=())
    types = [parse_data_type(word.partition(":")[0]) for word in words]
    if len(set(types)) < len(types):
        twice = next(name for name in types if types.count(name) > 1)
        message = (
            f"{twice.value} is joined once in a call, and is named {types.count(twice)} times."
        )
        raise InvalidQuery(message, what="data type", given=twice.value)
    late = _by_type("lag", lag, types)
    ages = max_age if isinstance(max_age, Mapping) else None
    old = _by_type("max_age", ages, types)
    for data_type in types if ages is None and max_age is not None else ():
        old[data_type] = parse_duration(max_age)  # type: ignore[arg-type]  # no mapping
    return [
        _other(data_type, word.partition(":")[2], late.get(data_type), old.get(data_type))
        for data_type, word in zip(types, words, strict=True)
    ]


def _by_type(what: str, by: Any, types: Sequence[DataType]) -> dict[DataType, timedelta]:
    if by is not None and not isinstance(by, Mapping):
        message = (
            f"{what} is a mapping of data types to durations, as {{'metrics': '1d'}}, not {by!r}."
        )
        raise InvalidQuery(message, what=what, given=by)
    found = {parse_data_type(word): parse_duration(length) for word, length in (by or {}).items()}
    for data_type in found:
        if data_type not in types:
            error: InvalidQuery = unknown_word(what, data_type.value, [t.value for t in types])
            raise error
    return found


def _other(
    data_type: DataType, level: str, lag: timedelta | None, max_age: timedelta | None
) -> Other:
    schema = next(schema for (_, own), schema in load_schemas().items() if own is data_type)
    if schema.max_age is None:
        message = (
            f"{data_type.value} cannot be joined as of a time: several of its rows have one time; make one row "
            "of them first, or take a recipe of Gold."
        )
        raise InvalidQuery(message, what="data type", given=data_type.value)
    if level and not _has_interval(data_type):
        message = f"{data_type.value} has no interval: write {data_type.value!r}."
        raise InvalidQuery(message, what="interval", given=level)
    if max_age is None and schema.max_age != BAR:
        max_age = parse_duration(schema.max_age)
    interval = parse_interval(level) if level else None
    return Other(data_type, interval, lag or timedelta(0), max_age)


# ------------------------------------------------------------------------------------------------ pure


def newest(decided: pl.Series, right: pl.DataFrame, max_age: timedelta) -> pl.DataFrame:
    """Return, for each instant, what was known: of each column the newest value that is no null.

    Parameters
    ----------
    decided
        The instants, in any order.
    right
        Rows in any order; the first column says when each is known. Of those known at once, the last counts.
    max_age
        How long before its instant a value may have been known.

    Returns
    -------
    polars.DataFrame
        A row for each instant, in order, with the columns of ``right``; the first is the time of the newest
        row. Null where nothing was known. A null or NaN hides no older value that is not too old.
    """
    at = pl.DataFrame({"_at": decided})
    when = right.columns[0]
    if right.select(pl.any_horizontal(cs.float().is_nan().any())).to_series().any():
        right = right.with_columns(cs.float().fill_nan(None))
    if not right[when].is_sorted():
        right = right.sort(when, maintain_order=True)
    ordered = decided.is_sorted()
    if not ordered:
        at = at.with_row_index("_row").sort("_at")

    def joined(columns: list[str], rows: pl.DataFrame) -> pl.DataFrame:
        found = at.join_asof(
            rows.select(when, *columns),
            left_on="_at",
            right_on=when,
            strategy="backward",
            tolerance=max_age,
            coalesce=False,
            check_sortedness=False,  # both are sorted above
        )
        return found.select(when, *columns)

    holed = [name for name in right.columns[1:] if right[name].null_count()]
    full = [name for name in right.columns[1:] if name not in holed]
    found = joined(full, right)
    for name in holed:
        found = found.with_columns(joined([name], right.drop_nulls(name))[name])
    if not ordered:
        found = found.with_columns(at["_row"]).sort("_row").drop("_row")
    return found.select(right.columns)


def new_names(schema: Schema, taken: set[str]) -> dict[str, str]:
    """Return what each Silver column of a joined dataset is called.

    Times, and names that the query's rows or another dataset have, begin with the type.

    Examples
    --------
    >>> new_names(schema_of("futures_um", "fundingRate"), {"open_time", "close"})
    {'time': 'funding_rate_time', 'funding_interval_hours': 'funding_interval_hours', 'funding_rate': 'funding_rate'}
    """
    types = schema.silver_dtypes()
    return {
        name: f"{schema.data_type.snake}_{name}"
        if name in taken or isinstance(kind, pl.Datetime)
        else name
        for name, kind in types.items()
    }


# ------------------------------------------------------------------------------------------ of a lake


class Joined(NamedTuple):
    """One dataset to join to one market's rows: what the lake holds of it, and its columns."""

    other: Other
    schema: Schema
    names: dict[str, str]
    held: dict[tuple[Interval | None, str], SymbolFiles]

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that it adds, and their types."""
        types = {self.names[name]: kind for name, kind in self.schema.silver_dtypes().items()}
        return {**types, self.other.known_at: pl.Datetime("us", "UTC")}

    def files_for(self, rows: SymbolFiles) -> SymbolFiles:
        """Return the files to join to a symbol's rows; coin-margined indexes are of the bare pair."""
        other = self.other.of_bars(rows.interval)
        symbol = own_symbol(rows.market, other.data_type, rows.symbol)
        none = SymbolFiles(rows.market, other.data_type, other.interval, symbol, ())
        return self.held.get((other.interval, symbol), none)


def own_symbol(market: Market, data_type: DataType, symbol: str) -> str:
    """Return the symbol under which a type has what belongs to a symbol.

    Examples
    --------
    >>> own_symbol(Market.FUTURES_CM, DataType.INDEX_PRICE_KLINES, "BTCUSD_PERP")
    'BTCUSD'
    """
    if market is Market.FUTURES_CM and data_type is DataType.INDEX_PRICE_KLINES:
        parts = split_symbol(market, symbol)
        return f"{parts.base}{parts.quote}"
    return symbol


def asof(
    query: Query,
    lake: LakeContext,
    others: Sequence[str],
    *,
    at: At = "end",
    lag: ByType | None = None,
    max_age: Duration | ByType | None = None,
) -> pl.LazyFrame:
    """Return a query's rows with what was known of other datasets, made when the frame is collected.

    Parameters
    ----------
    query
        One data type.
    lake
        The lake; nothing is fetched.
    others, at, lag, max_age
        As ``lake.asof`` takes them.

    Raises
    ------
    InvalidQuery
        As :func:`others_of` says; or a market lacks a type, or an interval has to be named.
    """
    data_type = one_data_type(query)
    if at not in get_args(At):
        error: InvalidQuery = unknown_word("at", str(at), get_args(At))
        raise error
    wanted = others_of(others, lag, max_age)
    _check_intervals(query, data_type, wanted)
    warn_of_unusable(lake, query)
    schema: dict[str, Any] = dict.fromkeys(IDENTITY, pl.String())
    rows, bad, added = list[SymbolFiles](), list[Damaged](), dict[str, Any]()
    joins: dict[Market, list[Joined]] = {}
    for market in markets_of(query, data_type):
        schema |= schema_of(market, data_type).silver_dtypes()
        held = held_symbols(query, lake, market, data_type)
        joins[market] = _joins(query, lake, market, wanted, held.symbols, bad)
        rows += held.symbols
        bad += held.bad
        for item in joins[market]:
            added |= item.columns
    warn_of_damage(bad)
    warn_of_absent(query, lake, data_type, rows)
    make = partial(_rows, lake, query, at, joins)
    return frames_in_turn(rows, schema | added, make)


def _check_intervals(query: Query, data_type: DataType, others: Sequence[Other]) -> None:
    """Refuse bars whose interval is not said, and the query's own rows as what is joined to them."""
    for other in others:
        bars = _has_interval(other.data_type)
        if bars and other.interval is None and not _has_interval(data_type):
            message = f"{data_type.value} have no interval, so name that of {other.data_type.value}: '{other.data_type.value}:1m'."
            raise InvalidQuery(message, what="interval", given=other.data_type.value)
        same = other.interval is None or other.interval in query.selection.intervals
        if other.data_type is data_type and same:
            message = f"the query's own {data_type.value} cannot be joined to themselves; name another type, or another interval of it, as 'klines:1h'."
            raise InvalidQuery(message, what="data type", given=data_type.value)


def _joins(
    query: Query,
    lake: LakeContext,
    market: Market,
    others: Sequence[Other],
    rows: Sequence[SymbolFiles],
    bad: list[Damaged],
) -> list[Joined]:
    """Return what is joined to one market's rows; say of which months the lake has nothing to join."""
    schemas = {other: _schema_of(market, other) for other in others}
    own = schema_of(market, one_data_type(query)).silver_names
    found = []
    for other, schema in schemas.items():
        taken = {*own, *IDENTITY}
        taken |= {
            name for item, its in schemas.items() if item != other for name in its.silver_names
        }
        asked = _asked(query, market, other)
        warn_of_unusable(lake, asked)
        held = held_symbols(asked, lake, market, other.data_type)
        bad += held.bad
        by_symbol = {(item.interval, item.symbol): item for item in held.symbols}
        join = Joined(other, schema, new_names(schema, taken), by_symbol)
        found.append(join)
        _warn_of_missing(lake, join, rows)
    return found


def _schema_of(market: Market, other: Other) -> Schema:
    load_matrix().row(market, other.data_type)  # raises the InvalidQuery that says what there is
    return schema_of(market, other.data_type)


def _asked(query: Query, market: Market, other: Other) -> Query:
    """Return the query for a joined dataset: the same symbols, and days enough before and after."""
    selection = query.selection
    intervals = (other.interval,) if other.interval else selection.intervals
    change: dict[str, Any] = {
        "markets": (market,),
        "data_types": (other.data_type,),
        "intervals": intervals if _has_interval(other.data_type) else (),
    }
    if own_symbol(market, other.data_type, "BTCUSD_PERP") != "BTCUSD_PERP":
        plain = [word for word in selection.symbols if not is_glob(word)]
        whole = len(plain) == len(selection.symbols)
        names = tuple(own_symbol(market, other.data_type, word) for word in plain)
        change |= {"symbols": names if whole else (), "universe": None}
    if selection.days is not None:
        longest = max((item.length or _MONTH for item in selection.intervals), default=_DAY)
        change |= {
            "first": (selection.days.begin - other.reach).date(),
            "last": (selection.days.end + longest).date(),
        }
    return type(query)(selection.model_copy(update=change))


def _warn_of_missing(lake: LakeContext, join: Joined, rows: Sequence[SymbolFiles]) -> None:
    lacking: dict[str, list[SilverPath]] = {}
    for item in rows:
        other = join.files_for(item)
        here = {file.where.month for file in other.files}
        place = (other.market, other.data_type, other.interval, other.symbol)
        own = [file.where.month for file in item.files]
        lacking[item.symbol] = [SilverPath(*place, month) for month in own if month not in here]
    never = unpublished_months(lake.listing, chain.from_iterable(lacking.values()))
    missing = {
        symbol: months
        for symbol, places in lacking.items()
        if (months := [where.month for where in places if where not in never])
    }
    warn_of_missing_months(missing, join.schema.dataset, join.other.data_type)


def _rows(
    lake: LakeContext,
    query: Query,
    at: At,
    joins: Mapping[Market, Sequence[Joined]],
    files: SymbolFiles,
    needed: Sequence[str],
) -> Iterator[pl.DataFrame]:
    """Yield one symbol's rows, a few months at a time, with what is joined to them."""
    schema = schema_of(files.market, files.data_type)
    decided = _decided(files, schema, at).alias("_at")
    kept = [name for name in schema.silver_names if name in needed]
    times = [name for name in decided.meta.root_names() if name not in kept]
    identity = [
        pl.lit(word, pl.String).alias(name)
        for name, word in files.identity.items()
        if name in needed
    ]
    for piece in files.pieces(_PIECE):
        scan = piece.scan(lake.storage, dict.fromkeys([*kept, *times, schema.time]))
        with piece.scanned(lake.storage):
            made = scan.filter(in_days(schema.time, query)).with_columns(decided).collect()
        if not made.height:
            continue
        rows, instants = made.select(*identity, *kept), made["_at"]
        parts = [rows]
        for join in joins[files.market]:
            columns = [name for name in join.columns if name in needed]
            if columns:
                parts.append(_known_rows(lake, join, files, instants, columns))
        yield (
            pl.concat(parts, how="horizontal")
            if rows.width
            else pl.concat(parts[1:], how="horizontal")
        )


def _decided(files: SymbolFiles, schema: Schema, at: At) -> pl.Expr:
    """Return when a row is decided: a tick at its own time; others when they are known, or when they begin."""
    if at == "open" or schema.id is not None:
        return pl.col(schema.time)
    return known(files.market, files.data_type, files.interval)


def _known_rows(
    lake: LakeContext,
    join: Joined,
    rows: SymbolFiles,
    instants: pl.Series,
    columns: Sequence[str],
) -> pl.DataFrame:
    """Return some columns of a joined dataset as they were known at some instants."""
    other, files = join.other.of_bars(rows.interval), join.files_for(rows)
    when = known(files.market, files.data_type, files.interval) + pl.lit(other.lag)
    names = {new: old for old, new in join.names.items() if new in columns}
    first: datetime = instants.min()  # type: ignore[assignment]  # there are rows, and these are times
    last: datetime = instants.max()  # type: ignore[assignment]
    files = files.within(Days((first - other.reach).date(), last.date()))
    own = dict.fromkeys([*names.values(), *when.meta.root_names()])
    right = (
        files.scan(lake.storage, own)
        .select(when.alias(other.known_at), *(pl.col(old).alias(new) for new, old in names.items()))
        .filter(pl.col(other.known_at).is_between(pl.lit(first) - other.age, pl.lit(last)))
    )
    with files.scanned(lake.storage):
        found = right.collect()
    return newest(instants, found, other.age).select(columns)
