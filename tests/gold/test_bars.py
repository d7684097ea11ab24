"""Bars made in parts: where a part of the trades ends changes nothing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from cryptolake.gold import bars

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
SIZES = {"tick_bars": 10, "volume_bars": 7.5, "dollar_bars": 200.0}


@pytest.fixture(scope="module")
def trades() -> list[dict[str, Any]]:
    """Some hundred trades whose quantities are quarters, so that sums are exact; a few are above a bar's size."""
    dice = random.Random(5)
    rows = []
    for second in range(311):
        price = float(dice.randint(90, 110))
        quantity = dice.choice([0.25, 0.5, 1.0, 0.75, 40.0 if second % 50 == 9 else 0.25])
        rows.append(
            {
                "time": BEGIN + timedelta(seconds=second),
                "price": price,
                "quantity": quantity,
                "quote_quantity": price * quantity,
                "is_buyer_maker": dice.random() < 0.5,
            }
        )
    return rows


def by_hand(trades: list[dict[str, Any]], name: str) -> list[tuple[Any, ...]]:
    """Return ``open_time, open, high, low, close, volume, trades, taker_buy_volume, partial`` of each bar."""
    size = SIZES[name]
    column = {"volume_bars": "quantity", "dollar_bars": "quote_quantity"}.get(name)
    groups: dict[int, list[dict[str, Any]]] = {}
    reached = 0.0
    for row in trades:
        groups.setdefault(int(reached // size), []).append(row)
        reached += 1 if column is None else row[column]
    last = list(groups)[-1]
    found = []
    for number, rows in groups.items():
        prices = [row["price"] for row in rows]
        bought = sum(row["quantity"] for row in rows if not row["is_buyer_maker"])
        volume = sum(row["quantity"] for row in rows)
        partial = number == last and reached // size <= number
        extremes = prices[0], max(prices), min(prices), prices[-1]
        found.append((rows[0]["time"], *extremes, volume, len(rows), bought, partial))
    return found


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("part", [1, 4, 10, 310, 311, 1000])
def test_parts_change_nothing(
    trades: list[dict[str, Any]], name: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "_PART", part)
    made = getattr(bars, name)(pl.LazyFrame(trades), SIZES[name])
    kept = made.select(
        *("open_time", "open", "high", "low", "close", "volume", "trades"),
        *("taker_buy_volume", "partial"),
    )
    assert kept.collect().rows() == by_hand(trades, name)


def test_a_bar_larger_than_all_is_the_partial_one(
    trades: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "_PART", 50)
    made = bars.volume_bars(pl.LazyFrame(trades), 1e9).collect()
    assert made["trades"].to_list() == [len(trades)]
    assert made["partial"].to_list() == [True]
    assert made["close_time"].item() == trades[-1]["time"]


def test_what_is_asked_of_bars_is_all_that_is_made(
    trades: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "_PART", 50)
    made = bars.tick_bars(pl.LazyFrame(trades), 10)
    whole = made.collect()
    asked = made.filter(pl.col("close") > 100).select("volume", "open").head(3)
    assert asked.collect().equals(
        whole.filter(pl.col("close") > 100).select("volume", "open").head(3)
    )
    none = bars.tick_bars(pl.LazyFrame(trades).head(0)).collect()
    assert none.is_empty()
    assert none.schema == whole.schema
