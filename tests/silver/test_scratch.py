"""Folders that killed builds left: of this machine they go at the next build."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cryptolake.silver.scratch import new_folder, sweep
from cryptolake.storage.files import Storage, open_storage

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
