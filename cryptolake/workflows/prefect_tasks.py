"""Parts of a call as Prefect task runs: an executor whose workers are those of a task runner.

``lake.pull(query, executor=...)`` cuts its work into parts; here each part is a task run with a name, retries and a
timeout of its own. A part's files that failed are an error of its task, so that Prefect runs it again.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import polars as pl
from httpx import HTTPError
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.states import Crashed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from cryptolake.archive.enums import dataset_name
from cryptolake.errors import CryptolakeError, TransferError, missing_package, unknown_word
from cryptolake.executors.parts import BuildWork, CallPart, Done, GoldWork, TransferWork, run_part
from cryptolake.report import Report
from cryptolake.workflows.prefect_logs import logged, run_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from uuid import UUID

    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

RUNNERS = ("threads", "processes", "dask")
"""The task runners that a word names."""

_THREADS = 4
_FRESH = 2
"""How often lost parts are given to a new task runner, whose workers are others."""

_FEW = 2


class TaskLimits(NamedTuple):
    """Of each task: how often it is run again, after how many seconds (doubled each time), and when it is stopped."""

    retries: int = 2
    retry_delay: float = 10.0
    timeout: float | None = None

    def of_task(self) -> dict[str, Any]:
        """Return what ``task.with_options`` takes."""
        return {
            "retries": self.retries,
            "retry_delay_seconds": [self.retry_delay * 2**n for n in range(self.retries)] or 0,
            "timeout_seconds": self.timeout,
        }


class PartFailed(CryptolakeError, RuntimeError):
    """Files or months of a part failed. ``done`` has its report."""


def worth_another_try(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task may succeed when it is run again: not where words or files are wrong."""
    error = state.data
    if isinstance(error, PartFailed):
        error = error.done.error or error
    lasting = not isinstance(error, TransferError | PartFailed | OSError)
    return not (lasting and isinstance(error, CryptolakeError))


@task(
    name="part",
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=worth_another_try,
)
def part_task(part: CallPart | tuple[CallPart], name: str) -> Done:  # noqa: ARG001 - the run's name
    """Move, build or derive one part of a call; what fails is tried again without what is done."""
    while isinstance(
        part, tuple
    ):  # processes and Dask hand on Prefect's quotation, as it is or once more
        (part,) = part
    with logged():
        earlier = _EARLIER.get(_key(part))
        done = _after(earlier, run_part(part))
        if done.report is not None:
            run_log().info("%s", done.report.summary())
        stopped = done.report is not None and done.report.state == "stopped"
        if done.error is None and (stopped or done.report is None or done.report.ok):
            _EARLIER.pop(_key(part), None)
            return done
        _EARLIER[_key(part)] = done
        text = str(done.error) if done.error is not None or done.report is None else ""
        message = text or (done.report.summary() if done.report is not None else "")
        raise PartFailed(message, done=done)


_EARLIER: dict[tuple[str, int], Done] = {}
"""What earlier attempts of a part in this process did; Prefect repeats a task where it failed."""


def _key(part: CallPart) -> tuple[str, int]:
    return part.address.token, part.number


def _after(earlier: Done | None, done: Done) -> Done:
    """Add what an earlier attempt did; what failed in it, or is here because of it, counts once."""
    if earlier is None or earlier.report is None:
        return done
    moved = earlier.report.files.filter(pl.col("status").is_in(["transferred", "adopted"]))
    before = replace(earlier.report, files=moved, state="done")
    if done.report is None:
        return done._replace(report=before)
    new = done.report.files.filter(~pl.col("key").is_in(moved["key"].implode()))
    return done._replace(report=Report.merge([before, replace(done.report, files=new)]))


