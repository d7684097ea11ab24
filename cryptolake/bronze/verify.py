"""Is this file what the archive publishes? Bytes against CHECKSUM and ETag, and the zip's own structure.

Three cases are kept apart (DESIGN 5.2): bytes that differ from the listing's ETag are a **transport**
fault and are fetched again; bytes that match the ETag but not the CHECKSUM have a **stale** sidecar of the
archive's own; and where no CHECKSUM is published, the ETag decides. A zip that is what the archive
publishes and still is not one CSV in a sound zip is **corrupt**. Where the endpoint's ETags are known to be no
md5s (:mod:`cryptolake.bronze.etags`), they decide nothing, and a CHECKSUM that fits overrules any.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from cryptolake.bronze.etags import EtagMeaning, agrees
from cryptolake.bronze.zips import find_member
from cryptolake.errors import CorruptArchive

Finding = Literal["good", "transport", "sidecar_transport", "stale", "bad_sidecar", "corrupt"]
"""What a file turned out to be. ``sidecar_transport``: the zip is as listed, its sidecar arrived wrong;
``bad_sidecar``: the archive's own sidecar names another file, or holds no hash."""

Proof = Literal["sha256", "none_published", "etag", "size", "stale_accepted"]
"""What a good file was checked against: its CHECKSUM; the ETag, since no CHECKSUM is published; the ETag
alone, after a copy inside S3; the listed size alone, since there is no CHECKSUM or it was not read, and the ETag
is no md5; the ETag, since the CHECKSUM is stale and the user accepts that."""

Policy = Literal["quarantine", "accept", "raise"]
"""What becomes of a file whose bytes are the listed ones and whose CHECKSUM says otherwise."""

REASONS = {
    "stale": "stale_checksum",
    "bad_sidecar": "bad_sidecar",
    "corrupt": "corrupt_zip",
}
"""The quarantine's word for each finding."""

_CHUNK = 2**20

_SMALL = 4 * 2**20


class Expected(NamedTuple):
    """What the listing says of a file and of its sidecar. ETags without quotes; None: not published.

    ``sha256`` is what a lock pins: any other bytes are refused.
    """

    size: int
    etag: str | None
    checksum_size: int | None = None
    checksum_etag: str | None = None
    sha256: str | None = None


class Verdict(NamedTuple):
    """What was found. ``md5`` is None where it was not needed."""

    finding: Finding
    size: int
    sha256: str
    md5: str | None
    proof: Proof | None
    detail: str


def parse_sidecar(text: bytes, name: str) -> str:
    """Return the sha256 that a CHECKSUM sidecar gives for the file ``name``.

    Raises
    ------
    CorruptArchive
        It holds no hash, or names another file.

    Examples
    --------
    >>> parse_sidecar(b"0" * 64 + b"  A-1m-2024-01-01.zip", "A-1m-2024-01-01.zip")[:4]
    '0000'
    >>> parse_sidecar(b"<html>", "A.zip")
    Traceback (most recent call last):
    cryptolake.errors.CorruptArchive: the sidecar of A.zip holds no sha256: it begins b'<html>'
    """
    line = text.removesuffix(b"\n").removesuffix(b"\r")
    match = re.fullmatch(rb"([0-9a-fA-F]{64})[ \t]+\*?([^\r\n]+)", line)
    if match is None:
        message = f"the sidecar of {name} holds no sha256: it begins {line[:40]!r}"
        raise CorruptArchive(message, name=name, reason="sidecar_without_hash")
    named = match[2].decode("utf-8", "replace")
    if named != name:
        message = f"the sidecar of {name} names another file: {named!r}"
        raise CorruptArchive(message, name=name, named=named, reason="sidecar_names_another_file")
    return match[1].decode().lower()


_FORMS = tuple((mark, end) for mark in (b"  ", b" *") for end in (b"\n", b"", b"\r\n"))
"""How a CHECKSUM may be written: two blanks, or a blank and a star; with or without a line's end."""


def sidecar_of(sha256: str, name: str, etag: str | None) -> bytes | None:
    r"""Return the CHECKSUM that gives a file this sha256, if its md5 is this ETag; else None.

    A CHECKSUM is a hash and a name, so the listing's ETag of it tells what it says without its being asked.

    Examples
    --------
    >>> text = b"0" * 64 + b"  A-1m-2024-01-01.zip\n"
    >>> etag = hashlib.md5(text).hexdigest()
    >>> sidecar_of("0" * 64, "A-1m-2024-01-01.zip", etag) == text
    True
    >>> sidecar_of("1" * 64, "A-1m-2024-01-01.zip", etag) is None
    True
    """
    for mark, end in _FORMS:
        text = sha256.encode() + mark + name.encode() + end
        if agrees(hashlib.md5(text, usedforsecurity=False).hexdigest(), etag):
            return text
    return None


class Evidence(Protocol):
    """What is known of bytes that arrived, wherever they are."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    @property
    def sha256(self) -> str:
        """Their sha256."""

    def md5(self) -> str:
        """Return the md5, which may take reading them once more."""

    def head(self) -> bytes:
        """Return the first bytes."""

    def structure(self, name: str) -> None:
        """Raise CorruptArchive when they are no sound zip of one CSV."""


class FileEvidence:
    """A file on this disk. A small one is read once and looked at in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data: bytes | None = None
        self._md5: str | None = None
        self.size = path.stat().st_size
        if self.size <= _SMALL:
            self._data = path.read_bytes()
            self.size = len(self._data)
            self.sha256 = hashlib.sha256(self._data).hexdigest()
        else:
            self.sha256, self.size = _digest(path, "sha256")

    def md5(self) -> str:
        """Return the md5: a large file is read again, once."""
        if self._data is not None:
            return hashlib.md5(self._data, usedforsecurity=False).hexdigest()
        if self._md5 is None:
            self._md5 = _digest(self._path, "md5")[0]
        return self._md5

    def head(self) -> bytes:
        """Return the first bytes."""
        if self._data is not None:
            return self._data[:512]
        with self._path.open("rb") as file:
            return file.read(512)

    def structure(self, name: str) -> None:
        """Raise CorruptArchive when it is no sound zip of one CSV."""
        with self._path.open("rb") if self._data is None else io.BytesIO(self._data) as file:
            find_member(file, name)


