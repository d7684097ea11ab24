"""How near the Silver engine comes to the machine's limit, in one run.

``python tests/benchmarks/bench_silver.py`` builds 300 daily 1m zips (ten symbol-months, 432,000 rows)
three ways: with cryptolake, by hand (inflate, one parse and one write a symbol-month on all cores, nothing
checked) and with pandas, file by file. ``... bench_silver.py trades 8 16 64`` builds one trades zip of so many
million rows in a fresh process each, and prints rows a second and peak memory. ``... bench_silver.py
prune`` asks for one day of one symbol in a year of fifty, and prints bytes read against bytes stored.
Ratios are what counts.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from statistics import median

import polars as pl

from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta

NAMES = [
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("trades", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
]
TYPES = {
    name: pl.Int64
    if name.endswith("time") or name == "trades"
    else pl.String
    if name == "ignore"
    else pl.Float64
    for name in NAMES
}
MONTHS = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11)
DAYS = 30


def kline_zips(root: Path) -> list[tuple[str, bytes]]:
    """Make 300 daily zips of ten months, much like BTCUSDT's in digits and size."""
    dice = random.Random(1)
    found = []
    for month in MONTHS:
        for day in range(1, DAYS + 1):
            date = datetime(2024, month, day, tzinfo=UTC)
            start = int(date.timestamp() * 1000)
            lines = []
            price = 42_000.0
            for minute in range(1440):
                opened = start + minute * 60_000
                closed = price + dice.uniform(-20, 20)
                high, low = (
                    max(price, closed) + dice.random() * 9,
                    min(price, closed) - dice.random() * 9,
                )
                volume = dice.random() * 80
                lines.append(
                    f"{opened},{price:.8f},{high:.8f},{low:.8f},{closed:.8f},{volume:.8f},"
                    f"{opened + 59_999},{volume * price:.8f},{dice.randint(20, 4000)},"
                    f"{volume / 2:.8f},{volume * price / 2:.8f},0\n"
                )
                price = closed
            name = f"BTCUSDT-1m-{date:%Y-%m-%d}"
            key = f"data/spot/daily/klines/BTCUSDT/1m/{name}.zip"
            found.append((key, zipped(f"{name}.csv", "".join(lines).encode())))
    for key, data in found:
        path = root / "bronze" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return found


def zipped(name: str, text: bytes) -> bytes:
    """Return a zip with one deflated member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def record(root: Path, files: list[tuple[str, int, str]]) -> None:
    """Write the ledger rows that a transfer would have written."""
    Meta(open_storage(root)).append(
        "files",
        [
            {
                "key": key,
                "size": size,
                "etag": "",
                "sha256": sha256,
                "verified": "sha256",
                "fetched_at": datetime.now(UTC),
                "event": "stored",
            }
            for key, size, sha256 in files
        ],
    )


def ours(root: Path) -> int:
    """Build with cryptolake, from the ledger to the Parquet months."""
    storage = open_storage(root)
    meta = Meta(storage)
    report = build(LakeContext.of(storage), holdings(meta), progress=False, force=True)
    assert report.ok, report.summary()
    return report.rows


def by_hand(root: Path, out: Path) -> int:
    """Do the least that gives the same months, on all cores: no checks, no account, no sorting."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        return sum(pool.map(lambda month: month_by_hand(root, out, month), MONTHS))


def month_by_hand(root: Path, out: Path, month: int) -> int:
    """Inflate, parse once, write once."""
    from isal import isal_zlib

    texts = []
    folder = root / "bronze/data/spot/daily/klines/BTCUSDT/1m"
    for path in sorted(folder.glob(f"BTCUSDT-1m-2024-{month:02}-*.zip")):
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.infolist()[0]
        start = info.header_offset + 30 + len(info.filename)
        packed = data[start : start + info.compress_size]
        texts.append(isal_zlib.decompress(packed, -15, info.file_size))
    frame = pl.read_csv(b"".join(texts), has_header=False, schema=TYPES).drop("ignore")
    frame = frame.with_columns(
        (pl.col("open_time", "close_time") * 1000).cast(pl.Datetime("us", "UTC"))
    )
    frame.write_parquet(out / f"{month:02}.parquet", compression="zstd")
    return frame.height


