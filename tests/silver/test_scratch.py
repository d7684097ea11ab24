"""Drafts: a build that is stopped removes its own; what killed ones left goes at the next build of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.errors import StorageError
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import BuildRun, build
from cryptolake.silver.scratch import new_folder, sweep
from cryptolake.storage.files import Storage, open_storage
from tests.silver.texts import day_text, key, stored, zipped

if TYPE_CHECKING:
    from cryptolake.progress import Step

MAKES_ONE = """
import sys, tempfile
from cryptolake.silver.scratch import new_folder
from cryptolake.storage.files import open_storage
tempfile.tempdir = sys.argv[2]
folder = new_folder(open_storage(sys.argv[1]))
(folder / "draft.parquet").write_bytes(b"half")
print(folder)
"""


@pytest.fixture(params=["bucket", "folder"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return open_storage("s3://bucket/lake" if request.param == "bucket" else tmp_path / "lake")


def left(storage: Storage, tmp_path: Path) -> Path:
    """The folder that a process which has ended did not remove."""
    arguments = [sys.executable, "-c", MAKES_ONE, storage.root, str(tmp_path)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True, env=os.environ)
    return Path(said.stdout.strip())


def test_a_folder_of_a_process_that_is_gone_is_removed(storage: Storage, tmp_path: Path):
    dead, alive = left(storage, tmp_path), new_folder(storage)
    assert dead.parent == alive.parent
    sweep(storage)
    assert not dead.exists()
    assert alive.is_dir()


def test_one_of_a_process_that_lives_is_not_old_whatever_the_clock_says(storage: Storage):
    alive = new_folder(storage)
    os.utime(alive, (0, 0))
    sweep(storage)
    assert alive.is_dir()


def test_one_of_another_machine_stays_for_a_day(storage: Storage, tmp_path: Path):
    dead = left(storage, tmp_path)
    host, pid, rest = dead.name.rsplit("-", 2)
    elsewhere = dead.rename(dead.with_name(f"{host}elsewhere-{pid}-{rest}"))
    sweep(storage)
    assert elsewhere.is_dir()
    os.utime(elsewhere, (0, 0))
    sweep(storage)
    assert not elsewhere.exists()


def test_a_link_in_its_place_is_not_followed(storage: Storage, tmp_path: Path):
    dead = left(storage, tmp_path)
    precious = tmp_path / "precious"
    dead.rename(precious)
    dead.symlink_to(precious)
    sweep(storage)
    assert (precious / "draft.parquet").is_file()


DAYS = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in (1, 2)]
WAYS: dict[str, dict[str, Any]] = {"whole": {}, "in pieces": {"stream_above": 0}}


def interrupted(_: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ctrl-C as the first month is counted: others are made by then, or in work."""

    def watch(step: Step) -> None:
        if step.done:
            raise KeyboardInterrupt

    return {"progress": watch}


def full(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The disk is full as the first months are placed."""

    def refused(*_: object) -> None:
        raise StorageError("no space left on device")

    monkeypatch.setattr(BuildRun, "_place", refused)
    return {"progress": False}


def impatient(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ctrl-C comes again while the first one waits for the months in work."""

    def shutdown(self: ThreadPoolExecutor, **_: object) -> None:
        waits(self, wait=False, cancel_futures=True)
        raise KeyboardInterrupt

    waits = ThreadPoolExecutor.shutdown
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    return interrupted(monkeypatch)


@pytest.mark.parametrize("stop", [interrupted, full, impatient])
@pytest.mark.parametrize("way", WAYS)
def test_a_build_that_is_stopped_removes_its_drafts_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, stop: Callable[..., dict[str, Any]]
):
    storage, tables = stored(tmp_path / "lake", {key(day): zipped(day_text(day)) for day in DAYS})
    elsewhere = new_folder(storage)  # of a build beside this one
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, StorageError)):
        build(LakeContext.of(storage), holdings(tables), threads=4, **stop(patch), **WAYS[way])
    for thread in threading.enumerate():
        if thread.name.startswith("silver"):
            thread.join()
    assert list(elsewhere.parent.iterdir()) == [elsewhere]
    assert build(LakeContext.of(storage), holdings(tables), progress=False).ok
    assert len(storage.list("silver")) == 12
