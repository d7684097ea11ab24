"""Uploads in parts that killed runs left are ended by the next run; those of others are not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

import cryptolake as cl
from cryptolake.storage.runs import signs_of_life
from tests.transfer.archives import KEY, put, write_archive, zipped
from tests.transfer.test_s3_etags import Mirror, client_of, mirror

if TYPE_CHECKING:
    from tests.transfer.front import Asked, Refusal

BIG = KEY.format(symbol="BTCUSDT", day="2020-01-01")
QUERY = cl.query().markets("spot").klines("1m").symbols("BTCUSDT")
DAY = QUERY.between("2020-01-01", "2020-01-01")
KILLED = """
import json, os, signal, sys
import cryptolake as cl
import cryptolake.transfer.relay as relay
real, parts = relay._Upload.part, []
def part(self, data):
    real(self, data)
    parts.append(len(data))
    if len(parts) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
relay._Upload.part = part
root, endpoint, options, query = sys.argv[1:]
lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint), storage_options=json.loads(options))
plan = lake.plan(cl.Query.from_json(query), progress=False)
lake.transfer(plan, mode="relay", progress=False)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "archive"
    write_archive(folder, 2)
    with mirror(folder) as made:
        yield made


def unfinished(world: Mirror) -> list[str]:
    found = client_of(world.front).list_multipart_uploads(Bucket=world.bucket)
    return sorted(upload["Key"] for upload in found.get("Uploads", ()))


def begin(world: Mirror, key: str) -> str:
    client_of(world.front).create_multipart_upload(Bucket=world.bucket, Key=key)
    return key


def transfer(lake: cl.Lake, mode: str = "relay") -> cl.Report:
    query = QUERY.between("2020-01-02", "2020-01-02")
    return lake.transfer(lake.plan(query, progress=False), mode=mode, progress=False)  # type: ignore[arg-type]


def test_a_run_ends_what_a_killed_relay_left_and_nothing_else(world: Mirror):
    noise = Random(1).randbytes(10 * 2**20).hex()
    put(world.folder, BIG, zipped("BTCUSDT-1m-2020-01-01.csv", noise))
    world.served.refresh()
    lake = world.lake()
    options = json.dumps(dict(lake.storage.options))  # type: ignore[attr-defined]
    arguments = [lake.root, world.front.url, options, DAY.to_json()]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=os.environ, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    name = lake.root.rpartition("/")[2]
    assert unfinished(world) == [f"{name}/bronze/{BIG}"]
    others = [
        begin(world, f"elsewhere/bronze/{BIG}"),
        begin(world, f"{name}/holiday.mp4"),
        begin(world, f"{name}1/bronze/{BIG}"),
    ]
    assert transfer(lake).ok
    assert unfinished(world) == sorted(others)


def test_an_upload_stays_while_another_run_may_be_at_it(world: Mirror):
    lake = world.lake()
    begun = begin(world, f"{lake.root.rpartition('/')[2]}/bronze/{BIG}")
    run = {"run_id": "other", "kind": "transfer", "started_at": datetime.now(UTC)}
    lake.meta.append("runs", [{**run, "state": "running", **signs_of_life()}])
    assert transfer(lake).ok
    assert unfinished(world) == [begun]
    lake.meta.append("runs", [{**run, "state": "done", **signs_of_life()}])
    lake.transfer(lake.plan(DAY, progress=False), mode="relay", progress=False)
    assert unfinished(world) == []


@pytest.mark.parametrize("days", [0, 2])
def test_what_no_transfer_writes_stays_for_a_day(world: Mirror, days: int):
    lake = world.lake()
    world.front.initiated = f"{datetime.now(UTC) - timedelta(days):%Y-%m-%dT%H:%M:%S.000Z}"
    begun = begin(world, f"{lake.root.rpartition('/')[2]}/silver/market=spot/x.parquet")
    assert transfer(lake).ok
    assert unfinished(world) == ([] if days else [begun])


def test_a_bucket_that_does_not_tell_of_uploads_is_filled_all_the_same(world: Mirror):
    def refuse(asked: Asked) -> Refusal | None:
        return (403, "AccessDenied") if "uploads" in asked.query else None

    world.front.refuse = refuse
    assert transfer(world.lake()).transferred == 1


@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_looking_for_them_is_one_request_a_run(world: Mirror, mode: str):
    assert transfer(world.lake(), mode).transferred == 1
    asked = [a for a, _ in world.front.headers if a.method == "GET" and "uploads" in a.query]
    assert len(asked) == 1
