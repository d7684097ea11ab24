"""Downloads: s5cmd fetches a batch into staging while threads verify and store what has arrived.

One queue carries everything that happens: s5cmd's lines, finished checks, the end of a batch. The thread
that called takes from it, keeps the book and draws the bar; nothing else touches either.
"""

from __future__ import annotations

import errno
import queue
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from cryptolake.errors import StorageError
from cryptolake.keys import CHECKSUM
from cryptolake.s5cmd import Ended, Event, Flags, Retry, Run
from cryptolake.transfer.faults import HOPELESS, NOBODY_HOME, Fault, fault_of, readable
from cryptolake.transfer.memory import give_back_code
from cryptolake.verify import Proof, Verdict, agrees, check_file

if TYPE_CHECKING:
    from cryptolake.archive import Archive
    from cryptolake.transfer.book import Book
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import TransferOptions
    from cryptolake.transfer.orders import Orders
    from cryptolake.transfer.progress import Bar
    from cryptolake.transfer.staging import Staging
    from cryptolake.transfer.vaults import Vault

Policy = Literal["quarantine", "accept", "raise"]


SMALL = 500
"""Files up to which a run is too short for its memory to matter."""


class Checked(NamedTuple):
    """What a checking thread found, and did: stored, held in quarantine, or (neither) fetch it again."""

    job: Job
    verdict: Verdict | None
    proof: Proof | None = None
    held: str | None = None
    error: str | None = None


