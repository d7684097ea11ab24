"""Panels and universes against the best by hand, in one run, each in a process of its own.

``python -m tests.benchmarks.bench_panel`` prints processor time and peak memory of

- a panel of 200 symbols x a year of 1h from 2,400 Silver files, against the same files scanned symbol by symbol;
- the daily volumes of a market, 25,032 zips of 1d klines, and the universe of 41 months made of them, against
  zips unpacked and parsed by hand in one piece. Files and listing are there already: nothing is fetched.

Imports of the library are not counted: all jobs have them. The second time is that of a lake which has its Gold files and knows that the months are settled.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

import cryptolake as cl
from cryptolake.archive.enums import Market
from cryptolake.archive.periods import Days
from cryptolake.gold.daily import Daily, daily_bars
from cryptolake.research.universe import needed_of
from tests.benchmarks.measuring import Job, answer, compare, cost_of, pairs

SYMBOLS = 200
LISTED = 596
MONTHS = [(2021 + month // 12, month % 12 + 1) for month in range(6, 48)]
RANGE = Days(date(2021, 7, 1), date(2024, 12, 31))
FIRST, LAST = date(2021, 8, 1), date(2024, 12, 31)
SILVER = "silver/market=futures_um/data_type=klines/interval=1h"
KLINES = "data/futures/um/monthly/klines"


def month_of(year: int, month: int) -> tuple[datetime, datetime]:
    return (
        datetime(year, month, 1, tzinfo=UTC),
        datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC),
    )


def write_silver(root: Path) -> None:
    """Write a year of hourly bars; every tenth symbol lacks a day."""
    for place in range(SYMBOLS):
        dice = np.random.default_rng(place)
        folder = root / SILVER / f"symbol=S{place:03}USDT"
        folder.mkdir(parents=True)
        for month in range(1, 13):
            begin, end = month_of(2024, month)
            times = pl.datetime_range(begin, end, "1h", closed="left", time_unit="us", eager=True)
            n = len(times)
            price = (100 + np.cumsum(dice.normal(0, 0.01, n))).round(2)
            volume = dice.random(n).round(3)
            frame = pl.DataFrame(
                {
                    "open_time": times,
                    **dict.fromkeys(("open", "high", "low", "close"), price),
                    "volume": volume,
                    "close_time": times.dt.offset_by("3599999ms"),
                    "quote_volume": (price * volume).round(5),
                    "trades": dice.integers(0, 1000, n),
                    "taker_buy_volume": (volume / 2).round(3),
                    "taker_buy_quote_volume": (price * volume / 2).round(5),
                }
            )
            if place % 10 == 3 and month == 5:
                frame = frame.filter(pl.col("open_time").dt.day() != 3)
            frame.write_parquet(folder / f"2024-{month:02}.parquet", compression="zstd")


def write_zips(root: Path) -> None:
    """Write a market's monthly zips of daily bars into Bronze, and the ledger's rows of them."""
    rows = []
    for place in range(LISTED):
        name, dice = f"S{place:03}USDT", np.random.default_rng(place)
        folder = f"{KLINES}/{name}/1d"
        (root / "bronze" / folder).mkdir(parents=True)
        for year, month in MONTHS:
            begin, end = month_of(year, month)
            days = (end - begin).days
            prices = np.round(100 + dice.normal(0, 1, (days, 4)), 4)
            volumes = np.round(dice.random((days, 4)) * 1e6, 3)
            first = int(begin.timestamp() * 1000)
            lines = [
                f"{first + n * 86_400_000},{p[0]},{p.max()},{p.min()},{p[3]},{v[0]},"
                f"{first + (n + 1) * 86_400_000 - 1},{v[1]},{int(v[2])},{v[2]},{v[3]},0"
                for n, (p, v) in enumerate(zip(prices, volumes, strict=True))
            ]
            stem = f"{name}-1d-{year}-{month:02}"
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{stem}.csv", "\n".join([*lines, ""]))
            data = buffer.getvalue()
            key = f"{folder}/{stem}.zip"
            (root / "bronze" / key).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"key": key, "size": len(data), "sha256": digest, "event": "stored"})
    cl.Lake(root).meta.append("files", rows)


# ------------------------------------------------------------------------------- each in its own process


def panel_by_hand(root: Path) -> pl.DataFrame:
    begin, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    grid = pl.datetime_range(begin, end, "1h", closed="left", time_unit="us", eager=True)
    columns = [grid.alias("open_time")]
    for folder in sorted((root / SILVER).iterdir()):
        files = sorted(folder.glob("*.parquet"))
        rows = pl.scan_parquet(files, glob=False, hive_partitioning=False)
        part = rows.select("open_time", "close").collect()
        if part.height != grid.len():
            table = columns[0].to_frame()
            part = table.join(part, on="open_time", how="left", maintain_order="left")
        columns.append(part["close"].alias(folder.name.removeprefix("symbol=")))
    return pl.DataFrame(columns)


def panel_by_lake(root: Path) -> pl.DataFrame:
    query = cl.query().markets("futures_um").klines("1h").symbols("*").between("2024")
    return cl.Lake(root).panel(query)


def daily_by_hand(root: Path) -> pl.DataFrame:
    texts, names, heights = [], [], []
    for folder in sorted((root / "bronze" / KLINES).iterdir()):
        for path in sorted((folder / "1d").iterdir()):
            with zipfile.ZipFile(path) as archive:
                text = archive.read(archive.namelist()[0])
            texts.append(text)
            names.append(folder.name)
            heights.append(text.count(b"\n"))
    rows = pl.read_csv(b"".join(texts), has_header=False, columns=[0, 7])
    symbols = pl.DataFrame({"symbol": names, "n": heights}).select(
        pl.col("symbol").repeat_by("n").explode()
    )
    time = (
        pl.col("column_0")
        .cast(pl.Datetime("ms"))
        .dt.cast_time_unit("us")
        .dt.replace_time_zone("UTC")
    )
    return pl.concat([symbols, rows], how="horizontal").select(
        "symbol", time.alias("open_time"), quote_volume="column_7"
    )


def universe_by_hand(root: Path) -> pl.DataFrame:
    daily = daily_by_hand(root).sort("open_time")
    found = []
    for year, month in MONTHS[1:]:
        begin, _ = month_of(year, month)
        window = daily.filter(
            pl.col("open_time").is_between(begin - timedelta(days=30), begin, closed="left")
        )
        found.append(
            window.group_by("symbol").agg(pl.col("quote_volume").sum()).top_k(50, by="quote_volume")
        )
    return pl.concat(found)


def daily_by_lake(root: Path) -> pl.DataFrame:
    rows = daily_bars(cl.Lake(root).context, Market.FUTURES_UM, RANGE)
    return rows.select("symbol", "open_time", "quote_volume").collect()


def universe_by_lake(root: Path) -> pl.DataFrame:
    """Ask a lake whose files are here, as its notes say: nothing is asked of an archive."""
    lake = cl.Lake(root)
    query = cl.query().markets("futures_um").universe(quote="USDT").between(FIRST, LAST)
    window = Days(FIRST - timedelta(days=30), date(2024, 11, 30))
    if not any((root / "gold").rglob("fetched-*.json")):
        needed = needed_of(query, Market.FUTURES_UM, window)
        Daily(lake.context).note_fetched(needed, datetime.now(UTC))
    return lake.universe(query, progress=False)


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (
        *(
            panel_by_hand,
            panel_by_lake,
            daily_by_hand,
            daily_by_lake,
        ),
        *(
            universe_by_hand,
            universe_by_lake,
        ),
    )
}


def forget(root: Path) -> None:
    """Remove what a lake has made of its zips."""
    for path in (root / "gold").rglob("*.*"):
        path.unlink()


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-panel-") as scratch:
        root = Path(scratch)
        write_silver(root / "panel")
        jobs = "panel_by_lake", "panel_by_hand"
        own, hand = pairs(__spec__.name, *jobs, root / "panel", rounds)
        compare("panel, 200 symbols x 8,784 hours", own, hand)
        write_zips(root / "market")
        for what in ("daily", "universe"):
            jobs = f"{what}_by_lake", f"{what}_by_hand"
            own, hand = pairs(
                __spec__.name, *jobs, root / "market", rounds, lambda: forget(root / "market")
            )
            compare(f"{what}, 25,032 zips, first time", own, hand)
            again = [cost_of(__spec__.name, jobs[0], root / "market") for _ in range(rounds)]
            compare(f"{what}, again", again, hand)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        answer(JOBS, sys.argv[1], Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
