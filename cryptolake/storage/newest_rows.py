"""Which rows of a lake's tables still count: by the order in which they were written, whatever clocks said.

A writer's clock may be off by a year. Segments of all tables sort behind those that their writer knew of, so their
names tell an order where the times in their rows do not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.storage import runs, segments
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.storage.files import Entry
    from cryptolake.storage.scope import Scope
    from cryptolake.storage.tables import TableReader

REMEMBERED = timedelta(days=90)
"""How long ``transfers`` says of each file how it came, counted back from the newest; the ledger says where it is."""

STAMPS = "%Y%m%dT%H%M%S%f"
"""How the name of a segment begins: the time at which it was written, or just after the newest that its writer knew."""


def settled(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of merged segments that still count, sorted so that a filter finds them fast.

    Of the ledger, of the quarantine, of runs and of the records of months and of Gold, newer rows take the
    place of older ones. Rows that say that a file was removed stay: a segment of before may come late.
    Of findings and rejects that say the same, the newest ones stay, and of transfers those of the last
    :data:`REMEMBERED`, counted back from the last one written.
    """
    if table in ("files", "quarantine"):
        return rows.unique("key", keep="last", maintain_order=True).sort("key")
    if table == "runs":
        return runs.newest(rows)
    if table in ("months", "lineage"):
        return rows.unique("path", keep="last", maintain_order=True).sort("path")
    if table == "sources":
        newest = rows.filter(of_newest_build())
        return newest.sort("path", maintain_order=True)
    if table in ("rejects", "findings"):
        # A month that is built each night says the same each night. A day: builds side by side stay apart. Which of
        # two is newer says their order, not their times: a clock may have been wrong.
        told = [name for name in TABLES[table] if name not in ("at", "run_id")]
        again = (pl.col("at") - pl.col("at").last().over(told)).abs() > timedelta(days=1)
        return rows.filter(~again.fill_null(value=False))
    if table == "transfers":
        old = pl.col("at") < pl.col("at").drop_nulls().last() - REMEMBERED
        return rows.filter(~old.fill_null(value=False))
    return rows


def forgotten(live: list[Entry]) -> list[Entry]:
    """Return the segments of ``transfers`` all of whose rows are older than what is remembered."""
    if not live:
        return []
    try:
        newest = datetime.strptime(segments.stamp_of(live[-1]), STAMPS)  # noqa: DTZ007 - UTC
    except ValueError:
        return []  # no stamp of ours
    since = f"{newest - REMEMBERED:{STAMPS}}"
    return [entry for entry in live if segments.stamp_of(entry) < since]


def of_newest_build() -> pl.Expr:
    """Return the condition on rows of ``sources``, in the order they were written, of a path's newest build.

    One run builds a month again where another process has stored a file meanwhile, so the run alone does
    not say which build a row is of.
    """
    same_time = pl.col("built_at").eq_missing(pl.col("built_at").last().over("path"))
    return (pl.col("run_id") == pl.col("run_id").last().over("path")) & same_time


def in_quarantine(tables: TableReader, scope: Scope) -> pl.DataFrame:
    """Return the newest row of every file of a scope that lies in quarantine and was not stored since."""
    stamp = segments.STAMP
    held = tables.read("quarantine", stamps=True).unique("key", keep="last", maintain_order=True)
    if (here := scope.where()) is not None:
        held = held.filter(here)
    if held.is_empty():
        return held.drop(stamp)
    # Merged segments are sorted by key: of a range only some row groups are read.
    near = pl.col("key").is_between(pl.lit(held["key"].min()), pl.lit(held["key"].max()))
    asked = near & pl.col("key").is_in(held["key"].implode())
    files = tables.read("files", where=asked, stamps=True).unique("key", keep="last")
    stored = files.filter(event="stored").select(
        "key", pl.col(stamp).alias("stored"), proof="verified", has="etag"
    )
    joined = held.join(stored, on="key", how="left", maintain_order="left")
    # Two processes side by side may not know of each other; that a file was accepted says by itself what came last.
    accepted = (pl.col("proof") == "stale_accepted") & (pl.col("has") == pl.col("etag"))
    later = (pl.col("stored") > pl.col(stamp)) | accepted
    return joined.filter(~later.fill_null(value=False)).drop(stamp, "stored", "proof", "has")
