"""Work beside the kernel: a worker thread, newest request first to count, errors handed back.

A request names its slot; a newer one in the same slot replaces an older one that has not begun, and the
older one's answer is dropped when it has. So typing and clicking never pile up work. Work that asks
:attr:`Worker.stale` on its way can stop as soon as nobody waits for it, by raising ``KeyboardInterrupt``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Job:
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    due: float
    turn: int


class Worker:
    """One background thread, started by the first request and ended by :meth:`close`.

    Parameters
    ----------
    name
        The thread's name.

    Examples
    --------
    >>> worker, said = Worker("doctest"), []
    >>> worker.submit("sum", lambda: 1 + 1, said.append, said.append)
    >>> worker.idle(timeout=5), said
    (True, [2])
    >>> worker.close()
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[str, _Job] = {}
        self._turns: dict[str, int] = {}
        self._running: tuple[str, int] | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._change = threading.Condition()

    def submit(
        self,
        slot: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        delay: float = 0.0,
    ) -> None:
        """Ask for ``work()``, then ``done(answer)`` or ``failed(error)``, all on the worker's thread.

        Parameters
        ----------
        slot
            Requests of one slot replace each other; the newest counts.
        work, done, failed
            What to do. ``done`` and ``failed`` are left out when a newer request came meanwhile.
        delay
            Seconds to wait first, so that a burst of requests becomes one.
        """
        with self._change:
            if self._closed:
                return
            turn = self._turns.get(slot, 0) + 1
            self._turns[slot] = turn
            self._waiting[slot] = _Job(work, done, failed, time.monotonic() + delay, turn)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._change.notify_all()

    def forget(self, slot: str) -> None:
        """Drop a slot's request, and its answer if it is being worked on."""
        with self._change:
            self._turns[slot] = self._turns.get(slot, 0) + 1
            self._waiting.pop(slot, None)
            self._change.notify_all()

    @property
    def busy(self) -> bool:
        """Whether something is being worked on or waits."""
        with self._change:
            return self._running is not None or bool(self._waiting)

    @property
    def stale(self) -> bool:
        """Whether nobody waits any more for what is being worked on; for the work itself to ask."""
        with self._change:
            return self._running is not None and not self._counts(*self._running)

    def idle(self, timeout: float) -> bool:
        """Wait until nothing is left to do; False when that takes longer than ``timeout`` seconds."""
        with self._change:
            return self._change.wait_for(
                lambda: self._running is None and not self._waiting, timeout
            )

    def close(self) -> None:
        """Let the thread end after what it is doing; further requests are ignored."""
        with self._change:
            self._closed = True
            self._waiting.clear()
            self._change.notify_all()

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            slot, job = taken
            try:
                self._do(slot, job)
            finally:
                with self._change:
                    self._running = None
                    self._change.notify_all()

    def _next(self) -> tuple[str, _Job] | None:
        with self._change:
            while not self._closed:
                if self._waiting:
                    slot = min(self._waiting, key=lambda name: self._waiting[name].due)
                    wait = self._waiting[slot].due - time.monotonic()
                    if wait <= 0:
                        job = self._waiting.pop(slot)
                        self._running = slot, job.turn
                        return slot, job
                    self._change.wait(wait)
                else:
                    self._change.wait()
            return None

    def _do(self, slot: str, job: _Job) -> None:
        try:
            answer = job.work()
        except KeyboardInterrupt:  # it saw that it was stale
            return
        except Exception as error:  # noqa: BLE001 (whatever it is, the widget says it in words)
            if self._is_newest(slot, job):
                job.failed(error)
        else:
            if self._is_newest(slot, job):
                job.done(answer)

    def _is_newest(self, slot: str, job: _Job) -> bool:
        with self._change:
            return self._counts(slot, job.turn)

    def _counts(self, slot: str, turn: int) -> bool:
        return self._turns[slot] == turn and not self._closed
