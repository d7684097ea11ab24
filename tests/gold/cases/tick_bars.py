"""``tick_bars``: bars of 1,000 trades."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.quality.world import World

KEYS = [key_of(day, data_type="trades") for day in ("2024-12-31", "2025-01-01", "2025-01-02")]
KNOWN = pl.when(~pl.col("partial")).then(pl.col("close_time") + pl.duration(milliseconds=1))


def bars_by_hand(world: World, size: int, amount: Callable[[list[str]], Decimal]) -> list[Row]:
    """Return the bars of each month, in decimals: a bar closes once the sum is at the next multiple of the size."""
    trades = sorted(lines_of(world, *KEYS), key=lambda cells: (int(cells[4]), int(cells[0])))
    found: list[Row] = []
    for _, month in groupby(trades, key=lambda cells: instant(cells[4]).month):
        total, edge, held = Decimal(0), Decimal(size), list[list[str]]()
        for cells in month:
            held.append(cells)
            total += amount(cells)
            if total >= edge:
                found.append(bar_of(held, partial=False))
                held, edge = [], (total // size + 1) * size
        if held:
            found.append(bar_of(held, partial=True))
    assert sum(row["partial"] for row in found) == 2, "each month ends within a bar"
    return found


def bar_of(trades: list[list[str]], *, partial: bool) -> Row:
    prices = [float(cells[1]) for cells in trades]
    taken = [cells for cells in trades if cells[5] == "false"]
    return {
        "open_time": instant(trades[0][4]),
        "close_time": instant(trades[-1][4]),
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": float(sum(Decimal(cells[2]) for cells in trades)),
        "quote_volume": float(sum(Decimal(cells[3]) for cells in trades)),
        "trades": len(trades),
        "taker_buy_volume": float(sum(Decimal(cells[2]) for cells in taken)),
        "taker_buy_quote_volume": float(sum(Decimal(cells[3]) for cells in taken)),
        "partial": partial,
    }


def by_hand(world: World) -> list[Row]:
    return bars_by_hand(world, 1000, lambda _: Decimal(1))


def without_the_tenth(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], *lines[11:]]


def case_of(recipe: str, by_hand: Callable[[World], list[Row]]) -> Case:
    return Case(
        recipe,
        "BTCUSDT",
        ("2024-12-31", "2025-01-02"),
        by_hand,
        rewritten=(KEYS[1], without_the_tenth),
        rebuilt=("2025-01",),
        known=KNOWN,
    )


CASE = case_of("tick_bars", by_hand)
