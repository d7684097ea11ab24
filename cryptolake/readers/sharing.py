"""Files that several of DuckDB's threads read at once.

To read a place DuckDB seeks there and then reads, two calls of one file; since 2.0 its threads share the files of
a registered filesystem, and do not wait for each other between the two. So each thread's place is kept
apart here, and a read goes to where its own thread sought.
"""

from __future__ import annotations

import io
import threading
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem


class SharedFile(io.RawIOBase):
    """A file for reading whose every ``seek`` and the ``read`` after it belong together, by thread.

    A read without a seek of the same thread goes on where the last read of any thread ended.

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
        """Where a read without a seek goes on."""
        self._onward = 0
        """How many such reads there were; places sought before the last of them count no more."""

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
        """Read from where this thread sought, else from where the last read ended."""
        with self._lock:
            place, onward = self._place(), self._own.__dict__.pop("sought", (0, -1))[1]
            self._onward += onward != self._onward
            self._file.seek(place)
            data: bytes = self._file.read(size)
            self._at = place + len(data)
            return data

    def _place(self) -> int:
        place, onward = getattr(self._own, "sought", (0, -1))
        return place if onward == self._onward else self._at

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()


class SharedBucket(DirFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A bucket's filesystem (s3fs's) whose files several threads may read at once."""

    protocol = ("s3", "s3a")
    cachable = False

    def open(self, path: str, *args: Any, **given: Any) -> SharedFile:
        """Open an object for reading."""
        return SharedFile(super().open(path, *args, **given))
