"""Parts on an executor: how many workers it has, and the results as they come, with progress and Ctrl-C."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptolake.errors import InvalidQuery
from cryptolake.executors.parts import Done, run_part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from cryptolake.executors.channel import Channel
    from cryptolake.executors.parts import CallPart

_LOOK = 0.1
"""Seconds between two looks at the parts' progress."""

Given = Executor | tuple[Executor, int]
"""An executor, or one and the number of its workers, where that cannot be found."""


class Pool(NamedTuple):
    """An executor, how many parts it runs at once, and whether they share this machine."""

    executor: Executor
    workers: int
    here: bool

    @classmethod
    def of(cls, given: Given) -> Pool:
        """Find what an executor is.

        Raises
        ------
        InvalidQuery
            It is none, has no number of workers, or forks processes, in which Polars cannot work.
        """
        executor, said = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if not hasattr(executor, "submit") or hasattr(executor, "get_executor"):
            message = (
                f"executor= takes a concurrent.futures.Executor; this is of type {type(executor).__name__}. A Dask client "
                "gives one: client.get_executor(retries=3)."
            )
            raise InvalidQuery(message, what="executor", given=type(executor).__name__)
        context = getattr(executor, "_mp_context", None)
        if context is not None and context.get_start_method() == "fork":
            message = (
                "this ProcessPoolExecutor forks, and Polars cannot work in a fork: make it with "
                "mp_context=multiprocessing.get_context('spawn')."
            )
            raise InvalidQuery(message, what="executor", given="fork")
        found = getattr(executor, "_max_workers", None)
        number = said if said is not None else found or _of_dask(executor)
        if type(number) is not int or number < 1:
            message = f"a {type(executor).__name__} does not say how many workers it has: executor=(executor, 4) says it."
            raise InvalidQuery(message, what="executor", given=type(executor).__name__)
        return cls(executor, number, here=type(found) is int)

    @property
    def threads(self) -> int | None:
        """Months that one worker builds at a time: its share of this machine; None where it has its own."""
        return max(1, (os.cpu_count() or 1) // self.workers) if self.here else None


def _of_dask(executor: Executor) -> int | None:
    """Return how many tasks the workers of a Dask cluster run at once."""
    client: Any = getattr(executor, "_client", None)
    return sum(client.ncores().values()) or None if hasattr(client, "ncores") else None


class Gathered(NamedTuple):
    """What came of the parts: those that ended, the error of the executor or of a part, and how many were lost."""

    done: list[Done]
    lost: BaseException | None


def gather(
    pool: Pool, parts: Sequence[CallPart], channel: Channel, look: Callable[[Sequence[Done]], None]
) -> Gathered:
    """Run parts on an executor, and return what came of them.

    A part whose error would be every other one's too stops the rest: those that wait are cancelled, those that run end
    in order.

    Parameters
    ----------
    pool
        The executor.
    parts
        What to run.
    channel
        The line to parts that run.
    look
        Called some times a second with the parts that ended.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        Ctrl-C, or ``look`` stops the work. ``gathered`` of the exception has what was done until then.
    """
    taken = _Taken()
    waiting: dict[Future[Done], int] = {}
    try:
        for part in parts:
            waiting[pool.executor.submit(run_part, part)] = part.number
        while waiting:
            done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                del waiting[future]
                taken.take(future)
            if taken.fatal:
                _end(waiting, channel, taken)
                waiting = {}
            look(taken.done)
    except (
        BrokenExecutor,
        RuntimeError,
    ) as error:  # at submit: the pool is broken, or was shut down
        taken.lost = taken.lost or error
        _end(waiting, channel, taken)
    except (KeyboardInterrupt, SystemExit) as stop:
        _end(waiting, channel, taken)
        vars(stop)["gathered"] = Gathered(taken.done, taken.lost)
        raise
    return Gathered(taken.done, taken.lost)


class _Taken:
    """What futures gave."""

    def __init__(self) -> None:
        self.done: list[Done] = []
        self.lost: BaseException | None = None

    def take(self, future: Future[Done]) -> None:
        """Take the result of a future that ended."""
        try:
            self.done.append(future.result())
        except (Exception, CancelledError) as error:  # noqa: BLE001 - of the executor, or no error of ours
            self.lost = self.lost or error

    @property
    def fatal(self) -> bool:
        """Whether the other parts are not worth waiting for."""
        return self.lost is not None or any(
            part.error is not None and part.report is None for part in self.done
        )


def _end(waiting: dict[Future[Done], int], channel: Channel, taken: _Taken) -> None:
    """Cancel what waits, and let what runs end in order."""
    channel.stop()
    running = [
        future
        for future, number in waiting.items()
        if number in channel.begun or not future.cancel()
    ]
    for future in running:
        taken.take(future)
