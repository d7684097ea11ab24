"""A lake in another process: pickled, forked, or on a system that it does not run on."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import cryptolake as cl

FORK = """
import os, sys, signal, time, warnings
warnings.simplefilter("ignore")
import cryptolake as cl
lake = cl.Lake(sys.argv[1])
query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2025-01")
if sys.argv[2] == "used":
    lake.status()
    lake.sql("select 1").fetchall()
if sys.argv[2] == "imported":
    import polars
CALLS = {
    "status": lake.status, "runs": lake.runs, "compact": lake.compact, "datasets": lake.datasets,
    "sql": lambda: lake.sql("select 1").fetchall(), "silver": lambda: lake.silver(query).collect(),
    "another": lambda: cl.Lake(sys.argv[1] + "2").status(),
    "symbols": lambda: lake.symbols("spot"), "plan": lambda: lake.plan(query),
}
for name in sys.argv[3:]:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            CALLS[name]()
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        print(name, said, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name, "hangs", flush=True)
"""


def forked(tmp_path: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "lake"), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return done.stdout.splitlines()


def test_after_a_fork_of_a_process_that_used_a_lake_each_call_says_what_to_do(tmp_path: Path):
    calls = ["status", "runs", "compact", "datasets", "sql", "silver", "another", "symbols", "plan"]
    said = forked(tmp_path, "used", *calls)
    assert [line.split()[0] for line in said] == calls
    for line in said:
        assert " StorageError: this process was forked" in line
        assert "'spawn' or 'forkserver'" in line


@pytest.mark.parametrize("before", ["fresh", "imported"])
def test_after_a_fork_of_a_process_that_used_none_calls_work(before: str, tmp_path: Path):
    assert forked(tmp_path, before, "status", "sql") == ["status done", "sql done"]


def rows(lake: cl.Lake) -> tuple[str, str, int]:
    """What a worker sees."""
    return lake.root, str(lake.source), lake.datasets().height


def test_a_used_lake_pickles_and_works_in_a_spawned_process(tmp_path: Path):
    source = cl.Archive(bucket="another-archive", endpoint_url="http://127.0.0.1:1")
    lake = cl.Lake(tmp_path / "lake", source=source, adopt=True)
    lake.status()
    lake.datasets()
    lake.sql("select 1").fetchall()
    again = pickle.loads(pickle.dumps(lake))
    assert (again.root, again.source, again._adopt) == (lake.root, source, True)
    assert again._connection is None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(rows, lake).result(timeout=120) == (lake.root, str(source), 0)


WINDOWS = """
import ctypes, multiprocessing, os, pathlib, sys, fsspec, duckdb, polars, pydantic, importlib.resources  # what chooses by os.name
sys.modules["fcntl"] = None
os.name, sys.platform = "nt", "win32"
import cryptolake as cl
query = cl.query().markets("spot").klines("1h")
for root in ("lake", "s3://bucket/lake"):
    try:
        cl.Lake(root)
    except cl.MissingTool as error:
        print(error.what, error)
"""


def test_windows_is_refused_in_a_sentence():
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("a lake needs Linux or macOS" in line and "WSL" in line for line in lines)
