"""What SQL is told of Gold's recipes: the columns of those that nothing was made of yet, and a sentence on each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from cryptolake.archive.enums import Market
from cryptolake.errors import BuildError
from cryptolake.gold.daily import RECIPE
from cryptolake.gold.daily_recipe import WHAT, daily_columns
from cryptolake.gold.recipes import recipes

if TYPE_CHECKING:
    import polars as pl


def recipe_columns() -> dict[str, dict[str, pl.DataType]]:
    """Return each recipe's columns; one that fails on empty inputs is left out, since SQL may be about others.

    Examples
    --------
    >>> list(recipe_columns()["basis"])[:3]
    ['market', 'symbol', 'interval']
    """
    found = {RECIPE: daily_columns(Market.FUTURES_UM)}
    for name, recipe in recipes().items():
        with suppress(BuildError):
            found[name] = recipe.columns
    return found


def recipe_notes() -> dict[str, str]:
    """Return what each recipe makes, and the daily bars, which no recipe makes."""
    return {RECIPE: WHAT, **{name: recipe.what for name, recipe in recipes().items()}}
