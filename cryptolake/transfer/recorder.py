"""The record of a run: the outcome of each file, and the lake's tables fed while it goes on.

Outcomes are kept in arrays by plan row, a few bytes a file, so that memory does not grow with their
number. Table rows are written in batches: a killed run loses at most the last ones, and the next run finds
their files at the final names and verifies them again without fetching.
"""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import polars as pl

from cryptolake.bronze.verify import REASONS, Proof
from cryptolake.report import FILES, Report, State
from cryptolake.storage.runs import HEARTBEAT, run_row
from cryptolake.storage.spooled import Rows
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import Meta, new_run_id
from cryptolake.transfer.faults import Fault
from cryptolake.transfer.options import Mode

if TYPE_CHECKING:
    from cryptolake.bronze.verify import Verdict
    from cryptolake.transfer.jobs import Job

STATUSES = ("waiting", "transferred", "adopted", "cached", "quarantined", "failed")
MODES = ("", *get_args(Mode))
PROOFS = ("", *get_args(Proof))
FAULTS = ("", *get_args(Fault))

_MAX_ROWS = 2000
_MAX_REASONS = 20
_FIRST_PAUSE, _BUSY_PAUSE, _LONGEST_PAUSE = 1.0, 30.0, 30.0
"""Seconds between two writes: at first between batches, at first within one, and at most."""


