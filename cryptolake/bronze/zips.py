"""One CSV out of one zip, within limits: what is not one sound CSV is refused, by name and reason.

:func:`find_member` is the one judgement of a zip's structure: a transfer asks it before a file enters
Bronze, a reader before it inflates. The directory is read by ``zipfile``; the bytes are inflated by isal
where it is installed (some two and a half times faster), else by zlib, never past what the directory
states, and their CRC is checked.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from cryptolake.archive.keys import ZIP, file_name
from cryptolake.errors import CorruptArchive

try:
    from isal import isal_zlib as _inflater
except ImportError:  # an optional speed-up
    import zlib as _inflater  # type: ignore[no-redef]

_LOCAL_HEADER = 30
_SMALL = 128 * 2**10
"""Bytes of a member that is inflated in one step."""
_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    ValueError,
    EOFError,
    struct.error,
)
_METHODS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
_ARCHIVE_NAME = re.compile(r"[^/]+-[^/-]+-\d{4}-\d{2}(-\d{2})?")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a zip may be before it is refused unopened.

    Deflate can shrink a run of equal bytes a thousandfold; the archive's files shrink three to thirty
    times, so the default ratio has room and still stops a bomb before it is inflated.
    """

    max_bytes: int = 64 * 2**30
    """Bytes of CSV that one zip may hold; the largest real ones are below 20 GiB."""
    max_ratio: float = 400.0
    """How many times its own size a zip may inflate to."""
    max_line: int = 64 * 1024
    """Bytes a line may have; a longer one is rejected."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Member:
    """Where the one CSV of a zip lies, and what the directory says of it."""

    name: str
    offset: int
    stored: bool
    packed: int
    size: int
    crc: int


def find_member(file: IO[bytes], key: str, limits: Limits = DEFAULT_LIMITS) -> Member:
    """Find the one CSV of an open zip; nothing is inflated.

    Parameters
    ----------
    file
        The zip; its first member's header and its directory are read.
    key
        The archive key, or the last part of it: what the messages name and the CSV should be named after.
    limits
        How large the CSV may be.

    Raises
    ------
    CorruptArchive
        It is no zip, holds other than one plain file, or one named as another file's CSV, is encrypted,
        uses another compression than deflate, or states more bytes than the limits allow.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except _UNREADABLE as error:
        raise _corrupt(key, "not_a_zip", f"is not a sound zip ({error})") from error
    if len(members) != 1:
        names = ", ".join(repr(info.filename) for info in members[:3]) or "none"
        raise _corrupt(key, "members", f"holds {len(members)} members ({names}), not one CSV")
    (info,) = members
    _check_name(info.filename, key)
    if info.flag_bits & 1:
        raise _corrupt(key, "encrypted", "is encrypted")
    if info.compress_type not in _METHODS:
        detail = f"uses compression method {info.compress_type}, not deflate"
        raise _corrupt(key, "compression", detail)
    _check_size(key, info.compress_size, info.file_size, limits)
    return Member(
        name=info.filename,
        offset=_data_offset(file, info.header_offset, key),
        stored=info.compress_type == zipfile.ZIP_STORED,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
    )


def _data_offset(file: IO[bytes], header: int, key: str) -> int:
    """Return where a member's bytes begin: a zip whose directory is right may still lack its data."""
    try:
        file.seek(header)
        head = file.read(_LOCAL_HEADER)
    except (OSError, ValueError) as error:
        raise _corrupt(key, "not_a_zip", f"is not a sound zip ({error})") from error
    if len(head) != _LOCAL_HEADER or head[:4] != b"PK\x03\x04":
        raise _corrupt(key, "not_a_zip", "is not a sound zip (no member where its directory says)")
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    return header + _LOCAL_HEADER + int(name_length) + int(extra_length)


