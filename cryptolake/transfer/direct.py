"""Copies inside S3 (mode ``direct``): ``s5cmd run`` has the server copy each object; no byte passes here.

A copy costs one request. What it made is checked by the lake's own listing: size and ETag of each object
against the archive's, one LIST for many files. With ``verify="full"`` each file is also read once, and its
sha256 held against its CHECKSUM, or against that one's ETag where it is not copied.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptolake.bronze.verify import Verdict, agrees, check
from cryptolake.storage.spooled import SMALL
from cryptolake.storage.tables import QUARANTINE
from cryptolake.transfer import s3_store
from cryptolake.transfer.evidence import StreamEvidence, triage
from cryptolake.transfer.pipeline import CheckResult
from cryptolake.transfer.s3_mode import S3Pipeline
from cryptolake.transfer.s3_store import MIB, TROUBLES, S3Store
from cryptolake.transfer.s5cmd import Flags, global_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.storage.files import S3Storage
    from cryptolake.transfer.jobs import CommandWriter, Job
    from cryptolake.transfer.pipeline import TransferContext


class DirectPipeline(S3Pipeline):
    """Has S3 copy the files, then compares the two listings."""

    mode = "direct"

    def __init__(
        self,
        context: TransferContext,
        batches: Iterator[list[Job]],
        commands: CommandWriter,
        *,
        storage: S3Storage,
        store: S3Store,
        last: bool,
    ) -> None:
        super().__init__(context, batches, commands, store=store, last=last)
        self._storage = storage
        self._copied: list[Job] = []

    def _flags(self, workers: int) -> Flags:
        archive, options, lake = self._context.archive, self._options, self._storage.config
        # Never the accelerated endpoint: it refuses copies from another region, and inside one there is
        # nothing to speed up. One run of s5cmd signs everything or nothing: to write, it has to sign.
        config = replace(lake, endpoint=archive.endpoint, region=lake.region or archive.region)
        return Flags(
            config.s5cmd(global_flags),
            workers=workers,
            retries=options.retries,
            extra=options.s5cmd_args,
            low_memory=self._recorder.size > SMALL,
        )

    def _at_hand(self, job: Job) -> bool:
        if self._lies_aside(job):
            return True
        if job.status == "unrecorded" and not job.looked:
            # It stands there without a record: the listing alone decides.
            job.looked = job.found = True
            self._copied.append(job)
            return True
        job.found = False
        job.need_zip, job.need_sidecar = True, self._with_sidecar(job)
        if job.expected.size > s3_store.LARGEST_COPY:
            job.attempts += 1
            self._check(job)
            return True
        return False

    def _with_sidecar(self, job: Job) -> bool:
        # A rewritten file may have the CHECKSUM of its earlier version beside it, which must not stay.
        return job.has_sidecar and (self._options.sidecars or job.status == "updated")

    def _landed(self, job: Job) -> None:
        self._copied.append(job)

    def _batch_done(self) -> None:
        copied, self._copied = self._copied, []
        if not copied:
            return
        try:
            listed = self._listed(copied)
        except TROUBLES as error:
            for job in copied:
                self._undone(job, f"copied, but the lake's listing failed: {error}")
            return
        for job in copied:
            checked = self._compared(job, listed)
            if checked.proof and self._options.verify == "full":
                self._check(job)
            else:
                self._settled(checked)

    def _compared(self, job: Job, listed: dict[str, tuple[int, str]]) -> CheckResult:
        size, etag = listed.get(job.key, (-1, ""))
        wanted = job.expected
        beside = listed.get(job.sidecar_key, (-1, ""))
        wrong = None
        if size < 0:
            wrong = "the copy is not in the lake's listing"
        elif size != wanted.size:
            wrong = f"the copy has {size} bytes, the archive's listing says {wanted.size}"
        elif _differ(etag, wanted.etag):
            wrong = f"the copy's ETag is {etag}, the archive's is {wanted.etag}"
        elif self._with_sidecar(job) and beside[0] != wanted.checksum_size:
            wrong = f"the copy of the CHECKSUM has {beside[0]} bytes, not {wanted.checksum_size}"
        if wrong is not None and size >= 0:
            self._store.remove(job.key)  # nothing unverified stays at a final name
        verdict = Verdict(
            "good" if wrong is None else "transport", size, "", None, None, wrong or ""
        )
        return CheckResult(job, verdict, "etag" if wrong is None else None, error=wrong)

    def _listed(self, jobs: list[Job]) -> dict[str, tuple[int, str]]:
        """List what the copies made: per folder, from the longest beginning that their names share."""
        store = self._store
        folders: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            folders[job.key.rsplit("/", 1)[0]].append(job.key)
        found: dict[str, tuple[int, str]] = {}
        start = len(store.key("bronze/x")) - 1
        pages = store.client.get_paginator("list_objects_v2")
        for keys in folders.values():
            prefix = store.key("bronze/" + os.path.commonprefix(keys))  # noqa: RUF071 - of letters
            for page in pages.paginate(Bucket=store.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    found[item["Key"][start:]] = (item["Size"], item["ETag"].strip('"'))
        return found

    # ------------------------------------------------------------------ in threads

    def _judge(self, job: Job) -> CheckResult:
        if aside := self._out_of_quarantine(job):
            return aside
        if job.expected.size <= s3_store.LARGEST_COPY or job.fetched:
            return self._read(job)
        copied = self._copied_in_parts(job)
        if copied.proof is None or self._options.verify != "full":
            return copied
        return self._read(job)

    def _copied_in_parts(self, job: Job) -> CheckResult:
        """Copy an object that is too large for one request.

        The ETag of what comes of it says nothing of the bytes, so S3 is told to copy only from the listed
        version, and the sizes are compared.
        """
        store, wanted = self._store, job.expected
        found = wanted.checksum_size
        if self._with_sidecar(job):
            beside = f"bronze/{job.sidecar_key}"
            store.copy(self._context.archive.bucket, job.sidecar_key, beside, wanted.checksum_etag)
            found = store.length(beside)
        store.copy(self._context.archive.bucket, job.key, f"bronze/{job.key}", wanted.etag)
        size = store.length(f"bronze/{job.key}")
        wrong = ""
        if size != wanted.size:
            wrong = f"the copy has {size} bytes, the archive's listing says {wanted.size}"
        elif found != wanted.checksum_size:
            wrong = f"the copy of the CHECKSUM has {found} bytes, the listing says {wanted.checksum_size}"
        if wrong:
            store.remove(job.key)  # nothing unverified stays at a final name
            verdict = Verdict("transport", size, "", None, None, wrong)
            return CheckResult(job, verdict, error=wrong)
        job.fetched, job.moved = True, size
        verdict = Verdict("good", size, "", None, None, "")
        return CheckResult(job, verdict, "etag")

    def _read(self, job: Job) -> CheckResult:
        store = self._store
        sidecar = store.sidecar(f"bronze/{job.sidecar_key}") if self._with_sidecar(job) else None
        evidence = StreamEvidence()
        for chunk in store.get(f"bronze/{job.key}")["Body"].iter_chunks(MIB):
            evidence.take(chunk)
        verdict = check(evidence, sidecar, job.expected, job.name, found=job.found)
        proof, hold = triage(job, verdict, self._context.policy)
        if proof is not None:
            return CheckResult(job, verdict, proof)
        if hold:
            store.set_aside(job.key, sidecar=sidecar is not None)
            return CheckResult(job, verdict, held=QUARANTINE + job.key)
        store.remove(job.key)
        return CheckResult(job, verdict, error=verdict.detail)


def _differ(etag: str, wanted: str | None) -> bool:
    # A multipart ETag on either side says nothing of the bytes.
    return etag != wanted and agrees(etag, wanted) is False and "-" not in etag
