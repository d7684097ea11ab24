"""What every test shares: the sample archive, served on loopback, and an environment without surprises."""

from __future__ import annotations

import fcntl
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from _pytest import runner
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

import cryptolake as cl
from cryptolake.sample.server import serve_archive

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive

# No test judges by the clock: a busy machine is no failure.
settings.register_profile("cryptolake", deadline=None)
settings.load_profile("cryptolake")

REAL_ARCHIVE = Path(
    os.environ.get("CRYPTOLAKE_REAL_ARCHIVE") or Path(__file__).parents[2] / "shared" / "archive"
)
"""Where real archive files lie, if they do; for tests that are made from their names."""

LIGHT = Path(__file__).parent / "tools" / "light"
"""What stands in for packages that take long to load and are never needed."""

_UNSET = ("CRYPTOLAKE_", "AWS_", "S3_ENDPOINT", "UPDATE_")
_OWN = {
    "CRYPTOLAKE_REAL_ARCHIVE",
    "CRYPTOLAKE_REQUIRE_BROWSER",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_EC2_METADATA_DISABLED",
}
"""Names that begin so and stay: what the tests ask for themselves, and what :func:`_set_once` sets."""


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests wait for servers, pauses and disks a third of their time."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else 3


class Together(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
    """A file's tests go to one process, and all that drive a browser to one: it starts one JupyterLab, and not each."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/browser" if file.startswith("tests/browser/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Hand out tests by file (``--dist loadfile`` is what all commands say)."""
    return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no process ends long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    browser = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (item.path not in browser, item.path not in slow))


@pytest.fixture(scope="session", autouse=True)
def quick_clients() -> Iterator[None]:
    """What botocore works out for each client anew, and always alike, is worked out once a process.

    Most of a client's cost is to look for the folder of S3's models, parse them, rename events, look at the
    signatures of its own handlers, read the rules of endpoints and parse the certificates of a hundred
    authorities.
    """
    import botocore.hooks
    import botocore.session

    regions: Any = importlib.import_module("botocore.regions")
    session: Any = importlib.import_module("aiobotocore.httpsession").AIOHTTPSession

    loader = lru_cache(maxsize=None)(botocore.session.create_loader)
    accepts = lru_cache(maxsize=4096)(botocore.hooks.accepts_kwargs)
    aliaser: Any = botocore.hooks.EventAliaser(botocore.hooks.HierarchicalEmitter())
    alias = lru_cache(maxsize=4096)(aliaser._alias_event_name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "EndpointProvider", _once(regions.EndpointProvider))
        _verify_once(patch, session)
        patch.setattr(botocore.session, "create_loader", loader)
        patch.setattr(botocore.hooks, "accepts_kwargs", accepts)
        patch.setattr(botocore.hooks.EventAliaser, "_alias_event_name", lambda _, name: alias(name))
        yield


@pytest.fixture(scope="session", autouse=True)
def listing_at_once() -> Iterator[None]:
    """A listing that failed is asked again without the seconds between: as often, and as long as a server says."""
    from cryptolake.listing import client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_RETRIES", client._RETRIES.new(backoff_factor=0, backoff_jitter=0))
        yield


@pytest.fixture(scope="session", autouse=True)
def unflushed() -> Iterator[None]:
    """No test sees whether a disk has what it was given, and each file would wait for it: milliseconds a write.

    Processes that tests start flush theirs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def _verify_once(patch: pytest.MonkeyPatch, session: Any) -> None:
    """Let sessions without a certificate of their own share what the same file of authorities makes."""
    name = "_build_verify_context"
    if not hasattr(session, name):
        return  # an older aiobotocore
    make = getattr(session, name)
    made: dict[tuple[object, int], Any] = {}

    def context(self: Any) -> Any:
        if self._cert_file:
            return make(self)
        file = self._verify
        key = (file, os.stat(file).st_mtime_ns if isinstance(file, str) else 0)  # noqa: PTH116
        if key not in made:
            made[key] = make(self)
        return made[key]

    patch.setattr(session, name, context)


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make a thing once for the same objects, which may be ones without a hash."""
    made: dict[tuple[tuple[str, int], ...], tuple[Any, dict[str, Any]]] = {}

    def call(**parts: Any) -> Any:
        key = tuple((name, id(part)) for name, part in parts.items())
        if key not in made:
            made[key] = (make(**parts), parts)  # what is kept cannot leave its id to another
        return made[key][0]

    return call


@pytest.fixture(scope="session", autouse=True)
def _set_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point AWS profiles and caches to where nothing is, once: a variable that each test adds anew is a risk each time."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(base / "no-aws" / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(base / "no-aws" / "credentials"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        yield


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, AWS profile or cache of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(_UNSET) and name not in _OWN:
            monkeypatch.delenv(name)


def made_once(factory: pytest.TempPathFactory, name: str, write: Callable[[Path], None]) -> Path:
    """Return a folder that the first process of a run writes, and the others only read."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    root, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            root.mkdir()
            write(root)
            done.touch()
    return root


@pytest.fixture(scope="session")
def sample_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small archive folder: every row of the matrix that has files. Read only: tests share it.

    ============================  =================================================================
    klines, 1h and 1d             2024-12-30 to 2025-02-01; the monthly 2025-02 is not out yet
    klines 1m, trades, aggTrades  2024-12-31 to 2025-01-02; only the monthly 2024-12 is out
    mark, index, premium          1m and 1h, 2024-12-31 to 2025-01-02
    other daily rows              2024-12-31 to 2025-01-02, or the last days before they stopped
    fundingRate                   2024-12 and 2025-01
    ============================  =================================================================
    """
    return made_once(tmp_path_factory, "sample-archive", _write_sample)


