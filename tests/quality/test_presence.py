"""Which bars a Bronze file has, read from its first column alone."""

from datetime import UTC, datetime
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from cryptolake.archive.enums import Interval
from cryptolake.archive.grid import number_of
from cryptolake.errors import CorruptArchive
from cryptolake.quality.assess import bars_of_file
from cryptolake.storage.files import open_storage

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-12-31.zip"
FIRST = number_of(datetime(2024, 12, 31, tzinfo=UTC), Interval.H1)


def stored(tmp_path, text: bytes):
    storage = open_storage(tmp_path)
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        archive.writestr("BTCUSDT-1h-2024-12-31.csv", text)
    storage.write(f"bronze/{KEY}", buffer.getvalue())
    return storage


@pytest.mark.parametrize(
    "text",
    [
        b"1735603200000,1,2\n1735610400000,1,2\n",
        b"open_time,open,high\n1735603200000,1,2\n1735610400000,1,2\n",
        b"1735610400000,1,2\n1735603200000,1,2\n1735603200000,1,2",
        b"1735603200000000,1,2\n1735610400000000,1,2\n",
        b"1735603200000,1,2\nrubbish\n1735610400000\n",
        b"\xef\xbb\xbfopen_time,open,high\n1735603200000,1,2\n1735610400000,1,2\n",
    ],
    ids=["plain", "header", "order", "microseconds", "rubbish", "bom"],
)
def test_bars_are_found_in_any_published_shape(tmp_path, text):
    assert bars_of_file(stored(tmp_path, text), KEY, Interval.H1).to_list() == [FIRST, FIRST + 2]


def test_an_empty_file_has_none(tmp_path):
    assert bars_of_file(stored(tmp_path, b"open_time\n"), KEY, Interval.H1).to_list() == []


def test_what_is_no_zip_is_corrupt(tmp_path):
    storage = open_storage(tmp_path)
    storage.write(f"bronze/{KEY}", b"not a zip")
    with pytest.raises(CorruptArchive):
        bars_of_file(storage, KEY, Interval.H1)
