"""Bring a recipe's Gold files up to date with Silver: only those whose code or inputs changed, several at once.

As Silver is: a file is written to a draft, its sha256 is recorded in ``meta.lineage``, and then it is placed whole.
What a killed build left is swept by the next. Before a build ends it looks at its inputs and at what it placed
again, and makes anew what another process has changed meanwhile.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.errors import CryptolakeError, StorageError
from cryptolake.gold.daily import RECIPE
from cryptolake.gold.daily_recipe import build_daily
from cryptolake.gold.lineage import (
    GoldRecord,
    Lineage,
    Written,
    gold_records,
    lineage_row,
)
from cryptolake.gold.month import make_month
from cryptolake.gold.recipes import Recipe, recipe_named
from cryptolake.gold.targets import GoldMonth, Silver, find_targets, variants_of
from cryptolake.planning.plan import Plan
from cryptolake.progress import Step, display
from cryptolake.query import Query
from cryptolake.report import MONTHS, Report, State, facts_of_build
from cryptolake.silver.scratch import new_folder, put, put_all, sweep
from cryptolake.storage import layout
from cryptolake.storage.runs import run_row
from cryptolake.storage.tables import new_run_id
from cryptolake.telemetry import step

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.progress import Progress

_ROUNDS = 5
"""How often what other processes changed meanwhile is made again; each round needs such a change."""

_AT_ONCE = 4
_GROUP = 64
_AT_A_TIME = 512
"""Months whose records are read together."""

_SECONDS = 2.0


class GoldResult(NamedTuple):
    """What came of one target: its draft and what is in it, or why there is none."""

    target: GoldMonth
    lineage: Lineage | None
    draft: Path | None
    file: Written | None
    error: str | None
    seconds: float


class GoldRun:
    """One build of a recipe: months handed to threads, results recorded and placed in groups."""

    def __init__(
        self,
        lake: LakeContext,
        recipe: Recipe,
        threads: int | None = None,
        only: frozenset[str] | None = None,
    ) -> None:
        self._only = only
        self.id = new_run_id()
        self.state: State = "stopped"
        self.rows: dict[str, tuple[Any, ...]] = {}
        """What the report says of each month, by path: a row of ``MONTHS``."""
        self._lake, self._recipe = lake, recipe
        self._threads = threads or min(cpu_count() or 1, _AT_ONCE)
        self._started = datetime.now(UTC)
        self._tried: dict[str, str] = {}
        self._placed: dict[str, bytes] = {}
        self._folder: Path | None = None
        self._silver = Silver(lake)

    def run(self, query: Query, bar: Callable[[Step], None], *, force: bool) -> None:
        """Build what is stale, and again what was changed meanwhile."""
        stale = self.stale(query, force=force)
        for _ in range(_ROUNDS):
            if not stale:
                break
            self._build(stale, bar)
            self._lake.records.forget()
            stale.clear()  # the months are found again: not both at once
            self._silver = Silver(self._lake)
            stale = self.stale(query, force=False)
        self.state = "done"

    def stale(self, query: Query, *, force: bool) -> list[GoldMonth]:
        """Return the targets to make; say of the others what they are."""
        targets, silver = find_targets(self._lake, self._recipe, query)
        self._silver = silver
        folder = layout.gold_folder(self._recipe.name)
        standing = {entry.path: entry.size for entry in self._lake.storage.list(folder)}
        todo = []
        for target, record in self._recorded(targets):
            path = target.path
            if self._only is not None and path not in self._only:
                continue
            status, error = self._judged(target, silver, record, standing.get(path))
            if force and not error and target.begun and path not in self._tried:
                status = "stale"
            if status == "stale":
                todo.append(target)
            elif path not in self._tried:
                self.rows[path] = _row(target, path, status, error=error)
        return todo

    def _recorded(
        self, targets: Sequence[GoldMonth]
    ) -> Iterator[tuple[GoldMonth, GoldRecord | None]]:
        """Yield targets with their records, some at a time: records are longer than all else that is known of them."""
        for start in range(0, len(targets), _AT_A_TIME):
            some = targets[start : start + _AT_A_TIME]
            # Of which inputs a file was made is asked where one of them is missing now.
            lacking = [target.path for target in some if target.missing or target.bad]
            paths = [target.path for target in some]
            records = gold_records(
                self._lake.records, self._recipe.name, paths=paths, inputs_of=lacking
            )
            yield from ((one, records.get(path)) for one, path in zip(some, paths, strict=True))

    def _judged(
        self, target: GoldMonth, silver: Silver, record: GoldRecord | None, size: int | None
    ) -> tuple[str, str | None]:
        """Return what a target is now, ``stale`` where it is to be made, and what hinders that."""
        used = set[str]()
        if (target.missing or target.bad) and record and record.size == size:
            used = record.paths
        gone = [path for path in target.missing if path in used]
        if target.bad or gone:
            named = [f"{item.path} cannot be read: {item.reason}" for item in target.bad]
            named += [f"{path}, of which it was made, is gone" for path in gone]
            return ("kept" if used else "failed"), "; ".join(named)
        if not target.begun:
            return "missing", None
        inputs = [silver.input(file) for file in target.files]
        lineage = Lineage.of(self._recipe, [item for item in inputs if item is not None])
        mine = self._placed.get(target.path)
        if mine is not None and record is not None and record.sha256 != mine.hex():
            return "stale", None  # another process has recorded the month after this one
        if self._tried.get(target.path) == lineage.id:
            return "unchanged", None
        same = record is not None and (record.size, record.origin) == (size, lineage.id)
        return ("unchanged" if same else "stale"), None

    def _build(self, targets: list[GoldMonth], bar: Callable[[Step], None]) -> None:
        folder = self._begin()
        waiting: list[GoldResult] = []
        flushed = time.monotonic()
        for done, result in enumerate(self._results(targets, folder), 1):
            waiting.append(result)
            if len(waiting) >= _GROUP or time.monotonic() - flushed > _SECONDS:
                self._flush(waiting)
                waiting, flushed = [], time.monotonic()
            bar(Step(done, len(targets), done, len(targets), "months"))
        self._flush(waiting)

    def _results(self, targets: list[GoldMonth], folder: Path) -> Iterator[GoldResult]:
        """Yield months as they are made; never more of them in work than twice the threads."""
        todo = iter(targets)
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="gold")
        running: set[Future[GoldResult]] = set()
        try:
            while True:
                while len(running) < 2 * self._threads and (target := next(todo, None)):
                    running.add(pool.submit(self._made, target, folder))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)

    def _made(self, target: GoldMonth, folder: Path) -> GoldResult:
        begun = time.perf_counter()
        try:
            lineage, draft, file = make_month(
                self._lake, self._recipe, target, self._silver, folder
            )
        except StorageError:
            raise  # the lake cannot be written: no other month would do better
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - a user's function may raise anything
            text = _said(self._recipe, target, error)
            return GoldResult(target, None, None, None, text, time.perf_counter() - begun)
        return GoldResult(target, lineage, draft, file, None, time.perf_counter() - begun)

    def _flush(self, results: list[GoldResult]) -> None:
        """Record what was made, then place it."""
        now, rows, drafts = datetime.now(UTC), [], {}
        for result in results:
            target = result.target
            path = target.path  # made anew each time: one text stays, not one in each table
            self._tried[path] = _expected(self._recipe, target, result, self._silver)
            status = "failed" if result.error else "built"
            self.rows[path] = _row(
                target, path, status, error=result.error, file=result.file, seconds=result.seconds
            )
            if result.lineage and result.file and result.draft:
                rows.append(lineage_row(path, result.lineage, result.file, self.id, now))
                drafts[path] = result.draft
                self._placed[path] = bytes.fromhex(result.file.sha256)
        self._lake.tables.append("lineage", rows)
        if self._lake.storage.is_local:
            put_all(self._lake.storage, drafts, self._folder)
        else:
            for path, draft in drafts.items():
                put(self._lake.storage, draft, path, self._folder)

    def _begin(self) -> Path:
        """Return the folder of drafts; where there is none, record that the run began."""
        if self._folder is None:
            self._folder = new_folder(self._lake.storage)
            self._lake.tables.append("runs", [self._run_row("running")])
        return self._folder

    def close(self) -> None:
        """Record the run; what did nothing leaves nothing."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lake.tables.append("runs", [self._run_row(self.state)])
            self._lake.tables.settle()
            self._lake.records.forget()

    def _run_row(self, state: str) -> dict[str, Any]:
        statuses = [row[1] for row in self.rows.values()]
        return run_row(
            *(self.id, "gold", state, self._started),
            failed=statuses.count("failed"),
            note=f"{self._recipe.name}: {statuses.count('built')} of {len(statuses)} months built",
        )


