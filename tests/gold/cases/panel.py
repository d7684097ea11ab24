"""``panel``: all symbols of a market in one file a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import World, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOLS = ("BTCUSDT", "ETHUSDT")
PERIODS = ("2024-12-31", "2025-01")


def rows(world: World) -> Iterator[Row]:
    for symbol in SYMBOLS:
        for period in PERIODS:
            for cells in lines_of(world, key_of(period, symbol=symbol)):
                opens, _, _, low, close, volume, *_ = cells
                bar = {"open_time": instant(opens), "low": float(low), "close": float(close)}
                yield {"symbol": symbol, **bar, "volume": float(volume), "trades": int(cells[8])}


def by_hand(world: World) -> list[Row]:
    """Return the rows by month, symbol and time."""
    return sorted(rows(world), key=lambda row: (row["open_time"].month != 12, row["symbol"]))


def at_the_low(lines: list[bytes]) -> list[bytes]:
    cells = lines[7].split(b",")
    return [*lines[:7], b",".join([*cells[:4], cells[3], *cells[5:]]), *lines[8:]]


CASE = Case(
    "panel",
    "[BE]T[CH]USDT",
    ("2024-12-31", "2025-01-31"),
    by_hand,
    rewritten=(key_of("2025-01", symbol="ETHUSDT"), at_the_low),
    rebuilt=("2025-01",),
)
