"""A pull on threads and on processes makes the lake of one pull; Ctrl-C and a killed worker leave work for the next."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.executors.channel import Channel, Line
from cryptolake.executors.parts import CallPart, Place, run_part
from cryptolake.executors.pool import Pool
from cryptolake.progress import Step
from cryptolake.storage.files import open_storage
from tests.executors.conftest import Origin, Whole, ledger_of

SPAWN = multiprocessing.get_context("spawn")


def test_threads_make_the_lake_of_one_pull(origin: Origin, on_disk: Whole, tmp_path: Path):
    lake = origin.lake(tmp_path)
    steps: list[Step] = []
    origin.requests()
    with ThreadPoolExecutor(2) as pool:
        report = lake.pull(origin.query, executor=pool, progress=steps.append)
        asked = origin.requests()[0]
        again = lake.pull(origin.query, executor=pool, progress=False)
    once = on_disk.report
    assert lake.silver(origin.query).collect().equals(on_disk.rows)
    assert ledger_of(lake).equals(on_disk.ledger)
    assert (report.kind, report.transferred, report.bytes) == ("pull", 244, once.bytes)
    assert (report.built, report.rows, report.ok) == (8, once.rows, True)
    assert asked <= 1.3 * on_disk.requests[0]
    assert report.requests is not None
    assert once.requests is not None
    assert report.requests <= 1.3 * once.requests

    files = [step for step in steps if step.unit == "files"]
    assert files[-1] == Step(once.bytes, once.bytes, 244, 244, "files")
    assert [s.done for s in files] == sorted(s.done for s in files)

    assert (again.transferred, again.built, again.count("cached")) == (0, 0, 244)
    runs = lake.runs()
    (whole,) = runs.filter(pl.col("part_of").is_null()).rows(named=True)
    parts = runs.filter(pl.col("part_of") == whole["run_id"])
    assert (whole["kind"], whole["state"], whole["files"]) == ("pull", "done", 244)
    assert whole["run_id"] == report.run_id
    assert sorted(parts["kind"]) == ["build"] * 3 + ["transfer"] * 3
    assert parts.filter(kind="transfer")["files"].sum() == 244
    assert parts.select("host", "pid").null_count().row(0) == (0, 0)
    assert "3 parts on 2 workers of ThreadPoolExecutor" in whole["note"]


def test_ctrl_c_ends_what_runs_in_order_and_the_next_pull_completes(
    origin: Origin, on_disk: Whole, tmp_path: Path
):
    lake = origin.lake(tmp_path)

    def stop(step: Step) -> None:
        if step.unit == "files" and step.pieces:
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt) as caught:
            lake.pull(origin.query, executor=(pool, 2), progress=stop)
        report: cl.Report = caught.value.report  # type: ignore[attr-defined]
        assert report.state == "stopped"
        assert not report.ok
        assert 0 < report.transferred < 244
        assert report.transferred == lake.meta.ledger().height
        (whole,) = lake.runs().filter(pl.col("part_of").is_null()).rows(named=True)
        assert (whole["state"], whole["run_id"]) == ("stopped", report.run_id)
        assert lake.pull(origin.query, executor=pool, progress=False).ok
    assert lake.silver(origin.query).collect().equals(on_disk.rows)
    assert ledger_of(lake).equals(on_disk.ledger)


def test_processes_one_of_which_is_killed_and_the_next_pull_completes(
    origin: Origin, on_disk: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Also transfer, build and update, on processes that are whole, and what they log."""
    lake = origin.lake(tmp_path)
    caplog.set_level("INFO", "cryptolake")
    killed: list[int] = []

    def kill(step: Step) -> None:
        if step.unit == "files" and step.pieces and not killed:
            killed.append(next(iter(pool._processes)))
            os.kill(killed[0], signal.SIGKILL)

    with (
        ProcessPoolExecutor(2, mp_context=SPAWN) as pool,
        pytest.raises(cl.WorkerLost, match=r"of 3 parts are done.*completes the work") as caught,
    ):
        lake.pull(origin.query, executor=pool, progress=kill)
    assert killed
    assert caught.value.report.transferred + 0 <= lake.meta.ledger().height
    with ProcessPoolExecutor(2, mp_context=SPAWN) as fresh:
        plan = lake.plan(origin.query)
        moved = lake.transfer(plan, executor=fresh, progress=False)
        assert moved.ok
        assert moved.transferred <= plan.to_transfer
        built = lake.build(plan, executor=fresh, progress=False)
        assert built.ok
        assert built.built + built.count("unchanged") == 8
        forced = lake.build(origin.query, executor=fresh, force=True, progress=False)
        assert forced.built == 8
        assert not lake.update(executor=fresh, progress=False).changed
    assert lake.silver(origin.query).collect().equals(on_disk.rows)
    assert ledger_of(lake).equals(on_disk.ledger)
    pids = set(lake.runs().filter(pl.col("part_of").is_not_null())["pid"])
    assert len(pids - {os.getpid()}) >= 3
    told = [text for text in caplog.messages if any(text.endswith(f" pid={pid}") for pid in pids)]
    kinds = {text.partition(":")[0] for text in told}
    assert {"transferred", "built"} <= kinds
    assert len(set(told)) == len(told)


