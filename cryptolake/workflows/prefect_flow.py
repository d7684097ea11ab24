"""A lake's work as a Prefect flow: plan, pull by shards, build, Gold, quality, and a report in the run's artifacts.

The extra ``prefect`` has what it needs; nothing else of cryptolake imports this module.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

try:
    from prefect import Flow, task
except ModuleNotFoundError as error:
    from cryptolake.errors import missing_package

    raise missing_package("cryptolake.workflows.prefect_flow", "prefect", "prefect") from error

import polars as pl
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.annotations import quote

from cryptolake.archive.periods import Period
from cryptolake.archive.source import Archive, has_login
from cryptolake.errors import CryptolakeError, InvalidQuery, TransferError
from cryptolake.lake import Lake
from cryptolake.query import Query
from cryptolake.workflows.collection import CollectionResult
from cryptolake.workflows.config import WorkflowConfig
from cryptolake.workflows.prefect_logs import RunProgress, logged, run_log
from cryptolake.workflows.prefect_tasks import (
    TaskExecutor,
    TaskLimits,
    runner_of,
    worth_another_try,
)
from cryptolake.workflows.run_markdown import Collected, run_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prefect.task_runners import TaskRunner

    from cryptolake.planning.plan import Plan
    from cryptolake.report import Report

ARTIFACT = "cryptolake-report"
"""The key of the report among Prefect's artifacts; each run adds a version."""

SECRET = re.compile(r"key|username|.*(secret|password|token|access_key).*", re.IGNORECASE)
"""Names whose values no flow parameter may have: Prefect keeps parameters, and shows them."""

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


class CollectFlow(Flow[Given, Returned]):
    """A flow that refuses credentials before Prefect keeps its parameters."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as Prefect keeps them."""
        refuse_secrets(parameters)
        return super().serialize_parameters(parameters)

    def with_options(self, *args: Any, **options: Any) -> Self:
        """Return the flow with other options, of this kind too."""
        made: Any = super().with_options(*args, **options)
        made.__class__ = type(self)
        return made  # type: ignore[no-any-return]


def _run_name() -> str:
    from prefect.runtime import flow_run

    root = str(flow_run.parameters.get("root", "lake"))
    return f"{root.rstrip('/').rpartition('/')[2]} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def _flow(function: Callable[Given, Returned]) -> CollectFlow[Given, Returned]:
    return CollectFlow(function, name="cryptolake", flow_run_name=_run_name, persist_result=False)


@_flow
def collect(
    root: str,
    queries: list[dict[str, Any]],
    archive: dict[str, Any] | None = None,
    storage_options: dict[str, Any] | None = None,
    mode: str = "auto",
    options: dict[str, Any] | None = None,
    checksum_policy: str = "quarantine",
    gold: list[str] | None = None,
    quality: bool = True,  # noqa: FBT001, FBT002 - Prefect calls a flow by its parameters' names
    task_runner: str | None = None,
    workers: int | None = None,
    dask_address: str | None = None,
    retries: int = 2,
    retry_delay: float = 10.0,
    timeout: float | None = None,
) -> Collected:
    """Bring a lake to what queries ask for, and say in an artifact what was done and what was found.

    Parameters are plain values, so that a deployment can have them. Credentials are none of them: flow, tasks and
    workers take those of AWS's environment, configuration files or role, each on its own machine.

    Parameters
    ----------
    root
        The lake: a folder that all workers see, or ``s3://bucket/prefix``.
    queries
        As ``json.loads(query.to_json())`` gives them; ``since`` and ``last`` count anew at each run.
    archive
        The parameters of :class:`cryptolake.Archive`; the public archive when left out.
    storage_options, mode, options, checksum_policy
        As :class:`cryptolake.Lake` and its methods take them; ``workers`` of the options are divided among parts.
    gold
        Recipes to bring up to date.
    quality
        Whether the rows are looked at, for the coverage in the report.
    task_runner, workers, dask_address
        Where parts run: ``threads`` of this process, ``processes``, or ``dask``, and how many at once; the scheduler
        of a Dask cluster. Without ``task_runner`` it is the flow's own (``collect.with_options(task_runner=...)``).
    retries, retry_delay, timeout
        Of each task: how often it is run again, after how many seconds (doubled each time), and after how many it is
        stopped. A part that is run again fetches only what is not here.

    Returns
    -------
    Collected
        Plans, report and quality.

    Raises
    ------
    TransferError
        Something failed; the artifact is there all the same, and ``error.run`` has what was done.
    InvalidQuery
        Words that do not exist, or credentials among the parameters.
    """
    source = Archive(**archive) if archive else Archive()
    lake = Lake(root, source=source, storage_options=storage_options)
    asked = [Query.from_json(json.dumps(query)) for query in queries]
    how = {"mode": mode, "checksum_policy": checksum_policy, "options": options}
    run, limits = Collected(lake.root), TaskLimits(retries, retry_delay, timeout)
    runner = runner_of(task_runner, workers, dask_address) if task_runner else _own_runner()
    with logged(), TaskExecutor(runner, limits) as tasks:
        steps = _Steps(lake, run, tasks, workers)
        for query in asked:
            steps.pull(query, how)
        steps.build_gold(gold or ())
        if quality:
            steps.look()
    create_markdown_artifact(run_markdown(run), key=ARTIFACT, description=f"lake {lake.root}")
    if not run.ok:
        reasons = [f"{what}: {why}" for what, why in run.errors] or [run.report.summary()]
        raise TransferError("\n".join(reasons), run=run, report=run.report)
    return run


