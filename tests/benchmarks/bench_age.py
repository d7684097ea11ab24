"""A lake in its second year against a new one: does what a call costs grow with the nights that it lived?

Run it with ``python -m tests.benchmarks.bench_age [PART ...] [--segments N] [--rows N] [--runs N]``; it needs Linux
and moto (the ``demo`` extra). The parts, all of them when none is named:

- ``pull``: 20 files into a lake of 730 segments a table and a million ledger rows, and the same 20 into a
  new lake, in fresh processes that take turns: CPU and memory (RSS, and the anonymous part of it);
- ``calls``: seconds of ``status``, ``plan``, ``datasets``, ``connect`` and ``sql`` as the ledger grows, each in
  a fresh process;
- ``nights``: the requests of nightly updates of one symbol in a bucket, from the first night to the fifteenth;
- ``noop``: what calls that find nothing to do write, on a disk and in a bucket.

The aged lake is made by the lake's own table writer, a segment a table for every night; it has no other
files than its tables and those of the symbol that is pulled. Beside each ratio stands its aim.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import cryptolake as cl
from cryptolake.storage import segments
from tests.storm.publisher import LAKES, Publisher, key_of, options, s3_server
from tests.transfer.proxy import Proxy, proxied

SYMBOL = "BTCUSDT"
START = date(2024, 3, 1)
PULLED = 20
NIGHTS = 15
BUCKET = "data.binance.vision"
IN_BUCKET = "lake"
"""The prefix of a lake in the bucket for lakes."""
CALLS = ("status", "plan", "datasets", "connect", "sql silver", "sql meta.files", "no-op pull")

PULL = """
import json, resource, sys
import cryptolake as cl
root, url, first, last = sys.argv[1:]
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
lake = cl.Lake(root, source=cl.Archive(endpoint_url=url, region="us-east-1"))
query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between(first, last)
before = cpu()
report = lake.pull(query, progress=False)
print(json.dumps([cpu() - before, report.transferred]))
"""
CALL = """
import json, sys, time
import cryptolake as cl
root, url, name, first, last = sys.argv[1:]
source = cl.Archive(endpoint_url=url, region="us-east-1")
query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between(first, last)
calls = {
    "status": lambda lake: lake.status(),
    "plan": lambda lake: lake.plan(query, progress=False),
    "datasets": lambda lake: lake.datasets(),
    "connect": lambda lake: lake.connect(),
    "sql silver": lambda lake: lake.sql("select count(*) from silver.spot_klines").fetchall(),
    "sql meta.files": lambda lake: lake.sql("select count(*) from meta.files").fetchall(),
    "no-op pull": lambda lake: lake.pull(query, progress=False),
}
seconds = []
for _ in range(2):
    lake = cl.Lake(root, source=source)
    begun = time.perf_counter()
    calls[name](lake)
    seconds.append(time.perf_counter() - begun)
