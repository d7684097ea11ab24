"""Bring a lake's Silver months up to date with Bronze: only those whose files changed, several at once.

The sources of a month are in its Parquet metadata, so a build that was stopped continues, and a second one
does nothing. ``meta.sources``, ``meta.rejects`` and ``meta.findings`` are written before the
months that they describe are put in place, so every month in place is accounted for.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from os import cpu_count
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.periods import Period
from cryptolake.bronze.audit import set_aside
from cryptolake.bronze.ledger import (
    holdings,
    holdings_beside,
    in_months,
    warn_of_lost_ledger,
)
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits
from cryptolake.errors import BuildError, ChecksumMismatch, DamagedLakeWarning
from cryptolake.planning.plan import Plan
from cryptolake.progress import SOON, BuildProgress
from cryptolake.readers.unusable import still_quarantined
from cryptolake.render.html import plural, some_of
from cryptolake.report import FILES, MONTHS, Report, State, facts_of_build
from cryptolake.silver.extend import told
from cryptolake.silver.late_verification import LateVerifications
from cryptolake.silver.month import STREAM_ABOVE, MonthResult, make_month
from cryptolake.silver.months import Month, months_to_build
from cryptolake.silver.parquet import NO_FILE, read_standing
from cryptolake.silver.records import (
    finding_rows,
    month_records,
    month_rows,
    reject_rows,
    source_rows,
)
from cryptolake.silver.scratch import put, put_all, sweep
from cryptolake.storage import layout
from cryptolake.storage.runs import HEARTBEAT, run_row
from cryptolake.storage.tables import new_run_id
from cryptolake.telemetry import observed

if TYPE_CHECKING:
    from pathlib import Path

    from cryptolake.bronze.verify import Policy
    from cryptolake.listing.context import LakeContext
    from cryptolake.progress import Progress
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage


_FLUSH_BYTES = 32 * 2**20
_FLUSH_SECONDS = 2.0
_FLUSH_MONTHS = 256
_AT_ONCE = 16


class BuildRun:
    """One build: work handed to threads, results stored in groups."""

    def __init__(self, lake: LakeContext, threads: int, progress: Progress) -> None:
        self.storage, self.tables, self.threads = lake.storage, lake.tables, threads
        self._records = lake.records
        self.id = new_run_id()
        self.started = datetime.now(UTC)
        self.state: State = "stopped"
        self._progress = progress
        self.verifications = LateVerifications(lake.storage, lake.tables, self.id)
        self._rows: dict[str, dict[str, Any]] = {}
        self._waiting: list[MonthResult] = []
        self._flushed = time.monotonic()
        self._files = 0
        self._beaten: float | None = None
        self._closed = False
        self.placed: dict[str, str] = {}
        """The months that this run put in their places, and the id of what each was made by."""
        self._seen: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self._whole: list[Month] = []
        self._drafts: set[Path] = set()
        """The folders of drafts that have no place yet; of months in work too, once they are made."""
        self._over = False
        self.ledger_names: frozenset[str] | None = None
        self.month_names: set[str] = set()
        """The segments of ``months`` whose rows were read before this run wrote, and its own."""

    def asked(self, bronze_rows: pl.DataFrame) -> list[Month]:
        """Return the months that some files lie in, by the ledger as this call sees it."""
        held = holdings_beside(self._records, bronze_rows["key"])
        self.ledger_names = self._records.ledger_names
        return months_to_build(bronze_rows, held)

    def all(self, months: list[Month], **options: Any) -> None:
        """Make all months, and those that their rows spill into; options as ``make_month`` takes them."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="silver")
        shown = BuildProgress(len(months), self._progress)
        try:
            for result in self._results(pool, months, shown, options):
                self._files += len(result.month.sources)
                self._waiting.append(result)
                if self._due():
                    self._flush()
                shown.made(changed=result.status != "unchanged")
        finally:
            pool.shutdown(cancel_futures=True)
            shown.close()
        self._flush()
        if self._whole:  # rare: the tables did not tell of the file that stands
            again, self._whole = self._whole, []
            self.all(again, **{**options, "extend": False})

    def _results(
        self,
        pool: ThreadPoolExecutor,
        months: list[Month],
        shown: BuildProgress,
        options: dict[str, Any],
    ) -> Iterator[MonthResult]:
        """Yield months as they are made; never more of them in memory than twice the threads."""
        todo, seen = deque(months), {month.path for month in months}
        running: set[Future[MonthResult]] = set()
        while todo or running:
            while todo and len(running) < 2 * self.threads:
                known = self.verifications.known
                job = pool.submit(make_month, self.storage, todo.popleft(), known=known, **options)
                job.add_done_callback(self._drafted)
                running.add(job)
            done, running = wait(running, timeout=SOON, return_when=FIRST_COMPLETED)
            if not done:
                shown.takes_long()
            for future in done:
                result = future.result()
                todo.extend(_spilled(result, seen))
                yield result

    def _drafted(self, job: Future[MonthResult]) -> None:
        """Note the draft of a month, in the thread that made it; it goes at once where the build has ended meanwhile."""
        if job.cancelled() or job.exception() is not None or (draft := job.result().draft) is None:
            return
        self._drafts.add(draft.parent)
        if self._over:
            shutil.rmtree(draft.parent, ignore_errors=True)

    def _due(self) -> bool:
        size = sum(len(result.data or b"") for result in self._waiting)
        late = time.monotonic() - self._flushed >= _FLUSH_SECONDS
        return late or size >= _FLUSH_BYTES or len(self._waiting) >= _FLUSH_MONTHS

    def _flush(self) -> None:
        """Record what was made, then put the months in their places."""
        waiting, self._waiting = self._completed(self._waiting), []
        changed = [result for result in waiting if result.status != "unchanged"]
        for result in waiting:
            self.damaged |= set(result.damaged)
        self.verifications.record([item for result in changed for item in result.verifications])
        self._record(waiting, changed)
        if changed:  # the rest of this call sees what was recorded
            self._records.forget()
        self._place(waiting)
        for result in waiting:
            self._note(result)
            self._rows[result.month.path] = _row(result)
        self._flushed = time.monotonic()

    def _note(self, result: MonthResult) -> None:
        """Note the sources that a month of this run was made of, or was kept for, as its ledger had them."""
        path = result.month.path
        self.placed.pop(path, None)
        self._seen.pop(path, None)
        if result.status == "built":
            self.placed[path] = result.origin.id if result.origin else ""
        if result.status in {"built", "kept"}:  # another file that stands has its own writer
            self._seen[path] = _inputs(result.month)

    def _completed(self, waiting: list[MonthResult]) -> list[MonthResult]:
        """Add to extended months what the tables tell of the file that stood; leave out those they do not fit."""
        parts = {result.month.path: result.extended for result in waiting if result.extended}
        if not parts:
            return waiting
        before = told(self.tables, {path: part.build for path, part in parts.items()})
        done = []
        for result in waiting:
            path = result.month.path
            part = parts.get(path)
            if part is None:
                done.append(result)
            elif path in before and before[path].fits(part):
                result.accounts = before[path].accounts + result.accounts
                result.rejects = before[path].rejects + result.rejects
                result.findings = before[path].findings + result.findings
                done.append(result)
            else:
                self._whole.append(result.month)
                if result.draft is not None:
                    shutil.rmtree(result.draft.parent, ignore_errors=True)
        return done

    def _record(self, waiting: list[MonthResult], changed: list[MonthResult]) -> None:
        """Write what the tables tell of some months, side by side: each write waits for the disk or the bucket."""
        now = datetime.now(UTC)
        told = [result for result in changed if result.status != "kept"]
        rows = {
            "sources": source_rows(told, self.id, now),
            "rejects": reject_rows(told, self.id, now),
            "findings": finding_rows(told, self.id, now),
            "months": month_rows(waiting, self.id, now),
        }
        with ThreadPoolExecutor(len(rows) + 1, thread_name_prefix="silver-record") as pool:
            jobs = {t: pool.submit(self.tables.append, t, found) for t, found in rows.items()}
            beat = pool.submit(self._beat) if changed else None
        written = {table: job.result() for table, job in jobs.items()}
        if beat is not None:
            beat.result()
        if (path := written["months"]) is not None:
            self.month_names.add(path)

    @property
    def made_something(self) -> bool:
        """Whether this run placed a month, or kept one as it stands."""
        return bool(self._seen)

    def stale(self, months: Iterable[Month]) -> list[Month]:
        """Return those of some months, as the ledger has them now, that other files were placed of."""
        return [
            month
            for month in months
            if month.path in self._seen and _inputs(month) != self._seen[month.path]
        ]

    def misdescribed(self) -> list[str]:
        """Return the months whose file is this run's and whose newest record is of another build beside it.

        Two builds record and place the same month each. Whoever places last finds here that the other has
        recorded later.
        """
        if not self.placed or self.tables.names("months") <= self.month_names:
            return []  # nobody else has recorded since
        newest = month_records(self.tables, self.placed)
        others = {
            path: origin
            for path, origin in self.placed.items()
            if path in newest and newest[path].origin != origin
        }
        return [
            path
            for path, origin in others.items()
            if (found := read_standing(self.storage, path)) is not None
            and found.origin.id == origin
        ]

    def _place(self, months: list[MonthResult]) -> None:
        """Put months in their places: all together on a disk, side by side in a bucket."""
        drafts = {each.month.path: each.draft for each in months if each.draft is not None}
        if self.storage.is_local:
            for path in drafts:
                _clear(self.storage, path)
            put_all(self.storage, drafts)
        else:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="silver-put") as pool:
                list(pool.map(lambda result: _place(self.storage, result), months))
        self._drafts.difference_update(draft.parent for draft in drafts.values())

    def close(self) -> None:
        """Store what is ready, and record the run; remove the drafts that have no place."""
        try:
            if self._waiting:
                self._flush()
            self._end()
        finally:
            self._over = True
            for folder in list(self._drafts):
                shutil.rmtree(folder, ignore_errors=True)

    def _end(self) -> None:
        """Record that the run is over."""
        if self._beaten is None or self._closed:
            return  # what did nothing leaves nothing
        self._closed = True
        self.tables.append("runs", [self._run_row(self.state)])
        self.tables.settle()

    def _beat(self) -> None:
        """Write that the run goes on: when it begins to write, and once a minute."""
        now = time.monotonic()
        if self._beaten is None or now - self._beaten >= HEARTBEAT:
            self._beaten = now
            self.tables.append("runs", [self._run_row("running")])

    def _run_row(self, state: str) -> dict[str, Any]:
        statuses = [row["status"] for row in self._rows.values()]
        return run_row(
            *(self.id, "build", state, self.started),
            files=self._files,
            failed=statuses.count("failed"),
            note=f"{statuses.count('built')} of {len(statuses)} months built",
        )

    def report(self, seconds: float) -> Report:
        """Return the receipt."""
        return Report(
            "build",
            self.id,
            seconds,
            files=self.files(),
            months=self.months(),
            state=self.state,
            damaged=tuple(sorted(self.damaged)),
        )

    def files(self) -> pl.DataFrame:
        """Return the report's rows of files that the build put into quarantine."""
        rows = [
            {
                "key": item.key,
                "status": "quarantined",
                "error": f"{item.reason}: {item.verdict.detail}",
            }
            for item in self.verifications.quarantined
        ]
        nothing = {"bytes": 0, "seconds": 0.0, "attempts": 0, "retries": 0}
        return pl.DataFrame([row | nothing for row in rows], schema=FILES)

    def months(self) -> pl.DataFrame:
        """Return the report's rows, by path."""
        return pl.DataFrame(list(self._rows.values()), schema=MONTHS).sort("path")


