"""One call on an executor: its parts, the run they belong to, and the step that makes the lake whole after them."""

from __future__ import annotations

import pickle
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.errors import ChecksumMismatch, InvalidQuery, TransferError, WorkerLost
from cryptolake.executors.channel import Channel
from cryptolake.executors.part_progress import Together
from cryptolake.executors.parts import BuildWork, CallPart, GoldWork, Place, TransferWork, Work
from cryptolake.executors.pool import Gathered, Given, Pool, gather
from cryptolake.gold.build import build_gold, stale_targets
from cryptolake.gold.daily import RECIPE as DAILY
from cryptolake.gold.recipes import recipe_named
from cryptolake.listing.identity import claim_archive, require_own_archive, require_own_plan
from cryptolake.maintenance.missing import unbuilt
from cryptolake.planning.plan import TO_MOVE, Plan
from cryptolake.planning.shards import boundaries
from cryptolake.query import Query
from cryptolake.render.html import plural
from cryptolake.report import Report
from cryptolake.silver.build import build_asked
from cryptolake.storage.runs import HEARTBEAT, run_row
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import Meta, new_run_id
from cryptolake.telemetry import step
from cryptolake.transfer.engine import sigterm_raises

if TYPE_CHECKING:
    from cryptolake.executors.parts import Done
    from cryptolake.gold.targets import GoldMonth
    from cryptolake.listing.context import LakeContext
    from cryptolake.progress import Progress
    from cryptolake.transfer.pull import RunSettings

_FILES = 64
"""Files of a part, at least: each part reads the ledger and writes to the lake's tables once more."""

_MOST_FILES = 20_000
_PARTS = 4
"""Parts for each worker, at most, of a plan that is not huge: the last ones even out what the others differ by."""

_MONTH = ("market", "data_type", "interval", "symbol", "month")


