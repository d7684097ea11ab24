"""What boto3 clients ask of S3: each request counted, each repeated one told with its file and its reason."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptolake.transfer.jobs import Job


class Wire:
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
