"""``lake.gold``: build what is stale of a recipe, and scan the rows of a query's days."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.symbols import is_glob
from cryptolake.bronze.ledger import means, means_month
from cryptolake.errors import BuildError, DamagedLakeWarning, IncompleteWarning
from cryptolake.gold.build import build_gold
from cryptolake.gold.daily import RECIPE
from cryptolake.gold.daily_recipe import daily_row, daily_rows
from cryptolake.gold.recipes import recipe_named, recipes
from cryptolake.gold.targets import variants_of
from cryptolake.listing.unpublished import unpublished_months
from cryptolake.readers.gold_files import gold_files
from cryptolake.readers.scans import scan_files
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.render.html import plural, some_of
from cryptolake.storage import layout
from cryptolake.storage.identity_columns import AS_TEXT

if TYPE_CHECKING:
    from cryptolake.gold.recipes import Recipe
    from cryptolake.listing.context import LakeContext
    from cryptolake.progress import Progress
    from cryptolake.query import Query, Selection
    from cryptolake.report import Report


def gold_rows(
    lake: LakeContext, name: str, query: Query, *, progress: Progress = True
) -> pl.LazyFrame:
    """Build what is stale of a recipe, and return the rows of the query's symbols and days.

    Raises
    ------
    InvalidQuery
        There is no such recipe, or the query leaves its leading input out.
    BuildError
        Months could not be made; ``error.report`` names them, and the others are made.

    Warns
    -----
    IncompleteWarning
        Silver files that the recipe asks for are not in the lake, or published files of its inputs could not be used.
    """
    if name == RECIPE:
        return daily_rows(lake, query)
    variants = _built(lake, name, query, progress=progress)
    return together([_scan(lake, recipe, query.selection) for recipe in variants])


def _built(
    lake: LakeContext, name: str, query: Query, *, progress: Progress = True
) -> list[Recipe]:
    """Build what is stale, and return the recipe of each market and interval that the query picks."""
    recipe = recipe_named(name)
    variants = variants_of(recipe, query)
    report = build_gold(lake, recipe, query, progress=progress)
    _raise_for(recipe, report)
    _warn_of_missing(lake, variants, report)
    for each in variants:
        _warn_of_unusable(lake, each, query)
    return variants


def together(parts: list[pl.LazyFrame]) -> pl.LazyFrame:
    """Return the rows of all variants; columns that a market has not are null there."""
    return parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal")


def gold_symbols(
    lake: LakeContext, name: str, query: Query, *, progress: Progress = True
) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Yield the rows of :func:`gold_rows` symbol by symbol."""
    parts_of: dict[str, list[pl.LazyFrame]] = {}
    for recipe in _built(lake, name, query, progress=progress):
        for symbol, rows in _symbols_of(lake, recipe, query.selection):
            parts_of.setdefault(symbol, []).append(rows)
    for symbol, parts in sorted(parts_of.items()):
        yield symbol, together(parts)


def _symbols_of(
    lake: LakeContext, recipe: Recipe, asked: Selection
) -> Iterator[tuple[str, pl.LazyFrame]]:
    if recipe.each == "market-month":
        yield from by_symbol(_scan(lake, recipe, asked))
        return
    found: dict[str, list[layout.GoldPath]] = {}
    for where in _whole(lake, recipe, asked):
        found.setdefault(where.symbol or "", []).append(where)
    for symbol, months in found.items():
        yield symbol, _rows_of(lake, recipe, months, asked)


def by_symbol(rows: pl.LazyFrame) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Yield the rows of each symbol of a frame."""
    names = rows.select(pl.col("symbol").unique()).collect()["symbol"]
    for symbol in names.drop_nulls().sort():
        yield symbol, rows.filter(pl.col("symbol") == symbol)


def whole_files(
    lake: LakeContext, name: str, meant: Callable[[layout.GoldPath], bool], remedy: str
) -> list[layout.GoldPath]:
    """Return the files of a table that are meant and are as recorded, and warn of the others.

    Warns
    -----
    DamagedLakeWarning
        Files are not what was recorded; the warning ends with the remedy.
    """
    found = gold_files(lake, {name}, [name], lambda path: _is_meant_path(path, meant))
    if found.bad:
        named = some_of((f"{item.path} ({item.reason})" for item in found.bad), between="; ")
        count = len(found.bad)
        message = (
            f"{plural(count, f'file of gold.{name} is', f'files of gold.{name} are')} not what was recorded, so rows are left out: "
            f"{named}. {remedy}"
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=6)
    places = (layout.parse_gold_path(path) for path in found.whole)
    return [where for where in places if where is not None]


def _is_meant_path(path: str, meant: Callable[[layout.GoldPath], bool]) -> bool:
    where = layout.parse_gold_path(path)
    return where is not None and meant(where)


def _whole(lake: LakeContext, recipe: Recipe, asked: Selection) -> list[layout.GoldPath]:
    """Return a selection's files of a recipe that are as recorded."""
    remedy = f"lake.build(query, gold=[{recipe.name!r}]) makes them anew."
    return whole_files(lake, recipe.name, lambda where: is_meant(where, recipe, asked), remedy)


def _scan(lake: LakeContext, recipe: Recipe, asked: Selection) -> pl.LazyFrame:
    rows = _rows_of(lake, recipe, _whole(lake, recipe, asked), asked)
    if recipe.each == "market-month" and (asked.symbols or asked.universe):
        held = rows.select(pl.col("symbol").unique()).collect()["symbol"].to_list()
        market = recipe.lead.market
        chosen = [symbol for symbol in held if symbol and means(asked, market, symbol)]
        rows = rows.filter(pl.col("symbol").is_in(chosen))
    return rows