def with_pandas(root: Path, out: Path) -> int:
    """Do as most tools do: pandas, a file at a time, then one write a month."""
    import pandas as pd

    rows = 0
    for month in MONTHS:
        frames = [
            pd.read_csv(path, header=None, names=NAMES)
            for path in sorted((root / "bronze").rglob(f"BTCUSDT-1m-2024-{month:02}-*.zip"))
        ]
        frame = pd.concat(frames).drop(columns="ignore")
        for name in ("open_time", "close_time"):
            frame[name] = pd.to_datetime(frame[name], unit="ms")
        # pandas cannot write Parquet without pyarrow: Polars writes it for both.
        columns = {name: frame[name].to_numpy() for name in frame.columns}
        pl.DataFrame(columns).write_parquet(out / f"{month:02}.parquet", compression="zstd")
        rows += len(frame)
    return rows


Timings = list[tuple[float, float, int]]


def timed(ways: list[Callable[[], int]], repeats: int) -> list[Timings]:
    """Return, for ways that take turns, the seconds and processor seconds of each turn, and what it returned."""
    found: list[Timings] = [[] for _ in ways]
    for _ in range(repeats):
        for way, mine in zip(ways, found, strict=True):
            begun, used = time.perf_counter(), time.process_time()
            rows = way()
            mine.append((time.perf_counter() - begun, time.process_time() - used, rows))
    return found


def least(turns: Timings) -> tuple[float, float, int]:
    """Return the least seconds and processor seconds, since the machine may be busy, and what was returned."""
    return min(s for s, _, _ in turns), min(p for _, p, _ in turns), turns[0][2]


def many_small(repeats: int) -> None:
    """Print ours, by hand, and pandas, on 300 daily zips."""
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "lake", Path(folder) / "out"
        out.mkdir()
        files = kline_zips(root)
        record(root, [(k, len(d), hashlib.sha256(d).hexdigest()) for k, d in files])
        print(f"{len(files)} daily 1m zips, {sum(len(d) for _, d in files) / 1e6:.1f} MB")
        by_hand(root, out)  # warm
        hand, own = timed([lambda: by_hand(root, out), lambda: ours(root)], repeats)
        (limit, limit_used, rows), (made, made_used, same) = least(hand), least(own)
        assert rows == same
        slow, slow_used, _ = least(timed([lambda: with_pandas(root, out)], 1)[0])
        for name, seconds, used in (
            ("by hand", limit, limit_used),
            ("cryptolake", made, made_used),
            ("pandas", slow, slow_used),
        ):
            print(
                f"{name:11}{seconds:6.3f} s {rows / seconds / 1e6:5.2f} M rows/s, {used:6.3f} s of "
                f"processor; {seconds / limit:5.2f} x by hand ({used / limit_used:.2f} x its processor)"
            )
        wall, processor = (
            median(mine[n] / theirs[n] for mine, theirs in zip(own, hand, strict=True))
            for n in (0, 1)
        )
        print(
            f"turn by turn, the median: {wall:.2f} x by hand ({processor:.2f} x its processor); "
            "the least of each, above, also compares their luck"
        )


def trade_lines(count: int, batch: int = 250_000) -> Iterator[bytes]:
    """Yield the CSV of a month of futures_um trades: rising ids and times, plausible digits."""
    begin = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
    step = (31 * 86_400_000 - 1) / count
    yield b"id,price,qty,quote_qty,time,is_buyer_maker\n"
    for start in range(0, count, batch):
        number = pl.int_range(start, min(start + batch, count), eager=True)
        price = (42_000 + (number * 7919 % 10_000) / 10).round(1)
        quantity = ((number * 104_729 % 5_000) / 1000 + 0.001).round(3)
        frame = pl.DataFrame(
            {
                "id": number + 4_400_000_000,
                "price": price,
                "qty": quantity,
                "quote_qty": (price * quantity).round(4),
                "time": (number * step).cast(pl.Int64) + begin,
                "maker": number * 31 % 7 < 3,
            }
        )
        yield frame.write_csv(include_header=False).encode()


