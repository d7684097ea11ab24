"""Downloads: s5cmd fetches a batch into staging while threads verify and store what has arrived.

For a lake on a disk (mode ``download``), and, with a store that uploads, for a lake in a bucket (mode
``traditional``).
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.verify import check_file
from cryptolake.transfer.evidence import triage
from cryptolake.transfer.pipeline import CheckResult, Pipeline
from cryptolake.transfer.stores import present

if TYPE_CHECKING:
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import Mode


class DownloadPipeline(Pipeline):
    """Fetches to a disk, verifies there, stores."""

    mode: ClassVar[Mode] = "download"
    group: ClassVar[int] = 16

    # ------------------------------------------------------------------ what is in the lake already

    def _hand_out(self, batch: list[Job]) -> None:
        fresh = [job.key for job in batch if not job.looked]
        self._here = self._context.store.here(fresh)
        names = [name for job in batch for name in (job.key, job.sidecar_key)]
        self._staged = present(self._staging.folder, names)
        super()._hand_out(batch)

    def _at_hand(self, job: Job) -> bool:
        """Start checking a file that needs no fetch, and say so; else note which parts it needs."""
        if not job.looked:
            job.looked = True
            if job.status == "quarantined" and self._from_quarantine(job):
                return True
            if self._at_final_name(job):
                return True
            self._take_sidecar_along(job)
        job.need_zip = job.key not in self._staged
        job.need_sidecar = job.has_sidecar and job.sidecar_key not in self._staged
        job.found = not job.need_zip or (job.has_sidecar and not job.need_sidecar)
        if job.arrived:
            self._landed(job)
        return job.arrived

    def _from_quarantine(self, job: Job) -> bool:
        held = self._context.store.held(job.key)
        if held is None:
            return False
        if self._context.policy != "accept":
            self._recorder.set_aside([job.row])
            self._bar.settled()
            return True
        job.found, job.path = True, held
        self._check(job)
        return True

    def _at_final_name(self, job: Job) -> bool:
        """Adopt a file that a killed run stored but did not record."""
        here = self._here.get(job.key)
        if here is None or here.stat().st_size != job.expected.size:
            return False
        if job.has_sidecar and not here.with_name(here.name + CHECKSUM).is_file():
            return False
        job.found, job.path = True, here
        self._check(job)
        return True

    def _take_sidecar_along(self, job: Job) -> None:
        """Use the sidecar that a killed run had stored, where it left the zip to be stored after it.

        A copy: another run may be storing the same file at this moment.
        """
        alone = job.key in self._staged and job.sidecar_key not in self._staged
        if not (job.has_sidecar and alone) or job.key in self._here:
            return
        for stored in self._context.store.here([job.sidecar_key]).values():
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(stored, self._staging.path(job.sidecar_key))
                self._staged.add(job.sidecar_key)

    def _landed(self, job: Job) -> None:
        job.path = self._staging.path(job.key)
        self._check(job)

    # ------------------------------------------------------------------ in threads

    def _judge(self, job: Job) -> CheckResult:
        path = job.path or self._staging.path(job.key)
        beside = Path(f"{path}{CHECKSUM}")
        sidecar = _head(beside) if job.has_sidecar else None
        verdict = check_file(path, sidecar, job.expected, job.name, found=job.found)
        proof, hold = triage(job, verdict, self._context.policy)
        files = (path, beside if job.has_sidecar else None)
        if proof is not None:
            self._context.store.store(job.key, *files)
            return CheckResult(job, verdict, proof)
        if hold:
            return CheckResult(job, verdict, held=self._context.store.hold(job.key, *files))
        # An earlier version at the final name is good, and stays until the new bytes replace it.
        staged = path.is_relative_to(self._staging.folder)
        if staged or job.status in {"new", "unrecorded"}:
            if verdict.finding != "sidecar_transport":
                path.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
        return CheckResult(job, verdict, error=verdict.detail)


def _head(sidecar: Path) -> bytes:
    """Return a sidecar's bytes; of one that is no sidecar, its beginning."""
    with sidecar.open("rb") as file:
        return file.read(4096)
