"""Gold held against its records: each file is hashed again, and made anew on request."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptolake.bronze.ledger import means_month
from cryptolake.errors import CryptolakeError, IncompleteWarning
from cryptolake.gold.build import build_gold
from cryptolake.gold.daily import RECIPE
from cryptolake.gold.daily_recipe import remake_daily
from cryptolake.gold.lineage import damaged_rows, gold_records
from cryptolake.gold.recipes import recipe_named, recipes
from cryptolake.query import Query
from cryptolake.silver.audit import AuditedMonth, audited
from cryptolake.storage.layout import parse_gold_path
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptolake.gold.recipes import Recipe
    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.layout import GoldPath

_AT_ONCE = 4


def audit_gold(lake: LakeContext, query: Query | None) -> list[AuditedMonth]:
    """Hash the recorded Gold files that a query's markets, symbols and days mean, or all, and compare.

    A build records a file just before it places it, so one that differs is judged again by the record of that
    moment.
    """
    records = gold_records(lake.tables)
    paths = sorted(path for path in records if query is None or _is_meant(path, query))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="audit") as pool:
        found = list(pool.map(lambda path: audited(lake.storage, path, records[path]), paths))
    if all(item.status == "ok" for item in found):
        return found
    newer = gold_records(lake.tables)
    return [
        item if item.status == "ok" else audited(lake.storage, item.path, newer[item.path])
        for item in found
    ]


def repair_gold(lake: LakeContext, found: Iterable[AuditedMonth]) -> None:
    """Make damaged and missing files anew, from Silver.

    Warns
    -----
    IncompleteWarning
        A file cannot be made: its recipe is not registered in this process, or its build fails.
    """
    bad = [item.path for item in found if item.status in {"damaged", "gone"}]
    if not bad:
        return
    records = gold_records(lake.tables)
    rows = damaged_rows(records, bad, new_run_id(), datetime.now(UTC))
    lake.tables.append("lineage", rows)
    lake.records.forget()
    for name in sorted({records[path].recipe for path in bad}):
        paths = [path for path in bad if records[path].recipe == name]
        if reason := _made(lake, name, paths):
            message = f"{', '.join(paths[:3])} of gold.{name} cannot be made anew: {reason}"
            warnings.warn(message, IncompleteWarning, stacklevel=4)


def _made(lake: LakeContext, name: str, paths: list[str]) -> str | None:
    """Make a recipe's files anew; return why some are not."""
    if name == RECIPE:
        return remake_daily(lake, paths)
    if name not in recipes():
        return f"the recipe {name!r} is not registered in this process; run its definition, and verify again."
    places = {path: place for path in paths if (place := parse_gold_path(path)) is not None}
    reasons = []
    for level in sorted({(p.market, p.interval) for p in places.values()}, key=str):
        recipe = recipe_named(name).at(*level)
        some = {path: p for path, p in places.items() if (p.market, p.interval) == level}
        if recipe is None:
            reasons.append(f"the recipe {name!r} does not hold for {level[0].value} any more.")
        elif reason := _made_at(lake, recipe, some):
            reasons.append(reason)
    return reasons[0] if reasons else None


def _made_at(lake: LakeContext, recipe: Recipe, places: Mapping[str, GoldPath]) -> str | None:
    """Make files of one market and interval anew; return why some are not."""
    days = [place.month.days for place in places.values()]
    query = Query().between(min(d.first for d in days), max(d.last for d in days))
    symbols = sorted({place.symbol for place in places.values() if place.symbol is not None})
    asked = query.symbols(symbols) if symbols else query
    try:
        report = build_gold(lake, recipe, asked, progress=False)
    except CryptolakeError as error:
        return str(error)
    made = dict(report.months.select("path", "status").iter_rows())
    left = [path for path in places if made.get(path) != "built"]
    errors = [*report.months["error"].drop_nulls(), "its Silver files are not there."]
    return errors[0] if left else None


def _is_meant(path: str, query: Query) -> bool:
    place, asked = parse_gold_path(path), query.selection
    if place is None or (asked.markets and place.market not in asked.markets):
        return False
    return means_month(asked, place.market, place.symbol, place.month)
