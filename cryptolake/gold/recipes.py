"""Recipes: plain functions from LazyFrames to a LazyFrame, registered as datasets of Gold.

A recipe's first input leads: its market, symbol and interval are those of the Gold file. One that holds for other
markets and intervals too has a variant for each (:meth:`Recipe.at`), whose files are in folders of their own. Ours are
the modules that :data:`OURS` names; a user's are those of the process. Nothing is built here
(:mod:`cryptolake.gold.build`).
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from cryptolake.archive.enums import Interval, Market, parse_interval, parse_market
from cryptolake.archive.feeds import Feed
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days, parse_duration
from cryptolake.errors import BuildError, InvalidQuery, unknown_word
from cryptolake.gold.code_hash import code_hash

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from cryptolake.archive.periods import Period

_NAME = re.compile(r"[^\W_]\w{0,99}")
"""What folders, views and locks take."""

Each = Literal["symbol-month", "market-month"]
"""What one file, and one call of the function, is about: a symbol's month, or a market's with all symbols."""

Pair = Callable[..., Mapping[str, str]]
"""From the leading input's symbol to the symbols of the others, by input; those left out have the same name.

An empty one says that there is no such input: it has no rows then, and nothing is missing. One with a second parameter
``market`` gets the leading input's."""

ALL = "all"
"""In place of a recipe's intervals: all that its inputs have."""

OURS: dict[str, str] = {
    "basis": "basis",
    "depth": "depth",
    "dollar_bars": "bars",
    "flow": "flow",
    "funding": "funding",
    "open_interest": "open_interest",
    "option_surface": "option_surface",
    "panel": "panel",
    "perp_returns": "funding",
    "premium": "premium",
    "realized_vol": "realized_vol",
    "spread": "spread",
    "tick_bars": "bars",
    "volume_bars": "bars",
}
"""Our recipes, and the module of this package that each is in."""

