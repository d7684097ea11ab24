"""Modules loaded while something else is waited for.

Polars, DuckDB and the builders take a fifth of a second to load, as long as a small transfer takes;
loading them while s5cmd works makes the one disappear in the other.
"""

from __future__ import annotations

import importlib
from threading import Thread


def load_ahead(*names: str) -> None:
    """Begin to import modules in the background; whoever needs one sooner waits for it as usual.

    Examples
    --------
    >>> load_ahead("json")
    """
    Thread(target=_load, args=(names,), name="load-ahead", daemon=True).start()


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)
