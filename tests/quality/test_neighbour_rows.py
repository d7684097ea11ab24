"""Rows of a day that stand in the file of the day before: planned, read, placed, and counted once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Market
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import with_key_parts
from cryptolake.listing.folders import Folder
from cryptolake.planning.late_rows import days_to_list, files_before
from cryptolake.planning.planner import plan_of
from tests.quality.world import key_of

HEAD = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
FIVE = timedelta(minutes=5)


def metrics(day: str, symbol: str, *, first: int = 1, rows: int = 288) -> str:
    """A day's file; ``first`` 1 labels each five minutes by their end, 0 by their start."""
    begin = datetime.fromisoformat(day)
    lines = (
        f"{begin + FIVE * (first + n):%Y-%m-%d %H:%M:%S},{symbol},{n + 1}.5,{day[-2:]}.25,1,1,1,1\n"
        for n in range(rows)
    )
    return HEAD + "".join(lines)


def files(symbol: str, *days: str, market: str = "futures/um", first: int = 1) -> dict[str, str]:
    return {
        key_of(day, market=market, symbol=symbol, data_type="metrics"): metrics(
            day, symbol, first=first
        )
        for day in days
    }


def query(symbol: str, *days: str, market: str = "futures_um") -> cl.Query:
    return cl.query().markets(market).data_types("metrics").symbols(symbol).between(*days)


def periods(plan: cl.Plan) -> list[str]:
    return plan.files["period"].to_list()


@pytest.mark.parametrize("day", ["2024-02-29", "2024-03-01", "2024-01-01"])
def test_a_day_is_whole_whatever_file_its_first_row_is_in(written, day):
    """In the middle of a month, on the first day of one, and of a year."""
    before = str(date.fromisoformat(day) - timedelta(days=1))
    here = written(files("WIFUSDT", before, day))
    asked = query("WIFUSDT", day)
    plan = here.lake.plan(asked)
    assert (periods(plan), plan.missing) == ([before, day], 0)
    here.pull(asked)
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    grid = [begin + FIVE * n for n in range(288)]
    assert here.lake.frame(asked, progress=False)["time"].to_list() == grid
    assert here.lake.silver(asked, exact=True).collect()["time"].to_list() == grid
    text = f"from silver.futures_um_metrics where time >= '{day}' and time < '{day}'::date + 1"
    assert len(here.lake.sql(text)) == 288
    assert here.quality(asked).select("expected", "missing").rows() == [(288, 0)]
    # The row is the one of the file before, which is the last five minutes of the day before.
    [first] = here.lake.silver(asked).filter(time=begin).collect().rows(named=True)
    assert first["open_interest"] == 288.5
    assert here.lake.plan(asked).to_transfer == 0


def test_each_row_is_counted_once_and_months_hold_their_own_rows(written):
    days = [str(date(2024, 4, 28) + timedelta(days=n)) for n in range(5)]
    here = written(files("WIFUSDT", *days))
    for day in days[1:]:
        here.pull(query("WIFUSDT", day))
    whole = here.lake.silver(query("WIFUSDT", days[0], days[-1])).collect()
    assert whole.height == 5 * 288 - 1  # all but the one that belongs after the last day
    assert whole["time"].is_unique().all()
    account = (
        here.lake.meta.read("sources")
        .unique(["path", "key"], keep="last")
        .group_by("key")
        .agg(pl.col("rows_in", "rows_out", "duplicates", "rejects").sum())
        .sort("key")
    )
    assert account["rows_in"].to_list() == [288] * 5
    assert account["rows_out"].to_list() == [288] * 5
    assert here.lake.datasets().filter(zone="bronze")["rows"].to_list() == [5 * 288]
    for path in here.lake.meta.read("months")["path"].unique():
        month = pl.read_parquet(f"{here.lake.root}/{path}")
        assert month["time"].dt.strftime("%Y-%m").unique().to_list() == [path[-15:-8]]


