"""``realized_vol``: over 1, 7 and 30 days, beside the index."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.gold.cases.funding import closes
from tests.gold.cases.panel import at_the_low
from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import key_of

if TYPE_CHECKING:
    from tests.quality.world import World

INDEX = "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2025-01-01.zip"
HOUR = timedelta(hours=1)


def by_hand(world: World) -> list[Row]:
    prices = closes(world)
    returns = {
        time: math.log(price / prices[time - HOUR])
        for time, price in prices.items()
        if time - HOUR in prices
    }
    implied: dict[datetime, float] = {}
    for cells in lines_of(world, INDEX):
        # the last one of an hour stands; at the hour itself and up to 1 ms before it, the next hour's
        at = instant(cells[0]) + timedelta(microseconds=999)
        implied[at.replace(minute=0, second=0, microsecond=0)] = float(cells[4])
    found = []
    for time in sorted(prices):
        row: Row = {"open_time": time, "bvol": implied.get(time)}
        for days in (1, 7, 30):
            window = [time - n * HOUR for n in range(24 * days)]
            seen = [returns[hour] for hour in window if hour in returns]
            enough = len(seen) >= 24 * days * 9 // 10
            mean = sum(r * r for r in seen) / len(seen) if seen else 0
            row[f"vol_{days}d"] = 100 * math.sqrt(8760 * mean) if enough else None
        found.append(row)
    first = {days: next(r["open_time"] for r in found if r[f"vol_{days}d"]) for days in (1, 30)}
    assert first[1] < datetime(2025, 1, 1, tzinfo=UTC) < first[30]
    assert sum(row["bvol"] is not None for row in found) == 24
    return found


CASE = Case(
    "realized_vol",
    "BTCUSDT",
    ("2024-12-30", "2025-02-01"),
    by_hand,
    rewritten=(key_of("2025-01"), at_the_low),
    rebuilt=("2025-01", "2025-02"),
)
