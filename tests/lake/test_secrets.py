"""Credentials planted wherever one can write them: no text, page, file, process or pickle of ours shows them."""

from __future__ import annotations

import io
import logging
import os
import pickle
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

import cryptolake as cl
from cryptolake.sample.server import serve_archive
from cryptolake.storage.files import S3Storage

SECRETS = ("AKPLANTED0KEY", "S3CR3Tplanted", "T0KENplanted", "pr0xyPASSplanted")
KEY, SECRET, TOKEN, PASSWORD = SECRETS
QUERY = (
    cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01-30", "2025-02-02")
)

GIVEN: dict[str, Callable[[Path], Any]] = {
    "root": lambda _: cl.Lake(f"s3://{KEY}:{SECRET}@bucket/lake").plan(QUERY),
    "root, with a slash in the key": lambda _: cl.Lake(f"s3://{KEY}:a/{SECRET}@bucket/lake"),
    "root, key alone": lambda _: cl.Lake(f"s3://{SECRET}@bucket"),
    "root of another kind": lambda _: cl.Lake(f"s3a://{KEY}:{SECRET}@bucket/lake"),
    "root in capitals": lambda _: cl.Lake(f"S3://{KEY}:{SECRET}@bucket/lake"),
    "root as a path": lambda _: cl.Lake(Path(f"s3://{KEY}:{SECRET}@bucket/lake")),
    "root with a question": lambda _: cl.Lake(f"s3://bucket/lake?secret={SECRET}"),
    "root over https": lambda _: cl.Lake(f"https://{KEY}:{SECRET}@host/lake"),
    "archive": lambda _: cl.Archive(endpoint_url=f"https://{KEY}:{SECRET}@host"),
    "archive, no port": lambda _: cl.Archive(endpoint_url=f"https://{KEY}:{SECRET}/x@host"),
    "archive, query": lambda _: cl.Archive(endpoint_url=f"https://host/?token={TOKEN}"),
    "archive, bucket": lambda _: cl.Archive(bucket=f"{KEY}:{SECRET}@b"),
    "lake's endpoint": lambda _: cl.Lake(
        "s3://bucket/l", storage_options={"endpoint_url": f"http://{KEY}:{SECRET}@127.0.0.1:9"}
    ).status(),
    "lake's endpoint, no port": lambda _: cl.Lake(
        "s3://bucket/l", storage_options={"endpoint_url": f"http://{KEY}:{SECRET}"}
    ).status(),
    "client's endpoint": lambda _: cl.Lake(
        "s3://bucket/l",
        storage_options={"client_kwargs": {"endpoint_url": f"http://{KEY}:{SECRET}@127.0.0.1:9"}},
    ).status(),
    "unreachable": lambda _: cl.Lake(
        "s3://bucket/l",
        storage_options={
            "key": KEY,
            "secret": SECRET,
            "token": TOKEN,
            "endpoint_url": "http://127.0.0.1:9",
            "config_kwargs": {"retries": {"max_attempts": 0}},
        },
    ).status(),
    "proxy of the lake": lambda _: cl.Lake(
        "s3://bucket/l",
        storage_options={
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": "http://nowhere.test",
            "config_kwargs": {
                "proxies": {"http": f"http://me:{PASSWORD}@127.0.0.1:9"},
                "retries": {"max_attempts": 0},
            },
        },
    ).status(),
    "proxy of the lake, no port": lambda _: cl.Lake(
        "s3://bucket/l",
        storage_options={
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": "http://nowhere.test",
            "config_kwargs": {"proxies": {"http": f"http://me:{PASSWORD}@127.0.0.1:x"}},
        },
    ).status(),
}


def _pickled(error: BaseException) -> bytes:
    """Pickle an error by its own rule: distributed, where a test imported it, adds what the error came from."""
    made = io.BytesIO()
    pickler = pickle.Pickler(made)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return made.getvalue()


def told(error: BaseException) -> str:
    """Everything that an error says, and what it came from or came up in, hidden or not."""
    parts, seen = [], set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        parts += [repr(one), str(one), repr(getattr(one, "facts", ""))]
        parts += traceback.format_exception_only(one)
        waiting += [one.__cause__, one.__context__]
    return "\n".join(parts)


def check(text: str, *, whence: str) -> None:
    found = [secret for secret in SECRETS if secret in text]
    assert not found, f"{found} in {whence}: {text[:2000]}"


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "CRYPTOLAKE_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.mark.parametrize("place", GIVEN)
def test_an_error_and_what_it_came_from_show_none(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.INFO)
    with pytest.raises(cl.CryptolakeError) as caught:
        GIVEN[place](tmp_path)
    check(told(caught.value), whence="the error")
    check(caplog.text + "".join(capfd.readouterr()), whence="the log")
    check(str(_pickled(caught.value)), whence="the error's pickle")


