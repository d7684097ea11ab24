"""``lake.update()``: what the lake holds, brought to the newest published day.

It looks at the span that the lake holds, from its first day on. The archive's listing is asked anew where
something can be new. Fetched are the files that the archive has rewritten, days that the lake lacks (after
its newest day, and before it: a file that failed, came late, or was in quarantine until the archive mended
it), files that are gone or cut, and the monthly file of a month held as daily ones, where rows of that month
are missing: it can only add rows (of two that differ the daily one counts), so a month without gaps is left
as it is. Files that a killed run stored are adopted, and months that Silver lacks are built. Where the ledger is
lost, all zips in Bronze are such files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import (
    holdings,
    in_months,
    narrowed,
    warn_of_lost_ledger,
    with_key_parts,
)
from cryptolake.errors import DamagedLakeWarning, InvalidQuery
from cryptolake.listing.identity import require_own_archive
from cryptolake.maintenance.ledger_rebuild import Unknown, enter_again, unknown_zips
from cryptolake.maintenance.missing import Coverage, unbuilt
from cryptolake.planning.plan import TO_MOVE
from cryptolake.planning.planner import plan_of
from cryptolake.planning.status import status_of
from cryptolake.quality.causes import OPEN
from cryptolake.quality.freshness import NAME, OBJECT, held_folders, listed_files
from cryptolake.quality.report import gaps
from cryptolake.query import Query
from cryptolake.readers.silver_files import silver_scope
from cryptolake.readers.unusable import still_quarantined
from cryptolake.render.html import plural
from cryptolake.report import Report
from cryptolake.storage import layout
from cryptolake.storage.scope import EVERYTHING
from cryptolake.storage.tables import new_run_id
from cryptolake.transfer.pull import build_and_refetch

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.planning.plan import Plan
    from cryptolake.storage.scope import Scope
    from cryptolake.storage.tables import TableReader
    from cryptolake.transfer.pull import RunSettings


CHANGES: dict[str, Any] = {
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "why": pl.String,
    "files": pl.Int64,
    "bytes": pl.Int64,
    "failed": pl.Int64,
    "first": pl.Date,
    "last": pl.Date,
}
"""The columns of ``Update.changes``: per symbol and reason the files, their bytes, how many could not be
fetched, and the first and last day they cover. Reasons: ``extended`` (days after the last one held),
``filled`` (days lacking before it), ``rewritten`` (by the archive), ``completed`` (the monthly file of a month
whose days lack rows), ``repaired`` (gone or cut), ``verified`` (here without a record, or without the CHECKSUM
that is published by now), ``built`` (in Bronze before, and not in Silver), ``added`` (files of a stored query that the
lake had none of: a symbol listed since, days before the first one held)."""

_PARTS = ["market", "data_type", "symbol", "interval", "partition", "period", "first", "last"]

_LACKING = (*TO_MOVE, "unrecorded")
"""Statuses of files that a transfer has to handle."""


@dataclass(frozen=True, repr=False)
class Update:
    """What an update did.

    Parameters
    ----------
    changes
        A row a symbol and reason: ``market``, ``data_type``, ``symbol``, ``interval``, ``why``
        (``notebooks/guide/words.md#reasons-of-an-update``), ``files``, ``bytes``, ``failed`` (files that could not be
        fetched), ``first`` and ``last`` UTC day that they cover.
    rows_before, rows_after
        Silver's rows of what was updated.
    report
        That of the transfer and build; None when there was no need.
    listed_at
        When the archive was asked, UTC.

    Examples
    --------
    >>> from cryptolake.maintenance.update import Update
    >>> Update().changed
    False
    """

    changes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CHANGES))
    rows_before: int = 0
    rows_after: int = 0
    report: Report | None = None
    listed_at: datetime | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was fetched or built."""
        return self.changes.height > 0

    def summary(self) -> str:
        """Return the update in one sentence.

        Returns
        -------
        str
            Files by reason, and rows before and after.

        Examples
        --------
        >>> from cryptolake.maintenance.update import Update
        >>> Update().summary()
        'update: everything here is as the archive has it'
        """
        if not self.changed:
            lacking = self.report.failed if self.report else 0
            quarantined = self.report.quarantined if self.report else 0
            if lacking:
                return f"update: nothing is new; {plural(lacking, 'month or file lacks', 'months or files lack')} a source"
            if quarantined:
                return f"update: nothing is new; {plural(quarantined, 'file is', 'files are')} in quarantine (meta.quarantine)"
            return "update: everything here is as the archive has it"
        counts = self.changes.group_by("why").agg(pl.col("files").sum()).sort("why")
        reasons = ", ".join(
            f"{why} by {plural(files, 'file')}" for why, files in counts.iter_rows()
        )
        return (
            f"update: {reasons}; {plural(self.rows_before, 'row')} before, {self.rows_after:,} now"
        )

    def __repr__(self) -> str:
        return f"<Update {self.summary()}>"


