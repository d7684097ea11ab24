"""``lake.compact``: merge the segments of the lake's own tables, so that a call reads a few files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.storage.tables import Meta

COMPACTED = {"table": pl.String, "before": pl.Int64, "after": pl.Int64, "rows": pl.Int64}
"""Columns of what a compaction did: each table's segments before and after, and its rows."""


def compact(tables: Meta) -> pl.DataFrame:
    """Merge the segments of every table into one; safe beside other writers, and when killed.

    Segments that cannot be read, and those of a newer release, stay as they are.

    Returns
    -------
    polars.DataFrame
        A row per table that has segments; columns as :data:`COMPACTED`.
    """
    rows = []
    for table in TABLES:
        before = len(tables.names(table))
        if not before:
            continue
        tables.compact(table, many=2, whole=True)
        rows.append((table, before, len(tables.names(table)), tables.read(table).height))
    return pl.DataFrame(rows, schema=COMPACTED, orient="row")