def inflate(data: bytes, key: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the CSV text of a zip's bytes.

    Raises
    ------
    CorruptArchive
        As :func:`find_member`; or the bytes do not inflate to what the directory states, or their CRC
        differs.
    """
    return inflate_member(data, find_member(BytesIO(data), key, limits), key)


def inflate_member(data: bytes, member: Member, key: str) -> bytes:
    """Return the CSV text of a zip's bytes, whose one member was found.

    Raises
    ------
    CorruptArchive
        The bytes do not inflate to what the directory states, or their CRC differs.
    """
    packed = memoryview(data)[member.offset : member.offset + member.packed]
    text = bytes(packed) if member.stored else _inflated(packed, member, key)
    _check_text(key, member, len(text), _inflater.crc32(text))
    return text


def _inflated(packed: memoryview, member: Member, key: str) -> bytes:
    """Inflate a member, no further than a byte beyond its stated size where that could be much.

    In one step it takes a third less time, and of small ones little memory whatever they hold: deflate makes
    at most 1,032 times its bytes.
    """
    if len(packed) <= _SMALL:
        # What is wrong with a damaged one is found below.
        with suppress(Exception):  # isal and zlib have each their own error class
            return bytes(_inflater.decompress(packed, -15, member.size + 1))
    engine = _inflater.decompressobj(wbits=-15)
    try:
        return bytes(engine.decompress(packed, member.size + 1))
    except Exception as error:
        raise _corrupt(key, "deflate", f"does not inflate ({error})") from error


def inflate_chunks(
    file: IO[bytes], key: str, limits: Limits = DEFAULT_LIMITS, *, chunk: int = 16 * 2**20
) -> Iterator[bytes]:
    """Yield the CSV text of an open zip in pieces of about ``chunk`` bytes.

    Raises
    ------
    CorruptArchive
        As :func:`inflate`, the CRC at the end: what was yielded before is not to be kept then.
    """
    member = find_member(file, key, limits)
    file.seek(member.offset)
    engine = None if member.stored else _inflater.decompressobj(wbits=-15)
    left, made, crc = member.packed, 0, 0
    pending = b""
    while True:
        if not pending and left:
            pending = file.read(min(left, 2**20))
            if not pending:
                raise _corrupt(key, "truncated", "ends before its member does")
            left -= len(pending)
        if engine is None:
            text, pending = pending, b""
        else:
            text, pending = _step(engine, pending, chunk, key)
        made += len(text)
        crc = _inflater.crc32(text, crc)
        if made > member.size:
            break
        if text:
            yield text
        elif not left and not pending:
            break
    _check_text(key, member, made, crc)


def _step(engine: Any, pending: bytes, chunk: int, key: str) -> tuple[bytes, bytes]:
    if engine.eof:
        return b"", b""
    try:
        text: bytes = engine.decompress(pending, chunk)
    except Exception as error:
        raise _corrupt(key, "deflate", f"does not inflate ({error})") from error
    return text, engine.unconsumed_tail


def _check_name(name: str, key: str) -> None:
    """Refuse a member that is no plain file, or is named after another symbol, type or period."""
    if not name or set(name) & set("/\\:\0") or name in {".", ".."}:
        detail = f"has a member named {name!r}, which is not a plain file name"
        raise _corrupt(key, "member_name", detail)
    inner, own = name.removesuffix(".csv"), file_name(key).removesuffix(ZIP)
    if inner.lower() != own.lower() and _ARCHIVE_NAME.fullmatch(inner):
        raise _corrupt(key, "wrong_file", f"holds the CSV of another file, {name!r}")


def _check_size(key: str, packed: int, size: int, limits: Limits) -> None:
    detail = f"says that its member inflates to {size:,} bytes from {packed:,}"
    if size > limits.max_bytes:
        above = f"above the limit of {limits.max_bytes:,} (max_bytes)"
        raise _corrupt(key, "too_big", f"{detail}, {above}")
    if size > max(packed, 1) * limits.max_ratio:
        above = f"above the limit of {limits.max_ratio:g} times (max_ratio)"
        raise _corrupt(key, "too_big", f"{detail}, {above}")


def _check_text(key: str, member: Member, size: int, crc: int) -> None:
    if size != member.size:
        more = "more" if size > member.size else "other"
        detail = f"inflates to {more} than the {member.size:,} bytes its directory states"
        raise _corrupt(key, "size", detail)
    if crc != member.crc:
        raise _corrupt(key, "crc", "fails its CRC: the bytes inside are damaged")


_DAMAGE = frozenset({"not_a_zip", "truncated", "deflate", "size", "crc"})
"""Reasons that damage on this side can have; the others are the archive's own doing."""


def _corrupt(key: str, reason: str, detail: str) -> CorruptArchive:
    what = "Fetch it again (`cryptolake verify`), or leave" if reason in _DAMAGE else "Leave"
    message = f"{key} {detail}. {what} it out."
    return CorruptArchive(message, key=key, reason=reason, detail=detail)