def _rows_of(
    lake: LakeContext, recipe: Recipe, files: Sequence[layout.GoldPath], asked: Selection
) -> pl.LazyFrame:
    """Scan files, and keep the rows of a selection's days."""
    columns = recipe.columns
    if not files:
        return pl.LazyFrame(schema=columns)
    paths = (where.path for where in files)
    rows = scan_files(lake.storage, paths, columns, cast_options=AS_TEXT)
    if asked.days is not None:
        days = asked.days
        time = pl.col(recipe.time)
        rows = rows.filter(time.is_between(pl.lit(days.begin), pl.lit(days.end), closed="left"))
    return rows


def is_meant(where: layout.GoldPath, recipe: Recipe, asked: Selection) -> bool:
    """Say whether a file of a recipe is of its market and interval, and has rows of a selection's symbols and days."""
    same = (where.market, where.interval) == (recipe.lead.market, recipe.lead.interval)
    return same and means_month(asked, where.market, where.symbol, where.month)


def _raise_for(recipe: Recipe, report: Report) -> None:
    bad = report.months.filter(pl.col("error").is_not_null())
    if not bad.height:
        return
    message = (
        f"{plural(bad.height, 'month')} of gold.{recipe.name} could not be made: {some_of(bad['error'], 1, '; ')}. "
        "error.report names each; the other months are made."
    )
    raise BuildError(message, recipe=recipe.name, months=bad["path"].to_list(), report=report)


def _warn_of_missing(lake: LakeContext, variants: Sequence[Recipe], report: Report) -> None:
    """Name the inputs that are missing, but not what is known to be unpublished.

    Warm-up rows of the leading one may be before its first month.
    """
    leads = tuple(f"{layout.silver_folder(*recipe.lead)}/" for recipe in variants)
    lacking = []
    for path, status, missing in report.months.select("path", "status", "missing").iter_rows():
        named = (missing or "").split(", ") if missing else []
        asked = named if status == "missing" else [p for p in named if not p.startswith(leads)]
        month = path.rpartition("/")[2]
        lacking += [p for p in asked if p.endswith(month)]
    places = [where for path in set(lacking) if (where := layout.parse_silver_path(path))]
    never = {where.path for where in unpublished_months(lake.listing, places)}
    found = sorted(set(lacking) - never)
    if not found:
        return
    message = (
        f"gold.{variants[0].name} lacks {len(found):,} Silver files that it is made of: {some_of(found)}. "
        "Pull them, or build Silver; lake.build(query, gold=[...]) says all of it in its report."
    )
    warnings.warn(message, IncompleteWarning, stacklevel=4)


def _warn_of_unusable(lake: LakeContext, recipe: Recipe, query: Query) -> None:
    """Name the published files of a recipe's inputs whose rows Silver lacks, as reads of Silver do."""
    words = query.selection.symbols
    for name, feed in recipe.inputs.items():
        symbols = [word if is_glob(word) else recipe.symbol_of(name, word) for word in words]
        asked = query.markets(feed.market).data_types(feed.data_type).symbols(*symbols)
        warn_of_unusable(lake, asked.intervals(*filter(None, [feed.interval])))


def recipe_table() -> pl.DataFrame:
    """Return a row for each recipe, the daily bars and the filled ones, which :meth:`cryptolake.Lake.fill` makes."""
    rows = [
        {
            "name": recipe.name,
            "version": recipe.version,
            "each": recipe.each,
            "inputs": [f"{name}={feed}" for name, feed in recipe.inputs.items()],
            "markets": [market.value for market in recipe.markets],
            "intervals": [level.value for level in recipe.intervals],
            "before": recipe.before,
            **_told_columns(recipe),
            "source": recipe.source,
        }
        for recipe in recipes().values()
    ]
    return pl.DataFrame([*rows, daily_row(), _filled()], schema=RECIPES).sort("name")


def _told_columns(recipe: Recipe) -> dict[str, Any]:
    """Say what a recipe's columns are and what it is; of one that fails on empty inputs, why."""
    try:
        columns = [f"{name} {kind}" for name, kind in recipe.columns.items()]
    except BuildError as error:
        return {"columns": [], "what": str(error)}
    return {"columns": columns, "what": recipe.what}


def _filled() -> dict[str, Any]:
    from cryptolake.gold.filled import COLUMNS, NAME, VERSION, fill

    return {
        "name": NAME,
        "version": VERSION,
        "each": "symbol-month",
        "inputs": ["bars=klines", "against=trades, aggTrades or finer klines"],
        "before": timedelta(),
        "columns": [f"{name} {kind}" for name, kind in COLUMNS.items()],
        "what": "Klines that no file has, made on request by lake.fill, each with its origin.",
        "source": f"{fill.__module__}.{fill.__qualname__}",
    }


RECIPES = {
    "name": pl.String(),
    "version": pl.String(),
    "each": pl.String(),
    "inputs": pl.List(pl.String()),
    "markets": pl.List(pl.String()),
    "intervals": pl.List(pl.String()),
    "before": pl.Duration("us"),
    "columns": pl.List(pl.String()),
    "what": pl.String(),
    "source": pl.String(),
}
"""Columns of ``lake.recipes()``. ``each``: ``symbol-month`` or ``market-month``; ``inputs``: those of the variant that a
query without markets and intervals means; ``markets`` and ``intervals``: what a query may pick; ``columns``: a name and a
type."""
