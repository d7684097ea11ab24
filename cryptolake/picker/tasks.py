"""Work beside the kernel: one background thread, and a generation counter that drops late answers.

Each request names a slot and takes the slot's next generation. Only the newest generation of a slot counts:
an older request is not begun, or its answer is dropped. So typing and clicking never pile up work. Work that
checks :attr:`Worker.stale` can stop early, by raising ``KeyboardInterrupt``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Request:
    slot: str
    generation: int
    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]


class Worker:
    """One background thread, started by the first request and ended by :meth:`close`.

    Parameters
    ----------
    name
        What the thread's name begins with.

    Examples
    --------
    >>> worker, answers = Worker("doctest"), []
    >>> worker.submit("sum", lambda: 1 + 1, answers.append, answers.append)
    >>> worker.idle(timeout=5), answers
    (True, [2])
    >>> worker.close()
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._generations: Counter[str] = Counter()
        self._running: _Request | None = None
        self._open = 0
        self._closed = False
        self._changed = threading.Condition()

    def submit(
        self,
        slot: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        delay: float = 0.0,
    ) -> None:
        """Request ``work()``, then ``done(answer)`` or ``failed(error)``, all on the background thread.

        Parameters
        ----------
        slot
            Requests of one slot replace each other; the newest counts.
        work, done, failed
            What to do. ``done`` and ``failed`` are not called when a newer request came meanwhile.
        delay
            Seconds to wait first, so that a burst of requests becomes one.
        """
        with self._changed:
            if self._closed:
                return
            self.forget(slot)
            request = _Request(slot, self._generations[slot], work, done, failed)
            self._open += 1
        if delay:
            timer = threading.Timer(delay, self._enqueue, [request])
            timer.daemon = True
            timer.start()
        else:
            self._enqueue(request)

    def forget(self, slot: str) -> None:
        """Drop a slot's request, and its answer when the work has begun."""
        with self._changed:
            self._generations[slot] += 1

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits."""
        with self._changed:
            return self._open > 0

    @property
    def stale(self) -> bool:
        """Whether the answer of the running work would be dropped; for that work to check."""
        with self._changed:
            return self._running is not None and not self._is_newest(self._running)

    def idle(self, timeout: float) -> bool:
        """Wait until no request runs or waits; False when that takes longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout)

    def close(self) -> None:
        """End the thread after its current work, whose answer is dropped; later requests are ignored."""
        with self._changed:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                self._finished()
            else:
                self._pool.submit(self._run, request).add_done_callback(self._finished)

    def _finished(self, _: Future[None] | None = None) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _run(self, request: _Request) -> None:
        with self._changed:
            if not self._is_newest(request):
                return
            self._running = request
        try:
            answer = request.work()
            if self._is_newest(request):
                request.done(answer)
        except KeyboardInterrupt:  # the work saw that it was stale
            pass
        except Exception as error:  # noqa: BLE001 (the picker shows any error in words)
            if self._is_newest(request):
                request.failed(error)
        finally:
            with self._changed:
                self._running = None

    def _is_newest(self, request: _Request) -> bool:
        with self._changed:
            return not self._closed and self._generations[request.slot] == request.generation