class RunRecorder:
    """Records of one transfer run."""

    def __init__(
        self, meta: Meta, rows: Rows, mode: str, note: str = "", *, archive: str | None = None
    ) -> None:
        self.run_id = new_run_id()
        self.mode = mode
        self.requests = 0
        self.fallbacks: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self._repeated = 0
        self._meta = meta
        self._rows = rows
        count = rows.height
        self._status = bytearray(count)
        self._modes = bytearray(count)
        self._proofs = bytearray(count)
        self._attempts = bytearray(count)
        self._repeats = bytearray(count)
        self._bytes = array("q", bytes(8 * count))
        self._seconds = array("f", bytes(4 * count))
        self._ended = array("f", [math.nan]) * count
        self._errors: dict[int, str] = {}
        self._faults = bytearray(count)
        self._pending: dict[str, list[tuple[Any, ...]]] = {}
        self._pending_rows = 0
        self._began = time.monotonic()
        self._flushed = self._beaten = self._began
        self._started_at = datetime.now(UTC)
        self._note = note
        self._archive = archive

    def open(self) -> None:
        """Write the run's first row, so that the run can be seen while it goes on.

        Raises
        ------
        StorageError
            The lake cannot be written.
        """
        self._meta.append("runs", [self._run_row("running")])

    def others_run(self) -> bool:
        """Say whether another run may be at work on this lake."""
        runs = self._meta.runs().filter(pl.col("run_id") != self.run_id)
        return bool((runs["state"] == "running").any())

    @property
    def size(self) -> int:
        """Files in the plan."""
        return self._rows.height

    @property
    def stored(self) -> int:
        """Files stored or adopted so far."""
        return self._count("transferred") + self._count("adopted")

    @property
    def failed(self) -> int:
        """Files that failed so far."""
        return self._count("failed")

    def cached(self, rows: Iterable[int]) -> None:
        """Mark plan rows whose files the lake holds already."""
        for row in rows:
            self._status[row] = STATUSES.index("cached")

    def store(self, job: Job, verdict: Verdict, proof: Proof, mode: str) -> None:
        """Record a file that is now verified at its final name."""
        self._settle(job, "transferred" if job.moved else "adopted", mode, proof)
        etag = job.expected.etag
        if verdict.md5 is not None and verdict.size != job.expected.size:
            etag = (
                verdict.md5
            )  # rewritten after the listing: the ledger records what is in the lake
        self._add(
            "files",
            key=job.key,
            size=verdict.size,
            etag=etag,
            last_modified=job.last_modified,
            sha256=verdict.sha256 or None,
            md5=verdict.md5,
            verified=proof,
            checksum_etag=job.expected.checksum_etag,
            fetched_at=datetime.now(UTC),
            run_id=self.run_id,
            mode=mode,
            event="stored",
        )

    def quarantine(self, job: Job, verdict: Verdict, path: str, mode: str) -> None:
        """Record a file that was put into quarantine, and why."""
        job.failure = None
        error = f"{REASONS[verdict.finding]}: {verdict.detail}"
        self._settle(job, "quarantined", mode, None, error)
        self._add(
            "quarantine",
            key=job.key,
            etag=job.expected.etag,
            checksum_etag=job.expected.checksum_etag,
            size=verdict.size,
            reason=REASONS[verdict.finding],
            detail=verdict.detail,
            path=path,
            at=datetime.now(UTC),
            run_id=self.run_id,
        )
        if job.status == "unrecorded":  # it was in Bronze, perhaps with a record
            facts = {"size": verdict.size, "sha256": verdict.sha256, "run_id": self.run_id}
            removed = {"event": "removed", "fetched_at": datetime.now(UTC)}
            self._add("files", key=job.key, **facts, **removed)

    def leave_quarantined(self, rows: Iterable[int]) -> None:
        """Mark plan rows whose files are in quarantine since an earlier run, and stay there."""
        for row in rows:
            self._status[row] = STATUSES.index("quarantined")
            self._errors[row] = "in quarantine since an earlier run; policy 'accept' would store it"

    def retry(self, reason: str, number: int = 1) -> None:
        """Count why a request will be repeated."""
        known = reason in self.retries or len(self.retries) < _MAX_REASONS
        self.retries[reason if known else "other reasons"] += number

    def repeated(self, number: int = 1) -> None:
        """Count requests that were made again."""
        self._repeated += number

    def fail(self, job: Job, mode: str) -> None:
        """Record a file that could not be fetched; ``job.failure`` says why."""
        self._settle(job, "failed", mode, None)

    def waiting(self, rows: Iterable[int]) -> int:
        """Return how many of some plan rows have no outcome yet."""
        return sum(not self._status[row] for row in rows)

    def still_waiting(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return those of the rows that have no outcome yet."""
        open_ = [not self._status[row] for row in rows["row"]]
        return rows if all(open_) else rows.filter(pl.Series(open_, dtype=pl.Boolean))

    def unfinished(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows, of those given, whose files are neither stored nor in quarantine."""
        ends = (0, STATUSES.index("failed"))
        return rows.filter(
            pl.Series([self._status[row] in ends for row in rows["row"]], dtype=pl.Boolean)
        )

    def fell_back(self, mode: str, reasons: Counter[str], waiting: int) -> None:
        """Count why files are left to the next mode; those that were not tried count for the first reason."""
        untried = waiting - reasons.total()
        for reason, count in reasons.most_common():
            self.fallbacks[f"{mode}: {reason}"] += count + max(0, untried)
            untried = 0

    def abandon(self, rows: Iterable[int], error: str) -> None:
        """Mark plan rows that were not tried, because the run ended before."""
        for row in rows:
            if not self._status[row]:
                self._status[row] = STATUSES.index("failed")
                self._errors[row] = error

    def flush(self, *, force: bool = False, busy: bool = False) -> None:
        """Write the pending rows, when there are enough of them or enough time has passed.

        While s5cmd is ``busy`` the pauses are longer: between two batches the memory that Parquet takes and
        the memory that s5cmd takes do not add up.
        """
        now = time.monotonic()
        if now - self._beaten >= HEARTBEAT:
            self._beaten = now
            self._meta.append("runs", [self._run_row("running")])
        # Segments should not become many in a long run: the pauses grow with its length.
        shortest = _BUSY_PAUSE if busy else _FIRST_PAUSE
        pause = min(_LONGEST_PAUSE, max(shortest, (now - self._began) / 20))
        many = self._pending_rows >= (_MAX_ROWS * 5 if busy else _MAX_ROWS)
        due = many or now - self._flushed >= pause
        if not self._pending or not (force or due):
            return
        self._pending_rows = 0
        self._flushed = now
        # Ctrl-C may come at any point: rows stay pending until they are written. A row that is written twice
        # is read once.
        while self._pending:
            table, rows = next(iter(self._pending.items()))
            frame = pl.DataFrame(rows, schema=TABLES[table], orient="row")
            self._meta.append(table, frame)
            del self._pending[table]

    def close(self, state: State) -> None:
        """Write all pending rows, and the run's last row."""
        self.flush(force=True)
        self._meta.append("runs", [self._run_row(state)])
        self._meta.settle()

    def report(self, state: State) -> Report:
        """Return the receipt."""
        return Report(
            kind="transfer",
            run_id=self.run_id,
            seconds=time.monotonic() - self._began,
            files=Rows(self._files()),
            state=state,
            requests=self.requests or None,
            fallbacks=dict(self.fallbacks),
            retries=dict(self.retries),
        )

    def _files(self) -> Iterator[pl.DataFrame]:
        row = 0
        for piece in self._rows.pieces():
            keys = enumerate(piece["key"], row)
            row += piece.height
            rows = [(key, *self._outcome(number)) for number, key in keys if self._status[number]]
            yield pl.DataFrame(rows, schema=FILES, orient="row")

    def _outcome(self, row: int) -> tuple[Any, ...]:
        """Return the report's columns of a plan row, after its key."""
        ended = self._ended[row]  # not a number where this run did not settle it
        return (
            STATUSES[self._status[row]],
            self._bytes[row],
            self._seconds[row],
            None if math.isnan(ended) else self._started_at + timedelta(seconds=ended),
            self._attempts[row],
            self._repeats[row],
            MODES[self._modes[row]] or None,
            PROOFS[self._proofs[row]] or None,
            self._errors.get(row),
            FAULTS[self._faults[row]] or None,
        )

    def _settle(
        self, job: Job, status: str, mode: str, proof: Proof | None, error: str | None = None
    ) -> None:
        now = time.monotonic()
        row, seconds = job.row, now - job.since
        self._status[row] = STATUSES.index(status)
        self._modes[row] = MODES.index(mode)
        self._proofs[row] = PROOFS.index(proof or "")
        self._attempts[row] = min(job.attempts, 255)
        self._repeats[row] = min(job.repeats, 255)
        self._ended[row] = now - self._began
        self._bytes[row] = job.moved
        self._seconds[row] = seconds
        self._errors.pop(row, None)
        if job.failure is not None:
            error = job.failure.reason
        if error is not None:
            self._errors[row] = error
        self._faults[row] = FAULTS.index(job.failure.fault if job.failure else "")
        self._add(
            "transfers",
            run_id=self.run_id,
            key=job.key,
            status=status,
            bytes=job.moved,
            seconds=seconds,
            attempts=job.attempts,
            retries=job.repeats,
            mode=mode,
            verified=proof,
            error=error,
            at=datetime.now(UTC),
        )

    def _add(self, table: str, **row: Any) -> None:
        # As tuples: thousands of rows are pending, and a dict for each would double their memory.
        values = tuple(map(row.get, TABLES[table]))
        self._pending.setdefault(table, []).append(values)
        self._pending_rows += 1

    def _run_row(self, state: str) -> dict[str, Any]:
        return run_row(
            *(self.run_id, "transfer", state, self._started_at),
            seconds=time.monotonic() - self._began,
            files=self.stored,
            bytes=sum(self._bytes),
            failed=self.failed,
            quarantined=self._count("quarantined"),
            requests=self.requests or None,
            retries=self._repeated,
            mode=self.mode,
            note=self._note or None,
            archive=self._archive,
        )

    def _count(self, status: str) -> int:
        return self._status.count(STATUSES.index(status))