def _expected(recipe: Recipe, target: GoldMonth, result: GoldResult, silver: Silver) -> str:
    """Return the name of what a target was made of, or, where that failed, would have been."""
    if result.lineage is not None:
        return result.lineage.id
    inputs = [silver.input(file) for file in target.files]
    return Lineage.of(recipe, [item for item in inputs if item is not None]).id


def _said(recipe: Recipe, target: GoldMonth, error: BaseException) -> str:
    where = target.where
    of = where.symbol or f"all symbols of {where.market.value}"
    first = (str(error).splitlines() or ["no reason given"])[0]
    kind = "" if isinstance(error, CryptolakeError) else f"{type(error).__name__}: "
    return f"recipe {recipe.name!r} fails for {of} in {where.month}: {kind}{first}"


@contextmanager
def _shown(progress: Progress, name: str) -> Iterator[Callable[[Step], None]]:
    """Give what receives each step: the caller's callable, a bar where a person watches, or nothing."""
    if callable(progress):
        yield progress
        return
    bar = display(name, unit="month")
    try:
        yield lambda step: bar.draw(step) if progress and step.total > 1 else None
    finally:
        bar.close()


def _row(
    target: GoldMonth,
    path: str,
    status: str,
    *,
    error: str | None = None,
    file: Written | None = None,
    seconds: float = 0.0,
) -> tuple[Any, ...]:
    """Return a row of ``MONTHS``. Not as a dictionary: of each of many months one stays until the report."""
    missing = ", ".join(target.missing) or None
    return path, status, file.rows if file else None, None, None, seconds, error, missing


