"""Evidence of streamed bytes: hashed as they come, of a zip only both ends kept; and what follows from it."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from cryptolake.bronze.text import seek_position
from cryptolake.bronze.zips import find_member

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from cryptolake.bronze.etags import EtagMeaning
    from cryptolake.bronze.verify import Policy, Proof, Verdict
    from cryptolake.transfer.jobs import Job


_HEAD, _TAIL = 2**16, 2**18


class StreamEvidence:
    """Size, hashes and zip structure of bytes that are passed to it in chunks; memory stays constant.

    A zip's directory is at its end and its first member's header at its beginning: both are kept.

    Examples
    --------
    >>> evidence = StreamEvidence()
    >>> evidence.take(b"he")
    >>> evidence.take(b"llo")
    >>> evidence.size, evidence.md5()
    (5, '5d41402abc4b2a76b9719d911017c592')
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._begin = b""
        self._end = bytearray()
        self.size = 0

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)
        if len(self._begin) < _HEAD:
            self._begin += chunk[: _HEAD - len(self._begin)]
        self._end += chunk
        del self._end[:-_TAIL]

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes so far."""
        return self._sha256.hexdigest()

    def md5(self) -> str:
        """Return the md5 of the bytes so far."""
        return self._md5.hexdigest()

    def head(self) -> bytes:
        """Return the first bytes."""
        return self._begin[:512]

    def structure(self, name: str) -> None:
        """Raise CorruptArchive if the bytes are no sound zip of one CSV."""
        ends = _Ends(self._begin, bytes(self._end), self.size)
        with io.BufferedReader(ends) as file:
            find_member(file, name)


class _Ends(io.RawIOBase):
    """A file of which only the beginning and the end are kept; between them it reads as empty."""

    def __init__(self, begin: bytes, end: bytes, size: int) -> None:
        self._begin, self._end, self._size = begin, end, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = seek_position(offset, whence, at=self._at, size=self._size)
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        stop = min(self._size, self._at + len(view))
        tail = self._size - len(self._end)
        if self._at >= tail:
            found = self._end[self._at - tail : stop - tail]
        else:
            found = self._begin[self._at : stop]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def triage(
    job: Job, verdict: Verdict, policy: Policy, etags: EtagMeaning
) -> tuple[Proof | None, bool]:
    """Decide on checked bytes: return what proves them good, and else whether they go to quarantine."""
    if verdict.proof is not None:
        return verdict.proof, False
    if verdict.finding == "transport":  # or the first sign that ETags are no md5s
        job.last_sha256 = verdict.sha256
    if verdict.finding not in {"stale", "bad_sidecar", "corrupt"}:
        return None, False
    # Without an ETag that can be compared, bytes count as the archive's when they arrived twice.
    undecided = verdict.md5 is not None and etags.agrees(verdict.md5, job.expected.etag) is None
    if undecided and job.last_sha256 != verdict.sha256:
        job.last_sha256 = verdict.sha256
        return None, False
    if verdict.finding != "corrupt" and policy == "accept":
        return "stale_accepted", False
    return None, True
