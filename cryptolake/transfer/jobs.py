"""Jobs: one file to move, with its sidecar. Made from the plan's rows a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from cryptolake.keys import CHECKSUM
from cryptolake.storage import checked
from cryptolake.verify import Expected

MOST = 500
"""Files in a batch, at most."""

LINES = ("key", "partition", "period", "checksum_size", "selector", "selected")
"""What decides which s5cmd line fetches a file, as :func:`cryptolake.planning.commands.lines` takes it."""

COLUMNS = (*LINES, "size", "etag", "last_modified", "checksum_etag", "status")
"""What a job is made of."""


@dataclass(slots=True)
class Job:
    """One file on its way. ``row`` is its place in the plan."""

    row: int
    key: str
    expected: Expected
    last_modified: datetime | None
    status: str
    partition: str
    period: str
    selector: str | None
    selected: int
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
    def checksum_size(self) -> int | None:
        """Bytes of the CHECKSUM that the archive publishes for the file; None where there is none."""
        return self.expected.checksum_size

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


def batches(pieces: Iterable[pl.DataFrame], size: int) -> Iterator[list[Job]]:
    """Yield rows as lists of about ``size`` jobs. Only one list's objects exist at a time.

    Files that one wildcard line of the plan fetches stay together, up to :data:`MOST` of them, so that the
    lines are the plan's own, wherever the rows are cut in pieces.

    Raises
    ------
    StorageError
        A key that would leave the lake's root (a plan file that somebody edited).
    """
    rest: pl.DataFrame | None = None
    for piece in pieces:
        rows = piece if rest is None else pl.concat([rest, piece])
        rest = rows
        for start, length in _cuts(rows, size, goes_on=True):
            yield _jobs(rows.slice(start, length))
            rest = rows.slice(start + length)
    if rest is not None:
        for start, length in _cuts(rest, size):
            yield _jobs(rest.slice(start, length))


def _jobs(rows: pl.DataFrame) -> list[Job]:
    return [
        Job(
            row=row["row"],
            key=checked(row["key"]),
            expected=Expected(row["size"], row["etag"], row["checksum_size"], row["checksum_etag"]),
            last_modified=row["last_modified"],
            status=row["status"],
            partition=row["partition"],
            period=row["period"],
            selector=row["selector"],
            selected=row["selected"],
            need_sidecar=row["checksum_size"] is not None,
        )
        for row in rows.iter_rows(named=True)
    ]


def _cuts(rows: pl.DataFrame, size: int, *, goes_on: bool = False) -> Iterator[tuple[int, int]]:
    """Yield start and length of each batch: whole lines, filled up to ``size`` files.

    Where the table ``goes_on`` after these rows, its last line may, so what it would be in is left out.
    """
    folder = pl.col("key").str.replace(r"[^/]*$", "")
    era = pl.when(pl.col("partition") == "daily").then(pl.col("period").str.slice(0, 4))
    line = pl.when(pl.col("selector").is_null()).then("key").otherwise(folder + era.fill_null(""))
    groups = rows.select(line.rle().struct.field("len")).to_series()
    lengths = [part for group in groups for part in (*[MOST] * (group // MOST), group % MOST)]
    start = length = 0
    for part in lengths[:-1] if goes_on else lengths:
        if length and (length + part > size):
            yield start, length
            start, length = start + length, 0
        length += part
    if length and not goes_on:
        yield start, length
