"""``option_surface``: options at the end of the hour that their label begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from tests.gold.harness import Case, Row, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.quality.world import World

KEY = "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-{}.zip"
DAYS = ("2023-10-22", "2023-10-23")


def surface(lines: Iterable[list[str]]) -> list[Row]:
    """Return the rows of published lines, by time and name."""
    found = []
    for cells in lines:
        day, hour, name, _, kind, terms = cells[:6]
        time = datetime.fromisoformat(f"{day}T{hour}:00:00").replace(tzinfo=UTC)
        numbers = [float(cell) if cell else None for cell in cells[6:]]
        (_, _, _, close, volume, _, bid, ask, bids, asks, _, ask_iv, mark, iv) = numbers[:14]
        expiry = datetime(2000 + int(terms[:2]), int(terms[2:4]), int(terms[4:6]), 8, tzinfo=UTC)
        valued_at = time + timedelta(hours=1)
        if valued_at > expiry:
            continue
        row = {"time": time, "valued_at": valued_at, "option_symbol": name, "option_type": kind}
        row |= {"expiry": expiry, "strike": float(terms[7:])}
        row |= {"days_to_expiry": (expiry - valued_at) / timedelta(days=1), "mark_price": mark}
        row |= {"mark_iv": iv, "delta": numbers[14], "open_interest": numbers[18]}
        row |= {"bid_price": bid or None, "bid_quantity": bids if bid else None}
        row |= {"ask_price": ask or None, "ask_quantity": asks if ask else None}
        row |= {"ask_iv": None if ask_iv == -1e-8 else ask_iv}
        found.append(row | {"close_24h": close or None, "volume_24h": volume})
    return sorted(found, key=lambda row: (row["time"], row["option_symbol"]))


def by_hand(world: World) -> list[Row]:
    return surface(lines_of(world, *(KEY.format(day) for day in DAYS)))


def without_bids(lines: list[bytes]) -> list[bytes]:
    """Take the bids out of the first hundred rows."""
    cells = [line.split(b",") for line in lines[1:101]]
    none = [b",".join([*c[:12], b"0E-8", c[13], b"0E-8", *c[15:]]) for c in cells]
    return [lines[0], *none, *lines[101:]]


CASE = Case(
    "option_surface",
    "BTCUSDT",
    DAYS,
    by_hand,
    rewritten=(KEY.format(DAYS[0]), without_bids),
    rebuilt=("2023-10",),
    cut=datetime(2023, 10, 22, 14, 31, 17, tzinfo=UTC),
    known=pl.col("valued_at"),
)
