"""``funding``: payments at the hour that they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from tests.gold.harness import Case, Row, instant, lines_of
from tests.quality.world import World, key_of

Paid = tuple[datetime, int, float]
HOUR = timedelta(hours=1)
RANGE = ("2024-12-30", "2025-01-31")
RATES = [key_of(month, data_type="fundingRate") for month in ("2024-12", "2025-01")]
KNOWN = pl.max_horizontal(pl.col("open_time").dt.offset_by("1h"), "funding_time")


def payments(world: World) -> dict[datetime, Paid]:
    """Return, by the hour that a payment falls on: its time, its interval and its rate."""
    found = {}
    for time, interval, rate in lines_of(world, *RATES):
        moment = instant(time)
        hour = (moment + HOUR / 2).replace(minute=0, second=0, microsecond=0)
        found[hour] = (moment, int(interval), float(rate))
    return found


def placed(paid: dict[datetime, Paid], end: datetime) -> tuple[float | None, datetime | None]:
    """Return the rate of the payment at an instant, 0 between two, and the payment's own time."""
    if end in paid:
        return paid[end][2], paid[end][0]
    before = max((hour for hour in paid if hour < end), default=None)
    if before is None or end >= before + paid[before][1] * HOUR:
        return None, None
    return 0.0, None


def closes(world: World) -> dict[datetime, float]:
    keys = [key_of(period) for period in ("2024-12-30", "2024-12-31", "2025-01", "2025-02-01")]
    return {instant(cells[0]): float(cells[4]) for cells in lines_of(world, *keys)}


def hours(world: World) -> list[datetime]:
    return [time for time in sorted(closes(world)) if time < datetime(2025, 2, 1, tzinfo=UTC)]


def by_hand(world: World) -> list[Row]:
    paid = payments(world)
    found: list[Row] = []
    for time in hours(world):
        rate, moment = placed(paid, time + HOUR)
        found.append({"open_time": time, "funding_rate": rate, "funding_time": moment})
    jitter = [row["funding_time"].microsecond for row in found if row["funding_time"]]
    assert any(jitter)
    assert not all(jitter)
    assert found[47]["funding_time"], "January's first payment is in December's last bar"
    return found


def returns_by_hand(world: World) -> list[Row]:
    prices, paid = closes(world), payments(world)
    found: list[Row] = []
    for time in hours(world):
        grown = prices[time] / prices[time - HOUR] if time - HOUR in prices else None
        rate, moment = placed(paid, time + HOUR)
        price = None if grown is None else grown - 1
        cost = None if grown is None or rate is None else -rate * grown
        total = None if price is None or cost is None else price + cost
        found.append({"open_time": time, "price": price, "funding": cost, "total": total})
        found[-1]["funding_time"] = moment
    return found


def halved(lines: list[bytes]) -> list[bytes]:
    """Drop every second payment of a file, and double the others."""
    header, *rows = lines
    kept = [row.rstrip(b"\n").split(b",") for row in rows[::2]]
    return [header, *(b",".join([*c[:2], b"%.8f" % (2 * float(c[2]))]) + b"\n" for c in kept)]


CASE = Case(
    "funding",
    "BTCUSDT",
    RANGE,
    by_hand,
    rewritten=(RATES[1], halved),
    rebuilt=("2024-12", "2025-01"),
    known=KNOWN,
)