def refuse_secrets(parameters: Mapping[str, Any]) -> None:
    """Refuse credentials among flow parameters, however deep they are.

    Raises
    ------
    InvalidQuery
        There are some. The message names where, and shows none.

    Examples
    --------
    >>> refuse_secrets({"storage_options": {"endpoint_url": "http://127.0.0.1:9000"}})
    >>> list(_secrets({"root": "s3://KEY:SECRET@bucket", "storage_options": {"secret": "s"}}))
    ['root', 'storage_options.secret']
    """
    found = sorted(_secrets(parameters))
    if found:
        message = (
            f"the parameters of a flow hold no credentials ({', '.join(found)}): Prefect keeps parameters and shows "
            "them. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where flow and workers run, or name a profile= "
            "that those machines have."
        )
        raise InvalidQuery(message, what="parameters", given=found)


def _secrets(given: Any, name: str = "") -> Iterator[str]:
    """Yield where credentials are: under the name of some, or in a URL."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            where = f"{name}.{key}" if name else str(key)
            if value and isinstance(value, str) and SECRET.fullmatch(str(key)):
                yield where
            else:
                yield from _secrets(value, where)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _secrets(value, name)
    elif isinstance(given, str) and has_login(given):
        yield name


def _own_runner() -> TaskRunner[Any]:
    context = FlowRunContext.get()
    if context is None:
        message = "collect runs as a flow"
        raise RuntimeError(message)
    return context.flow.task_runner if context.flow is not None else context.task_runner


@task(
    name="plan",
    task_run_name="plan {title}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=worth_another_try,
)
def plan_task(lake: Lake, query: Query, title: str) -> Plan:  # noqa: ARG001 - the run's name
    """Ask the archive which files a query needs."""
    with logged():
        plan = lake.plan(query, progress=False)
        run_log().info("%s", plan)
        return plan


@task(
    name="quality",
    task_run_name="quality {title}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=worth_another_try,
)
def quality_task(lake: Lake, query: Query, title: str) -> pl.DataFrame:  # noqa: ARG001 - the run's name
    """Look at the rows: coverage, gaps, duplicates, rejects."""
    with logged():
        return lake.quality(query)


class _Steps:
    """The steps of one flow run; an error of one is kept for the report, and the others go on."""

    def __init__(
        self, lake: Lake, run: Collected, tasks: TaskExecutor, workers: int | None
    ) -> None:
        self._lake, self._run, self._tasks = lake, run, tasks
        self._executor: Any = tasks.given(workers)
        self._limits = tasks.limits.of_task()

    def pull(self, query: Query, how: Mapping[str, Any]) -> None:
        """Plan a query, and pull what the plan names, by parts."""
        title = _title(query)
        with self._step(title):
            own: Any = plan_task.with_options(**self._limits)
            plan = own(quote(self._lake), quote(query), title)
            self._run.plans.append(plan)
            on = {"executor": self._executor, **how}
            self._keep(title, partial(self._lake.pull, plan.query, **on))

    def build_gold(self, names: Sequence[str]) -> None:
        """Bring recipes up to date for the symbols and days of all plans."""
        asked = _span_of(self._run.plans)
        for name in names if asked is not None else ():
            with self._step(f"gold {name}"):
                build = partial(self._lake.build, asked, gold=[name], executor=self._executor)
                self._keep(f"gold {name}", build)

    def look(self) -> None:
        """Look at the rows of all plans."""
        own: Any = quality_task.with_options(**self._limits)
        found: list[pl.DataFrame] = []
        for plan in self._run.plans:
            title = _title(plan.query)
            with self._step(f"quality {title}"):
                found.append(own(quote(self._lake), quote(plan.query), title))
        self._run.quality = pl.concat(found) if found else None

    def _keep(self, title: str, call: Callable[..., Report]) -> None:
        progress, whole = RunProgress(title), False
        try:
            report = call(progress=progress)
            self._run.reports.append(report)
            run_log().info("%s", report.summary())
            whole = report.ok
        finally:
            progress.close(whole=whole)
            self._run.errors += [(name, "took too long, each time") for name in self._tasks.late]
            self._tasks.late.clear()

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        try:
            yield
        except (CryptolakeError, TimeoutError) as error:
            run_log().error("%s: %s", title, error)
            self._run.errors.append((title, str(error)))
            report = error.facts.get("report") if isinstance(error, CryptolakeError) else None
            if report is not None:
                self._run.reports.append(report)


def _title(query: Query) -> str:
    """Name a query as its tasks are named: ``spot klines 1h BTCUSDT, ETHUSDT``."""
    asked = query.selection
    parts = [asked.markets, asked.data_types, asked.intervals, asked.symbols]
    words = [", ".join(str(word) for word in part[:3]) for part in parts if part]
    more = len(asked.symbols) - 3
    return " ".join([*words, f"and {more:,} more"] if more > 0 else words)


def _span_of(plans: Sequence[Plan]) -> Query | None:
    """Return a query of the symbols and days of plans, for recipes, which pick markets and types; None without any."""
    files = [plan.rows.select("symbol", "period") for plan in plans if plan.rows.height]
    if not files:
        return None
    both = pl.concat(files)
    asked = [plan.query.selection.days for plan in plans]
    days = [day for day in asked if day is not None] or [
        Period.parse(text).days for text in both["period"].unique()
    ]
    first, last = min(day.first for day in days), max(day.last for day in days)
    return Query().symbols(both["symbol"].unique().sort().to_list()).between(first, last)


class PrefectArchiveCollectionWorkflow:
    """A configuration's collection as a Prefect flow: the same configurations and the same result.

    Parameters
    ----------
    config
        The configuration, or a mapping or path of one. ``max_concurrent`` and the like say how many connections there
        are in all; they are divided among the parts that run at once.
    source
        The archive, where it is another than the configuration's.
    task_runner, workers, dask_address, gold, quality, retries, timeout
        As :func:`collect` takes them.

    Examples
    --------
    ::

        config = cl.WorkflowConfig("selection.json", "network_resilient.json")
        result = PrefectArchiveCollectionWorkflow(config, task_runner="processes").run()
        PrefectArchiveCollectionWorkflow(config).serve(name="nightly", cron="30 3 * * *")
    """

    def __init__(
        self,
        config: WorkflowConfig | Mapping[str, Any] | str,
        *,
        source: Archive | None = None,
        **parameters: Any,
    ) -> None:
        self.config = config if isinstance(config, WorkflowConfig) else WorkflowConfig(config)
        self._source = source or self.config.archive
        self._more = parameters

    def parameters(self) -> dict[str, Any]:
        """Return what the flow is called with, as plain values.

        Raises
        ------
        InvalidQuery
            The configuration does not say which files, or a parameter holds credentials.
        """
        archive = self._source.model_dump()
        found = {
            "root": self.config.root,
            "queries": [json.loads(query.to_json()) for query in self.config.queries()],
            "archive": archive,
            "mode": self.config.mode,
            "options": self.config.options().model_dump(exclude_defaults=True),
            **self._more,
        }
        refuse_secrets(found)
        return found

    def run(self) -> CollectionResult:
        """Run the flow here and now, with its runs in the Prefect server that is configured.

        Returns
        -------
        CollectionResult
            As :class:`cryptolake.ArchiveCollectionWorkflow` gives it; ``result.ok`` says whether all of it came.
        """
        try:
            return self._result(collect(**self.parameters()))
        except TransferError as error:
            if "run" not in error.facts:
                raise
            return self._result(error.facts["run"])

    async def execute(self) -> CollectionResult:
        """Run the flow beside the event loop, which goes on meanwhile."""
        return await asyncio.to_thread(self.run)

    def serve(self, name: str = "nightly", **schedule: Any) -> None:
        """Serve the flow as a deployment until the process ends: ``cron="30 3 * * *"``, ``interval=3600``.

        Parameters
        ----------
        name
            The deployment's.
        **schedule
            As ``Flow.serve`` of Prefect takes it. Left out, ``limit`` is 1: a run that lasts longer than the
            interval delays the next one, and does not run beside it.
        """
        collect.serve(
            name=name,
            parameters=self.parameters(),
            entrypoint_type=EntrypointType.MODULE_PATH,  # the module as it is installed, not its file alone
            **{"limit": 1, **schedule},
        )

    def _result(self, run: Collected) -> CollectionResult:
        reports = run.report if run.reports else None
        problems = tuple(f"{what}: {why}" for what, why in run.errors)
        return CollectionResult(
            reports, run.root, problems, self.config.skipped(), self.config.notes()
        )
