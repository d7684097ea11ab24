"""``flow``: signed volume and taker imbalance, by minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import key_of

if TYPE_CHECKING:
    from tests.quality.world import World

KEYS = [key_of(day, interval="1m") for day in ("2024-12-31", "2025-01-01", "2025-01-02")]


def by_hand(world: World) -> list[Row]:
    found = []
    for cells in lines_of(world, *KEYS):
        volume, quote, bought, bought_quote = (float(cells[n]) for n in (5, 7, 9, 10))
        sold, sold_quote = volume - bought, quote - bought_quote
        row = {"open_time": instant(cells[0]), "volume": volume, "trades": int(cells[8])}
        row["signed_volume"] = round(bought - sold, 6)
        row["signed_quote_volume"] = round(bought_quote - sold_quote, 6)
        row["imbalance"] = (bought - sold) / volume if volume else None
        found.append(row)
    return found


def sellers_only(lines: list[bytes]) -> list[bytes]:
    """Let a minute have no buyers that took."""
    cells = lines[5].split(b",")
    return [*lines[:5], b",".join([*cells[:9], b"0", b"0", *cells[11:]]), *lines[6:]]


CASE = Case(
    "flow",
    "BTCUSDT",
    ("2024-12-31", "2025-01-02"),
    by_hand,
    rewritten=(KEYS[1], sellers_only),
    rebuilt=("2025-01",),
)
