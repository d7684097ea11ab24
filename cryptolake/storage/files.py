"""The lake's own files, on a disk or in a bucket, under one small interface.

Nothing is touched when a storage is opened. Paths are relative to the root with ``/`` between their
parts; none of them can leave it. A file at its path is whole: writes are atomic on both kinds.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import stat
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple

from cryptolake.errors import StorageError
from cryptolake.storage.errors import in_words
from cryptolake.storage.layout import ZONES, checked
from cryptolake.storage.placing import make_folder, place
from cryptolake.storage.process import check_system
from cryptolake.storage.s3_config import S3Config, keys_among
from cryptolake.storage.s3_listing import objects
from cryptolake.user_files import user_path

if TYPE_CHECKING:
    from cryptolake.archive.source import ArchivePlace

OLD = 3600
"""Seconds after which a draft is nobody's: what is written there takes moments."""

_PIECE = 8 * 2**20
"""Bytes of a file that are in memory at a time."""

_FILES = (".parquet", ".zip", ".CHECKSUM")
"""Endings of files. A folder with such a name is in the place of one: it is listed, and cannot be read."""

_BLOCK = 8 * 2**20
"""Bytes that one request reads of an open object."""

_AT_ONCE = 1000
"""Objects that one request removes at most."""

_MOST_LINKS = 4
"""Links to folders that are followed one after another."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""What begins like a URL; pathlib makes one '/' of two."""

_DRAFT = re.compile(r"\..+\.[0-9a-f]{12}")


_SYNCFS = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None
"""Linux's flush of one filesystem, which Python does not offer; ``os.sync`` flushes them all."""


class Entry(NamedTuple):
    """A file of the lake: its path under the root, bytes, ETag (S3 only) and time of change (UTC)."""

    path: str
    size: int
    etag: str | None
    modified: datetime


Files = list[Entry]
"""Named, since inside a Storage the word ``list`` is a method."""


class Storage(ABC):
    """Where a lake's files are. Errors of the disk or the bucket surface as ``StorageError``."""

    root: str
    """The root as given, for people to read; it never holds credentials."""

    is_local: bool

    format: int | None = None
    """The format of the lake: None until it was read, 0 where the lake does not say (``lake_format``)."""

    archive: ArchivePlace | None = None
    """The archive that the lake is of, as it was last read; None where the lake does not say."""

    adopted: datetime | None = None
    """When that archive took another one's place (UTC); None where none did."""

    @abstractmethod
    def list(self, prefix: str, skip: tuple[str, ...] = ()) -> Files:
        """Return every file below a folder, recursively and sorted; empty when there is none.

        What is below the folders ``skip`` is left out, and costs a bucket no requests.
        """

    @abstractmethod
    def begun(self) -> bool:
        """Say whether there is a lake at the root yet.

        Raises
        ------
        StorageError
            There can be none: the root is a file, or in a bucket that does not exist.
        """

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Say whether there is a file at the path."""

    @abstractmethod
    def size(self, path: str) -> int | None:
        """Return a file's bytes; None when there is none."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a file's bytes; FileNotFoundError when there is none."""

    @abstractmethod
    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; FileNotFoundError when there is none."""

    @abstractmethod
    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """Yield a file's bytes, a few MB at a time; FileNotFoundError when there is none.

        ``size`` is what the file is expected to have: an object of one piece is read in one request.
        """

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put a file at its path, whole or not at all."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file; no error when there is none."""

    def delete_all(self, paths: Sequence[str]) -> None:
        """Remove files; no error where there is none."""
        for path in paths:
            self.delete(path)

    @abstractmethod
    def url(self, path: str = "") -> str:
        """Return the absolute local path, or the ``s3://`` URL, of a path under the root."""

    @property
    def polars_arguments(self) -> dict[str, Any]:
        """The arguments that Polars' readers need to reach the root; none on a disk."""
        return {}

    def sync(self) -> None:  # noqa: B027 - a bucket keeps what it has acknowledged
        """Make all that was written so far survive a power failure."""

    def local(self, path: str = "") -> Path:
        """Return the path on disk; StorageError where the root is a bucket."""
        message = f"{self.root} is not on a local disk, so it has no path for {path!r}."
        raise StorageError(message, root=self.root)

    def target(self, path: str) -> Path:
        """Return the path on disk of a file that is written, moved or deleted.

        Raises
        ------
        StorageError
            The root is a bucket, or a link leads out of the lake on the way there.
        """
        return self.local(path)


