"""``lake.compact`` and the end of a run: few segments, the same rows, on a disk and in a bucket."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.maintenance.compaction import COMPACTED
from cryptolake.sample.server import serve_archive
from cryptolake.storage.files import open_storage
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import Meta

WRITER = """
import json, sys
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta
root, options, name = sys.argv[1:]
storage = open_storage(root, json.loads(options))
print("ready", flush=True)
for number in range(40):
    meta = Meta(storage)
    meta.append("files", [{"key": f"{name}-{number:03}", "size": number, "event": "stored"}])
    print(number, flush=True)
    meta.compact("files", many=4, whole=number % 3 == 0)
"""


@pytest.fixture(params=["disk", "bucket"])
def place(request: Any, tmp_path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A root for a lake and its options."""
    if request.param == "disk":
        yield str(tmp_path / "lake"), {}
        return
    (tmp_path / "data").mkdir()
    with serve_archive(tmp_path, lakes=["lakes-to-compact"]) as served:
        options = {"key": "k", "secret": "s", "endpoint_url": served.endpoint}
        storage: Any = open_storage("s3://lakes-to-compact", options)
        storage.filesystem.mkdir(storage.bucket)
        yield f"s3://lakes-to-compact/{secrets.token_hex(4)}", options


def test_compact_leaves_one_segment_a_table_and_every_row(
    place: tuple[str, dict[str, Any]],
) -> None:
    root, options = place
    lake = cl.Lake(root, storage_options=options)
    for number in range(5):
        lake.meta.append("files", [{"key": f"{number % 3}", "size": number, "event": "stored"}])
        lake.meta.append("transfers", [{"run_id": "r", "key": f"{number}"}])
    before = lake.meta.ledger().sort("key")
    found = lake.compact()
    assert list(found.columns) == list(COMPACTED)
    assert found.rows() == [("files", 5, 1, 3), ("transfers", 5, 1, 5)]
    assert cl.Lake(root, storage_options=options).meta.ledger().sort("key").equals(before)
    assert lake.compact()["before"].to_list() == [1, 1]
    assert set(found["table"]) <= set(TABLES)


def writer(*given: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *given], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.timeout(120)
def test_writers_that_compact_and_are_killed_lose_nothing(
    place: tuple[str, dict[str, Any]],
) -> None:
    root, options = place
    written = {"a": 39, "b": 7, "c": 14}  # one goes on to its end
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(writer(root, json.dumps(options), name)) for name in written
        }
        for name in ("b", "c", "a"):
            child = children[name]
            assert child.stdout is not None
            for line in child.stdout:
                if name != "a" and line.strip() == str(written[name]):
                    child.kill()
        assert children["a"].wait() == 0
    keys = set(Meta(open_storage(root, options)).ledger()["key"])
    wanted = {f"{name}-{number:03}" for name, last in written.items() for number in range(last + 1)}
    assert wanted <= keys
    lake = cl.Lake(root, storage_options=options)
    lake.compact()
    assert set(lake.meta.ledger()["key"]) == keys
    assert len(lake.meta.names("files")) == 1
