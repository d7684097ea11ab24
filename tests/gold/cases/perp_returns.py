"""``perp_returns``: price, funding and their sum, by hour."""

from __future__ import annotations

from tests.gold.cases.funding import KNOWN, RANGE, returns_by_hand
from tests.gold.harness import Case
from tests.quality.world import key_of


def without_an_hour(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[6:]]


CASE = Case(
    "perp_returns",
    "BTCUSDT",
    RANGE,
    returns_by_hand,
    rewritten=(key_of("2024-12-31"), without_an_hour),
    rebuilt=("2024-12", "2025-01"),
    known=KNOWN,
)