class LocalStorage(Storage):
    """A lake in a folder."""

    is_local = True

    def __init__(self, root: str | os.PathLike[str]) -> None:
        # abspath, not resolve(): a lake behind a symbolic link keeps the name its owner gave it.
        self._root = Path(os.path.abspath(user_path(root)))  # noqa: PTH100
        self.root = str(self._root)
        _check_root(self.root, "" if os.sep == "\\" else "\\")
        self._swept: set[Path] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalStorage, (self.root,)

    def local(self, path: str = "") -> Path:
        """Return the path on disk."""
        return self._root / checked(path) if path else self._root

    def target(self, path: str) -> Path:
        """Return the path on disk of a file that is written, moved or deleted."""
        found = self.local(path)
        root, folder = os.path.realpath(self._root), os.path.realpath(found.parent)
        if folder != root and not folder.startswith(f"{root.rstrip(os.sep)}{os.sep}"):
            message = (
                f"{found.parent} leads out of the lake, to {folder}: files are read there, and none is "
                "written or deleted. Put the folder itself into the lake instead of a link to it."
            )
            raise StorageError(message, root=self.root, path=path)
        return found

    def url(self, path: str = "") -> str:
        """Return the absolute path as text."""
        return os.path.join(self.root, checked(path)) if path else self.root  # noqa: PTH118 - of thousands

    def list(self, prefix: str, skip: tuple[str, ...] = ()) -> Files:
        """Return every file below a folder, recursively and sorted; empty when there is none."""
        folder = self.local(prefix.rstrip("/"))
        start = len(self.root.rstrip("/")) + 1
        left_out = tuple(os.path.join(name, "") for name in skip)  # noqa: PTH118 - of paths as text
        with in_words("list", prefix, self.root):
            return sorted(
                Entry(
                    item.path[start:].replace(os.sep, "/"),
                    found.st_size,
                    None,
                    datetime.fromtimestamp(found.st_mtime, UTC),
                )
                for item, found in walk(str(folder))
                if not item.path[start:].startswith(left_out)
            )

    def begun(self) -> bool:
        """Say whether there is a lake at the root yet."""
        with in_words("read", "", self.root):
            try:
                return not set(ZONES).isdisjoint(item.name for item in self._root.iterdir())
            except FileNotFoundError:
                return False

    def exists(self, path: str) -> bool:
        """Say whether there is a file at the path."""
        with in_words("look at", path, self.root):
            found = _stat(self.local(path))
            return found is not None and stat.S_ISREG(found.st_mode)

    def size(self, path: str) -> int | None:
        """Return a file's bytes; None when there is none."""
        with in_words("look at", path, self.root):
            found = _stat(self.local(path))
            return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None

    def read(self, path: str) -> bytes:
        """Return a file's bytes; FileNotFoundError when there is none."""
        with in_words("read", path, self.root):
            return _bytes_of(self.url(path))

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading; FileNotFoundError when there is none."""
        return self.local(path).open("rb")

    def pieces(self, path: str, size: int) -> Iterator[bytes]:  # noqa: ARG002 - a bucket needs it
        """Yield a file's bytes, a few MB at a time; FileNotFoundError when there is none."""
        with in_words("read", path, self.root), _opened(self.local(path)) as file:
            while piece := file.read(_PIECE // 8):
                yield piece

    def write(self, path: str, data: bytes) -> None:
        """Write beside the target, then rename over it. Old drafts of killed writers are taken away."""
        target = self.target(path)
        draft = target.with_name(f".{target.name[:120]}.{secrets.token_hex(6)}")
        with in_words("write", path, self.root):
            make_folder(target.parent, path, self.root)
            try:
                draft.write_bytes(data)
                self._sweep(draft)
                place(draft, target)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise

    def delete(self, path: str) -> None:
        """Remove a file; no error when there is none."""
        with in_words("delete", path, self.root):
            self.target(path).unlink(missing_ok=True)

    def sync(self) -> None:
        """Make all that was written so far survive a power failure: one flush of the root's filesystem."""
        with in_words("write", "", self.root), suppress(FileNotFoundError):
            number = os.open(self._root, os.O_RDONLY)
            try:
                if _SYNCFS is None or _SYNCFS(number) != 0:
                    os.sync()
            finally:
                os.close(number)

    def _sweep(self, fresh: Path) -> None:
        """Remove old drafts beside a fresh one, whose time is by the same clock; once for each folder.

        A killed writer's work is done again at the same place, so its draft is found there.
        """
        if fresh.parent in self._swept:
            return
        self._swept.add(fresh.parent)
        with suppress(OSError):  # nobody waits for it, and another may do the same
            now = fresh.stat().st_mtime
            for item in list(os.scandir(fresh.parent)):
                if not _DRAFT.fullmatch(item.name) or not item.is_file(follow_symlinks=False):
                    continue
                if now - item.stat(follow_symlinks=False).st_mtime > OLD:
                    Path(item.path).unlink(missing_ok=True)


class S3Storage(Storage):
    """A lake in a bucket, through s3fs; credentials by ``storage_options`` or the usual AWS chain."""

    is_local = False

    def __init__(self, root: str, options: Mapping[str, Any] | None = None) -> None:
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        if set(bucket) & set(":@") or ("@" in prefix and ":" in prefix.partition("@")[0]):
            raise _no_root(root, "a bucket's name has no ':' or '@', and a root no credentials")
        if not bucket:
            message = f"{root!r} names no bucket; write 's3://bucket/prefix'."
            raise StorageError(message, root=root)
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.root = "/".join(part for part in (f"s3://{bucket}", self.prefix) if part)
        _check_root(self.root, "\\?*[")
        self.options = dict(options or {})

    def __reduce__(self) -> tuple[Any, ...]:
        if names := keys_among(self.options):
            message = (
                f"this pickle of a lake holds the {', '.join(names)} of its storage_options; a profile, or the AWS "
                "environment of the process that reads it, keeps them out."
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        return S3Storage, (self.root, self.options)

    @cached_property
    def config(self) -> S3Config:
        """How the bucket is reached: the options, and what the AWS environment says when first asked."""
        return S3Config.of(self.options)

    @cached_property
    def filesystem(self) -> Any:
        """The s3fs filesystem, made when first used."""
        import s3fs

        return s3fs.S3FileSystem(**self.config.s3fs())

    @property
    def polars_arguments(self) -> dict[str, Any]:
        """``storage_options`` and ``credential_provider`` for Polars' readers."""
        return self.config.polars(self.bucket)

    def key(self, path: str = "") -> str:
        """Return the object key of a path under the root."""
        return "/".join(part for part in (self.prefix, checked(path) if path else "") if part)

    def url(self, path: str = "") -> str:
        """Return the ``s3://`` URL of a path."""
        return "/".join(part for part in (f"s3://{self.bucket}", self.key(path)) if part)

    def list(self, prefix: str, skip: tuple[str, ...] = ()) -> Files:
        """Return every object below a folder, sorted; empty when there is none."""
        return sorted(self.entries(prefix, skip))

    def entries(self, prefix: str, skip: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Yield every object below a folder; a page of them is in memory at a time."""
        start = len(self.key()) + 1 if self.prefix else 0
        left_out = [f"{self.key(folder)}/" for folder in skip]
        below = f"{key}/" if (key := self.key(prefix.rstrip("/"))) else ""
        with in_words("list", prefix, self.root):
            try:
                for item in objects(self.filesystem, self.bucket, below, left_out):
                    yield Entry(item.key[start:], item.size, item.etag, item.modified)
            except FileNotFoundError as error:  # what an absent folder is not: it is empty
                raise self._no_bucket() from error

    def begun(self) -> bool:
        """Say whether there is a lake at the root yet."""
        with in_words("read", "", self.root):
            try:
                found = self.filesystem.ls(self._path(""), detail=False)
            except FileNotFoundError:
                return bool(self.list(""))  # which knows an absent folder from an absent bucket
        return not set(ZONES).isdisjoint(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def exists(self, path: str) -> bool:
        """Say whether there is an object at the path."""
        with in_words("look at", path, self.root):
            return bool(self.filesystem.isfile(self._path(path)))

    def size(self, path: str) -> int | None:
        """Return an object's bytes; None when there is none."""
        with in_words("look at", path, self.root):
            try:
                return int(self.filesystem.size(self._path(path)))
            except FileNotFoundError:
                return None

    def read(self, path: str) -> bytes:
        """Return an object's bytes; FileNotFoundError when there is none."""
        with in_words("read", path, self.root):
            # Without the limit s3fs asks for the size first, to see whether it should fetch parts.
            data: bytes = self.filesystem.cat_file(self._path(path), max_concurrency=1)
            return data

    def open(self, path: str) -> IO[bytes]:
        """Open an object for reading, some MiB at a request; FileNotFoundError when there is none."""
        opened: IO[bytes] = self.filesystem.open(self._path(path), "rb", block_size=_BLOCK)
        return opened

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """Yield an object's bytes, a few MB at a time; FileNotFoundError when there is none."""
        if size <= _PIECE:
            yield self.read(path)
            return
        whole = self.size(path)
        if whole is None:
            raise FileNotFoundError(self.url(path))
        for start in range(0, whole, _PIECE):
            with in_words("read", path, self.root):
                piece: bytes = self.filesystem.cat_file(
                    self._path(path), start=start, end=min(start + _PIECE, whole)
                )
            yield piece

    def write(self, path: str, data: bytes) -> None:
        """Put the object: S3 shows it whole or not at all."""
        with in_words("write", path, self.root):
            try:
                self.filesystem.pipe_file(self._path(path), data)
            except FileNotFoundError as error:
                raise self._no_bucket() from error

    def delete(self, path: str) -> None:
        """Remove the object; no error when there is none."""
        with in_words("delete", path, self.root):
            try:
                self.filesystem.rm_file(self._path(path))
            except FileNotFoundError:
                return

    def delete_all(self, paths: Sequence[str]) -> None:
        """Remove objects, up to a thousand by one request; one by one where a store does not do that."""
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            if len(some) == 1 or not self._deleted(some):
                super().delete_all(some)

    def _deleted(self, paths: Sequence[str]) -> bool:
        """Remove objects by one request; say whether all are gone."""
        named = {"Objects": [{"Key": self.key(path)} for path in paths], "Quiet": True}
        try:
            with in_words("delete", paths[0], self.root):
                done = self.filesystem.call_s3("delete_objects", Bucket=self.bucket, Delete=named)
        except OSError:
            return False
        for path in paths:
            self.filesystem.invalidate_cache(self._path(path.rpartition("/")[0]))
        return not done.get("Errors")

    def _no_bucket(self) -> StorageError:
        message = f"there is no bucket {self.bucket!r}: make it first, or choose another root."
        return StorageError(message, root=self.root)

    def _path(self, path: str) -> str:
        return "/".join(part for part in (self.bucket, self.key(path)) if part)


def open_storage(
    root: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Storage:
    """Return the storage of a root: a folder, or ``s3://bucket/prefix``. Touches nothing.

    Raises
    ------
    StorageError
        A URL that is neither, or a root whose name SQL would misread.
    MissingTool
        The system is Windows.

    Examples
    --------
    >>> open_storage("s3://bucket/lake").url("meta/x")
    's3://bucket/lake/meta/x'
    """
    check_system()
    text = os.fspath(root)
    if not text.strip():
        message = "a lake needs a root: a folder, such as '~/cryptolake', or 's3://bucket/prefix'; '' names none."
        raise StorageError(message, root=text)
    if text.startswith("s3://"):
        return S3Storage(text, storage_options)
    if _URL.match(text):
        raise _no_root(text, "it is neither a folder nor a bucket's URL")
    return LocalStorage(text)


def _no_root(given: str, why: str) -> StorageError:
    """Return the error of a URL that is no root. It does not show the URL, which may hold credentials."""
    shown = f"{given.partition(':')[0]}://..."
    message = (
        f"a lake cannot be at {shown!r}: {why}; use a folder or 's3://bucket/prefix', and give keys in "
        "storage_options or the AWS environment."
    )
    return StorageError(message, root=shown)


def _check_root(root: str, signs: str) -> None:
    """Refuse a root whose name SQL would misread, however it is quoted.

    DuckDB reads a folder ``name=value`` as a partition, whose column hides the files' own column of that
    name (no column's name is other than a word), and a backslash as a separator; httpfs finds nothing below
    a name with ``?``, ``*`` or ``[``.
    """
    part = next((part for part in re.split(r"[/\\]", root) if re.match(r"\w+=", part)), None)
    sign = next((sign for sign in signs if sign in root), None)
    if part is not None and sign is None:
        why = f"SQL reads {part!r} as a partition (name=value); use a root without '='"
    elif sign is not None:
        listed = ", ".join(repr(sign) for sign in signs)
        why = (
            f"SQL does not read the sign {sign!r} as a part of a name; use a root without {listed}"
        )
    else:
        return
    shown = root.partition("?")[0]  # what follows may be a login
    message = f"a lake cannot be at {shown!r}: {why}."
    raise StorageError(message, root=shown)


def _stat(path: Path) -> os.stat_result | None:
    """Return what is at a path; None where nothing is: no entry, or a link that leads nowhere or to itself."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None


def _opened(path: Path) -> BinaryIO:
    """Open a file; a pipe in its place is empty instead of waiting for a writer."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def _bytes_of(path: str) -> bytes:
    """Return a file's bytes; a pipe in its place is empty instead of waiting for a writer.

    Thousands of small files are read: this takes half the time of a file object.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        left = os.fstat(number).st_size
        pieces = [os.read(number, left + 1)]
        # A system may give less than there is.
        while pieces[-1] and (left := left - len(pieces[-1])):
            pieces.append(os.read(number, _PIECE))
    finally:
        os.close(number)
    return b"".join(pieces)


def walk(
    folder: str, linked: tuple[str, ...] = ()
) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield the files below a folder on a disk; linked folders are read as the folders that they lead to.

    A link to a folder above itself is left out, and so is one that is reached through more than a few others.
    ``linked`` are the folders that links have led to on the way.
    """
    try:
        items = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for item in items:
        if item.is_dir(follow_symlinks=False) and not item.name.endswith(_FILES):
            yield from walk(item.path, linked)
            continue
        if item.is_symlink() and os.path.isdir(item.path) and not item.name.endswith(_FILES):  # noqa: PTH112
            if (target := _followed(item.path, folder, linked)) is not None:
                yield from walk(item.path, (*linked, target))
            continue
        try:
            yield item, item.stat()
        except OSError as error:  # renamed since it was listed, or a link that leads nowhere
            if item.is_symlink():
                yield item, item.stat(follow_symlinks=False)
            elif not isinstance(error, FileNotFoundError):
                raise


def _followed(link: str, folder: str, linked: tuple[str, ...]) -> str | None:
    """Return where a link to a folder leads; None where it leads back to what it is in."""
    target = os.path.realpath(link)
    above = (os.path.realpath(folder), *linked)
    back = any(place == target or place.startswith(target.rstrip("/") + "/") for place in above)
    return None if back or len(linked) >= _MOST_LINKS else target
