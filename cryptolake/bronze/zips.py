"""One CSV out of one zip, within limits: what the archive never publishes is refused by name.

The directory is read by ``zipfile``; the bytes are inflated by isal where it is installed (some two and
a half times faster), else by zlib, never past what the directory states, and their CRC is checked.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from cryptolake.errors import CorruptArchive

try:
    from isal import isal_zlib as _inflater
except ImportError:  # an optional speed-up
    import zlib as _inflater  # type: ignore[no-redef]

_LOCAL_HEADER = 30
_ARCHIVE_NAME = re.compile(r"[^/]+-[^/-]+-\d{4}-\d{2}(-\d{2})?")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a zip may be before it is refused unopened.

    Deflate can shrink a run of equal bytes a thousandfold; the archive's files shrink three to thirty
    times, so the default ratio has room and still stops a bomb before it is inflated.
    """

    max_bytes: int = 256 * 2**30
    """Bytes of CSV that one zip may hold."""
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
    """Find the one CSV of an open zip.

    Raises
    ------
    CorruptArchive
        It is no zip, holds other than one plain file, or one named as another file's CSV, is encrypted,
        uses another compression than deflate, or states more bytes than the limits allow.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        OSError,
        ValueError,
        EOFError,
        struct.error,
    ) as error:
        raise _corrupt(key, "not_a_zip", f"cannot be opened as a zip ({error})") from error
    if len(members) != 1:
        names = [info.filename for info in members[:4]]
        raise _corrupt(key, "members", f"holds {len(members)} members, not one: {names}")
    (info,) = members
    if info.flag_bits & 1:
        raise _corrupt(key, "encrypted", "is encrypted")
    if info.compress_type not in {zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED}:
        raise _corrupt(
            key, "compression", f"uses compression method {info.compress_type}, not deflate"
        )
    if _of_another(info.filename, key):
        raise _corrupt(key, "wrong_file", f"holds the CSV of another file, {info.filename!r}")
    _within(key, info.compress_size, info.file_size, limits)
    try:
        file.seek(info.header_offset)
        head = file.read(_LOCAL_HEADER)
        if len(head) != _LOCAL_HEADER or head[:4] != b"PK\x03\x04":
            raise _corrupt(key, "not_a_zip", "has no member where its directory says")
    except (OSError, ValueError) as error:
        raise _corrupt(key, "not_a_zip", f"cannot be read ({error})") from error
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    return Member(
        name=info.filename,
        offset=info.header_offset + _LOCAL_HEADER + name_length + extra_length,
        stored=info.compress_type == zipfile.ZIP_STORED,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
    )


def inflate(data: bytes, key: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the CSV text of a zip's bytes.

    Raises
    ------
    CorruptArchive
        As :func:`find_member`; or the bytes do not inflate to what the directory states, or their CRC
        differs.
    """
    member = find_member(BytesIO(data), key, limits)
    packed = data[member.offset : member.offset + member.packed]
    if member.stored:
        text = packed
    else:
        engine = _inflater.decompressobj(wbits=-15)
        try:
            text = engine.decompress(packed, member.size + 1)
        except Exception as error:  # isal and zlib have each their own error class
            raise _corrupt(key, "deflate", f"does not inflate ({error})") from error
    _whole(key, member, len(text), _inflater.crc32(text))
    return text


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
    _whole(key, member, made, crc)


def _step(engine: Any, pending: bytes, chunk: int, key: str) -> tuple[bytes, bytes]:
    if engine.eof:
        return b"", b""
    try:
        text: bytes = engine.decompress(pending, chunk)
    except Exception as error:
        raise _corrupt(key, "deflate", f"does not inflate ({error})") from error
    return text, engine.unconsumed_tail


def _of_another(name: str, key: str) -> bool:
    """Whether a member is named as the archive names CSVs, after another symbol, type or period.

    Examples
    --------
    >>> (
    ...     _of_another("ETHUSDT-1h-2024-01.csv", "BTCUSDT-1h-2024-01.zip"),
    ...     _of_another("x.csv", "y.zip"),
    ... )
    (True, False)
    """
    inner, own = name.removesuffix(".csv"), key.rsplit("/", 1)[-1].removesuffix(".zip")
    return inner.lower() != own.lower() and bool(_ARCHIVE_NAME.fullmatch(inner))


def _within(key: str, packed: int, size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        detail = (
            f"states {size:,} bytes of CSV, above the limit of {limits.max_bytes:,} (max_bytes)"
        )
        raise _corrupt(key, "too_big", detail)
    if size > max(packed, 1) * limits.max_ratio:
        detail = (
            f"states {size:,} bytes of CSV in {packed:,}, above the limit of {limits.max_ratio:g} times "
            "(max_ratio)"
        )
        raise _corrupt(key, "too_big", detail)


def _whole(key: str, member: Member, made: int, crc: int) -> None:
    if made != member.size:
        more = "more" if made > member.size else "other"
        detail = f"inflates to {more} than the {member.size:,} bytes its directory states"
        raise _corrupt(key, "size", detail)
    if crc != member.crc:
        raise _corrupt(key, "crc", "fails its CRC: the bytes inside are damaged")


def _corrupt(key: str, reason: str, detail: str) -> CorruptArchive:
    message = f"{key} {detail}. Fetch it again (`cryptolake verify`), or leave it out."
    return CorruptArchive(message, key=key, reason=reason, detail=detail)
