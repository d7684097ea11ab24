"""Rows of the lake's tables that do not count: they are named once in a process, and left out.

Keys in the ledger that are no paths inside the lake, so that nothing is read or written there; and rows of other
tables that do not say which file they are about.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.errors import DamagedLakeWarning
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.storage.tables import TableReader

_ABOUT = {
    "quarantine": ["key"],
    "months": ["path"],
    "sources": ["path", "key"],
    "lineage": ["path"],
}
"""By which columns a table's rows say which file they are about. The ledger has :func:`without_strays`."""

_TOLD: set[tuple[str, str]] = set()
"""What was said in this process: a lake's root, and its keys or the segment."""


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
    message = (
        f"the ledger has {strays.len():,} keys that are no paths inside the lake, which are left out: {named}. "
        "cryptolake verify --repair takes them out of the ledger."
    )
    _warn_once(root, named, message)
    return rows.filter(~is_stray())


def without_nameless(rows: pl.DataFrame, path: str, root: str) -> pl.DataFrame:
    """Return the rows of a segment of a table without those that do not say which file they are about.

    Examples
    --------
    >>> import warnings
    >>> rows = pl.DataFrame({"path": ["silver/a.parquet", None], "size": [1, 2]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     without_nameless(rows, "meta/months/x.parquet", "/lake")["size"].to_list()
    [1]
    """
    about = _ABOUT.get(layout.table_of(path) or "", [])
    lacking = [name for name in about if rows[name].null_count()]
    if not lacking:
        return rows
    known = rows.drop_nulls(lacking)
    message = (
        f"{path}: rows without a {' or '.join(lacking)} are about no file, and are left out "
        f"({rows.height - known.height:,} of {rows.height:,})."
    )
    _warn_once(root, path, message)
    return known


def _warn_once(root: str, what: str, message: str) -> None:
    if (root, what) not in _TOLD:
        _TOLD.add((root, what))
        warnings.warn(message, DamagedLakeWarning, stacklevel=5)


def strays(tables: TableReader) -> list[str | None]:
    """Return the stray keys that a ledger has."""
    newest = tables.read("files", where=is_stray()).unique("key", keep="last", maintain_order=True)
    return newest.filter(event="stored")["key"].to_list()
