"""Jobs: the files that a run moves, from the plan's rows to batches and their s5cmd command lines."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.bronze.etags import EtagMeaning
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.bronze.verify import Expected
from cryptolake.planning import commands
from cryptolake.planning.commands import Planned, copy_line, quoted
from cryptolake.planning.plan import TO_MOVE, selected
from cryptolake.storage import layout
from cryptolake.storage.layout import checked
from cryptolake.storage.scope import Scope
from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan
    from cryptolake.storage.files import Storage
    from cryptolake.storage.s3_config import S3Config
    from cryptolake.storage.tables import TableReader
    from cryptolake.transfer.faults import Failure
    from cryptolake.transfer.options import TransferOptions

MAX_BATCH = 500
"""Files in a batch, at most."""

COLUMNS = (
    *("key", "status", "partition", "period", "selector", "selected"),
    *("size", "etag", "last_modified", "checksum_size", "checksum_etag"),
)
"""The plan's columns that a job is made from."""


class JobState(Enum):
    """Where the bytes of a job come from in its present attempt."""

    PLANNED = "planned"
    """Nothing is known but the plan's row: the lake has not been looked through for the file."""

    FOUND = "found"
    """The file, or a part of it, was found in the lake, in quarantine or in staging, and is to be checked."""

    CONFIRMED = "confirmed"
    """The zip was found in the lake, and is to be checked against its CHECKSUM as the archive has it now."""

    TO_FETCH = "to fetch"
    """Nothing usable was found: the file is fetched."""


@dataclass(slots=True)
class Job:
    """One file to move, with its sidecar.

    ``row`` is its place in the plan, ``missing`` the keys that s5cmd still has to move in this attempt,
    ``moved`` the bytes of the zip that this run moved, ``failure`` why the present or last attempt failed,
    ``last_sha256`` what arrived when bytes had to come twice to be trusted.
    """

    row: int
    planned: Planned
    expected: Expected
    last_modified: datetime | None
    status: str
    state: JobState = JobState.PLANNED
    missing: set[str] = field(default_factory=set)
    attempts: int = 0
    repeats: int = 0
    since: float = field(default_factory=time.monotonic)
    moved: int = 0
    path: Path | None = None
    failure: Failure | None = None
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
    def parts(self) -> set[str]:
        """The keys of what is published: the zip's, and the CHECKSUM's where there is one."""
        return {self.key, self.sidecar_key} if self.has_sidecar else {self.key}

    @property
    def sidecar_key(self) -> str:
        """The CHECKSUM's key."""
        return self.key + CHECKSUM

    @property
    def name(self) -> str:
        """The zip's base name, which its CHECKSUM must repeat."""
        return file_name(self.key)


def jobs_of(pieces: Iterable[pl.DataFrame], pins: Mapping[str, str] | None = None) -> Iterator[Job]:
    """Yield a job for each row of a table's pieces, whose columns are ``row`` and then :data:`COLUMNS`.

    ``pins``: the sha256 that a lock pins of some keys, the only bytes that are taken for them.

    Raises
    ------
    StorageError
        A key would leave the lake's root (in a plan file that was edited).
    """
    pinned = pins or {}
    for piece in pieces:
        for row, key, status, partition, period, selector, chosen, *listed in piece.iter_rows():
            size, etag, last_modified, checksum_size, checksum_etag = listed
            sidecar = checksum_size is not None
            yield Job(
                row=row,
                planned=Planned(checked(key), partition, period, sidecar, selector, chosen),
                expected=Expected(size, etag, checksum_size, checksum_etag, pinned.get(key)),
                last_modified=last_modified,
                status=status,
            )


