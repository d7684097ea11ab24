"""Preloading: modules that are needed next are imported in the background while s5cmd works.

Silver's builder and its imports take a tenth of a second to load, which is as long as a small transfer takes.
Loaded while the process only waits for s5cmd, they cost no time; loaded sooner, they would delay it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread

_NEXT: ContextVar[tuple[str, ...]] = ContextVar("cryptolake_next", default=())
"""The modules that this thread (or task) will need after its present work."""


@contextmanager
def preloading(*names: str) -> Iterator[None]:
    """Name the modules that will be needed after the block, for :func:`start_preload` to import.

    Examples
    --------
    >>> with preloading("json"):
    ...     start_preload()
    """
    before = _NEXT.set(names)
    try:
        yield
    finally:
        _NEXT.reset(before)


def start_preload() -> None:
    """Import the named modules in the background, once: from here on there is something to wait for.

    Code that needs one of the modules sooner waits for its import as usual.
    """
    names = _NEXT.get()
    if names:
        _NEXT.set(())
        Thread(target=_load, args=(names,), name="preload", daemon=True).start()


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)
