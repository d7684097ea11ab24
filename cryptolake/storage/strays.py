"""Keys in the ledger that are no paths inside the lake: named, and left out, so that nothing is read or written there."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.errors import DamagedLakeWarning
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.storage.tables import TableReader

_TOLD: set[tuple[str, str]] = set()
"""What was said in this process: a lake's root, and its keys."""


def is_stray() -> pl.Expr:
    """Return the condition on rows of the ledger whose key is null or leads out of the lake.

    Examples
    --------
    >>> pl.select(key=pl.Series(["data/a.zip", "../a", None])).filter(is_stray())["key"].to_list()
    ['../a', None]
    """
    return pl.col("key").str.contains(layout.UNSAFE).fill_null(value=True)


def without_strays(rows: pl.DataFrame, root: str) -> pl.DataFrame:
    """Return rows of the ledger of a lake without the stray ones, which are named once in a process."""
    strays = rows.filter(is_stray())["key"]
    if not strays.len():
        return rows
    named = ", ".join(repr(key) for key in strays.head(3))
    if (root, named) not in _TOLD:
        _TOLD.add((root, named))
        message = (
            f"the ledger has {strays.len():,} keys that are no paths inside the lake, which are left out: {named}. "
            "cryptolake verify --repair takes them out of the ledger."
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=4)
    return rows.filter(~is_stray())


def strays(tables: TableReader) -> list[str | None]:
    """Return the stray keys that a ledger has."""
    newest = tables.read("files", where=is_stray()).unique("key", keep="last", maintain_order=True)
    return newest.filter(event="stored")["key"].to_list()
