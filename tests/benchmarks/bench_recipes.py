"""Recipes of Gold against the same by hand in Polars, in one run, each in a process of its own.

``python -m tests.benchmarks.bench_recipes [RECIPE ...] [--rounds 3]`` prints processor time and peak memory of building
all files of a recipe, lineage included, against the same rows made from the same Silver files and written as Parquet:

- ``panel`` and ``realized_vol`` of 200 symbols and a year of hourly klines, 2,400 Silver files;
- ``flow`` of ten symbols and a year of 1m klines, 5.27 million of them;
- ``spread`` of ten million best bids and asks (by hand without the quote that stands over a minute's end);
- ``depth`` of a year of one symbol's book, 10.5 million rows.

``... bench_recipes growth [--files 600 2400]`` prints the peak memory of a build of so many Gold files.
By hand a symbol's year is read once and cut into months, where the recipe reads each month with its warm-up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

import cryptolake as cl
from cryptolake.archive.periods import Period
from cryptolake.gold.build import build_gold
from tests.benchmarks.measuring import Job, SilverWriter, answer, compare, cost_of, pairs

UM = "silver/market=futures_um"
YEAR = [Period.month(2024, month) for month in range(1, 13)]
QUOTES = 10_000_000
LEVELS = [float(sign * level) for sign in (-1, 1) for level in range(1, 6)]
MINUTE = timedelta(minutes=1)


def times(month: Period, step: str) -> pl.Series:
    """Return the grid of a month."""
    days = month.days
    grid = pl.datetime_range(
        days.begin, days.end, step, closed="left", time_unit="us", eager=True, time_zone="UTC"
    )
    return grid.alias("open_time")


def write_klines(root: Path, step: str, symbols: int) -> None:
    """Write a year of bars of so many symbols."""
    length = {"1h": timedelta(hours=1), "1m": MINUTE}[step]
    silver = SilverWriter(root)
    for place in range(symbols):
        dice = np.random.default_rng(place)
        for month in YEAR:
            opens = times(month, step)
            n = len(opens)
            price = (100 + np.cumsum(dice.normal(0, 0.01, n))).round(2)
            volume = dice.random(n).round(3)
            columns = {
                **dict.fromkeys(("open", "high", "low", "close"), price),
                "volume": volume,
                "close_time": opens + (length - timedelta(milliseconds=1)),
                "quote_volume": (price * volume).round(5),
                "trades": dice.integers(0, 1000, n),
                "taker_buy_volume": (volume / 2).round(3),
                "taker_buy_quote_volume": (price * volume / 2).round(5),
            }
            frame = pl.DataFrame({"open_time": opens, **columns})
            silver.write(f"futures_um_klines:{step}", f"S{place:03}USDT", month, frame)
    silver.close()


def write_quotes(root: Path) -> None:
    """Write a month of best bids and asks."""
    dice, month = np.random.default_rng(1), YEAR[2]
    after = np.sort(dice.integers(0, 31 * 86_400_000, QUOTES))
    time = pl.Series(after * 1000).cast(pl.Duration("us")) + month.days.begin
    price = (100 + np.cumsum(dice.normal(0, 0.001, QUOTES))).round(2)
    frame = pl.DataFrame(
        {
            "update_id": np.arange(QUOTES),
            "best_bid_price": price,
            "best_bid_quantity": dice.random(QUOTES).round(3),
            "best_ask_price": price + 0.01,
            "best_ask_quantity": dice.random(QUOTES).round(3),
            "time": time.dt.cast_time_unit("us"),
        }
    ).with_columns(event_time=pl.col("time"))
    silver = SilverWriter(root)
    silver.write("futures_um_book_ticker", "S000USDT", month, frame)
    silver.close()


def write_depth(root: Path) -> None:
    """Write a year of snapshots of the book, one each half minute."""
    silver, dice = SilverWriter(root), np.random.default_rng(2)
    for month in YEAR:
        levels = pl.DataFrame({"percentage": sorted(LEVELS)})
        book = times(month, "30s").alias("time").to_frame().join(levels, how="cross")
        depth = dice.random(book.height).round(3)
        book = book.with_columns(depth=depth, notional=(depth * 100).round(5))
        silver.write("futures_um_book_depth", "S000USDT", month, book)
    silver.close()


# ------------------------------------------------------------------------------- each in its own process


def scan(files: list[Path], *, hive: bool = False) -> pl.LazyFrame:
    return pl.scan_parquet(files, glob=False, hive_partitioning=hive)


def put(rows: pl.LazyFrame, root: Path, name: str) -> int:
    path = root / "hand" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    rows.sink_parquet(path, compression="zstd", compression_level=3)
    return int(scan([path]).select(pl.len()).collect().item())


def files_of(root: Path, place: str) -> Iterator[tuple[str, list[Path]]]:
    for folder in sorted((root / UM / place).iterdir()):
        yield folder.name.removeprefix("symbol="), sorted(folder.iterdir())


def panel_by_hand(root: Path) -> int:
    found = [files for _, files in files_of(root, "data_type=klines/interval=1h")]
    months = (scan(list(files), hive=True) for files in zip(*found, strict=True))
    return sum(put(rows, root, f"panel-{n}") for n, rows in enumerate(months))


def flow_by_hand(root: Path) -> int:
    signed = 2 * pl.col("taker_buy_volume") - pl.col("volume")
    made = 0
    for symbol, files in files_of(root, "data_type=klines/interval=1m"):
        for path in files:
            rows = scan([path]).select(
                *("open_time", "volume", "trades"),
                signed_volume=signed,
                signed_quote_volume=2 * pl.col("taker_buy_quote_volume") - pl.col("quote_volume"),
                imbalance=pl.when(pl.col("volume") > 0).then(signed / pl.col("volume")),
            )
            made += put(rows, root, f"flow-{symbol}-{path.stem}")
    return made


def spread_by_hand(root: Path) -> int:
    ((_, files),) = files_of(root, "data_type=bookTicker")
    at, opened = pl.col("at"), pl.col("at").dt.truncate("1m")
    until = pl.min_horizontal(at.shift(-1), opened + MINUTE)
    known = pl.max_horizontal("time", "event_time") + timedelta(milliseconds=1)
    names = ("best_bid_price", "best_ask_price", "best_bid_quantity", "best_ask_quantity")
    stood = pl.col("stood")
    minutes = (
        scan(files)
        .select(*names, at=known)
        .with_columns(open_time=opened, stood=(until - at).dt.total_microseconds())
        .group_by("open_time")
        .agg(
            *((pl.col(name) * stood).sum() / stood.sum() for name in names),
            quotes=pl.len(),
            quoted=stood.sum() / 60e6,
        )
        .sort("open_time")
    )
    bid, ask, bids, asks = map(pl.col, names)
    rows = minutes.with_columns(
        mid=(bid + ask) / 2,
        spread=ask - bid,
        relative_spread=2 * (ask - bid) / (ask + bid),
        imbalance=(bids - asks) / (bids + asks),
    )
    return put(rows, root, "spread")


def depth_by_hand(root: Path) -> int:
    ((_, files),) = files_of(root, "data_type=bookDepth")
    made = 0
    for path in files:
        below, above = pl.col("percentage") < 0, pl.col("percentage") > 0
        bids = scan([path]).filter(below).with_columns(pl.col("percentage").abs())
        asks = scan([path]).filter(above)
        both = bids.join(asks, on=("time", "percentage"), how="full", coalesce=True)
        sides = pl.col("depth"), pl.col("depth_right")
        rows = both.with_columns(imbalance=(sides[0] - sides[1]) / (sides[0] + sides[1]))
        made += put(rows.sort("time", "percentage"), root, f"depth-{path.stem}")
    return made


def realized_vol_by_hand(root: Path) -> int:
    made = 0
    for symbol, files in files_of(root, "data_type=klines/interval=1h"):
        moved = pl.col("close").log().diff() ** 2
        bars = scan(files).select("open_time", moved=moved)
        vols = {
            f"vol_{days}d": 100
            * (pl.col("moved").rolling_mean(days * 24, min_samples=days * 21) * 8760).sqrt()
            for days in (1, 7, 30)
        }
        year = bars.select("open_time", **vols).collect()
        for month in YEAR:
            days = month.days
            inside = pl.col("open_time").is_between(days.begin, days.end, closed="left")
            made += put(year.lazy().filter(inside), root, f"vol-{symbol}-{month}")
    return made


def by_lake(name: str) -> Job:
    def job(root: Path) -> int:
        query = cl.query().symbols("*").between("2024")
        report = build_gold(cl.Lake(root).context, name, query, progress=False, force=True)
        assert report.ok, report
        return int(report.months["rows"].sum())

    return job


HAND: dict[str, Job] = {
    "panel": panel_by_hand,
    "flow": flow_by_hand,
    "spread": spread_by_hand,
    "depth": depth_by_hand,
    "realized_vol": realized_vol_by_hand,
}
INPUTS: dict[str, Callable[[Path], None]] = {
    "panel": lambda root: write_klines(root, "1h", 200),
    "realized_vol": lambda root: write_klines(root, "1h", 200),
    "flow": lambda root: write_klines(root, "1m", 10),
    "spread": write_quotes,
    "depth": write_depth,
}
JOBS = {f"{name}.hand": job for name, job in HAND.items()}
JOBS |= {f"{name}.lake": by_lake(name) for name in HAND}


def growth(files: list[int]) -> None:
    """Print the memory of builds of so many files, one a symbol and month."""
    for number in files:
        with tempfile.TemporaryDirectory(prefix="bench-recipes-") as scratch:
            write_klines(Path(scratch), "1h", number // len(YEAR))
            cost = cost_of(__spec__.name, "realized_vol.lake", Path(scratch))
        print(
            f"realized_vol, {number:,} files: {cost.seconds:.2f} s, {cost.anonymous:.1f} MB (RSS {cost.resident:.0f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(HAND))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, nargs="*", default=[600, 2400])
    given = parser.parse_args()
    if given.names == ["growth"]:
        growth(given.files)
        return
    for name in given.names:
        with tempfile.TemporaryDirectory(prefix="bench-recipes-") as scratch:
            INPUTS[name](Path(scratch))
            jobs = f"{name}.lake", f"{name}.hand"
            own, hand = pairs(__spec__.name, *jobs, Path(scratch), given.rounds)
        compare(f"{name}, {own[0].rows:,} rows", own, hand)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in JOBS:  # a job and a root
        answer(JOBS, sys.argv[1], Path(sys.argv[2]))
    else:
        main()