print(json.dumps(seconds))
"""


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all when left out")
    parser.add_argument("--segments", type=int, default=730)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {sorted(unknown)}; there are {', '.join(PARTS)}")
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder, s3_server() as (url, client):
            print(f"\n{name}:", flush=True)
            publisher = Publisher(client, url, BUCKET)
            PARTS[name](Path(folder), publisher, given)


# -------------------------------------------------------------------------------------------- an aged lake


def aged(root: Path, publisher: Publisher, segments: int, rows: int) -> None:
    """Make a lake whose tables have that many segments and ledger rows, a night a segment."""
    begun = time.perf_counter()
    lake = lake_of(root, publisher.url)
    lake.pull(query_of(0, 1), progress=False)
    meta = lake.meta
    model = {table: meta.read(table).head(1) for table in ("files", "transfers", "sources", "runs")}
    per = max(1, rows // segments)
    dice = random.Random(1)
    symbols = [f"S{number:04}USDT" for number in range(per)]
    for night in range(segments):
        day = date(2022, 1, 1) + timedelta(night)
        run = pl.lit(f"{day:%Y%m%d}T000000-{night:08x}").alias("run_id")
        keys = pl.Series("key", [key_of(symbol, day) for symbol in symbols])
        sums = {"sha256": _hex(dice, per, 64), "etag": _hex(dice, per, 32)}
        path = [
            f"silver/market=spot/data_type=klines/interval=1h/symbol={symbol}/{day:%Y-%m}.parquet"
            for symbol in symbols
        ]
        meta.append("files", _many(model["files"], per).with_columns(keys, run, **sums))
        meta.append("transfers", _many(model["transfers"], per).with_columns(keys, run))
        named = {"path": pl.Series(path), **sums}
        meta.append("sources", _many(model["sources"], per).with_columns(keys, run, **named))
        meta.append("runs", model["runs"].with_columns(run))
        meta.settle()  # as each night's run does at its end
    held = sum(file.stat().st_size for file in (root / "meta").rglob("*") if file.is_file())
    print(
        f"  a lake of {segments:,} segments a table, {per * segments:,} ledger rows, "
        f"{held / 1e6:.0f} MB of tables (made in {time.perf_counter() - begun:.0f} s)",
        flush=True,
    )


def _many(model: pl.DataFrame, count: int) -> pl.DataFrame:
    return pl.concat([model] * count, rechunk=True)


def _hex(dice: random.Random, count: int, digits: int) -> pl.Series:
    text = dice.randbytes(count * digits // 2).hex()
    return pl.Series([text[at : at + digits] for at in range(0, len(text), digits)])


def lake_of(root: Path | str, url: str, given: dict[str, Any] | None = None) -> cl.Lake:
    source = cl.Archive(endpoint_url=url, region="us-east-1")
    return cl.Lake(root, source=source, storage_options=given)


def query_of(first: int, days: int) -> cl.Query:
    start = START + timedelta(first)
    query = cl.query().markets("spot").klines("1h").symbols(SYMBOL)
    return query.between(start, start + timedelta(days - 1))


def publish(publisher: Publisher, days: int) -> None:
    for day in range(days):
        publisher.publish(SYMBOL, START + timedelta(day))


# ---------------------------------------------------------------------------------------------- the parts


def pull(folder: Path, publisher: Publisher, given: argparse.Namespace) -> None:
    """Pull 20 files into the aged lake and into new ones, in turns."""
    publish(publisher, 1 + PULLED * given.runs)
    aged(folder / "aged", publisher, given.segments, given.rows)
    found: dict[str, list[list[float]]] = {"new": [], "aged": []}
    for turn in range(given.runs):
        first = 1 + turn * PULLED
        days = [f"{START + timedelta(day)}" for day in (first, first + PULLED - 1)]
        for age, root in (("new", folder / f"new-{turn}"), ("aged", folder / "aged")):
            found[age].append(watched(PULL, str(root), publisher.url, *days))
            words = "CPU {:.2f} s, RSS {:.0f} MB, anonymous {:.0f} MB".format(*found[age][-1])
            print(f"  turn {turn + 1}, {age}: {words}", flush=True)
    for column, what in enumerate(("CPU", "memory, RSS", "memory, anonymous")):
        new, old = (statistics.median(row[column] for row in found[age]) for age in found)
        print(f"  {what}: {old / new:.2f} x that of a new lake (aim: <= 1.5)")


def watched(program: str, *given: str) -> list[float]:
    """Run a program; return the CPU seconds that it tells, its most RSS and anonymous memory in MB."""
    most = [0.0, 0.0]
    command = [sys.executable, "-c", program, *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            most = [max(pair) for pair in zip(most, memory(child.pid), strict=True)]
            time.sleep(0.01)
        assert child.stdout is not None
        cpu, moved = json.loads(child.stdout.read())
    assert moved == PULLED, moved
    return [cpu, *most]


def memory(pid: int) -> list[float]:
    """Return a process's RSS and the anonymous part of it, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return [0.0, 0.0]
    facts = dict(line.split(":", 1) for line in lines)
    sizes = (facts.get(name, "0 kB").split()[0] for name in ("VmRSS", "RssAnon"))
    return [int(size) / 1000 for size in sizes]


