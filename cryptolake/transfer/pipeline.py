"""A pipeline: batches handed to s5cmd, what it says taken in, files checked in threads, all of it booked.

Everything that happens is said to one queue: s5cmd's lines, finished checks, the end of a batch. The thread
that called takes from it, keeps the recorder and draws the bar; nothing else touches either. What a mode does
with a file is in its subclass: :mod:`downloads`, :mod:`copies`, :mod:`relays`.
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

from cryptolake.ahead import load_next
from cryptolake.archive.keys import CHECKSUM
from cryptolake.errors import StorageError
from cryptolake.storage.s3_config import S3Config
from cryptolake.storage.spooled import SMALL, give_back_code
from cryptolake.transfer.faults import HOPELESS, NOBODY_HOME, Fault, fault_of, readable, shortened
from cryptolake.transfer.s5cmd import Flags, S5cmdProcess
from cryptolake.transfer.s5cmd_log import LogEvent, ObjectResult, ProcessEnded, Repeat, Retry

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.bronze.verify import Policy, Proof, Verdict
    from cryptolake.progress import Bar
    from cryptolake.transfer.jobs import CommandWriter, Job
    from cryptolake.transfer.options import Mode, TransferOptions
    from cryptolake.transfer.recorder import RunRecorder
    from cryptolake.transfer.staging import Staging
    from cryptolake.transfer.stores import BronzeStore


@dataclass(frozen=True, slots=True)
class TransferContext:
    """What every mode needs: where files come from, where they go, and who is told."""

    archive: Archive
    staging: Staging
    store: BronzeStore
    recorder: RunRecorder
    bar: Bar
    options: TransferOptions
    policy: Policy


class CheckResult(NamedTuple):
    """What a thread found, and did: stored, held in quarantine, or (neither) nothing that lasts."""

    job: Job
    verdict: Verdict | None
    proof: Proof | None = None
    held: str | None = None
    error: str | None = None


LARGE = 4 * 2**20
"""Bytes above which a file is checked at once and by itself."""

GATHERING = 0.01
"""Seconds for which small files are gathered before a thread is woken to check them."""


Message = LogEvent | CheckResult | BaseException  # the last: what a check did not expect


class Pipeline(ABC):
    """One mode at work on a run's files.

    Parameters
    ----------
    context
        Source, target, recorder.
    batches
        What to move, made lazily: one batch of objects exists at a time.
    commands
        Who writes s5cmd's lines.
    last
        Whether no other mode comes after this one. A file that fails is then booked as failed; else it is
        left waiting, and the reason is kept in ``reasons``.
    """

    mode: ClassVar[Mode]
    troubles: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    threads: ClassVar[int | None] = None
    group: ClassVar[int] = 1

    def __init__(
        self,
        context: TransferContext,
        batches: Iterator[list[Job]],
        commands: CommandWriter,
        *,
        last: bool = True,
    ) -> None:
        self._fresh, self._commands, self._last = batches, commands, last
        self._context = context
        self._recorder, self._bar, self._options = context.recorder, context.bar, context.options
        self._staging = context.staging
        self.reasons: Counter[str] = Counter()
        # What is said lies in the deque until it is dealt with; the queue only wakes who waits for it. A
        # Ctrl-C while something is taken from a queue would lose that.
        self._events: deque[Message] = deque()
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._due: list[Job] = []
        threads = self.threads or context.options.verify_threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._active: dict[str, Job] = {}
        self._again: list[Job] = []
        self._run: S5cmdProcess | None = None
        self._ended: ProcessEnded | None = None
        self._checking = 0
        self._batch_error: str | None = None
        self._good = 0
        self._faults: Counter[Fault] = Counter()
        self._down = False
        self._mark: tuple[int, int] = (0, 0)
        self._moved_at = time.monotonic()

    # ------------------------------------------------------------------ what a mode decides

    @abstractmethod
    def _at_hand(self, job: Job) -> bool:
        """Start what needs no s5cmd, and say so; else note which parts s5cmd must move."""

    @abstractmethod
    def _landed(self, job: Job) -> None:
        """Take in a file whose parts s5cmd has moved."""

    @abstractmethod
    def _judge(self, job: Job) -> CheckResult:
        """In a thread: look at a file, and store it, set it aside, or say what is wrong."""

    def _batch_done(self) -> None:  # noqa: B027 - most modes have nothing to do
        """Do what a whole batch needs."""

    def _count_requests(self) -> None:  # noqa: B027
        """Record the requests that were made by other means than s5cmd."""

    def _flags(self, workers: int) -> Flags:
        archive = self._context.archive
        config = S3Config.of_archive(archive.endpoint, archive.region, anonymous=archive.anonymous)
        return Flags(
            config.s5cmd(),
            workers=workers,
            retries=self._options.retries,
            extra=self._options.s5cmd_args,
            low_memory=self._recorder.size > SMALL,
        )

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
            lines = self._commands.lines(wanted)
            self._fetch(lines, retry=any(job.attempts > 1 for job in wanted))
        self._batch_done()
        self._count_requests()
        while self._checking > self._options.batch_size or (self._checking and not self._good):
            self._take()
        self._down = not self._good and bool(self._faults) and set(self._faults) <= NOBODY_HOME

    def _fetch(self, lines: list[str], *, retry: bool) -> None:
        workers = self._options.workers // 4 if retry else self._options.workers
        flags = self._flags(max(1, workers))
        if flags.low_memory:
            give_back_code()
        self._moved_at = time.monotonic()
        self._run = S5cmdProcess(
            lines, self._staging.folder, flags, self._say, self._staging.keep_open
        )
        load_next()
        while self._ended is None:
            self._take()
        self._run.stop()
        self._run = None
        self._recorder.flush()
        self._staging.sweep()
        for job in self._active.values():
            self._undone(job, job.error or self._ended_badly(self._ended))
        self._active.clear()

    # ------------------------------------------------------------------ checks, in threads

    def _check(self, job: Job) -> None:
        self._checking += 1
        self._due.append(job)
        if len(self._due) >= self.group or job.expected.size > LARGE:
            self._submit()

    def _submit(self) -> None:
        due, self._due = self._due, []
        if due:
            self._pool.submit(self._checked, due)

    def _say(self, news: Sequence[Message]) -> None:
        """Tell the calling thread, from any other."""
        self._events.extend(news)
        self._wakeup.put(None)

    def _checked(self, jobs: list[Job]) -> None:
        try:
            self._say([self._looked_at(job) for job in jobs])
        except BaseException as error:  # noqa: BLE001 - none of the troubles: raised to who waits for it
            self._say([error])

    def _looked_at(self, job: Job) -> CheckResult:
        try:
            return self._judge(job)
        except self.troubles as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return CheckResult(job, None, error=f"{said} ({job.name})")

    # ------------------------------------------------------------------ events, in the calling thread

    def _take(self) -> None:
        patience = GATHERING if self._due else 0.25 if self._bar.shown else 1.0
        try:
            self._wakeup.get(timeout=patience)
        except queue.Empty:
            if self._due:
                self._submit()
            else:
                self._idle()
            return
        self._moved_at = time.monotonic()
        while self._events:
            # Taken off only when it is dealt with: a Ctrl-C in between must lose no record.
            self._hear(self._events[0])
            self._events.popleft()
        self._recorder.flush(busy=self._run is not None)
        self._bar.show()

    def _hear(self, said: Message) -> None:
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, ObjectResult):
            self._arrived(said)
        elif isinstance(said, CheckResult):
            self._checking -= 1
            self._settled(said)
        elif isinstance(said, Retry):
            self._recorder.retry(shortened(readable(said.reason)))
        elif isinstance(said, Repeat):
            self._repeated(said)
        else:
            self._ended = said
            self._recorder.requests += said.requests
            self._submit()

    def _repeated(self, said: Repeat) -> None:
        job = self._job_of(said.path)
        if job is not None:
            job.repeats += 1
        self._recorder.repeated()

    def _job_of(self, path: str) -> Job | None:
        """Return the file under way that a URL's path is for: the archive's key, or the lake's."""
        path = path.removesuffix(CHECKSUM)
        _, _, below = path[1:].partition("/")  # endpoints of their own have the bucket in the path
        copied = path.rpartition("/bronze/")[2]
        for key in (below, path[1:], copied):
            if key in self._active:
                return self._active[key]
        return None

    def _arrived(self, event: ObjectResult) -> None:
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
            job.moved, job.shown = job.expected.size, True
            self._bar.arrived(job.moved)
        else:
            job.need_sidecar = False
        if job.arrived:
            del self._active[job.key]
            self._landed(job)

    def _settled(self, checked: CheckResult) -> None:
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
        if not job.shown:
            self._bar.arrived(job.expected.size)
        if checked.proof is not None:
            self._recorder.store(job, verdict, checked.proof, self.mode, fetched=job.fetched)
        else:
            self._recorder.quarantine(job, verdict, checked.held or "", self.mode)

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
        if fault not in HOPELESS and job.attempts <= self._options.engine_retries:
            self._again.append(job)
        elif self._last or fault == "absent":
            self._recorder.fail(job, job.error, self.mode)
            self._bar.settled()
        else:
            self.reasons[shortened(job.error)] += 1

    def _idle(self) -> None:
        """Nothing happened for a moment: draw, write what is due, and see whether bytes still come."""
        self._recorder.flush(busy=self._run is not None)
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

    def _ended_badly(self, ended: ProcessEnded) -> str:
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
        for said in list(self._events):
            if isinstance(said, CheckResult) and (said.proof or said.held):
                self._settled(said)
            elif isinstance(said, ProcessEnded):
                self._recorder.requests += said.requests
        self._count_requests()