def _row(result: MonthResult) -> dict[str, Any]:
    return {
        "path": result.month.path,
        "status": result.status,
        "rows": result.rows,
        "duplicates": result.duplicates,
        "rejects": result.rejected,
        "seconds": result.seconds,
        "error": result.error,
        "missing": _withdrawn(result.withdrawn),
    }


def _withdrawn(keys: Sequence[str]) -> str | None:
    if not keys:
        return None
    return f"{some_of(keys)}, withdrawn by the archive; other files have all their rows"


def _inputs(month: Month) -> bytes:
    """Return a hash of what a month is made of: of a big lake, the files themselves take much memory."""
    used = sorted((source.key, source.sha256 or "") for source in month.used)
    return hashlib.sha256(json.dumps(used).encode()).digest()


def _clear(storage: Storage, path: str) -> None:
    """Set a folder in the place of a month aside: no file can be renamed over it."""
    if storage.local(path).is_dir():
        aside = layout.quarantine_path(f"damaged/{secrets.token_hex(6)}")
        set_aside(storage, path, aside)
        message = f"{path} is a folder, in the place of a Silver file: it was set aside as {aside}."
        warnings.warn(message, DamagedLakeWarning, stacklevel=2)


def _place(storage: Storage, result: MonthResult) -> None:
    """Put a month at its place in a bucket."""
    if result.data is not None:
        storage.write(result.month.path, result.data)
    elif result.draft is not None:
        put(storage, result.draft, result.month.path)


