"""Bronze as a read-only fsspec filesystem: each zip appears as the CSV text it holds.

Neither DuckDB nor Polars reads a CSV inside a zip. Registered with a DuckDB connection, this filesystem
lets ``read_csv('bronze://data/spot/daily/klines/*/1m/*.zip', ...)`` read Bronze where it lies. Header
lines are left out, so that files with and without one read alike, by one schema.
"""

from __future__ import annotations

import io
import re
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
from fsspec import AbstractFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.utils import glob_translate

from cryptolake.archive.keys import ZIP
from cryptolake.bronze.audit import Entered, look
from cryptolake.bronze.text import ZipText, seek_position
from cryptolake.errors import CorruptArchive, IncompleteWarning, SchemaMismatch, StorageError
from cryptolake.storage import layout
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta


class SharedFile(io.RawIOBase):
    """A file whose ``seek`` and the ``read`` after it belong together, thread by thread.

    DuckDB seeks and then reads in two calls, and since 2.0 its threads share the files of a registered
    filesystem without waiting for each other between the two. A read without a seek of the same thread
    continues where the last read of any thread ended.

    Examples
    --------
    >>> file = SharedFile(io.BytesIO(b"abcdef"))
    >>> file.seek(4), file.read(1)
    (4, b'e')
    >>> file.read()
    b'f'
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._own = threading.local()
        self._at = 0
        """Where a read without a seek continues."""
        self._onward = 0
        """How many such reads there were; seeks before the last of them no longer count."""

    def seekable(self) -> bool:
        """Say that it is."""
        return True

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, for this thread; the file below goes there when it is read."""
        with self._lock:
            if whence == io.SEEK_SET:
                self._at = offset
            else:
                self._file.seek(self._place())
                self._at = self._file.seek(offset, whence)
            self._own.sought = self._at, self._onward
            return self._at

    def tell(self) -> int:
        """Return where this thread's next read begins."""
        with self._lock:
            return self._place()

    def read(self, size: int = -1) -> bytes:
        """Read from this thread's last seek, else from where the last read ended."""
        with self._lock:
            place, onward = self._place(), self._own.__dict__.pop("sought", (0, -1))[1]
            self._onward += onward != self._onward
            self._file.seek(place)
            data: bytes = self._file.read(size)
            self._at = place + len(data)
            return data

    def _place(self) -> int:
        """Return where this thread's next read begins."""
        place, onward = getattr(self._own, "sought", (0, -1))
        return place if onward == self._onward else self._at

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()


_FRESH = 60.0
"""Seconds for which a listing's word on an object counts: a question lists what it reads as it begins."""


class SharedBucket(DirFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A bucket's filesystem (s3fs's) whose files several threads may read at once.

    DuckDB asks for an object's size and time several times before it reads it, and s3fs asks the bucket
    each time. Here sizes, times and ETags come from the listing of the question's own pattern.
    """

    protocol = ("s3", "s3a")
    cachable = False

    def __init__(self, path: str, fs: Any) -> None:
        super().__init__(path, fs)
        self._known: dict[str, tuple[dict[str, Any], float]] = {}

    def glob(self, path: str, **given: Any) -> Any:
        """Match a pattern by one flat listing of what it names in full; an exact name is looked up."""
        start, literal = literal_start(path)
        if literal:
            found = {}
            with suppress(FileNotFoundError):
                found[self._name(start)] = self.info(start)
            return found if given.get("detail") else sorted(found)
        matches = re.compile(glob_translate(self._name(path))).match
        listed = self.fs.find(self._join(start.rpartition("/")[0]), detail=True)
        found = {name: info for name, info in listed.items() if matches(name)}
        now = time.monotonic()
        self._known = {name: it for name, it in self._known.items() if now - it[1] < _FRESH}
        self._known.update((name, (info, now)) for name, info in found.items())
        return found if given.get("detail") else sorted(found)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe an object, as it was listed if that was just now."""
        name = self._name(path)
        info, since = self._known.get(name, ({}, 0.0))
        if not info or time.monotonic() - since > _FRESH:
            info = self.fs.info(self._join(path))
            self._known[name] = info, time.monotonic()
        return info

    def forget(self) -> None:
        """Forget what was listed: a new question is about objects as they are now."""
        self._known = {}

    def size(self, path: str) -> int:
        """Return an object's bytes."""
        return int(self.info(path)["size"])

    def modified(self, path: str) -> datetime:
        """Return when an object was written."""
        when: datetime = self.info(path)["LastModified"]
        return when

    def open(self, path: str, *args: Any, **given: Any) -> SharedFile:
        """Open an object for reading, as the version that was listed: another one in its place is an error."""
        info = self.info(path)
        file = super().open(path, *args, size=info["size"], **given)
        file.details = info
        if info.get("ETag"):
            file.read_kw = {**file.read_kw, "IfMatch": info["ETag"]}
        return SharedFile(file)

    def _name(self, path: str) -> str:
        return str(self.fs._strip_protocol(path))  # noqa: SLF001 - as fsspec's own filesystems do


