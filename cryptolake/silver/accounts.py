"""Which Silver months the lake's tables do not account for: rows in, rows out, duplicates and rejects, file by file.

The rows of an account can go where its file stays: with a damaged segment that is set aside, or with a folder that
came back from an older backup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.silver.parquet import read_standing
from cryptolake.silver.records import current
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

NO_ACCOUNT = "the lake's tables do not account for its rows: what they were made of, or which were rejected, is lost"


def without_account(storage: Storage, tables: TableReader, paths: Iterable[str]) -> set[str]:
    """Return those of some months that stand as recorded and whose newest account is none, or not whole, or another's.

    A build writes its accounts beside the records of its months: while it is at work, its months are not judged.
    """
    chosen = pl.Series(list(paths), dtype=pl.String)
    scope = Scope.of(chosen.str.replace(r"[^/]*$", ""))
    asked = pl.col("path").is_in(chosen.implode())
    months = tables.read("months", where=asked).unique("path", keep="last")
    sources = current(tables, "sources", scope)
    rejects = current(tables, "rejects", scope).group_by("path").agg(told=pl.len())
    at_work = tables.runs().filter(state="running")["run_id"].implode()
    accounts = sources.group_by("path").agg(
        pl.col("rows_out", "rejects").sum(),
        pl.col("run_id", "built_at").last(),
    )
    joined = (
        # The first release recorded no rows.
        months.drop_nulls("rows")
        .select("path", "rows", month_run="run_id", month_at="built_at")
        .join(accounts, on="path", how="left")
        .join(rejects, on="path", how="left")
        .filter(
            ~pl.any_horizontal(pl.col("month_run", "run_id").is_in(at_work)).fill_null(value=False)
        )
    )
    whole = (pl.col("rows_out") == pl.col("rows")) & (
        pl.col("rejects") == pl.col("told").fill_null(0)
    )
    lacking = ~whole.fill_null(value=False)
    # A month whose record was lost is recorded anew by a later build than the one that made it.
    other = pl.col("run_id").ne_missing(pl.col("month_run")) | (
        pl.col("built_at").ne_missing(pl.col("month_at"))
    )
    found = set(joined.filter(lacking)["path"])
    for path in joined.filter(~lacking & other)["path"]:
        standing = read_standing(storage, path)
        told = sources.filter(path=path).select("key", "sha256").rows()
        if standing is None or set(standing.origin.sources) != set(told):
            found.add(path)
    return found
