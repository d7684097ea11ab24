"""Modules loaded while something else is waited for.

The builders and what they need take a tenth of a second to load, as long as a small transfer takes: loading
them while s5cmd works makes the one disappear in the other. Loaded any sooner they would only be in the way.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread

_NEXT: ContextVar[tuple[str, ...]] = ContextVar("cryptolake_next", default=())
"""What the work of this thread (or task) will need when it is done."""


@contextmanager
def needed_next(*names: str) -> Iterator[None]:
    """Name the modules that will be needed after the work in the block, for :func:`load_next`.

    Examples
    --------
    >>> with needed_next("json"):
    ...     load_next()
    """
    before = _NEXT.set(names)
    try:
        yield
    finally:
        _NEXT.reset(before)


def load_next() -> None:
    """Load what is needed next, in the background, for there is something to wait for from here on.

    Whoever needs one of the modules sooner waits for it as usual.
    """
    names = _NEXT.get()
    if names:
        _NEXT.set(())
        Thread(target=_load, args=(names,), name="load-next", daemon=True).start()


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)
