"""``lake.pull``: plan, transfer and build in one call, from one read of the ledger and one route."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from cryptolake.errors import ListingError
from cryptolake.listing.identity import require_own_archive
from cryptolake.planning.plan import TO_MOVE
from cryptolake.report import Report
from cryptolake.transfer.options import TransferOptions
from cryptolake.transfer.routing import route

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cryptolake.archive.source import Archive
    from cryptolake.bronze.verify import Policy
    from cryptolake.listing.context import LakeContext
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.routing import Route


class Spreads(Protocol):
    """Spreads transfers and builds over the workers of an executor (:mod:`cryptolake.executors.spread`)."""

    def transfer(
        self, plan: Plan, lake: LakeContext, settings: RunSettings, pins: Mapping[str, str] | None
    ) -> Report:
        """Move a plan's files by parts, and build the months that they lie in where the call is to."""

    def build(
        self,
        rows: pl.DataFrame,
        lake: LakeContext,
        settings: RunSettings,
        *,
        force: bool = False,
        withdrawn: Collection[str] = (),
    ) -> Report:
        """Build the months that some ledger rows lie in, by parts."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How one call moves files and builds months, as :func:`cryptolake.transfer.engine.transfer` takes it.

    ``route`` and ``options`` are chosen once, before anything is asked of the archive. With ``spread`` the work runs on
    an executor.
    """

    route: Route
    options: TransferOptions = field(default_factory=TransferOptions)
    progress: Progress = True
    checksum_policy: Policy = "quarantine"
    spread: Spreads | None = None

    @classmethod
    def of(
        cls,
        archive: Archive,
        storage: Storage,
        mode: str,
        progress: Progress,
        checksum_policy: Policy,
        options: TransferOptions | Mapping[str, Any] | str | None,
    ) -> RunSettings:
        """Check a call's words, before anything is asked of the archive, and choose its route.

        Raises
        ------
        InvalidQuery
            A mode or option that does not exist, or a mode that does not fit the lake.
        """
        return cls(
            options=TransferOptions.of(options),
            route=route(mode, archive, storage),
            progress=progress,
            checksum_policy=checksum_policy,
        )

    def transfer(
        self, plan: Plan, lake: LakeContext, pins: Mapping[str, str] | None = None
    ) -> Report:
        """Move a plan's files into Bronze; of those that a lock pins, only these bytes."""
        from cryptolake.transfer.engine import transfer

        if self.spread is not None:
            return self.spread.transfer(plan, lake, self, pins)
        return transfer(
            plan,
            lake,
            mode=self.route,
            progress=self.progress,
            checksum_policy=self.checksum_policy,
            options=self.options,
            pins=pins,
        )

    def build(
        self,
        bronze_rows: pl.DataFrame,
        lake: LakeContext,
        *,
        force: bool = False,
        withdrawn: Collection[str] = (),
    ) -> Report:
        """Build the Silver months that some ledger rows lie in; the archive no longer lists the files ``withdrawn``."""
        from cryptolake.silver.build import build

        how: dict[str, Any] = {"force": force, "withdrawn": withdrawn}
        if self.spread is not None:
            return self.spread.build(bronze_rows, lake, self, **how)
        how |= {"progress": self.progress, "checksum_policy": self.checksum_policy}
        return build(lake, bronze_rows, **how)


def pull(
    query: Query, lake: LakeContext, settings: RunSettings, *, refresh: bool = False
) -> tuple[Plan, Report]:
    """Plan, transfer and build.

    Parameters
    ----------
    query
        What to pull.
    lake
        The lake and its archive.
    settings
        How to transfer and build.
    refresh
        Ask the archive again even where the cached listing is fresh.

    Returns
    -------
    tuple of Plan and Report
        The plan as it was before the transfer, and the report of transfer and build. Files that the build
        finds damaged are fetched again, and their months are built once more.
    """
    from cryptolake.bronze.ledger import holdings
    from cryptolake.planning.planner import make_plan, plan_of_keys
    from cryptolake.progress import shown

    require_own_archive(lake)
    with shown(settings.progress):
        plan = make_plan(query, lake, route=settings.route, refresh=refresh)
    moved = settings.transfer(plan, lake)
    built = build_and_refetch(
        lambda: holdings(lake.records, query),
        lambda keys: plan_of_keys(keys, lake, notes=["files whose rows would be lost"]),
        lake,
        settings,
    )
    report = Report.merge([moved, built])
    return plan, report.naming(_without_rows(query, lake))