class Downloads:
    """The pipeline of one run.

    Parameters
    ----------
    batches
        What to fetch, made lazily: one batch of objects exists at a time.
    mode
        The word for the book: ``download``, or ``traditional`` where the vault is a bucket.
    """

    def __init__(
        self,
        batches: Iterator[list[Job]],
        *,
        archive: Archive,
        orders: Orders,
        staging: Staging,
        vault: Vault,
        book: Book,
        bar: Bar,
        options: TransferOptions,
        policy: Policy,
        mode: str = "download",
    ) -> None:
        self._fresh = batches
        self._archive, self._orders = archive, orders
        self._staging, self._vault = staging, vault
        self._book, self._bar = book, bar
        self._options, self._policy, self._mode = options, policy, mode
        self._events: queue.SimpleQueue[Event | Retry | Ended | Checked] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(options.verify_threads, thread_name_prefix="verify")
        self._active: dict[str, Job] = {}
        self._again: list[Job] = []
        self._run: Run | None = None
        self._ended: Ended | None = None
        self._checking = 0
        self._batch_error: str | None = None
        self._good = 0
        self._faults: Counter[Fault] = Counter()
        self._down = False
        self._mark: tuple[int, int] = (0, 0)
        self._moved_at = time.monotonic()

    def run(self) -> bool:
        """Fetch everything. Ends early, and returns False, when the endpoint answers nothing.

        Raises
        ------
        StorageError
            The lake's disk is full or cannot be written; what was verified before is kept and recorded.
        """
        try:
            while (batch := self._next()) is not None:
                self._hand_out(batch)
        finally:
            self._stop()
        return not self._down

    # ------------------------------------------------------------------ batches

    def _next(self) -> list[Job] | None:
        if not self._down:
            batch = next(self._fresh, None)
            if batch is not None:
                return batch
        while self._checking:  # what a check finds wrong is handed out again
            self._take()
        if not self._again:
            return None
        size = self._options.batch_size
        batch, self._again = self._again[:size], self._again[size:]
        if set(self._faults) - {"bytes"}:  # the network, or the server, may need a moment
            tried = max(job.attempts for job in batch)
            time.sleep(min(60.0, self._options.backoff * 2 ** max(0, tried - 1)))
        return batch

    def _hand_out(self, batch: list[Job]) -> None:
        self._good, self._ended, self._batch_error = 0, None, None
        self._faults.clear()
        wanted: list[Job] = []
        for job in batch:
            job.since = time.monotonic()
            if self._at_hand(job):
                continue
            self._active[job.key] = job
            job.attempts += 1
            job.error = None
            wanted.append(job)
        if wanted:
            lines, requests = self._orders.of(wanted)
            self._book.requests += requests
            self._fetch(lines, retry=any(job.attempts > 1 for job in wanted))
        while self._checking > self._options.batch_size or (self._checking and not self._good):
            self._take()
        self._down = not self._good and bool(self._faults) and set(self._faults) <= NOBODY_HOME

    def _fetch(self, lines: list[str], *, retry: bool) -> None:
        workers = self._options.workers // 4 if retry else self._options.workers
        flags = Flags(
            endpoint=self._archive.endpoint,
            region=self._archive.region,
            anonymous=self._archive.anonymous,
            workers=max(1, workers),
            retries=self._options.retries,
            extra=self._options.s5cmd_args,
            thrifty=self._book.size > SMALL,
        )
        give_back_code()
        self._moved_at = time.monotonic()
        self._run = Run(
            lines, self._staging.folder, flags, self._events.put, self._staging.keep_open
        )
        while self._ended is None:
            self._take()
        self._run.stop()
        self._run = None
        self._book.flush()
        self._staging.sweep()
        for job in self._active.values():
            self._undone(job, job.error or self._ended_badly(self._ended))
        self._active.clear()

    # ------------------------------------------------------------------ what is in the lake already

    def _at_hand(self, job: Job) -> bool:
        """Start checking a file that needs no fetch, and say so; else note which parts it needs."""
        if not job.looked:
            job.looked = True
            if job.status == "quarantined" and self._from_quarantine(job):
                return True
            if self._at_final_name(job):
                return True
        zip_path = self._staging.path(job.key)
        job.need_zip = not zip_path.is_file()
        job.need_sidecar = job.has_sidecar and not self._staging.path(job.sidecar_key).is_file()
        job.found = not job.need_zip or (job.has_sidecar and not job.need_sidecar)
        if job.arrived:
            self._check(job, zip_path)
        return job.arrived

    def _from_quarantine(self, job: Job) -> bool:
        held = self._vault.held(job.key)
        if held is None:
            return False
        if self._policy != "accept":
            self._book.set_aside([job.row])
            self._bar.settled()
            return True
        job.found = True
        self._check(job, held)
        return True

    def _at_final_name(self, job: Job) -> bool:
        """Adopt a file that a killed run stored but did not record."""
        here = self._vault.here(job.key)
        if here is None or here.stat().st_size != job.expected.size:
            return False
        if job.has_sidecar and not here.with_name(here.name + CHECKSUM).is_file():
            return False
        job.found = True
        self._check(job, here)
        return True

    # ------------------------------------------------------------------ checks, in threads

    def _check(self, job: Job, path: Path) -> None:
        self._checking += 1
        self._pool.submit(self._checked, job, path)

    def _checked(self, job: Job, path: Path) -> None:
        try:
            self._events.put(self._judge(job, path))
        except OSError as error:
            self._events.put(Checked(job, None, error=f"{error.strerror or error} ({path.name})"))

    def _judge(self, job: Job, path: Path) -> Checked:
        beside = path.with_name(path.name + CHECKSUM)
        sidecar = _head(beside) if job.has_sidecar else None
        verdict = check_file(path, sidecar, job.expected, job.name, found=job.found)
        finding, proof = verdict.finding, verdict.proof
        archives_fault = finding in {"stale", "bad_sidecar", "corrupt"}
        # Without an ETag that can be compared, bytes count as the archive's when they came twice.
        undecided = verdict.md5 is not None and agrees(verdict.md5, job.expected.etag) is None
        if archives_fault and undecided and job.last_sha256 != verdict.sha256:
            job.last_sha256 = verdict.sha256
            archives_fault = False
        elif archives_fault and finding != "corrupt" and self._policy == "accept":
            proof = "stale_accepted"
        files = (path, beside if job.has_sidecar else None)
        if proof is not None:
            self._vault.store(job.key, *files)
            return Checked(job, verdict, proof)
        if archives_fault:
            return Checked(job, verdict, held=self._vault.hold(job.key, *files))
        # An earlier version at the final name is good, and stays until the new bytes replace it.
        staged = path.is_relative_to(self._staging.folder)
        if staged or job.status in {"new", "unrecorded"}:
            if finding != "sidecar_transport":
                path.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
        return Checked(job, verdict, error=verdict.detail)

    # ------------------------------------------------------------------ events, in the calling thread

    def _take(self) -> None:
        try:
            said = self._events.get(timeout=0.25 if self._bar.shown else 1.0)
        except queue.Empty:
            self._idle()
            return
        self._moved_at = time.monotonic()
        if isinstance(said, Event):
            self._arrived(said)
        elif isinstance(said, Checked):
            self._checking -= 1
            self._settled(said)
        elif isinstance(said, Retry):
            self._book.requests += 1
            self._book.retry(readable(said.reason))
        else:
            self._ended = said
        self._book.flush(busy=self._run is not None)
        self._bar.show()

    def _arrived(self, event: Event) -> None:
        job = self._active.get(event.key.removesuffix(CHECKSUM))
        if job is None:
            if event.error:
                self._batch_error = event.error
            elif event.key:  # a wildcard also found what was published after the listing
                self._staging.path(event.key).unlink(missing_ok=True)
            return
        if event.error is not None:
            job.error = event.error
            return
        if event.key == job.key:
            job.need_zip, job.fetched = False, True
            job.moved += event.size
            self._bar.arrived(event.size)
        else:
            job.need_sidecar = False
        if job.arrived:
            del self._active[job.key]
            self._check(job, self._staging.path(job.key))

    def _settled(self, checked: Checked) -> None:
        job, verdict = checked.job, checked.verdict
        if verdict is None or (checked.proof is None and checked.held is None):
            if job.found and verdict is not None:
                # What lay in the lake will not do: this was no attempt to fetch it.
                job.found = False
                self._again.append(job)
            else:
                job.attempts += verdict is None and job.found
                self._undone(job, checked.error or "", "bytes" if verdict is not None else None)
            return
        self._good += 1
        self._bar.settled()
        if not job.fetched:
            self._bar.arrived(job.expected.size)
        if checked.proof is not None:
            mode = self._mode
            self._book.store(job, verdict, checked.proof, mode, fetched=job.fetched)
        else:
            self._book.quarantine(job, verdict, checked.held or "", self._mode)

    def _undone(self, job: Job, error: str, fault: Fault | None = None) -> None:
        found = fault_of(error)
        fault = found if fault is None or found == "page" else fault
        self._faults[fault] += 1
        if fault == "full":
            message = (
                f"the disk of the lake is full ({readable(error)}): free some room and run it again, "
                "nothing done is lost."
            )
            raise StorageError(message, root=str(self._staging.base), errno=errno.ENOSPC)
        job.error = readable(error)
        if fault in HOPELESS or job.attempts > self._options.engine_retries:
            self._book.fail(job, job.error, self._mode)
            self._bar.settled()
        else:
            self._again.append(job)

    def _idle(self) -> None:
        """Nothing happened for a moment: draw, write what is due, and see whether bytes still come."""
        self._book.flush(busy=self._run is not None)
        arriving = self._staging.arriving() if self._run is not None else 0
        self._bar.show(arriving)
        if self._run is None:
            return
        mark = (len(self._active), arriving)
        if mark != self._mark:
            self._mark, self._moved_at = mark, time.monotonic()
        elif time.monotonic() - self._moved_at > self._options.stall_timeout:
            why = f"no byte arrived for {self._options.stall_timeout:.0f} s"
            for job in self._active.values():
                job.error = job.error or why
            self._run.stop()
            self._moved_at = time.monotonic()

    def _ended_badly(self, ended: Ended) -> str:
        if self._batch_error:
            return self._batch_error
        return (
            f"s5cmd ended with code {ended.code} before it came to this file. {ended.said}".strip()
        )

    def _stop(self) -> None:
        """End s5cmd, let the checks under way finish, and record what they stored."""
        if self._run is not None:
            self._run.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        while True:
            try:
                said = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(said, Checked) and (said.proof or said.held):
                self._settled(said)


def _head(sidecar: Path) -> bytes:
    """Return a sidecar's bytes; of one that is no sidecar, its beginning."""
    with sidecar.open("rb") as file:
        return file.read(4096)
