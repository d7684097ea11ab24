"""The words of a recipe: its inputs, its name, its columns, and the hash of what it computes."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.feeds import Feed
from cryptolake.gold.code_hash import code_hash
from cryptolake.gold.recipes import recipe_named
from cryptolake.gold.rows import recipe_table


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spot_kline:1h", "did you mean 'spot_klines'"),
        ("spot_klines", "names no interval; write 'spot_klines:1h'"),
        ("spot_klines:1hr", "did you mean '1h'"),
        ("spot_trades:1h", "has no intervals; write 'spot_trades'"),
        ("futures_um_klines:1s", "has no interval '1s'"),
        (7, "unknown dataset '7'"),
    ],
)
def test_a_wrong_input_names_the_nearest_right_one(text, said):
    with pytest.raises(cl.InvalidQuery, match=said):
        cl.recipe(bars=text)
    assert str(Feed.parse("options_eoh_summary")) == "options_eoh_summary"


def make(bars):
    return bars.select("open_time", x=pl.col("close") * 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "at least one input"),
        ({"spot": "spot_klines:1h"}, "and its function the parameters bars"),
        ({"bars": "spot_klines:1h", "each": "symbol"}, "did you mean 'symbol-month'"),
        ({"bars": "spot_klines:1h", "before": "a month"}, "cannot read 'a month' as a duration"),
        (
            {"bars": "spot_klines:1h", "each": "market-month", "pair": dict},
            "pair= is of recipes by",
        ),
    ],
)
def test_words_that_do_not_agree_are_refused(words, said):
    with pytest.raises(cl.InvalidQuery, match=said):
        cl.recipe(**words)(make)


def test_a_name_of_ours_is_kept_and_an_unknown_one_named():
    def basis(bars):
        return bars

    with pytest.raises(cl.InvalidQuery, match="one of ours"):
        cl.recipe(bars="spot_klines:1h")(basis)
    with pytest.raises(cl.InvalidQuery, match="did you mean 'basis'"):
        recipe_named("bases")


def test_columns_are_those_of_no_rows_and_a_wrong_result_is_said_at_once():
    @cl.recipe(bars="spot_klines:1h")
    def named(bars):
        return bars.select("open_time", up=pl.col("close") > pl.col("open"))

    assert recipe_named("named").columns == {
        "market": pl.String(),
        "symbol": pl.String(),
        "interval": pl.String(),
        "open_time": pl.Datetime("us", "UTC"),
        "up": pl.Boolean(),
    }
    assert named(pl.LazyFrame({"open_time": [1], "close": [2], "open": [1]})).collect().height == 1

    @cl.recipe(bars="spot_klines:1h", each="market-month")
    def timeless(bars):
        return bars.select("close")

    with pytest.raises(cl.BuildError, match=r"lacks a time .* and the column symbol; it has close"):
        _ = recipe_named("timeless").columns

    @cl.recipe(bars="spot_klines:1h")
    def broken(bars):
        return bars.select("no such column")

    with pytest.raises(cl.BuildError, match="'broken' fails on empty inputs"):
        _ = recipe_named("broken").columns
    told = recipe_table().filter(name="broken").row(0, named=True)
    assert told["columns"] == []
    assert "fails on empty inputs" in told["what"]


FACTOR = 2


def helper(x):
    return x * FACTOR


def uses(x):
    """Docstring."""
    return helper(x)  # a comment


def test_the_hash_covers_helpers_and_constants_and_no_comments(monkeypatch):
    first = code_hash(uses)
    again = f"{__import__('inspect').getsource(uses)}".replace('"""Docstring."""', '"""Other."""')
    assert first == code_hash(uses)
    assert again != ""
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert code_hash(uses) != first
    monkeypatch.setitem(globals(), "FACTOR", 2)
    assert code_hash(uses) == first

    def other(x):
        return x + 1

    monkeypatch.setitem(globals(), "helper", other)
    assert code_hash(uses) != first


def test_the_hash_is_the_same_in_another_process():
    text = "from cryptolake.gold.recipes import recipe_named; print(recipe_named('basis').code)"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == recipe_named("basis").code
