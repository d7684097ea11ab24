"""What a lock of many files costs, against the same rows by hand through json; each figure is a ratio.

``python tests/benchmarks/bench_lock.py [FILES]`` writes and reads a lock of 100,000 files (by default) in turns with
``json.dump`` and ``json.load`` of the same rows as a list, and prints seconds of CPU, their ratio, and bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

import cryptolake as cl
from cryptolake.archive.source import ArchivePlace
from cryptolake.planning.lockfile import FILES, Lock

ROUNDS = 3


def lock_of(count: int) -> Lock:
    """Make a lock of daily klines, a thousand days a symbol."""
    rows = []
    for number in range(count):
        symbol, day = f"S{number // 1000:03}USDT", date(2020, 1, 1) + timedelta(number % 1000)
        key = f"data/spot/daily/klines/{symbol}/1m/{symbol}-1m-{day}.zip"
        digest = hashlib.sha256(key.encode()).hexdigest()
        rows.append((key, 60_000 + number % 10_000, digest[:32], digest))
    return Lock(
        query=cl.query().markets("spot").klines("1m").symbols("*USDT").between("2020", "2022"),
        archive=ArchivePlace("data.binance.vision", None),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        made_by="a benchmark",
        schemas={"spot_klines": "1"},
        recipes={},
        rows=0,
        files=pl.DataFrame(rows, schema=FILES, orient="row"),
    )


def cpu(job: Callable[[], object]) -> float:
    """Return the seconds of CPU that a job takes."""
    began = time.process_time()
    job()
    return time.process_time() - began


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    made = lock_of(count)
    with tempfile.TemporaryDirectory() as scratch:
        path, plain = Path(scratch, "x.lock.json"), Path(scratch, "plain.json")

        def write() -> None:
            vars(made).pop("id", None)  # both are made once a lock: each round is a new one
            vars(made).pop("_text", None)
            made.save(path)

        def dump() -> None:
            with plain.open("w") as file:
                json.dump(made.files.rows(), file)

        def load() -> pl.DataFrame:
            return pl.DataFrame(json.loads(plain.read_text()), schema=FILES, orient="row")

        times = [
            [cpu(job) for job in (write, dump, lambda: Lock.load(path), load)]
            for _ in range(ROUNDS)
        ]
        least = [min(taken) for taken in zip(*times, strict=True)]
        print(
            f"{count:,} files: {path.stat().st_size / 1e6:.1f} MB, by hand {plain.stat().st_size / 1e6:.1f} MB"
        )
        for what, mine, hand in (("write", *least[:2]), ("read", *least[2:])):
            print(f"{what}: {mine:.2f} s of CPU, by hand {hand:.2f} s, ratio {mine / hand:.1f}")


if __name__ == "__main__":
    main()