def _spilled(result: MonthResult, seen: set[str]) -> list[Month]:
    """Return the months that rows lie in and that are not in the build yet."""
    found = []
    for period in result.spills:
        month = Month(result.month.series, period)
        if month.path not in seen:
            seen.add(month.path)
            found.append(month)
    return found


@observed("build", "built", facts_of_build)
def build(
    lake: LakeContext,
    bronze_rows: pl.DataFrame,
    *,
    progress: Progress = True,
    strict: bool = False,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
    stream_above: int = STREAM_ABOVE,
    checksum_policy: Policy = "quarantine",
    withdrawn: Collection[str] = frozenset(),
) -> Report:
    """Build every Silver month that the given Bronze files lie in, where its files changed.

    Parameters
    ----------
    lake
        The lake.
    bronze_rows
        Ledger rows with their key parts (:func:`cryptolake.bronze.ledger.holdings`): what the build is
        about. A month is always made of all its files in the lake, not only of these.
    progress
        Show a bar of months, where a person watches; or a callable that gets each step
        (:mod:`cryptolake.progress`).
    strict
        Raise BuildError at the end when a month failed or a file could not be used.
    force
        Build months anew although nothing changed.
    limits
        The largest zip and the longest line that are read.
    threads
        Months worked on at a time; None for one more than processors (two a processor, where the lake
        is in a bucket), of at most eight processors.
    stream_above
        Bytes of text from which a month is made in pieces, in memory that does not grow with it.
    checksum_policy
        What to do with a file that was copied inside S3, is read for the first time, and is not what its
        CHECKSUM says: as :func:`cryptolake.transfer.engine.transfer` does.
    withdrawn
        Files that the archive no longer lists: a month that has rows of theirs is built of its other files where
        those have all of them, and else kept.

    Returns
    -------
    Report
        One row per month: ``built``, ``unchanged``, ``kept`` or ``failed``, with what was wrong with its files; and
        one per file that the build put into quarantine.

    Raises
    ------
    BuildError
        Only when ``strict``: some months failed, or some files could not be used.
    ChecksumMismatch
        Under ``checksum_policy="raise"``, when everything else is done.
    StorageError
        The lake cannot be read or written; what was built until then is kept.
    """
    begun = time.perf_counter()
    run = BuildRun(lake, threads or _at_once(lake.storage), progress)
    months = run.asked(bronze_rows)
    sweep(lake.storage)
    try:
        options: dict[str, Any] = {"limits": limits, "stream_above": stream_above}
        options |= {"policy": checksum_policy, "withdrawn": withdrawn}
        records = month_records(lake.tables, [month.path for month in months])
        run.month_names |= lake.tables.last_names("months")
        run.all(months, force=force, records=records, **options)
        del months, records  # of a big lake they are much, and are made anew below
        _converge(run, bronze_rows, options)
        _describe(run, bronze_rows, options)
        run.state = "done"
    except (KeyboardInterrupt, SystemExit) as stop:
        run.close()
        vars(stop)["report"] = run.report(time.perf_counter() - begun)
        raise
    finally:
        run.close()
    report = run.report(time.perf_counter() - begun)
    if checksum_policy == "raise":
        _raise_if_quarantined(report)
    if strict:
        _raise_for(report)
    return report


