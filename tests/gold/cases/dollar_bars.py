"""``dollar_bars``: bars of 1,000,000 of the quote asset."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.gold.cases.tick_bars import bars_by_hand, case_of

if TYPE_CHECKING:
    from tests.gold.harness import Row
    from tests.quality.world import World


def by_hand(world: World) -> list[Row]:
    return bars_by_hand(world, 1_000_000, lambda cells: Decimal(cells[3]))


CASE = case_of("dollar_bars", by_hand)
