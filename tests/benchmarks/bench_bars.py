"""Coarser bars and as-of joins against the best by hand, in one run, each in a process of its own.

``python -m tests.benchmarks.bench_bars [ROUNDS]`` prints processor time and peak memory of

- 5.27 million 1m bars (ten symbols, a year) made 1h bars, against a streaming ``group_by`` of all files;
- the same 1m bars with the funding and the metrics that were known, against ``join_asof`` symbol by symbol;
- two million trades with the newest of two million quotes, against one ``join_asof`` of two sorted frames.

By turns, the least of some rounds. Imports of the library are not counted: all jobs have them.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import cryptolake as cl
from tests.benchmarks.measuring import Job, answer, compare, pairs

SYMBOLS = [f"S{place:02}USDT" for place in range(10)]
TICKS = 2_000_000
UM = "silver/market=futures_um"
BARS = cl.query().markets("futures_um").klines("1m").symbols("S*").between("2024")
TRADES = cl.query().markets("futures_um").data_types("trades").symbols("S00USDT").between("2024-03")
PRICES = ("open", "high", "low", "close")
SUMS = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
RATIOS = (
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "taker_long_short_volume_ratio",
)


def put(root: Path, place: str, symbol: str, month: int, columns: dict[str, object]) -> None:
    folder = root / UM / place / f"symbol={symbol}"
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(columns)
    frame.write_parquet(folder / f"2024-{month:02}.parquet", compression="zstd")


def times(month: int, step: str) -> pl.Series:
    begin = datetime(2024, month, 1, tzinfo=UTC)
    end = datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return pl.datetime_range(begin, end, step, closed="left", time_unit="us", eager=True)


def write_bars(root: Path) -> None:
    """Write a year of 1m bars, of funding every eight hours, and of metrics every five minutes."""
    for place, symbol in enumerate(SYMBOLS):
        dice = np.random.default_rng(place)
        for month in range(1, 13):
            opens = times(month, "1m")
            n = len(opens)
            price = (100 + np.cumsum(dice.normal(0, 0.01, n))).round(2)
            volume = dice.random(n).round(3)
            put(
                root,
                "data_type=klines/interval=1m",
                symbol,
                month,
                {
                    "open_time": opens,
                    **dict.fromkeys(PRICES, price),
                    "volume": volume,
                    "close_time": opens + timedelta(milliseconds=59_999),
                    "quote_volume": (price * volume).round(5),
                    "trades": dice.integers(1, 1000, n),
                    "taker_buy_volume": (volume / 2).round(3),
                    "taker_buy_quote_volume": (price * volume / 2).round(5),
                },
            )
            paid, stamps = times(month, "8h"), times(month, "5m")
            jitter = pl.Series(dice.integers(0, 15, len(paid)) * 1000).cast(pl.Duration("us"))
            put(
                root,
                "data_type=fundingRate",
                symbol,
                month,
                {
                    "time": paid + jitter,
                    "funding_interval_hours": pl.Series([8] * len(paid), dtype=pl.Int64),
                    "funding_rate": dice.normal(0, 1e-4, len(paid)).round(8),
                },
            )
            values = {name: dice.random(len(stamps)) for name in RATIOS}
            interest = dice.random(len(stamps)) * 1e5
            put(
                root,
                "data_type=metrics",
                symbol,
                month,
                {
                    "time": stamps,
                    "open_interest": interest.round(3),
                    "open_interest_value": (interest * 100).round(5),
                    **values,
                },
            )


def write_ticks(root: Path) -> None:
    """Write trades and quotes of one month, two million of each."""
    dice = np.random.default_rng(1)
    begin = datetime(2024, 3, 1, tzinfo=UTC)
    for kind in ("trades", "bookTicker"):
        after = np.sort(dice.integers(0, 31 * 86_400_000, TICKS))
        since = pl.Series(after * 1000).cast(pl.Duration("us"))
        time = pl.select(pl.lit(begin, pl.Datetime("us", "UTC")) + since).to_series()
        price = (100 + np.cumsum(dice.normal(0, 0.001, TICKS))).round(2)
        size = dice.random(TICKS).round(3)
        number = np.arange(TICKS)
        columns: dict[str, object] = {
            "trade_id": number,
            "price": price,
            "quantity": size,
            "quote_quantity": (price * size).round(5),
            "time": time,
            "is_buyer_maker": dice.random(TICKS) < 0.5,
        }
        if kind == "bookTicker":
            columns = {
                "update_id": number,
                "best_bid_price": price,
                "best_bid_quantity": size,
                "best_ask_price": price + 0.01,
                "best_ask_quantity": size,
                "time": time,
                "event_time": time,
            }
        put(root, f"data_type={kind}", "S00USDT", 3, columns)


# ------------------------------------------------------------------------------- each in its own process


def scan(root: Path, place: str, symbol: str = "*") -> pl.LazyFrame:
    files = sorted((root / UM / place).glob(f"symbol={symbol}/*.parquet"))
    names = [part.partition("=")[0] for part in (UM.split("/")[1], *place.split("/"), "symbol=")]
    return pl.scan_parquet(files, hive_schema=dict.fromkeys(names, pl.String))


def resample_by_hand(root: Path) -> pl.DataFrame:
    hours = scan(root, "data_type=klines/interval=1m").group_by(
        "symbol", pl.col("open_time").dt.truncate("1h")
    )
    made = hours.agg(
        pl.first("open"),
        pl.max("high"),
        pl.min("low"),
        pl.last("close"),
        pl.sum(*SUMS),
        pl.max("close_time"),
        pl.len().alias("bars"),
    )
    return made.collect(engine="streaming")


def resample_by_lake(root: Path) -> pl.DataFrame:
    return cl.Lake(root).resample(BARS, "1h").collect()


def joins_by_hand(root: Path) -> pl.DataFrame:
    found = []
    for symbol in SYMBOLS:
        bars = scan(root, "data_type=klines/interval=1m", symbol)
        bars = bars.with_columns(decided=pl.col("open_time") + pl.duration(minutes=1))
        funding = scan(root, "data_type=fundingRate", symbol).drop("market", "data_type", "symbol")
        metrics = scan(root, "data_type=metrics", symbol).drop("market", "data_type", "symbol")
        funding = funding.rename({"time": "funding_time"})
        metrics = metrics.rename({"time": "metrics_time"}).with_columns(
            metrics_known_at=pl.col("metrics_time") + pl.duration(minutes=5)
        )
        how: dict[str, Any] = {"left_on": "decided", "coalesce": False}
        joined = bars.join_asof(funding, right_on="funding_time", tolerance="9h", **how)
        joined = joined.join_asof(metrics, right_on="metrics_known_at", tolerance="15m", **how)
        found.append(joined.collect())
    return pl.concat(found)


def joins_by_lake(root: Path) -> pl.DataFrame:
    return cl.Lake(root).asof(BARS, "fundingRate", "metrics").collect()


def quotes_by_hand(root: Path) -> pl.DataFrame:
    trades = scan(root, "data_type=trades")
    quotes = scan(root, "data_type=bookTicker").drop("market", "data_type", "symbol")
    last = pl.max_horizontal("time", "event_time") + pl.duration(milliseconds=1)
    quotes = quotes.with_columns(known_at=last).rename({"time": "quote_time"})
    how: dict[str, Any] = {
        "left_on": "time",
        "right_on": "known_at",
        "tolerance": "5m",
        "coalesce": False,
    }
    return trades.join_asof(quotes, **how).collect()


def quotes_by_lake(root: Path) -> pl.DataFrame:
    return cl.Lake(root).asof(TRADES, "bookTicker").collect()


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (
        *(
            resample_by_hand,
            resample_by_lake,
            joins_by_hand,
            joins_by_lake,
        ),
        *(
            quotes_by_hand,
            quotes_by_lake,
        ),
    )
}


WORK = {
    "resample": "5.27 million 1m bars to 1h",
    "joins": "5.27 million 1m bars <- funding, metrics",
    "quotes": "2 million trades <- 2 million quotes",
}


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-bars-") as scratch:
        root = Path(scratch)
        write_bars(root)
        write_ticks(root)
        for what, words in WORK.items():
            jobs = f"{what}_by_lake", f"{what}_by_hand"
            compare(words, *pairs(__spec__.name, *jobs, root, rounds))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        answer(JOBS, sys.argv[1], Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