_KEPT = {*OURS, "daily", "filled"}
_RECIPES: dict[str, Recipe] = {}

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class Recipe:
    """A function of the lake's datasets whose result is kept in Gold.

    Parameters
    ----------
    name
        The function's name: the folder under ``gold/``, and the view ``gold.<name>``.
    make
        The function: a LazyFrame for each input, by keyword, to a LazyFrame.
    inputs
        What it is made of, by parameter. The first leads.
    before
        How long before the month its inputs begin: warm-up rows.
    version
        Raised where something changed that the code's hash does not cover.
    each
        ``symbol-month`` or ``market-month``.
    pair
        Which symbols of the other inputs belong to the leading one's, where they are named differently.
    after
        How long after the month the inputs other than the leading one go on.
    depends
        Data that the function reads elsewhere, as JSON: part of the code's hash.
    markets, intervals
        What it holds for, the leading input's among them: :meth:`at`.
    """

    name: str
    make: Callable[..., pl.LazyFrame]
    inputs: Mapping[str, Feed]
    before: timedelta
    version: str
    each: Each = "symbol-month"
    pair: Pair | None = field(default=None, repr=False)
    after: timedelta = timedelta()
    depends: str | None = field(default=None, repr=False)
    markets: tuple[Market, ...] = ()
    intervals: tuple[Interval, ...] = ()

    @property
    def lead(self) -> Feed:
        """The input whose market, symbol and interval are those of the result."""
        return next(iter(self.inputs.values()))

    @cached_property
    def code(self) -> str:
        """The hash of what is computed: the function (:mod:`cryptolake.gold.code_hash`), its warm-up, pairs and data."""
        pair = "" if self.pair is None else code_hash(self.pair)
        inputs = [f"{name}={feed}" for name, feed in self.inputs.items()]
        late = [f"after={self.after}"] if self.after else []
        late += [] if self.depends is None else [f"depends={self.depends}"]
        words = (code_hash(self.make), pair, *inputs, str(self.before), self.each, *late)
        return _digest(*words)

    def at(self, market: Market, interval: Interval | None) -> Recipe | None:
        """Return the recipe of another market and interval: the inputs of the leading one's market and interval follow.

        None where there is no such variant, or an input of it does not exist.
        """
        if (market, interval) == (self.lead.market, self.lead.interval):
            return self
        if market not in self.markets or (interval is not None and interval not in self.intervals):
            return None
        inputs = _following(self.inputs, market, interval)
        return None if inputs is None else replace(self, inputs=inputs)

    def variants(
        self, markets: Iterable[Market] = (), intervals: Iterable[Interval] = ()
    ) -> Iterator[Recipe]:
        """Yield the recipe of each of some markets and intervals; without any, of the leading input's."""
        lead = self.lead
        levels = (list(intervals) or [lead.interval]) if lead.interval else [None]
        for market in list(markets) or [lead.market]:
            found = (self.at(market, level) for level in levels)
            yield from (variant for variant in found if variant is not None)

    def days_of(self, name: str, month: Period) -> tuple[datetime, datetime]:
        """Return from when to when an input's rows are given for a month: ``[begin, end)``."""
        late = timedelta() if name == next(iter(self.inputs)) else self.after
        return month.days.begin - self.before, month.days.end + late

    def months_of(self, name: str, month: Period) -> list[Period]:
        """Return the months of an input that a month is made of."""
        begin, end = self.days_of(name, month)
        last = (end - timedelta(microseconds=1)).date()
        return list(Days(begin.date(), last).months())

    @property
    def what(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @property
    def source(self) -> str:
        """Where the function is: its module and name."""
        return f"{self.make.__module__}.{self.make.__qualname__}"

    def symbol_of(self, name: str, symbol: str) -> str:
        """Return the symbol of an input that belongs to a symbol of the leading one."""
        if self.pair is None or name == next(iter(self.inputs)):
            return symbol
        more = {"market": self.lead.market} if _takes(self.pair, "market") else {}
        return dict(self.pair(symbol, **more)).get(name, symbol)

    def __call__(self, frames: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
        """Return the function's rows.

        Raises
        ------
        TypeError
            It returned no frame.
        """
        import polars as pl

        made: Any = self.make(**frames, **self._told)
        if isinstance(made, pl.DataFrame):
            return made.lazy()
        if not isinstance(made, pl.LazyFrame):
            message = f"recipe {self.name!r} returned {type(made).__name__}, not a LazyFrame"
            raise TypeError(message)
        return made

    @property
    def _told(self) -> dict[str, str]:
        """What the function is told beside its inputs: the bars' interval, where it has such a parameter."""
        level = self.lead.interval
        told = level is not None and "interval" not in self.inputs and _takes(self.make, "interval")
        return {"interval": level.value} if told and level is not None else {}

    @cached_property
    def columns(self) -> dict[str, pl.DataType]:
        """The result's columns and their types: market, symbol and interval, and what the function gives for no rows.

        Raises
        ------
        BuildError
            The function fails on empty inputs, or its result has no time, or, by market-month, no symbol.
        """
        import polars as pl

        try:
            made = dict(self(self._empty()).collect_schema())
        except Exception as error:
            message = (
                f"recipe {self.name!r} fails on empty inputs, by which its columns are found: "
                f"{type(error).__name__}: {error}"
            )
            raise BuildError(message, recipe=self.name) from error
        time = any(kind == pl.Datetime("us", "UTC") for kind in made.values())
        lacks = [
            *(
                []
                if time
                else ["a time (Datetime('us', 'UTC'), as open_time or time of its inputs)"]
            ),
            *([] if self.each == "symbol-month" or "symbol" in made else ["the column symbol"]),
        ]
        if lacks:
            message = f"the result of recipe {self.name!r} lacks {' and '.join(lacks)}; it has {', '.join(made)}."
            raise BuildError(message, recipe=self.name)
        identity = dict.fromkeys(("market", "symbol", "interval"), pl.String())
        return {**identity, **{name: made[name] for name in made if name not in identity}}

    @property
    def time(self) -> str:
        """The column that says which month a row is of: the first time."""
        import polars as pl

        return next(n for n, kind in self.columns.items() if kind == pl.Datetime("us", "UTC"))

    def _empty(self) -> dict[str, pl.LazyFrame]:
        import polars as pl

        return {name: pl.LazyFrame(schema=input_schema(feed)) for name, feed in self.inputs.items()}


def _following(
    inputs: Mapping[str, Feed], market: Market, interval: Interval | None
) -> dict[str, Feed] | None:
    """Return inputs of another market and interval than the leading one's; None where one does not exist."""
    lead = next(iter(inputs.values()))
    found = {
        name: Feed(
            market if feed.market is lead.market else feed.market,
            feed.data_type,
            interval if feed.interval is lead.interval else feed.interval,
        )
        for name, feed in inputs.items()
    }
    return found if all(map(_exists, found.values())) else None


def _exists(feed: Feed) -> bool:
    matrix = load_matrix()
    if (feed.market, feed.data_type) not in matrix:
        return False
    levels = matrix.row(feed.market, feed.data_type).all_intervals
    return feed.interval in levels if feed.interval else not levels


@lru_cache(maxsize=256)
def _takes(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def input_schema(feed: Feed) -> dict[str, pl.DataType]:
    """Return the columns that a recipe sees of an input: market, symbol, interval, and the schema's."""
    import polars as pl

    from cryptolake.archive.schemas import schema_of

    identity = dict.fromkeys(("market", "symbol", "interval"), pl.String())
    return {**identity, **schema_of(feed.market, feed.data_type).silver_dtypes()}


def recipe(
    *,
    before: str = "0d",
    after: str = "0d",
    version: int | str = 1,
    each: Each = "symbol-month",
    pair: Pair | None = None,
    depends: object = None,
    markets: Iterable[str] = (),
    intervals: Iterable[str] | str = (),
    **inputs: str,
) -> Callable[[Made], Made]:
    """Register a function as a dataset of Gold, under its own name.

    The function gets a LazyFrame for each input, by keyword, with the columns of ``lake.silver`` (``market``,
    ``symbol``, ``interval``, then the dataset's own), sorted by time, for one month and ``before`` of warm-up.
    It returns a LazyFrame with a time: rows outside the month are left out, ``market``, ``symbol`` and
    ``interval`` are added, and the rest is kept as ``gold/<name>/market=/symbol=/[interval=/]YYYY-MM.parquet``.
    The function itself is returned as it was, and may be called and tested by itself.

    Parameters
    ----------
    before
        How long before the month its inputs begin, as ``"31d"``: rows to warm a rolling window up. The months
        that it reaches into are inputs too, so a change in one makes two months anew.
    after
        How long after the month its other inputs go on, as ``"1h"``: rows that belong to a bar and are stamped
        with its end. The first input ends with the month.
    version
        Raise it where something changed that the code's hash (:mod:`cryptolake.gold.code_hash`) does not cover.
    each
        ``"symbol-month"``: a call, and a file, for each symbol and month. ``"market-month"``: one for all symbols
        of a market (cross-sections); the result has ``symbol``, and is sorted by symbol and time.
    pair
        By symbol-month: from the first input's symbol to the others', by input, where names differ. An empty
        symbol is an input that there is none of: without rows, and not missing.
    depends
        Data that the function reads from elsewhere (numbers, text, lists and dicts of them): with another value all
        months are made anew, as with another function.
    markets, intervals
        What else the recipe holds for: ``markets=("spot", "futures_cm")``, ``intervals=("5m", "15m")`` or
        ``intervals="all"``. A query's markets and intervals pick among them and the first input's own; one that
        names none means the first input's. The inputs of the first one's market follow to another market, and
        those of its interval to another interval; each has its own files. A function with a parameter
        ``interval`` is told the bars' interval, as ``"5m"``.
    **inputs
        ``"dataset:interval"`` (``"futures_um_klines:1h"``, ``"spot_trades"``) by parameter of the function. The
        first one leads: the result has its market, symbol and interval, and no rows where it has none.

    Returns
    -------
    Callable
        The decorator, which returns the function.

    Raises
    ------
    InvalidQuery
        An unknown dataset, market or interval, one that an input does not have, parameters that the function does
        not have, a name of ours, or ``depends`` is no JSON.

    Examples
    --------
    >>> from cryptolake.gold.recipes import recipe_named
    >>> import cryptolake as cl
    >>> @cl.recipe(bars="spot_klines:1h")
    ... def hourly_range(bars):
    ...     return bars.select("open_time", span=pl.col("high") / pl.col("low") - 1)
    >>> import polars as pl
    >>> recipe_named("hourly_range").columns["span"]
    Float64
    """
    if each not in get_args(Each):
        raise unknown_word("each", str(each), get_args(Each))
    feeds = {name: Feed.parse(text) for name, text in inputs.items()}
    if not feeds:
        message = "a recipe has at least one input: cl.recipe(bars='spot_klines:1h')."
        raise InvalidQuery(message, what="input")
    if each == "market-month" and pair is not None:
        message = "pair= is of recipes by symbol-month; by market-month the function has all symbols and joins them."
        raise InvalidQuery(message, what="pair")
    span, late = parse_duration(before), parse_duration(after)
    data = None if depends is None else _as_json(depends)
    held = _held_for(feeds, markets, intervals)

    def register(make: Made) -> Made:
        name = make.__name__
        ours = name in OURS and make.__module__ == f"cryptolake.gold.{OURS[name]}"
        plain = name.isidentifier() and _NAME.fullmatch(name) is not None
        if (name in _KEPT and not ours) or not plain:
            why = "it is one of ours" if name in _KEPT else "write a plain name"
            message = f"a recipe cannot be named {name!r}: {why}."
            raise InvalidQuery(message, what="recipe", given=name)
        _check_parameters(make, feeds)
        how = (each, pair, late, data, *held)
        _RECIPES[name] = Recipe(name, make, feeds, span, str(version), *how)
        return make

    return register


def _held_for(
    feeds: Mapping[str, Feed], markets: Iterable[str], intervals: Iterable[str] | str
) -> tuple[tuple[Market, ...], tuple[Interval, ...]]:
    """Return the markets and intervals of a recipe, the leading input's first.

    Raises
    ------
    InvalidQuery
        A word is unknown, or no variant of that market or interval has all inputs.
    """
    lead = next(iter(feeds.values()))
    words = [markets] if isinstance(markets, str) else markets
    places = dict.fromkeys([lead.market, *map(parse_market, words)])
    if lead.interval is None and intervals:
        message = f"intervals= is of recipes of bars, and {lead} has no intervals."
        raise InvalidQuery(message, what="intervals", given=intervals)
    named = [intervals] if isinstance(intervals, str) else list(intervals)
    asked = list(Interval) if intervals == ALL else [parse_interval(word) for word in named]
    levels = [] if lead.interval is None else list(dict.fromkeys([lead.interval, *asked]))
    for market in places:
        if not any(_following(feeds, market, level) for level in levels or (None,)):
            message = (
                f"a recipe led by {lead} does not hold for {market.value}: it lacks an input there."
            )
            raise InvalidQuery(message, what="markets", given=market.value)
    found = tuple(
        level for level in levels if any(_following(feeds, market, level) for market in places)
    )
    lost = [level.value for level in asked if level not in found and intervals != ALL]
    if lost:
        message = f"no market of a recipe led by {lead} has its inputs at {', '.join(lost)}."
        raise InvalidQuery(message, what="intervals", given=lost)
    return tuple(places), found


def _as_json(depends: object) -> str:
    try:
        return json.dumps(depends, sort_keys=True)
    except (TypeError, ValueError) as error:
        message = (
            f"depends= takes what JSON can hold (numbers, text, lists and dicts of them): {error}."
        )
        raise InvalidQuery(message, what="depends") from error


def _check_parameters(make: Callable[..., Any], feeds: Mapping[str, Feed]) -> None:
    try:
        told = {"interval": ""} if "interval" not in feeds and _takes(make, "interval") else {}
        inspect.signature(make).bind(**feeds, **told)
    except TypeError as error:
        has = ", ".join(inspect.signature(make).parameters) or "none"
        message = (
            f"recipe {make.__name__!r} has the inputs {', '.join(feeds)}, and its function the parameters {has}: "
            f"{error}."
        )
        raise InvalidQuery(message, what="input", given=tuple(feeds)) from error


def recipes() -> dict[str, Recipe]:
    """Return all recipes by name: ours, and those that this process has registered."""
    for module in set(OURS.values()):
        importlib.import_module(f"cryptolake.gold.{module}")
    return dict(sorted(_RECIPES.items()))


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises
    ------
    InvalidQuery
        There is none of that name, and the message names the nearest one; or no function makes it.
    """
    if name == "filled":
        message = (
            "gold.filled is made by lake.fill(query, against='trades'), which returns the bars; "
            "all that were made are lake.sql('from gold.filled')."
        )
        raise InvalidQuery(message, what="recipe", given=name)
    if name in OURS:
        importlib.import_module(f"cryptolake.gold.{OURS[name]}")
    if name not in _RECIPES:
        raise unknown_word("recipe", str(name), recipes())
    return _RECIPES[name]


def _digest(*words: str) -> str:
    import hashlib

    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
