"""Gold and locks: a lock says which tables of Gold were made of what it pins, and a thaw makes these again."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.bronze.ledger import means_month
from cryptolake.errors import CryptolakeError, IncompleteWarning
from cryptolake.gold import daily, filled
from cryptolake.gold.build import build_gold
from cryptolake.gold.code_hash import code_hash
from cryptolake.gold.daily_zips import DailyZips
from cryptolake.gold.recipes import recipe_named, recipes
from cryptolake.planning.lockfile import GoldLabel, GoldPin
from cryptolake.query import Query
from cryptolake.report import Report
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.gold.recipes import Recipe
    from cryptolake.listing.context import LakeContext
    from cryptolake.planning.lockfile import Lock
    from cryptolake.progress import Progress

_PATHS = pl.List(pl.Struct({"path": pl.String}))


def gold_pins(
    lake: LakeContext, query: Query, sources: pl.DataFrame, files: pl.DataFrame
) -> dict[str, GoldPin]:
    """Return what Gold the lake has of a query that was made of pinned files, by table, market and interval.

    Parameters
    ----------
    lake, query
        The lake, and what is pinned.
    sources
        The rows of ``meta.sources`` of the query's Silver.
    files
        The pinned files of the archive.
    """
    rows = (
        lake.records.read("lineage")
        .unique("path", keep="last", maintain_order=True)
        .drop_nulls(["version", "code", "inputs"])
    )
    labels = pl.Series([_label(path, query) for path in rows["path"]], dtype=pl.String)
    rows = rows.with_columns(label=labels).drop_nulls("label").sort("built_at", maintain_order=True)
    if not rows.height:
        return {}
    made_of = rows.select("label", path=pl.col("inputs").str.json_decode(_PATHS)).explode("path")
    whole = _whole(sources, files)
    both = made_of.unnest("path").unique().join(whole, on="path", how="left")
    counted = both.group_by("label").agg(
        some=pl.col("whole").is_not_null().any(),
        unpinned=(~pl.col("whole").fill_null(value=False)).sum(),
    )
    newest = rows.unique("label", keep="last").select("label", "version", "code")
    found = newest.join(counted.filter("some"), on="label").sort("label")
    return {
        label: GoldPin(version, code, unpinned)
        for label, version, code, unpinned in found.select(
            "label", "version", "code", "unpinned"
        ).iter_rows()
    }


def _label(path: str, query: Query) -> str | None:
    """Return the label of a Gold file that has rows of a query's symbols and days."""
    where, asked = layout.parse_gold_path(path), query.selection
    if where is None or not means_month(asked, where.market, where.symbol, where.month):
        return None
    return GoldLabel(where.recipe, where.market, where.interval).text


def _whole(sources: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Return the Silver and Bronze files that pinned ones are in, and whether all of their sources are pinned."""
    used = sources.filter(pl.col("rows_out") > 0).with_columns(
        pinned=pl.col("key").is_in(files["key"].implode())
    )
    silver = used.group_by("path").agg(some=pl.col("pinned").any(), whole=pl.col("pinned").all())
    bronze = pl.DataFrame(
        {"path": [layout.bronze_path(key) for key in files["key"]]}, schema={"path": pl.String}
    ).with_columns(whole=pl.lit(value=True))
    return pl.concat([silver.filter("some").select("path", "whole"), bronze])


def restore_gold(lake: LakeContext, lock: Lock, *, progress: Progress = True) -> Report | None:
    """Make the Gold that a lock names again, of the Silver and Bronze that stand; None where it names none.

    Warns
    -----
    IncompleteWarning
        A table is not made, or was made of other files too: each is named with its reason.
    """
    reports, said = [], []
    for text, pin in lock.gold.items():
        label = GoldLabel.parse(text)
        lake.records.forget()
        why = _unlike(label, pin)
        made = why if why is not None else _restored(lake, label, lock, progress=progress)
        if isinstance(made, str):
            said.append(f"{_name(label)} is not made: {made}")
            continue
        reports.append(made)
        if errors := made.months["error"].drop_nulls().to_list():
            said.append(f"{_name(label)} is not made whole: {errors[0]}")
        if pin.unpinned:
            said.append(
                f"{_name(label)} was made of {pin.unpinned:,} more files, which the lock does not pin whole: rows "
                "that took from them (warm-up, other symbols) differ"
            )
    if said:
        message = f"Gold of the lock: {'; '.join(said)}."
        warnings.warn(message, IncompleteWarning, stacklevel=5)
    return Report.merge(reports) if reports else None


def _name(label: GoldLabel) -> str:
    level = f" {label.interval.value}" if label.interval else ""
    return f"gold.{label.recipe} of {label.market.value}{level}"


def _unlike(label: GoldLabel, pin: GoldPin) -> str | None:
    """Say why this process does not make a table as it was made; None where it does."""
    if label.recipe == filled.NAME:
        return "bars are filled on request: lake.fill(query, against=...)"
    if label.recipe == daily.RECIPE:
        version, code = str(daily.VERSION), code_hash(DailyZips.rows)
    elif label.recipe not in recipes():
        return "the recipe is not registered in this process; run its definition, and thaw again"
    else:
        recipe = recipe_named(label.recipe).at(label.market, label.interval)
        if recipe is None:
            return "the recipe does not hold for it here"
        version, code = recipe.version, recipe.code
    if (version, code) == (pin.version, pin.code):
        return None
    if version != pin.version:
        return f"it was made by version {pin.version}, and here is version {version}"
    return f"its code is another: hash {pin.code[:12]} then, {code[:12]} here"


def _restored(
    lake: LakeContext, label: GoldLabel, lock: Lock, *, progress: Progress
) -> Report | str:
    """Make a table's files of a lock's symbols and days; return why it cannot be."""
    words = {"markets": (), "data_types": (), "intervals": ()}
    asked = Query(lock.query.selection.model_copy(update=words))
    name: str | Recipe | None = label.recipe
    if label.recipe == daily.RECIPE:
        asked = asked.markets(label.market)
    else:
        name = recipe_named(label.recipe).at(label.market, label.interval)
    try:
        return build_gold(lake, name or label.recipe, asked, progress=progress)
    except CryptolakeError as error:
        return str(error)