def test_days_pulled_one_by_one_and_together_give_the_same_months(written, tmp_path):
    days = [str(date(2023, 7, 30) + timedelta(days=n)) for n in range(4)]
    here = written(files("WIFUSDT", *days))
    for day in reversed(days[1:]):
        here.pull(query("WIFUSDT", day))
    other = cl.Lake(tmp_path / "other", source=here.lake.context.archive)
    other.pull(query("WIFUSDT", days[1], days[-1]), progress=False)

    def hashes(lake: cl.Lake) -> dict[str, str]:
        newest = lake.meta.read("months").unique("path", keep="last")
        return dict(newest.select("path", "sha256").iter_rows())

    assert hashes(here.lake) == hashes(other)
    assert len(hashes(other)) == 2


def test_labels_by_the_start_of_the_five_minutes_need_no_neighbour(written):
    here = written(
        files("WIFUSDT", "2026-06-24", first=1)
        | files("WIFUSDT", "2026-06-25", "2026-06-26", first=0)
        | files("ADAUSD_PERP", "2024-02-10", "2024-02-11", market="futures/cm", first=0)
    )
    assert periods(here.lake.plan(query("WIFUSDT", "2026-06-26"))) == ["2026-06-26"]
    coin = query("ADAUSD_PERP", "2024-02-11", market="futures_cm")
    assert periods(here.lake.plan(coin)) == ["2024-02-11"]
    # Where the labels change both files have 00:00: the day's own row counts, the other is a duplicate.
    asked = query("WIFUSDT", "2026-06-25")
    report = here.pull(asked)
    assert report.months["duplicates"].to_list() == [1]
    rows = here.lake.silver(asked).collect()
    assert (rows.height, rows["open_interest"][0]) == (288, 1.5)


def test_a_day_without_a_file_is_missing_and_its_neighbour_is_not_fetched(written):
    here = written(files("WIFUSDT", "2024-05-05", "2024-05-07"))
    plan = here.lake.plan(query("WIFUSDT", "2024-05-06"))
    assert (periods(plan), plan.missing) == ([], 1)
    first = here.lake.plan(query("WIFUSDT", "2024-05-05"))
    assert (periods(first), first.missing) == (["2024-05-05"], 0)


def test_only_folders_that_keep_rows_in_the_file_before_are_asked_for_it():
    matrix = load_matrix()
    late = Folder(matrix.row(Market.FUTURES_UM, DataType.METRICS), "AUSDT")
    other = Folder(matrix.row(Market.FUTURES_UM, DataType.BOOK_DEPTH), "AUSDT")
    days = Days(date(2024, 1, 1), date(2024, 1, 2))
    assert days_to_list([other], days) == days
    assert days_to_list([other, late], days).first == date(2023, 12, 31)
    listed = pl.DataFrame(
        {
            "folder": [0, 0, 1, 1],
            "partition": "daily",
            "day": [date(2023, 12, 31), days.first, date(2023, 12, 31), days.first],
        }
    )
    chosen = listed.filter(day=days.first)
    found = files_before([other, late], listed, days, chosen)
    assert found.rows() == [(1, "daily", date(2023, 12, 31))]
    assert files_before([other, late], listed, days, chosen.clear()).height == 0


def test_a_lake_without_the_file_before_is_told_of_it_and_heal_fetches_it(written):
    """A lake that an earlier release pulled has the day's own file alone."""
    here = written(files("WIFUSDT", "2024-09-30", "2024-10-01"))
    asked = query("WIFUSDT", "2024-10-01")
    plan = here.lake.plan(asked)
    alone = plan_of(with_key_parts(plan.files.filter(period="2024-10-01")), here.lake.context)
    here.lake.transfer(alone, progress=False)
    here.lake.build(asked, progress=False)
    [gap] = here.gaps(asked).rows(named=True)
    assert (gap["bars"], gap["cause"]) == (1, "not_pulled")
    assert "file of the day before" in gap["evidence"]
    [healed] = here.lake.heal(asked, progress=False).rows(named=True)
    assert (healed["unit"], healed["filled"], healed["outcome"]) == ("bars", 1, "healed")
    assert [key[-14:-4] for key in healed["fetched"]] == ["2024-09-30"]
    assert here.lake.silver(asked).collect().height == 288
    assert here.gaps(asked).height == 0
