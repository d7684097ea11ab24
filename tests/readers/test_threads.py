"""What is read does not depend on how many threads DuckDB has: the reading tests with eight of them."""

from __future__ import annotations

import secrets
from typing import Any

import duckdb
import polars as pl
import pytest

import cryptolake as cl
from cryptolake.bronze import text as text_module
from cryptolake.bronze.zips import Limits
from cryptolake.readers.conversions import to_polars
from tests.readers import test_duckdb_views as one
from tests.readers.lakes import build_all, days, klines_key, klines_text, put, sql

EIGHT = 8
WEEK = days("2024-01-29", 7)
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
PRICES = {symbol: 100.0 * (place + 1) for place, symbol in enumerate(SYMBOLS)}
MINUTES = 1440
QUERY = cl.query().markets("spot").klines("1m").symbols("*").between(WEEK[0], WEEK[-1])

lake = one.lake

# The reading tests that ask of files, each once more.
test_bronze_is_read_in_place_as_published = one.test_bronze_is_read_in_place_as_published
test_headered_and_headerless_files_read_alike = one.test_headered_and_headerless_files_read_alike
test_odd_cells_and_lines_are_shown_not_fatal = one.test_odd_cells_and_lines_are_shown_not_fatal
test_silver_is_typed = one.test_silver_is_typed_and_says_market_symbol_and_interval
test_relations_can_be_read_in_any_order = one.test_relations_can_be_read_in_any_order
test_a_relation_becomes_a_polars_frame = one.test_a_relation_becomes_a_polars_frame_without_pyarrow
test_meta_files_has_each_files_newest_row = one.test_meta_files_has_each_files_newest_row
test_a_repeated_segment_is_not_counted_twice = one.test_a_repeated_segment_is_not_counted_twice
test_extra_columns_are_there_as_text = one.test_extra_columns_of_some_files_are_there_as_text
test_a_dataset_that_comes_later_is_seen = (
    one.test_a_dataset_that_comes_later_is_seen_by_an_open_connection
)


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection has eight threads, whatever the number of cores."""
    real = duckdb.connect

    def connect(*asked: Any, **given: Any) -> duckdb.DuckDBPyConnection:
        connection = real(*asked, **given)
        connection.execute(f"SET threads = {EIGHT}")
        return connection

    monkeypatch.setattr(duckdb, "connect", connect)


@pytest.fixture(params=["disk", "bucket"])
def full(request: pytest.FixtureRequest) -> cl.Lake:
    """Three symbols, a week of whole days of 1m bars each."""
    if request.param == "disk":
        found = cl.Lake(request.getfixturevalue("tmp_path") / "lake")
    else:
        options = request.getfixturevalue("bucket_options")
        found = cl.Lake(f"s3://lakes/{secrets.token_hex(4)}", storage_options=options)
    texts = {
        klines_key(symbol, day): klines_text(day, MINUTES, price)
        for symbol, price in PRICES.items()
        for day in WEEK
    }
    put(found.storage, found.meta, texts)
    build_all(found.storage, found.meta)
    return found


@pytest.fixture(params=["at once", "as it is read"])
def inflated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are inflated whole, or piece by piece as large ones are."""
    if request.param != "at once":
        monkeypatch.setattr(text_module, "AT_ONCE", 0)
        monkeypatch.setattr(text_module, "_SMALL", Limits(max_bytes=0))
        monkeypatch.setattr(text_module, "_CHUNK", 4096)


COUNTED = (
    "select symbol, count(*), count(distinct open_time), sum(close)::BIGINT, min(close), max(close) "
    "from {}.spot_klines group by 1 order by 1"
)


def _counted(price: float) -> tuple[int, int, int, float, float]:
    closes = [price + minute for minute in range(MINUTES)]
    rows = MINUTES * len(WEEK)
    return rows, rows, int(sum(closes) * len(WEEK)), closes[0], closes[-1]


def test_connections_have_eight_threads(tmp_path):
    assert sql(cl.Lake(tmp_path).connect(), "select current_setting('threads')") == [(EIGHT,)]


@pytest.mark.usefixtures("inflated")
def test_bronze_is_counted_right(full: cl.Lake):
    connection = full.connect()
    expected = [(symbol, *_counted(price)) for symbol, price in PRICES.items()]
    for _ in range(3):
        assert sql(connection, COUNTED.format("bronze")) == expected


@pytest.mark.usefixtures("inflated")
def test_each_file_of_bronze_is_in_the_order_of_its_lines(full: cl.Lake):
    asked = "select key, list(open_time order by row) as times from (select *, row_number() over () as row from bronze.spot_klines) group by 1"
    for _key, times in full.sql(asked).fetchall():
        assert times == sorted(times)
        assert len(times) == MINUTES


def test_silver_is_counted_right_and_comes_in_the_order_of_time(full: cl.Lake):
    expected = [(symbol, *_counted(price)) for symbol, price in PRICES.items()]
    for _ in range(3):
        assert full.sql(COUNTED.format("silver")).fetchall() == expected
    for symbol in SYMBOLS:
        plain = f"select open_time from silver.spot_klines where symbol = '{symbol}'"
        times = to_polars(full.sql(plain))["open_time"]
        assert times.is_sorted()
        assert times.len() == MINUTES * len(WEEK)


def test_sql_and_frames_agree(full: cl.Lake):
    frame = full.silver(QUERY).select("symbol", "open_time", "close").collect()
    asked = "select symbol, open_time, close from silver.spot_klines_1m order by 1, 2"
    found = to_polars(full.sql(asked))
    assert found.equals(frame.with_columns(pl.col("symbol").cast(pl.String)), null_equal=True)


def test_questions_at_once_do_not_disturb_each_other(full: cl.Lake):
    bronze, silver = (full.sql(COUNTED.format(zone)) for zone in ("bronze", "silver"))
    files = full.sql("select count(*), count(distinct key) from meta.files")
    expected = [(symbol, *_counted(price)) for symbol, price in PRICES.items()]
    assert silver.fetchall() == bronze.fetchall() == expected
    assert files.fetchall() == [(len(SYMBOLS) * len(WEEK),) * 2]
