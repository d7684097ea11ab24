"""A month in pieces is the month made whole, also where rows step over the edges of their files.

Weekly bars may open a week before the file that they are in: a month is then made of its own files and of
neighbours, and rows of its own files spill into the month before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.archive.periods import Period
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.readers.silver_files import METADATA
from cryptolake.silver.build import build
from cryptolake.silver.external_sort import Sizes
from cryptolake.silver.month import make_month
from cryptolake.silver.months import Month, months_to_build
from cryptolake.silver.parquet import read_standing
from tests.drawn import examples
from tests.silver.test_stream import TINY, told
from tests.silver.texts import stored, zipped

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

WEEK = timedelta(days=7)
EDGE = datetime(2024, 2, 1, tzinfo=UTC)
FILES = {
    "2024-01": (datetime(2024, 1, 1, tzinfo=UTC), EDGE),
    "2024-02": (EDGE, datetime(2024, 3, 1, tzinfo=UTC)),
    "2024-01-31": (EDGE - timedelta(days=1), EDGE),
    "2024-02-01": (EDGE, EDGE + timedelta(days=1)),
    "2024-02-03": (EDGE + timedelta(days=2), EDGE + timedelta(days=3)),
}


def key(period: str) -> str:
    partition = "monthly" if len(period) == 7 else "daily"
    return f"data/spot/{partition}/klines/BTCUSDT/1w/BTCUSDT-1w-{period}.zip"


def bar(opened: datetime, close: int = 10) -> str:
    begin = int(opened.timestamp() * 1000)
    end = begin + int(WEEK.total_seconds() * 1000) - 1
    return f"{begin},10,11,9,{close},100,{end},1050,7,40,420,0"


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def every(begin: datetime, end: datetime, step: timedelta) -> list[str]:
    return [bar(begin + n * step) for n in range((end - begin) // step)]


def same_both_ways(storage: Storage, month: Month, sizes: Sizes = TINY) -> None:
    """Make a month whole and in pieces, and hold everything that is told of it and its rows equal."""
    whole = make_month(storage, month, stream_above=2**60)
    pieces = make_month(storage, month, stream_above=0, sizes=sizes)
    assert (pieces.status, pieces.error) == (whole.status, whole.error)
    assert told(pieces) == told(whole)
    assert pieces.spills == whole.spills
    assert pieces.origin == whole.origin
    assert sorted((f.kind, f.key, f.rows, f.first, f.last) for f in pieces.findings) == sorted(
        (f.kind, f.key, f.rows, f.first, f.last) for f in whole.findings
    )
    if whole.draft is None or pieces.draft is None:
        assert (whole.draft, pieces.draft) == (None, None)
        return
    frame = pl.read_parquet(whole.draft)
    assert pl.read_parquet(pieces.draft).equals(frame)
    standing = read_standing(storage, str(pieces.draft.relative_to(str(storage.root))))
    assert standing is not None
    assert standing.origin == pieces.origin
    assert METADATA in pl.read_parquet_metadata(pieces.draft)


def months_of(root: Path, files: Mapping[str, bytes]) -> tuple[Storage, list[Month]]:
    storage, meta = stored(root, {key(name): zipped(data) for name, data in files.items()})
    held = holdings(meta)
    months = months_to_build(held, held)
    periods = {month.period for month in months}
    before = {month.period.days.first - timedelta(days=1) for month in months}
    others = {Period.month(day.year, day.month) for day in before} - periods
    spilled = [Month(months[0].series, period) for period in sorted(others)]
    return storage, months + [month for month in spilled if month.sources]


@pytest.mark.parametrize("names", [["2024-01", "2024-02"], list(FILES), ["2024-02"]])
def test_rows_that_step_over_the_edge_of_a_month_are_in_the_month_of_their_time(
    tmp_path: Path, names: list[str]
):
    step = timedelta(minutes=47)
    files = {name: text(every(FILES[name][0] - WEEK, FILES[name][1], step)) for name in names}
    storage, months = months_of(tmp_path, files)
    for month in months:
        same_both_ways(storage, month)


def test_days_that_have_rows_that_their_month_lacks_are_told_of_in_pieces_too(tmp_path: Path):
    begin, end = FILES["2024-02"]
    lines = every(begin, end, timedelta(hours=1))
    day = every(begin, begin + timedelta(days=1), timedelta(hours=1))
    files = {"2024-02": text(lines[9:]), "2024-02-01": text(day), "2024-01": text(lines[:1])}
    storage, months = months_of(tmp_path, files)
    for month in months:
        same_both_ways(storage, month)
    february = max(months, key=lambda month: month.period)
    made = make_month(storage, february, stream_above=0, sizes=TINY)
    assert [(f.kind, f.rows) for f in made.findings if f.kind == "filled_from_daily"] == [
        ("filled_from_daily", 9)
    ]


def test_a_month_in_pieces_that_spills_is_unchanged_at_the_next_build(tmp_path: Path):
    step = timedelta(minutes=47)
    files = {"2024-02": text(every(EDGE - WEEK, FILES["2024-02"][1], step))}
    storage, meta = stored(tmp_path, {key(name): zipped(data) for name, data in files.items()})
    for status in ("built", "unchanged"):
        report = build(LakeContext.of(storage), holdings(meta), progress=False, stream_above=0)
        assert report.months["status"].to_list() == [status, status]
        assert report.ok


@st.composite
def bars_of_files(draw: st.DrawFn) -> dict[str, bytes]:
    """Some of the files, with bars in and around their periods, in any order, some of them twice."""
    dice = Random(draw(st.integers(0, 2**32)))
    names = draw(st.lists(st.sampled_from(sorted(FILES)), min_size=1, unique=True))
    files = {}
    for name in names:
        begin, end = FILES[name]
        around = (begin - WEEK - timedelta(hours=1), end + timedelta(hours=1))
        count = draw(st.integers(1, 200))
        minutes = (around[1] - around[0]) // timedelta(minutes=1)
        grid = draw(st.sampled_from([1, 600]))
        places = [dice.randrange(minutes) // grid * grid for _ in range(count)]
        times = [around[0] + timedelta(minutes=place) for place in places]
        if draw(st.booleans()):
            times.sort()
        files[name] = text([bar(time, dice.choice([10, 10, 11])) for time in times])
    return files


@settings(max_examples=examples(8), deadline=None)
@given(bars_of_files(), st.integers(200, 5000), st.integers(1, 100), st.integers(10, 300))
def test_neighbours_and_spills_are_the_same_in_pieces_of_any_size(
    files: dict[str, bytes], chunk: int, held: int, run: int
):
    with tempfile.TemporaryDirectory() as folder:
        storage, months = months_of(Path(folder), files)
        for month in months:
            same_both_ways(storage, month, Sizes(chunk=chunk, held=held, run=run))