def _without_rows(query: Query, lake: LakeContext) -> pl.DataFrame:
    """Return the files in quarantine whose rows a query lacks, also where the plan had others for their days."""
    from cryptolake.readers.unusable import still_quarantined

    lost = still_quarantined(lake, query)
    if lost.height:  # perhaps stored by this very pull
        lake.records.forget()
        lost = still_quarantined(lake, query)
    return lost


def pull_rows(
    query: Query, lake: LakeContext, settings: RunSettings, *, refresh: bool, exact: bool
) -> pl.DataFrame:
    """Pull, say what the Silver rows of the range lack, and return them.

    Raises
    ------
    InvalidQuery
        The query names no data type, or several.
    NotPublished
        The archive has no file at all for the query.
    TransferError
        Files or months failed.
    StorageError
        A Silver file is damaged in a way that its size does not show.
    """
    from cryptolake.bronze.ledger import one_data_type
    from cryptolake.planning.plan import require_rows
    from cryptolake.readers.silver_files import reading
    from cryptolake.silver.rows import silver_rows

    one_data_type(query)
    require_rows(*pull(query, lake, settings, refresh=refresh))
    rows = silver_rows(query, lake, exact=exact, told=True)
    with reading("a Silver file of the query", lake.storage.root):
        return rows.collect()


def build_and_refetch(
    bronze_rows: Callable[[], pl.DataFrame],
    plan_of_lost: Callable[[Sequence[str]], Plan],
    lake: LakeContext,
    settings: RunSettings,
) -> Report:
    """Build months; files that they lack are fetched again, and their months are built once more.

    These are files that the build finds damaged, and files that were taken out of the lake before and whose
    rows a month that stands has: it is kept as it is until they are back. A plan by days may name neither, where
    other files of the lake cover their days. What the archive no longer lists is not waited for where the month's other
    files have all its rows.

    Parameters
    ----------
    bronze_rows
        Returns the ledger rows, as they are then, whose months are built.
    plan_of_lost
        Returns the plan that fetches the files with these keys, which are no longer in the lake by then.
    lake, settings
        The lake, and how to transfer and build.
    """
    built = settings.build(bronze_rows(), lake)
    lost = _gone(built, lake)
    if built.damaged:
        from cryptolake.bronze.audit import take_out

        lost |= set(take_out(lake.storage, lake.tables, built.damaged))
        lake.records.forget()
    moved, withdrawn = _fetched(plan_of_lost, sorted(lost), lake, settings)
    if moved is None and not built.damaged and not withdrawn:
        return built
    done = [replace(built, damaged=())]  # what is damaged is dealt with here
    # Nothing may be lost: the build itself found out what ETags say, or files were stored again meanwhile.
    again = settings.build(bronze_rows(), lake, withdrawn=withdrawn)
    return Report.merge([*done, *([moved] if moved else []), again])


def _gone(built: Report, lake: LakeContext) -> set[str]:
    """Return the files whose rows are in months that were kept, and which the ledger no longer has."""
    from cryptolake.bronze.ledger import scope_of_keys
    from cryptolake.silver.parquet import read_standing

    kept = built.months.filter(pl.col("status") == "kept")["path"]
    standing = [found for path in kept if (found := read_standing(lake.storage, path)) is not None]
    keys = {key for found in standing for key in found.origin.held}
    if not keys:
        return keys
    known = lake.records.ledger(scope=scope_of_keys(pl.Series(sorted(keys))))
    return keys - set(known["key"])


def _fetched(
    plan_of_lost: Callable[[Sequence[str]], Plan],
    keys: Sequence[str],
    lake: LakeContext,
    settings: RunSettings,
) -> tuple[Report | None, set[str]]:
    """Fetch files again, where any can be; return the report, and those that the archive does not list any more."""
    if not keys:
        return None, set()
    try:
        plan = plan_of_lost(keys)
    except ListingError:  # the build names what is lacking
        return None, set()
    listed = plan.rows.select("key", "status")
    lacking = listed["status"].is_in(["unrecorded", *TO_MOVE]).any()
    return settings.transfer(plan, lake) if lacking else None, set(keys) - set(listed["key"])
