"""``premium``: the premium index by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gold.harness import Case, Row, instant, lines_of

if TYPE_CHECKING:
    from tests.quality.world import World

KEY = "data/futures/um/{}/premiumIndexKlines/BTCUSDT/1h/BTCUSDT-1h-{}.zip"
DAYS = [KEY.format("daily", f"2025-01-0{day}") for day in (1, 2)]


def by_hand(world: World) -> list[Row]:
    lines = lines_of(world, KEY.format("monthly", "2024-12"), *DAYS)
    return [
        {
            "open_time": instant(cells[0]),
            "premium": float(cells[4]) if filled is False else None,
            "premium_low": float(cells[3]) if filled is False else None,
            "premium_high": float(cells[2]) if filled is False else None,
            "samples": int(cells[8]),
        }
        for cells in lines
        for filled in [cells[8] == "0" and not any(map(float, cells[1:5]))]
    ]


def unsampled(lines: list[bytes]) -> list[bytes]:
    """Let an hour be filled in."""
    cells = lines[5].split(b",")
    zeros = [b"0"] * 4
    return [*lines[:5], b",".join([cells[0], *zeros, *cells[5:8], b"0", *cells[9:]]), *lines[6:]]


CASE = Case(
    "premium",
    "BTCUSDT",
    ("2024-12-31", "2025-01-02"),
    by_hand,
    rewritten=(DAYS[0], unsampled),
    rebuilt=("2025-01",),
)