@pytest.fixture(autouse=True)
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs tells of what it cannot reach after one try, not after five and the pauses between them."""
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)


PROXIES = [
    f"http://me:{PASSWORD}@127.0.0.1:9",
    f"http://me:{PASSWORD}@127.0.0.1:notaport",
    f"http://me:{PASSWORD}@[::1",
    f"http://me:{PASSWORD}@bad host:1",
    f"me:{PASSWORD}@127.0.0.1:9",
]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("what", ["listing", "s5cmd", "bucket"])
def test_a_proxys_password_is_in_no_error(
    proxy: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: cl.Plan
):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    source = cl.Archive(endpoint_url="http://nowhere.test")
    text = ""
    try:
        if what == "listing":
            cl.Lake(tmp_path / "lake", source=source).plan(QUERY, progress=False)
        elif what == "s5cmd":
            few = cl.TransferOptions(retries=1, engine_retries=1, backoff=0)
            lake = cl.Lake(tmp_path / "lake", source=source)
            report = lake.transfer(listed, progress=False, options=few)
            text = repr(report) + str(report.files.to_dicts()) + report._repr_html_()
        else:
            options = {"key": "k", "secret": "s", "endpoint_url": "http://nowhere.test"}
            more = {"config_kwargs": {"retries": {"max_attempts": 0}}}
            cl.Lake("s3://bucket/lake", storage_options={**options, **more}).status()
    except cl.CryptolakeError as error:
        text += told(error)
    assert text
    check(text, whence="the error")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("archive")
    cl.sample_archive(
        folder,
        symbols=["BTCUSDT"],
        days=("2025-01-28", "2025-02-04"),
        datasets=["spot_klines"],
        intervals=["1h"],
        defects=["stale_checksum"],
    )
    with serve_archive(folder, lakes=["lake-of-secrets"]) as served:
        yield served


@pytest.fixture
def listed(archive: Any, tmp_path: Path) -> cl.Plan:
    """A plan of files at an endpoint that only a proxy can know."""
    lake = cl.Lake(tmp_path / "other", source=cl.Archive(endpoint_url=archive.endpoint))
    file = tmp_path / "listed.json"
    lake.plan(QUERY, progress=False).save(file)
    file.write_text(file.read_text().replace(archive.endpoint, "http://nowhere.test"))
    return cl.Plan.load(file)


@pytest.mark.slow
def test_what_a_lake_in_a_bucket_shows_and_stores_holds_none(
    archive: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    commands: list[Any] = []
    sys.addaudithook(
        lambda event, given: commands.append(given[1]) if event == "subprocess.Popen" else None
    )
    lake = cl.Lake(
        "s3://lake-of-secrets/secret",
        source=cl.Archive(endpoint_url=archive.endpoint),
        storage_options={
            "key": KEY,
            "secret": SECRET,
            "token": TOKEN,
            "endpoint_url": archive.endpoint,
        },
    )
    assert isinstance(lake.storage, S3Storage)
    lake.storage.filesystem.mkdir("lake-of-secrets")
    plan = lake.plan(QUERY, progress=False)
    plan.save(tmp_path / "plan.json")
    reports = [lake.pull(QUERY, mode=mode, progress=False) for mode in ("auto", "relay")]
    shown = [lake, lake.storage, lake.storage.config, lake.context, lake.meta, plan, *reports]
    shown += [lake.status(), lake.datasets(), lake.runs(), lake.verify(), lake.quality(QUERY)]
    shown += [lake.sql("from silver.spot_klines"), lake.connect(), lake.silver(QUERY)]
    for item in shown:
        for draw in ("__repr__", "__str__", "_repr_html_", "explain"):
            if hasattr(item, draw):
                check(str(getattr(item, draw)()), whence=f"{type(item).__name__}.{draw}")
    check(str(lake.sql("from duckdb_secrets()").fetchall()), whence="duckdb_secrets()")
    with pytest.raises(duckdb.Error) as caught:
        lake.sql("select nothing from silver.spot_klines")
    check(told(caught.value), whence="an error of SQL")
    assert any("s5cmd" in str(command) for command in commands)
    check(str(commands), whence="a command line")
    check((tmp_path / "plan.json").read_text(), whence="the plan's file")
    entries = lake.storage.list("")
    assert any(entry.path.startswith("meta/") for entry in entries)
    for entry in entries:
        check(lake.storage.read(entry.path).decode("latin-1"), whence=entry.path)
        check(entry.path, whence="a path")
    check(caplog.text + "".join(capfd.readouterr()), whence="the log")


WORKER = """
import pickle, sys
lake = pickle.load(open(sys.argv[1], "rb"))
print(repr(lake), lake.datasets()["rows"].to_list(), lake._connection)
"""


def test_a_pickle_says_that_it_holds_keys_and_works_elsewhere(archive: Any, tmp_path: Path):
    options = {"key": KEY, "secret": SECRET, "endpoint_url": archive.endpoint}
    source = cl.Archive(endpoint_url=archive.endpoint)
    lake = cl.Lake("s3://lake-of-secrets/pickled", source=source, storage_options=options)
    assert isinstance(lake.storage, S3Storage)
    with suppress(FileExistsError):  # another test of this module may have made it
        lake.storage.filesystem.mkdir("lake-of-secrets")
    lake.pull(QUERY, progress=False)
    lake.sql("from silver.spot_klines").fetchall()
    with pytest.warns(UserWarning, match="holds the key, secret of its storage_options"):
        data = pickle.dumps(lake)
    check(str(pickle.dumps(lake.source)), whence="the archive's pickle")
    (tmp_path / "lake.pickle").write_bytes(data)
    command = [sys.executable, "-c", WORKER, str(tmp_path / "lake.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Lake('s3://lake-of-secrets/pickled'" in done.stdout
    assert done.stdout.strip().endswith("None")
    check(done.stdout + done.stderr, whence="the worker")


@pytest.mark.parametrize("options", [{"profile": "me"}, {"anon": True}, {"requester_pays": True}])
def test_a_pickle_without_keys_says_nothing(options: dict[str, Any]):
    lake = cl.Lake("s3://lake-of-secrets/pickled", storage_options=options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(lake))
    assert again.storage.options == options
