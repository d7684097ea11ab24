"""The progress of a long call: steps, and what receives them: a tqdm bar, or a callable.

Where a method takes ``progress``, True shows a bar where a person is watching and elsewhere logs a line now and then
(:class:`Heartbeat`), False shows nothing, and a callable is called with each :class:`Step`, on the thread that does the work. It may raise
``KeyboardInterrupt`` to stop the work in order, as Ctrl-C does.

Where the long part is far below the method that was called, it reports its steps by :func:`tell`, and the
method names the receiver by :func:`telling`: the functions between need not pass a callable down.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from cryptolake.telemetry import LOG


class Step(NamedTuple):
    """How far the work is: bytes (or, where bytes say nothing, pieces) and pieces, done and in all.

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
"""The receiver, per thread (or task): two that plan at once do not get each other's steps."""

MANY_LISTINGS = 500
"""Listing requests from which on a bar is drawn: fewer are answered before one could be read."""

MANY_MONTHS = 500
"""Months that a build looks at and leaves, from which on a bar is drawn."""

SOON = 0.5
"""Seconds from which on a person wants to see that something is going on."""

HEARTBEAT = 30.0
"""Seconds between two lines of the log that say how far a long call is, where no person watches."""

_PAUSE = 0.05
"""Seconds between two steps of a transfer, at least: a widget must not slow it down."""


@contextmanager
def telling(watch: Watch | None) -> Iterator[None]:
    """Let :func:`tell` reach a callable from inside the block, on this thread; no one when None.

    Examples
    --------
    >>> steps = []
    >>> with telling(steps.append):
    ...     tell(Step(1, 2, 1, 2, "listings"))
    >>> tell(Step(2, 2, 2, 2, "listings"))
    >>> [step.share for step in steps]
    [0.5]
    """
    before = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(before)


def tell(step: Step) -> None:
    """Pass a step to the receiver that :func:`telling` named, which may raise to stop the work."""
    watch = _WATCH.get()
    if watch is not None:
        watch(step)