def update(lake: LakeContext, settings: RunSettings, query: Query | None = None) -> Update:
    """Bring what the lake holds to the newest published day. Done twice, the second does nothing.

    Parameters
    ----------
    lake
        The lake and its archive, whose listing is asked anew where something can be new.
    settings
        How to transfer and build.
    query
        Only these markets, data types, intervals and symbols of what is held; its days do not matter.

    Returns
    -------
    Update
        What was fetched and built, per symbol and reason, and the rows before and after.

    Raises
    ------
    ArchiveMismatch
        The lake is of another archive.
    InvalidQuery
        The lake holds nothing of the query.
    ListingError
        The archive does not answer: a stale listing cannot say what is new.
    """
    require_own_archive(lake)
    scope = None if query is None else query.undated()
    held = holdings(lake.records, scope).select("key", "size", *_PARTS)
    orphans = held.clear() if held.height else _orphans(lake, scope)
    done = _updated(lake, settings, scope, held if held.height else orphans, orphans)
    done = _naming(done, still_quarantined(lake, scope), "quarantined")
    return _naming(done, _left(lake, orphans), "failed") if orphans.height else done


def _naming(done: Update, files: pl.DataFrame, status: str) -> Update:
    if not files.height:
        return done
    report = done.report or Report("transfer", new_run_id(), 0.0)
    return replace(done, report=report.naming(files, status))


def _orphans(lake: LakeContext, scope: Query | None) -> pl.DataFrame:
    """Return the zips in Bronze of a lake whose ledger names none, with their key parts: the ledger is lost.

    The update goes on from them as from what was held. Those that the archive lists are compared with it where they
    are, and recorded again; the others are recorded where their CHECKSUM proves them.
    """
    unknown = unknown_zips(lake) if lake.records.ledger().is_empty() else []
    schema = {"key": pl.String, "size": pl.Int64}
    found = with_key_parts(pl.DataFrame(unknown, schema=schema, orient="row"))
    found = (found if scope is None else narrowed(found, scope)).select(*schema, *_PARTS)
    if found.height:
        message = (
            f"the ledger (meta/files) of the lake at {lake.storage.root} names none of the {len(unknown):,} zips in "
            f"{layout.BRONZE}/: the update checks {found.height:,} of them against the archive or their CHECKSUM, and records them again."
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=4)
    return found


