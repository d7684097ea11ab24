"""The table of runs: a row a run, and what became of those that never ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.storage.files import open_storage
from cryptolake.storage.runs import QUIET, signs_of_life
from cryptolake.storage.table_schemas import TABLES
from cryptolake.storage.tables import FEW, MANY, Meta


def now() -> datetime:
    """The time at a test, which may be long after this module was loaded."""
    return datetime.now(UTC)


@pytest.fixture
def meta(tmp_path: Path) -> Meta:
    return Meta(open_storage(tmp_path / "lake"))


def state(meta: Meta, **row: object) -> str:
    meta.append("runs", [{"run_id": "r", "state": "running", "started_at": now()} | row])
    (found,) = meta.runs()["state"].to_list()
    return str(found)


def test_a_run_is_one_row_with_its_newest_state(meta: Meta) -> None:
    for run, word in (("a", "running"), ("b", "running"), ("a", "done")):
        meta.append("runs", [{"run_id": run, "state": word, **signs_of_life()}])
    assert meta.runs().select("run_id", "state").rows() == [("b", "running"), ("a", "done")]
    meta.compact("runs", many=2)
    assert meta.read("runs").height == 2
    assert meta.runs().select("run_id", "state").rows() == [("b", "running"), ("a", "done")]


def test_a_run_of_a_process_that_is_gone_is_lost(meta: Meta) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert state(meta, **signs_of_life() | {"pid": gone.pid}) == "lost"
    assert state(meta, **signs_of_life() | {"pid": gone.pid, "host": "elsewhere"}) == "running"
    assert state(meta, **signs_of_life()) == "running"


def test_a_run_that_is_quiet_for_long_is_lost_until_it_is_heard_again(meta: Meta) -> None:
    old = now() - QUIET - timedelta(seconds=1)
    life = {"host": "elsewhere", "pid": 1}
    assert state(meta, **life, heartbeat_at=old) == "lost"
    assert state(meta, **life, heartbeat_at=now()) == "running"
    assert state(meta, **life, heartbeat_at=old, state="failed") == "failed"


def test_a_heartbeat_of_a_clock_that_was_ahead_keeps_no_dead_run_alive(meta: Meta) -> None:
    life = {"host": "elsewhere", "pid": 1}
    ahead = now() + QUIET
    assert state(meta, **life, heartbeat_at=ahead - timedelta(minutes=1)) == "running"
    assert state(meta, **life, heartbeat_at=ahead + timedelta(minutes=1)) == "lost"
    assert state(meta, **signs_of_life()) == "running"


def test_runs_of_a_release_before_have_no_heartbeat(meta: Meta) -> None:
    before = {n: t for n, t in TABLES["runs"].items() if n not in ("host", "pid", "heartbeat_at")}
    rows = [{"run_id": "r", "state": "running", "started_at": now() - timedelta(days=1)}]
    folder = meta.storage.local("meta/runs")
    folder.mkdir(parents=True)
    pl.DataFrame(rows, schema=before).write_parquet(
        folder / "20250101T000000000000-00000000.parquet"
    )
    assert meta.runs().select("state", "pid").rows() == [("lost", None)]


def test_a_heartbeat_says_which_process(meta: Meta) -> None:
    life = signs_of_life()
    assert (life["host"], life["pid"]) == (socket.gethostname(), os.getpid())


def test_the_end_of_a_run_leaves_a_few_segments(meta: Meta) -> None:
    for night in range(50):
        other = Meta(meta.storage)  # a process a night
        other.append("files", [{"key": f"{night}", "event": "stored"}])
        other.append("transfers", [{"run_id": "r", "key": f"{night}"}])
        other.settle()
        assert len(other.names("files")) <= FEW + 2
        assert len(other.names("transfers")) <= MANY // 2 + 2
    assert meta.ledger().height == 50


def test_sql_shows_a_row_a_run(tmp_path: Path) -> None:
    lake = cl.Lake(tmp_path / "lake")
    old = now() - QUIET - timedelta(seconds=1)
    rows = [
        ("a", "running", now()),
        ("b", "running", old),
        ("c", "running", old),
        ("c", "done", old),
        ("d", "running", now() + timedelta(days=400)),
    ]
    for run, word, at in rows:
        lake.meta.append("runs", [{"run_id": run, "state": word, "heartbeat_at": at}])
    wanted = [("a", "running"), ("b", "lost"), ("c", "done"), ("d", "lost")]
    assert lake.sql("select run_id, state from meta.runs order by all").fetchall() == wanted
    assert lake.runs().select("run_id", "state").rows() == wanted
