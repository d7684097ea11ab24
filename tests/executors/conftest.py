"""An archive of 244 daily files, eight symbol-months, behind a proxy that counts; and a lake made of it by one pull."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cryptolake as cl
from cryptolake.sample.server import serve_archive
from tests.transfer.proxy import Proxy, proxied

if TYPE_CHECKING:
    import polars as pl

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")


@dataclass
class Origin:
    """The archive, and the requests that it and the bucket of lakes were asked."""

    source: cl.Archive
    query: cl.Query
    asked: Proxy
    lakes: Proxy
    options: dict[str, Any]

    def requests(self) -> tuple[int, int]:
        """Requests to the archive and to the bucket since the last call."""
        found = self.asked.asked.total(), self.lakes.asked.total()
        self.asked.forget()
        self.lakes.forget()
        return found

    def lake(self, root: str | Path) -> cl.Lake:
        bucket = str(root).startswith("s3://")
        return cl.Lake(root, source=self.source, storage_options=self.options if bucket else None)


@pytest.fixture(scope="package")
def origin(
    tmp_path_factory: pytest.TempPathFactory, bucket_options: dict[str, Any]
) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("days") / "data.binance.vision"
    cl.sample_archive(
        folder,
        datasets=["spot_klines"],
        symbols=list(SYMBOLS),
        intervals=["1h"],
        days=("2025-03-01", "2025-04-30"),
    )
    shutil.rmtree(folder / "data/spot/monthly")
    query = cl.query().markets("spot").klines("1h").symbols(*SYMBOLS)
    with (
        serve_archive(folder) as served,
        proxied(served.endpoint) as asked,
        proxied(bucket_options["endpoint_url"]) as lakes,
    ):
        source = cl.Archive(endpoint_url=asked.url)
        options = {**bucket_options, "endpoint_url": lakes.url}
        yield Origin(source, query.between("2025-03-01", "2025-04-30"), asked, lakes, options)


@dataclass
class Whole:
    """What one pull made: its lake, rows, ledger and requests."""

    lake: cl.Lake
    report: cl.Report
    rows: pl.DataFrame
    ledger: pl.DataFrame
    requests: tuple[int, int]


def ledger_of(lake: cl.Lake) -> pl.DataFrame:
    """What the ledger says of each file, whenever and by whichever run it came."""
    return lake.meta.ledger().select("key", "size", "etag", "sha256", "verified").sort("key")


def made_by_one_pull(origin: Origin, root: str | Path, query: cl.Query | None = None) -> Whole:
    lake = origin.lake(root)
    query = origin.query if query is None else query
    origin.requests()
    report = lake.pull(query, progress=False)
    asked = origin.requests()
    return Whole(lake, report, lake.silver(query).collect(), ledger_of(lake), asked)


@pytest.fixture(scope="package")
def on_disk(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return made_by_one_pull(origin, tmp_path_factory.mktemp("whole") / "lake")
