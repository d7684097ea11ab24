"""How far a long piece of work is, for whoever watches it: a bar, a widget, a log. Pure.

Where a method takes ``progress``, True shows a bar where a person is watching, False shows nothing, and a
callable is told each :class:`Step` on the thread that does the work. It may raise ``KeyboardInterrupt``
to stop the work in order, as Ctrl-C does.

Where the long part is far below the method that was called, it tells its steps by :func:`tell`, and the
method says by :func:`telling` whom: so what lies between need not hand a callable down.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


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
