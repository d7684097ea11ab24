"""A build killed at any moment leaves whole months only, and the next one ends as if nothing happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.silver.records import current
from tests.silver.texts import day_text, key, stored, zipped

pytestmark = pytest.mark.slow

MONTHS = 24
KILLS = int(os.environ.get("CRYPTOLAKE_KILLS", "8"))
"""Kills of each kind of build, one in each part of its time; a kill costs half a second of a core."""
WORK = """
import sys
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.storage.files import open_storage
lake = LakeContext.of(open_storage(sys.argv[1]))
print("ready", flush=True)
build(lake, holdings(lake.tables), progress=False, force=True, stream_above=int(sys.argv[2]))
"""


def zips() -> dict[str, bytes]:
    days = [
        f"{2023 + n // 12}-{n % 12 + 1:02}-{day:02}" for n in range(MONTHS) for day in (1, 2, 3)
    ]
    return {key(day): zipped(day_text(day)) for day in days}


@pytest.mark.parametrize("stream_above", [10**9, 0], ids=["whole", "in pieces"])
def test_a_build_killed_at_random_moments_ends_like_one_that_was_not(
    tmp_path: Path, stream_above: int
):
    files = zips()
    quiet, meta = stored(tmp_path / "quiet", files)
    build(LakeContext.of(quiet), holdings(meta), progress=False, stream_above=stream_above)
    storage, meta = stored(tmp_path / "killed", files)
    dice = random.Random(7)
    span = 1.0
    for number in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", WORK, str(tmp_path / "killed"), str(stream_above)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        begun = time.monotonic()
        try:
            child.wait(span * (number + dice.random()) / KILLS)
            span = max(0.05, time.monotonic() - begun)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for entry in storage.list("silver"):
            if entry.path.endswith(".parquet"):
                assert pl.read_parquet(storage.local(entry.path)).height == 72
    report = build(
        LakeContext.of(storage), holdings(meta), progress=False, stream_above=stream_above
    )
    assert report.ok
    paths = [entry.path for entry in quiet.list("silver")]
    assert len(paths) == MONTHS
    for path in paths:
        assert pl.read_parquet(storage.local(path)).equals(pl.read_parquet(quiet.local(path)))
    held = set(current(meta, "sources")["path"])
    assert held == set(paths)
