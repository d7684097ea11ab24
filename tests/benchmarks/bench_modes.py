"""What each mode costs for a lake in a bucket: direct, relay, traditional, on the same 300 files.

Run it with ``python -m tests.benchmarks.bench_modes [RUNS]``; it needs the ``test`` extra. Archive and lake
are buckets of one moto server, in a process of its own. Seconds are taken against that server itself;
requests and bytes in one more round each, through a proxy that counts them. The temporary folder is watched
for local bytes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

import boto3

import cryptolake as cl
from tests.transfer.archives import FolderPlan, plan_of, write_archive
from tests.transfer.proxy import proxied

FILES = 300
MODES: dict[str, tuple[str, dict[str, bool]]] = {
    "traditional": ("traditional", {}),
    "relay": ("relay", {}),
    "direct": ("direct", {}),
    "direct, zips alone": ("direct", {"sidecars": False}),
}
"""Modes and options. The last leaves the CHECKSUM files where they are."""
KEYS = {"key": "AKIDBENCH", "secret": "no-secret"}
SERVER = """
import sys
from cryptolake.sample.server import serve_archive
with serve_archive(sys.argv[1], lakes=sys.argv[2:]) as served:
    print(served.endpoint, flush=True)
    sys.stdin.read()
"""


def main() -> None:
    """Serve, take turns, print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder, spool = Path(name) / "archive", Path(name) / "spool"
        spool.mkdir()
        tempfile.tempdir = str(spool)
        write_archive(folder, FILES, rows=1440)
        lakes = [bucket_of(mode, run) for mode in MODES for run in range(runs + 2)]
        command = [sys.executable, "-c", SERVER, str(folder), *lakes]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            endpoint = server.stdout.readline().strip()
            compare(endpoint, folder, spool, runs)
            server.stdin.close()


def compare(endpoint: str, folder: Path, spool: Path, runs: int) -> None:
    """Let the modes take turns against the server, then once each through the counting proxy."""
    archive = cl.Archive(endpoint_url=endpoint)
    plan = plan_of(folder, archive)
    seconds: dict[str, list[float]] = defaultdict(list)
    for run in range(runs + 1):
        for mode in MODES:
            taken, _ = moved(plan, endpoint, mode, run)
            if run:  # the first round loads what has to be loaded
                seconds[mode].append(taken)
    told: dict[str, dict[str, float]] = {}
    for mode in MODES:
        with proxied(endpoint) as proxy:
            plan.archive = cl.Archive(endpoint_url=proxy.url)
            with Watch(spool) as watch:
                moved(plan, proxy.url, mode, runs + 1)
            objects = {k: n for k, n in proxy.asked.items() if "/meta/" not in k[1]}
            told[mode] = {
                "seconds": round(statistics.median(seconds[mode]), 3),
                "requests_per_file": round(sum(objects.values()) / FILES, 2),
                "megabytes_through": round(proxy.carried / 1e6, 2),
                "local_megabytes": round(watch.most / 1e6, 2),
            }
    tell(told)


def bucket_of(name: str, run: int) -> str:
    """Return the bucket of a mode's run."""
    return f"{name.replace(', ', '-').replace(' ', '-')}-{run}"


def moved(plan: FolderPlan, endpoint: str, name: str, run: int) -> tuple[float, cl.Report]:
    """Transfer into a new bucket; return the seconds it took and the report."""
    mode, chosen = MODES[name]
    bucket = bucket_of(name, run)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEYS["key"],
        aws_secret_access_key=KEYS["secret"],
    )
    client.create_bucket(Bucket=bucket)
    options = {**KEYS, "endpoint_url": endpoint, "client_kwargs": {"region_name": "us-east-1"}}
    lake = cl.Lake(f"s3://{bucket}/lake", source=plan.archive, storage_options=options)
    began = time.perf_counter()
    report = lake.transfer(plan, mode=mode, options=chosen, progress=False)  # type: ignore[arg-type]
    taken = time.perf_counter() - began
    assert report.transferred == FILES, report
    return taken, report


def tell(told: dict[str, dict[str, float]]) -> None:
    """Print the table, and what direct saves of traditional, beside the figures of the seed system."""
    for mode, facts in told.items():
        print(f"{mode:18}", "  ".join(f"{name} {value}" for name, value in facts.items()))
    aims = {"seconds": 60, "requests_per_file": 80, "megabytes_through": 50}
    saved = {
        mode: {
            name: round(100 * (1 - told[mode][name] / told["traditional"][name]), 1)
            for name in aims
        }
        for mode in told
        if mode.startswith("direct")
    }
    for mode, percents in saved.items():
        said = ", ".join(
            f"{percents[name]} % of {name} (seed: {aim} %)" for name, aim in aims.items()
        )
        print(f"{mode} saves {said}")
    print(json.dumps({"modes": told, "saved_percent": saved}))


class Watch:
    """The most bytes that lay in a folder while the block ran."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._done = folder, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.most = max(self.most, sum(_size(p) for p in self._folder.rglob("*.zip*")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
