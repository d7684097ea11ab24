"""The parts of a call, as they travel to a worker, and what a worker does with one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cryptolake.errors import CryptolakeError
from cryptolake.executors.channel import Address, Line
from cryptolake.listing.context import LakeContext
from cryptolake.report import Report
from cryptolake.storage.files import S3Storage, open_storage
from cryptolake.storage.lake_format import check_format

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import polars as pl

    from cryptolake.archive.source import Archive
    from cryptolake.bronze.verify import Policy
    from cryptolake.gold.recipes import Recipe
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Watch
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.pull import RunSettings


class Work(Protocol):
    """What a part does."""

    def do(self, lake: LakeContext, watch: Watch) -> Report:
        """Do it; each step goes to ``watch``, which may stop the work by KeyboardInterrupt."""


@dataclass(frozen=True, repr=False)
class Place:
    """A lake and its archive, as a worker opens them. Its text shows no ``storage_options``."""

    root: str
    options: Mapping[str, Any] | None
    archive: Archive
    run_id: str

    @classmethod
    def of(cls, storage: Storage, archive: Archive, run_id: str) -> Place:
        """Return where a lake is; the archive's endpoint is the one in use here."""
        options = storage.options if isinstance(storage, S3Storage) else None
        named = archive.model_copy(update={"endpoint_url": archive.endpoint})
        return cls(storage.root, options, named, run_id)

    def open(self) -> LakeContext:
        """Open the lake; runs that are recorded are parts of the call's."""
        storage = open_storage(self.root, self.options)
        check_format(storage)
        lake = LakeContext.of(storage, self.archive)
        lake.tables.part_of = self.run_id
        return lake

    def __repr__(self) -> str:
        return f"<lake {self.root}>"


@dataclass(frozen=True)
class CallPart:
    """One part of a call."""

    number: int
    place: Place
    work: Work = field(repr=False)
    address: Address = field(repr=False)

    def __dask_tokenize__(self) -> tuple[str, int]:
        """Name the part for Dask: parts of two calls are never the same."""
        return self.address.token, self.number


class Done(NamedTuple):
    """What came of a part: its report, or the error, and which process did it."""

    number: int
    report: Report | None
    error: CryptolakeError | None
    host: str
    pid: int


def run_part(part: CallPart) -> Done:
    """Do a part, in whatever process or thread this is. Errors of ours are returned, not raised."""
    line = Line(part.address, part.number)
    report: Report | None = None
    error: CryptolakeError | None = None
    try:
        report = part.work.do(part.place.open(), line)
    except KeyboardInterrupt as stop:
        report = vars(stop).get("report") or Report("pull", part.place.run_id, 0.0, state="stopped")
    except CryptolakeError as raised:
        error, report = _alone(raised), raised.facts.get("report")
    finally:
        line.close()
    return Done(part.number, report, error, socket.gethostname(), os.getpid())


@dataclass(frozen=True)
class TransferWork:
    """Move a shard's files, and build the months that they lie in.

    ``settings`` have the part's own share of the connections. ``threads`` is how many months are built at a time,
    None for a machine of one's own. Without ``build`` files are only moved.
    """

    plan: Plan
    settings: RunSettings
    pins: Mapping[str, str] | None = None
    build: bool = True
    threads: int | None = None

    def do(self, lake: LakeContext, watch: Watch) -> Report:
        """Do it."""
        from cryptolake.silver.build import build, planned_rows

        settings = replace(self.settings, progress=watch)
        moved = settings.transfer(self.plan, lake, self.pins)
        if not self.build:
            return moved
        lake.records.forget()
        how: dict[str, Any] = {"progress": watch, "checksum_policy": settings.checksum_policy}
        try:
            built = build(lake, planned_rows(lake, self.plan), threads=self.threads, **how)
        except (KeyboardInterrupt, CryptolakeError) as stop:
            _carry(stop, moved)
            raise
        return Report.merge([moved, built])


@dataclass(frozen=True)
class BuildWork:
    """Build the months that some ledger rows lie in."""

    rows: pl.DataFrame
    policy: Policy
    force: bool = False
    threads: int | None = None
    withdrawn: Collection[str] = ()

    def do(self, lake: LakeContext, watch: Watch) -> Report:
        """Do it."""
        from cryptolake.silver.build import build

        how: dict[str, Any] = {"force": self.force, "threads": self.threads}
        how["withdrawn"] = self.withdrawn
        return build(lake, self.rows, progress=watch, checksum_policy=self.policy, **how)


@dataclass(frozen=True)
class GoldWork:
    """Build some files of a recipe."""

    recipe: Recipe
    query: Query
    only: frozenset[str]
    force: bool = False
    threads: int | None = None

    def do(self, lake: LakeContext, watch: Watch) -> Report:
        """Do it."""
        from cryptolake.gold.build import build_gold

        how: dict[str, Any] = {"force": self.force, "threads": self.threads, "only": self.only}
        return build_gold(lake, self.recipe, self.query, progress=watch, **how)


def _alone(error: CryptolakeError) -> CryptolakeError:
    """Return an error without what it came from: Dask sends that too, and parts of an open client cannot travel."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _carry(stop: BaseException, before: Report) -> None:
    """Add what was done before to the report of an exception."""
    if isinstance(stop, CryptolakeError):
        facts, given = stop.facts, stop.facts.get("report")
    else:
        facts, given = vars(stop), vars(stop).get("report")
    facts["report"] = Report.merge([before, given]) if given else before