def build_asked(
    lake: LakeContext,
    asked: Query | Plan | None = None,
    make: Callable[[pl.DataFrame], Report] | None = None,
    **options: Any,
) -> Report:
    """Build the months of a query, of a plan's files, or all; name files of it in quarantine, as a pull does.

    Options are those of :func:`build`; ``make`` builds the months of ledger rows in its place.
    """
    plan, query = (asked, asked.query) if isinstance(asked, Plan) else (None, asked)
    rows = holdings(lake.records, query) if plan is None else planned_rows(lake, plan)
    if rows.is_empty():
        warn_of_lost_ledger(lake.storage, lake.records)
    report = make(rows) if make else build(lake, rows, **options)
    lost = still_quarantined(lake, query)
    if plan is not None:
        lost = lost.filter(pl.col("key").is_in(plan.rows.select("key")["key"].implode()))
    return report.naming(lost)


def planned_rows(lake: LakeContext, plan: Plan) -> pl.DataFrame:
    """Return the ledger's rows, with key parts, of the symbol-months that a plan's files lie in."""
    planned = plan.rows.select("market", "data_type", "symbol", "interval", "period", "key")
    month = pl.col("period").str.head(7).alias("month")
    months = planned.select("market", "data_type", "symbol", "interval", month).unique()
    return in_months(holdings_beside(lake.records, planned["key"]), months)


