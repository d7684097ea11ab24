"""Two processes at work on one lake: every file once, and a ledger that both agree on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.transfer.staging import Staging
from tests.transfer.archives import write_archive
from tests.transfer.faults.test_ends import nothing_bad_is_visible, pulling
from tests.transfer.s3bench import KEYS, LAKE, S3Bench, s3_bench

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench

ROOT = Path(__file__).parents[2]


def test_two_processes_that_pull_the_same_files_both_end_well(bench: Bench):
    keys = write_archive(bench.folder, 80)
    with pulling(bench, batch_size=10) as one, pulling(bench, batch_size=10) as two:
        said = [child.communicate(timeout=120)[0] for child in (one, two)]
        assert [one.returncode, two.returncode] == [0, 0], said
    assert nothing_bad_is_visible(bench)
    assert bench.whole(keys)
    assert bench.stray() == []
    ledger = bench.meta.ledger()
    assert ledger.height == len(keys)
    rows = bench.meta.read("files").group_by("key").agg(pl.col("sha256").n_unique())
    assert (rows["sha256"] == 1).all()


def test_the_folder_of_a_run_that_is_about_to_lock_it_is_left_alone(tmp_path: Path):
    draft = tmp_path / "incoming" / ".20240101T000000-begun"
    draft.mkdir(parents=True)
    (draft / ".lock").touch()  # made, and not locked yet
    with Staging(tmp_path / "incoming", "20240101T000001-other") as other:
        assert other.adopt(lambda keys: keys) == 0
        assert draft.is_dir()
        os.utime(draft, (1, 1))  # its run has died
        other.adopt(lambda keys: keys)
        assert not draft.exists()


def writer(bench: S3Bench, mode: str, first: int, count: int) -> subprocess.Popen[str]:
    """Start a process that pulls some of the archive's files into the bucket."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEYS["key"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secret"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": bench.target.url,
    }
    command = [sys.executable, "-m", "tests.transfer.pull", str(bench.folder), bench.source.url]
    given = [f"s3://{LAKE}/my lake", '{"batch_size": 5}', bench.archive.bucket, mode]
    return subprocess.Popen(
        [*command, *given, str(first), str(count)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "modes",
    [
        pytest.param(("direct", "relay"), id="direct and relay"),
        pytest.param(("direct", "direct"), id="both direct", marks=pytest.mark.slow),
        pytest.param(("relay", "relay"), id="both relay", marks=pytest.mark.slow),
    ],
)
def test_two_processes_that_pull_overlapping_parts_into_a_bucket_agree(
    tmp_path: Path, modes: tuple[str, str]
):
    keys = write_archive(tmp_path / "archive", 15)
    with s3_bench(tmp_path / "archive", same=True) as bench:
        children = [writer(bench, modes[0], 0, 11), writer(bench, modes[1], 4, 11)]
        said = [child.communicate(timeout=120)[0] for child in children]
        assert [child.returncode for child in children] == [0, 0], said
        assert bench.whole(keys)
        assert bench.unfinished() == []
        rows = bench.meta.read("files")
        told = rows.group_by("key").agg(pl.col("etag", "size", "event").n_unique())
        assert told.height == bench.meta.ledger().height == len(keys)
        assert all(number == 1 for row in told.select(pl.exclude("key")).rows() for number in row)
        assert set(bench.meta.read("runs").group_by("run_id").last()["state"]) == {"done"}
        last = bench.transfer(bench.plan(), mode=modes[0])
        assert (last.transferred, last.skipped) == (0, len(keys))
