"""What verification costs on top of s5cmd: 300 zips and their sidecars, the archive behind nginx.

Run it with ``python tests/benchmarks/bench_bronze.py [RUNS]``; it needs nginx (Debian: nginx-light) and
hadro (the ``test`` extra). nginx serves the objects, read-only, and passes listings on to hadro. In turn:

- *bare s5cmd*: ``s5cmd run`` on the plan's own command lines, into an empty folder, nothing checked;
- *Bronze*: ``lake.transfer(plan)`` into an empty lake: the same lines, and every file verified by its
  sha256, its zip looked into, renamed to its final name, and recorded in the ledger;
- *Silver*: ``lake.build(query)`` of those files, and the same month by month by hand: inflate, one parse
  and one write for each, nothing checked.

Printed: the median seconds of each, and the ratios.
"""

from __future__ import annotations

import getpass
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import polars as pl

import cryptolake as cl

DAYS = ("2024-01-02", "2024-10-27")
BUCKET = "data.binance.vision"

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1; user {user};
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port}; root {folder}/served;
    location = /{bucket} {{ proxy_pass http://127.0.0.1:{listing}; }}
    location = /{bucket}/ {{ proxy_pass http://127.0.0.1:{listing}; }}
  }}
}}
"""


def main() -> None:
    """Make 300 days, serve them, take turns, print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers may be another user
        made = cl.sample_archive(
            folder / "served" / BUCKET,
            datasets=["spot_klines"],
            symbols=["BTCUSDT"],
            intervals=["1m"],
            partitions=["daily"],
            days=DAYS,
        )
        print(f"{made.files} zips, {made.bytes / 1e6:.1f} MB, {made.rows:,} rows; {runs} rounds")
        with served(folder) as endpoint:
            compare(endpoint, folder, runs)


def compare(endpoint: str, folder: Path, runs: int) -> None:
    """Take turns, so that a machine that slows down slows all of them."""
    from cryptolake.transfer.s5cmd import find_s5cmd

    source = cl.Archive(endpoint_url=endpoint)
    query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT").between(*DAYS)
    lake = cl.Lake(folder / "lake", source=source)
    plan = lake.plan(query)
    (folder / "commands").write_text("\n".join(plan.commands()) + "\n")
    bare = [str(find_s5cmd()), "--json", "--no-sign-request", "--endpoint-url", endpoint]

    def by_s5cmd() -> None:
        (folder / "bare").mkdir()
        command = [*bare, "run", str(folder / "commands")]
        subprocess.run(command, cwd=folder / "bare", check=True, stdout=subprocess.DEVNULL)

    def bronze() -> None:
        assert lake.transfer(plan, progress=False).transferred == plan.to_transfer

    def silver() -> None:
        assert lake.build(query, progress=False).ok

    def by_hand() -> None:
        write_by_hand(folder / "lake" / "bronze", folder / "hand")

    seconds: dict[str, list[float]] = defaultdict(list)
    for run in range(runs + 1):
        for name in ("bare", "lake", "hand"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for work in (by_s5cmd, bronze, silver, by_hand):
            taken = timed(work)
            if run:  # the first round warms caches
                seconds[work.__name__].append(taken)
    tell(seconds)


def tell(seconds: dict[str, list[float]]) -> None:
    """Print medians and the two ratios."""
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, taken in seconds.items():
        print(f"{name:9} {median[name]:.3f} s ({min(taken):.3f} to {max(taken):.3f})")
    ratios = {
        "bronze": round(median["bronze"] / median["by_s5cmd"], 3),
        "silver": round(median["silver"] / median["by_hand"], 3),
    }
    print(f"Bronze / bare s5cmd = {ratios['bronze']:.2f} (to reach: 1.25)")
    print(f"Silver / by hand = {ratios['silver']:.2f} (to reach: 1.5)")
    print(json.dumps({"ratios": ratios, **median}))


def timed(work: Callable[[], None]) -> float:
    """Return the wall-clock seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write_by_hand(bronze: Path, target: Path) -> None:
    """Do the least that makes Silver: for each month inflate, parse once, write once."""
    months: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(bronze.rglob("*.zip")):
        months[path.name[-14:-7]].append(path)
    names = "open_time open high low close volume close_time quote trades taker taker_quote ignore"
    whole = {"open_time", "close_time", "trades"}
    schema = {name: pl.Int64() if name in whole else pl.Float64() for name in names.split()}
    target.mkdir()
    for month, paths in months.items():
        text = io.BytesIO()
        for path in paths:
            with zipfile.ZipFile(path) as zipped:
                text.write(zipped.read(zipped.namelist()[0]))
        frame = pl.read_csv(text.getvalue(), has_header=False, schema=schema)
        times = (pl.col(name) * 1000 for name in ("open_time", "close_time"))
        frame = frame.with_columns(time.cast(pl.Datetime("us", "UTC")) for time in times)
        frame.drop("ignore").write_parquet(target / f"{month}.parquet", compression="zstd")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder/served``: objects by nginx, listings by hadro; yield the endpoint."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    port, listing = free_port(), free_port()
    config = folder / "nginx.conf"
    facts = {"folder": folder, "port": port, "listing": listing, "bucket": BUCKET}
    config.write_text(NGINX.format(user=getpass.getuser(), **facts))
    hadro = [sys.executable, "-m", "hadro", str(folder / "served"), "--port", str(listing)]
    servers = [
        subprocess.Popen([*hadro, "--log-level", "critical"]),
        subprocess.Popen([nginx, "-c", str(config)]),
    ]
    try:
        wait(f"http://127.0.0.1:{port}/{BUCKET}?list-type=2&max-keys=1")
        yield f"http://127.0.0.1:{port}"
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait(url: str) -> None:
    """Wait until a URL answers."""
    for _ in range(200):
        try:
            urlopen(url).read()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server does not answer: " + url)


if __name__ == "__main__":
    main()
