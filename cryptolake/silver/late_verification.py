"""Files that only an ETag vouches for are verified when Silver first reads them.

A copy inside S3 passes no byte through this machine, so only its ETag is checked then. The first read
hashes the file and compares it with the CHECKSUM beside it, or, where that was left in the archive, with
the CHECKSUM's ETag; the ledger is written once. A file whose bytes are the listed ones and whose CHECKSUM
says otherwise is quarantined as in a transfer (DESIGN 5.2), unless the user accepts such files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.bronze.etags import EtagMeaning
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.bronze.verify import (
    REASONS,
    Expected,
    Policy,
    Proof,
    Verdict,
    check,
)
from cryptolake.bronze.zips import find_member
from cryptolake.errors import CorruptArchive
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
from cryptolake.storage.files import S3Storage

if TYPE_CHECKING:
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

_BLOCK = 2**20


class LateVerification(NamedTuple):
    """What reading a file found. Without a proof, its bytes are not what the archive states."""

    source: Source
    verdict: Verdict
    proof: Proof | None

    @property
    def key(self) -> str:
        """The file's key."""
        return self.source.key

    @property
    def reason(self) -> str:
        """Why it is quarantined, as a word of ``meta.quarantine``."""
        return REASONS.get(self.verdict.finding, REASONS["stale"])

    @property
    def error(self) -> CorruptArchive:
        """The error that says why it was not used."""
        message = (
            f"{self.key} went into quarantine ({self.reason}): {self.verdict.detail}. "
            "Policy 'accept' would use it."
        )
        return CorruptArchive(message, key=self.key, reason=self.reason)


def verify_late(
    storage: Storage, source: Source, file: IO[bytes], policy: Policy
) -> LateVerification:
    """Read an open file that has no sha256 in the ledger, once, and compare it with its CHECKSUM.

    One that fits overrules the ETag, which need not be an md5.

    Raises
    ------
    CorruptArchive
        Its bytes are not the listed ones any more.
    """
    verdict = _verdict(storage, source, OpenFileEvidence(file))
    file.seek(0)
    if verdict.finding == "transport":
        message = (
            f"{source.key} is not the file that was copied ({verdict.detail}); "
            "run `cryptolake verify` and pull it again."
        )
        raise CorruptArchive(message, key=source.key, reason="etag_differs")
    proof = verdict.proof
    if proof is None and verdict.finding != "corrupt" and policy == "accept":
        proof = "stale_accepted"
    return LateVerification(source._replace(sha256=verdict.sha256), verdict, proof)


def _verdict(storage: Storage, source: Source, evidence: OpenFileEvidence) -> Verdict:
    name, sidecar = file_name(source.key), _beside(storage, source)
    listed = Expected(source.size, source.etag, checksum_etag=source.checksum_etag)
    etags = EtagMeaning(None if source.etag_counts else "opaque")
    # The size of the copy was compared with the listing's, so another one is damage whatever a CHECKSUM says.
    cut = evidence.size != source.size
    verdict = check(evidence, sidecar, listed, name, found=cut, etags=etags)
    # A sidecar of an earlier version: the listed one is in the archive.
    if verdict.finding == "sidecar_transport":
        verdict = check(evidence, None, listed, name, etags=etags)
    return verdict


def _beside(storage: Storage, source: Source) -> bytes | None:
    """Return the CHECKSUM that stands beside a file, where the archive lists one."""
    if source.checksum_etag is None:
        return None
    try:
        return storage.read(layout.bronze_path(source.key + CHECKSUM))[:4096]
    except FileNotFoundError:
        return None


class LateVerifications:
    """The late verifications of a build, and their records: each file once, many in one segment."""

    def __init__(self, storage: Storage, meta: Meta, run_id: str) -> None:
        self.known: dict[str, LateVerification] = {}
        self._storage, self._meta, self._run_id = storage, meta, run_id

    @property
    def quarantined(self) -> list[LateVerification]:
        """The files that went into quarantine."""
        return [item for item in self.known.values() if item.proof is None]

    def record(self, verifications: Iterable[LateVerification]) -> None:
        """Put into the ledger what is new, and into quarantine what is not as its CHECKSUM says.

        Only of files that are still the ones that were read: another process may have stored a newer one.
        """
        new = {item.key: item for item in verifications if item.key not in self.known}
        if not new:
            return
        self.known |= new
        ledger = self._meta.ledger(
            pl.col("key").is_in(list(new)), scope_of_keys(pl.Series(list(new)))
        )
        rows = []
        for row in ledger.filter(pl.col("sha256").is_null()).iter_rows(named=True):
            item = new[row["key"]]
            if row["etag"] == item.source.etag:
                found = {"sha256": item.verdict.sha256, "md5": item.verdict.md5}
                state = {"verified": item.proof} if item.proof else {"event": "removed"}
                rows.append({**row, **found, **state})
        bad = [new[row["key"]] for row in rows if row["event"] == "removed"]
        for item in bad:
            self._set_aside(item.key)
        self._meta.append("quarantine", [self._held(item) for item in bad])
        self._meta.append("files", rows)

    def _held(self, item: LateVerification) -> dict[str, object]:
        return {
            "key": item.key,
            "etag": item.source.etag,
            "checksum_etag": item.source.checksum_etag,
            "size": item.verdict.size,
            "reason": item.reason,
            "detail": item.verdict.detail,
            "path": layout.quarantine_path(item.key),
            "at": datetime.now(UTC),
            "run_id": self._run_id,
        }

    def _set_aside(self, key: str) -> None:
        # A zip never stands without its sidecar: that one comes first, and goes last.
        names = [
            name for name in (key + CHECKSUM, key) if self._storage.exists(layout.bronze_path(name))
        ]
        for name in names:
            _copy(self._storage, layout.bronze_path(name), layout.quarantine_path(name))
        for name in reversed(names):
            self._storage.delete(layout.bronze_path(name))


def _copy(storage: Storage, source: str, target: str) -> None:
    """Copy a file of the lake: inside S3, where it is a bucket."""
    if isinstance(storage, S3Storage):
        with in_words("write", target, storage.root):
            storage.filesystem.cp_file(storage.url(source), storage.url(target))
    else:
        storage.write(target, storage.read(source))


class OpenFileEvidence:
    """An open file, read once to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size, self._head = 0, b""
        file.seek(0)
        while block := file.read(_BLOCK):
            self._head = self._head or block[:512]
            sha256.update(block)
            md5.update(block)
            self.size += len(block)
        self.sha256, self._md5 = sha256.hexdigest(), md5.hexdigest()

    def md5(self) -> str:
        """Return the md5."""
        return self._md5

    def head(self) -> bytes:
        """Return the first bytes."""
        return self._head

    def structure(self, name: str) -> None:
        """Raise CorruptArchive when it is no sound zip of one CSV."""
        self._file.seek(0)
        find_member(self._file, name)
