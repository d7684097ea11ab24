"""Ctrl-C waits while a package is imported, and is sent again where compiled code lost it.

One that is half imported cannot be imported again: a compiled package such as Polars, interrupted on its way in, stays broken until the process ends. The
finder below stands in front of Python's own. It loads nothing by itself: it has SIGINT wait while this
package's modules and the heavy ones are executed in the main thread, and sends it again when that is done.

Compiled code that calls Python where it cannot pass an exception on reports ``KeyboardInterrupt`` as "ignored",
and goes on with half a result: :func:`sent_again` is for a program, which has to end then.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType, ModuleType

_WHOLE = frozenset({"polars", "duckdb", "pydantic", "numpy", "pyarrow", "pandas", "s3fs", "boto3"})
"""Packages that are imported whole, beside this one's modules; what they import is, too."""

_TICK = 0.002


class _Loader:
    """A package's own loader, during whose work SIGINT waits."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module whole; SIGINT that came meanwhile is sent again after the import."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        before = _handler()
        if before is None:
            self._loader.exec_module(module)
            return
        came: list[int] = []

        def wait(number: int, _: FrameType | None) -> None:
            came.append(number)

        signal.signal(signal.SIGINT, wait)
        try:
            self._loader.exec_module(module)
        finally:
            signal.signal(signal.SIGINT, before)
            if came:
                threading.Thread(target=_send_again, args=(spec,), daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder:
    """Finds this package's modules and the heavy packages, where Python's own finder does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that is to be imported whole; None for the others."""
        if name not in _WHOLE and not name.startswith("cryptolake."):
            return None
        if _handler() is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


def _handler() -> Any:
    """Return the handler of SIGINT that is to be put off; None where this is not the place to do that."""
    if threading.current_thread() is not threading.main_thread():
        return None
    found = signal.getsignal(signal.SIGINT)
    waits = getattr(found, "__qualname__", "") == "_Loader.exec_module.<locals>.wait"
    return found if callable(found) and not waits else None


def _send_again(spec: ModuleSpec | None) -> None:
    """Send SIGINT when the module is in ``sys.modules`` for good: an error before that would take it out."""
    while getattr(spec, "_initializing", False):
        time.sleep(_TICK)
    os.kill(os.getpid(), signal.SIGINT)


def install() -> None:
    """Put the finder in front of the others, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def sent_again() -> Iterator[Callable[[], bool]]:
    """Send SIGINT again where its exception was lost, and say whether one came; for a program's main thread.

    Yields
    ------
    Callable[[], bool]
        Whether SIGINT came since the block began: an exception that follows may be of its making.
    """
    before, hook = _handler(), sys.unraisablehook
    if before is None:
        yield lambda: False
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        before(number, frame)

    def lost(what: sys.UnraisableHookArgs) -> None:
        if not came or not issubclass(what.exc_type, KeyboardInterrupt):
            hook(what)
            return
        threading.Timer(_TICK, os.kill, (os.getpid(), signal.SIGINT)).start()

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = lost
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if came else before)
        sys.unraisablehook = hook