def test_gold_is_built_on_an_executor(on_disk: Whole, origin: Origin, tmp_path: Path):
    lake = cl.Lake(on_disk.lake.root, source=origin.source)
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(cl.InvalidQuery, match="unknown recipe"):
            lake.build(origin.query, gold=["no"], executor=pool, progress=False)
        report = lake.build(origin.query, gold=["hour_range"], executor=pool, progress=False)
        again = lake.build(origin.query, gold=["hour_range"], executor=pool, progress=False)
    assert report.built == 8
    assert report.count("unchanged") == 8
    assert again.built == 0
    assert lake.gold("hour_range", origin.query).collect().height == on_disk.rows.height


@cl.recipe(bars="spot_klines:1h")
def hour_range(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Range of an hour."""
    return bars.select("open_time", span=pl.col("high") / pl.col("low") - 1)


def test_a_lake_that_was_used_travels(on_disk: Whole, origin: Origin):
    lake = on_disk.lake
    cloudpickle = pytest.importorskip("cloudpickle")  # it comes with Dask
    assert lake.sql("from silver.spot_klines limit 1").pl().height == 1
    for back in (pickle.loads(pickle.dumps(lake)), cloudpickle.loads(cloudpickle.dumps(lake))):
        assert (back.root, back.source) == (lake.root, lake.source)
        assert back.silver(origin.query).collect().equals(on_disk.rows)


class Silent(Executor):
    """An executor that does not say how many workers it has."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_what_is_no_executor_is_refused():
    with pytest.raises(cl.InvalidQuery, match="of type str"):
        Pool.of("threads")  # type: ignore[arg-type]
    with pytest.raises(cl.InvalidQuery, match=r"executor=\(executor, 4\) says it"):
        Pool.of(Silent())
    assert Pool.of((Silent(), 3)).workers == 3
    with pytest.raises(cl.InvalidQuery, match="get_context\\('spawn'\\)"):
        Pool.of(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")))


class _Refused:
    """Work whose error came from an open client, which cannot go to another process."""

    def do(self, _lake: object, _watch: object) -> cl.Report:
        cause = OSError("refused")
        vars(cause)["client"] = threading.Lock()
        message = "nothing came"
        raise cl.TransferError(message) from cause


def test_an_error_comes_back_from_a_worker_without_what_it_came_from(tmp_path: Path):
    pytest.importorskip("distributed")  # its way to pickle errors takes causes along
    place = Place.of(open_storage(str(tmp_path)), cl.Archive(), "run")
    with Channel() as channel:
        done = run_part(CallPart(0, place, _Refused(), channel.address))
    sent = pickle.loads(pickle.dumps(done)).error
    assert (type(sent), str(sent), sent.__cause__) == (cl.TransferError, "nothing came", None)


def test_a_channel_that_is_closed_leaves_no_thread_and_no_open_port():
    before = set(threading.enumerate())

    def own() -> set[threading.Thread]:
        return set(threading.enumerate()) - before

    with Channel() as channel:
        line = Line(channel.address, 0)
        line(Step(0, 1, 0, 1, "files"))
        assert "parts" in {thread.name for thread in own()}
    line.close()
    until = time.monotonic() + 60
    while own() and time.monotonic() < until:
        time.sleep(0.01)
    assert not own()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", channel.address.port))
