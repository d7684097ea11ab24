"""Memory of a transfer, of a whole pull and of a build: is it flat?

``python -m tests.benchmarks.bench_memory [FILES ...]`` measures a transfer, Python and s5cmd together, at
1,000 and at 20,000 files; ``... bench_memory pull [FILES ...]`` a pull (plan, transfer and Silver) in one
process; ``... bench_memory build [MILLIONS ...]`` the Silver of one trades zip of so many million rows. It
needs Linux, and but for ``build`` nginx (Debian: nginx-light) and hadro (the ``test`` extra).

Every 10 ms the memory of a process and its children is added up, and the most is printed in MB, as two figures
side by side. For a transfer, one process makes a plan and saves it, a fresh one loads it and transfers; printed
as well are the most within each tenth of the transfer, and of the process that planned.

- ``anonymous`` (``RssAnon``): what the processes have allocated. The kernel cannot take it back without swap:
  this is what a transfer needs.
- ``resident`` (``VmRSS``): that, and the pages of libraries' files that are mapped, which the kernel drops when
  memory is short. How many those are is up to the kernel: where a library lies in the page cache in large
  folios (Linux 6.18, just installed), one touch maps a whole one of them, and the figures are some 10 MB
  higher than after ``echo 3 > /proc/sys/vm/drop_caches``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.bench_bronze import BUCKET, served
from tests.benchmarks.bench_silver import record, trades_zip
from tests.benchmarks.measuring import Memory, memory_of
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
PULL = """
import sys
import cryptolake as cl
endpoint, root = sys.argv[1:]
lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint))
query = cl.query().markets("spot").klines("1m").symbols("S*USDT").between("2020-01-01", "2022-12-31")
report = lake.pull(query, progress=False)
assert not report.failed, report.summary()
print(report.transferred, round(report.seconds, 2))
"""
BUILD = """
import sys
import cryptolake as cl
lake = cl.Lake(sys.argv[1])
query = cl.query().markets("futures_um").data_types("trades").symbols("BTCUSDT").between("2024-01", "2024-01")
report = lake.build(query, progress=False)
assert report.ok, report.summary()
print(report.rows, round(report.seconds, 2))
"""


def main() -> None:
    """Measure each number of files, or of millions of rows, in a process of its own."""
    words = sys.argv[1:]
    what = words.pop(0) if words and words[0] in {"pull", "build"} else "transfer"
    counts = [int(word) for word in words]
    if what == "transfer":
        transfers(counts or [1000, 20_000])
        return
    for count in counts or ([1000, 20_000] if what == "pull" else [8]):
        seen, seconds = pulled(count) if what == "pull" else built(count)
        unit = "files" if what == "pull" else "million rows"
        figures = {kind: peak(seen, kind) for kind in Memory._fields}
        print(f"{what} of {count:,} {unit} in {seconds} s: MB", json.dumps(figures), flush=True)


def pulled(files: int) -> tuple[list[Memory], float]:
    """Return what a pull took, every 10 ms, Python and s5cmd together, and its seconds."""
    with archive_of(files) as (endpoint, root):
        count, seconds, seen = watched(PULL, endpoint, root)
        assert count == files, count
    return seen, seconds


def built(millions: int) -> tuple[list[Memory], float]:
    """Return what the build of one trades zip took, every 10 ms, and its seconds."""
    key = "data/futures/um/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bronze" / key
        sha256 = trades_zip(path, millions * 10**6)
        record(Path(name), [(key, path.stat().st_size, sha256)])
        rows, seconds, seen = watched(BUILD, name)
        assert rows == millions * 10**6, rows
    return seen, seconds


def transfers(counts: list[int]) -> None:
    """Print what transfers of so many files took."""
    peaks: dict[str, list[float]] = {"anonymous": [], "resident": []}
    for files in counts:
        moved, planned, seconds = measured(files)
        print(f"{files:,} files, moved in {seconds} s", flush=True)
        for kind, most in peaks.items():
            most.append(peak(moved, kind))
            parts = [peak(part, kind) for part in tenths(moved)]
            facts = {"transfer": most[-1], "tenths": parts, "plan": peak(planned, kind)}
            print(f"  {kind}:", json.dumps(facts), flush=True)
    for kind, most in peaks.items():
        apart = max(most) - min(most)
        print(f"{kind}: most {max(most)} MB (to reach: {AIM}); apart {apart:.1f} MB (flat: 0)")


def measured(files: int) -> tuple[list[Memory], list[Memory], float]:
    """Return what one transfer and the planning before it took, every 10 ms, and the transfer's seconds."""
    with archive_of(files) as given:
        planned, _, planning = watched(PLANNING, *given)
        moved, seconds, moving = watched(TRANSFER, *given)
        assert planned == moved == files, (planned, moved)
    return moving, planning, seconds


@contextmanager
def archive_of(files: int) -> Iterator[tuple[str, str]]:
    """Serve an archive of so many files; give its endpoint and the root of an empty lake."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        symbols = max(SYMBOLS, -(-files // DAYS))
        write_archive(folder / "served" / BUCKET, files, rows=200, symbols=symbols)
        with served(folder) as endpoint:
            yield endpoint, str(folder / "lake")


def watched(program: str, *given: str) -> tuple[int, float, list[Memory]]:
    """Run a program; return the two numbers it prints and its family's memory every 10 ms."""
    seen: list[Memory] = []
    command = [sys.executable, "-c", program, *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            now = [memory_of(pid) for pid in family(child.pid)]
            seen.append(Memory(sum(one.anonymous for one in now), sum(one.resident for one in now)))
            time.sleep(0.01)
        assert child.stdout is not None
        files, seconds = child.stdout.read().split()
    return int(files), float(seconds), seen


def tenths(seen: list[Memory]) -> list[list[Memory]]:
    """Return ten parts of equal length."""
    tenth = len(seen) / 10
    return [seen[int(n * tenth) : int((n + 1) * tenth)] for n in range(10)]


def peak(seen: list[Memory], kind: str) -> float:
    """Return the largest, in MB."""
    return round(max((getattr(one, kind) for one in seen), default=0) / 1e6, 1)


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


if __name__ == "__main__":
    main()