def watched() -> bool:
    """Return whether a person may be looking: standard error is a terminal, or a notebook's kernel runs.

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


class Bar:
    """A tqdm bar that draws steps, and is gone when it ends. tqdm is imported when the first step is drawn.

    Parameters
    ----------
    label
        What stands before the bar.
    options
        Further options of ``tqdm``.
    """

    def __init__(self, label: str, **options: Any) -> None:
        self._label, self._options = label, {"leave": False} | options
        self._tqdm: Any = None

    def draw(self, step: Step) -> None:
        """Draw a step."""
        if self._tqdm is None:
            from tqdm.auto import tqdm

            self._tqdm = tqdm(total=step.total, desc=self._label, **self._options)
        self._tqdm.total = step.total
        if step.unit == "files":  # the bar itself shows bytes
            self._tqdm.set_postfix_str(f"{step.pieces}/{step.all_pieces} files", refresh=False)
        self._tqdm.update(max(0, step.done - self._tqdm.n))

    def close(self) -> None:
        """End the bar, if there is one."""
        if self._tqdm is not None:
            self._tqdm.close()


class Heartbeat:
    """Logs every :data:`HEARTBEAT` seconds how far the work is, to ``cryptolake.progress``, from a thread of its own.

    A file or month that takes long delays no line. Nothing is started where the log takes no INFO.

    Parameters
    ----------
    label
        What a line begins with.
    """

    log = LOG.getChild("progress")

    def __init__(self, label: str) -> None:
        self._label = label
        self._begun, self._first, self._step = 0.0, 0, Step(0, 0, 0, 0, "")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def draw(self, step: Step) -> None:
        """Take a step, for the next line."""
        self._step = step
        if self._thread is None and self.log.isEnabledFor(logging.INFO):
            self._begun, self._first = time.monotonic(), step.done
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread, if there is one."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            self.log.info("%s: %s", self._label, self._told(time.monotonic() - self._begun))

    def _told(self, seconds: float) -> str:
        step = self._step
        moved = step.unit == "files"
        text = f"{step.pieces:,} of {step.all_pieces:,} {step.unit}"
        rate = max(0, step.done - self._first) / max(seconds, 1e-3)
        if moved:
            text += (
                f", {step.done / 1e6:,.1f} of {step.total / 1e6:,.1f} MB, {rate / 1e6:,.2f} MB/s"
            )
        else:
            text += f", {rate:,.2f} a second"
        return text + (f", {(step.total - step.done) / rate:,.0f} s left" if rate else "")


def display(label: str, **options: Any) -> Bar | Heartbeat:
    """Return what ``progress=True`` draws steps with: a bar where a person watches, else a heartbeat of the log."""
    return Bar(label, **options) if watched() else Heartbeat(label)


class BuildProgress:
    """The months of a build, counted and shown as ``progress`` says.

    A bar is drawn once a month was made, or takes longer than :data:`SOON`: a build that finds every month as it was
    draws none.

    Parameters
    ----------
    total
        Months to look at; those that their rows spill into come on top.
    progress
        A bar, nothing, or a callable.
    """

    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._count = total, 0
        self._display = display("build", unit="month")
        self._hidden = isinstance(self._display, Bar)
        self._watch: Watch | None = None
        if callable(progress):
            self._watch, self._hidden = progress, False
        elif progress and total:
            self._watch = self._display.draw
        self._show()

    def takes_long(self) -> None:
        """Show how far it is although no month was made yet."""
        if self._hidden:
            self._hidden = False
            self._show()

    def made(self, *, changed: bool) -> None:
        """Count a month."""
        self._count += 1
        if changed or self._count >= MANY_MONTHS:
            self._hidden = False
        self._show()

    def close(self) -> None:
        """End the bar."""
        self._display.close()

    def _show(self) -> None:
        if self._watch is not None and not self._hidden:
            total = max(self._count, self._total)
            self._watch(
                Step(min(self._count, self._total), self._total, self._count, total, "months")
            )


class TransferProgress:
    """The bytes and files of a transfer, counted and shown as ``progress`` says: by a bar or a callable."""

    def __init__(self, *, total_bytes: int, total_files: int, progress: Progress) -> None:
        self._bytes, self._total_bytes = 0, total_bytes
        self._files, self._total_files = 0, total_files
        self._bar = display("transfer", unit="B", unit_scale=True)
        self._watch: Watch | None = None
        self._shown_at = 0.0
        if callable(progress):
            self._watch = progress
        elif progress and total_files:
            self._watch = self._bar.draw
            self.show()

    @property
    def is_shown(self) -> bool:
        """Whether anyone watches the steps as they come."""
        return self._watch is not None and not isinstance(self._bar, Heartbeat)

    def arrived(self, size: int) -> None:
        """Count the bytes of an object that has arrived."""
        self._bytes += size

    def settled(self) -> None:
        """Count a file whose outcome is known."""
        self._files += 1

    def show(self, arriving: int = 0) -> None:
        """Show how far it is, counting also the bytes of files that are not complete yet."""
        if self._watch is None or time.monotonic() - self._shown_at <= _PAUSE:
            return
        self._shown_at = time.monotonic()
        done = min(self._bytes + arriving, self._total_bytes)
        self._watch(Step(done, self._total_bytes, self._files, self._total_files, "files"))

    def close(self) -> None:
        """Show where it ended."""
        self._shown_at = 0.0
        self.show()
        self._bar.close()


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show the listing requests made inside the block, as :mod:`cryptolake.progress` says.

    Raises
    ------
    KeyboardInterrupt
        The callable stops the work.
    """
    bar = display("plan", unit="listing")
    fewest = 0 if isinstance(bar, Heartbeat) else MANY_LISTINGS

    def draw(step: Step) -> None:
        if step.unit == "listings" and step.all_pieces >= fewest:
            bar.draw(step)

    watch = progress if callable(progress) else draw if progress else None
    try:
        with telling(watch):
            yield
    finally:
        bar.close()
