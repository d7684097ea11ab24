"""What benchmarks share: a job in a process of its own, what it cost, and Silver files to begin with.

A benchmark has jobs by name, each a function of a lake's root that returns how many rows it made. It is run with
``python -m tests.benchmarks.<name>``, and starts itself once more for each job (:func:`cost_of`, :func:`answer`).
Processor time is of the job alone: all jobs have imported the library before.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cryptolake as cl
from cryptolake.archive.feeds import Feed
from cryptolake.silver.month import MonthResult
from cryptolake.silver.months import Month, Series
from cryptolake.silver.parquet import Origin, write_month
from cryptolake.silver.records import month_rows

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.archive.periods import Period


class Memory(NamedTuple):
    """Bytes of one process, or of several together."""

    anonymous: int
    resident: int


class Cost(NamedTuple):
    """What a job took: processor seconds, its highest memory in MB (anonymous, and all of RSS), and its rows."""

    seconds: float
    anonymous: float
    resident: float
    rows: int


Job = Callable[[Path], "int | pl.DataFrame"]
"""Makes rows in a lake of that root; returns them, or how many they are."""


def memory_of(pid: int) -> Memory:
    """Return what the kernel says of a process's memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return Memory(0, 0)
    fields = dict(line.split(":", 1) for line in lines)
    kib = {name: int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "VmRSS")}
    return Memory(kib["RssAnon"] * 1024, kib["VmRSS"] * 1024)


def used() -> float:
    """Return this process's processor seconds until now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def answer(jobs: Mapping[str, Job], name: str, root: Path) -> None:
    """Do a job and print what it cost, for :func:`cost_of`."""
    begun = used()
    made = jobs[name](root)
    seconds = used() - begun
    print(json.dumps([seconds, made if isinstance(made, int) else made.height]))


def cost_of(module: str, job: str, root: Path) -> Cost:
    """Run a job of a benchmark in a process of its own; its memory is looked at every 5 ms."""
    seen = [Memory(0, 0)]
    command = [sys.executable, "-m", module, job, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            seen.append(memory_of(child.pid))
            time.sleep(0.005)
        assert child.stdout is not None
        assert child.returncode == 0, f"{job} failed"
        seconds, rows = json.loads(child.stdout.read().splitlines()[-1])
    anonymous, resident = (max(kind) / 1e6 for kind in zip(*seen, strict=True))
    return Cost(seconds, anonymous, resident, rows)


def pairs(
    module: str,
    own: str,
    hand: str,
    root: Path,
    rounds: int,
    begin: Callable[[], None] = lambda: None,
) -> tuple[list[Cost], list[Cost]]:
    """Run two jobs that make the same rows by turns; ``begin`` sets the lake back before each turn."""
    mine, theirs = [], []
    for _ in range(rounds):
        begin()
        mine.append(cost_of(module, own, root))
        theirs.append(cost_of(module, hand, root))
    return mine, theirs


def compare(words: str, own: Sequence[Cost], hand: Sequence[Cost]) -> None:
    """Print what runs in pairs cost: the least time and the most memory of each, and the middle ratio of times."""
    assert {run.rows for run in own} == {run.rows for run in hand}, "they made different rows"
    ratios = sorted(one.seconds / other.seconds for one, other in zip(own, hand, strict=True))
    (mine, memory), (theirs, other) = (
        (min(run.seconds for run in runs), max(run.anonymous for run in runs))
        for runs in (own, hand)
    )
    print(
        f"{words:<46} {mine:6.2f} s {memory:5.0f} MB (RSS {max(run.resident for run in own):.0f})   "
        f"by hand {theirs:6.2f} s {other:5.0f} MB (RSS {max(run.resident for run in hand):.0f})   "
        f"{ratios[len(ratios) // 2]:.2f} x, {memory / other:.2f} x",
        flush=True,
    )


class SilverWriter:
    """Writes Silver months as a build does: the same Parquet, the metadata in it, and the records beside it."""

    def __init__(self, root: Path) -> None:
        self._lake = cl.Lake(root).context
        self._made: list[MonthResult] = []

    def write(self, dataset: str, symbol: str, period: Period, frame: pl.DataFrame) -> None:
        """Write a month's rows of a symbol; its one source is named and is not there."""
        feed = Feed.parse(dataset)
        month = Month(Series(feed.market, feed.data_type, symbol, feed.interval, ()), period)
        digest = hashlib.sha256(month.path.encode()).hexdigest()
        source = (f"data/{feed.market.value}/{symbol}-{period}.zip", digest)
        origin = Origin(month.series.schema.version, (source,), {}, (), ())
        frame = frame.select(month.series.schema.silver_dtypes().keys())
        path = Path(self._lake.storage.local(month.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_month(frame, month, origin, path)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        self._made.append(
            MonthResult(
                month, "built", rows=frame.height, origin=origin, size=len(data), sha256=digest
            )
        )

    def close(self) -> None:
        """Record what was written."""
        rows = month_rows(self._made, "benchmark", datetime.now(UTC))
        self._lake.tables.append("months", rows)