def _write_sample(root: Path) -> None:
    markets = ("spot", "futures_um", "futures_cm")
    few = ["BTCUSDT", "ETHUSDT", "龙虾USDT", "BTCUSD_PERP", "BTCUSDT_250328"]
    main = ["BTCUSDT", "BTCUSD_PERP", "BTCUSD"]
    month, border = ("2024-12-30", "2025-02-01"), ("2024-12-31", "2025-01-02")
    klines = [f"{market}_klines" for market in markets]
    cl.sample_archive(root, datasets=klines, symbols=few, intervals=["1h", "1d"], days=month)
    trades = [f"{market}_{kind}" for market in markets for kind in ("trades", "agg_trades")]
    cl.sample_archive(root, datasets=klines + trades, symbols=main, intervals=["1m"], days=border)
    kinds = ("mark_price_klines", "index_price_klines", "premium_index_klines")
    futures = [
        f"{market}_{kind}" for market in markets[1:] for kind in (*kinds, "metrics", "book_depth")
    ]
    cl.sample_archive(root, datasets=futures, symbols=main, intervals=["1m", "1h"], days=border)
    funding = ["futures_um_funding_rate", "futures_cm_funding_rate"]
    cl.sample_archive(root, datasets=funding, symbols=main, days=("2024-12-01", "2025-01-31"))
    stopped = ["futures_um_book_ticker", "futures_cm_book_ticker"]
    stopped += ["futures_cm_liquidation_snapshot", "options_eoh_summary"]
    cl.sample_archive(root, datasets=stopped, symbols=["BTCUSDT", "BTCUSD_PERP"])
    cl.sample_archive(
        root, datasets=["options_bvol_index"], symbols=["BTCBVOLUSDT"], days="2025-01-01"
    )


@pytest.fixture(scope="session")
def research_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the preset ``research``, some 2,500 zips; made once. Read only: tests share it.

    What it holds is told, and can be asked, in :mod:`cryptolake.sample.research`.
    """
    from cryptolake.sample.presets import parts_of, write_parts

    return made_once(
        tmp_path_factory, "research-archive", lambda root: write_parts(root, parts_of("research"))
    )


@pytest.fixture(scope="session")
def research_source(research_archive: Path) -> Iterator[Archive]:
    """The research archive on loopback, as a source for a Lake."""
    from cryptolake.archive.source import Archive

    with serve_archive(research_archive) as served:
        yield Archive(endpoint_url=served.endpoint)


def pytest_configure(config: pytest.Config) -> None:
    """Register what the examples in docstrings need, which lie outside this folder, and let processes load less."""
    from tests import examples

    # Of this process, and of those that tests start.
    sys.path.insert(0, str(LIGHT))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(LIGHT), os.environ.get("PYTHONPATH")])
    )
    config.pluginmanager.register(examples, "examples")
    runner._update_current_test_var = _unwritten


def _unwritten(item: pytest.Item, when: Literal["setup", "call", "teardown"] | None) -> None:
    """Leave the running test's name out of the environment, into which pytest writes it three times a test.

    Threads of native code (Polars' for buckets) read the environment all the time, and the C library frees its
    table under them when a variable is added: the process dies of a segmentation fault, in whatever test it is.
    """


@pytest.fixture(scope="session")
def endpoint(sample_archive: Path) -> Iterator[str]:
    """The sample archive's URL: an S3 server on loopback."""
    with serve_archive(sample_archive) as served:
        yield served.endpoint


@pytest.fixture(scope="session")
def archive(endpoint: str) -> Archive:
    """The sample archive as a source for a Lake."""
    from cryptolake.archive.source import Archive

    return Archive(endpoint_url=endpoint)


@pytest.fixture(scope="session")
def real_archive() -> Path:
    """The folder of real archive files; the test is skipped where there is none."""
    if not REAL_ARCHIVE.is_dir():
        pytest.skip(f"no real archive files at {REAL_ARCHIVE}; set CRYPTOLAKE_REAL_ARCHIVE")
    return REAL_ARCHIVE


@pytest.fixture(scope="session")
def bucket_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What opens a lake below ``s3://lakes``: an S3 server on loopback that can be written."""
    import boto3

    folder = tmp_path_factory.mktemp("no-archive")
    (folder / "data").mkdir()
    # Of the lakes' buckets, a test asks for one that nobody makes.
    with serve_archive(folder, bucket="no-archive", lakes=["lakes", "absent"]) as served:
        client = boto3.client(
            "s3",
            endpoint_url=served.endpoint,
            aws_access_key_id="k",
            aws_secret_access_key="s",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="lakes")
        yield {
            "key": "k",
            "secret": "s",
            "endpoint_url": served.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error; made once."""
    return made_once(tmp_path_factory, "site", _build_site)


def _build_site(folder: Path) -> None:
    config = Path(__file__).parents[1] / "notebooks" / "site" / "mkdocs.yml"
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-f",
        str(config),
        "-d",
        str(folder),
    ]
    own = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
