"""How often a call that has nothing to do reads the lake's tables, and asks the archive for its listing.

Each call runs in a process of its own, on a lake that was filled before, so that nothing is remembered.
On a disk, what is opened below ``meta/`` is counted by the interpreter's audit events; in a
bucket, requests are counted by a proxy in front of it. A number here may fall; when it grows, a call has
begun to read again what it had read.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.sample.server import serve_archive
from tests.transfer.proxy import Proxy, proxied

QUERY = (
    cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-01", "2025-01-31")
)

CALLS = {
    "plan": "lake.plan(query, progress=False)",
    "pull": "lake.pull(query, progress=False)",
    "build": "lake.build(query, progress=False)",
    "frame": "lake.frame(query, progress=False)",
    "status": "lake.status()",
}

CHILD = """
import json, sys
from collections import Counter
import cryptolake as cl

root, options, endpoint, text, call = sys.argv[1:]
seen = Counter()

def count(event, arguments):
    if event != "open" or arguments[1] not in ("r", "rb", None):
        return
    folders, _, name = str(arguments[0]).partition("/lake/meta/")[2].rpartition("/")
    if name.endswith(".parquet") and not name.startswith("."):
        seen[folders] += 1

lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint), storage_options=json.loads(options))
query = cl.Query.from_json(text)
sys.addaudithook(count)
exec(call)
print(json.dumps(seen))
"""

Reads = dict[str, int]

ON_A_DISK: dict[str, Reads] = {
    "plan": {"files": 1},
    "pull": {"files": 1, "months": 1},
    "build": {"files": 1, "months": 1},
    "frame": {"files": 1, "months": 1, "sources": 1},
    "status": {"files": 1, "months": 1, "sources": 1},
}
"""Segments opened, by table. Polars opens the cached listing, which the interpreter does not see."""

IN_A_BUCKET: dict[str, Reads] = {
    "plan": {"lake.json": 1, "files": 1, "listings": 1, "LIST": 2},
    "pull": {"lake.json": 1, "files": 1, "listings": 1, "months": 1, "LIST": 3},
    "build": {"lake.json": 1, "files": 1, "months": 1, "LIST": 2},
    "frame": {"lake.json": 1, "files": 1, "listings": 1, "months": 1, "sources": 1, "LIST": 4},
    "status": {"lake.json": 1, "files": 1, "listings": 2, "months": 1, "sources": 1, "LIST": 3},
}
"""Objects fetched below ``meta/``, by table; and ``LIST``, the listing requests for the whole lake.

The segments of all tables are listed by one request; the others are for Bronze, Silver (``frame``: twice, for the
build and for the read after it) and Gold. ``status`` looks into a dataset's cached listings of both partitions for
how far the archive was when it was asked last; one of them was never kept, which its request tells.
"""

ASKED_ANEW = 1
"""Requests to the archive where it is asked again: a whole month needs no listing of its days."""


def child(call: str, root: str, options: dict[str, Any] | None, endpoint: str) -> Counter[str]:
    """Run one call in a fresh process; return the segments it opened, by table."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, root, json.dumps(options), endpoint, QUERY.to_json(), call],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    return Counter(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def origin(endpoint: str) -> Iterator[Proxy]:
    """The sample archive, each request counted."""
    with proxied(endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def on_a_disk(origin: Proxy, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lake that holds all of the query."""
    root = tmp_path_factory.mktemp("reads") / "lake"
    lake = cl.Lake(root, source=cl.Archive(endpoint_url=origin.url))
    assert lake.pull(QUERY, progress=False).ok
    return str(root)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A bucket for lakes, each request counted."""
    folder = tmp_path_factory.mktemp("lakes")
    (folder / "data").mkdir()
    with (
        serve_archive(folder, lakes=["lakes-of-reads"]) as served,
        proxied(served.endpoint) as proxy,
    ):
        made = urllib.request.Request(f"{served.endpoint}/lakes-of-reads", method="PUT")
        urllib.request.urlopen(made)
        yield proxy


@pytest.fixture(scope="module")
def in_a_bucket(origin: Proxy, bucket: Proxy) -> tuple[str, dict[str, Any]]:
    """A lake in the bucket that holds all of the query."""
    options = {"key": "k", "secret": "s", "endpoint_url": bucket.url}
    root = f"s3://lakes-of-reads/{secrets.token_hex(4)}/lake"
    lake = cl.Lake(root, source=cl.Archive(endpoint_url=origin.url), storage_options=options)
    assert lake.pull(QUERY, progress=False).ok
    return root, options


@pytest.mark.parametrize("call", CALLS)
def test_on_a_disk_each_table_is_read_once(call: str, on_a_disk: str, origin: Proxy) -> None:
    origin.forget()
    found = child(CALLS[call], on_a_disk, None, origin.url)
    assert dict(found) == ON_A_DISK[call]
    assert not origin.asked


@pytest.mark.parametrize("call", CALLS)
def test_in_a_bucket_each_table_is_read_once(
    call: str, in_a_bucket: tuple[str, dict[str, Any]], bucket: Proxy, origin: Proxy
) -> None:
    root, options = in_a_bucket
    origin.forget()
    bucket.forget()
    child(CALLS[call], root, options, origin.url)
    found: Counter[str] = Counter()
    for (_, key), number in bucket.asked.items():
        if not key:
            found["LIST"] += number
        elif "/lake/meta/" in key:
            found[key.partition("/lake/meta/")[2].split("/")[0]] += number
    assert dict(found) == IN_A_BUCKET[call]
    assert not origin.asked


def test_a_refreshed_plan_asks_the_archive_once_for_each_part_of_its_listing(
    on_a_disk: str, origin: Proxy
) -> None:
    origin.forget()
    child("lake.pull(query, progress=False, refresh=True)", on_a_disk, None, origin.url)
    assert origin.asked == {("GET", ""): ASKED_ANEW}
