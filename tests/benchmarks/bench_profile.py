"""What a profile costs over millions of rows, against DuckDB reading the same columns by hand; best of some rounds.

``python tests/benchmarks/bench_profile.py --days 60`` writes Silver files of 1s klines (86,400 rows a day) and prints, in
seconds of processor time and of the clock,

- ``lake.profile(query)``, which reads every column twice, against two questions by hand: one of the ranges of the same
  columns, one of their histograms;
- a filter, a sort, and the last page that can be turned to;
- what a page gets for the first view, in bytes, and the process's memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import duckdb
import polars as pl

import cryptolake as cl
from cryptolake.readers.profile_page import ProfilePage

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
NUMBERS = [
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "trades",
]


def fill(root: Path, days: int) -> int:
    """Write bars of a second that wander, with volumes that crowd near zero; a file a month."""
    lake = cl.Lake(root)
    times = pl.datetime_range(
        FIRST,
        FIRST + timedelta(days=days),
        "1s",
        closed="left",
        time_unit="us",
        time_zone="UTC",
        eager=True,
    )
    # the same each time: multiples of a golden ratio are spread evenly, and no two are alike
    spread = (pl.int_range(pl.len()).cast(pl.Float64) * 0.6180339887498949) % 1
    price = (50_000 + (spread - 0.5).cum_sum()).round(2)
    volume = ((1 - spread) ** -0.7 / 1000).round(5)
    frame = pl.DataFrame({"open_time": times}).select(
        "open_time",
        **dict.fromkeys(("open", "high", "low", "close"), price),
        volume=volume,
        close_time=pl.col("open_time") + timedelta(microseconds=999_999),
        quote_volume=(price * volume).round(4),
        trades=(volume * 1000).cast(pl.Int64),
        taker_buy_volume=(volume / 2).round(5),
        taker_buy_quote_volume=(price * volume / 2).round(4),
    )
    folder = "silver/market=spot/data_type=klines/interval=1s/symbol=BTCUSDT"
    for (month,), rows in frame.group_by(
        pl.col("open_time").dt.strftime("%Y-%m"), maintain_order=True
    ):
        buffer = BytesIO()
        rows.write_parquet(buffer, compression="zstd", metadata={"cryptolake": "{}"})
        lake.storage.write(f"{folder}/{month}.parquet", buffer.getvalue())
    return frame.height


def best(rounds: int, job: Callable[[], object]) -> tuple[float, float]:
    """Run a job some times; return its least processor seconds, and its least seconds by the clock."""
    processor = clock = float("inf")
    for _ in range(rounds):
        begin = time.process_time(), time.perf_counter()
        job()
        processor = min(processor, time.process_time() - begin[0])
        clock = min(clock, time.perf_counter() - begin[1])
    return processor, clock


def by_duckdb(text: str) -> object:
    return duckdb.execute(text).fetchall()


def run(root: Path, days: int, rounds: int) -> None:
    lake = cl.Lake(root / "lake")
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn")
    ) as other:  # whose memory is its own
        rows = other.submit(fill, root / "lake", days).result()
    last = (FIRST + timedelta(days=days - 1)).date()
    query = cl.query().markets("spot").klines("1s").symbols("BTCUSDT").between("2025-01-01", last)
    files = f"read_parquet('{lake.root}/silver/*/*/*/*/*.parquet')"
    ranges = ", ".join(f"count({n}), min({n}), max({n}), avg({n})" for n in NUMBERS)
    ranges += ", min(open_time), max(open_time), min(close_time), max(close_time)"
    profile = lake.profile(query)
    bins = [(column.name, column.bins) for column in profile.columns if column.bins]
    histograms = ", ".join(
        f"histogram({f'epoch_us({name})' if name.endswith('time') else name}, {found.uppers})"
        for name, found in bins
    )
    hand = [
        best(rounds, partial(by_duckdb, f"select {select} from {files}"))
        for select in (ranges, histograms)
    ]
    by_hand = [sum(part) for part in zip(*hand, strict=True)]
    made = best(rounds, lambda: lake.profile(query))
    print(f"{rows:,} rows of 1s klines, {len(profile.columns)} columns; processor seconds (clock)")
    print(f"the same ranges and histograms by hand  {by_hand[0]:.2f} ({by_hand[1]:.2f})")
    print(
        f"lake.profile(query)                     {made[0]:.2f} ({made[1]:.2f})   {made[0] / by_hand[0]:.2f} x"
    )
    # another end each time: what was counted last is not counted again
    ends = itertools.count(1)
    jobs: dict[str, Callable[[], object]] = {
        "a filter that keeps all rows": lambda: profile.view(
            [{"column": "close", "low": next(ends)}]
        ),
        "a sort": lambda: profile.view(sort=("volume", True)),
        "the last page in reach, sorted": lambda: profile.view(sort=("volume", True), page=199),
    }
    for name, job in jobs.items():
        processor, clock = best(rounds, job)
        print(f"{name:<39} {processor:.2f} ({clock:.2f})")
    page = ProfilePage(profile)
    told = [len(json.dumps(part)) for part in (page.head, page.first)]
    print(f"to the page: {told[0]:,} bytes once, {told[1]:,} a view")
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cryptolake-bench-") as scratch:
        run(Path(scratch), given.days, given.rounds)
