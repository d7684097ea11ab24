"""Jobs: one file to move, with its sidecar. Made from the plan's rows a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from cryptolake.keys import CHECKSUM
from cryptolake.storage import checked
from cryptolake.verify import Expected

MOST = 500
"""Files in a batch, at most."""

COLUMNS = ("key", "size", "etag", "last_modified", "checksum_size", "checksum_etag", "status")
"""What a job is made of."""

LINES = ("partition", "period", "selector")
"""What decides which batch it is in."""


@dataclass(slots=True)
class Job:
    """One file on its way. ``row`` is its place in the plan."""

    row: int
    key: str
    expected: Expected
    last_modified: datetime | None
    status: str
    attempts: int = 0
    repeats: int = 0
    since: float = field(default_factory=time.monotonic)
    moved: int = 0
    need_zip: bool = True
    need_sidecar: bool = True
    path: Path | None = None
    shown: bool = False
    looked: bool = False
    found: bool = False
    fetched: bool = False
    error: str | None = None
    last_sha256: str | None = None

    @property
    def has_sidecar(self) -> bool:
        """Whether the archive publishes a CHECKSUM for the file."""
        return self.expected.checksum_size is not None

    @property
    def arrived(self) -> bool:
        """Whether nothing of the file is still to come."""
        return not (self.need_zip or self.need_sidecar)

    @property
    def sidecar_key(self) -> str:
        """The CHECKSUM's key."""
        return self.key + CHECKSUM

    @property
    def name(self) -> str:
        """The zip's base name, which its CHECKSUM must repeat."""
        return self.key.rsplit("/", 1)[1]


def batches(rows: pl.DataFrame, size: int) -> Iterator[list[Job]]:
    """Yield the rows as lists of about ``size`` jobs. Only one list's objects exist at a time.

    Files that one wildcard line of the plan fetches stay together, up to :data:`MOST` of them, so that the
    lines are the plan's own.

    Raises
    ------
    StorageError
        A key that would leave the lake's root (a plan file that somebody edited).
    """
    columns = rows.select("row", *COLUMNS)
    for start, length in _cuts(rows, size):
        yield [
            Job(
                row=row,
                key=checked(key),
                expected=Expected(bytes_, etag, checksum_size, checksum_etag),
                last_modified=last_modified,
                status=status,
                need_sidecar=checksum_size is not None,
            )
            for row, key, bytes_, etag, last_modified, checksum_size, checksum_etag, status in (
                columns.slice(start, length).iter_rows()
            )
        ]


def _cuts(rows: pl.DataFrame, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of each batch: whole lines, filled up to ``size`` files."""
    folder = pl.col("key").str.replace(r"[^/]*$", "")
    era = pl.when(pl.col("partition") == "daily").then(pl.col("period").str.slice(0, 4))
    line = pl.when(pl.col("selector").is_null()).then("key").otherwise(folder + era.fill_null(""))
    lengths = rows.select(line.rle().struct.field("len")).to_series()
    start = length = 0
    for group in lengths:
        for piece in (*[MOST] * (group // MOST), group % MOST):
            if length and (length + piece > size):
                yield start, length
                start, length = start + length, 0
            length += piece
    if length:
        yield start, length
