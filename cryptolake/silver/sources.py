"""One Bronze file as a month is made from it, and what can be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptolake.errors import CorruptArchive, CryptolakeError

if TYPE_CHECKING:
    from cryptolake.archive.periods import Period

DAMAGED = frozenset({"absent", "sha256_differs", "etag_differs", "unreadable"})
"""Reasons of errors that say that a Bronze file is not the one that was verified: fetching it again helps."""


def is_damaged(error: CryptolakeError | None) -> bool:
    """Say whether an error means that a Bronze file was damaged since it was verified.

    Examples
    --------
    >>> is_damaged(CorruptArchive("gone", reason="absent")), is_damaged(CorruptArchive("bzip2"))
    (True, False)
    """
    return error is not None and error.facts.get("reason") in DAMAGED


class Source(NamedTuple):
    """One verified Bronze file: its key, bytes, hashes and the period it covers.

    ``etag_counts`` is False where the ETag is known to be no md5.
    """

    key: str
    size: int
    sha256: str | None
    etag: str | None
    period: Period
    checksum_etag: str | None = None
    etag_counts: bool = True

    def absent(self) -> CorruptArchive:
        """Return the error of a file that the ledger has and Bronze does not."""
        message = f"{self.key} is in the ledger but not in Bronze; pull it again."
        return CorruptArchive(message, key=self.key, reason="absent")

    def unreadable(self, error: OSError) -> CorruptArchive:
        """Return the error of a file that the disk does not give."""
        message = f"{self.key} cannot be read ({error}); run `cryptolake verify --repair` and pull it again."
        return CorruptArchive(message, key=self.key, reason="unreadable")

    def empty(self) -> CorruptArchive:
        """Return the error of a file with an empty CSV, which does not even have a header."""
        message = f"{self.key} holds an empty CSV: neither a row nor a header."
        return CorruptArchive(message, key=self.key, reason="empty")

    def changed(self) -> CorruptArchive:
        """Return the error of a file whose bytes are not the ones that were verified."""
        message = (
            f"{self.key} is not the file that was verified (sha256 differs from the ledger's); "
            "run `cryptolake verify` and pull it again."
        )
        return CorruptArchive(message, key=self.key, reason="sha256_differs")
