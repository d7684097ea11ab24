"""Download: s5cmd fetches a batch into staging while threads verify and store the files that have arrived.

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
from cryptolake.transfer.faults import wrong_bytes
from cryptolake.transfer.jobs import JobState
from cryptolake.transfer.pipeline import Pipeline, Quarantined, Rejected, Stored
from cryptolake.transfer.stores import present

if TYPE_CHECKING:
    from cryptolake.transfer.jobs import Job
    from cryptolake.transfer.options import Mode
    from cryptolake.transfer.pipeline import CheckResult


class DownloadPipeline(Pipeline):
    """Fetches to a disk, verifies there, stores."""

    mode: ClassVar[Mode] = "download"
    check_group: ClassVar[int] = 16

    # ------------------------------------------------------------------ what is in the lake already

    def _run_batch(self, batch: list[Job]) -> None:
        planned = [job.key for job in batch if job.state is JobState.PLANNED]
        self._stored = self._store.stored(planned)
        names = [name for job in batch for name in (job.key, job.sidecar_key)]
        self._staged = present(self._staging.folder, names)
        super()._run_batch(batch)

    def _start_without_s5cmd(self, job: Job) -> bool:
        """Start to check a file that needs no fetch and return True; else note which parts it misses."""
        if job.state is JobState.PLANNED:
            job.state = JobState.TO_FETCH
            if job.status == "quarantined" and self._from_quarantine(job):
                return True
            # Where ETags are no md5s, only the archive's CHECKSUM tells one version from another.
            by_etag = job.status != "updated" and not self._context.etags.opaque
            if by_etag and self._from_bronze(job):
                return True
            if self._may_be_whole(job):
                job.state, job.path = JobState.CONFIRMED, self._stored[job.key]
                job.missing = {job.sidecar_key}
                return False
            self._copy_stored_sidecar(job)
        job.path = None
        job.missing = job.parts - self._staged
        job.state = JobState.TO_FETCH if job.missing == job.parts else JobState.FOUND
        if not job.missing:
            self._on_moved(job)
        return not job.missing

    def _from_quarantine(self, job: Job) -> bool:
        path = self._store.quarantined(job.key)
        if path is None:
            return False
        if self._context.policy != "accept":
            self._recorder.leave_quarantined([job.row])
            self._progress.settled()
            return True
        self._check_found(job, path)
        return True

    def _from_bronze(self, job: Job) -> bool:
        """Start to check a file that a killed run stored but did not record."""
        path = self._stored.get(job.key)
        if path is None or path.stat().st_size != job.expected.size:
            return False
        if job.has_sidecar and not path.with_name(path.name + CHECKSUM).is_file():
            return False
        self._check_found(job, path)
        return True

    def _may_be_whole(self, job: Job) -> bool:
        """Say whether only the CHECKSUM is fetched, since it may prove the file that stands at its final name.

        That was stored before its CHECKSUM was published, or has another ETag in the listing now that is no md5,
        which need not mean other bytes.
        """
        path = self._stored.get(job.key)
        if path is None or job.status not in {"unrecorded", "updated"} or not job.has_sidecar:
            return False
        states_md5 = self._context.etags.agrees("", job.expected.etag) is not None
        if job.status == "updated" and states_md5:
            return False
        return path.stat().st_size == job.expected.size

    def _check_found(self, job: Job, path: Path) -> None:
        job.state, job.path = JobState.FOUND, path
        self._enqueue_check(job)

    def _copy_stored_sidecar(self, job: Job) -> None:
        """Use the sidecar that a killed run had stored, where it left the zip in staging.

        It is copied: another run may be storing the same file at this moment.
        """
        alone = job.key in self._staged and job.sidecar_key not in self._staged
        if not (job.has_sidecar and alone) or job.key in self._stored:
            return
        for stored in self._store.stored([job.sidecar_key]).values():
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(stored, self._staging.path(job.sidecar_key))
                self._staged.add(job.sidecar_key)

    def _on_moved(self, job: Job) -> None:
        self._enqueue_check(job)

    # ------------------------------------------------------------------ in threads

    def _verify(self, job: Job) -> CheckResult:
        if job.path is not None:
            return self._verify_at(job.path, job)
        try:
            return self._verify_at(self._staging.claim(job.key, sidecar=job.has_sidecar), job)
        except OSError:
            self._staging.put_back(job.key)
            raise

    def _verify_at(self, path: Path, job: Job) -> CheckResult:
        beside = Path(f"{path}{CHECKSUM}")
        if job.state is JobState.CONFIRMED or not beside.is_file():
            beside = self._staging.path(job.sidecar_key)
        sidecar = _head(beside) if job.has_sidecar else None
        found = job.state is JobState.FOUND
        verdict = check_file(
            path, sidecar, job.expected, job.name, found=found, etags=self._context.etags
        )
        proof, hold = triage(job, verdict, self._context.policy, self._context.etags)
        files = (path, beside if job.has_sidecar else None)
        if proof is not None:
            self._store.place(job.key, *files)
            return Stored(job, verdict, proof)
        if hold:
            return Quarantined(job, verdict, self._store.quarantine(job.key, *files))
        # An earlier version at the final name is good, and stays until the new bytes replace it.
        staged = path.is_relative_to(self._staging.folder)
        if staged or job.status == "unrecorded":
            if verdict.finding != "sidecar_transport":
                path.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
        if staged:
            self._staging.put_back(job.key)
        return Rejected(job, wrong_bytes(verdict.detail))


def _head(sidecar: Path) -> bytes:
    """Return a sidecar's bytes, or the beginning of a file that is too long for one."""
    with sidecar.open("rb") as file:
        return file.read(4096)
