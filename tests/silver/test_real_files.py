"""Every real file at hand normalizes, and its Silver equals a second reading, value by value."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptolake.archive.keys import parse_key
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.zips import inflate
from cryptolake.silver.assembly import SourceText
from cryptolake.silver.normalize import normalize
from tests.conftest import REAL_ARCHIVE
from tests.silver.independent import read_rows

pytestmark = pytest.mark.real


def _files() -> list[Path]:
    folders = [REAL_ARCHIVE / name for name in ("zips", "csv", "excerpts")]
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return [path for path in files if path.suffix in {".zip", ".csv"}]


def _key(path: Path) -> str:
    """The archive key of a file kept as a zip, a CSV, or some first rows of one."""
    inside = path.relative_to(REAL_ARCHIVE).as_posix().split("/", 1)[1]
    for end in (".head.csv", ".tail.csv", ".excerpt.csv", ".csv"):
        inside = inside.removesuffix(end)
    return inside.removesuffix(".zip") + ".zip"


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.name)
def test_a_real_file_becomes_silver_that_equals_a_second_reading(path: Path):
    key = _key(path)
    parts = parse_key(key)
    assert parts is not None
    data = path.read_bytes()
    text = inflate(data, key) if path.suffix == ".zip" else data

    done = normalize(
        [SourceText(key, parts.period, text)],
        schema_of(parts.market, parts.data_type),
        symbol=parts.symbol,
        month=parts.period.of_month,
        interval=parts.interval,
    )

    (account,) = done.accounts
    expected = read_rows(path, key)
    assert account.error is None
    assert account.balanced
    assert account.rejects == 0
    assert account.rows_out == len(expected)
    assert set(done.frame.columns) == set(expected[0])
    for got, row in zip(done.frame.iter_rows(named=True), expected, strict=True):
        assert got == row


@pytest.mark.usefixtures("real_archive")
def test_there_are_real_files_of_most_datasets():
    datasets = {
        (parts.market, parts.data_type) for path in _files() if (parts := parse_key(_key(path)))
    }
    assert len(datasets) == 25
