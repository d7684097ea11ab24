"""Memory of a transfer, Python and s5cmd together, at 1,000 and at 20,000 files: is it flat?

Run it with ``python -m tests.benchmarks.bench_memory [FILES ...]``; it needs Linux, nginx (Debian:
nginx-light) and hadro (the ``test`` extra). One process makes a plan and saves it, a fresh one loads it and
transfers; every 10 ms the resident memory of that process and its children is added up. Printed, in MB:
the most in all, and within each tenth of the transfer; and the most of the process that planned.

Resident memory counts the pages of libraries' code that are mapped. How many those are is up to the kernel: where
a library lies in the page cache in large folios (Linux 6.18, just installed), one touch maps a whole one of
them, and the figures are some 10 MB higher than after ``echo 3 > /proc/sys/vm/drop_caches``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_bronze import BUCKET, served
from tests.transfer.archives import write_archive

DAYS = 1000  # a symbol's, at most: the three years that are planned hold 1,096
SYMBOLS = 20
AIM = 100
PLANNING = """
import sys
import cryptolake as cl
endpoint, root = sys.argv[1:]
lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint))
query = cl.query().markets("spot").klines("1m").symbols("S*USDT").between("2020-01-01", "2022-12-31")
plan = lake.plan(query)
plan.save(root + ".plan")
print(plan.to_transfer, 0)
"""
TRANSFER = """
import sys
import cryptolake as cl
endpoint, root = sys.argv[1:]
lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint))
plan = cl.Plan.load(root + ".plan")
report = lake.transfer(plan, progress=False)
print(report.transferred, round(report.seconds, 2))
"""


def main() -> None:
    """Measure each number of files in a process of its own."""
    counts = [int(word) for word in sys.argv[1:]] or [1000, 20_000]
    told = {}
    for files in counts:
        told[files] = measured(files)
        print(f"{files:,} files:", json.dumps(told[files]), flush=True)
    peaks = [facts["transfer"] for facts in told.values()]
    print(
        f"most: {max(peaks)} MB (to reach: {AIM}); apart: {max(peaks) - min(peaks):.1f} MB (flat: 0)"
    )


def measured(files: int) -> dict[str, Any]:
    """Return the peaks of one run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        symbols = max(SYMBOLS, -(-files // DAYS))
        write_archive(folder / "served" / BUCKET, files, rows=200, symbols=symbols)
        with served(folder) as endpoint:
            given = (endpoint, str(folder / "lake"))
            planned, _, planning = watched(PLANNING, *given)
            moved, seconds, seen = watched(TRANSFER, *given)
            assert planned == moved == files, (planned, moved)
    tenth = len(seen) / 10
    parts = [seen[int(n * tenth) : int((n + 1) * tenth)] for n in range(10)]
    return {
        "transfer": megabytes(seen),
        "tenths": [megabytes(part) for part in parts],
        "plan": megabytes(planning),
        "seconds": seconds,
    }


def watched(program: str, *given: str) -> tuple[int, float, list[int]]:
    """Run a program; return the two numbers it prints and the resident bytes every 10 ms."""
    seen: list[int] = []
    command = [sys.executable, "-c", program, *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            seen.append(sum(map(resident, family(child.pid))))
            time.sleep(0.01)
        assert child.stdout is not None
        files, seconds = child.stdout.read().split()
    return int(files), float(seconds), seen


def megabytes(sizes: list[int]) -> float:
    """Return the largest, in MB."""
    return round(max(sizes, default=0) / 1e6, 1)


def family(pid: int) -> list[int]:
    """Return a process and the other programs below it (not its own copy, between fork and exec)."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = [int(c) for task in tasks for c in (task / "children").read_text().split()]
        copies = {child for child in below if program_of(child) in {program_of(pid), None}}
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(member for child in set(below) - copies for member in family(child))]


def program_of(pid: int) -> Path | None:
    """Return the file that a process runs."""
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return None


def resident(pid: int) -> int:
    """Return a process's resident memory, in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError):
        return 0


if __name__ == "__main__":
    main()
