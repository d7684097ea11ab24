"""Copies inside S3 (mode ``direct``): ``s5cmd run`` has the server copy each object; no byte passes here.

A copy costs one request. What it made is checked by the lake's own listing: size and ETag of each object
against the archive's, one LIST for many files. With ``verify="full"`` each file is also read once and its
sha256 compared with its CHECKSUM.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cryptolake.keys import CHECKSUM
from cryptolake.s5cmd import Flags
from cryptolake.transfer.buckets import MIB, TROUBLES, BucketVault, lake_secrets
from cryptolake.transfer.pipeline import SMALL, Checked, Pipeline, triage
from cryptolake.transfer.streams import StreamEvidence
from cryptolake.verify import Verdict, agrees, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptolake.storage import S3Storage
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.orders import Orders
    from cryptolake.transfer.pipeline import Work

LARGEST_COPY = 5 * 1024 * MIB
"""Bytes that one CopyObject can copy; larger objects go by multipart copy."""


class Copies(Pipeline):
    """Has S3 copy the files, then compares the two listings."""

    mode = "direct"
    troubles = TROUBLES

    def __init__(
        self,
        work: Work,
        batches: Iterator[list[Job]],
        orders: Orders,
        *,
        storage: S3Storage,
        vault: BucketVault,
        last: bool,
    ) -> None:
        super().__init__(work, batches, orders, last=last)
        self._storage, self._bucket_vault = storage, vault
        self._copied: list[Job] = []

    def _flags(self, workers: int) -> Flags:
        archive, options = self._work.archive, self._options
        accelerate = "https://s3-accelerate.amazonaws.com" if options.acceleration else None
        return Flags(
            endpoint=accelerate or archive.endpoint,
            region=self._storage.region or archive.region,
            # One run of s5cmd signs everything or nothing: to write, it has to sign.
            anonymous=bool(self._storage.options.get("anon")),
            workers=workers,
            retries=options.retries,
            extra=options.s5cmd_args,
            thrifty=self._book.size > SMALL,
            secrets=lake_secrets(self._storage),
        )

    def _at_hand(self, job: Job) -> bool:
        if job.status == "unrecorded" and not job.looked:
            # It stands there without a record: the listing alone decides.
            job.looked = job.found = True
            self._copied.append(job)
            return True
        job.found = False
        job.need_zip, job.need_sidecar = True, job.has_sidecar
        if job.expected.size > LARGEST_COPY:
            job.attempts += 1
            self._check(job)
            return True
        return False

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

    def _compared(self, job: Job, listed: dict[str, tuple[int, str]]) -> Checked:
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
        elif job.has_sidecar and beside[0] != wanted.checksum_size:
            wrong = f"the copy of the CHECKSUM has {beside[0]} bytes, not {wanted.checksum_size}"
        if wrong is not None and size >= 0:
            self._bucket_vault.remove(job.key)  # nothing unverified stays at a final name
        verdict = Verdict(
            "good" if wrong is None else "transport", size, "", None, None, wrong or ""
        )
        return Checked(job, verdict, "etag" if wrong is None else None, error=wrong)

    def _listed(self, jobs: list[Job]) -> dict[str, tuple[int, str]]:
        """List what the copies made: per folder, from the longest beginning that their names share."""
        vault = self._bucket_vault
        folders: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            folders[job.key.rsplit("/", 1)[0]].append(job.key)
        found: dict[str, tuple[int, str]] = {}
        start = len(vault.key("bronze/x")) - 1
        pages = vault.client.get_paginator("list_objects_v2")
        for keys in folders.values():
            prefix = vault.key("bronze/" + os.path.commonprefix(keys))  # noqa: RUF071 - of letters
            for page in pages.paginate(Bucket=vault.bucket, Prefix=prefix):
                self._book.requests += 1
                for item in page.get("Contents", ()):
                    found[item["Key"][start:]] = (item["Size"], item["ETag"].strip('"'))
        return found

    # ------------------------------------------------------------------ in threads

    def _judge(self, job: Job) -> Checked:
        requests = 0
        if job.expected.size > LARGEST_COPY and not job.fetched:
            requests += self._copy_in_parts(job)
            if self._options.verify != "full":
                verdict = Verdict("good", job.expected.size, "", None, None, "")
                return Checked(job, verdict, "etag", requests=requests)
        return self._read(job, requests)

    def _copy_in_parts(self, job: Job) -> int:
        from boto3.s3.transfer import TransferConfig

        vault = self._bucket_vault
        part = 256 * MIB
        config = TransferConfig(multipart_threshold=part, multipart_chunksize=part)
        names = [job.key, job.sidecar_key] if job.has_sidecar else [job.key]
        for name in names:
            source = {"Bucket": self._work.archive.bucket, "Key": name}
            target = vault.key(f"bronze/{name}")
            vault.client.copy(
                source, vault.bucket, target, dict(vault.extra) or None, Config=config
            )
        job.fetched, job.moved = True, job.expected.size
        return 4 + job.expected.size // part

    def _read(self, job: Job, requests: int) -> Checked:
        vault, sidecar = self._bucket_vault, None
        if job.has_sidecar:
            requests += 1
            sidecar = self._get(job.key + CHECKSUM)["Body"].read(4096)
        evidence = StreamEvidence()
        for chunk in self._get(job.key)["Body"].iter_chunks(MIB):
            evidence.take(chunk)
        verdict = check(evidence, sidecar, job.expected, job.name, found=job.found)
        proof, hold = triage(job, verdict, self._work.policy)
        if proof is not None:
            return Checked(job, verdict, proof, requests=requests + 1)
        if hold:
            return Checked(job, verdict, held=vault.set_aside(job.key), requests=requests + 5)
        vault.remove(job.key)
        return Checked(job, verdict, error=verdict.detail, requests=requests + 3)

    def _get(self, key: str) -> Any:
        vault = self._bucket_vault
        return vault.client.get_object(Bucket=vault.bucket, Key=vault.key(f"bronze/{key}"))


def _differ(etag: str, wanted: str | None) -> bool:
    # A multipart ETag on either side says nothing of the bytes.
    return etag != wanted and agrees(etag, wanted) is False and "-" not in etag
