"""The pipeline of one mode: hands batches to s5cmd, processes its events, checks files in threads.

Every thread posts to one queue: s5cmd's log events, results of checks, errors. Only the calling thread takes
from it, and it alone updates the recorder and the progress bar. What a mode does with a file is in its
subclass: :mod:`~cryptolake.transfer.download`, :mod:`~cryptolake.transfer.direct`,
:mod:`~cryptolake.transfer.relay`.
"""

from __future__ import annotations

import errno
import queue
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cryptolake.archive.keys import CHECKSUM
from cryptolake.errors import StorageError
from cryptolake.storage import layout
from cryptolake.storage.s3_config import S3Config
from cryptolake.telemetry import step
from cryptolake.transfer.faults import (
    ENDPOINT_FAULTS,
    PERMANENT,
    Failure,
    Fault,
    failure_of,
    shortened,
)
from cryptolake.transfer.jobs import JobState
from cryptolake.transfer.s5cmd import Flags, S5cmdProcess
from cryptolake.transfer.s5cmd_log import LogEvent, ObjectResult, ProcessEnded, Repeat, Retry

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.bronze.etags import EtagMeaning
    from cryptolake.bronze.verify import Policy, Proof, Verdict
    from cryptolake.progress import TransferProgress
    from cryptolake.transfer.jobs import CommandWriter, Job
    from cryptolake.transfer.options import Mode, TransferOptions
    from cryptolake.transfer.recorder import RunRecorder
    from cryptolake.transfer.staging import Staging
    from cryptolake.transfer.stores import BronzeStore


@dataclass(frozen=True, slots=True)
class TransferContext:
    """What every mode needs: the source and what its ETags say, staging, the recorder, the run's options."""

    archive: Archive
    staging: Staging
    recorder: RunRecorder
    progress: TransferProgress
    options: TransferOptions
    policy: Policy
    etags: EtagMeaning


class Stored(NamedTuple):
    """A file that was verified and is at its final name. ``moved``: bytes that the check itself moved."""

    job: Job
    verdict: Verdict
    proof: Proof
    moved: int = 0


class Quarantined(NamedTuple):
    """A file that failed verification and is in quarantine, at ``path``."""

    job: Job
    verdict: Verdict
    path: str
    moved: int = 0


class Rejected(NamedTuple):
    """A file of which nothing was kept. ``checked`` is False where it could not be read at all."""

    job: Job
    failure: Failure
    moved: int = 0
    checked: bool = True


CheckResult = Stored | Quarantined | Rejected

Message = LogEvent | CheckResult | BaseException
"""What threads post to the calling thread. An exception is one that no check expects: it is raised there."""

LARGE = 4 * 2**20
"""Bytes above which a file is checked at once and by itself."""

GATHERING = 0.01
"""Seconds for which small files are gathered before a thread is woken to check them."""

LOW_MEMORY_FROM = 500
"""Files from which on s5cmd runs slower with less memory; a shorter run never holds much."""