def _entered(lake: LakeContext, orphans: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """Record zips that the archive does not list by their CHECKSUM; return what changed, as :data:`CHANGES`."""
    unlisted = orphans.join(files, on="key", how="anti")
    judged = enter_again(lake, [Unknown(*item) for item in unlisted.select("key", "size").rows()])
    stored = [item.key for item in judged if item.outcome == "stored"]
    mine = pl.col("key").is_in(pl.Series(stored, dtype=pl.String).implode())
    rows = unlisted.filter(mine).with_columns(why=pl.lit("verified"))
    return changes_of(rows, Report("transfer", new_run_id(), 0.0))


def _left(lake: LakeContext, orphans: pl.DataFrame) -> pl.DataFrame:
    """Return those of some zips without a record that have none after the update either, and why."""
    lake.records.forget()
    left = {item.key for item in unknown_zips(lake)}
    why = (
        "it is in Bronze without a record, the archive does not list it, and no CHECKSUM proves it: move it out of "
        f"{layout.BRONZE}/ if it is not wanted"
    )
    mine = pl.col("key").is_in(pl.Series(sorted(left), dtype=pl.String).implode())
    return orphans.filter(mine).select("key", error=pl.lit(why))


def _updated(
    lake: LakeContext,
    settings: RunSettings,
    scope: Query | None,
    held: pl.DataFrame,
    orphans: pl.DataFrame,
) -> Update:
    folders = held_folders(held)
    if not folders:
        warn_of_lost_ledger(lake.storage, lake.records)
    if not folders and scope is not None:
        message = (
            f"the lake at {lake.storage.root} holds nothing of {scope!r}: an update goes on from what is here; "
            "pull it first (lake.pull(query), cryptolake pull), or store it (lake.save_query) and update it by name."
        )
        raise InvalidQuery(message, given=scope)
    if not folders:
        return Update()
    now = datetime.now(UTC)
    covered = Coverage.of(held, folders)
    span = Days(min(held["first"].drop_nulls()), now.date())
    listed = lake.listing.listed(folders, span, since=covered.since(now))
    if listed.trouble is not None:
        raise listed.trouble
    files = listed_files(listed)
    paths = EVERYTHING if scope is None else silver_scope(scope)
    before = rows_of(lake.records, paths)
    work = _Work(lake, settings, scope, files, listed.at)
    if orphans.height:
        work.changes.append(_entered(lake, orphans, files))
    work.do(_wanted(held, files, covered.lacking(folders, files, listed, now.date()), lake))
    # Only when all days are here can it be seen which months lack rows.
    completing = _completing(holdings(lake.records, scope), files, lake)
    if completing.height:
        work.do(completing.with_columns(status_of(completing, lake).alias("status")))
    if work.report is None and not any(part.height for part in work.changes):
        return Update(listed_at=listed.at)
    changes = pl.concat([pl.DataFrame(schema=CHANGES), *work.changes])
    return Update(changes, before, rows_of(lake.records, paths), work.report, listed.at)


class _Work:
    """The transfers and builds of one update, what they changed, and their report."""

    def __init__(
        self,
        lake: LakeContext,
        settings: RunSettings,
        scope: Query | None,
        files: pl.DataFrame,
        listed_at: datetime | None,
    ) -> None:
        self.changes: list[pl.DataFrame] = []
        self.report: Report | None = None
        self._lake, self._settings = lake, settings
        self._scope, self._files, self._listed_at = scope, files, listed_at

    def do(self, wanted: pl.DataFrame) -> None:
        """Fetch or adopt files whose ``status`` says that they are not here; build what Silver lacks."""
        moving = wanted.filter(pl.col("status").is_in(_LACKING)).unique(
            "key", keep="first", maintain_order=True
        )
        if moving.height:
            moved = self._settings.transfer(self._plan(moving.drop("why")), self._lake)
            self._add(moved)
            self.changes.append(changes_of(moving, moved))
        elif self.report is not None:
            return
        rows = unbuilt(holdings(self._lake.records, self._scope), self._lake)
        if not rows.height:
            return
        months = rows.select(*NAME, month=pl.col("period").str.slice(0, 7)).unique()
        built = build_and_refetch(
            lambda: in_months(holdings(self._lake.records, self._scope), months),
            self._plan_of_keys,
            self._lake,
            self._settings,
        )
        self._add(built)
        done = built.months.filter(pl.col("status") == "built").select("path")
        lacked = rows.filter(~pl.col("used")).join(done, on="path", how="semi")
        left = lacked.join(moving, on="key", how="anti")
        if left.height:
            self.changes.append(changes_of(left.with_columns(why=pl.lit("built")), built))

    def _plan(self, files: pl.DataFrame) -> Plan:
        notes = ["what the lake lacks of the span that it holds, and what is new since"]
        return plan_of(files, self._lake, notes=notes, listed_at=self._listed_at)

    def _plan_of_keys(self, keys: Sequence[str]) -> Plan:
        damaged = self._files.filter(pl.col("key").is_in(list(keys)))
        return self._plan(_shaped(damaged, "").drop("why"))

    def _add(self, report: Report) -> None:
        self.report = report if self.report is None else Report.merge([self.report, report])


def _wanted(
    held: pl.DataFrame, files: pl.DataFrame, lacking: pl.DataFrame, lake: LakeContext
) -> pl.DataFrame:
    """Return the listed files that the lake lacks, or has not as the archive has them, with their status.

    A file without a record is one that was stored when a run was killed: it is verified where it is.
    """
    status = status_of(files, lake)
    mine = (
        files.select("key")
        .with_columns(status)
        .join(
            held.select("key", held=pl.lit(value=True)), on="key", how="left", maintain_order="left"
        )
    )
    words = {"updated": "rewritten", "new": "repaired", "unrecorded": "verified"}
    why = pl.col("status").replace_strict(words, default=None)
    whys = (
        mine.join(lacking, on="key", how="left", maintain_order="left")
        .filter(pl.col("held") | (pl.col("status") == "unrecorded") | pl.col("why").is_not_null())
        .select("key", "status", pl.coalesce("why", why))
    )
    return files.join(whys, on="key", how="inner", maintain_order="left").select(
        *OBJECT, *_PARTS, "why", "status"
    )


def _completing(held: pl.DataFrame, files: pl.DataFrame, lake: LakeContext) -> pl.DataFrame:
    """Return the monthly files of months held as daily ones that lack rows."""
    by_month = held.with_columns(month=pl.col("first").dt.month_start())
    monthly = by_month.filter(pl.col("partition") == "monthly")
    daily = by_month.filter(pl.col("partition") == "daily").join(
        monthly, on=[*NAME, "month"], how="anti", nulls_equal=True
    )
    begun = daily.group_by(*NAME, "month").agg(since=pl.col("first").min())
    may = files.filter(pl.col("partition") == "monthly").join(
        begun.rename({"month": "first"}), on=[*NAME, "first"], how="inner", nulls_equal=True
    )
    keys: set[str] = set()
    for (market, data_type, interval), part in may.partition_by(
        "market", "data_type", "interval", as_dict=True
    ).items():
        # What lies before the first day held was not asked for when the lake was filled.
        for (since, last), months in part.partition_by("since", "last", as_dict=True).items():
            symbols = months["symbol"].unique().to_list()
            asked = Query().markets(str(market)).data_types(str(data_type)).symbols(symbols)
            if interval:
                asked = asked.intervals(str(interval))
            lacking = gaps(asked.between(_day(since), _day(last)), lake)
            unknown = lacking.filter(pl.col("cause").is_in(OPEN))
            keys |= {key for siblings in unknown["siblings"] for key in siblings}
    return _shaped(may.filter(pl.col("key").is_in(sorted(keys))), "completed")


def _day(value: Any) -> date:
    day: date = value
    return day


def _shaped(files: pl.DataFrame, why: str) -> pl.DataFrame:
    return files.select(*OBJECT, *_PARTS, pl.lit(why).alias("why"))


def changes_of(wanted: pl.DataFrame, report: Report) -> pl.DataFrame:
    """Sum files up by symbol and reason, as :data:`CHANGES` has it."""
    lost = report.files.filter(pl.col("status").is_in(["failed", "quarantined"])).select(
        "key", lost=pl.lit(value=True)
    )
    return (
        wanted.join(lost, on="key", how="left")
        .group_by(*NAME, "why")
        .agg(
            pl.len().alias("files"),
            pl.col("size").sum().alias("bytes"),
            pl.col("lost").count().alias("failed"),
            pl.col("first").min(),
            pl.col("last").max(),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in CHANGES.items())
        .sort(*NAME, "why")
    )


def rows_of(records: TableReader, paths: Scope) -> int:
    """Return the rows that Silver has now at some paths."""
    from cryptolake.silver.records import current

    return int(current(records, "sources", paths)["rows_out"].sum())
