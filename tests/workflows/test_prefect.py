"""Prefect's flow against a real server: threads, processes and Dask, a killed worker, a scheduled deployment."""

from __future__ import annotations

import contextlib
import doctest
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import cryptolake as cl

if TYPE_CHECKING:
    import polars as pl

pytestmark = [
    pytest.mark.slow,
    # Prefect, Dask and their servers leave sockets and old calls of other packages to the end of the process.
    pytest.mark.filterwarnings("ignore"),
]

ASKED = {
    "markets": ["spot"],
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "data_types": ["klines"],
    "intervals": {"klines": ["1h"]},
    "date_range": {"start": "2024-12-31", "end": "2025-01-05"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a Prefect server on loopback that nobody else has; it tells nobody of its use."""
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("prefect")
    patch.setenv("PREFECT_HOME", str(home))
    patch.setenv("DO_NOT_TRACK", "1")
    patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    patch.setenv("PREFECT_LOGGING_LEVEL", "WARNING")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    # What `prefect server start` runs, which starts a Python of its own for it.
    command = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "warning"]
    command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1"]
    with (home / "server.txt").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        try:
            _wait_for(f"{url}/health", process)
            patch.setenv("PREFECT_API_URL", url)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            with temporary_settings({PREFECT_API_URL: url}):
                yield url
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            patch.undo()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.2)
    pytest.fail("Prefect's server does not answer")


@pytest.fixture
def kept_environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's variables, which the suite's own fixtures leave alone, for processes that a test starts."""
    monkeypatch.setenv("PREFECT_API_URL", server)


def workflow(root: str, source: cl.Archive, **more: Any) -> Any:
    from cryptolake.workflows.prefect_flow import PrefectArchiveCollectionWorkflow

    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    place = {"destination_bucket": bucket, "destination_prefix": prefix}
    where = place if root.startswith("s3://") else {"output_directory": root}
    return PrefectArchiveCollectionWorkflow(
        cl.WorkflowConfig(ASKED, where), source=source, retry_delay=0.1, **more
    )


def facts(lake: cl.Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a lake, and what its ledger says of the files."""
    query = cl.WorkflowConfig(ASKED).queries()[0]
    ledger = lake.meta.ledger().select("key", "size", "sha256", "verified").sort("key")
    return lake.silver(query).collect(), ledger


def single(root: str, source: cl.Archive) -> tuple[cl.Lake, cl.Report]:
    lake = cl.Lake(root, source=source)
    return lake, lake.pull(cl.WorkflowConfig(ASKED).queries()[0], progress=False)


@contextlib.contextmanager
def killed_worker(lake: cl.Lake) -> Iterator[None]:
    """Kill one of the processes that this one has started, once files are here."""
    killed: list[int] = []

    def kill() -> None:
        while not lake.storage.list("bronze"):
            time.sleep(0.02)
        killed.extend(child.pid or 0 for child in multiprocessing.active_children()[:1])
        os.kill(killed[0], signal.SIGKILL)

    watching = threading.Thread(target=kill, daemon=True)
    watching.start()
    yield
    watching.join(5)
    assert killed


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_flow_makes_the_lake_that_one_pull_makes(kept_environment, archive, tmp_path, runner):
    whole, alone = single(str(tmp_path / "whole"), archive)
    lake = cl.Lake(str(tmp_path / "lake"), source=archive)
    flow = workflow(str(tmp_path / "lake"), archive, task_runner=runner, workers=2)
    if runner == "processes":
        with killed_worker(lake):
            done = flow.run()
    else:
        done = flow.run()
    assert done.ok, done.summary()
    for own, theirs in zip(facts(lake), facts(whole), strict=True):
        assert own.equals(theirs)
    # none at all where the killed process had moved all files
    assert (done.report.requests or 0) <= 1.3 * (alone.requests or 0)
    if runner == "threads":  # processes would be started anew
        again = flow.run()
        assert (again.report.transferred, again.report.built, again.ok) == (0, 0, True)


def test_a_dask_worker_is_killed_and_the_lake_in_a_bucket_is_whole(kept_environment, keys):
    from distributed import Client, LocalCluster

    source = cl.Archive(endpoint_url=keys["CRYPTOLAKE_ENDPOINT_URL"])
    whole, _ = single("s3://flows/whole", source)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        flow = workflow(
            "s3://flows/flow", source, task_runner="dask", dask_address=cluster.scheduler_address
        )
        lake = cl.Lake("s3://flows/flow", source=source)
        killed: list[int] = []

        def kill() -> None:
            while not lake.storage.list("bronze"):
                time.sleep(0.05)
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

        watching = threading.Thread(target=kill, daemon=True)
        watching.start()
        done = flow.run()
        watching.join(30)
        assert killed
        assert done.ok, done.summary()
        for own, theirs in zip(facts(lake), facts(whole), strict=True):
            assert own.equals(theirs)
        again = flow.run()
    assert (again.report.transferred, again.report.built, again.ok) == (0, 0, True)


SERVED = """
import json, sys
import cryptolake as cl
from cryptolake.workflows.prefect_flow import PrefectArchiveCollectionWorkflow

asked, root, endpoint = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
config = cl.WorkflowConfig(asked, output_directory=root)
source = cl.Archive(endpoint_url=endpoint)
flow = PrefectArchiveCollectionWorkflow(config, source=source, task_runner="threads", workers=2)
flow.serve("nightly", interval=5)
"""


def test_a_scheduled_deployment_runs_and_leaves_its_report(kept_environment, archive, tmp_path):
    from prefect.client.orchestration import get_client

    root = tmp_path / "lake"
    words = [json.dumps(ASKED), str(root), str(archive.endpoint_url)]
    log = tmp_path / "served.txt"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVED, *words],
            env=dict(os.environ),
            stdout=said,
            stderr=said,
        ) as process,
    ):
        try:
            found, reports = None, []
            for _ in range(600):  # runs take turns, and a busy machine takes its time
                with get_client(sync_client=True) as client:
                    runs = [run for run in client.read_flow_runs() if run.deployment_id]
                    ended = [run for run in runs if run.state and run.state.is_completed()]
                    if ended:
                        found = ended[0]
                        reports = [
                            artifact
                            for artifact in client.read_artifacts()
                            if artifact.key == "cryptolake-report"
                            and artifact.flow_run_id == found.id
                        ]
                        break
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert found is not None, log.read_text()[-3000:]
    assert found.auto_scheduled
    (report,) = reports
    assert "# cryptolake: done" in str(report.data)
    assert "| spot\\_klines 1h |" in str(report.data)
    assert facts(cl.Lake(str(root), source=archive))[0].height == 2 * 6 * 24


def test_its_examples_run_as_printed():
    """Here, and not where others are collected: each process of tests would load Prefect."""
    from cryptolake.workflows import prefect_flow

    failed, tried = doctest.testmod(prefect_flow)
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"storage_options": {"key": "k", "secret": "S3CR3T"}}, "storage_options.key"),
        ({"storage_options": {"client_kwargs": {"aws_secret_access_key": "S3CR3T"}}}, "client_kw"),
        ({"storage_options": {"endpoint_url": "http://me:S3CR3T@host"}}, "endpoint_url"),
        ({"storage_options": {"config_kwargs": {"proxies": {"http": "http://me:S3CR3T@p:1"}}}}, "proxies"),
        ({"root": "s3://AK:S3CR3T@bucket/lake"}, "root"),
        ({"archive": {"endpoint_url": "http://me:S3CR3T@host"}}, "archive.endpoint_url"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("own", [False, True])
def test_credentials_are_no_parameters(given, where, own, server):
    from prefect.client.orchestration import get_client

    from cryptolake.workflows.prefect_flow import PrefectArchiveCollectionWorkflow, collect

    flow = collect.with_options(name="cryptolake") if own else collect
    with pytest.raises(cl.InvalidQuery, match="hold no credentials") as caught:
        flow(**{"root": "/no/lake", "queries": [], **given})
    assert where in str(caught.value)
    assert "S3CR3T" not in f"{caught.value!r}{caught.value.facts}"
    with get_client(sync_client=True) as client:
        kept = client.read_flow_runs()
    assert "S3CR3T" not in str([run.parameters for run in kept])
    if "root" not in given:
        which = {"markets": "spot", "symbols": "BTCUSDT", "data_types": "trades"}
        more = {"storage_options": {}, **given}
        with pytest.raises(cl.InvalidQuery, match="hold no credentials"):
            PrefectArchiveCollectionWorkflow(which, **more).parameters()
