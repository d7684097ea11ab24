"""Recipes: plain functions from LazyFrames to a LazyFrame, registered as datasets of Gold.

A recipe's first input leads: its market, symbol and interval are those of the Gold file. Ours are the modules
that :data:`OURS` names; a user's are those of the process. Nothing is built here (:mod:`cryptolake.gold.build`).
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from cryptolake.archive.feeds import Feed
from cryptolake.archive.periods import Days, parse_duration
from cryptolake.errors import BuildError, InvalidQuery, unknown_word
from cryptolake.gold.code import code_hash

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from cryptolake.archive.periods import Period

Each = Literal["symbol-month", "market-month"]
"""What one file, and one call of the function, is about: a symbol's month, or a market's with all symbols."""

Pair = Callable[[str], Mapping[str, str]]
"""From the leading input's symbol to the symbols of the others, by input; those left out have the same name.

An empty one says that there is no such input: it has no rows then, and nothing is missing."""

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

    @property
    def lead(self) -> Feed:
        """The input whose market, symbol and interval are those of the result."""
        return next(iter(self.inputs.values()))

    @cached_property
    def code(self) -> str:
        """The hash of what is computed: the function (:mod:`cryptolake.gold.code`), its warm-up, pairs and data."""
        pair = "" if self.pair is None else code_hash(self.pair)
        inputs = [f"{name}={feed}" for name, feed in self.inputs.items()]
        late = [f"after={self.after}"] if self.after else []
        late += [] if self.depends is None else [f"depends={self.depends}"]
        words = (code_hash(self.make), pair, *inputs, str(self.before), self.each, *late)
        return _digest(*words)

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
        return dict(self.pair(symbol)).get(name, symbol)

    def __call__(self, frames: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
        """Return the function's rows.

        Raises
        ------
        TypeError
            It returned no frame.
        """
        import polars as pl

        made: Any = self.make(**frames)
        if isinstance(made, pl.DataFrame):
            return made.lazy()
        if not isinstance(made, pl.LazyFrame):
            message = f"recipe {self.name!r} returned {type(made).__name__}, not a LazyFrame"
            raise TypeError(message)
        return made

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
        Raise it where something changed that the code's hash (:mod:`cryptolake.gold.code`) does not cover.
    each
        ``"symbol-month"``: a call, and a file, for each symbol and month. ``"market-month"``: one for all symbols
        of a market (cross-sections); the result has ``symbol``, and is sorted by symbol and time.
    pair
        By symbol-month: from the first input's symbol to the others', by input, where names differ. An empty
        symbol is an input that there is none of: without rows, and not missing.
    depends
        Data that the function reads from elsewhere (numbers, text, lists and dicts of them): with another value all
        months are made anew, as with another function.
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
        An unknown dataset or interval, parameters that the function does not have, a name of ours, or ``depends``
        is no JSON.

    Examples
    --------
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

    def register(make: Made) -> Made:
        name = make.__name__
        ours = name in OURS and make.__module__ == f"cryptolake.gold.{OURS[name]}"
        if (name in _KEPT and not ours) or not name.isidentifier() or name.startswith("_"):
            message = f"a recipe cannot be named {name!r}: {'it is one of ours' if name in _KEPT else 'write a plain name'}."
            raise InvalidQuery(message, what="recipe", given=name)
        _check_parameters(make, feeds)
        _RECIPES[name] = Recipe(name, make, feeds, span, str(version), each, pair, late, data)
        return make

    return register


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
        inspect.signature(make).bind(**feeds)
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
