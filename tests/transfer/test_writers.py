"""Two processes at work on one lake: every file once, and a ledger that both agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tests.transfer.archives import write_archive
from tests.transfer.faults.test_ends import nothing_bad_is_visible, pulling

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench


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
