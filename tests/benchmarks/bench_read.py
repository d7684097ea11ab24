"""How near the readers come to the machine's limit, in one run; each figure is a ratio, taken by turns.

``python tests/benchmarks/bench_read.py`` prints

- Bronze: 300 daily 1m zips (432,000 rows) asked in SQL where they lie, against DuckDB's own reading of
  the same CSVs unpacked to files, and against Polars over the same zips;
- Silver: a year of 1m bars of 50 symbols asked through the view, against ``read_parquet`` by hand;
- what a question about one day of one symbol touches of that year.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import cryptolake as cl
from cryptolake.bronze.zips import inflate
from cryptolake.readers.duckdb_views import connect
from cryptolake.silver.parquet import row_group_size
from tests.benchmarks.bench_silver import kline_zips

if TYPE_CHECKING:
    import duckdb

QUESTIONS = {
    "average and sum by symbol": "SELECT symbol, avg(close), sum(volume) FROM {} GROUP BY symbol",
    "highest by month": "SELECT date_trunc('month', open_time) AS m, max(high) FROM {} GROUP BY m",
    "rows": "SELECT count(*) FROM {}",
    "one symbol's highest": "SELECT max(high) FROM {} WHERE symbol = 'S07USDT'",
}
ONE_DAY = (
    "SELECT sum(volume) FROM {} WHERE symbol = 'S07USDT' "
    "AND open_time >= '2024-05-03' AND open_time < '2024-05-04'"
)


def best(rounds: int, *jobs: Callable[[], object]) -> list[float]:
    """Run the jobs by turns; return the least seconds of each."""
    times = [float("inf")] * len(jobs)
    for _ in range(rounds):
        for place, job in enumerate(jobs):
            begin = time.perf_counter()
            job()
            times[place] = min(times[place], time.perf_counter() - begin)
    return times


def ask(con: duckdb.DuckDBPyConnection, text: str) -> object:
    return con.execute(text).fetchall()


def bronze(root: Path, rounds: int) -> None:
    lake = cl.Lake(root / "lake")
    zips = kline_zips(root / "lake")
    lake.meta.append(
        "files", [{"key": key, "size": len(data), "event": "stored"} for key, data in zips]
    )
    unpacked = root / "csv"
    unpacked.mkdir()
    for place, (key, data) in enumerate(zips):
        (unpacked / f"{place:03}.csv").write_bytes(inflate(data, key))
    con = lake.connect()
    question = "SELECT count(*), sum(close), max(high) FROM {}"
    plain = (
        f"(SELECT column04 AS close, column02 AS high FROM read_csv('{unpacked}/*.csv', header = false, "
        f"names = {[f'column{n:02}' for n in range(12)]}))"
    )
    query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between("2024")

    def by_sql() -> object:
        return con.execute(question.format("bronze.spot_klines")).fetchall()

    def by_hand() -> object:
        return con.execute(question.format(plain)).fetchall()

    def by_polars() -> object:
        return lake.bronze(query).select(pl.len(), pl.sum("close"), pl.max("high")).collect()

    def inflated() -> object:
        return [inflate((root / "lake/bronze" / key).read_bytes(), key) for key, _ in zips]

    sql, hand, frames, bytes_only = best(rounds, by_sql, by_hand, by_polars, inflated)
    print(f"bronze: 300 zips, 432,000 rows, aggregate in SQL    {sql:.3f} s (figure: 0.600 s)")
    print(f"        the same CSVs unpacked on disk, by hand     {hand:.3f} s")
    print(f"        only reading and inflating the zips         {bytes_only:.3f} s")
    print(f"        SQL against by hand + inflating             {sql / (hand + bytes_only):.2f} x")
    print(f"        lake.bronze(query), the same aggregate      {frames:.3f} s")


def year(root: Path, symbols: int) -> None:
    """Write a year of 1m bars in the layout and row groups that the Silver build writes."""
    for place in range(symbols):
        dice = np.random.default_rng(place)
        folder = root / f"silver/market=spot/data_type=klines/interval=1m/symbol=S{place:02}USDT"
        folder.mkdir(parents=True)
        for month in range(1, 13):
            begin = datetime(2024, month, 1, tzinfo=UTC)
            end = datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            times = pl.datetime_range(
                begin, end, "1m", closed="left", time_unit="us", time_zone="UTC", eager=True
            )
            n = len(times)
            price = (100 + np.cumsum(dice.normal(0, 0.01, n))).round(2)
            volume = dice.random(n).round(3)
            pl.DataFrame(
                {
                    "open_time": times,
                    **dict.fromkeys(("open", "high", "low", "close"), price),
                    "volume": volume,
                    "close_time": times.dt.offset_by("59999ms"),
                    "quote_volume": (price * volume).round(5),
                    "trades": dice.integers(0, 1000, n),
                    "taker_buy_volume": (volume / 2).round(3),
                    "taker_buy_quote_volume": (price * volume / 2).round(5),
                }
            ).write_parquet(
                folder / f"2024-{month:02}.parquet",
                compression="zstd",
                compression_level=1,
                row_group_size=row_group_size(n),
            )


def silver(root: Path, symbols: int, rounds: int) -> None:
    lake = cl.Lake(root / "year")
    year(root / "year", symbols)
    begin = time.perf_counter()
    con = connect(lake.context)
    print(
        f"\nconnect: every view of the lake, once               {time.perf_counter() - begin:.3f} s"
    )
    hand = (
        f"read_parquet('{root}/year/silver/market=spot/data_type=klines/interval=*/symbol=*/*.parquet', "
        "hive_partitioning = true)"
    )
    print(f"silver: a year of {symbols} symbols' 1m bars, view against read_parquet by hand")
    for name, question in QUESTIONS.items():
        texts = [question.format(source) for source in ("silver.spot_klines", hand)]
        view, plain = best(rounds, *(partial(ask, con, text) for text in texts))
        print(
            f"        {name:<28} {view:.3f} s  {plain:.3f} s  {view / plain:.2f} x (figure: 1.20 x)"
        )
    text = str(
        con.execute(f"EXPLAIN ANALYZE {ONE_DAY.format('silver.spot_klines')}").fetchall()[0][1]
    )
    found = re.findall(
        r"(Scanning Files: \S+|Row Groups Scanned: [\d /]+\d|Data Read: +[\d.]+ \w+)", text
    )
    whole = sum(path.stat().st_size for path in (root / "year").rglob("*.parquet"))
    print(
        f"one day of one symbol, of {whole / 1e6:.0f} MB: {'; '.join(' '.join(f.split()) for f in found)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bronze(Path(folder), said.rounds)
        silver(Path(folder), said.symbols, said.rounds)


if __name__ == "__main__":
    main()
