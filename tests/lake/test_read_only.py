"""A reader without the right to write: what is cached is planned, read, pulled and built, and nothing is written.

On a disk the mode bits bind a user; root is bound too once it has given up its capabilities, so the calls run
in a process without any. The bucket is one behind a proxy that refuses what changes it, as S3 does with
``AccessDenied``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.storage.files import open_storage

QUERY = (
    cl.query()
    .markets("futures_cm")
    .klines("1h")
    .symbols("BTCUSD*")
    .between("2025-01-02", "2025-01-05")
)
_numbers = count()

CALLS = {
    "plan": "lake.plan(query, progress=False).cached",
    "plan of a stale listing": "lake.plan(query, refresh=True, progress=False).to_transfer",
    "frame": "lake.frame(query, progress=False).height",
    "frame of a stale listing": "lake.frame(query, refresh=True, progress=False).height",
    "pull": "lake.pull(query, progress=False).ok",
    "build": "lake.build(query, progress=False).ok",
    "build of all": "lake.build(progress=False).ok",
    "transfer": "lake.transfer(lake.plan(query, progress=False), progress=False).ok",
    "silver": "lake.silver(query).collect().height",
    "bronze": "lake.bronze(query).collect().height",
    "sql": "len(lake.sql('from silver.futures_cm_klines').fetchall())",
    "sql of bronze": "len(lake.sql('from bronze.futures_cm_klines').fetchall())",
    "status": "lake.status().height",
    "datasets": "lake.datasets().height",
    "freshness": "lake.freshness(refresh=True).height",
    "symbols": "lake.symbols('futures_cm', refresh=True).height > 0",
    "quality": "lake.quality(query).height",
    "verify": "set(lake.verify()['status']) == {'ok'}",
    "runs": "lake.runs().height > 0",
}

OF_A_TREE = CALLS | {
    "panel": "lake.panel(query, 'close').height",
    "profile": "lake.profile(query).rows",
    "export": "lake.export(query, tempfile.mkdtemp()).height",
    "quality page": "lake.quality_page(query, tempfile.mkdtemp() + '/q.html').is_file()",
    "metrics": "len(lake.metrics())",
    "locks": "lake.locks().height == 0",
}

CHILD = """
import json, sys, tempfile, warnings
import cryptolake as cl

warnings.simplefilter("error")
root, endpoint, options, text, calls = sys.argv[1:]
query, found = cl.Query.from_json(text), {}
for name, call in json.loads(calls).items():
    lake = cl.Lake(root, source=cl.Archive(endpoint_url=endpoint), storage_options=json.loads(options))
    try:
        found[name] = eval(call)
    except Exception as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""

NEW = {
    "new": "lake.pull(query.between('2025-01-06', '2025-01-07'), progress=False).ok",
    "update": "lake.update(query, progress=False).changed",
    "freeze": "lake.freeze(query, tempfile.mkdtemp() + '/a.lock')",
    "save a query": "lake.save_query('a', query)",
}
MADE = {
    "gold": "lake.gold('panel', query, progress=False)",
    "gold built": "lake.build(query, gold=['panel'], progress=False)",
    "build by force": "lake.build(query, force=True, progress=False)",
}


def asked(
    root: str, endpoint: str, options: dict[str, Any], calls: dict[str, str], *, cache: Path
) -> dict[str, Any]:
    """Run calls in a process that has no right but those of the mode bits."""
    command = [sys.executable, "-c", CHILD, root, endpoint, json.dumps(options), QUERY.to_json()]
    if sys.platform == "linux" and os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot be bound by mode bits without setpriv")
        command = ["setpriv", "--bounding-set=-all", *command]
    done = subprocess.run(
        [*command, json.dumps(calls)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def locked(tmp_path: Path, archive: cl.Archive) -> Iterator[Path]:
    root = tmp_path / "lake"
    cl.Lake(root, source=archive).pull(QUERY, progress=False)
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)


def state(root: Path) -> list[tuple[str, int, int]]:
    found = ((path, path.lstat()) for path in root.rglob("*"))
    return sorted((str(path), item.st_mtime_ns, item.st_size) for path, item in found)


def wrong(found: dict[str, Any]) -> dict[str, Any]:
    """Return the calls that failed, or found less than there is."""
    good = {"plan of a stale listing": 0}
    return {name: value for name, value in found.items() if value != good.get(name, value or ...)}


def is_error(value: Any) -> bool:
    return isinstance(value, str)


def test_a_tree_that_may_only_be_read_serves_every_reader(
    tmp_path: Path, locked: Path, archive: cl.Archive
) -> None:
    before = state(locked)
    endpoint = str(archive.endpoint)
    cache = locked  # which cannot be written either
    found = asked(str(locked), endpoint, {}, OF_A_TREE, cache=cache)
    assert {name: value for name, value in found.items() if is_error(value)} == {}
    assert wrong(found) == {}
    assert state(locked) == before
    # What has to write says so, in its own error, and leaves nothing behind.
    for value in asked(str(locked), endpoint, {}, NEW | MADE, cache=cache).values():
        assert value.startswith("StorageError: cannot write ")
    assert state(locked) == before


@pytest.fixture
def guarded(bucket_options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The bucket's options through a proxy that answers what changes it as S3 answers a reader."""
    behind = bucket_options["endpoint_url"]
    refused: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            names = {"host", "connection", "accept-encoding"}
            headers = {k: v for k, v in self.headers.items() if k.lower() not in names}
            asked_for = urllib.request.Request(
                behind + self.path, headers=headers, method=self.command
            )
            try:
                with urllib.request.urlopen(asked_for) as answer:
                    self.answer(answer.status, dict(answer.headers), answer.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, dict(error.headers), error.read())

        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            refused.append(f"{self.command} {self.path}")
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.answer(403, {"Content-Type": "application/xml"}, body)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name == "do_HEAD":
                return self.do_GET
            if name in {"do_PUT", "do_POST", "do_DELETE"}:
                return self.refuse
            raise AttributeError(name)

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            dropped = {"content-length", "connection", "transfer-encoding", "date", "server"}
            for name, value in headers.items():
                if name.lower() not in dropped:
                    self.send_header(name, value)
            head = self.command == "HEAD"
            length = headers.get("Content-Length", "0") if head else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if not head:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {**bucket_options, "endpoint_url": f"http://127.0.0.1:{server.server_port}"}, refused
    server.shutdown()
    server.server_close()


def test_a_bucket_that_may_only_be_read_serves_every_reader(
    tmp_path: Path,
    archive: cl.Archive,
    bucket_options: dict[str, Any],
    guarded: tuple[dict[str, Any], list[str]],
) -> None:
    root = f"s3://lakes/read-only-{next(_numbers)}"
    cl.Lake(root, source=archive, storage_options=bucket_options).pull(QUERY, progress=False)
    storage = open_storage(root, bucket_options)
    before = storage.list("")
    options, refused = guarded
    endpoint = str(archive.endpoint)
    found = asked(root, endpoint, options, CALLS, cache=tmp_path)
    assert {name: value for name, value in found.items() if is_error(value)} == {}
    assert wrong(found) == {}
    assert {line.split("/meta/", 1)[1].split("/")[0] for line in refused} <= {"listings"}
    for value in asked(root, endpoint, options, NEW, cache=tmp_path).values():
        assert value.startswith("StorageError: cannot write ")
    assert storage.list("") == before
