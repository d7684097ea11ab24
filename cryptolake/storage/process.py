"""Whether this process can work with a lake: its system, and how it was started."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from cryptolake.errors import MissingTool, StorageError

_POLARS = re.compile(r"polars-\d")
"""The names of the threads that Polars computes on. They start with its first work, not with its import."""

_TASKS = "/proc/self/task"


class _Process:
    """What is known of this process: whether Polars worked before the last fork, and if it is such a fork."""

    worked = False
    forked = False


def check_system() -> None:
    """Check that the system has what a lake needs.

    Raises
    ------
    MissingTool
        It is Windows.
    """
    if os.name != "posix":
        message = (
            "a lake needs Linux or macOS: Windows has no locks of files as they have. On Windows, run Python in WSL "
            "(https://learn.microsoft.com/windows/wsl) or in a container."
        )
        raise MissingTool(message, what=sys.platform)


def check_process() -> None:
    """Check that this process was not forked from one in which Polars had started its threads.

    Raises
    ------
    StorageError
        It was: whatever Polars is asked here would wait for ever.
    """
    if _Process.forked:
        message = (
            "this process was forked from one in which Polars had started its threads, which a fork does not copy: "
            "start processes by 'spawn' or 'forkserver' (multiprocessing.get_context('spawn'), for a "
            "ProcessPoolExecutor as mp_context) and give them the lake, which pickles to root, source and options."
        )
        raise StorageError(message, pid=os.getpid())


def _before_fork() -> None:
    if "polars" not in sys.modules:
        return
    try:
        names = [(task / "comm").read_text() for task in Path(_TASKS).iterdir()]
    except OSError:  # no /proc: what was loaded has probably worked
        _Process.worked = True
        return
    _Process.worked = any(_POLARS.match(name) for name in names)


def _in_child() -> None:
    _Process.forked = _Process.forked or _Process.worked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
