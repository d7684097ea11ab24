"""Jobs: one file to move, with its sidecar. Made from the plan's rows a batch at a time."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.verify import Expected
from cryptolake.planning import commands
from cryptolake.planning.commands import Planned, copy_line, quoted
from cryptolake.planning.plan import TO_MOVE, selected
from cryptolake.storage.files import checked
from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan
    from cryptolake.storage.files import Storage
    from cryptolake.storage.s3_config import S3Config
    from cryptolake.storage.tables import Meta
    from cryptolake.transfer.options import TransferOptions


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
        for row, key, status, partition, period, selector, chosen, *listed in piece.iter_rows():
            size, etag, last_modified, checksum_size, checksum_etag = listed
            sidecar = checksum_size is not None
            yield Job(
                row=row,
                planned=Planned(checked(key), partition, period, sidecar, selector, chosen),
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


_TAKEN_UP = (*TO_MOVE, "unrecorded")
"""Statuses of plan rows that a transfer takes up. ``unrecorded`` ones are only verified."""


class WorkList:
    """The rows of a plan, sorted by what a run does with them.

    ``rows`` are those to move: ``row``, their number in the plan, and what a job is made of. ``cached`` and
    ``set_aside`` are numbers of rows whose files are in the lake, or in quarantine to stay there.

    Parameters
    ----------
    plan
        What is wanted.
    meta, storage
        The lake: what it got since the plan was made is not moved again.
    quarantined_too
        Whether files that lie in quarantine are to be looked at again.
    """

    def __init__(self, plan: Plan, meta: Meta, storage: Storage, *, quarantined_too: bool) -> None:
        self.cached, self.set_aside = array("I"), array("I")
        self.total_bytes = 0
        self._storage = storage
        self._ledger = meta.ledger().select("key", "etag")
        self._wanted = {*_TAKEN_UP, "quarantined"} if quarantined_too else {*_TAKEN_UP}
        self.rows = Rows(self._sorted(_numbered(plan)))
        del self._ledger
        self.numbers = array("I", (row for piece in self.pieces() for row in piece["row"]))

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Yield the rows to move, in the plan's order."""
        return self.rows.pieces()

    def among(self, keys: Iterable[str]) -> set[str]:
        """Return those of some keys that are to move."""
        asked = pl.Series("key", list(keys), pl.String).implode()
        found = (piece.filter(pl.col("key").is_in(asked)) for piece in self.pieces())
        return {key for piece in found for key in piece["key"]}

    # Row by row in Python, which is no slower here than Polars, whose engine takes far more memory.

    def _sorted(self, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            here = self._recorded(piece)
            places = []
            facts = zip(piece["row"], piece["status"], piece["size"], strict=True)
            for place, (row, status, size) in enumerate(facts):
                if status == "cached" or row in here:
                    self.cached.append(row)
                elif status in self._wanted:
                    places.append(place)
                    self.total_bytes += size
                elif status == "quarantined":
                    self.set_aside.append(row)
            whole = len(places) == piece.height
            yield piece if whole else piece[pl.Series(places, dtype=pl.UInt32)]

    def _recorded(self, piece: pl.DataFrame) -> set[int]:
        """Return the rows that the lake got after the plan was made: recorded, with the planned ETag."""
        if self._ledger.is_empty():
            return set()
        same = piece.filter(pl.col("status").is_in([*TO_MOVE, "quarantined"])).join(
            self._ledger, on=["key", "etag"], how="semi", nulls_equal=True
        )
        rows = zip(same["row"], same["key"], strict=True)
        return {row for row, key in rows if self._storage.exists(f"bronze/{key}")}


def _numbered(plan: Plan) -> Iterator[pl.DataFrame]:
    """Yield the plan's rows with ``row`` and ``selected``: how many files that are to move its selector has."""
    counts = selected(plan.rows)
    start = 0
    for piece in plan.rows.pieces():
        numbers = range(start, start + piece.height)
        start = numbers.stop
        told = {name: piece[name] for name in COLUMNS if name != "selected"} | {
            "row": pl.Series(numbers, dtype=pl.UInt32),
            "selected": pl.Series([counts[name] for name in piece["selector"]], dtype=pl.UInt32),
        }
        yield pl.DataFrame({name: told[name] for name in ("row", *COLUMNS)})


S5CMD_PART_SIZE, S5CMD_CONCURRENCY = 50, 5
"""What s5cmd does by itself: MiB a part, and parts in flight."""


class CommandWriter:
    """Writes command lines for jobs.

    Parameters
    ----------
    bucket
        The archive's bucket.
    into
        What destinations begin with: nothing, or ``"s3://bucket/prefix/"``.
    flags
        What each ``cp`` gets besides source and target.
    wildcards
        Whether one line may fetch many files.
    """

    def __init__(
        self,
        bucket: str,
        *,
        into: str = "",
        flags: Sequence[str] = (),
        wildcards: bool = True,
    ) -> None:
        self._bucket, self._into, self._wildcards = bucket, into, wildcards
        self._flags = " ".join(["cp", *flags]) + " "

    def lines(self, jobs: Sequence[Job]) -> list[str]:
        """Return the lines that fetch what the jobs need.

        Wildcards fetch what needs both zip and sidecar for the first time. Anything else is named: what
        failed before should not fail again because of a listing, and half a file is not matched by one.
        """
        fresh = [job for job in jobs if job.attempts <= 1 and job.need_zip and not job.found]
        whole = fresh if self._wildcards else []
        lines: list[str] = []
        if whole:
            lines += commands.lines((job.planned for job in whole), self._bucket, into=self._into)
        done = {job.row for job in whole}
        for job in jobs:
            if job.row in done:
                continue
            parts = [job.key] * job.need_zip + [job.sidecar_key] * job.need_sidecar
            lines += [copy_line(self._bucket, part, f"{self._into}{part}") for part in parts]
        return [self._flags + line.removeprefix("cp ") for line in lines]


def download_flags(options: TransferOptions) -> list[str]:
    """Return the flags of a ``cp`` that fetches, where they are not s5cmd's own."""
    flags: list[str] = []
    if options.part_size != S5CMD_PART_SIZE:
        flags += ["--part-size", str(options.part_size)]
    if options.concurrency != S5CMD_CONCURRENCY:
        flags += ["--concurrency", str(options.concurrency)]
    return flags


def copy_flags(options: TransferOptions, config: S3Config) -> list[str]:
    """Return the flags of a ``cp`` inside S3. The transfer's storage class counts, where it has one."""
    own = {"--storage-class": options.storage_class} if options.storage_class else {}
    flags = config.s5cmd_copy() | own
    return [word for flag, value in flags.items() for word in (flag, quoted(value))]