@dataclass
class Spread:
    """What spreads the transfers and builds of one call over an executor; ``RunSettings`` call it.

    Parameters
    ----------
    pool
        The executor.
    lake
        The lake of the call.
    kind
        The call, for the run's row: ``pull``, ``transfer``, ``build`` or ``update``.
    progress
        Shows all parts as one.
    build_too
        Whether a transfer's parts also build the months of their files.
    """

    pool: Pool
    lake: LakeContext
    kind: str
    progress: Progress
    build_too: bool = True
    run_id: str = field(default_factory=new_run_id)
    reports: list[Report] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _beaten: float | None = None
    _parts: int = 0

    # ------------------------------------------------------------------ what RunSettings ask for

    def transfer(
        self, plan: Plan, lake: LakeContext, settings: RunSettings, pins: Mapping[str, str] | None
    ) -> Report:
        """Move a plan's files by shards, and build the months that they lie in."""
        alone = replace(settings, spread=None)
        statuses = [*TO_MOVE, "unrecorded"]
        statuses += ["quarantined"] if settings.checksum_policy != "quarantine" else []
        wanted = pl.col("status").is_in(statuses)
        moving = replace(plan, files=plan.rows.filter(wanted))
        if not moving.rows.height:
            return alone.transfer(plan, lake, pins)
        require_own_archive(lake)
        require_own_plan(plan.archive.place, plan.rows, lake)
        claim_archive(lake)
        rest = alone.transfer(replace(plan, files=plan.rows.filter(~wanted)), lake, pins)
        shards = moving.shards(self._count(moving.rows.height))
        share = max(1, settings.options.workers // min(self.pool.workers, len(shards)))
        options = settings.options.model_copy(update={"workers": share})
        own = replace(alone, options=options, progress=False)
        works = [
            TransferWork(shard, own, _of(pins, shard), self.build_too, self.pool.threads)
            for shard in shards
        ]
        sizes = [(shard.total_bytes, shard.rows.height) for shard in shards]
        report = self._run(works, sizes, "files", rest)
        return replace(report, damaged=())

    def build(
        self,
        rows: pl.DataFrame,
        lake: LakeContext,
        settings: RunSettings,
        *,
        force: bool = False,
        withdrawn: Collection[str] = (),
    ) -> Report:
        """Build the months that are to be built by parts; then look at all of them once, as one build does.

        Whoever places a month last has then seen every file in the ledger, whatever the parts did not see of each other.
        """
        alone = replace(settings, spread=None)
        todo = rows if force else unbuilt(rows, lake)
        parts = self._months(todo)
        if sum(count for _, count in parts) < 2:
            return alone.build(rows, self._own(lake), force=force, withdrawn=withdrawn)
        policy = settings.checksum_policy
        works = [BuildWork(part, policy, force, self.pool.threads, withdrawn) for part, _ in parts]
        done = self._run(works, [(count, count) for _, count in parts], "months")
        last = alone.build(rows, self._own(lake), withdrawn=withdrawn)
        return Report.merge([replace(done, damaged=()), last])

    def gold(self, name: str, query: Query, lake: LakeContext, *, force: bool = False) -> Report:
        """Build a recipe's stale files by parts; then look at all of them once, as one build does."""
        alone: dict[str, Any] = {"progress": self.progress}
        recipe = None if name == DAILY else recipe_named(name)
        targets = [] if recipe is None else stale_targets(lake, recipe, query, force=force)
        if recipe is None or len(targets) < 2:
            return build_gold(self._own(lake), name, query, force=force, **alone)
        sizes = [max(1, sum(file.size for file in target.files)) for target in targets]
        ends = boundaries(sizes, _PARTS * self.pool.workers)
        works: list[Work] = []
        counts = []
        for begin, end in zip([0, *ends], ends, strict=False):
            mine = targets[begin:end]
            only = frozenset(target.path for target in mine)
            works.append(GoldWork(recipe, _asking(query, mine), only, force, self.pool.threads))
            counts.append((len(mine), len(mine)))
        done = self._run(works, counts, "months")
        return Report.merge([done, build_gold(self._own(lake), name, query, **alone)])

    # ------------------------------------------------------------------ parts

    def _count(self, files: int) -> int:
        """Return how many shards to cut so many files into."""
        few = max(self.pool.workers, min(_PARTS * self.pool.workers, files // _FILES))
        return max(few, -(-files // _MOST_FILES))

    def _months(self, rows: pl.DataFrame) -> list[tuple[pl.DataFrame, int]]:
        """Cut ledger rows (with key parts) into parts of whole symbol-months; return each, and its months."""
        named = rows.drop_nulls("first").with_columns(month=pl.col("first").dt.month_start())
        months = named.group_by(_MONTH).agg(pl.col("size").sum()).sort(_MONTH, nulls_last=False)
        if not months.height:
            return []
        ends = boundaries(months["size"].to_list(), _PARTS * self.pool.workers)
        found = []
        for begin, end in zip([0, *ends], ends, strict=False):
            own = months.slice(begin, end - begin)
            mine = named.join(own.select(_MONTH), on=_MONTH, how="semi", nulls_equal=True)
            found.append((mine.select(rows.columns), end - begin))
        return found

    def _run(
        self,
        works: Sequence[Work],
        sizes: Sequence[tuple[int, int]],
        unit: str,
        *before: Report,
    ) -> Report:
        """Run the parts, and return one report of them and of what was done before.

        Raises
        ------
        WorkerLost
            A worker died, and the executor does not run its part again.
        KeyboardInterrupt
            Ctrl-C; its ``report`` says what was done.
        """
        place = Place.of(self.lake.storage, self.lake.archive, self.run_id)
        self._parts += len(works)
        self._beat()
        self.lake.records.forget()
        together = Together(sizes, unit, self.progress)
        facts = {"kind": self.kind, "parts": len(works), "workers": self.pool.workers}
        try:
            logged = step("spread", "ran on an executor", **facts)
            with sigterm_raises(), Channel() as channel, logged:
                parts = [CallPart(n, place, work, channel.address) for n, work in enumerate(works)]

                def look(done: Sequence[Done]) -> None:
                    self._beat()
                    together.show(channel.steps, done)

                found = gather(self.pool, parts, channel, look)
        except (KeyboardInterrupt, SystemExit) as stop:
            self._keep(vars(stop).pop("gathered", Gathered([], None)), before)
            raise
        finally:
            together.close()
            self.lake.records.forget()
        report = self._keep(found, before)
        self._raise_if_lost(found, report, len(works))
        _raise_if_useless(found, report)
        return report

    def _keep(self, found: Gathered, before: Sequence[Report]) -> Report:
        """Merge the reports of parts, and keep them for the run's row."""
        own = [done.report for done in found.done if done.report is not None]
        given = [*before, *own] or [Report("transfer", self.run_id, 0.0)]
        report = replace(Report.merge(given), run_id=self.run_id)
        self.reports.append(report)
        return report

    def _raise_if_lost(self, found: Gathered, report: Report, parts: int) -> None:
        lost = found.lost
        if lost is None:
            return
        if isinstance(lost, pickle.PicklingError | AttributeError) and "pickle" in str(lost):
            message = (
                f"this work cannot travel to the executor's workers: {lost}. A recipe's function is defined in a "
                "module that the workers can import."
            )
            raise InvalidQuery(message, what="executor") from lost
        ours = isinstance(lost, BrokenExecutor | CancelledError)
        if not ours and not type(lost).__module__.startswith("distributed"):
            raise lost
        done = len(found.done)
        why = (str(lost).splitlines() or ["no reason given"])[0]
        message = (
            f"a worker of the executor died (killed, or out of memory): {done:,} of {parts:,} parts are done, "
            f"{plural(report.transferred, 'file')} and {plural(report.built, 'month')} ({type(lost).__name__}: {why}). What the "
            "others stored is in the lake: the same call with a new executor completes the work."
        )
        raise WorkerLost(message, parts=parts, done=done, report=report) from lost

    # ------------------------------------------------------------------ the run

    def _own(self, lake: LakeContext) -> LakeContext:
        """Let runs that this process records be parts of this one, once it has begun."""
        if self._beaten is not None:
            lake.tables.part_of = self.run_id
        return lake

    def _beat(self) -> None:
        now = time.monotonic()
        if self._beaten is None or now - self._beaten >= HEARTBEAT:
            self._beaten = now
            self._record("running")

    def _record(self, state: str) -> None:
        tables = self.lake.tables
        before, tables.part_of = tables.part_of, None
        tables.append("runs", [self._row(state)])
        tables.part_of = before

    def close(self, state: str) -> None:
        """Record the run, and merge the segments that its parts have written; nothing where there was no part."""
        if self._beaten is None:
            return
        self._record(state)
        self.lake.tables.part_of = None
        self.lake.tables.settle(TABLES)

    def _row(self, state: str) -> dict[str, Any]:
        total = Report.merge(self.reports) if self.reports else None
        name = type(self.pool.executor).__name__
        workers = f"{self._parts} parts on {self.pool.workers} workers of {name}"
        facts: dict[str, Any] = {"note": workers}
        if total is not None:
            facts |= {
                "files": total.transferred + total.adopted,
                "bytes": total.bytes,
                "failed": total.failed,
                "quarantined": total.quarantined,
                "requests": total.requests,
                "retries": sum(total.retries.values()),
            }
        seconds = time.monotonic() - self._began
        return run_row(self.run_id, self.kind, state, self._started, seconds=seconds, **facts)


@contextmanager
def spread_over(
    given: Given,
    settings: RunSettings,
    lake: LakeContext,
    kind: str,
    *,
    build: bool = True,
) -> Iterator[tuple[RunSettings, LakeContext]]:
    """Yield the settings and the lake of a call whose transfers and builds run on an executor.

    Parameters
    ----------
    given
        The executor; or a pair of it and its number of workers, where that cannot be found.
    settings
        The settings of the call.
    lake
        The lake of the call.
    kind
        The call: ``pull``, ``transfer``, ``build`` or ``update``.
    build
        Whether the parts of a transfer also build the months of their files.

    Raises
    ------
    InvalidQuery
        It is no executor, or its number of workers cannot be found.
    KeyboardInterrupt
        Ctrl-C; its ``report`` says what was done until then, with the state ``stopped``.
    """
    own = replace(lake, tables=Meta(lake.storage))  # its runs are parts of this one's
    spread = Spread(Pool.of(given), own, kind, settings.progress, build)
    state = "failed"
    try:
        yield replace(settings, spread=spread), own
        state = "done" if all(report.ok for report in spread.reports) else "failed"
    except (KeyboardInterrupt, SystemExit) as stop:
        state = "stopped"
        reports = spread.reports or [Report("transfer", spread.run_id, 0.0)]
        vars(stop)["report"] = replace(Report.merge(reports), state="stopped")
        raise
    finally:
        spread.close(state)


def build_on(
    given: Given,
    lake: LakeContext,
    asked: Query | Plan | None,
    settings: RunSettings,
    *,
    gold: Sequence[str] = (),
    force: bool = False,
) -> Report:
    """Build Silver, then Gold, on an executor, as :meth:`cryptolake.lake.Lake.build` says."""
    with spread_over(given, settings, lake, "build") as (spreading, own):
        report = build_asked(own, asked, make=lambda rows: spreading.build(rows, own, force=force))
        query = asked.query if isinstance(asked, Plan) else asked
        query = Query() if query is None else query
        for name in gold:
            own.records.forget()
            spread: Any = spreading.spread
            report = Report.merge([report, spread.gold(name, query, own, force=force)])
        return report


def _asking(query: Query, targets: Sequence[GoldMonth]) -> Query:
    """Return the part of a query that some files of a recipe are of."""
    months = [target.where.month for target in targets]
    symbols = {target.where.symbol for target in targets if target.where.symbol}
    days = query.between(min(months).first, max(months).days.last)
    return days.symbols(*sorted(symbols)) if symbols else days


def _of(pins: Mapping[str, str] | None, shard: Plan) -> Mapping[str, str] | None:
    if pins is None:
        return None
    keys = set(shard.rows.select("key")["key"])
    return {key: sha256 for key, sha256 in pins.items() if key in keys}


def _raise_if_useless(found: Gathered, report: Report) -> None:
    """Raise what parts raised: where no part did anything, what the lake refuses, and what the policy asks to raise.

    A part none of whose files came is no error of the call as long as another part's files came.
    """
    came = report.transferred + report.adopted + report.quarantined
    for error in (done.error for done in found.done if done.error is not None):
        mismatch = isinstance(error, ChecksumMismatch)
        if mismatch:
            lost = report.files.filter(pl.col("status") == "quarantined")
            error.facts["keys"] = lost["key"].to_list()
        if mismatch or not isinstance(error, TransferError) or not came:
            error.facts["report"] = report
            raise error
