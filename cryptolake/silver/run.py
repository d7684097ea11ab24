"""One build at work: months handed to threads, what they give recorded and put in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.report import FILES, MONTHS, State
from cryptolake.silver.late_verification import Proofs
from cryptolake.silver.month import Made, make
from cryptolake.silver.months import Month
from cryptolake.silver.records import finding_rows, reject_rows, source_rows
from cryptolake.silver.scratch import put
from cryptolake.storage.tables import Meta, new_run_id

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

Bar = Callable[[Iterable[Made], int], Iterable[Made]]
"""Wraps months being made, of so many, in something that shows how far it is."""

_FLUSH_BYTES = 32 * 2**20
_FLUSH_SECONDS = 2.0
_AT_ONCE = 16


class Run:
    """One build: work handed to threads, results stored in groups."""

    def __init__(self, storage: Storage, meta: Meta, threads: int, bar: Bar) -> None:
        self.storage, self.meta, self.threads = storage, meta, threads
        self.id = new_run_id()
        self.started = datetime.now(UTC)
        self.state: State = "stopped"
        self._bar = bar
        self.proofs = Proofs(storage, meta, self.id)
        self._rows: list[dict[str, Any]] = []
        self._waiting: list[Made] = []
        self._flushed = time.monotonic()
        self._files = 0

    def all(self, months: list[Month], **options: Any) -> None:
        """Make all months, and those that their rows spill into; options as ``make`` takes them."""
        made_months = self._made(months, {month.path for month in months}, options)
        for made in self._bar(made_months, len(months)):
            self._files += len(made.month.sources)
            self._waiting.append(made)
            if self._due():
                self._flush()
        self._flush()

    def _made(self, months: list[Month], seen: set[str], options: dict[str, Any]) -> Iterator[Made]:
        """Yield months as they are made; never more of them in memory than twice the threads."""
        todo = iter(months)
        extra: list[Month] = []
        with ThreadPoolExecutor(self.threads, thread_name_prefix="silver") as pool:
            running: set[Future[Made]] = set()
            try:
                while True:
                    while len(running) < 2 * self.threads:
                        month = next(todo, None) or (extra.pop() if extra else None)
                        if month is None:
                            break
                        job = pool.submit(
                            make, self.storage, month, known=self.proofs.known, **options
                        )
                        running.add(job)
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        made = future.result()
                        extra += _spilled(made, seen)
                        yield made
            finally:
                for future in running:
                    future.cancel()

    def _due(self) -> bool:
        size = sum(len(made.data or b"") for made in self._waiting)
        return size >= _FLUSH_BYTES or time.monotonic() - self._flushed >= _FLUSH_SECONDS

    def _flush(self) -> None:
        """Record what was made, then put the months in their places."""
        waiting, self._waiting = self._waiting, []
        told = [made for made in waiting if made.status != "unchanged"]
        now = datetime.now(UTC)
        self.proofs.record([item for made in told for item in made.learnt])
        self.meta.append("sources", source_rows(told, self.id, now))
        self.meta.append("rejects", reject_rows(told, self.id, now))
        self.meta.append("findings", finding_rows(told, self.id, now))
        self._place(waiting)
        for made in waiting:
            self._rows.append(
                {
                    "path": made.month.path,
                    "status": made.status,
                    "rows": made.rows,
                    "duplicates": made.duplicates,
                    "rejects": made.rejected,
                    "seconds": made.seconds,
                    "error": made.error,
                }
            )
        self._flushed = time.monotonic()

    def _place(self, months: list[Made]) -> None:
        """Put months in their places: one by one on a disk, side by side in a bucket."""
        if self.storage.is_local:
            for made in months:
                _place(self.storage, made)
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="silver-put") as pool:
            list(pool.map(lambda made: _place(self.storage, made), months))

    def close(self) -> None:
        """Store what is ready, and record the run."""
        if self._waiting:
            self._flush()
        months = self.months()
        if not months.height:
            return
        ended = datetime.now(UTC)
        run = {
            "run_id": self.id,
            "kind": "build",
            "state": self.state,
            "started_at": self.started,
            "ended_at": ended,
            "seconds": (ended - self.started).total_seconds(),
            "files": self._files,
            "failed": int((months["status"] == "failed").sum()),
            "note": f"{int((months['status'] == 'built').sum())} of {months.height} months built",
        }
        self.meta.append("runs", [run])

    def files(self) -> pl.DataFrame:
        """Return the report's rows of files that the build put into quarantine."""
        rows = [
            {
                "key": item.key,
                "status": "quarantined",
                "error": f"{item.reason}: {item.verdict.detail}",
            }
            for item in self.proofs.aside
        ]
        nothing = {"bytes": 0, "seconds": 0.0, "attempts": 0, "retries": 0}
        return pl.DataFrame([row | nothing for row in rows], schema=FILES)

    def months(self) -> pl.DataFrame:
        """Return the report's rows, by path."""
        return pl.DataFrame(self._rows, schema=MONTHS).sort("path")


def _place(storage: Storage, made: Made) -> None:
    if made.data is not None:
        storage.write(made.month.path, made.data)
    elif made.draft is not None:
        put(storage, made.draft, made.month.path)


def _spilled(made: Made, seen: set[str]) -> list[Month]:
    """Return the months that rows stepped over into, and that nobody asked to build."""
    found = []
    for period in made.spills:
        month = Month(made.month.series, period)
        if month.path not in seen:
            seen.add(month.path)
            found.append(month)
    return found