def trades_zip(path: Path, count: int) -> str:
    """Write one monthly trades zip and return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(
            path, "w", zipfile.ZIP_DEFLATED, compresslevel=4, allowZip64=True
        ) as archive,
        archive.open(f"{path.stem}.csv", "w", force_zip64=True) as member,
    ):
        for text in trade_lines(count):
            member.write(text)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def one_huge(millions: float) -> None:
    """Print rows a second and peak memory of one trades zip, built in a fresh process."""
    key = "data/futures/um/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = root / "bronze" / key
        sha256 = trades_zip(path, int(millions * 1e6))
        record(root, [(key, path.stat().st_size, sha256)])
        run = [sys.executable, __file__, "child", str(root)]
        told = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
        print(
            f"{millions:g} M trades, zip {path.stat().st_size / 1e6:.0f} MB: {told['seconds']:.1f} s, "
            f"{told['rows'] / told['seconds'] / 1e6:.2f} M rows/s, {told['cpu']:.1f} s of processor, "
            f"peak {told['peak']:.0f} MB"
        )


def prune() -> None:
    """Print what a one-day, one-symbol question reads of a year of 50 symbols of 1m klines."""
    import duckdb
    from fsspec.implementations.local import LocalFileSystem

    read = 0

    class Counting(LocalFileSystem):  # type: ignore[misc]
        protocol = "counted"

        def _open(self, path: str, mode: str = "rb", **options: object) -> io.RawIOBase:
            return Counted(path, mode)

    class Counted(io.FileIO):
        def readinto(self, buffer: object) -> int | None:
            nonlocal read
            count = super().readinto(buffer)  # type: ignore[arg-type]
            read += count or 0
            return count

        def read(self, size: int | None = -1) -> bytes:
            nonlocal read
            data = super().read(-1 if size is None else size)
            read += len(data or b"")
            return data or b""

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        files = kline_zips(root)
        record(root, [(k, len(d), hashlib.sha256(d).hexdigest()) for k, d in files])
        ours(root)
        base = root / "silver/market=spot/data_type=klines/interval=1m"
        months = sorted((base / "symbol=BTCUSDT").iterdir())
        for number in range(49):
            other = base / f"symbol=S{number:02}USDT"
            other.mkdir()
            for month in months:
                (other / month.name).hardlink_to(month)
        stored = sum(path.stat().st_size for path in base.rglob("*.parquet"))
        connection = duckdb.connect()
        connection.register_filesystem(Counting())
        for columns in ("avg(close)", "max(columns(*))"):
            read = 0
            begun = time.perf_counter()
            connection.sql(
                f"select {columns} from read_parquet('counted://{base}/*/*.parquet', "
                "hive_partitioning = true) where symbol = 'BTCUSDT' "
                "and open_time >= '2024-05-07 00:00:00Z' and open_time < '2024-05-08 00:00:00Z'"
            ).fetchall()
            print(
                f"{columns:34} reads {read / 1e6:6.2f} MB of {stored / 1e6:.0f} MB stored "
                f"({read / stored:.4%}), {time.perf_counter() - begun:.2f} s"
            )


def child(root: Path) -> None:
    """Build one lake and print figures as JSON."""
    begun = time.perf_counter()
    rows = ours(root)
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {"rows": rows, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}
    print(json.dumps({**told, "peak": used.ru_maxrss / 1024}))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="klines", choices=["klines", "trades", "prune", "child"]
    )
    parser.add_argument("values", nargs="*")
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args()
    if asked.what == "klines":
        many_small(asked.repeats)
    elif asked.what == "trades":
        for value in asked.values or ["8"]:
            one_huge(float(value))
    elif asked.what == "prune":
        prune()
    else:
        child(Path(asked.values[0]))


if __name__ == "__main__":
    main()
