"""The same answers from a lake in a bucket as from one on a disk."""

from __future__ import annotations

import boto3

import cryptolake as cl
from tests.quality.world import key_of, without

DAYS = ("2024-12-28", "2025-01-03")
KEYS = {"key": "k", "secret": "s", "client_kwargs": {"region_name": "us-east-1"}}


def test_a_lake_in_a_bucket_says_the_same(world):
    here = world(
        datasets=["futures_um_klines", "futures_um_trades"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=DAYS,
    )
    here.edit(key_of("2024-12"), without("2024-12-30"))
    here.edit(key_of("2025-01-02"), lambda lines: [*lines[:4], *lines[6:]])
    here.publish()
    query = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between(*DAYS)
    here.pull(query)
    here.pull(query.between("2024-12"))
    here.pull(query.data_types("trades").intervals())
    client = boto3.client(
        "s3",
        endpoint_url=here.served.endpoint,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="lakes-of-quality")
    there = cl.Lake(
        "s3://lakes-of-quality/one",
        source=here.lake.source,
        storage_options={**KEYS, "endpoint_url": here.served.endpoint},
    )
    for entry in here.lake.storage.list(""):
        there.storage.write(entry.path, here.lake.storage.read(entry.path))
    assert there.quality(query).equals(here.lake.quality(query))
    gaps = there.gaps(query)
    assert gaps.equals(here.lake.gaps(query))
    assert gaps.select("cause", "bars", "healed").rows() == [
        ("archive_gap", 24, True),
        ("not_published", 2, False),
    ]
    told = there.verify(query, against="trades")
    assert told.select("column", "published").rows() == [("trades", None)] * 2
