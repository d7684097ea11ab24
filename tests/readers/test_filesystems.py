"""Bronze zips appear as the CSV text they hold, without the header line."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.bronze import text
from cryptolake.bronze.text import ZipText
from cryptolake.errors import CorruptArchive
from cryptolake.readers.filesystems import NOTHING, BronzeFileSystem
from tests.readers.lakes import days, header, klines_key, klines_text, packed, put

DAY = days("2024-01-01", 1)[0]
KEY = klines_key("BTCUSDT", DAY)
UM_KEY = klines_key("BTCUSDT", DAY, market="futures_um")


def opened(text: str | bytes, key: str = KEY) -> ZipText:
    data = packed(text)
    return ZipText(lambda: io.BytesIO(data), key)


def test_a_file_without_a_header_is_shown_whole():
    text = klines_text(DAY, 3)
    assert opened(text).read() == text.encode()


def test_a_header_line_is_left_out():
    text = klines_text(DAY, 3)
    file = opened(header("futures_um", "klines") + text, UM_KEY)
    assert file.size == len(text)
    assert file.read() == text.encode()


@pytest.mark.parametrize(
    ("market", "data_type", "line"),
    [
        ("um", "metrics", "2024-01-01 00:00:00,BTCUSDT,1.0,2.0,3.0,4.0,5.0,6.0\n"),
        ("um", "bookDepth", "2024-01-01 00:00:10,-5,11063.4,457379319.6\n"),
    ],
)
def test_data_that_begins_with_a_date_is_not_taken_for_a_header(market, data_type, line):
    key = f"data/futures/{market}/daily/{data_type}/BTCUSDT/BTCUSDT-{data_type}-2024-01-01.zip"
    assert opened(line, key).read() == line.encode()
    assert opened(header(f"futures_{market}", data_type) + line, key).read() == line.encode()


def test_columns_in_another_order_are_put_in_the_usual_one():
    text = "last_funding_rate,calc_time,funding_interval_hours,remark\n-0.1,1775001600000,8,x\n"
    key = "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2026-04.zip"
    assert opened(text, key).read() == b"1775001600000,8,-0.1\n"


def test_a_file_unlike_its_dataset_is_shown_as_it_is():
    assert opened("<html>\n<p>no\n").read() == b"<html>\n<p>no\n"
    assert opened("1,2\n").read() == b"1,2\n"
    assert opened("open_time,open\n1,2\n").read() == b"1,2\n"


def test_a_file_of_no_known_dataset_is_shown_as_it_is():
    assert opened("a,b\n1,2\n", "data/moon/x.zip").read() == b"1,2\n"


def test_an_empty_file_has_no_text():
    assert opened("").read() == b""
    assert opened(header("futures_um", "klines"), UM_KEY).read() == b""


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", packed("1\n")[:-9]])
def test_a_damaged_zip_is_named(data):
    with pytest.raises(CorruptArchive, match=r"BTCUSDT-1m-2024-01-01\.zip"):
        ZipText(lambda: io.BytesIO(data), KEY)


@pytest.fixture
def in_pieces(monkeypatch):
    """Every text counts as large: inflated as it is read."""
    monkeypatch.setattr(text, "AT_ONCE", 0)
    monkeypatch.setattr(text, "_CHUNK", 700)


@pytest.mark.usefixtures("in_pieces")
def test_a_large_file_reads_the_same_in_pieces():
    text = header("futures_um", "klines") + klines_text(DAY, 200)
    whole = klines_text(DAY, 200).encode()
    file = opened(text, UM_KEY)
    assert file.size == len(whole)
    parts = []
    while part := file.read(313):
        parts.append(part)
    assert b"".join(parts) == whole
    assert {len(part) for part in parts[:-1]} == {313}


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 900)), max_size=12), st.booleans())
def test_any_walk_over_a_file_finds_the_same_bytes(steps, at_once):
    whole = klines_text(DAY, 100).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "AT_ONCE", 2**20 if at_once else 0)
        patch.setattr(text, "_CHUNK", 512)
        file = opened(header("futures_um", "klines") + whole.decode(), UM_KEY)
        for place, size in steps:
            assert file.seek(place) == file.tell() == min(place, len(whole))
            assert file.read(size) == whole[place : place + size]
        assert file.seek(0, io.SEEK_END) == len(whole)


def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path):
    path = tmp_path / "big.zip"
    line = b"4359935386,93576.00000000,0.00136000,127.26336000,1735689600010866,True,True\n"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(60):
            member.write(line * 10_000)
    tracemalloc.start()
    key = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-01-01.zip"
    size = 0
    with ZipText(lambda: path.open("rb"), key) as file:
        while part := file.read(2**20):
            size += len(part)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == len(line) * 600_000
    assert most < 24 * 2**20


def test_fsspec_lists_globs_and_opens_what_bronze_holds(storage, meta):
    keys = [klines_key(symbol, DAY) for symbol in ("BTCUSDT", "ETHUSDT", "龙虾USDT")]
    put(storage, meta, {key: klines_text(DAY, 2) for key in keys})
    storage.write(f"bronze/{keys[0]}.CHECKSUM", b"0" * 64)
    files = BronzeFileSystem(storage, meta)
    assert files.find("bronze://data") == sorted(keys)
    assert files.glob("bronze://data/spot/daily/klines/*/1m/*.zip") == [*sorted(keys), NOTHING]
    assert files.glob("bronze://data/spot/daily/klines/ETH*/1m/*.zip") == [keys[1], NOTHING]
    assert files.glob("bronze://data/spot/monthly/**/*.zip") == [NOTHING]
    assert files.ls("bronze://data/spot/daily/klines", detail=False) == [
        "data/spot/daily/klines/BTCUSDT",
        "data/spot/daily/klines/ETHUSDT",
        "data/spot/daily/klines/龙虾USDT",
    ]
    assert files.isdir("bronze://data/spot")
    assert files.isfile(f"bronze://{keys[0]}")
    assert files.size(f"bronze://{keys[0]}") == len(klines_text(DAY, 2))
    assert files.cat_file(f"bronze://{keys[2]}").decode() == klines_text(DAY, 2)
    assert not files.exists("bronze://data/spot/nothing/here.zip")


def test_bronze_cannot_be_written_through_it(storage, meta):
    with pytest.raises(PermissionError, match="never edited"):
        BronzeFileSystem(storage, meta).open(f"bronze://{KEY}", "wb")


def test_in_a_bucket_only_what_the_ledger_has_is_there(s3_storage):
    from cryptolake.storage.tables import Meta

    meta = Meta(s3_storage)
    known, unknown = KEY, klines_key("ETHUSDT", DAY)
    put(s3_storage, meta, {known: klines_text(DAY, 2)})
    put(s3_storage, meta, {unknown: klines_text(DAY, 2)}, recorded=False)
    assert s3_storage.exists(f"bronze/{unknown}")
    assert BronzeFileSystem(s3_storage, meta).find("bronze://data") == [known]
