"""``volume_bars``: bars of 100 of the base asset."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.gold.cases.tick_bars import bars_by_hand, case_of

if TYPE_CHECKING:
    from tests.gold.harness import Row
    from tests.quality.world import World


def by_hand(world: World) -> list[Row]:
    return bars_by_hand(world, 100, lambda cells: Decimal(cells[2]))


CASE = case_of("volume_bars", by_hand)
