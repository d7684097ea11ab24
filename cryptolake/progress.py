"""How far a long piece of work is, for whoever watches it: a bar, a widget, a log. Pure.

Where a method takes ``progress``, True shows a bar where a person is watching, False shows nothing, and a
callable is told each :class:`Step` on the thread that does the work. It may raise ``KeyboardInterrupt``
to stop the work in order, as Ctrl-C does.

Where the long part is far below the method that was called, it tells its steps by :func:`tell`, and the
method says by :func:`telling` whom: so what lies between need not hand a callable down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Step(NamedTuple):
    """How far it is: bytes (or, where bytes say nothing, pieces) and pieces, done and in all.

    Examples
    --------
    >>> Step(500, 1000, 1, 2, "files").share
    0.5
    """

    done: int
    total: int
    pieces: int
    all_pieces: int
    unit: str

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


Watch = Callable[[Step], None]
Progress = bool | Watch

_WATCH: ContextVar[Watch | None] = ContextVar("cryptolake_watch", default=None)
"""Who is told, of the thread (or task) that asks: two that plan at once do not hear of each other."""


@contextmanager
def telling(watch: Watch | None) -> Iterator[None]:
    """Let :func:`tell` reach a callable from inside the block, on this thread; nobody when None.

    Examples
    --------
    >>> heard = []
    >>> with telling(heard.append):
    ...     tell(Step(1, 2, 1, 2, "listings"))
    >>> tell(Step(2, 2, 2, 2, "listings"))
    >>> [step.share for step in heard]
    [0.5]
    """
    before = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(before)


def tell(step: Step) -> None:
    """Tell a step to whom :func:`telling` named, who may raise to stop the work."""
    watch = _WATCH.get()
    if watch is not None:
        watch(step)


def watched() -> bool:
    """Say whether a person may be looking: standard error is a terminal, or a notebook's kernel runs.

    Examples
    --------
    >>> isinstance(watched(), bool)
    True
    """
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


_PAUSE = 0.05
"""Seconds between two steps told, at least: a widget must not slow the transfer down."""


class Bar:
    """A tqdm bar in bytes, or nothing at all when ``shown`` is False or no person is watching.

    tqdm is only imported when there is something to show. A callable is told the steps instead, and may
    raise ``KeyboardInterrupt`` to stop the run.
    """

    def __init__(self, *, total_bytes: int, total_files: int, shown: Progress) -> None:
        self._bar: Any = None
        self._watch: Watch | None = shown if callable(shown) else None
        self._total = total_bytes
        self._told = 0.0
        self._files, self._total_files = 0, total_files
        self._done = 0
        if shown is True and total_files and watched():
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=total_bytes,
                unit="B",
                unit_scale=True,
                desc="transfer",
                postfix=f"0/{total_files} files",
                leave=True,
            )

    @property
    def shown(self) -> bool:
        """Whether there is anybody to show it to."""
        return self._bar is not None or self._watch is not None

    def arrived(self, size: int) -> None:
        """Count the bytes of an object that is here."""
        self._done += size

    def settled(self) -> None:
        """Count a file whose fate is known."""
        self._files += 1

    def show(self, arriving: int = 0) -> None:
        """Draw, counting also the bytes of files that are not complete yet."""
        now = self._done + arriving
        if self._watch is not None and (time.monotonic() - self._told > _PAUSE):
            self._told = time.monotonic()
            step = Step(min(now, self._total), self._total, self._files, self._total_files, "files")
            self._watch(step)
        if self._bar is None:
            return
        self._bar.set_postfix_str(f"{self._files}/{self._total_files} files", refresh=False)
        self._bar.update(max(0, min(now, self._bar.total) - self._bar.n))

    def close(self) -> None:
        """Show where it ended."""
        self._told = 0.0
        self.show()
        if self._bar is not None:
            self._bar.close()


MANY = 500
"""Questions from which on a bar is drawn: fewer are answered before one could be read."""


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show what is listed inside, as :mod:`cryptolake.progress` says.

    Raises
    ------
    KeyboardInterrupt
        The callable wants it to stop.
    """
    bar = _Bar()
    watch = progress if callable(progress) else bar.draw if progress and watched() else None
    try:
        with telling(watch):
            yield
    finally:
        bar.close()


class _Bar:
    """A tqdm bar, which is imported when there is much to wait for."""

    def __init__(self) -> None:
        self._bar: Any = None

    def draw(self, step: Step) -> None:
        if step.unit != "listings" or step.all_pieces < MANY:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=step.all_pieces, unit="listing", desc="plan", leave=False)
        self._bar.total = step.all_pieces
        self._bar.update(max(0, step.pieces - self._bar.n))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
