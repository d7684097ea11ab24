"""What checks find after a build, kept in ``meta.findings`` once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.storage.tables import TABLES, new_run_id

if TYPE_CHECKING:
    from cryptolake.storage.tables import Meta

_SAME = ["path", "kind", "first", "detail"]
_MOST = 10_000
"""Findings that one check records; a file that is wrong throughout needs no more to be told of."""


def record_new(found: pl.DataFrame, meta: Meta) -> int:
    """Add findings that ``meta.findings`` does not have yet; return how many those are.

    Parameters
    ----------
    found
        Columns of ``meta.findings``, ``path``, ``kind``, ``first`` and ``detail`` among them.
    meta
        The lake's tables.
    """
    if not found.height:
        return 0
    kinds = found["kind"].unique().to_list()
    known = meta.read("findings").filter(pl.col("kind").is_in(kinds))
    typed = found.head(_MOST).with_columns(pl.col("first").cast(TABLES["findings"]["first"]))
    new = typed.join(known, on=_SAME, how="anti", nulls_equal=True)
    now, run = datetime.now(UTC), new_run_id()
    meta.append("findings", new.with_columns(pl.lit(now).alias("at"), pl.lit(run).alias("run_id")))
    return new.height
