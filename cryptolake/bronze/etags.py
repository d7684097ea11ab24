"""What an ETag says of bytes: their md5, or nothing. Learnt from files that their CHECKSUM proves.

The archive's own ETags are md5s. Those of a bucket that encrypts with KMS look the same and are none, those
of multipart uploads say so themselves, and some stores have their own. An ETag that is no md5 decides nothing.
"""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

Kind = Literal["md5", "opaque"]

_SMALL = 4 * 2**20
_ENOUGH = 3
"""Files whose md5 is compared with their ETag in a run, as long as none has it."""


def agrees(digest: str, etag: str | None) -> bool | None:
    """Say whether an md5 is the one an ETag states; None for a multipart or absent ETag, which states none.

    Examples
    --------
    >>> agrees("a" * 32, "a" * 32), agrees("a" * 32, "b" * 32), agrees("a" * 32, "b" * 32 + "-2")
    (True, False, None)
    """
    if etag is None or not re.fullmatch(r"[0-9a-fA-F]{32}", etag):
        return None
    return digest == etag.lower()


class EtagMeaning:
    """Whether the ETags of an endpoint are md5s, as far as it is known; they count as such until it is.

    Parameters
    ----------
    prior
        What was known before. What is learnt here counts more.
    needed
        How many proven files must have another md5 than their ETag, and none the same, for ETags to be no md5s.

    Examples
    --------
    >>> meaning = EtagMeaning()
    >>> meaning.agrees("a" * 32, "b" * 32)
    False
    >>> meaning.learn("a" * 32, "b" * 32)  # of a file that its CHECKSUM proves
    >>> meaning.opaque, meaning.agrees("a" * 32, "b" * 32)
    (True, None)
    """

    def __init__(self, prior: Kind | None = None, *, needed: int = 1) -> None:
        self._prior, self._needed = prior, needed
        self._same = self._other = 0
        self.doubted = False

    @classmethod
    def of(cls, ledger: pl.DataFrame) -> EtagMeaning:
        """Return what ledger rows tell: the newest of a file that its CHECKSUM proves and whose md5 was taken.

        Rows without the listing's time have an ETag that is no listing's.
        """
        etag = pl.col("etag").str.to_lowercase()
        told = ledger.filter(
            pl.col("verified") == "sha256",
            pl.col("md5").is_not_null(),
            pl.col("last_modified").is_not_null(),
            etag.str.contains("^[0-9a-f]{32}$"),
        )
        if told.is_empty():
            return cls()
        newest = told.sort("fetched_at").tail(1)
        return cls("md5" if newest.select(pl.col("md5") == etag).item() else "opaque")

    @property
    def opaque(self) -> bool:
        """Whether ETags are known to be no md5s."""
        if self._same or self._other:
            return not self._same and self._other >= self._needed
        return self._prior == "opaque"

    def wants(self, etag: str | None, size: int) -> bool:
        """Say whether the md5 of a proven file would tell something that is worth taking it.

        A large file is hashed for this only where an ETag was in doubt.
        """
        open_ = not self._same and self._other < _ENOUGH
        return open_ and (size <= _SMALL or self.doubted) and agrees("", etag) is not None

    def learn(self, md5: str | None, etag: str | None) -> None:
        """Compare the md5 of a file that its CHECKSUM proves with its ETag in the listing."""
        found = None if md5 is None else agrees(md5, etag)
        if found is not None:
            self._same += found
            self._other += not found

    def agrees(self, digest: str, etag: str | None) -> bool | None:
        """Say whether an md5 is the one an ETag states; None where ETags of this kind state none."""
        found = agrees(digest, etag)
        if found is False and self.opaque:
            return None
        return found
