"""Direct: ``s5cmd run`` has S3 copy each object inside itself; no byte passes this machine.

A copy costs one request. The copies are checked by the lake's own listing: size and ETag of each object
against the archive's, one LIST for many files. Where the ETags of the two differ although they look like md5s, as
those of buckets that encrypt with KMS do, one file is read and compared with its CHECKSUM; if it is good, the
others go by their size, and Silver hashes them when it first reads them. With ``verify="full"`` each file is also read once, and its
sha256 compared with its CHECKSUM, or with that one's ETag where it is not copied.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptolake.archive.keys import folder_name
from cryptolake.bronze.etags import agrees
from cryptolake.bronze.verify import Verdict, check
from cryptolake.storage import layout
from cryptolake.transfer import s3_store
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.faults import failure_of, wrong_bytes
from cryptolake.transfer.jobs import JobState
from cryptolake.transfer.pipeline import Quarantined, Rejected, Stored
from cryptolake.transfer.s3_mode import S3Pipeline
from cryptolake.transfer.s3_store import MIB, TROUBLES, archive_client
from cryptolake.transfer.s5cmd import global_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.bronze.verify import Proof
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.pipeline import CheckResult
    from cryptolake.transfer.s5cmd import Flags


_PROBES = 3
"""Copies of one batch that are read, at most, to find out whether ETags can be compared."""


class DirectPipeline(S3Pipeline):
    """Has S3 copy the files, then compares the two listings."""

    mode = "direct"

    def _prepare(self) -> None:
        super()._prepare()
        self._copied: list[Job] = []
        self._by_size = False
        self._probed: set[int] = set()

    def _flags(self, workers: int) -> Flags:
        archive, lake = self._context.archive, self._store.config
        # Never the accelerated endpoint: it refuses copies from another region, and inside one region it
        # speeds up nothing. One run of s5cmd signs everything or nothing: to write, it has to sign.
        config = replace(lake, endpoint=archive.endpoint, region=lake.region or archive.region)
        return super()._flags(workers)._replace(s3=config.s5cmd(global_flags))

    def _start_without_s5cmd(self, job: Job) -> bool:
        if self._from_quarantine(job):
            return True
        if job.status == "unrecorded" and job.state is JobState.PLANNED:
            # It is at its final name without a record: the listing alone decides.
            job.state = JobState.FOUND
            self._copied.append(job)
            return True
        job.state = JobState.TO_FETCH
        if job.expected.size > s3_store.LARGEST_COPY:
            job.attempts += 1
            self._enqueue_check(job)
            return True
        job.missing = {job.key, job.sidecar_key} if self._with_sidecar(job) else {job.key}
        return False

    def _with_sidecar(self, job: Job) -> bool:
        # A rewritten file may have the CHECKSUM of its earlier version beside it, which must not stay.
        return job.has_sidecar and (self._options.sidecars or job.status == "updated")

    def _on_moved(self, job: Job) -> None:
        self._copied.append(job)

    def _on_batch_done(self) -> None:
        copied, self._copied = self._copied, []
        if not copied:
            return
        try:
            listed = self._listed(copied)
        except TROUBLES as error:
            failure = failure_of(f"copied, but the lake's listing failed: {error}")
            for job in copied:
                self._handle_failure(job, failure)
            return
        for job in self._without_probes(copied, listed):
            result = self._compared(job, listed)
            if isinstance(result, Stored) and self._options.verify == "full":
                self._enqueue_check(job)
            else:
                self._settle(result)

    def _without_probes(
        self, copied: list[Job], listed: dict[str, tuple[int, str]]
    ) -> Iterator[Job]:
        """Yield the copies that the listings can decide on, after reading one whose ETag should be an md5.

        When that one is good, the ETags of lake and archive are not to be compared from then on.
        """
        doubtful = [job for job in copied if not self._by_size and self._in_doubt(job, listed)]
        doubtful.sort(key=lambda job: (not job.has_sidecar, job.expected.size))
        self._probed = set()
        for job in doubtful[:_PROBES]:
            self._probed.add(job.row)
            result = self._check(job)
            proven = isinstance(result, Stored) and result.proof == "sha256"
            if not isinstance(result, Rejected):
                self._by_size = proven or result.verdict.md5 == job.expected.etag
            self._settle(result)
            if self._by_size:
                break
        yield from (job for job in copied if job.row not in self._probed)

    def _in_doubt(self, job: Job, listed: dict[str, tuple[int, str]]) -> bool:
        """Whether a copy differs from the listed file in nothing but its ETag, and was made just now."""
        size, etag = listed.get(job.key, (-1, ""))
        fresh = job.state is not JobState.FOUND and size == job.expected.size
        return fresh and _differ(etag, job.expected.etag)

    def _compared(self, job: Job, listed: dict[str, tuple[int, str]]) -> CheckResult:
        """Compare what the lake lists of a file with what the archive lists."""
        size, etag = listed.get(job.key, (-1, ""))
        checksum_size, _ = listed.get(job.sidecar_key, (-1, ""))
        wanted, fresh = job.expected, job.state is not JobState.FOUND
        if size < 0:
            return Rejected(job, wrong_bytes("the copy is not in the lake's listing"))
        if size != wanted.size:
            wrong = f"the copy has {size} bytes, the archive's listing says {wanted.size}"
        elif _differ(etag, wanted.etag) and not (self._by_size and fresh):
            wrong = f"the copy's ETag is {etag}, the archive's is {wanted.etag}"
        elif self._with_sidecar(job) and checksum_size != wanted.checksum_size:
            wrong = (
                f"the copy of the CHECKSUM has {checksum_size} bytes, not {wanted.checksum_size}"
            )
            if job.state is JobState.FOUND:  # stored before its CHECKSUM was published: it is good
                return Rejected(job, wrong_bytes(wrong))
        else:
            return _stored(job, size, "etag" if etag == wanted.etag else "size")
        self._store.remove(job.key)  # nothing unverified stays at a final name
        return Rejected(job, wrong_bytes(wrong))

    def _listed(self, jobs: list[Job]) -> dict[str, tuple[int, str]]:
        """List the copies, key to size and ETag: per folder, from the longest prefix that their names share."""
        store = self._store
        folders: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            folders[folder_name(job.key)].append(job.key)
        found: dict[str, tuple[int, str]] = {}
        bronze = store.key(layout.BRONZE) + "/"
        pages = store.client.get_paginator("list_objects_v2")
        for keys in folders.values():
            prefix = bronze + os.path.commonprefix(keys)  # noqa: RUF071 - of letters
            for page in pages.paginate(Bucket=store.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    found[item["Key"].removeprefix(bronze)] = (
                        item["Size"],
                        item["ETag"].strip('"'),
                    )
        return found

    # ------------------------------------------------------------------ in threads

    def _verify(self, job: Job) -> CheckResult:
        if result := self._checked_in_quarantine(job):
            return result
        if job.expected.size <= s3_store.LARGEST_COPY or job.state is JobState.FOUND:
            return self._read(job)
        copied = self._copied_in_parts(job)
        if isinstance(copied, Rejected) or self._options.verify != "full":
            return copied
        return self._read(job)._replace(moved=copied.moved)

    def _copied_in_parts(self, job: Job) -> CheckResult:
        """Copy an object that is too large for one request.

        The copy's ETag says nothing of the bytes, so S3 is asked to copy only from the listed version, and
        the sizes are compared.
        """
        store, wanted = self._store, job.expected
        checksum_size = wanted.checksum_size
        if self._with_sidecar(job):
            beside = layout.bronze_path(job.sidecar_key)
            store.copy(self._context.archive.bucket, job.sidecar_key, beside, wanted.checksum_etag)
            checksum_size = store.length(beside)
        store.copy(self._context.archive.bucket, job.key, layout.bronze_path(job.key), wanted.etag)
        size = store.length(layout.bronze_path(job.key))
        if size != wanted.size:
            wrong = f"the copy has {size} bytes, the archive's listing says {wanted.size}"
        elif checksum_size != wanted.checksum_size:
            wrong = (
                f"the copy of the CHECKSUM has {checksum_size} bytes, the listing says "
                f"{wanted.checksum_size}"
            )
        else:
            return _stored(job, size, "etag")._replace(moved=size)
        store.remove(job.key)  # nothing unverified stays at a final name
        return Rejected(job, wrong_bytes(wrong))

    def _sidecar(self, job: Job) -> bytes | None:
        """Return the CHECKSUM of a copy; None where it was not copied, and its ETag has to do."""
        if self._with_sidecar(job):
            return self._store.sidecar(layout.bronze_path(job.sidecar_key))
        if not job.has_sidecar or job.row not in self._probed:
            return None
        client, archive = (
            archive_client(self._context.archive, self._options),
            self._context.archive,
        )
        self._counter.listen(client)
        body: bytes = client.get_object(Bucket=archive.bucket, Key=job.sidecar_key)["Body"].read(
            4096
        )
        return body

    def _read(self, job: Job) -> CheckResult:
        """Read the file at its final name once, and move it to quarantine or remove it if it is not good."""
        store = self._store
        sidecar = self._sidecar(job)
        evidence = StreamEvidence()
        for chunk in store.get(layout.bronze_path(job.key))["Body"].iter_chunks(MIB):
            evidence.take(chunk)
        found = job.state is JobState.FOUND
        verdict = check(
            evidence, sidecar, job.expected, job.name, found=found, etags=self._context.etags
        )
        proof, hold = triage(job, verdict, self._context.policy, self._context.etags)
        if proof is not None:
            return Stored(job, verdict, proof)
        if hold:
            store.move_to_quarantine(job.key, sidecar=sidecar is not None)
            return Quarantined(job, verdict, layout.quarantine_path(job.key))
        store.remove(job.key)
        return Rejected(job, wrong_bytes(verdict.detail))


def _differ(etag: str, wanted: str | None) -> bool:
    # A multipart ETag on either side says nothing of the bytes.
    return etag != wanted and agrees(etag, wanted) is False and "-" not in etag


def _stored(job: Job, size: int, proof: Proof) -> Stored:
    return Stored(job, Verdict("good", size, "", None, None, ""), proof)
