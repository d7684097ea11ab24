"""An archive folder: zips with one CSV each and their CHECKSUM sidecars, the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptolake.archive.enums import Market, Partition
from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.errors import StorageError

try:
    from isal import isal_zlib as _deflate
except ImportError:  # an optional speed-up
    import zlib as _deflate  # type: ignore[no-redef]

if TYPE_CHECKING:
    from cryptolake.archive.periods import Period

_NO_LINE_END_BEFORE = datetime(2023, 9, 1, tzinfo=UTC)


def published_at(period: Period, market: Market) -> datetime:
    """Return when a file appears: a day's after midnight, a month's on the Monday after it.

    Examples
    --------
    >>> from cryptolake.archive.periods import Period
    >>> published_at(Period.parse("2025-01"), Market.SPOT).isoformat()
    '2025-02-03T07:26:00+00:00'
    """
    end = period.days.end
    if period.partition is Partition.MONTHLY:
        return end + timedelta(days=-end.weekday() % 7, hours=7, minutes=26)
    return end + (
        timedelta(minutes=38) if market is Market.SPOT else timedelta(hours=8, minutes=40)
    )


def make_zip(name: str, text: bytes, moment: datetime, market: Market) -> bytes:
    """Return a zip with one deflated member, made as the archive makes them.

    ``zipfile`` deflates with zlib, which takes three times as long: the headers are written here.
    """
    info = member_info(name, moment, market)
    deflater = _deflate.compressobj(1, _deflate.DEFLATED, -15)
    deflated = deflater.compress(text) + deflater.flush()
    info.CRC, info.file_size, info.compress_size = _deflate.crc32(text), len(text), len(deflated)
    local = info.FileHeader()
    entry = _directory_entry(info)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(deflated), 0)
    return b"".join((local, deflated, entry, end))


def _directory_entry(info: zipfile.ZipInfo) -> bytes:
    """Return a member's entry in the directory of a zip, which begins with its local header."""
    year, month, day, hour, minute, second = info.date_time
    name, flags = info.filename.encode(), 0 if info.filename.isascii() else 0x800
    head = struct.pack(
        "<4s4B4H3L5H2L",
        *(b"PK\1\2", info.create_version, info.create_system, info.extract_version, 0),
        *(flags, info.compress_type, hour << 11 | minute << 5 | second // 2),
        *((year - 1980) << 9 | month << 5 | day, info.CRC, info.compress_size, info.file_size),
        *(len(name), len(info.extra), 0, 0, 0, info.external_attr, 0),
    )
    return head + name + info.extra


def member_info(name: str, moment: datetime, market: Market) -> zipfile.ZipInfo:
    """Return a member's head: mode 0644; futures zips carry Unix times and owners besides."""
    info = zipfile.ZipInfo(name, moment.timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    if market is not Market.SPOT:
        info.create_version = 30
        stamp = int(moment.timestamp())
        info.extra = struct.pack("<2sHBI", b"UT", 5, 1, stamp)
        info.extra += struct.pack("<2sHBBIBI", b"ux", 11, 1, 4, 0, 4, 0)
    return info


def make_sidecar(data: bytes, basename: str, moment: datetime) -> bytes:
    """Return a CHECKSUM sidecar; those of old files lack the line end."""
    digest = hashlib.sha256(data).hexdigest()
    end = "" if moment < _NO_LINE_END_BEFORE else "\n"
    return f"{digest}  {basename}{end}".encode()


class ArchiveFolder:
    """Write and read the files of a folder in archive layout. Keys begin with ``data/``.

    A file's time of change is the moment it would have been published, which an endpoint that serves the
    folder reports as its last modification.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: set[Path] = set()

    def path(self, key: str) -> Path:
        """Return where a key's file lies."""
        return self.root / key

    def write(self, key: str, data: bytes, moment: datetime) -> None:
        """Write one object."""
        path = self.path(key)
        try:
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(data)
        except OSError as error:
            message = f"cannot write the sample archive into {self.root}: {error.strerror}. Choose another folder."
            raise StorageError(message, path=path) from error
        stamp = int(moment.timestamp())
        os.utime(path, (stamp, stamp))

    def write_zip(self, key: str, text: bytes, moment: datetime, market: Market) -> int:
        """Write a zip and its sidecar; return the zip's size."""
        basename = file_name(key)
        data = make_zip(basename.removesuffix(".zip") + ".csv", text, moment, market)
        self.write_pair(key, data, moment)
        return len(data)

    def write_pair(self, key: str, data: bytes, moment: datetime) -> None:
        """Write a zip's bytes as they are, and the sidecar that fits them."""
        self.write(key, data, moment)
        basename = file_name(key)
        self.write(key + CHECKSUM, make_sidecar(data, basename, moment), moment)

    def read_text(self, key: str) -> bytes:
        """Return the CSV of a zip that holds one member."""
        with zipfile.ZipFile(self.path(key)) as archive:
            return archive.read(archive.namelist()[0])

    def moment(self, key: str) -> datetime:
        """Return when a key's file was published."""
        return datetime.fromtimestamp(self.path(key).stat().st_mtime, UTC)

    def zip_keys(self) -> list[str]:
        """Return the keys of every zip, sorted."""
        found = (self.root / "data").rglob("*.zip")
        return sorted(path.relative_to(self.root).as_posix() for path in found)
