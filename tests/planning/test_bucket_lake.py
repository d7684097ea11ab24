"""A lake in a bucket plans as one on a disk does: its cached listing, ledger and Bronze are objects."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import cryptolake as cl
from cryptolake.planning import plan_files, status
from cryptolake.sample.server import serve_archive

if TYPE_CHECKING:
    import pytest

    from tests.planning.source import Source


def test_a_lake_in_a_bucket_keeps_its_listing_and_knows_its_files(
    origin: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for n in range(12):
        origin.days(f"S{n}USDT", "2024-01-01", "2024-01-03")
    origin.publish()
    (tmp_path / "mine" / "data").mkdir(parents=True)
    query = cl.query().markets("spot").klines("1m").symbols("*").between("2024-01-01", "2024-01-03")
    with serve_archive(tmp_path / "mine", lakes=["mine"]) as served:
        urllib.request.urlopen(urllib.request.Request(f"{served.endpoint}/mine", method="PUT"))
        options = {"key": "any", "secret": "any", "endpoint_url": served.endpoint}
        lake = cl.Lake("s3://mine/a lake", source=origin.archive, storage_options=options)
        plan = lake.plan(query)
        assert plan.to_transfer == 36
        origin.forget()
        assert lake.plan(query).files.equals(plan.files)
        assert origin.asked == []
        some = plan.files.head(5)
        for key, size in some.select("key", "size").iter_rows():
            lake.storage.write(f"bronze/{key}", b"z" * size)
        lake.meta.append("files", some.select("key", "size", "etag", event=pl.lit("stored")))
        again = lake.plan(query)
        assert (again.cached, again.to_transfer) == (5, 31)
        # Where folders are many, what is above them is listed, a part of the plan beside another.
        monkeypatch.setattr(status, "_MANY_FOLDERS", 4)
        monkeypatch.setattr(plan_files, "_TOGETHER", 6)
        assert lake.plan(query).files.equals(again.files)
        assert any("s3://mine" in line for line in plan.commands(into="s3://mine/a lake/"))