def check_file(
    zip_path: Path,
    sidecar: bytes | None,
    expected: Expected,
    name: str,
    *,
    found: bool = False,
    etags: EtagMeaning | None = None,
) -> Verdict:
    """Check a zip on this disk; see :func:`check`."""
    return check(FileEvidence(zip_path), sidecar, expected, name, found=found, etags=etags)


def check(
    evidence: Evidence,
    sidecar: bytes | None,
    expected: Expected,
    name: str,
    *,
    found: bool = False,
    etags: EtagMeaning | None = None,
) -> Verdict:
    """Check a zip that has arrived, with its sidecar's bytes.

    Where those are None no sidecar is published, or, if its ETag is known, it was left where it is: then
    that ETag tells what it says.

    md5 is asked for only where it decides something: no sidecar, a sidecar that does not agree, or a file
    that was ``found`` in the lake rather than fetched just now: zip and sidecar can then both be of an
    earlier version than the listing's. Of some files that the CHECKSUM proves it is asked for as well, for
    ``etags`` to learn whether the listing's ETags are md5s.
    """
    etags = etags or EtagMeaning()
    size, sha256 = evidence.size, evidence.sha256
    if expected.sha256 not in {None, sha256}:
        detail = f"sha256 is {sha256}, the lock pins {expected.sha256}"
        return Verdict("transport", size, sha256, evidence.md5(), None, detail)
    if (found or sidecar is None) and (fault := _transport_fault(evidence, expected, etags)):
        return fault
    if sidecar is None:
        return _structured(evidence, _by_etags(evidence, expected, name, etags), name)
    finding: Finding = "stale"
    try:
        promised = parse_sidecar(sidecar, name)
        detail = f"sha256 is {sha256}, its CHECKSUM says {promised}"
    except CorruptArchive as error:
        promised, finding, detail = "", "bad_sidecar", str(error)
    if promised == sha256:
        # A new size with the right sha256: the archive rewrote both after the listing was taken.
        listed = size == expected.size
        md5 = None if listed and not etags.wants(expected.etag, size) else evidence.md5()
        if listed:
            etags.learn(md5, expected.etag)
        return _structured(evidence, Verdict("good", size, sha256, md5, "sha256", ""), name)
    # Is it a fault of the archive or of the transport? The ETags of zip and sidecar decide.
    if fault := _transport_fault(evidence, expected, etags):
        return fault
    sidecar_md5 = hashlib.md5(sidecar, usedforsecurity=False).hexdigest()
    if etags.agrees(sidecar_md5, expected.checksum_etag) is False:
        arrived = f"the sidecar that arrived is not the listed one: {detail}"
        return Verdict("sidecar_transport", size, sha256, evidence.md5(), None, arrived)
    verdict = Verdict(finding, size, sha256, evidence.md5(), None, detail)
    return _structured(evidence, verdict, name)


def _by_etags(evidence: Evidence, expected: Expected, name: str, etags: EtagMeaning) -> Verdict:
    """Return the verdict on the listed bytes, whose sidecar is not here."""
    sha256, md5, stated = evidence.sha256, evidence.md5(), expected.checksum_etag
    proof: Proof = "size" if etags.agrees(md5, expected.etag) is None else "none_published"
    good = Verdict("good", evidence.size, sha256, md5, proof, "")
    if stated is None:
        return good
    if sidecar_of(sha256, name, stated) is not None:
        return good._replace(proof="sha256")
    if proof == "size" or etags.agrees(md5, stated) is None:  # these ETags prove no more
        return good._replace(proof="size" if proof == "size" else "etag")
    detail = (
        f"sha256 is {sha256}, and no CHECKSUM that says so has the ETag of the archive's ({stated})"
    )
    return good._replace(finding="stale", proof=None, detail=detail)


def is_page(head: bytes) -> bool:
    """Say whether bytes that should be a zip begin as a web page does.

    Examples
    --------
    >>> is_page(b"<!DOCTYPE html>"), is_page(b"PK")
    (True, False)
    """
    return head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml"))


def _transport_fault(evidence: Evidence, expected: Expected, etags: EtagMeaning) -> Verdict | None:
    """Return the verdict on bytes that are not the listed ones, else None."""
    md5 = evidence.md5()
    if evidence.size == expected.size:
        if etags.agrees(md5, expected.etag) is not False:
            return None
        etags.doubted = True
    if is_page(evidence.head()):
        detail = f"the endpoint answered with a web page of {evidence.size} bytes, not the file"
    elif evidence.size != expected.size:
        detail = f"{evidence.size} bytes arrived, the listing says {expected.size}"
    else:
        detail = f"the bytes' md5 is {md5}, the listing's ETag is {expected.etag}"
    return Verdict("transport", evidence.size, evidence.sha256, md5, None, detail)


def _structured(evidence: Evidence, verdict: Verdict, name: str) -> Verdict:
    try:
        evidence.structure(name)
    except CorruptArchive as error:
        return verdict._replace(finding="corrupt", proof=None, detail=f"{name} {error.detail}")
    return verdict


def _digest(path: Path, algorithm: str) -> tuple[str, int]:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
