"""A lake in a bucket is read like one on a disk: views, frames and the ledger, over real HTTP."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

import cryptolake as cl
from cryptolake.bronze.text import AT_ONCE
from cryptolake.readers import duckdb_views
from cryptolake.readers.conversions import to_polars
from tests.readers.lakes import (
    build_all,
    days,
    klines_key,
    klines_text,
    plan_of,
    put,
    put_days,
    sql,
)

WEEK = days("2024-01-30", 3)
QUERY = cl.query().markets("spot").klines("1m").symbols("*").between("2024-01-31", "2024-02-01")


@pytest.fixture
def lake(s3_storage):
    """A lake in a bucket that was pulled: two symbols, three days of 1m bars each, 30 a day."""
    lake = cl.Lake(s3_storage.root, storage_options=s3_storage.options)
    put_days(lake.storage, lake.meta, ["BTCUSDT", "ETHUSDT"], WEEK, rows=30)
    build_all(lake.storage, lake.meta)
    return lake


def test_every_zone_is_asked_in_sql(lake):
    con = lake.connect()
    assert sql(con, "SELECT count(*), max(close) FROM bronze.spot_klines") == [(180, 229.0)]
    assert sql(con, "SELECT count(*), max(close) FROM silver.spot_klines") == [(180, 229.0)]
    assert sql(con, "SELECT count(*) FROM silver.spot_klines_1m") == [(180,)]
    assert sql(con, "SELECT count(*) FROM silver.futures_um_klines") == [(0,)]
    assert sql(con, "SELECT count(*) FROM meta.files") == [(6,)]
    assert sql(con, "SELECT sum(rows_out)::INT FROM meta.sources") == [(180,)]
    assert sql(con, "FROM meta.quarantine") == []


def test_a_question_about_one_symbol_opens_no_other_object(lake):
    con = lake.connect()
    text = plan_of(con, "SELECT max(close) FROM silver.spot_klines WHERE symbol = 'ETHUSDT'")
    assert "Scanning Files: 2/4" in text
    text = plan_of(con, "SELECT max(close) FROM bronze.spot_klines WHERE symbol = 'ETHUSDT'")
    assert "Scanning Files: 3/8" in text


# The last of each pair has bars of its own, which a pattern that reads the first as a glob would add.
@pytest.mark.parametrize(
    ("name", "neighbour"),
    [
        ("brace{a,b}", "bracea"),
        ("it's", "its"),
        ("pct%20", "pct "),
        ("hash#x", "hash"),
        ("plus+x", "plus x"),
        ("龙虾", "龙"),
    ],
)
def test_a_root_with_an_odd_name_is_read_and_its_neighbour_is_not(s3_storage, name, neighbour):
    for root, rows in [(name, 4), (neighbour, 5)]:
        lake = cl.Lake(f"{s3_storage.root}/{root}", storage_options=s3_storage.options)
        put_days(lake.storage, lake.meta, ["BTCUSDT"], WEEK[1:2], rows=rows)
        build_all(lake.storage, lake.meta)
    lake = cl.Lake(f"{s3_storage.root}/{name}", storage_options=s3_storage.options)
    for table in ("bronze.spot_klines", "silver.spot_klines", "silver.spot_klines_1m"):
        assert lake.sql(f"select count(*), max(close) from {table}").fetchall() == [(4, 103.0)]
    assert lake.sql("select count(*) from meta.files").fetchall() == [(1,)]
    assert lake.silver(QUERY).collect().height == 4


def test_an_object_that_the_ledger_does_not_have_is_not_seen(lake):
    put(
        lake.storage,
        lake.meta,
        {klines_key("XUSDT", WEEK[0]): klines_text(WEEK[0], 5)},
        recorded=False,
    )
    assert lake.sql("select count(*) from bronze.spot_klines").fetchall() == [(180,)]
    assert lake.bronze(QUERY).collect()["symbol"].n_unique() == 2


def test_frames_are_the_same_as_in_sql(lake):
    frame = lake.silver(QUERY).collect()
    assert frame.height == 2 * 2 * 30
    found = lake.sql(
        "select * exclude (month) from silver.spot_klines where open_time >= '2024-01-31' order by symbol, open_time"
    )
    assert to_polars(found).equals(frame)
    assert lake.bronze(QUERY).collect().height == 2 * 2 * 30


def test_a_dataset_that_comes_later_is_seen_at_the_next_question(s3_storage):
    lake = cl.Lake(s3_storage.root, storage_options=s3_storage.options)
    assert lake.sql("from silver.spot_klines").fetchall() == []
    assert lake.silver(QUERY).collect().height == 0
    put_days(lake.storage, lake.meta, ["BTCUSDT"], WEEK[:1], rows=5)
    build_all(lake.storage, lake.meta)
    assert len(lake.sql("from silver.spot_klines").fetchall()) == 5


def test_what_a_lake_holds_is_said(lake):
    rows = lake.datasets().select("zone", "dataset", "symbols", "files", "rows").rows()
    assert rows == [("bronze", "spot_klines", 2, 6, 180), ("silver", "spot_klines", 2, 4, 180)]


def test_a_large_object_is_read_in_pieces(lake):
    key = klines_key("BIGUSDT", WEEK[0], "1s")
    text = klines_text(WEEK[0], 1) * (AT_ONCE // 70)
    put(lake.storage, lake.meta, {key: text})
    rows = text.count("\n")
    assert len(text) > AT_ONCE
    assert lake.sql("select count(*) from bronze.spot_klines_1s").fetchall() == [(rows,)]


def test_credentials_are_in_no_view(lake):
    con = lake.connect()
    lake = cl.Lake(lake.storage.root, storage_options=lake.storage.options | {"secret": "hunter2"})
    views = sql(con, "SELECT sql, comment FROM duckdb_views() WHERE NOT internal")
    assert "hunter2" not in str(views)
    assert "hunter2" not in str(sql(lake.connect(), "FROM duckdb_secrets()"))


def requests_of(question, monkeypatch):
    """The requests about single objects that a question makes, by method."""
    from werkzeug.serving import WSGIRequestHandler

    seen: Counter[str] = Counter()
    real = WSGIRequestHandler.run_wsgi

    def counted(self):
        if ".parquet" in self.path and "silver/" in self.path:
            seen[self.command] += 1
        return real(self)

    monkeypatch.setattr(WSGIRequestHandler, "run_wsgi", counted)
    question()
    monkeypatch.undo()
    return seen


def test_a_file_of_silver_costs_two_requests_at_most(lake, monkeypatch):
    monkeypatch.setattr(duckdb_views, "_loads", lambda *_: False)  # httpfs, where it is installed
    _aged(lake)
    text = "select count(*), max(close) from silver.spot_klines_1m"
    seen = requests_of(lambda: lake.connect().execute(text).fetchall(), monkeypatch)
    assert seen["HEAD"] == 0
    assert 4 <= seen["GET"] <= 2 * 4
    named = "select count(*) from q"
    seen = requests_of(lambda: lake.sql(named, query=QUERY).fetchall(), monkeypatch)
    assert 4 <= sum(seen.values()) <= 2 * 4
    put_days(lake.storage, lake.meta, ["BTCUSDT"], days("2024-01-29", 1), rows=30)
    build_all(lake.storage, lake.meta)  # the next question is about the month as it is now
    week = QUERY.between(*("2024-01-29", "2024-02-01"))
    assert lake.sql(named, query=week).fetchall() == [(4 * 30 + 3 * 30,)]


def _aged(lake):
    """Let the lake's objects be an hour old: what has just been written is not kept by DuckDB."""
    from moto.s3.models import s3_backends

    buckets = [backend["aws"].buckets.get("lakes") for backend in s3_backends.values()]
    for key in (key for bucket in buckets if bucket for key in bucket.keys.values()):
        key.last_modified -= timedelta(hours=1)
