"""Orders: the s5cmd lines of a batch, as the plan shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptolake.planning import commands
from cryptolake.transfer.s5cmd import copy_line

if TYPE_CHECKING:
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import TransferOptions

S5CMD_PART_SIZE, S5CMD_CONCURRENCY = 50, 5
"""What s5cmd does by itself: MiB a part, and parts in flight."""


class Orders:
    """Writes command lines for jobs.

    Parameters
    ----------
    bucket
        The archive's bucket.
    into
        What destinations begin with: nothing, or ``"s3://bucket/prefix/"``.
    flags
        What each ``cp`` gets besides source and target.
    wildcards
        Whether one line may fetch many files.
    """

    def __init__(
        self,
        bucket: str,
        *,
        into: str = "",
        flags: Sequence[str] = (),
        wildcards: bool = True,
    ) -> None:
        self._bucket, self._into, self._wildcards = bucket, into, wildcards
        self._flags = " ".join(["cp", *flags]) + " "

    def of(self, jobs: Sequence[Job]) -> list[str]:
        """Return the lines that fetch what the jobs need.

        Wildcards fetch what needs both zip and sidecar for the first time. Anything else is named: what
        failed before should not fail again because of a listing, and half a file is not matched by one.
        """
        fresh = [job for job in jobs if job.attempts <= 1 and job.need_zip and not job.found]
        whole = fresh if self._wildcards else []
        lines: list[str] = []
        if whole:
            lines += commands.lines((job.planned for job in whole), self._bucket, into=self._into)
        done = {job.row for job in whole}
        for job in jobs:
            if job.row in done:
                continue
            parts = [job.key] * job.need_zip + [job.sidecar_key] * job.need_sidecar
            lines += [copy_line(self._bucket, part, f"{self._into}{part}") for part in parts]
        return [self._flags + line.removeprefix("cp ") for line in lines]


def download_flags(options: TransferOptions) -> list[str]:
    """Return the flags of a ``cp`` that fetches, where they are not s5cmd's own."""
    flags: list[str] = []
    if options.part_size != S5CMD_PART_SIZE:
        flags += ["--part-size", str(options.part_size)]
    if options.concurrency != S5CMD_CONCURRENCY:
        flags += ["--concurrency", str(options.concurrency)]
    return flags


def copy_flags(options: TransferOptions) -> list[str]:
    """Return the flags of a ``cp`` inside S3."""
    return ["--storage-class", options.storage_class] if options.storage_class else []
