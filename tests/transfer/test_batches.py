"""Batches: whole lines of the plan, filled up to the size asked for, never over 500 files."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.transfer.jobs import COLUMNS, MAX_BATCH, batches, jobs_of

ROW = {
    "size": 1,
    "etag": "e",
    "last_modified": None,
    "checksum_size": 1,
    "checksum_etag": "c",
    "status": "new",
    "partition": "daily",
    "selected": 1,
}


def rows_of(lines: list[int]) -> pl.DataFrame:
    """Rows of lines with these many files; 0 stands for a named file."""
    rows = []
    for number, files in enumerate(lines):
        for index in range(max(1, files)):
            folder = f"data/spot/daily/klines/S{number:04}/1m/"
            selector = f"{folder}S{number:04}-1m-2020-" if files else None
            rows.append(
                {
                    "key": f"{folder}{index:05}.zip",
                    "selector": selector,
                    "period": "2020-01-01",
                    **ROW,
                }
            )
    frame = pl.DataFrame(rows, schema_overrides={"last_modified": pl.Datetime("us", "UTC")})
    return frame.with_row_index("row").select("row", *COLUMNS)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=8), st.integers(1, MAX_BATCH))
def test_batches_hold_every_file_once_in_order_and_cut_no_line_that_fits(
    lines: list[int], size: int
):
    rows = rows_of(lines)
    made = list(batches(jobs_of(rows.iter_slices(70)), size))
    assert [job.row for batch in made for job in batch] == list(range(rows.height))
    assert all(1 <= len(batch) <= MAX_BATCH for batch in made)
    folder = [{job.key.rsplit("/", 1)[0] for job in batch} for batch in made]
    for number, files in enumerate(lines):
        if files <= MAX_BATCH:
            name = f"data/spot/daily/klines/S{number:04}/1m"
            assert sum(name in folders for folders in folder) == 1
    assert all(
        len(batch) <= size or len(folders) == 1 for batch, folders in zip(made, folder, strict=True)
    )
