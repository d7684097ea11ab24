"""A build by a machine whose clock is ahead does not stay the newest until that time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.listing.context import LakeContext
from cryptolake.readers.inventory import datasets
from cryptolake.silver.records import current
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta

if TYPE_CHECKING:
    from pathlib import Path

PATH = "silver/market=spot/data_type=klines/interval=1m/symbol=A/2024-01.parquet"


def test_the_build_that_was_written_last_is_the_current_one(tmp_path: Path):
    storage = open_storage(tmp_path)
    meta = Meta(storage)
    storage.write(PATH, b"a month")
    for run, ahead, rows in (("first", 500, 10), ("second", 0, 20)):
        at = datetime.now(UTC) + timedelta(days=ahead)
        told = {"path": PATH, "built_at": at, "run_id": run}
        meta.append("sources", [told | {"key": key, "rows_out": rows} for key in ("a", "b")])
        meta.append("rejects", [{"path": PATH, "run_id": run, "at": at, "line": rows}])
    assert current(meta, "sources")["rows_out"].to_list() == [20, 20]
    assert current(meta, "rejects")["line"].to_list() == [20]
    silver = datasets(LakeContext.of(storage)).filter(pl.col("zone") == "silver")
    assert silver["rows"].to_list() == [40]