def literal_start(pattern: str) -> tuple[str, bool]:
    """Return what a glob names in full before its first sign, and whether that is all of it.

    A sign alone between brackets stands for itself.

    Examples
    --------
    >>> literal_start("s3://b/a[*]/silver/*.parquet")
    ('s3://b/a*/silver/', False)
    >>> literal_start("s3://b/x[?]y")
    ('s3://b/x?y', True)
    """
    plain = re.compile(r"(?:\[([*?\[])\]|([^*?\[]))")
    place, found = 0, []
    while match := plain.match(pattern, place):
        found.append(match[1] or match[2])
        place = match.end()
    return "".join(found), place == len(pattern)


PROTOCOL = "bronze"
NOTHING = "data/nothing.zip"
"""A file that is always there and holds no rows: a pattern that matches only this is an empty table."""


_BINDING: ContextVar[bool] = ContextVar("binding", default=False)


@contextmanager
def nothing_listed() -> Iterator[None]:
    """While a view is made, in this thread: its columns are written out, so no file need be listed."""
    token = _BINDING.set(True)
    try:
        yield
    finally:
        _BINDING.reset(token)


class BronzeFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The verified zips of a lake, by their archive keys.

    On a disk these are the files under ``bronze/``, for one stands at its final name only when verified, and
    those that the ledger has: one that is gone is opened as an empty text, and named in a warning. In a bucket,
    where a copy can stand there before it is checked, they are the keys that the ledger has.

    Parameters
    ----------
    storage
        Where the lake is.
    meta
        Its tables, for the ledger.
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False

    def __init__(self, storage: Storage, meta: Meta) -> None:
        super().__init__()
        self._storage = storage
        self._meta = meta
        self._sizes: dict[str, int] = {}
        self._hashed: set[tuple[str, str]] = set()

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: ARG002, FBT001, FBT002  # fsspec's signature
        detail: bool = False,  # noqa: FBT001, FBT002
        **_: Any,
    ) -> Any:
        """Return the zips at or below a path; folders are not listed, since S3 has none.

        ``size`` is the zip's own; the length of its text is known only when it is opened.
        """
        folder = str(self._strip_protocol(path)).strip("/")
        found = {
            key: {"name": key, "size": size, "type": "file"}
            for key, size in self._zips(folder)
            if maxdepth is None or key[len(folder) :].strip("/").count("/") < maxdepth
        }
        return found if detail else sorted(found)

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Match keys as fsspec does, and always :data:`NOTHING`, so that no table lacks a file."""
        detail = kwargs.pop("detail", False)
        found = (
            {} if _BINDING.get() else super().glob(path, maxdepth=maxdepth, detail=True, **kwargs)
        )
        found[NOTHING] = self.info(NOTHING)
        return found if detail else list(found)

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:  # noqa: FBT001, FBT002
        """List a folder: its zips and the folders below it."""
        folder = str(self._strip_protocol(path)).strip("/")
        start = f"{folder}/" if folder else ""
        listed: dict[str, dict[str, Any]] = {}
        for key, size in self._zips(folder):
            first, more, _rest = key.removeprefix(start).partition("/")
            name = key if key == folder else f"{start}{first}"
            kind = "directory" if more and name != key else "file"
            listed[name] = {"name": name, "size": 0 if more else size, "type": kind}
        if not listed and folder:
            raise FileNotFoundError(path)
        return list(listed.values()) if detail else list(listed)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a zip by its text: ``size`` is the length of what a reader gets."""
        key = str(self._strip_protocol(path)).strip("/")
        if key == NOTHING:
            return {"name": key, "size": 0, "type": "file"}
        size = self._sizes.pop(key, None)
        if size is None:
            if not self._storage.exists(layout.bronze_path(key)):
                return {"name": key, "size": 0, "type": self._folder_type(key)}
            try:
                with self._opened(key) as text:
                    size = text.size
            except (CorruptArchive, SchemaMismatch, OSError) as error:
                if not self._tells_of_file(error):
                    raise
                size = 0  # opening it says why
        return {"name": key, "size": size, "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """Say whether there is such a zip."""
        key = str(self._strip_protocol(path)).strip("/")
        return key == NOTHING or self._storage.exists(layout.bronze_path(key))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,  # noqa: ARG002
        autocommit: bool = True,  # noqa: ARG002, FBT001, FBT002
        cache_options: Any = None,  # noqa: ARG002
        **_: Any,
    ) -> Any:
        if mode != "rb":
            message = f"Bronze is never edited: {path!r} cannot be opened with mode {mode!r}"
            raise PermissionError(message)
        key = str(self._strip_protocol(path)).strip("/")
        if key == NOTHING:
            return _Nothing()
        try:
            text = self._opened(key)
        except (CorruptArchive, SchemaMismatch, OSError) as error:
            if not self._tells_of_file(error):
                raise
            # An error here would reach the reader as a traceback, and refuse rows of other files as well.
            _left_out(key, error)
            self._sizes[key] = 0
            return _Nothing()
        # DuckDB asks for the size by path right after it opens a file: answered without a second look.
        self._sizes[key] = text.size
        return SharedFile(_Unbroken(text) if text.is_large else text)

    def _opened(self, key: str) -> ZipText:
        text = ZipText(lambda: self._storage.open(layout.bronze_path(key)), key)
        try:
            self._check(key, text)
        except BaseException:
            text.close()
            raise
        return text

    def _check(self, key: str, text: ZipText) -> None:
        """Refuse a text that no CSV reader takes, and a large one whose zip is not the one that was verified.

        A small text was inflated, and its CRC is right. A large zip on a disk is hashed once, which takes a
        fraction of what reading it takes: its damage would show only when many of its rows have been read.
        """
        if not text.is_utf8():
            message = "its text is not UTF-8, which lake.bronze shows as far as it goes."
            raise SchemaMismatch(message, key=key)
        if not (text.is_large and self._storage.is_local):
            return
        for row in self._meta.ledger(pl.col("key") == key).select(Entered._fields).iter_rows():
            entered = Entered(*row)
            if (key, entered.sha256 or "") in self._hashed:
                continue
            if look(self._storage, layout.bronze_path(key), entered).status != "ok":
                message = "its bytes are not the ones that were verified."
                raise CorruptArchive(message, key=key)
            self._hashed.add((key, entered.sha256 or ""))

    def _tells_of_file(self, error: Exception) -> bool:
        """Say whether an error tells of the file; one of a bucket that does not answer does not."""
        about_file = isinstance(error, CorruptArchive | SchemaMismatch | FileNotFoundError)
        return about_file or self._storage.is_local

    def _folder_type(self, folder: str) -> str:
        if folder and not self._storage.list(_bronze(folder)):
            raise FileNotFoundError(folder)
        return "directory"

    def _zips(self, folder: str) -> Iterable[tuple[str, int]]:
        start = f"{folder}/" if folder else ""
        recorded = self._meta.ledger(scope=Scope((start,))).select("key", "size").iter_rows()
        if not self._storage.is_local:
            return list(recorded)
        try:
            entries = self._storage.list(_bronze(folder))
        except StorageError as error:  # which would reach the reader as a traceback
            _left_out(_bronze(folder), error)
            entries = []
        standing = {
            key: entry.size
            for entry in entries
            if entry.path.endswith(ZIP) and (key := layout.bronze_key(entry.path)) is not None
        }
        return sorted((dict(recorded) | standing).items())


def _left_out(key: str, error: Exception, what: str = "its rows are") -> None:
    message = (
        f"{key} cannot be read, and {what} left out: {error} "
        "cryptolake verify --repair takes a damaged file out, and the next pull fetches it again."
    )
    warnings.warn(message, IncompleteWarning, stacklevel=2)


def _bronze(folder: str) -> str:
    return layout.bronze_path(folder) if folder else layout.BRONZE


class _Unbroken(io.RawIOBase):
    """A large text whose end may turn out to be damaged: from there on it has empty lines, and a warning names it.

    An error in the middle of a read would reach the reader as one of DuckDB's, with a traceback for a text.
    """

    def __init__(self, text: ZipText) -> None:
        self._text, self._at, self._broken = text, 0, False

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = seek_position(offset, whence, at=self._at, size=self._text.size)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read from the place that was sought."""
        left = max(self._text.size - self._at, 0)
        wanted = left if size < 0 else min(size, left)
        data = self._sound(wanted)
        if data is None:
            data = b"\n" * wanted
        self._at += len(data)
        return data

    def _sound(self, wanted: int) -> bytes | None:
        if self._broken:
            return None
        try:
            self._text.seek(self._at)
            return self._text.read(wanted)
        except (CorruptArchive, OSError) as error:
            self._broken = True
            _left_out(self._text.key, error, f"its rows from byte {self._at:,} of its text on are")
            return None

    def close(self) -> None:
        """Close the zip."""
        self._text.close()
        super().close()


class _Nothing(ZipText):
    """A text without a byte."""

    def __init__(self) -> None:
        self.key = NOTHING
        self.size = self._skip = self._at = 0
        self._text = b""

    def close(self) -> None:
        """Do nothing."""