def build_gold(
    lake: LakeContext,
    name: str | Recipe,
    query: Query | None = None,
    *,
    progress: Progress = True,
    force: bool = False,
    threads: int | None = None,
    only: frozenset[str] | None = None,
) -> Report:
    """Build the stale Gold files of a recipe that a query means.

    Parameters
    ----------
    lake
        The lake, with Silver built.
    name
        The recipe.
    query
        Symbols and days; everything held when left out. Its markets and intervals pick the variants of the
        recipe. A market-month is always made of all symbols.
    progress
        Show a bar, or a callable that receives each step.
    force
        Make files anew although nothing changed.
    threads
        Months worked on at a time.
    only
        The paths of some of these files; the others are left alone.

    Returns
    -------
    Report
        A row a month: ``built``, ``unchanged``, ``kept``, ``missing`` or ``failed``. A function that raises fails its
        month, with the recipe and the month named, and the others go on.

    Raises
    ------
    InvalidQuery
        There is no such recipe, or the query leaves its leading input out.
    BuildError
        The recipe fails on empty inputs, or its result lacks a time.
    StorageError
        The lake cannot be read or written; what was built until then is kept.
    """
    asked = Query() if query is None else query
    how: dict[str, Any] = {"progress": progress, "force": force, "threads": threads, "only": only}
    with step("recipe", "built recipe", recipe=getattr(name, "name", name)) as facts:
        report = _build(lake, name, asked, **how)
        facts |= facts_of_build(report)
    return report


def _build(
    lake: LakeContext, name: str | Recipe, asked: Query, *, force: bool, **how: Any
) -> Report:
    if name == RECIPE:
        return build_daily(lake, asked, force=force)
    recipe = name if isinstance(name, Recipe) else recipe_named(name)
    variants = variants_of(recipe, asked)
    for variant in variants:
        _ = variant.columns  # a function that fails on nothing fails before anything is written
    sweep(lake.storage)
    return Report.merge(
        _build_one(lake, variant, asked, force=force, **how) for variant in variants
    )


def _build_one(
    lake: LakeContext,
    recipe: Recipe,
    query: Query,
    *,
    progress: Progress,
    force: bool,
    threads: int | None,
    only: frozenset[str] | None,
) -> Report:
    """Build the stale files of a recipe of one market and interval."""
    begun = time.perf_counter()
    run = GoldRun(lake, recipe, threads, only)
    try:
        with _shown(progress, recipe.name) as bar:
            run.run(query, bar, force=force)
    finally:
        run.close()
    months = pl.DataFrame(list(run.rows.values()), schema=MONTHS, orient="row").sort("path")
    return Report("build", run.id, time.perf_counter() - begun, months=months, state=run.state)


def stale_targets(
    lake: LakeContext, recipe: Recipe, query: Query, *, force: bool = False
) -> list[GoldMonth]:
    """Return the files of a recipe that a query means and that are to be made.

    Raises
    ------
    InvalidQuery
        The query leaves the recipe's leading input out.
    BuildError
        The recipe fails on empty inputs, or its result lacks a time.
    """
    found: list[GoldMonth] = []
    for variant in variants_of(recipe, query):
        _ = variant.columns  # a function that fails on nothing fails before anything is written
        found += GoldRun(lake, variant).stale(query, force=force)
    return found


def build_recipes(
    lake: LakeContext,
    names: Iterable[str],
    asked: Query | Plan | None,
    silver: Report,
    *,
    progress: Progress = True,
    force: bool = False,
) -> Report:
    """Build several recipes after Silver; return one report of all of it.

    Raises
    ------
    InvalidQuery
        There is no such recipe, or the query leaves its leading input out.
    """
    report = silver
    query = asked.query if isinstance(asked, Plan) else asked
    for name in names:
        lake.records.forget()
        made = build_gold(lake, name, query, progress=progress, force=force)
        report = Report.merge([report, made])
    return report
