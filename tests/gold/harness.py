"""What every recipe is tested by: an independent computation, the look-ahead test, and a count of what is rebuilt.

A recipe's module in ``tests/gold/cases`` has one ``CASE``; ``test_recipes.py`` runs the tests for each of them.
"""

from __future__ import annotations

import csv
import importlib
import io
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

import cryptolake as cl
from cryptolake.archive.feeds import Feed
from cryptolake.gold.recipes import recipe_named
from tests.gold import cases

if TYPE_CHECKING:
    from tests.quality.world import Edit, World

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One recipe, and what is expected of it on the sample archive (``tests/conftest.py`` says what that has)."""

    recipe: str
    symbol: str
    days: tuple[str, str]
    by_hand: Callable[[World], list[Row]]
    """Its rows by csv and plain Python, from the archive's own files; columns may be left out."""
    rewritten: tuple[str, Edit]
    """A file that the archive publishes anew, and how its lines change."""
    rebuilt: tuple[str, ...]
    """The months that are made anew then, and no others."""
    pulled: tuple[str, ...] = field(default=())
    """Inputs to pull beside the recipe's own."""
    cut: datetime = datetime(2025, 1, 1, 7, 31, 17, tzinfo=UTC)
    """The instant of the look-ahead test, off every grid."""
    known: pl.Expr | None = None
    """When a row of the result is known; by default when the leading input's row of that time is."""


def all_cases() -> list[Case]:
    """Return the case of each module of ``tests/gold/cases``."""
    names = sorted(module.name for module in pkgutil.iter_modules(cases.__path__))
    return [importlib.import_module(f"tests.gold.cases.{name}").CASE for name in names]


def asked(case: Case) -> cl.Query:
    """Return the query of a case's rows."""
    return cl.query().symbols(case.symbol).between(*case.days)


def pull(world: World, case: Case) -> None:
    """Pull a recipe's inputs."""
    recipe = recipe_named(case.recipe)
    feeds = [*recipe.inputs.items(), *(("", Feed.parse(text)) for text in case.pulled)]
    for name, feed in feeds:
        query = asked(case).symbols(recipe.symbol_of(name, case.symbol)).markets(feed.market)
        world.pull(query.data_types(feed.data_type).intervals(*filter(None, [feed.interval])))


def gold(world: World, case: Case) -> pl.DataFrame:
    """Return a recipe's rows; all that the archive has of its inputs is there, so nothing is warned of."""
    return world.lake.gold(case.recipe, asked(case), progress=False).collect()


def lines_of(world: World, *keys: str) -> Iterator[list[str]]:
    """Yield the cells of each line of some zips of the archive, a header left out."""
    for key in keys:
        for row in csv.reader(io.StringIO(world.folder.read_text(key).decode())):
            if row[0].lstrip("-")[:1].isdigit():
                yield row


def instant(text: str) -> datetime:
    """Read a time of the archive: milliseconds, or, with more digits, microseconds."""
    number = int(text)
    micro = number if number > 10**14 else number * 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)


# ------------------------------------------------------------------ look-ahead

_TRUTH: Mapping[str, Callable[[Feed], pl.Expr]] = {
    "fundingRate": lambda _: pl.col("time"),
    "metrics": lambda _: pl.col("time") + pl.duration(minutes=5),
    "bookDepth": lambda _: pl.col("time") + pl.duration(seconds=1),
    "bookTicker": lambda _: pl.max_horizontal("time", "event_time") + pl.duration(milliseconds=1),
    "EOHSummary": lambda _: pl.col("time") + pl.duration(hours=1),
}
"""When rows are known, written apart from the schemas; other types: a bar's end, or a millisecond after ``time``."""


def truth(feed: Feed) -> pl.Expr:
    """Return when an input's row is known."""
    if feed.data_type.value in _TRUTH:
        return _TRUTH[feed.data_type.value](feed)
    if feed.interval is not None and feed.interval.length is not None:
        return pl.col("open_time") + pl.lit(feed.interval.length)
    return pl.col("time") + pl.duration(milliseconds=1)


def future_permuted(frame: pl.DataFrame, known: pl.Expr, cut: datetime) -> pl.DataFrame:
    """Turn the numbers of the rows known after an instant upside down; the others stay."""
    later = frame.filter(known > cut)
    numbers = pl.selectors.numeric()
    changed = later.with_columns(numbers.reverse() * 3)
    return pl.concat([frame.filter(known <= cut), changed])


def leaks(
    make: Callable[..., pl.LazyFrame],
    frames: Mapping[str, pl.DataFrame],
    feeds: Mapping[str, Feed],
    cut: datetime,
    known: pl.Expr,
) -> pl.DataFrame:
    """Return the result's rows known at an instant that change with what is known only after it."""
    changed = {name: future_permuted(frames[name], truth(feeds[name]), cut) for name in frames}
    for name in frames:
        assert not frames[name].equals(changed[name]), f"{name} has no rows after {cut}"
    before, after = (
        make(**{name: frame.lazy() for name, frame in each.items()}).filter(known <= cut).collect()
        for each in (frames, changed)
    )
    assert before.height, f"no row is known at {cut}"
    if before.height != after.height:
        return before
    same = pl.all_horizontal(pl.col(name).eq_missing(after[name]) for name in before.columns)
    return before.filter(~same)
