"""``basis``: perpetual against spot, by hour."""

from __future__ import annotations

from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import World, key_of

MONTHLY, DAILY = ("2025-01",), ("2024-12-30", "2024-12-31", "2025-02-01")


def closes(world: World, market: str) -> dict[object, float]:
    keys = [key_of(period, market=market) for period in (*MONTHLY, *DAILY)]
    here = [key for key in keys if world.folder.path(key).exists()]
    return {instant(row[0]): float(row[4]) for row in lines_of(world, *here)}


def by_hand(world: World) -> list[Row]:
    perp, spot = closes(world, "futures/um"), closes(world, "spot")
    return [
        {"open_time": time, "basis": perp[time] / spot[time] - 1 if time in spot else None}
        for time in sorted(perp)  # type: ignore[type-var]
    ]


def doubled(lines: list[bytes]) -> list[bytes]:
    """Let the fifth hour close at its high."""
    cells = lines[5].split(b",")
    return [*lines[:5], b",".join([*cells[:4], cells[2], *cells[5:]]), *lines[6:]]


CASE = Case(
    "basis",
    "BTCUSDT",
    ("2024-12-30", "2025-02-01"),
    by_hand,
    rewritten=(key_of("2025-01"), doubled),
    rebuilt=("2025-01",),
)
