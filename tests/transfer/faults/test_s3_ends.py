"""Killed in any mode: no bad object is ever visible in the bucket, and the next run completes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cryptolake.archive.keys import CHECKSUM
from cryptolake.planning.status import status_of
from tests.transfer.archives import FolderPlan, write_archive
from tests.transfer.s3bench import KEYS, LAKE, S3Bench, s3_bench

ROOT = Path(__file__).parents[3]
FILES = 40
KILLS = int(os.environ.get("CRYPTOLAKE_KILLS", "1"))
"""Random kills of each mode; 27 take six minutes."""


def killed(bench: S3Bench, mode: str, share: float) -> None:
    """Pull in a process of its own, and kill it when that share of the objects is under way."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEYS["key"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secret"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": bench.target.url,
    }
    command = [sys.executable, "-m", "tests.transfer.pull", str(bench.folder), bench.source.url]
    child = subprocess.Popen(
        [*command, f"s3://{LAKE}/my lake", '{"batch_size": 10}', bench.archive.bucket, mode],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        put = sum(
            n
            for (method, key), n in list(bench.target.asked.items())
            if method == "PUT" and "/bronze/" in key
        )
        if put >= share * 2 * FILES:
            break
        time.sleep(0.002)
    child.kill()
    child.wait()
    child.stdout.close()
    time.sleep(0.3)  # requests already sent are still answered


def standing(bench: S3Bench) -> FolderPlan:
    """The plan that a person would get now."""
    plan = bench.plan()
    plan.files = plan.files.with_columns(status=status_of(plan.files, bench.lake))
    return plan


def ends_well(bench: S3Bench, mode: str, keys: list[str]) -> None:
    for name, data in bench.objects("bronze/").items():
        assert data == (bench.folder / name).read_bytes(), name
    recorded = set(bench.meta.ledger()["key"])
    bench.target.forget()
    report = bench.transfer(standing(bench), mode=mode)
    assert report.ok, report
    assert bench.whole(keys)
    again = {
        key.split("/bronze/", 1)[1]
        for (method, key) in bench.target.asked
        if method == "PUT" and "/bronze/" in key
    }
    assert not {key.removesuffix(CHECKSUM) for key in again} & recorded
    last = bench.transfer(standing(bench), mode=mode)
    assert (last.transferred, last.skipped) == (0, FILES)


@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_a_kill_in_the_middle_of_a_mode(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    keys = write_archive(tmp_path / "archive", FILES)
    with s3_bench(tmp_path / "archive", same=True) as bench:
        killed(bench, mode, 0.4)
        assert len(staged_in(temporary)) == 1
        ends_well(bench, mode, keys)
        assert not staged_in(temporary)


def staged_in(folder: Path) -> list[Path]:
    """Return the folders that transfers have made there, and not removed."""
    return list(folder.glob("cryptolake-transfer-*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_a_kill_at_a_random_moment_of_a_mode(tmp_path: Path, mode: str, seed: int):
    keys = write_archive(tmp_path / "archive", FILES)
    with s3_bench(tmp_path / "archive", same=True) as bench:
        killed(bench, mode, random.Random(f"{mode}{seed}").random())
        ends_well(bench, mode, keys)