def _crashed(task_run: UUID, why: str) -> None:
    """Say of a task run whose worker died that it crashed: nobody else does, and it would run for ever."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_task_run(task_run).state
            if state is None or not state.is_final():
                client.set_task_run_state(task_run, Crashed(message=why), force=True)
    except ObjectNotFound:  # it never began
        return
    except (PrefectException, HTTPError) as error:
        run_log().warning("task run %s is still called running: %s", task_run, error)


# ---------------------------------------------------------------------- names


def name_of(part: CallPart) -> str:
    """Say in words what a part is about.

    Returns
    -------
    str
        Such as ``pull spot_klines 1h BTCUSDT 2025-03 to 2025-04``.
    """
    work = part.work
    if isinstance(work, TransferWork):
        files = work.plan.rows.select("market", "data_type", "interval", "symbol", "period")
        return f"{'pull' if work.build else 'transfer'} {_of_files(files)}"
    if isinstance(work, BuildWork):
        period = pl.col("first").dt.strftime("%Y-%m").alias("period")
        return f"build {_of_files(work.rows.with_columns(period))}"
    if isinstance(work, GoldWork):
        months = sorted(path.rpartition("/")[2][:7] for path in work.only)
        symbols = sorted(work.query.selection.symbols)
        return " ".join(["gold", work.recipe.name, *_names(symbols), *_span(months)])
    return f"part {part.number + 1}"


def _of_files(files: pl.DataFrame) -> str:
    def words(column: str) -> list[str]:
        return files[column].drop_nulls().unique().sort().to_list()

    pairs = files.select("market", "data_type").unique().sort("market", "data_type").rows()
    datasets = [dataset_name(market, data_type) for market, data_type in pairs]
    months = sorted({text[:7] for text in words("period")})
    named = [*_names(datasets), *_names(words("interval")), *_names(words("symbol"))]
    return " ".join([*named, *_span(months)])


def _names(words: list[str]) -> list[str]:
    return words if len(words) <= _FEW else [f"{words[0]} to {words[-1]} ({len(words):,})"]


def _span(months: list[str]) -> list[str]:
    if not months:
        return []
    return [months[0]] if months[0] == months[-1] else [f"{months[0]} to {months[-1]}"]


# ---------------------------------------------------------------------- runners


def runner_of(word: str, workers: int | None, address: str | None) -> TaskRunner[Any]:
    """Return the task runner that a word names.

    Parameters
    ----------
    word
        ``threads``, ``processes`` or ``dask``.
    workers
        How many parts run at once; 4 threads, or a process a core, when left out.
    address
        Of a Dask scheduler that runs already; else a cluster of local processes is started for the run.

    Raises
    ------
    InvalidQuery
        It is another word.
    MissingTool
        ``dask`` without prefect-dask.
    """
    cores = os.cpu_count() or 1
    if word == "threads":
        return ThreadPoolTaskRunner(max_workers=workers or _THREADS)
    if word == "processes":
        return ProcessPoolTaskRunner(max_workers=workers or cores)
    if word != "dask":
        raise unknown_word("task runner", word, RUNNERS)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise missing_package("task_runner='dask'", "prefect-dask", "prefect") from error
    if address is not None:
        return DaskTaskRunner(address=address)
    own = {"n_workers": workers or cores, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=own)


@dataclass
class TaskExecutor(Executor):
    """A ``concurrent.futures.Executor`` that runs each part of a call as a Prefect task run.

    A part whose worker died is given to a new task runner where the old one is broken, as a pool of processes is;
    Dask runs it again by itself.

    Parameters
    ----------
    runner
        Whose copies run the tasks.
    limits
        Of each task.
    """

    runner: TaskRunner[Any]
    limits: TaskLimits
    late: list[str] = field(default_factory=list, init=False)
    """Parts that took too long, each time."""
    _running: TaskRunner[Any] | None = field(default=None, init=False)
    _round: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def _max_workers(self) -> int | None:
        """Parts that run at once on this machine; None where workers are elsewhere."""
        found = getattr(self.runner, "_max_workers", None)
        if found is None:
            found = getattr(self.runner, "cluster_kwargs", {}).get("n_workers")
        return min(found, _THREADS * (os.cpu_count() or 1)) if found else None

    def given(self, workers: int | None) -> Executor | tuple[Executor, int]:
        """Return what ``executor=`` of a lake's methods takes."""
        if self._max_workers is not None:
            return self
        client = getattr(self._running, "client", None)
        found = sum(client.ncores().values()) if client is not None else 0
        return self, workers or found or _THREADS

    def __enter__(self) -> Self:
        self._running = self._started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the task runner; of parts that still run, the call has said so."""
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(kind, error, at)

    def _started(self) -> TaskRunner[Any]:
        """Start a copy of the task runner; Dask's client is made at once, not by the first of many threads."""
        running = self.runner.duplicate().__enter__()
        getattr(running, "client", None)
        return running

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Run a part as a task run of the flow run that this is called in.

        Raises
        ------
        TypeError
            It is no part of a lake's call.
        """
        if fn is not run_part:
            message = f"this executor runs parts of a lake's calls, not {fn!r}"
            raise TypeError(message)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        follow = (copy_context().run, self._follow, args[0], future)
        threading.Thread(target=follow[0], args=follow[1:], daemon=True, name="task run").start()
        return future

    def _follow(self, part: CallPart, future: Future[Any]) -> None:
        """Wait for a part's task run, and for its repetitions after a worker's death."""
        number = self._round
        while True:
            try:
                future.set_result(self._result(part))
            except (BrokenExecutor, CancelledError) as lost:
                number = self._renewed(number)
                if number > _FRESH:
                    future.set_exception(lost)
                    return
                continue
            except BaseException as error:  # noqa: BLE001 - whatever it is, the call waits for it
                future.set_exception(error)
            return

    def _result(self, part: CallPart) -> Done:
        running = self._running
        if running is None:
            message = "the task runner has ended"
            raise CancelledError(message)
        name = name_of(part)
        own = part_task.with_options(**self.limits.of_task())
        tried = running.submit(own, {"part": quote(part), "name": name})
        try:
            done: Done = tried.result()
        except (BrokenExecutor, CancelledError) as lost:
            _crashed(tried.task_run_id, f"its worker died: {lost}")
            raise
        except PartFailed as failed:
            done = failed.done
        except TimeoutError:
            self.late.append(name)
            message = f"{name} took longer than {self.limits.timeout:g} seconds, each time"
            report = Report("pull", part.place.run_id, 0.0, state="failed")
            done = Done(part.number, report, TransferError(message), "", 0)
        return done

    def _renewed(self, number: int) -> int:
        """Start a new task runner in place of a broken one, unless another part did; return its number."""
        with self._lock:
            if self._running is None:
                return _FRESH + 1
            if number == self._round and number < _FRESH:
                broken, self._running = self._running, self._started()
                broken.__exit__(None, None, None)
                self._round += 1
                return self._round
            return max(number + 1, self._round)
