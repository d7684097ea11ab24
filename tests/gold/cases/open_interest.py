"""``open_interest``: the newest snapshot known at each hour's end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.gold.cases.funding import closes
from tests.gold.harness import Case, Row, lines_of

if TYPE_CHECKING:
    from tests.quality.world import World

KEY = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{}.zip"
KEYS = [KEY.format(day) for day in ("2024-12-31", "2025-01-01", "2025-01-02")]


def by_hand(world: World) -> list[Row]:
    seen = {}
    for cells in lines_of(world, *KEYS):
        stamp = datetime.fromisoformat(cells[0]).replace(tzinfo=UTC)
        seen[stamp] = [float(cell) or None for cell in cells[2:4]]
    found = []
    for time in sorted(closes(world)):
        if str(time.date()) not in {key[-14:-4] for key in KEYS}:
            continue
        stamps = [time + timedelta(minutes=minutes) for minutes in range(0, 60, 5)]
        newest = max((stamp for stamp in stamps if stamp in seen), default=None)
        held, value = seen[newest] if newest else (None, None)
        price = value / held if held and value else None
        row = {"open_time": time, "open_interest": held, "open_interest_value": value}
        found.append({**row, "snapshot_price": price, "snapshot_time": newest})
    return found


def with_zeros(lines: list[bytes]) -> list[bytes]:
    """Let an hour's newest row have no data, and another hour have no rows."""
    place = next(n for n, line in enumerate(lines) if b" 03:55:00" in line)
    cells = lines[place].split(b",")
    empty = b",".join([*cells[:2], b"0.00000000", b"0.00000000", *cells[4:]])
    return [empty if n == place else line for n, line in enumerate(lines) if b" 05:" not in line]


CASE = Case(
    "open_interest",
    "BTCUSDT",
    ("2024-12-31", "2025-01-02"),
    by_hand,
    rewritten=(KEYS[1], with_zeros),
    rebuilt=("2025-01",),
)
