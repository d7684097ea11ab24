"""``depth``: bids against asks, snapshot by snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from tests.gold.harness import Case, Row, lines_of
from tests.quality.world import key_of

if TYPE_CHECKING:
    from tests.quality.world import World

KEYS = [key_of(day, data_type="bookDepth") for day in ("2024-12-31", "2025-01-01")]


def by_hand(world: World) -> list[Row]:
    seen: dict[tuple[str, float], tuple[float, float]] = {}
    for stamp, percentage, amount, notional in lines_of(world, *KEYS):
        seen[stamp, float(percentage)] = (float(amount), float(notional))
    found = []
    for stamp, within in sorted({(stamp, abs(percentage)) for stamp, percentage in seen}):
        bid, ask = (seen.get((stamp, side), (None, None)) for side in (-within, within))
        row: Row = {"time": datetime.fromisoformat(stamp).replace(tzinfo=UTC), "percentage": within}
        row |= {"bid_depth": bid[0], "ask_depth": ask[0]}
        row |= {"bid_notional": bid[1], "ask_notional": ask[1], "imbalance": None}
        if bid[0] is not None and ask[0] is not None:
            row["imbalance"] = (bid[0] - ask[0]) / (bid[0] + ask[0])
        found.append(row)
    return found


def without_bids(lines: list[bytes]) -> list[bytes]:
    """Leave the first snapshot's bids out."""
    return [lines[0], *(line for line in lines[1:6] if b",-" not in line), *lines[6:]]


CASE = Case(
    "depth",
    "BTCUSDT",
    ("2024-12-31", "2025-01-01"),
    by_hand,
    rewritten=(KEYS[1], without_bids),
    rebuilt=("2025-01",),
    known=pl.col("time") + pl.duration(seconds=1),
)
