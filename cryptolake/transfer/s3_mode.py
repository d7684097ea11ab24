"""What the modes of a lake in a bucket share: the way back from quarantine, and a clock that is off."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cryptolake.bronze.verify import Verdict, check
from cryptolake.storage.errors import clock_said
from cryptolake.storage.tables import QUARANTINE
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.faults import fault_of
from cryptolake.transfer.pipeline import CheckResult, Pipeline
from cryptolake.transfer.s3_store import MIB, TROUBLES, S3Store, is_absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.transfer.faults import Fault
    from cryptolake.transfer.jobs import CommandWriter, Job
    from cryptolake.transfer.pipeline import TransferContext


class RequestCounter:
    """Listens to clients, from whatever thread they are used in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here = threading.local()
        self._requests = 0
        self._repeats: Counter[str] = Counter()

    def listen(self, client: Any) -> None:
        """Count what a client sends from now on."""
        client.meta.events.register("before-send.s3", self._sent)
        client.meta.events.register("needs-retry.s3", self._answered)

    @contextmanager
    def working_on(self, job: Job) -> Iterator[None]:
        """Take what this thread asks for in the block as asked for this file."""
        self._here.job = job
        try:
            yield
        finally:
            self._here.job = None

    def taken(self) -> tuple[int, Counter[str]]:
        """Return requests and repeats by reason since it was asked last."""
        with self._lock:
            requests, repeats = self._requests, self._repeats
            self._requests, self._repeats = 0, Counter()
        return requests, repeats

    # ------------------------------------------------------------------ what botocore calls

    def _sent(self, request: Any, **_: Any) -> None:
        again = _attempt(request.headers) > 1
        job = getattr(self._here, "job", None)
        with self._lock:
            self._requests += 1
            if again:
                self._repeats[getattr(self._here, "why", "no reason given")] += 1
        if again and job is not None:
            job.repeats += 1

    def _answered(self, response: Any = None, caught_exception: Any = None, **_: Any) -> None:
        if response is not None:
            said = response[1].get("Error", {})
            status = response[1].get("ResponseMetadata", {}).get("HTTPStatusCode")
            self._here.why = said.get("Code") or f"status {status}"
        elif caught_exception is not None:
            self._here.why = type(caught_exception).__name__


def _attempt(headers: Any) -> int:
    said = headers.get("amz-sdk-request", b"")
    text = said.decode() if isinstance(said, bytes) else str(said)
    found = re.search(r"attempt=(\d+)", text)
    return int(found[1]) if found else 1


class S3Pipeline(Pipeline):
    """A mode whose target is a bucket.

    Parameters
    ----------
    context, batches, commands, last
        As :class:`Pipeline` takes them.
    store
        The lake's bucket.
    """

    troubles = TROUBLES

    def __init__(
        self,
        context: TransferContext,
        batches: Iterator[list[Job]],
        commands: CommandWriter,
        *,
        store: S3Store,
        last: bool,
    ) -> None:
        super().__init__(context, batches, commands, last=last)
        self._store = store
        self._counter = RequestCounter()
        for client in {id(c): c for c in (store.client, store.carrier)}.values():
            self._counter.listen(client)
        self._aside: set[int] = set()
        self._clock: str | None = None

    def _lies_aside(self, job: Job) -> bool:
        """Take up a file that an earlier run put into quarantine, and say whether it is one."""
        if job.status != "quarantined" or job.looked:
            return False
        job.looked = True
        if self._context.policy != "accept":
            self._recorder.set_aside([job.row])
            self._bar.settled()
            return True
        job.found = True
        self._aside.add(job.row)
        self._check(job)
        return True

    def _undone(self, job: Job, error: str, fault: Fault | None = None) -> None:
        if fault_of(error) == "skewed":
            error = self._clock_said()
        super()._undone(job, error, fault)

    def _clock_said(self) -> str:
        """Say by how much this clock is off: S3's own time is in each of its answers. Asked once."""
        if self._clock is None:
            self._clock = clock_said(self._store.clock_off())
        return self._clock

    def _count_requests(self) -> None:
        requests, repeats = self._counter.taken()
        self._recorder.requests += requests
        for why, number in repeats.items():
            self._recorder.retry(why, number)
            self._recorder.repeated(number)

    # ------------------------------------------------------------------ in threads

    def _looked_at(self, job: Job) -> CheckResult:
        with self._counter.working_on(job):
            return super()._looked_at(job)

    def _out_of_quarantine(self, job: Job) -> CheckResult | None:
        """Check a file where it lies aside, and move it to its final name; None when it is not such a one.

        One that is gone from there, or is not the listed one, is told of as a fault of the wire: it will
        be fetched.
        """
        if job.row not in self._aside:
            return None
        self._aside.discard(job.row)
        sidecar = None
        evidence = StreamEvidence()
        try:
            if job.has_sidecar:
                sidecar = self._store.sidecar(QUARANTINE + job.sidecar_key)
            for chunk in self._store.get(QUARANTINE + job.key)["Body"].iter_chunks(MIB):
                evidence.take(chunk)
        except ClientError as error:
            if not is_absent(error):
                raise
            gone = Verdict("transport", 0, "", None, None, "it is not in quarantine any more")
            return CheckResult(job, gone, error=gone.detail)
        verdict = check(evidence, sidecar, job.expected, job.name, found=True)
        proof, hold = triage(job, verdict, self._context.policy)
        if proof is not None:
            self._store.take_back(job.key, sidecar=sidecar is not None)
            return CheckResult(job, verdict, proof)
        held = QUARANTINE + job.key if hold else None
        return CheckResult(job, verdict, held=held, error=verdict.detail)
