"""The base of the modes for a lake in a bucket: requests counted, quarantine in S3, a wrong clock explained."""

from __future__ import annotations

import re
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cryptolake.bronze.verify import check
from cryptolake.storage import layout
from cryptolake.storage.errors import clock_said
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.faults import wrong_bytes
from cryptolake.transfer.jobs import JobState
from cryptolake.transfer.pipeline import Pipeline, Quarantined, Rejected, Stored
from cryptolake.transfer.s3_store import MIB, TROUBLES, S3Store, is_absent
from cryptolake.transfer.uploads import end_abandoned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.transfer.faults import Failure
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.pipeline import CheckResult


class RequestCounter:
    """Counts the requests of boto3 clients, whatever thread they are used in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._requests = 0
        self._repeats: Counter[str] = Counter()

    def listen(self, client: Any) -> None:
        """Count the requests that a client sends from now on."""
        client.meta.events.register("before-send.s3", self._on_request)
        client.meta.events.register("needs-retry.s3", self._on_response)

    @contextmanager
    def attributed_to(self, job: Job) -> Iterator[None]:
        """Count the repeats of requests that this thread makes in the block as this file's."""
        self._thread.job = job
        try:
            yield
        finally:
            self._thread.job = None

    def take(self) -> tuple[int, Counter[str]]:
        """Return requests and repeats by reason since the last call."""
        with self._lock:
            requests, repeats = self._requests, self._repeats
            self._requests, self._repeats = 0, Counter()
        return requests, repeats

    # ------------------------------------------------------------------ what botocore calls

    def _on_request(self, request: Any, **_: Any) -> None:
        repeated = _attempt(request.headers) > 1
        job = getattr(self._thread, "job", None)
        with self._lock:
            self._requests += 1
            if repeated:
                self._repeats[getattr(self._thread, "why", "no reason given")] += 1
        if repeated and job is not None:
            job.repeats += 1

    def _on_response(self, response: Any = None, caught_exception: Any = None, **_: Any) -> None:
        if response is not None:
            error = response[1].get("Error", {})
            status = response[1].get("ResponseMetadata", {}).get("HTTPStatusCode")
            self._thread.why = error.get("Code") or f"status {status}"
        elif caught_exception is not None:
            self._thread.why = type(caught_exception).__name__


def _attempt(headers: Any) -> int:
    value = headers.get("amz-sdk-request", b"")
    text = value.decode() if isinstance(value, bytes) else str(value)
    found = re.search(r"attempt=(\d+)", text)
    return int(found[1]) if found else 1


class S3Pipeline(Pipeline):
    """A mode whose target is a bucket."""

    expected_errors = TROUBLES
    _store: S3Store

    def _prepare(self) -> None:
        store = self._store
        self._counter = RequestCounter()
        for client in {id(c): c for c in (store.client, store.carrier)}.values():
            self._counter.listen(client)
        self._to_check_in_quarantine: set[int] = set()
        self._clock: str | None = None

    def run(self) -> bool:
        """Move every file, after ending the uploads that killed runs left; see :meth:`Pipeline.run`."""
        end_abandoned(self._store, self._recorder.others_run)
        return super().run()

    def _from_quarantine(self, job: Job) -> bool:
        """Handle a file that an earlier run put into quarantine; return False if it is not one."""
        if job.status != "quarantined" or job.state is not JobState.PLANNED:
            return False
        self._check_quarantined(job)
        return True

    def _check_quarantined(self, job: Job) -> None:
        """Check a file where it is in quarantine, if the policy may accept it; else leave it there."""
        if self._context.policy != "accept":
            self._recorder.leave_quarantined([job.row])
            self._progress.settled()
            return
        job.state = JobState.FOUND
        self._to_check_in_quarantine.add(job.row)
        self._enqueue_check(job)

    def _handle_failure(self, job: Job, failure: Failure) -> None:
        if failure.fault == "skewed":
            failure = failure._replace(reason=self._clock_error())
        super()._handle_failure(job, failure)

    def _clock_error(self) -> str:
        """Return by how much this clock is off, in words. S3 is asked for its time once."""
        if self._clock is None:
            self._clock = clock_said(self._store.clock_offset())
        return self._clock

    def _count_requests(self) -> None:
        requests, repeats = self._counter.take()
        self._recorder.requests += requests
        for why, number in repeats.items():
            self._recorder.retry(why, number)
            self._recorder.repeated(number)

    # ------------------------------------------------------------------ in threads

    def _check(self, job: Job) -> CheckResult:
        with self._counter.attributed_to(job):
            return super()._check(job)

    def _checked_in_quarantine(self, job: Job) -> CheckResult | None:
        """Check a file where it is in quarantine, and move it to its final name; None for any other file.

        One that is gone from there, or is not the listed one, is rejected as wrong bytes are: it will be
        fetched.
        """
        if job.row not in self._to_check_in_quarantine:
            return None
        self._to_check_in_quarantine.discard(job.row)
        sidecar = None
        evidence = StreamEvidence()
        try:
            if job.has_sidecar:
                sidecar = self._store.sidecar(layout.quarantine_path(job.sidecar_key))
            for chunk in self._store.get(layout.quarantine_path(job.key))["Body"].iter_chunks(MIB):
                evidence.take(chunk)
        except ClientError as error:
            if not is_absent(error):
                raise
            return Rejected(job, wrong_bytes("it is not in quarantine any more"))
        verdict = check(
            evidence, sidecar, job.expected, job.name, found=True, etags=self._context.etags
        )
        proof, hold = triage(job, verdict, self._context.policy, self._context.etags)
        if proof is not None:
            self._store.move_from_quarantine(job.key, sidecar=sidecar is not None)
            return Stored(job, verdict, proof)
        if hold:
            return Quarantined(job, verdict, layout.quarantine_path(job.key))
        return Rejected(job, wrong_bytes(verdict.detail))
