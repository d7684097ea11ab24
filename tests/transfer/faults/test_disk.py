"""A full disk: what was verified stays, nothing partial is visible, and the rest comes when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryptolake as cl
from tests.transfer.archives import write_archive
from tests.transfer.conftest import Bench


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_a_storage_error_and_nothing_done_is_lost(bench: Bench, small_disk: Path):
    keys = write_archive(bench.folder, 60, rows=1440)
    full = Bench(bench.folder, bench.proxy, small_disk / "lake")
    with pytest.raises(cl.StorageError, match=r"disk of the lake is full|the disk is full"):
        full.transfer(options={"batch_size": 10})
    done = [
        p.relative_to(full.root / "bronze").as_posix()
        for p in full.root.rglob("*.zip")
        if "bronze" in p.parts
    ]
    assert 0 < len(done) < len(keys)
    for key in done:
        assert full.bronze(key).read_bytes() == (bench.folder / key).read_bytes()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    bench.proxy.forget()
    report = full.transfer()
    assert report.ok
    assert full.whole(keys)
    assert full.stray() == []
    assert not [key for key in done if bench.proxy.gets(key)]