def batches(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Yield jobs as lists of about ``size``. Only one list and the next command line's jobs exist at a time.

    Files that one command line of the plan fetches stay together, up to :data:`MAX_BATCH` of them, so that
    the lines run are the plan's own.
    """
    batch: list[Job] = []
    for _, line in groupby(jobs, lambda job: job.planned.line):
        while part := list(islice(line, MAX_BATCH)):
            if batch and len(batch) + len(part) > size:
                yield batch
                batch = []
            batch += part
    if batch:
        yield batch


Still = Callable[[pl.DataFrame], pl.DataFrame]
"""Returns the rows, of those given, that still need something."""


_HANDLED = (*TO_MOVE, "unrecorded")
"""Statuses of plan rows that a transfer handles. ``unrecorded`` ones are only verified."""


class WorkList:
    """The rows of a plan, sorted by what a run does with them.

    ``rows`` are those to move: ``row``, their number in the plan, and :data:`COLUMNS`. ``cached`` and
    ``quarantined`` are numbers of rows whose files are in the lake, or in quarantine and stay there. ``etags`` is
    what the ledger tells of the archive's ETags.

    Parameters
    ----------
    plan
        What is wanted.
    records, storage
        The lake: files that it got since the plan was made are not moved again.
    quarantined_too
        Whether files in quarantine are to be checked again.
    """

    def __init__(
        self, plan: Plan, records: TableReader, storage: Storage, *, quarantined_too: bool
    ) -> None:
        self.cached, self.quarantined = array("I"), array("I")
        self.total_bytes = 0
        self._storage = storage
        # Not of files that are here: of millions of them the ledger would take more than their plan.
        open_ = pl.col("status") != "cached"
        scope = Scope.of(
            prefix
            for piece in plan.rows.pieces()
            for prefix in scope_of_keys(piece.filter(open_)["key"]).prefixes
        )
        ledger = records.ledger(scope=scope)
        self.etags = EtagMeaning.of(ledger)
        self._ledger = ledger.select("key", "etag", recorded="size")
        del ledger
        self._wanted = {*_HANDLED, "quarantined"} if quarantined_too else {*_HANDLED}
        self.rows = Rows(self._sorted(_numbered(plan)))
        del self._ledger
        self.numbers = array("I", (row for piece in self.pieces() for row in piece["row"]))

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Yield the rows to move, in the plan's order."""
        return self.rows.pieces()

    def among(self, keys: Iterable[str], still: Still | None = None) -> set[str]:
        """Return the keys, of those given, that are to move; those of the rows that ``still`` keeps."""
        asked = pl.Series("key", list(keys), pl.String).implode()
        pieces = self.pieces() if still is None else map(still, self.pieces())
        found = (piece.filter(pl.col("key").is_in(asked)) for piece in pieces)
        return {key for piece in found for key in piece["key"]}

    def _sorted(self, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        # Row by row in Python: no slower here than a Polars query, which takes far more memory.
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
                    self.quarantined.append(row)
            whole = len(places) == piece.height
            yield piece if whole else piece[pl.Series(places, dtype=pl.UInt32)]

    def _recorded(self, piece: pl.DataFrame) -> set[int]:
        """Return the rows whose files the lake got after the plan was made.

        They are recorded with the planned ETag and have their recorded size. A file that was cut or emptied,
        or in whose place is a folder or a link to nothing, is moved again.
        """
        if self._ledger.is_empty():
            return set()
        same = piece.filter(pl.col("status").is_in([*TO_MOVE, "quarantined"])).join(
            self._ledger, on=["key", "etag"], how="inner", nulls_equal=True
        )
        rows = same.select("row", "key", "recorded").iter_rows()
        size = self._storage.size
        return {row for row, key, bytes_ in rows if size(layout.bronze_path(key)) == bytes_}


def _numbered(plan: Plan) -> Iterator[pl.DataFrame]:
    """Yield the plan's rows with ``row`` and ``selected``: how many files to move have its selector."""
    counts = selected(plan.rows)
    start = 0
    for piece in plan.rows.pieces():
        numbers = range(start, start + piece.height)
        start = numbers.stop
        columns = {name: piece[name] for name in COLUMNS if name != "selected"} | {
            "row": pl.Series(numbers, dtype=pl.UInt32),
            "selected": pl.Series([counts[name] for name in piece["selector"]], dtype=pl.UInt32),
        }
        yield pl.DataFrame({name: columns[name] for name in ("row", *COLUMNS)})


S5CMD_PART_SIZE, S5CMD_CONCURRENCY = 50, 5
"""The defaults of s5cmd: MiB a part, and parts in flight."""


class CommandWriter:
    """Writes the command lines for jobs.

    Parameters
    ----------
    bucket
        The archive's bucket.
    into
        What targets begin with: nothing, or ``"s3://bucket/prefix/"``.
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
        """Return the lines that fetch what the jobs miss.

        Wildcards fetch zip and sidecar together, at the first attempt. Anything else is named: a file that
        failed before should not fail again because of a listing, and a wildcard cannot select a half.
        """
        lines: list[str] = []
        by_wildcard: set[int] = set()
        if self._wildcards:
            whole = [job for job in jobs if job.attempts <= 1 and _nothing_found(job)]
            by_wildcard = {job.row for job in whole}
            if whole:
                lines += commands.lines(
                    (job.planned for job in whole), self._bucket, into=self._into
                )
        for job in jobs:
            if job.row not in by_wildcard:
                parts = [key for key in (job.key, job.sidecar_key) if key in job.missing]
                lines += [copy_line(self._bucket, key, f"{self._into}{key}") for key in parts]
        return [self._flags + line.removeprefix("cp ") for line in lines]


def _nothing_found(job: Job) -> bool:
    return job.key in job.missing and job.state is not JobState.FOUND


def download_flags(options: TransferOptions) -> list[str]:
    """Return the flags of a ``cp`` that fetches, where they differ from s5cmd's defaults."""
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
