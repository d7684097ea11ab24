"""lake.update: to the newest day, once; and how far behind the archive is."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.maintenance.update import Update, update
from cryptolake.quality.freshness import freshness
from cryptolake.transfer.pull import RunSettings
from cryptolake.transfer.routing import Route
from tests.quality.world import key_of

HOURS: dict[str, Any] = {
    "datasets": ["futures_um_klines"],
    "symbols": ["BTCUSDT"],
    "intervals": ["1h"],
}
QUIET = RunSettings(route=Route(("download",), "the lake is on a disk"), progress=False)
QUERY = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT")


def refreshed(here):
    return update(here.lake.context, QUIET)


def why(done: Update) -> list[tuple[Any, ...]]:
    return done.changes.select("why", "files", "first", "last").rows()


def test_what_goes_on_is_fetched_once(world):
    here = world(**HOURS, days=("2024-12-20", "2025-01-10"), partitions=["daily"])
    here.pull(QUERY.between("2024-12-20", "2025-01-05"))
    done = refreshed(here)
    assert why(done) == [("extended", 5, date(2025, 1, 6), date(2025, 1, 10))]
    assert done.rows_after - done.rows_before == 5 * 24
    again = refreshed(here)
    assert not again.changed
    assert again.report is None
    assert "as the archive has it" in repr(again)


def test_whole_new_months_come_as_monthly_files(world):
    here = world(**HOURS, days=("2024-10-15", "2025-01-03"))
    here.pull(QUERY.between("2024-10-15", "2024-10-20"))
    done = refreshed(here)
    assert sorted(done.report.files["key"]) == sorted(
        [
            *(key_of(f"2024-10-{day}") for day in range(21, 32)),
            key_of("2024-11"),
            key_of("2024-12"),
            *(key_of(f"2025-01-0{day}") for day in (1, 2, 3)),
        ]
    )
    assert not refreshed(here).changed


def test_a_rewritten_file_is_fetched_and_its_month_built_anew(world):
    here = world(**HOURS, days=("2024-12-28", "2025-01-03"), partitions=["daily"])
    query = QUERY.between("2024-12-28", "2025-01-03")
    here.pull(query)
    before = here.lake.silver(query).collect()
    here.edit(
        key_of("2024-12-30"),
        lambda lines: [*lines[:5], lines[5].replace(b"0", b"1", 1), *lines[6:]],
    )
    here.edit(key_of("2024-12-29"), lambda lines: lines[:-1])
    here.publish()
    done = refreshed(here)
    assert why(done) == [("rewritten", 2, date(2024, 12, 29), date(2024, 12, 30))]
    assert done.report.built == 1
    assert here.lake.silver(query).collect().height == before.height - 1
    assert not refreshed(here).changed


def test_the_monthly_file_is_fetched_where_days_lack_rows(world):
    here = world(**HOURS, days=("2024-12-01", "2025-01-03"))
    here.edit(key_of("2024-12-09"), lambda lines: lines[:10])
    monthly = here.folder.path(key_of("2024-12")).read_bytes()
    here.remove(key_of("2024-12"))
    here.publish()
    query = QUERY.between("2024-12")
    here.pull(query)
    assert here.lake.silver(query).collect().height == 744 - 15
    here.folder.write_pair(
        key_of("2024-12"), monthly, datetime.fromisoformat("2025-01-06T07:00:00+00:00")
    )
    here.publish()
    done = refreshed(here)
    assert ("completed", 1, date(2024, 12, 1), date(2024, 12, 31)) in why(done)
    assert here.lake.silver(query).collect().height == 744
    assert not refreshed(here).changed


def test_the_monthly_file_of_a_whole_month_is_not(world):
    here = world(**HOURS, days=("2024-12-01", "2025-01-03"), partitions=["daily"])
    here.pull(QUERY.between("2024-12-01", "2025-01-03"))
    cl.sample_archive(
        here.folder.root, **HOURS, days=("2024-12-01", "2025-01-03"), partitions=["monthly"]
    )
    here.publish()
    assert not refreshed(here).changed


def test_an_empty_lake_has_nothing_to_update(world):
    here = world(**HOURS, days="2025-01-01")
    assert not refreshed(here).changed


def test_only_what_a_query_means_is_updated(world):
    here = world(
        datasets=["futures_um_klines"],
        symbols=["BTCUSDT", "ETHUSDT"],
        intervals=["1h"],
        days=("2024-12-28", "2025-01-03"),
        partitions=["daily"],
    )
    here.pull(QUERY.symbols("*USDT").between("2024-12-28", "2024-12-30"))
    done = update(here.lake.context, QUIET, QUERY.symbols("ETHUSDT"))
    assert done.changes["symbol"].to_list() == ["ETHUSDT"]


def test_an_archive_that_does_not_answer_cannot_say_what_is_new(world):
    here = world(**HOURS, days="2025-01-01")
    here.pull(QUERY.between("2025-01-01"))
    away = cl.Lake(
        here.lake.root, source=cl.Archive(bucket="damaged", endpoint_url="http://127.0.0.1:9")
    )
    with pytest.raises(cl.ListingError):
        update(away.context, QUIET)


def test_freshness_counts_the_days_since_the_newest_file(world):
    here = world(**HOURS, days=("2024-12-28", "2025-01-03"), partitions=["daily"])
    here.pull(QUERY.between("2024-12-28", "2025-01-01"))
    day = date(2025, 1, 8)
    [row] = freshness(here.lake.context, today=day).rows(named=True)
    assert (row["archive_newest"], row["archive_behind"]) == (date(2025, 1, 3), 4)
    assert (row["lake_newest"], row["lake_behind"]) == (date(2025, 1, 1), 2)
    assert row["status"] == "the archive is 4 days behind"
    [row] = freshness(here.lake.context, today=row["archive_newest"] + timedelta(days=1)).rows(
        named=True
    )
    assert row["status"] == "up to date"


def test_a_discontinued_type_says_its_last_day(world):
    here = world(
        datasets=["options_eoh_summary"], symbols=["BTCUSDT"], days=("2023-10-22", "2023-10-23")
    )
    here.pull(
        cl.query()
        .markets("options")
        .data_types("EOHSummary")
        .symbols("BTCUSDT")
        .between("2023-10-22", "2023-10-23")
    )
    [row] = freshness(here.lake.context).rows(named=True)
    assert row["status"] == "discontinued on 2023-10-23"
    assert row["archive_behind"] == 0


def test_an_archive_that_ended_is_not_said_to_be_late(world):
    """A mirror or a sample: freshness, status and symbols have one notion of how far it is."""
    here = world(**HOURS | {"symbols": ["BTCUSDT", "SOLUSDT"]}, days=("2024-12-28", "2025-01-03"))
    here.pull(QUERY.between("2024-12-28", "2025-01-01"))
    [row] = freshness(here.lake.context).rows(named=True)
    assert row["status"] == "the archive ends on 2025-01-03"
    assert (row["archive_behind"], row["lake_behind"]) == (0, 2)
    [held] = here.lake.status().rows(named=True)
    assert (held["newest"], held["behind"]) == (date(2025, 1, 1), 2)
    symbols = here.lake.symbols("futures_um", spans=True, progress=False)
    assert set(symbols["status"]) == {"live"}


def test_a_lake_of_a_delisted_symbol_alone_is_not_behind_what_will_not_come(world):
    here = world(**HOURS | {"symbols": ["BTCUSDT", "SOLUSDT"]}, days=("2024-11-20", "2025-01-03"))
    for day in pl.date_range(date(2024, 12, 10), date(2025, 1, 3), eager=True):
        here.remove(key_of(f"{day}", symbol="SOLUSDT"))
    here.remove(key_of("2024-12", symbol="SOLUSDT"))
    here.publish()
    here.pull(QUERY.symbols("SOLUSDT").between("2024-12-01", "2024-12-09"))
    [row] = freshness(here.lake.context).rows(named=True)
    assert (row["archive_newest"], row["lake_behind"]) == (date(2025, 1, 3), 0)
    assert row["status"] == "the archive ends on 2025-01-03"