class Pipeline(ABC):
    """One mode at work on a run's files.

    Parameters
    ----------
    context
        Source, staging, recorder, options.
    batches
        What to move, made lazily: one batch of objects exists at a time.
    commands
        Writes s5cmd's command lines.
    store
        Where verified files go.
    last
        Whether no other mode comes after this one. A file that fails is then recorded as failed; else it is
        left to the next mode, and the reason is counted in ``reasons``.
    """

    mode: ClassVar[Mode]
    expected_errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    threads: ClassVar[int | None] = None
    check_group: ClassVar[int] = 1

    def __init__(
        self,
        context: TransferContext,
        batches: Iterator[list[Job]],
        commands: CommandWriter,
        *,
        store: BronzeStore,
        last: bool,
    ) -> None:
        self._batches, self._commands, self._last = batches, commands, last
        self._context, self._store = context, store
        self._recorder, self._options = context.recorder, context.options
        self._progress = context.progress
        self._staging = context.staging
        self.reasons: Counter[str] = Counter()
        # Events stay in the deque until processed, so that Ctrl-C cannot lose one. The queue only wakes
        # the thread that waits.
        self._events: deque[Message] = deque()
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._unchecked: list[Job] = []
        threads = self.threads or context.options.verify_threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._active: dict[str, Job] = {}
        self._retries: list[Job] = []
        self._s5cmd: S5cmdProcess | None = None
        self._ended: ProcessEnded | None = None
        self._checking = 0
        self._batch_failure: Failure | None = None
        self._succeeded = 0
        self._faults: Counter[Fault] = Counter()
        self._endpoint_down = False
        self._last_moves: tuple[int, int] = (0, 0)
        self._moved_at = time.monotonic()
        self._prepare()

    def _prepare(self) -> None:  # noqa: B027 - a mode without more of its own needs none
        """Set what a mode has beside this."""

    # ------------------------------------------------------------------ what a mode decides

    @abstractmethod
    def _start_without_s5cmd(self, job: Job) -> bool:
        """Start what needs no s5cmd and return True; else set ``job.missing`` to the keys to fetch."""

    @abstractmethod
    def _on_moved(self, job: Job) -> None:
        """Handle a file whose missing parts s5cmd has moved."""

    @abstractmethod
    def _verify(self, job: Job) -> CheckResult:
        """Check a file, in a thread; then store it, quarantine it, or return why neither was done."""

    def _on_batch_done(self) -> None:  # noqa: B027 - most modes have nothing to do
        """Do what needs the whole batch."""

    def _count_requests(self) -> None:  # noqa: B027
        """Record the requests that were made by other clients than s5cmd."""

    def _flags(self, workers: int) -> Flags:
        archive = self._context.archive
        config = S3Config.of_archive(archive.endpoint, archive.region, anonymous=archive.anonymous)
        return Flags(
            config.s5cmd(),
            workers=workers,
            retries=self._options.retries,
            extra=self._options.s5cmd_args,
            low_memory=self._recorder.size > LOW_MEMORY_FROM,
        )

    def run(self) -> bool:
        """Move every file. Ends early and returns False when the endpoint answers nothing.

        Raises
        ------
        StorageError
            The lake's disk is full or cannot be written; what was verified before is kept and recorded.
        """
        try:
            while (batch := self._next_batch()) is not None:
                self._run_batch(batch)
        finally:
            self._stop()
        return not self._endpoint_down

    # ------------------------------------------------------------------ batches

    def _next_batch(self) -> list[Job] | None:
        if not self._endpoint_down:
            batch = next(self._batches, None)
            if batch is not None:
                return batch
        while self._checking:  # files that fail their check are retried
            self._process_events()
        if not self._retries:
            return None
        size = self._options.batch_size
        batch, self._retries = self._retries[:size], self._retries[size:]
        if set(self._faults) - {"bytes"}:  # the network, or the server, may need a moment
            tried = max(job.attempts for job in batch)
            time.sleep(min(60.0, self._options.backoff * 2 ** max(0, tried - 1)))
        return batch

    def _run_batch(self, batch: list[Job]) -> None:
        with step("batch", "transferred batch", mode=self.mode, files=len(batch)) as facts:
            self._move(batch)
            facts["bytes"] = sum(job.moved for job in batch)
            facts["faults"] = self._faults.total()

    def _move(self, batch: list[Job]) -> None:
        self._succeeded, self._ended, self._batch_failure = 0, None, None
        self._faults.clear()
        to_fetch: list[Job] = []
        for job in batch:
            job.since = time.monotonic()
            if self._start_without_s5cmd(job):
                continue
            self._active[job.key] = job
            job.attempts += 1
            job.failure = None
            to_fetch.append(job)
        if to_fetch:
            self._run_s5cmd(to_fetch)
        self._on_batch_done()
        self._count_requests()
        while self._checking and (self._checking > self._options.batch_size or not self._succeeded):
            self._process_events()
        faults = set(self._faults)
        self._endpoint_down = not self._succeeded and bool(faults) and faults <= ENDPOINT_FAULTS

    def _run_s5cmd(self, jobs: list[Job]) -> None:
        retry = any(job.attempts > 1 for job in jobs)
        workers = self._options.workers // 4 if retry else self._options.workers
        lines, flags = self._commands.lines(jobs), self._flags(max(1, workers))
        self._moved_at = time.monotonic()
        self._s5cmd = S5cmdProcess(
            lines, self._staging.folder, flags, self._post, self._staging.keep_open
        )
        while self._ended is None:
            self._process_events()
        self._s5cmd.stop()
        self._s5cmd = None
        self._recorder.flush()
        self._staging.sweep()
        early_end = self._batch_failure or failure_of(_early_end(self._ended))
        for job in self._active.values():
            self._handle_failure(job, job.failure or early_end)
        self._active.clear()

    # ------------------------------------------------------------------ checks, in threads

    def _enqueue_check(self, job: Job) -> None:
        self._checking += 1
        self._unchecked.append(job)
        if len(self._unchecked) >= self.check_group or job.expected.size > LARGE:
            self._submit_checks()

    def _submit_checks(self) -> None:
        jobs, self._unchecked = self._unchecked, []
        if jobs:
            self._pool.submit(self._check_all, jobs)

    def _post(self, messages: Sequence[Message]) -> None:
        """Hand messages to the calling thread, from any other."""
        self._events.extend(messages)
        self._wakeup.put(None)

    def _check_all(self, jobs: list[Job]) -> None:
        try:
            self._post([self._check(job) for job in jobs])
        except BaseException as error:  # noqa: BLE001 - no expected one: raised in the calling thread
            self._post([error])

    def _check(self, job: Job) -> CheckResult:
        try:
            return self._verify(job)
        except self.expected_errors as error:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Rejected(job, failure_of(f"{text} ({job.name})"), checked=False)

    # ------------------------------------------------------------------ events, in the calling thread

    def _process_events(self) -> None:
        """Wait for events and process them all; when none comes in time, do what an idle moment allows."""
        timeout = GATHERING if self._unchecked else 0.25 if self._progress.is_shown else 1.0
        try:
            self._wakeup.get(timeout=timeout)
        except queue.Empty:
            if self._unchecked:
                self._submit_checks()
            else:
                self._on_idle()
            return
        self._moved_at = time.monotonic()
        while self._events:
            self._process(self._events[0])
            self._events.popleft()  # only now: Ctrl-C in between must lose no record
        self._recorder.flush(busy=self._s5cmd is not None)
        self._progress.show()

    def _process(self, message: Message) -> None:
        match message:
            case ObjectResult():
                self._on_object(message)
            case Stored() | Quarantined() | Rejected():
                self._checking -= 1
                self._settle(message)
            case Retry():
                self._recorder.retry(message.reason)
            case Repeat():
                self._on_repeat(message)
            case ProcessEnded():
                self._ended = message
                self._recorder.requests += message.requests
                self._submit_checks()
            case _:
                raise message

    def _on_repeat(self, event: Repeat) -> None:
        job = self._job_at(event.path)
        if job is not None:
            job.repeats += 1
        self._recorder.repeated()

    def _job_at(self, path: str) -> Job | None:
        """Return the active file that a URL's path is for: the archive's key, or the lake's."""
        path = path.removesuffix(CHECKSUM)
        _, _, below = path[1:].partition("/")  # endpoints of their own have the bucket in the path
        copied = path.rpartition(f"/{layout.BRONZE}/")[2]
        for key in (below, path[1:], copied):
            if key in self._active:
                return self._active[key]
        return None

    def _on_object(self, event: ObjectResult) -> None:
        job = self._active.get(event.key.removesuffix(CHECKSUM))
        if job is None:
            self._on_unknown_object(event)
        elif event.failure is not None:
            job.failure = event.failure
        else:
            if event.key == job.key:
                self._count_moved(job, job.expected.size)
            job.missing.discard(event.key)
            if not job.missing:
                del self._active[job.key]
                self._on_moved(job)

    def _on_unknown_object(self, event: ObjectResult) -> None:
        if event.failure is not None:
            self._batch_failure = event.failure
        elif event.key:  # a wildcard also selects what was published after the listing
            self._staging.discard(event.key)

    def _count_moved(self, job: Job, size: int) -> None:
        if not job.moved:  # the bar counts a file once, however often it is fetched
            self._progress.arrived(size)
        job.moved = size

    def _settle(self, result: CheckResult) -> None:
        """Record the result of a check, or arrange for another attempt."""
        job = result.job
        if result.moved:
            self._count_moved(job, result.moved)
        if isinstance(result, Rejected):
            self._on_rejected(result)
            return
        self._succeeded += 1
        self._progress.settled()
        if not job.moved:
            self._progress.arrived(job.expected.size)
        if isinstance(result, Stored):
            self._recorder.store(job, result.verdict, result.proof, self.mode)
        else:
            self._recorder.quarantine(job, result.verdict, result.path, self.mode)

    def _on_rejected(self, result: Rejected) -> None:
        job = result.job
        found = job.state in {JobState.FOUND, JobState.CONFIRMED}
        if found and result.checked:
            # The file that was found is not usable. That was no attempt to fetch it.
            job.state = JobState.TO_FETCH
            self._retries.append(job)
            return
        if found:  # it could not even be read: counted, so that it is not tried for ever
            job.attempts += 1
        self._handle_failure(job, result.failure)

    def _handle_failure(self, job: Job, failure: Failure) -> None:
        self._faults[failure.fault] += 1
        if failure.fault == "full":
            message = (
                f"the disk of the lake is full ({failure.reason}): free some room and run it again, "
                "nothing done is lost."
            )
            raise StorageError(message, root=str(self._staging.base), errno=errno.ENOSPC)
        job.failure = failure
        if failure.fault not in PERMANENT and job.attempts <= self._options.engine_retries:
            self._retries.append(job)
        elif self._last or failure.fault == "absent":
            self._recorder.fail(job, self.mode)
            self._progress.settled()
        else:
            self.reasons[shortened(failure.reason)] += 1

    def _on_idle(self) -> None:
        """Write due records, draw the bar, and end an s5cmd that makes no progress."""
        self._recorder.flush(busy=self._s5cmd is not None)
        arriving = self._staging.arriving() if self._s5cmd is not None else 0
        self._progress.show(arriving)
        if self._s5cmd is None:
            return
        now = (len(self._active), arriving)
        limit = self._options.stall_timeout
        if now != self._last_moves:
            self._last_moves, self._moved_at = now, time.monotonic()
        elif time.monotonic() - self._moved_at > limit:
            for job in self._active.values():
                job.failure = job.failure or Failure(
                    "stalled", f"no byte arrived for {limit:.0f} s"
                )
            self._s5cmd.stop()
            self._moved_at = time.monotonic()

    def _stop(self) -> None:
        """End s5cmd, let running checks finish, and record what they stored."""
        if self._s5cmd is not None:
            self._s5cmd.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for message in list(self._events):
            if isinstance(message, Stored | Quarantined):
                self._settle(message)
            elif isinstance(message, ProcessEnded):
                self._recorder.requests += message.requests
        self._count_requests()


def _early_end(ended: ProcessEnded) -> str:
    text = f"s5cmd ended with code {ended.code} before it came to this file. {ended.output}"
    return text.strip()