def _at_once(storage: Storage) -> int:
    """Return how many months are made at a time: more than processors, as each also waits for disk or bucket."""
    processors = min(cpu_count() or 1, 8)
    return processors + 1 if storage.is_local else 2 * processors


def _converge(run: BuildRun, bronze_rows: pl.DataFrame, options: dict[str, Any]) -> None:
    """Build months again of which another process has stored files since the ledger was read.

    Whoever places a month last has then seen every file in the ledger, so writers in any number end at the
    same Silver. Each round needs that a file was stored meanwhile, so there is an end.
    """
    while run.made_something:
        if run.ledger_names is not None and run.tables.names("files") == run.ledger_names:
            return
        now = months_to_build(bronze_rows, holdings_beside(run.tables, bronze_rows["key"]))
        stale = run.stale(now)
        if not stale:
            return
        run.all(
            stale,
            force=False,
            records=month_records(run.tables, [m.path for m in stale]),
            **options,
        )


def _describe(run: BuildRun, bronze_rows: pl.DataFrame, options: dict[str, Any]) -> None:
    """Build months once more whose newest records are of another build than the file that stands.

    That is rare, and gives the same file, and the records that describe it.
    """
    paths = run.misdescribed()
    if not paths:
        return
    known = months_to_build(bronze_rows, holdings_beside(run.tables, bronze_rows["key"]))
    series = {month.path.rpartition("/")[0]: month.series for month in known}
    months = [
        Month(series[folder], Period.parse(name.removesuffix(".parquet")))
        for folder, _, name in (path.rpartition("/") for path in paths)
        if folder in series
    ]
    records = {month.path: NO_FILE for month in months}  # so none counts as unchanged
    run.all(months, force=False, records=records, **options)


def _raise_if_quarantined(report: Report) -> None:
    if not report.quarantined:
        return
    listed = "; ".join(
        f"{key}: {error}" for key, error in report.files.select("key", "error").head(3).rows()
    )
    message = (
        f"{plural(report.quarantined, 'file is not what its CHECKSUM says, and lies', 'files are not what their CHECKSUM says, and lie')} in meta/quarantine: {listed}. "
        "Everything else is done. Policy 'accept' uses them, with a mark."
    )
    raise ChecksumMismatch(message, keys=report.files["key"].to_list(), report=report)


def _raise_for(report: Report) -> None:
    bad = report.months.filter(pl.col("error").is_not_null())
    if not bad.height:
        return
    listed = "; ".join(
        f"{path}: {error}" for path, error in bad.select("path", "error").head(5).rows()
    )
    message = f"{bad.height} Silver months have files that could not be used: {listed}."
    raise BuildError(message, months=bad["path"].to_list(), report=report)
