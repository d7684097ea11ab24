"""Two Dask worker processes and a lake in a bucket; one worker is killed, and its part is run again elsewhere."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tests.executors.conftest import SYMBOLS, Origin, ledger_of, made_by_one_pull

if TYPE_CHECKING:
    from cryptolake.progress import Step

pytestmark = pytest.mark.slow  # moto answers some 900 requests, and two processes start


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield client


def test_a_worker_is_killed_in_the_middle_and_the_lake_is_that_of_one_pull(
    origin: Origin, client: Any
):
    query = origin.query.symbols(*SYMBOLS[:2])
    whole = made_by_one_pull(origin, "s3://lakes/whole", query)
    lake = origin.lake("s3://lakes/dask")
    killed: list[int] = []

    def kill(step: Step) -> None:
        if step.unit == "files" and step.pieces and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    pool = client.get_executor(retries=3)
    report = lake.pull(query, executor=pool, progress=kill)
    asked = origin.requests()
    assert killed
    assert report.ok
    assert report.transferred + report.adopted + report.count("cached") >= 122
    assert lake.silver(query).collect().equals(whole.rows)
    assert ledger_of(lake).equals(whole.ledger)
    assert asked[0] <= 1.3 * whole.requests[0]
    assert sum(asked) <= 1.3 * sum(whole.requests)
    again = lake.pull(query, executor=pool, progress=False)
    assert (again.transferred, again.built, again.ok) == (0, 0, True)
    runs = lake.runs()
    assert runs.filter(pl.col("part_of").is_null())["state"].to_list() == ["done"]
    assert set(runs.filter(pl.col("part_of").is_not_null(), state="lost")["pid"]) <= set(killed)
