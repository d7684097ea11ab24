"""Jobs: one file to move, with its sidecar. Made from the plan's rows a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.verify import Expected
from cryptolake.planning.commands import Planned
from cryptolake.storage.files import checked

if TYPE_CHECKING:
    import polars as pl

MOST = 500
"""Files in a batch, at most."""

COLUMNS = (
    *("key", "status", "partition", "period", "selector", "selected"),
    *("size", "etag", "last_modified", "checksum_size", "checksum_etag"),
)
"""What a job is made of."""


@dataclass(slots=True)
class Job:
    """One file on its way. ``row`` is its place in the plan."""

    row: int
    planned: Planned
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
    def key(self) -> str:
        """The zip's key."""
        return self.planned.key

    @property
    def has_sidecar(self) -> bool:
        """Whether the archive publishes a CHECKSUM for the file."""
        return self.planned.sidecar

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


def jobs_of(pieces: Iterable[pl.DataFrame]) -> Iterator[Job]:
    """Yield a job for each row of a table's pieces, whose columns are ``row`` and then :data:`COLUMNS`.

    Raises
    ------
    StorageError
        A key that would leave the lake's root (a plan file that somebody edited).
    """
    for piece in pieces:
        for row, key, status, partition, period, selector, selected, *listed in piece.iter_rows():
            size, etag, last_modified, checksum_size, checksum_etag = listed
            sidecar = checksum_size is not None
            yield Job(
                row=row,
                planned=Planned(checked(key), partition, period, sidecar, selector, selected),
                expected=Expected(size, etag, checksum_size, checksum_etag),
                last_modified=last_modified,
                status=status,
                need_sidecar=sidecar,
            )


def batches(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Yield jobs as lists of about ``size``. Only one list, and the line behind it, exist at a time.

    Files that one line of the plan fetches stay together, up to :data:`MOST` of them, so that the lines are
    the plan's own.
    """
    batch: list[Job] = []
    for _, line in groupby(jobs, lambda job: job.planned.line):
        while part := list(islice(line, MOST)):
            if batch and len(batch) + len(part) > size:
                yield batch
                batch = []
            batch += part
    if batch:
        yield batch
