"""Views that ask the kernel: whether a front end shows one, and what stands beside it where none does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

Bundle = dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]
"""What IPython takes from ``_repr_mimebundle_``: data by MIME type, or that and its metadata."""


def in_kernel() -> bool:
    """Return whether a notebook's kernel runs this, and it can show a live view."""
    shell = sys.modules.get("IPython")
    if shell is None or getattr(shell.get_ipython(), "kernel", None) is None:
        return False
    return _has_anywidget()


def _has_anywidget() -> bool:
    return importlib.util.find_spec("anywidget") is not None


def bundle(static: dict[str, Any], make: Callable[[], Any]) -> Bundle:
    """Return the static form, and before it the live view where a kernel answers one.

    Parameters
    ----------
    static
        Text and HTML: what GitHub, an export or a front end without widgets shows.
    make
        Makes the live view, an anywidget.
    """
    live = make()._repr_mimebundle_() if in_kernel() else None
    if live is None:
        return static
    data, metadata = live
    return {**data, **static}, metadata  # Colab looks into the metadata for who draws the widget


def for_marimo(html: str, make: Callable[[], Any]) -> Any:
    """Return what marimo's ``_display_`` takes: the live view, or HTML where anywidget is not installed."""
    if _has_anywidget():
        return make()
    import marimo

    return marimo.Html(html)
