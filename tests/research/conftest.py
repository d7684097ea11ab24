"""A small archive of daily bars of futures, written for these tests, and what its rows are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.server import serve_archive

LIVES = {
    # symbol: first day, last day, how much it trades
    "BTCUSDT": (date(2024, 1, 1), date(2024, 4, 30), 9),
    "ETHUSDT": (date(2024, 1, 1), date(2024, 4, 30), 7),
    "JUPUSDT": (date(2024, 1, 1), date(2024, 4, 30), 3),
    "LUNAUSDT": (date(2024, 1, 1), date(2024, 3, 12), 12),
    "NEWUSDT": (date(2024, 2, 20), date(2024, 4, 30), 20),
    "IDLEUSDT": (date(2024, 1, 1), date(2024, 4, 30), 11),
    "ICPUSDTSETTLED": (date(2024, 1, 1), date(2024, 2, 29), 5),
    "USDCUSDT": (date(2024, 1, 1), date(2024, 4, 30), 99),
    "BTCUPUSDT": (date(2024, 1, 1), date(2024, 4, 30), 98),
    "ETHBTC": (date(2024, 1, 1), date(2024, 4, 30), 97),
}
IDLE_FROM = date(2024, 2, 25)


class DailyArchive(NamedTuple):
    """The archive, and the quote volume of each symbol and day in it."""

    source: cl.Archive
    volumes: dict[tuple[str, date], float]


def daily_key(symbol: str, period: str, market: str = "futures/um") -> str:
    tree = "daily" if period.count("-") == 2 else "monthly"
    return f"data/{market}/{tree}/klines/{symbol}/1d/{symbol}-1d-{period}.zip"


def daily_line(day: date, quote_volume: float) -> str:
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    trades = 0 if quote_volume == 0 else 7
    return f"{begin},1.5,2.5,0.5,1.0,10,{begin + 86_399_999},{quote_volume},{trades},5,0,0"


def days_of(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.fixture(scope="session")
def daily_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DailyArchive]:
    """Four months of ten symbols: delisted, listed, settled, idle, stable, leveraged, and of another quote."""
    folder = ArchiveFolder(tmp_path_factory.mktemp("daily-bars"))
    volumes: dict[tuple[str, date], float] = {}
    for symbol, (first, last, size) in LIVES.items():
        dice = random.Random(symbol)
        texts: dict[str, list[str]] = {}
        for day in days_of(first, last):
            idle = symbol == "IDLEUSDT" and day >= IDLE_FROM
            volumes[symbol, day] = 0.0 if idle else round(size * dice.uniform(0.5, 1.5) * 1e6, 2)
            texts.setdefault(f"{day:%Y-%m}", []).append(daily_line(day, volumes[symbol, day]))
        for month, lines in texts.items():
            key = daily_key(symbol, month)
            parsed = parse_key(key)
            assert parsed is not None
            text = "\n".join([*lines, ""]).encode()
            folder.write_zip(key, text, published_at(parsed.period, parsed.market), parsed.market)
    with serve_archive(folder.root, bucket="daily-bars") as served:
        yield DailyArchive(cl.Archive(bucket="daily-bars", endpoint_url=served.endpoint), volumes)
