"""Spooled tables: long ones are kept in a temporary file and read a piece at a time.

In memory, a plan of a million files would take half a gigabyte for as long as it is transferred, which may
be hours, and its report a quarter.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import IO, Any, cast

import polars as pl

PIECE = 500
"""Rows of a piece, at most."""

FEW = 2000
"""Rows up to which they are kept in memory."""


class Rows:
    """The rows of one table, in order, in pieces with the same columns.

    Parameters
    ----------
    pieces
        The table, in frames of any length. At least one, which may be empty, for its columns.

    Examples
    --------
    >>> rows = Rows([pl.DataFrame({"key": ["a", "b"]}), pl.DataFrame({"key": ["c"]})])
    >>> rows.height, [piece.height for piece in rows.pieces()]
    (3, [2, 1])
    """

    def __init__(self, pieces: Iterable[pl.DataFrame]) -> None:
        self.height = 0
        self._kept: list[pl.DataFrame] = []
        self._file: IO[bytes] | None = None
        self._ends = array("q")
        self._may_spill = True
        self._lock = threading.Lock()
        self._last: weakref.ref[pl.DataFrame] | None = None
        for frame in pieces:
            self.add(frame)

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows at the end; before the first use."""
        for piece in frame.iter_slices(PIECE) if frame.height else [frame]:
            self._add(piece)

    @staticmethod
    def of(table: pl.DataFrame | Rows) -> Rows:
        """Return a frame's rows."""
        return table if isinstance(table, Rows) else Rows([table])

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, up to :data:`PIECE` at a time."""
        if self._file is not None:
            for number in range(len(self._ends)):
                yield self._read(self._file, number)
        yield from self._kept

    def select(self, *columns: str) -> pl.DataFrame:
        """Return some columns of all rows."""
        return pl.concat(piece.select(columns) for piece in self.pieces())

    def filter(self, wanted: pl.Expr) -> pl.DataFrame:
        """Return the rows that meet a condition, which may depend only on the row itself."""
        return pl.concat(piece.filter(wanted) for piece in self.pieces())

    def sums(self, by: str | Sequence[str], *sums: pl.Expr) -> pl.DataFrame:
        """Return sums over all rows with the same values: columns ``by``, and those of ``sums``."""
        parts = pl.concat(piece.group_by(by).agg(sums) for piece in self.pieces())
        return parts.group_by(by).sum()

    def frame(self) -> pl.DataFrame:
        """Return all rows. As long as the frame is referenced, it is not read again."""
        frame = self._last() if self._last else None
        if frame is None:
            frame = pl.concat(self.pieces())
            self._last = weakref.ref(frame)
        return frame

    def __reduce__(self) -> tuple[type[Rows], tuple[list[pl.DataFrame]]]:
        return Rows, ([self.frame()],)

    def _add(self, piece: pl.DataFrame) -> None:
        self.height += piece.height
        self._kept.append(piece)
        if self.height > FEW and self._may_spill:
            try:
                self._spill()
            except OSError:  # no room for temporary files: the rows stay in memory
                self._may_spill = False

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="cryptolake-rows-")  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        while self._kept:
            buffer = BytesIO()
            self._kept[0].write_ipc_stream(buffer, compression="lz4")
            with self._lock:
                self._file.seek(self._ends[-1] if self._ends else 0)
                self._file.write(buffer.getbuffer())
                self._file.flush()
                self._ends.append(self._file.tell())
            del self._kept[0]

    def _read(self, file: IO[bytes], number: int) -> pl.DataFrame:
        start = self._ends[number - 1] if number else 0
        with self._lock:
            file.seek(start)
            data = file.read(self._ends[number] - start)
        return pl.read_ipc_stream(data)


class Table:
    """A field of a dataclass that is set and read as a frame, and kept as :class:`Rows` in ``_<name>``.

    Parameters
    ----------
    schema
        The columns of the empty table that is the default; without them the field has no default.
    """

    def __init__(self, schema: Mapping[str, Any] | None = None) -> None:
        self._default = None if schema is None else Rows([pl.DataFrame(schema=schema)])

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: object | None, owner: type) -> pl.DataFrame:
        if instance is None:
            return self._default_of_field()
        rows: Rows = instance.__dict__[self._name]
        return rows.frame()

    def __set__(self, instance: object, value: pl.DataFrame | Rows) -> None:
        instance.__dict__[self._name] = Rows.of(value)

    def _default_of_field(self) -> pl.DataFrame:
        """Return what ``dataclass`` reads from the class as the field's default; it passes it to ``__set__``.

        As :class:`Rows`: ``dataclass`` refuses a default that cannot be hashed, as a frame.
        """
        if self._default is None:
            raise AttributeError  # tells dataclass that the field has no default
        return cast("pl.DataFrame", self._default)
