"""However a run ends, nothing bad stands at a final name, and the next run finishes the work."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.transfer.archives import write_archive
from tests.transfer.proxy import Fault

if TYPE_CHECKING:
    import polars as pl

    from tests.transfer.conftest import Bench

ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("CRYPTOLAKE_KILLS", "6"))
"""Kills at random moments, one in each part of the run. 20 take a minute of both cores."""


@contextmanager
def pulling(bench: Bench, **options: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.transfer.pull", str(bench.folder), bench.proxy.url]
    child = subprocess.Popen(
        [*command, str(bench.root), json.dumps(options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def s5cmds_in(lake: Path) -> list[int]:
    """The s5cmd processes that run below a lake."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(lake)):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def settled(lake: Path) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not s5cmds_in(lake):
            return True
        time.sleep(0.02)
    return False


def complete(bench: Bench) -> set[str]:
    """Objects that are whole in the lake: at their final names, or waiting in incoming."""
    found = set()
    for path in bench.root.rglob("*"):
        if path.name.endswith((".zip", ".CHECKSUM")):
            key = path.as_posix().split("/data/", 1)[1]
            found.add(f"data/{key}")
    return found


def nothing_bad_is_visible(bench: Bench) -> bool:
    """Whether every zip at a final name is byte for byte the archive's."""
    bronze = bench.root / "bronze"
    return all(
        digest(path) == digest(bench.folder / path.relative_to(bronze))
        for path in bronze.rglob("*.zip*")
        if path.is_file()
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def moment(bench: Bench, share: float, objects: int) -> None:
    """Wait until that share of the objects has been sent."""
    deadline = time.monotonic() + 60
    while sum(bench.proxy.sent.values()) < share * objects and time.monotonic() < deadline:
        time.sleep(0.002)


def rerun_completes(bench: Bench, keys: list[str]) -> None:
    here = complete(bench)
    assert bench.proxy.quiet(), "what the run that ended had asked for counts as its own"
    bench.proxy.forget()
    report = bench.transfer(options={"workers": 16, "retries": 5})
    assert report.ok
    assert report.transferred + report.skipped == len(keys)
    asked = {key for method, key in bench.proxy.asked if method == "GET" and key}
    assert not asked & here, "a file that was whole in the lake was fetched again"
    assert all(count == 1 for (method, key), count in bench.proxy.asked.items() if method == "GET")
    assert bench.whole(keys)
    assert bench.stray() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_signal_stops_the_run_in_order(bench: Bench, how: signal.Signals, share: float):
    keys = write_archive(bench.folder, 60)
    with pulling(bench, batch_size=20) as child:
        moment(bench, share, 120)
        time.sleep(0.01)
        child.send_signal(how)
        child.wait(20)
    assert settled(bench.root)
    assert nothing_bad_is_visible(bench)
    recorded = set(bench.meta.ledger()["key"])
    assert stored_in(bench) == recorded, "what was stored before the signal is recorded"
    if child.returncode and bench.meta.read("runs").height:
        assert bench.meta.read("runs")["state"].to_list()[-1] in {"stopped", "running"}
    rerun_completes(bench, keys)


def stored_in(bench: Bench) -> set[str]:
    bronze = bench.root / "bronze"
    return {path.relative_to(bronze).as_posix() for path in bronze.rglob("*.zip")}


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_signal_just_when_something_was_heard_loses_no_record(
    bench: Bench, nth: int, monkeypatch: pytest.MonkeyPatch
):
    class Interrupted:
        """A queue that a signal interrupts when it has given something away and nobody has it yet.

        It comes the nth time that something is heard after the first file was stored.
        """

        def __init__(self) -> None:
            self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
            self._given = 0

        def put(self, item: object) -> None:
            self._queue.put(item)

        def get(self, timeout: float) -> object:
            item = self._queue.get(timeout=timeout)
            self._given += bool(stored_in(bench))
            if self._given == nth:
                raise KeyboardInterrupt
            return item

    keys = write_archive(bench.folder, 30)
    with monkeypatch.context() as patch:
        names = SimpleNamespace(SimpleQueue=Interrupted, Empty=queue.Empty)
        patch.setattr("cryptolake.transfer.pipeline.queue", names)
        with pytest.raises(KeyboardInterrupt):
            bench.transfer(options={"batch_size": 10})
    assert stored_in(bench) == set(bench.meta.ledger()["key"])
    rerun_completes(bench, keys)


@pytest.mark.parametrize("table", ["files", "transfers"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_signal_while_records_are_written_loses_none_and_doubles_none(
    bench: Bench, table: str, when: str, monkeypatch: pytest.MonkeyPatch
):
    keys = write_archive(bench.folder, 12)
    append = bench.meta.append
    interrupted: list[str] = []

    def interrupted_once(name: str, rows: pl.DataFrame) -> None:
        first = name == table and not interrupted
        if not first or when == "after":
            append(name, rows)
        if first:
            interrupted.append(name)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench.meta, "append", interrupted_once)
        patch.setattr("cryptolake.transfer.recorder._FIRST_PAUSE", 0.0)
        patch.setattr("cryptolake.transfer.recorder._BUSY_PAUSE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            bench.transfer()
    assert interrupted
    stored = stored_in(bench)
    assert stored == set(bench.meta.ledger()["key"])
    transfers = bench.meta.read("transfers")
    assert sorted(transfers["key"]) == sorted(stored)
    rerun_completes(bench, keys)


def test_killing_python_ends_s5cmd_too_even_in_the_middle_of_a_large_file(bench: Bench):
    write_archive(bench.folder, 1, rows=3000)
    bench.proxy.faults = lambda method, key, nth: Fault("drip", 0.05) if method == "GET" else None
    with pulling(bench) as child:
        moment(bench, 0.0, 2)
        deadline = time.monotonic() + 20
        while not s5cmds_in(bench.root) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert s5cmds_in(bench.root)
        child.kill()
        child.wait()
        if sys.platform == "linux":
            assert settled(bench.root)


def test_s5cmd_dying_in_the_middle_of_a_batch_costs_one_more_attempt(bench: Bench):
    keys = write_archive(bench.folder, 40)
    with pulling(bench) as child:
        moment(bench, 0.2, 80)
        for pid in s5cmds_in(bench.root):
            os.kill(pid, signal.SIGKILL)
        said = child.communicate(timeout=60)[0]
        assert child.returncode == 0, said
    assert bench.whole(keys)
    assert bench.stray() == []


def test_an_error_that_no_check_expects_ends_the_run_and_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    keys = write_archive(bench.folder, 4)
    with monkeypatch.context() as patch:
        patch.setattr("cryptolake.transfer.download.check_file", lambda *_, **__: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            bench.transfer()
    rerun_completes(bench, keys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_kill_9_at_a_random_moment_of_many_batches(bench: Bench, seed: int):
    files = 240
    keys = write_archive(bench.folder, files)
    share = (seed + random.Random(seed).random()) / KILLS
    with pulling(bench, batch_size=30) as child:
        moment(bench, share, 2 * files)
        child.kill()
        child.wait()
    assert settled(bench.root)
    assert nothing_bad_is_visible(bench)
    rerun_completes(bench, keys)
