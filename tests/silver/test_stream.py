"""A month made in pieces is the month made whole: same rows, same accounts, whatever the files are like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.silver.external_sort import Sizes
from cryptolake.silver.month import MonthResult, make_month
from cryptolake.silver.months import months_to_build
from cryptolake.silver.scratch import put, sweep
from tests.silver.texts import stored, zipped

TINY = Sizes(chunk=4_000, held=20, run=300)
HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=29)
COUNT = 1500


def key(period: str = "2024-01") -> str:
    partition = "monthly" if len(period) == 7 else "daily"
    return f"data/futures/um/{partition}/trades/BTCUSDT/BTCUSDT-trades-{period}.zip"


def trade(number: int, *, price: float = 0.0) -> str:
    millis = int((BEGIN + number * STEP).timestamp() * 1000)
    return f"{number},{price or 100 + number / 10},0.5,{50 + number},{millis},{'tf'[number % 2]}rue".replace(
        "frue", "false"
    )


TRADES = [trade(number) for number in range(COUNT)]


def text(lines: list[str], *, header: bool = True) -> bytes:
    return "".join(f"{line}\n" for line in ([HEADER, *lines] if header else lines)).encode()


def both_ways(
    root: Path, files: Mapping[str, bytes]
) -> tuple[MonthResult, MonthResult, pl.DataFrame, pl.DataFrame]:
    """Make a month whole and in pieces; return what was told of each, and both frames."""
    storage, meta = stored(root, {name: zipped(data) for name, data in files.items()})
    held = holdings(meta)
    (month,) = months_to_build(held, held)
    whole = make_month(storage, month, stream_above=10**12)
    pieces = make_month(storage, month, stream_above=0, sizes=TINY)
    assert whole.draft is not None
    frame = pl.read_parquet(whole.draft)
    shutil.rmtree(whole.draft.parent)
    assert pieces.draft is not None
    put(storage, pieces.draft, month.path)
    assert list((root / "meta" / "drafts").iterdir()) == []
    return whole, pieces, frame, pl.read_parquet(storage.local(month.path))


def told(made: MonthResult) -> list[tuple[object, ...]]:
    return [
        (a.key, a.rows_in, a.rows_out, a.duplicates, a.rejects, a.first_time, a.last_time)
        for a in sorted(made.accounts, key=lambda account: account.key)
    ]


def days_of(lines: list[str]) -> dict[str, bytes]:
    by_day: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        by_day.setdefault(f"{BEGIN + number * STEP:%Y-%m-%d}", []).append(line)
    return {key(day): text(found) for day, found in by_day.items()}


def shuffled() -> list[str]:
    return Random(1).sample(TRADES, COUNT)


def interleaved() -> list[str]:
    half = COUNT // 2
    return [line for pair in zip(TRADES[:half], TRADES[half:], strict=True) for line in pair]


def nearly_sorted() -> list[str]:
    lines = list(TRADES)
    for place in range(0, COUNT - 5, 7):
        lines[place], lines[place + 4] = lines[place + 4], lines[place]
    return lines


def with_bad_lines() -> list[str]:
    lines = list(TRADES)
    lines[700:700] = ["nonsense", HEADER, "1,2,3", "9" * 200_000]
    lines[20] = lines[20].replace(",0.5,", ",nan,")
    return lines


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({key(): text(TRADES)}, id="one month in order"),
        pytest.param({key(): text(TRADES, header=False)}, id="without a header"),
        pytest.param({key(): text(TRADES).rstrip(b"\n")}, id="without a last line end"),
        pytest.param({key(): text(TRADES).replace(b"\n", b"\r\n")}, id="CRLF"),
        pytest.param({key(): text(TRADES).replace(b"\n", b"\r")}, id="CR"),
        pytest.param({key(): b"\xef\xbb\xbf" + text(TRADES)}, id="byte order mark"),
        pytest.param(days_of(TRADES), id="its days"),
        pytest.param({**days_of(TRADES), key(): text(TRADES)}, id="its days and the month"),
        pytest.param({**days_of(TRADES[:400]), key(): text(TRADES[200:])}, id="overlapping"),
        pytest.param({key(): text(nearly_sorted())}, id="nearly sorted"),
        pytest.param({key(): text(interleaved())}, id="interleaved"),
        pytest.param({key(): text(shuffled())}, id="shuffled"),
        pytest.param({key(): text(TRADES + TRADES)}, id="written twice"),
        pytest.param({key(): text([line for line in TRADES for _ in (1, 2)])}, id="doubled lines"),
        pytest.param({key(): text(with_bad_lines())}, id="bad lines"),
        pytest.param({key(): (HEADER + "\n").encode()}, id="header only"),
    ],
)
def test_pieces_make_the_same_month(tmp_path: Path, files: dict[str, bytes]):
    whole, pieces, frame, streamed = both_ways(tmp_path, files)
    assert streamed.equals(frame)
    assert streamed.schema == frame.schema
    assert told(pieces) == told(whole)
    assert [(k, r.line, r.rule, r.text) for k, r in pieces.rejects] == [
        (k, r.line, r.rule, r.text) for k, r in whole.rejects
    ]


def test_a_daily_trade_wins_over_the_monthly_one(tmp_path: Path):
    other = [trade(0, price=7.0), *TRADES[1:]]
    _, pieces, frame, streamed = both_ways(tmp_path, {**days_of(TRADES[:40]), key(): text(other)})
    assert streamed.equals(frame)
    assert streamed["price"][0] == 100.0
    assert "daily_monthly_disagree" in {finding.kind for finding in pieces.findings}


def test_an_extra_column_of_one_file_is_null_in_the_others(tmp_path: Path):
    files = days_of(TRADES)
    name = max(files)
    lines = files[name].decode().splitlines()
    files[name] = "".join(
        f"{line},{'note' if n == 0 else n}\n" for n, line in enumerate(lines)
    ).encode()
    _, _, frame, streamed = both_ways(tmp_path, files)
    assert streamed.equals(frame)
    assert streamed["note"].null_count() == COUNT - len(lines) + 1


def test_a_damaged_file_is_refused_and_the_month_made_of_the_others(tmp_path: Path):
    files = {name: zipped(data) for name, data in days_of(TRADES).items()}
    name = sorted(files)[3]
    damaged = bytearray(files[name])
    damaged[60:80] = bytes(20)
    storage, meta = stored(tmp_path, {**files, name: bytes(damaged)})
    held = holdings(meta)
    (month,) = months_to_build(held, held)
    made = make_month(storage, month, stream_above=0, sizes=TINY)
    assert made.status == "built"
    assert made.error is not None
    assert name in made.error
    assert made.draft is not None
    said = json.loads(pl.read_parquet_metadata(made.draft)["cryptolake"])
    assert list(said["refused"]) == [name]
    lost = sum(BEGIN + n * STEP < BEGIN + timedelta(days=4) for n in range(COUNT)) - sum(
        BEGIN + n * STEP < BEGIN + timedelta(days=3) for n in range(COUNT)
    )
    assert pl.read_parquet(made.draft).height == COUNT - lost


def test_a_file_without_a_required_column_is_refused_with_its_lines_counted(tmp_path: Path):
    files = days_of(TRADES)
    name = sorted(files)[0]
    files[name] = files[name].replace(b"price", b"cost")
    whole, pieces, frame, streamed = both_ways(tmp_path, files)
    assert streamed.equals(frame)
    assert told(pieces) == told(whole)
    assert pieces.error is not None
    assert "price" in pieces.error


def test_a_file_of_another_day_is_refused(tmp_path: Path):
    files = days_of(TRADES)
    first, second = sorted(files)[:2]
    files[first] = files[second]
    whole, pieces, frame, streamed = both_ways(tmp_path, files)
    assert streamed.equals(frame)
    assert told(pieces) == told(whole)
    assert pieces.error is not None
    assert first in pieces.error


def test_a_line_of_ten_megabytes_is_one_reject(tmp_path: Path):
    lines = [*TRADES[:700], "x" * 10_000_000, *TRADES[700:]]
    _, pieces, frame, streamed = both_ways(tmp_path, {key(): text(lines)})
    assert streamed.equals(frame)
    assert [item.rule for _, item in pieces.rejects] == ["line_too_long"]


def test_drafts_of_a_killed_build_are_swept_a_day_later(tmp_path: Path):

    storage, _ = stored(tmp_path, {})
    old, new = tmp_path / "meta/drafts/old", tmp_path / "meta/drafts/new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    sweep(storage)
    assert [folder.name for folder in (tmp_path / "meta/drafts").iterdir()] == ["new"]


FULL = """
import resource, signal, sys
from cryptolake.errors import StorageError
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.storage.files import open_storage
lake = LakeContext.of(open_storage(sys.argv[1]))
rows = holdings(lake.tables)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    build(lake, rows, progress=False, stream_above=0)
except StorageError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_a_storage_error_and_leaves_nothing_behind(tmp_path: Path):
    storage, _ = stored(tmp_path, {key(): zipped(text(TRADES))})
    child = [sys.executable, "-c", FULL, str(tmp_path)]
    told = subprocess.run(child, capture_output=True, text=True, check=True).stdout
    assert "cannot write 'silver/" in told
    assert storage.list("silver") == []
    assert storage.list("meta/drafts") == []
