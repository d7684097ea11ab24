"""``force_redownload``: fetch again what a lake has, beside it, and compare.

Bronze is never overwritten by something that was not compared: files are fetched into a temporary lake, a part of the
plan at a time, and only one whose bytes differ is taken out, so that the next pull fetches it.
"""

from __future__ import annotations

from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.bronze.audit import hashes, take_out
from cryptolake.lake import Lake
from cryptolake.storage.layout import bronze_path

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan
    from cryptolake.progress import Progress
    from cryptolake.query import Query
    from cryptolake.report import Report
    from cryptolake.transfer.options import TransferOptions

_BYTES_AT_ONCE = 1_000_000_000


def fetched_again(
    lake: Lake, query: Query, report: Report, options: TransferOptions, progress: Progress
) -> list[str]:
    """Fetch again the files of a query that a pull found here; take out those that differ, and return their keys."""
    cached = pl.col("status").is_in(["cached", "adopted"])
    here = report.rows_of_files.filter(cached)["key"]
    if here.is_empty():
        return []
    plan = lake.plan(query, progress=progress)
    files = plan.files.filter(pl.col("key").is_in(here.implode())).with_columns(
        status=pl.lit("new", plan.files.schema["status"])
    )
    plain = options.model_copy(update={"storage_class": None, "acceleration": False})
    different: list[str] = []
    for part in replace(plan, files=files).shards(max_bytes=_BYTES_AT_ONCE):
        different += _different(lake, part, plain, progress)
    return take_out(lake.storage, lake.meta, different)


def _different(lake: Lake, part: Plan, options: TransferOptions, progress: Progress) -> list[str]:
    with TemporaryDirectory(prefix="cryptolake-") as folder:
        beside = Lake(folder, source=lake.source)
        moved = beside.transfer(part, options=options, progress=progress)
        came = moved.rows_of_files.filter(pl.col("status") == "transferred")["key"].to_list()
        sizes = dict(part.files.select("key", "size").iter_rows())
        return [
            key
            for key in came
            if hashes(lake.storage, bronze_path(key), sizes[key])
            != hashes(beside.storage, bronze_path(key), sizes[key])
        ]
