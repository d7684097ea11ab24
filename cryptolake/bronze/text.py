"""A Bronze zip as a readable file: its CSV text without the header line, columns in the usual order.

Small files are inflated at once. A large one is inflated as it is read, front to back, so that memory
does not grow with it; going back starts over.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from cryptolake.archive.keys import parse_key
from cryptolake.archive.schemas import Schema, schema_of
from cryptolake.bronze.sniff import detect
from cryptolake.bronze.zips import Limits, find_member, inflate, inflate_chunks
from cryptolake.errors import CorruptArchive, SchemaMismatch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


AT_ONCE = 32 * 2**20
"""Bytes of CSV up to which a file is inflated in one piece."""

_SMALL = Limits(max_bytes=AT_ONCE)
_HEAD = 4096
_CHUNK = 4 * 2**20


class ZipText(io.BufferedIOBase):
    """The CSV text of one zip, open for reading.

    Parameters
    ----------
    open_zip
        Opens the zip; called again when the reader goes back in a large one.
    key
        The archive key, which says what the columns are.
    """

    def __init__(self, open_zip: Callable[[], IO[bytes]], key: str) -> None:
        self.key = key
        self._open_zip = open_zip
        self._at = 0
        self._pending = b""
        self._text: bytes | None = None
        self._chunks: Iterator[bytes] | None = None
        self._file: IO[bytes] = io.BytesIO()  # for close(), which Python calls where opening fails
        self._file = open_zip()
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    def _begin(self) -> None:
        schema = _schema(self.key)
        size, self._text = self._small()
        if self._text is None:
            self._chunks = inflate_chunks(self._file, self.key, chunk=_CHUNK)
            self._pending = next(self._chunks, b"")
        head = self._pending if self._text is None else self._text
        skip, order = _shape(head[:_HEAD], schema, self.key)
        if order is not None:
            # A header in another order than the dataset's: rare enough to be held whole.
            text = self._text if self._text is not None else self._pending + b"".join(self._rest())
            self._text, skip = _reordered(text[skip:], order), 0
            self._file.close()
        self._skip = skip
        self.size = (size if self._text is None else len(self._text)) - skip
        self._pending = self._pending[skip:]

    def _small(self) -> tuple[int, bytes | None]:
        """Return the text's length, and the text itself if it is small enough to be inflated at once."""
        if self._file.seek(0, io.SEEK_END) <= AT_ONCE:
            self._file.seek(0)
            try:
                text = inflate(self._file.read(), self.key, _SMALL)
            except CorruptArchive as error:
                if error.reason != "too_big":
                    raise
            else:
                self._file.close()
                return len(text), text
        return find_member(self._file, self.key).size, None

    @property
    def is_large(self) -> bool:
        """Whether the text is inflated as it is read, so that damage further on has not been seen yet."""
        return self._text is None

    def is_utf8(self) -> bool:
        """Say whether the text is UTF-8 without a NUL; of a large one, its first megabytes."""
        head = self._pending if self._text is None else self._text
        if b"\0" in head:
            return False
        try:
            return head.isascii() or bool(codecs.getincrementaldecoder("utf-8")().decode(head))
        except UnicodeDecodeError:
            return False

    def _rest(self) -> Iterator[bytes]:
        return iter(()) if self._chunks is None else self._chunks

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that the reader may go forth, and back at the cost of starting over."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; in a large file this inflates everything before it."""
        place = min(seek_position(offset, whence, at=self._at, size=self.size), self.size)
        if self._text is None and place != self._at:
            if place < self._at:
                self._restart()
            while self._at < place and self._take(min(place - self._at, _CHUNK)):
                pass
        self._at = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end."""
        left = self.size - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        if self._text is not None:
            begin = self._skip + self._at
            self._at += wanted
            return self._text[begin : begin + wanted]
        parts = []
        while wanted > 0 and (part := self._take(wanted)):
            parts.append(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: ReadableBuffer) -> int:
        """Fill a buffer; return how many bytes there were."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the zip."""
        if not self.closed:
            self._file.close()
            self._pending, self._text, self._chunks = b"", b"", None
        super().close()

    def _take(self, most: int) -> bytes:
        """Return the next bytes of a large file, at most ``most``; nothing at the end."""
        if not self._pending:
            self._pending = next(self._rest(), b"")
        part, self._pending = self._pending[:most], self._pending[most:]
        self._at += len(part)
        if self._at == self.size and not self._pending:
            self._pending = next(self._rest(), b"")  # only after the last piece its CRC is known
        return part

    def _restart(self) -> None:
        self._file.close()
        self._file = self._open_zip()
        self._chunks = inflate_chunks(self._file, self.key, chunk=_CHUNK)
        self._pending = next(self._chunks, b"")[self._skip :]
        self._at = 0


def _schema(key: str) -> Schema | None:
    parsed = parse_key(key)
    return None if parsed is None else schema_of(parsed.market, parsed.data_type)


def _shape(head: bytes, schema: Schema | None, key: str) -> tuple[int, list[int | None] | None]:
    """Return the bytes before the first row, and where each column stands if not in its usual place.

    A file that does not look like its dataset is shown as it is: Bronze hides nothing, and what is
    wrong with the file is reported when Silver is built from it.
    """
    first_line = 0 if head[:1].isdigit() else head.find(b"\n") + 1
    if schema is None:
        return first_line, None
    try:
        layout = detect(head, schema, key)
    except SchemaMismatch:
        return first_line, None
    names = [column.name for column in schema.columns]
    shared = min(len(names), len(layout.columns))
    if list(layout.columns[:shared]) == names[:shared]:
        return layout.skip, None
    places = {name: place for place, name in enumerate(layout.columns)}
    return layout.skip, [places.get(name) for name in names]


def _reordered(text: bytes, order: list[int | None]) -> bytes:
    lines = []
    for line in text.splitlines():
        cells = line.split(b",")
        found = (b"" if at is None or at >= len(cells) else cells[at] for at in order)
        lines.append(b",".join(found))
    return b"\n".join([*lines, b""]) if lines else b""


def seek_position(offset: int, whence: int, *, at: int, size: int) -> int:
    """Return the place that a seek means.

    Parameters
    ----------
    offset, whence
        As ``io.IOBase.seek`` takes them.
    at, size
        Where the reader is, and how long the file is, in bytes.

    Raises
    ------
    OSError
        It lies before the beginning.

    Examples
    --------
    >>> seek_position(-3, io.SEEK_END, at=0, size=10), seek_position(2, io.SEEK_CUR, at=4, size=10)
    (7, 6)
    """
    place = {io.SEEK_SET: 0, io.SEEK_CUR: at, io.SEEK_END: size}[whence] + offset
    if place < 0:
        message = "a seek to before the beginning"
        raise OSError(message)
    return place