def calls(folder: Path, publisher: Publisher, given: argparse.Namespace) -> None:
    """Time the calls on lakes of a hundredth of the age, a tenth of it, and all of it."""
    publish(publisher, 2)
    shares = (100, 10, 1)
    seconds: dict[str, list[float]] = {name: [] for name in CALLS}
    for share in shares:
        root = folder / f"lake-{share}"
        aged(root, publisher, max(1, given.segments // share), given.rows // share)
        for name in CALLS:
            days = (f"{START}", f"{START}")
            command = [sys.executable, "-c", CALL, str(root), publisher.url, name, *days]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(min(json.loads(done.stdout)))
    print("  seconds at 1/100, 1/10 and all of the ledger; the last against the first (aim: flat)")
    for name, row in seconds.items():
        shown = "  ".join(f"{each:7.3f}" for each in row)
        print(f"  {name:15} {shown}   {row[-1] / row[0]:6.1f} x")


def nights(folder: Path, publisher: Publisher, given: argparse.Namespace) -> None:
    """Count the requests of an update a night, of one symbol in a bucket."""
    publish(publisher, 10)
    with proxied(publisher.url) as proxy:
        where = f"s3://{LAKES}/{IN_BUCKET}"
        lake_of(where, proxy.url, options(proxy.url)).pull(query_of(0, 10), progress=False)
        counts = []
        for night in range(NIGHTS):
            publisher.publish(SYMBOL, START + timedelta(10 + night))
            proxy.forget()
            segments._FRAMES = segments._Frames(segments._CACHED_BYTES)  # a process a night
            done = lake_of(where, proxy.url, options(proxy.url)).update(progress=False)
            assert done.changed, "the night's day was not fetched"
            counts.append(sum(proxy.asked.values()))
            if night in (0, NIGHTS - 1):
                print(f"  night {night + 1}: {by_kind(proxy)}")
    print(f"  requests a night: {counts}")
    print(f"  night {NIGHTS} against night 1: {counts[-1] / counts[0]:.2f} x (aim: <= 1.2)")
    print(f"  the median night against night 1: {statistics.median(counts) / counts[0]:.2f} x")


def by_kind(proxy: Proxy) -> dict[str, int]:
    """Return the requests that a proxy saw, by method and by the lake's folder."""
    found: dict[str, int] = {}
    for (method, key), count in proxy.asked.items():
        parts = [part for part in key.split("/") if part]
        place = "listings" if not parts else parts[1] if parts[0] == IN_BUCKET else "archive"
        if place == "meta":
            place = "/".join(parts[1:3])
        found[f"{method} {place}"] = found.get(f"{method} {place}", 0) + count
    return dict(sorted(found.items()))


def noop(folder: Path, publisher: Publisher, given: argparse.Namespace) -> None:
    """Count what calls write that find nothing to do."""
    publish(publisher, 5)
    query = query_of(0, 5)
    work: dict[str, Callable[[cl.Lake], Any]] = {
        "plan": lambda lake: lake.plan(query, progress=False),
        "pull": lambda lake: lake.pull(query, progress=False),
        "build": lambda lake: lake.build(progress=False),
        "update": lambda lake: lake.update(progress=False),
        "frame": lambda lake: lake.frame(query, progress=False),
        "silver": lambda lake: lake.silver(query).collect(),
        "sql": lambda lake: lake.sql("select count(*) from silver.spot_klines").fetchall(),
        "status": lambda lake: lake.status(),
        "datasets": lambda lake: lake.datasets(),
        "quality": lambda lake: lake.quality(query),
        "verify": lambda lake: lake.verify(),
    }
    root = folder / "lake"
    with proxied(publisher.url) as proxy:
        where, given_options = f"s3://{LAKES}/{IN_BUCKET}", options(proxy.url)
        lake_of(root, publisher.url).pull(query, progress=False)
        lake_of(where, proxy.url, given_options).pull(query, progress=False)
        total = 0
        for name, call in work.items():
            before = stamped(root)
            call(lake_of(root, publisher.url))
            written = sorted(set(stamped(root)) - set(before))
            proxy.forget()
            call(lake_of(where, proxy.url, given_options))
            puts = {k: n for k, n in by_kind(proxy).items() if k.split()[0] in {"PUT", "POST"}}
            total += len(written) + sum(puts.values())
            folders = sorted({path.rsplit("/", 1)[0] for path, _, _ in written})
            print(f"  {name:10} on a disk: {len(written)} files {folders}; in a bucket: {puts}")
    print(f"  files written by calls that had nothing to do: {total} (aim: 0)")


def stamped(root: Path) -> list[tuple[str, int, int]]:
    """Return a folder's files with their sizes and times of change."""
    found = []
    for place, _, names in os.walk(root):
        for name in names:
            path = Path(place) / name
            facts = path.lstat()
            found.append((path.relative_to(root).as_posix(), facts.st_size, facts.st_mtime_ns))
    return found


PARTS: dict[str, Callable[[Path, Publisher, argparse.Namespace], None]] = {
    "pull": pull,
    "calls": calls,
    "nights": nights,
    "noop": noop,
}

if __name__ == "__main__":
    main()
