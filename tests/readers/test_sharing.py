"""Files that several threads read at once give each of them what it sought."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

import cryptolake as cl
from cryptolake.readers.filesystems import SharedBucket, SharedFile
from tests.readers.lakes import days, klines_key, klines_text, put, sql

TEXT = b"abcdefghij"


@pytest.fixture
def threads():
    """Two threads, each of which does what it is told and says what came of it."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        yield (
            lambda call, *given: one.submit(call, *given).result(),
            lambda call, *given: two.submit(call, *given).result(),
        )


def test_a_read_goes_where_its_own_thread_sought(threads):
    one, two = threads
    file = SharedFile(io.BytesIO(TEXT))
    one(file.seek, 2)
    two(file.seek, 7)
    assert (one(file.tell), two(file.tell)) == (2, 7)
    assert (one(file.read, 2), two(file.read, 2)) == (b"cd", b"hi")


def test_reads_without_a_seek_go_on_from_thread_to_thread(threads):
    one, two = threads
    file = SharedFile(io.BytesIO(TEXT))
    said = [one(file.read, 3), two(file.read, 3), one(file.read, 3), two(file.read)]
    assert said == [b"abc", b"def", b"ghi", b"j"]


def test_a_place_that_another_thread_went_on_from_is_not_gone_back_to(threads):
    one, two = threads
    file = SharedFile(io.BytesIO(TEXT))
    one(file.seek, 0)
    assert (two(file.read, 4), one(file.tell), one(file.read, 4)) == (b"abcd", 4, b"efgh")


def test_an_object_is_read_by_two_threads_at_once(threads, s3_storage):
    one, two = threads
    s3_storage.write("meta/letters", TEXT)
    file = SharedBucket("s3://", s3_storage.filesystem).open(s3_storage.url("meta/letters"))
    one(file.seek, 2)
    two(file.seek, 7)
    assert (one(file.read, 2), two(file.read, 2)) == (b"cd", b"hi")


def test_it_closes_what_it_reads():
    below = io.BytesIO(TEXT)
    with SharedFile(below) as file:
        assert file.seek(-1, io.SEEK_END) == 9
    assert below.closed


def test_a_long_bronze_file_is_read_by_many_threads_of_duckdb(tmp_path):
    """DuckDB reads a long CSV 32 MB at a time, each by another thread."""
    lake = cl.Lake(tmp_path)
    day = days("2024-01-30", 1)[0]
    text = klines_text(day, 50_000)
    times = -(-100_000_000 // len(text))
    texts = {"LONGUSDT": text * times, "ONCEUSDT": text}
    put(lake.storage, lake.meta, {klines_key(symbol, day): texts[symbol] for symbol in texts})
    connection = lake.connect()
    connection.execute("SET threads = 8")
    rows = sql(
        connection,
        "SELECT symbol, count(*), sum(hash(open_time, open, volume, close_time)::HUGEINT)::VARCHAR "
        "FROM bronze.spot_klines_1m GROUP BY symbol ORDER BY symbol",
    )
    (_, _, once) = rows[1]
    assert rows[0] == ("LONGUSDT", 50_000 * times, str(int(once) * times))
    assert rows[1][:2] == ("ONCEUSDT", 50_000)
