"""Relays (mode ``relay``): from one S3 to another through memory, in bounded parts, hashed on the way.

Nothing touches a disk. A small file is checked before it is put; a large one goes up in parts that S3 only
shows once the upload is completed, and it is completed only when the whole has been checked. So here, too,
what stands at a final name is verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.verify import check
from cryptolake.storage.tables import QUARANTINE
from cryptolake.transfer.download import DownloadPipeline
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.pipeline import CheckResult
from cryptolake.transfer.s3_mode import S3Pipeline
from cryptolake.transfer.s3_store import MIB, S3Store, archive_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.bronze.verify import Evidence, Proof, Verdict
    from cryptolake.transfer.jobs import CommandWriter, Job
    from cryptolake.transfer.pipeline import TransferContext

PART = 8 * MIB
"""Bytes of one part: with :data:`THREADS`, the bound on what is in memory."""

THREADS = 8


class TraditionalPipeline(S3Pipeline, DownloadPipeline):
    """Downloads with s5cmd to a temporary folder, verifies there, uploads: the last resort."""

    mode = "traditional"

    def _from_quarantine(self, job: Job) -> bool:
        job.looked = False
        return self._lies_aside(job)

    def _judge(self, job: Job) -> CheckResult:
        return self._out_of_quarantine(job) or super()._judge(job)


class RelayPipeline(S3Pipeline):
    """Streams files from the archive into the lake's bucket, several at once."""

    mode = "relay"
    threads: ClassVar[int | None] = THREADS

    def __init__(
        self,
        context: TransferContext,
        batches: Iterator[list[Job]],
        commands: CommandWriter,
        *,
        store: S3Store,
        last: bool,
    ) -> None:
        super().__init__(context, batches, commands, store=store, last=last)
        self._source = archive_client(context.archive, context.options)
        self._counter.listen(self._source)

    def _at_hand(self, job: Job) -> bool:
        if self._lies_aside(job):
            return True
        job.attempts += 1
        job.found = False
        self._check(job)
        return True

    def _landed(self, job: Job) -> None:
        self._check(job)

    # ------------------------------------------------------------------ in threads

    def _judge(self, job: Job) -> CheckResult:
        if aside := self._out_of_quarantine(job):
            return aside
        sidecar = None
        if job.has_sidecar:
            sidecar = self._get(job.sidecar_key)["Body"].read(4096)
        body = self._get(job.key)["Body"]
        evidence = StreamEvidence()
        first = self._part(body, evidence)
        if len(first) < PART:
            verdict, proof, held = self._decide(job, evidence, sidecar)
            if target := self._target(job, proof, held):
                self._put(target, first, sidecar)
        else:
            verdict, proof, held = self._large(job, body, first, evidence, sidecar)
        job.fetched, job.moved = True, evidence.size
        path = QUARANTINE + job.key if held else None
        error = None if proof or held else verdict.detail
        return CheckResult(job, verdict, proof, path, error)

    def _decide(
        self, job: Job, evidence: Evidence, sidecar: bytes | None
    ) -> tuple[Verdict, Proof | None, bool]:
        verdict = check(evidence, sidecar, job.expected, job.name)
        return verdict, *triage(job, verdict, self._context.policy)

    def _target(self, job: Job, proof: Proof | None, held: bool) -> str:  # noqa: FBT001
        if proof is not None:
            return f"bronze/{job.key}"
        return QUARANTINE + job.key if held else ""

    def _large(
        self, job: Job, body: Any, first: bytes, evidence: StreamEvidence, sidecar: bytes | None
    ) -> tuple[Verdict, Proof | None, bool]:
        """Upload in parts; complete the upload only when the whole is what the archive publishes."""
        upload = _Upload(self._store, f"bronze/{job.key}")
        try:
            upload.part(first)
            while part := self._part(body, evidence):
                upload.part(part)
            verdict, proof, held = self._decide(job, evidence, sidecar)
            if proof is not None:
                self._put_sidecar(f"bronze/{job.key}", sidecar)
                upload.complete()
        finally:
            upload.abort()
        if held:  # its bytes are gone by: fetch them once more, into quarantine
            self._hold(job, sidecar)
        return verdict, proof, held

    def _hold(self, job: Job, sidecar: bytes | None) -> None:
        self._put_sidecar(QUARANTINE + job.key, sidecar)
        upload = _Upload(self._store, QUARANTINE + job.key)
        try:
            body = self._get(job.key)["Body"]
            while part := body.read(PART):
                upload.part(part)
            upload.complete()
        finally:
            upload.abort()

    def _part(self, body: Any, evidence: StreamEvidence) -> bytes:
        gathered = bytearray()
        while len(gathered) < PART and (chunk := body.read(min(MIB, PART - len(gathered)))):
            evidence.take(chunk)
            gathered += chunk
        return bytes(gathered)

    def _get(self, key: str) -> Any:
        return self._source.get_object(Bucket=self._context.archive.bucket, Key=key)

    def _put(self, path: str, data: bytes, sidecar: bytes | None) -> None:
        self._put_sidecar(path, sidecar)
        self._store.put(path, data)

    def _put_sidecar(self, path: str, sidecar: bytes | None) -> None:
        if sidecar is not None:
            self._store.put(path + CHECKSUM, sidecar)


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
