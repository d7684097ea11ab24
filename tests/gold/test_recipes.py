"""Each of our recipes: by hand, without a look ahead, rebuilt where its inputs changed, and as its docstring says."""

from __future__ import annotations

import doctest
import importlib
import math
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.gold.recipes import OURS, recipe_named
from tests.gold.harness import Case, all_cases, asked, gold, leaks, pull, truth

if TYPE_CHECKING:
    from tests.quality.world import World

CASES = all_cases()
each = pytest.mark.parametrize("case", CASES, ids=[case.recipe for case in CASES])


def test_each_recipe_of_ours_has_a_case():
    assert {case.recipe for case in CASES} == set(OURS)


@each
def test_its_rows_are_those_made_by_hand(world: World, case: Case):
    pull(world, case)
    expected = case.by_hand(world)
    assert expected
    rows = gold(world, case)
    assert rows.schema == recipe_named(case.recipe).columns
    found = rows.select(list(expected[0])).rows(named=True)
    assert len(found) == len(expected)
    for row, hand in zip(found, expected, strict=True):
        assert all(alike(row[name], value) for name, value in hand.items()), (row, hand)


def alike(found: object, hand: object) -> bool:
    """Compare all but the last digits, which depend on the order of a sum."""
    if isinstance(found, float) and isinstance(hand, float):
        return math.isclose(found, hand, rel_tol=1e-9, abs_tol=1e-10)
    return found == hand


@each
def test_no_row_knows_what_comes_after_it(world: World, case: Case):
    pull(world, case)
    recipe = recipe_named(case.recipe)
    frames = {}
    for name, feed in recipe.inputs.items():
        query = asked(case).symbols(recipe.symbol_of(name, case.symbol)).markets(feed.market)
        query = query.data_types(feed.data_type).intervals(*filter(None, [feed.interval]))
        frames[name] = world.lake.silver(query).collect()
    known = truth(recipe.lead) if case.known is None else case.known
    assert leaks(recipe.make, frames, recipe.inputs, case.cut, known).is_empty()


@each
def test_a_rewritten_file_rebuilds_its_months_and_no_others(world: World, case: Case):
    pull(world, case)
    gold(world, case)
    again = world.lake.build(asked(case), gold=[case.recipe], progress=False)
    assert gold_months(again.months, "built") == []
    world.edit(*case.rewritten)
    world.publish()
    pull(world, case)
    report = world.lake.build(asked(case), gold=[case.recipe], progress=False)
    assert gold_months(report.months, "built") == list(case.rebuilt)
    assert report.ok


@each
def test_its_docstring_runs(case: Case):
    module = importlib.import_module(f"cryptolake.gold.{OURS[case.recipe]}")
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def gold_months(months: pl.DataFrame, status: str) -> list[str]:
    found = months.filter(pl.col("path").str.starts_with("gold/"), status=status)
    return found["path"].str.slice(-15, 7).to_list()


def test_the_look_ahead_test_finds_a_leak(world: World):
    case = next(case for case in CASES if case.recipe == "basis")
    pull(world, case)
    feed = recipe_named("basis").lead
    query = asked(case).markets(feed.market).klines("1h")
    frames = {"bars": world.lake.silver(query).collect()}

    def next_close(bars: pl.LazyFrame) -> pl.LazyFrame:
        return bars.select("open_time", pl.col("close").shift(-1))

    assert leaks(next_close, frames, {"bars": feed}, case.cut, truth(feed)).height == 1
