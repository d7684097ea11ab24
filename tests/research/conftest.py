"""A small archive of daily bars of futures; lakes of a few days of um futures, and of ticks beside quotes. Read only."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.server import serve_archive
from tests.research.lookahead import at

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive

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


INDEXES = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
DAYS = ("2024-12-31", "2025-01-02")
FUTURES = cl.query().markets("futures_um").symbols("BTCUSDT")
SPOT = cl.query().markets("spot").symbols("BTCUSDT")
COINS = cl.query().markets("futures_cm").symbols("BTCUSD_PERP")


@pytest.fixture(scope="session")
def futures(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """Three days of um BTCUSDT: klines, mark, index and premium of 1m and 1h, fundingRate and metrics."""
    lake = cl.Lake(tmp_path_factory.mktemp("futures") / "lake", source=archive)
    query = FUTURES.between(*DAYS)
    for asked in (
        query.data_types("klines", *INDEXES).intervals("1m", "1h"),
        query.data_types("metrics"),
        query.data_types("fundingRate").between("2024-12", "2025-01"),
    ):
        report = lake.pull(asked, progress=False)
        assert report.ok, report
    return lake


@pytest.fixture(scope="session")
def others(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """The same days and intervals of spot BTCUSDT, and of cm BTCUSD_PERP with mark, index and premium."""
    lake = cl.Lake(tmp_path_factory.mktemp("others") / "lake", source=archive)
    for asked in (
        SPOT.data_types("klines"),
        COINS.data_types("klines", "markPriceKlines", "premiumIndexKlines"),
        COINS.data_types("indexPriceKlines").symbols("BTCUSD"),
    ):
        report = lake.pull(asked.intervals("1m", "1h").between(*DAYS), progress=False)
        assert report.ok, report
    return lake


@pytest.fixture(scope="session")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """Two hours of um BTCUSDT: a trade and a quote in every second, half of them in one millisecond."""
    root = tmp_path_factory.mktemp("ticks") / "lake"
    number = pl.int_range(7200, eager=True)
    begin = at("2024-03-01")
    second = pl.select(pl.lit(begin, pl.Datetime("us", "UTC")) + number * timedelta(seconds=1))
    time = second.to_series()
    silver(
        root,
        "futures_um/trades/BTCUSDT/2024-03",
        {
            "trade_id": number,
            "price": 100.0 + number,
            "quantity": number.cast(pl.Float64),
            "quote_quantity": number.cast(pl.Float64),
            "time": time,
            "is_buyer_maker": number % 2 == 0,
        },
    )
    apart = time + (number % 2) * timedelta(milliseconds=7)
    silver(
        root,
        "futures_um/bookTicker/BTCUSDT/2024-03",
        {
            "update_id": number,
            "best_bid_price": 99.0 + number,
            "best_bid_quantity": number.cast(pl.Float64),
            "best_ask_price": 101.0 + number,
            "best_ask_quantity": number.cast(pl.Float64),
            "time": apart,
            "event_time": apart,
        },
    )
    return cl.Lake(root)


def silver(root: Path, place: str, columns: Mapping[str, object]) -> Path:
    """Write a Silver file by hand: ``market/data_type[:interval]/symbol/month``."""
    market, data_type, symbol, month = place.split("/")
    kind, _, interval = data_type.partition(":")
    level = f"interval={interval}/" if interval else ""
    folder = root / f"silver/market={market}/data_type={kind}/{level}symbol={symbol}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{month}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path
