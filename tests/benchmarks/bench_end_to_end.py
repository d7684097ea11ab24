"""How long a researcher waits: 58 days of BTCUSDT 1m, from an empty lake to a frame, in a fresh process.

Run it with ``python tests/benchmarks/bench_end_to_end.py [RUNS] [LATENCY_MS]``. An S3 server on loopback
(hadro) answers each request after 50 ms. Two programs take turns, each a new process with its imports:

- *by hand*: what the job costs at the least: 116 GETs of known keys by 32 threads, sha256 against the
  sidecars, one parse by Polars, nothing stored, nothing listed;
- *cryptolake*: ``lake.frame(query)`` into an empty folder: the listing asked, Bronze stored and verified,
  Silver built and stored, the frame read back.

Printed: the median seconds of each and their ratio, and the share of each step in cryptolake's time.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

DAYS = ("2024-12-02", "2025-01-28")

BY_HAND = """
import hashlib, io, sys, time, zipfile
began = time.perf_counter()
import http.client, datetime as dt, threading
from concurrent.futures import ThreadPoolExecutor
import polars as pl
host, first, last = sys.argv[1], dt.date.fromisoformat(sys.argv[2]), dt.date.fromisoformat(sys.argv[3])
imported = time.perf_counter()
local = threading.local()
def get(path):
    if not hasattr(local, "http"):
        local.http = http.client.HTTPConnection(host)
    local.http.request("GET", "/data.binance.vision/" + path)
    return local.http.getresponse().read()
def fetch(day):
    key = f"data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{day}.zip"
    body = get(key)
    assert hashlib.sha256(body).hexdigest() == get(key + ".CHECKSUM").split()[0].decode()
    with zipfile.ZipFile(io.BytesIO(body)) as z:
        return z.read(z.namelist()[0])
days = [first + dt.timedelta(n) for n in range((last - first).days + 1)]
with ThreadPoolExecutor(32) as pool:
    texts = list(pool.map(fetch, days))
schema = {f"c{n}": pl.Int64 if n in (0, 6, 8) else pl.Float64 for n in range(12)}
frame = pl.read_csv(b"".join(texts), has_header=False, schema=schema)
unit = lambda name: pl.when(pl.col(name) >= 10**14).then(pl.col(name)).otherwise(pl.col(name) * 1000)
frame = frame.with_columns(unit(n).cast(pl.Datetime("us", "UTC")) for n in ("c0", "c6")).sort("c0")
print(frame.height, imported - began, time.perf_counter() - began)
"""

OURS = """
import sys, time
began = time.perf_counter()
import cryptolake as cl
imported = time.perf_counter()
lake = cl.Lake(sys.argv[4], source=cl.Archive(endpoint_url="http://" + sys.argv[1]))
query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between(sys.argv[2], sys.argv[3])
frame = lake.frame(query, progress=False)
print(frame.height, imported - began, time.perf_counter() - began)
"""


def main() -> None:
    """Serve, run both in turn, print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    latency = sys.argv[2] if len(sys.argv) > 2 else "50"
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served"
        _make(served / "data.binance.vision")
        port = _free_port()
        flags = f"--port {port} --latency-ms {latency} --region ap-northeast-1 --log-level critical"
        server = subprocess.Popen([sys.executable, "-m", "hadro", str(served), *flags.split()])
        try:
            _wait(port)
            _compare(f"127.0.0.1:{port}", Path(folder), runs, latency)
        finally:
            server.terminate()
            server.wait()


def _make(bucket: Path) -> None:
    import cryptolake as cl

    cl.sample_archive(
        bucket,
        datasets=["spot_klines"],
        symbols=["BTCUSDT"],
        intervals=["1m"],
        days=("2024-12-01", "2025-01-31"),
    )


def _compare(host: str, folder: Path, runs: int, latency: str) -> None:
    times: dict[str, list[float]] = {"by hand": [], "cryptolake": []}
    programs = {"by hand": BY_HAND, "cryptolake": OURS}
    rows = {}
    # An installed package is compiled once; without this each run would compile it again.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for run in range(runs + 1):
        for name, program in programs.items():
            lake = folder / "lake"
            shutil.rmtree(lake, ignore_errors=True)
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", program, host, *DAYS, str(lake)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            )
            if run:  # the first round warms the disk's cache, and compiles what is imported
                times[name].append(time.perf_counter() - began)
            rows[name] = int(done.stdout.split()[0])
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name:11} {median[name]:.2f} s ({spread}), {rows[name]:,} rows")
    ratio = median["cryptolake"] / median["by hand"]
    print(f"cryptolake / by hand = {ratio:.2f} (to reach: 1.6) at {latency} ms a request")
    print(
        json.dumps({"ratio": round(ratio, 3), "runs": runs, "latency_ms": float(latency), **median})
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            urlopen(f"http://127.0.0.1:{port}/data.binance.vision?list-type=2&max-keys=1").read()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
