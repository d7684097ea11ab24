"""How a pull grows with workers: 1, 2 and 4 processes on this machine, 50 ms a request.

Run it with ``python tests/benchmarks/bench_scaleout.py [ROUNDS] [LATENCY_MS] [CONNECTIONS]``; it needs Linux and hadro (the
``test`` extra), which serves the archive and answers each request after 50 ms. A pull of daily files of eight symbols
into an empty folder is run by ``ProcessPoolExecutor`` (spawned, and warm before the clock starts), Silver included, in
turn with 1, 2 and 4 workers:

- *4 connections a worker*: each worker brings its own, as machines of a cluster do;
- *4 connections in all*: one limit divided among the workers, as ``lake.pull(..., executor=)`` does.

Printed, as medians: files and requests a second, each against one worker; how many of the machine's cores the workers
with their s5cmd, the call itself, and the server use meanwhile; and the share of the parts' time that transfers take.
Where the cores used are all that the machine has left, more workers only share them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cryptolake as cl
from tests.transfer.servers import free_port, wait_for

EACH = int(sys.argv[3]) if len(sys.argv) > 3 else 4
COUNTS = (1, 2, 4)
DAYS = ("2024-11-02", "2024-12-13")
SYMBOLS = [f"{name}USDT" for name in ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "LTC")]
_TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """One pull: seconds, files, requests, and cores in use by the workers, the call and the server."""

    seconds: float
    files: int
    requests: int
    workers: float
    call: float
    server: float
    transfer: float


def warm(_: int) -> int:
    """Import what a part needs; return the process."""
    for name in ("executors.parts", "silver.build", "transfer.engine"):
        importlib.import_module(f"cryptolake.{name}")
    time.sleep(0.2)
    return os.getpid()


def cpu(pid: int) -> float:
    """Processor seconds of a process and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def pull(endpoint: str, server: int, root: Path, workers: int, connections: int) -> Measured:
    """Pull into an empty lake on some workers."""
    shutil.rmtree(root, ignore_errors=True)
    lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint))
    query = cl.query().markets("spot").klines("1h").symbols(*SYMBOLS).between(*DAYS)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        pids = set(pool.map(warm, range(4 * workers)))
        plan = lake.plan(query, progress=False)
        began = time.perf_counter()
        before = [cpu(pid) for pid in (*pids, os.getpid(), server)]
        options = {"workers": connections, "batch_size": 200}
        report = lake.pull(query, executor=pool, progress=False, options=options)
        seconds = time.perf_counter() - began
        used = [
            (cpu(pid) - was) / seconds
            for pid, was in zip((*pids, os.getpid(), server), before, strict=True)
        ]
    assert report.ok
    assert report.transferred == plan.to_transfer
    runs = lake.runs()
    spent = dict(runs.drop_nulls("part_of").group_by("kind").agg("seconds").iter_rows())
    moving = sum(spent["transfer"]) / (sum(spent["transfer"]) + sum(spent["build"]))
    return Measured(
        seconds,
        report.transferred,
        report.requests or 0,
        sum(used[:-2]),
        used[-2],
        used[-1],
        moving,
    )


def show(title: str, runs: dict[int, list[Measured]]) -> None:
    """Print a row a number of workers."""
    print(f"\n{title}")
    head = ("workers", "files/s", "requests/s", "x 1", "workers", "call", "server", "moving")
    print("".join(f"{word:>12}" for word in head) + "   (cores used; share of the parts' time)")
    first = statistics.median(run.seconds for run in runs[COUNTS[0]])
    for count, found in runs.items():
        seconds = statistics.median(run.seconds for run in found)
        cells = [f"{count}", f"{found[0].files / seconds:.0f}"]
        cells += [f"{found[0].requests / seconds:.0f}", f"{first / seconds:.2f}"]
        for name in ("workers", "call", "server", "transfer"):
            cells.append(f"{statistics.median(getattr(run, name) for run in found):.2f}")
        print("".join(f"{cell:>12}" for cell in cells))


def main() -> None:
    """Serve, pull in turn, print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    latency = sys.argv[2] if len(sys.argv) > 2 else "50"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bucket = folder / "served" / "data.binance.vision"
        kinds = {"datasets": ["spot_klines"], "symbols": SYMBOLS, "intervals": ["1h"]}
        cl.sample_archive(bucket, days=DAYS, **kinds)  # type: ignore[arg-type]
        shutil.rmtree(bucket / "data/spot/monthly")
        port = free_port()
        flags = f"--port {port} --latency-ms {latency} --region ap-northeast-1 --log-level critical"
        command = [sys.executable, "-m", "hadro", str(folder / "served"), *flags.split()]
        server = subprocess.Popen(command)
        try:
            wait_for(port)
            measure(f"http://127.0.0.1:{port}", server.pid, folder / "lake", rounds)
        finally:
            server.terminate()
            server.wait()


def measure(endpoint: str, server: int, root: Path, rounds: int) -> None:
    """Run both kinds in turn."""
    own: dict[int, list[Measured]] = {count: [] for count in COUNTS}
    shared: dict[int, list[Measured]] = {count: [] for count in COUNTS}
    for _ in range(rounds):
        for count in COUNTS:
            own[count].append(pull(endpoint, server, root, count, EACH * count))
            shared[count].append(pull(endpoint, server, root, count, EACH))
    print(f"{own[1][0].files} files, {own[1][0].requests} requests, {os.cpu_count()} cores")
    show(f"{EACH} connections a worker", own)
    show(f"{EACH} connections in all", shared)


if __name__ == "__main__":
    main()
