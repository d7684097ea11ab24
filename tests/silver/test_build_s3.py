"""Silver is built in a bucket as on a disk, over a real S3 endpoint on loopback."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.tables import Meta
from tests.silver.texts import day_text, key, ledger_row, zipped


def lake(options: dict[str, Any], name: str) -> tuple[Storage, Meta]:
    storage = open_storage(f"s3://lakes/{name}", options)
    meta = Meta(storage)
    zips = {key(day): zipped(day_text(day)) for day in ("2024-01-01", "2024-01-02")}
    for path, data in zips.items():
        storage.write(f"bronze/{path}", data)
    meta.append("files", [ledger_row(path, data) for path, data in zips.items()])
    return storage, meta


@pytest.mark.parametrize("stream_above", [10**9, 0], ids=["whole", "in pieces"])
def test_a_month_is_built_in_a_bucket_once(bucket_options: dict[str, Any], stream_above: int):
    storage, meta = lake(bucket_options, f"lake-{stream_above}")
    report = build(
        LakeContext.of(storage), holdings(meta), progress=False, stream_above=stream_above
    )
    assert report.ok
    assert report.months["status"].to_list() == ["built"]
    path = report.months["path"][0]
    frame = pl.read_parquet(storage.url(path), **storage.polars_arguments)
    assert frame.height == 48
    again = build(LakeContext.of(storage), holdings(meta), progress=False)
    assert again.months["status"].to_list() == ["unchanged"]
