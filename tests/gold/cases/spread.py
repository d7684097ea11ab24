"""``spread``: the best bid and ask by minute, weighted by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from tests.gold.harness import Case, Row, instant, lines_of

if TYPE_CHECKING:
    from tests.quality.world import World

KEY = "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-{}.zip"
KEYS = [KEY.format(day) for day in ("2024-03-28", "2024-03-29", "2024-03-30")]
MINUTE, TICK = timedelta(minutes=1), timedelta(milliseconds=1)
NAMES = ("bid", "bid_quantity", "ask", "ask_quantity")

Quote = tuple[datetime, list[float]]


def by_hand(world: World) -> list[Row]:
    quotes: list[Quote] = []
    for cells in lines_of(world, *KEYS):
        at = max(instant(cells[5]), instant(cells[6])) + TICK
        quotes.append((at, [float(cell) for cell in cells[1:5]]))
    minutes: dict[datetime, list[Quote]] = {}
    for at, values in quotes:
        minutes.setdefault(at.replace(second=0, microsecond=0), []).append((at, values))
    found = []
    for begin, own in sorted(minutes.items()):
        standing = [(begin, before[-1][1]) for before in [minutes.get(begin - MINUTE)] if before]
        found.append({**row_of(begin, [*standing, *own]), "quotes": len(own)})
    assert {row["quoted"] == 1 for row in found} == {True, False}, "some minutes follow others"
    return found


def row_of(begin: datetime, quotes: list[Quote]) -> Row:
    ends = [at for at, _ in quotes[1:]] + [begin + MINUTE]
    spans = [(end - at) / MINUTE for (at, _), end in zip(quotes, ends, strict=True)]
    quoted = sum(spans)
    mean = {
        name: sum(v[n] * span for (_, v), span in zip(quotes, spans, strict=True)) / quoted
        for n, name in enumerate(NAMES)
    }
    both = mean["bid_quantity"] + mean["ask_quantity"]
    return {
        "open_time": begin,
        **mean,
        "mid": mean["bid"] / 2 + mean["ask"] / 2,
        "imbalance": (mean["bid_quantity"] - mean["ask_quantity"]) / both,
        "quoted": quoted,
    }


def without_the_tenth(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], *lines[11:]]


CASE = Case(
    "spread",
    "BTCUSDT",
    ("2024-03-28", "2024-03-30"),
    by_hand,
    rewritten=(KEYS[1], without_the_tenth),
    rebuilt=("2024-03",),
    cut=datetime(2024, 3, 29, 7, 31, 17, tzinfo=UTC),
    known=pl.col("open_time") + pl.duration(minutes=1),
)
