"""Many processes on one lake, killed at random moments while the archive changes, lose nothing.

CRYPTOLAKE_STORM in the environment is the number of kills (200 for the full storm), CRYPTOLAKE_STORM_SEED
the seed. A failure names the seed, the kind of problem, and the files that differ.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from tests.storm.storm import archive_rows, fresh_build, ground, ledger, run
from tests.storm.worker import QUERY, SYMBOLS

KILLS = int(os.environ.get("CRYPTOLAKE_STORM") or 0)
FEW = {"disk": 8, "bucket": 4}
"""Kills where no number is asked for; requests to the bucket's server take most of a storm's time."""
SEED = int(os.environ.get("CRYPTOLAKE_STORM_SEED") or 1)


@pytest.mark.slow
@pytest.mark.timeout(900 + 20 * KILLS)
@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_after_a_storm_one_quiet_run_finishes_all_work(tmp_path: Path, where: str):
    kills = KILLS or FEW[where]
    log, problems = run(tmp_path, where, kills, SEED)
    told = "\n".join(
        [
            f"seed {SEED}, {where}: killed {dict(log.killed)}, ended {dict(log.ended)}",
            *log.words,
            *(f"{kind}:\n{found}" for kind, found in problems.items()),
        ]
    )
    assert log.killed.total() >= kills
    assert not problems, told


def test_what_a_storm_is_judged_by_sees_a_row_that_was_lost_and_a_byte_that_was_changed(
    tmp_path: Path,
):
    with ground(tmp_path, "disk") as place:
        for symbol in SYMBOLS:
            place.publisher.publish(symbol, date(2024, 3, 1))
        place.lake().pull(QUERY, progress=False)
        assert (archive_rows(place), ledger(place)) == ("", "")
        assert fresh_build(place, tmp_path) == ""
        month = next((tmp_path / "lake" / "silver").rglob("*.parquet"))
        pl.read_parquet(month).slice(1).write_parquet(month)
        lost = month.relative_to(tmp_path / "lake").as_posix()
        assert "23 rows of 24; days that differ: ['2024-03-01']" in archive_rows(place)
        assert f"{lost}: 23 rows, 24 fresh; Bronze has 24" in fresh_build(place, tmp_path)
        zipped = next((tmp_path / "lake" / "bronze").rglob("*.zip"))
        zipped.write_bytes(zipped.read_bytes()[:-1] + b"x")
        assert ledger(place) == f"other: {zipped.relative_to(tmp_path / 'lake' / 'bronze')}"
