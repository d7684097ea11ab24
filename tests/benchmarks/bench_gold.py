"""Bars of Gold against the same by hand, in one run, each in a process of its own.

``python -m tests.benchmarks.bench_gold [tick_bars] [volume_bars] [dollar_bars] [--trades 3 10 30]`` prints processor
time and peak memory of bars made of so many millions of trades: ``lake.build`` of the recipe (lineage, file and all),
against the bars by hand from the same Silver file, cut from row numbers and running sums and written as Parquet.
Imports of the library are not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

import cryptolake as cl
from cryptolake.gold.build import build_gold
from tests.benchmarks.measuring import Job, answer, compare, pairs

SILVER = "silver/market=futures_um/data_type=trades/symbol=BTCUSDT/2024-03.parquet"
SIZES = {"tick_bars": 1_000, "volume_bars": 100.0, "dollar_bars": 1_000_000.0}
CHUNK = 2_000_000
METADATA = "cryptolake"
ORIGIN = {"schema_version": "1", "sources": [], "refused": {}, "damaged": [], "spills": []}


def write_trades(root: Path, millions: int) -> None:
    """Write a month of trades in the columns of Silver, a part at a time."""
    import pyarrow.parquet as pq

    n = millions * 1_000_000
    begin = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
    path = root / SILVER
    path.parent.mkdir(parents=True)
    writer = None
    for first in range(0, n, CHUNK):
        dice = np.random.default_rng(first)
        size = min(CHUNK, n - first)
        places = np.arange(first, first + size)
        price = (60_000 + np.cumsum(dice.normal(0, 0.1, size))).round(1)
        quantity = (dice.exponential(0.06, size) + 0.001).round(3)
        frame = pl.DataFrame(
            {
                "trade_id": places,
                "price": price,
                "quantity": quantity,
                "quote_quantity": (price * quantity).round(5),
                "time": begin + (places * (30 * 86_400_000 / n)).astype(np.int64) * 1000,
                "is_buyer_maker": dice.random(size) < 0.5,
            }
        ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
        table = frame.to_arrow().replace_schema_metadata({METADATA: json.dumps(ORIGIN)})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=131_072)
    if writer is not None:
        writer.close()


def by_hand(root: Path, name: str) -> int:
    """Write the bars of one file, streamed."""
    size, quantity = SIZES[name], pl.col("quantity")
    rows = pl.scan_parquet(root / SILVER, glob=False, hive_partitioning=False)
    if name == "tick_bars":
        bar = pl.col("index") // int(size)
        rows = rows.with_row_index("index").with_columns(bar=bar)
    else:
        amount = quantity if name == "volume_bars" else pl.col("quote_quantity")
        bar = ((amount.cum_sum() - amount) / size).floor().cast(pl.Int64)
        rows = rows.with_columns(bar=bar)
    price, bought = pl.col("price"), (~pl.col("is_buyer_maker")).cast(pl.Float64)
    bars = rows.group_by("bar").agg(
        open_time=pl.col("time").first(),
        close_time=pl.col("time").last(),
        open=price.first(),
        high=price.max(),
        low=price.min(),
        close=price.last(),
        volume=quantity.sum(),
        quote_volume=pl.col("quote_quantity").sum(),
        trades=pl.len(),
        taker_buy_volume=(quantity * bought).sum(),
        taker_buy_quote_volume=(pl.col("quote_quantity") * bought).sum(),
    )
    out = root / f"{name}.parquet"
    bars.sort("bar").sink_parquet(out, compression="zstd")
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())


def by_lake(root: Path, name: str) -> int:
    """Build the recipe's file in a lake of these trades."""
    lake = cl.Lake(root)
    query = cl.query().symbols("BTCUSDT").between("2024-03")
    report = build_gold(lake.context, name, query, progress=False, force=True)
    assert report.ok, report
    return int(report.months["rows"].sum())


JOBS: dict[str, Job] = {f"{name}.hand": partial(by_hand, name=name) for name in SIZES}
JOBS |= {f"{name}.lake": partial(by_lake, name=name) for name in SIZES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SIZES))
    parser.add_argument("--trades", type=int, nargs="*", default=[3, 10, 30], help="millions")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for millions in given.trades:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_trades(root, millions)
            for name in given.names:
                jobs = f"{name}.lake", f"{name}.hand"
                own, hand = pairs(__spec__.name, *jobs, root, given.rounds)
                compare(f"{millions}M trades, {name}, {own[0].rows:,} bars", own, hand)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] in JOBS:
        answer(JOBS, sys.argv[1], Path(sys.argv[2]))
    else:
        main()
