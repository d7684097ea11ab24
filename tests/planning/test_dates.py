"""Open ranges end with the newest day that the archive has published, or that the lake holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

import cryptolake as cl
from cryptolake.planning.dates import held_days, published_days
from tests.planning.source import FUNDING, SPOT, Source, source

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
NEWEST = TODAY - timedelta(days=2)
MONTH = (TODAY.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """BTCUSDT is alive, its newest day two days ago; DEADUSDT ended in 2024, OLDUSDT with a month of 2023."""
    with source(tmp_path_factory.mktemp("dates") / "archive", "archive-dates") as found:
        found.days("BTCUSDT", str(NEWEST - timedelta(days=5)), str(NEWEST))
        found.days("DEADUSDT", "2024-02-25", "2024-03-05")
        found.months("OLDUSDT", "2023-10", "2023-11")
        found.days("BTCUSDT", "2023-01-01", "2023-01-02", interval="1h")
        found.months("BTCUSDT", "2022-12", MONTH, interval="4h")
        found.months("BTCUSDT", MONTH, key=FUNDING)
        um = SPOT.replace("spot", "futures/um")
        found.days("BTCUSDT", str(NEWEST - timedelta(days=5)), str(NEWEST), key=um)
        found.publish()
        yield found


@pytest.fixture
def lake(tmp_path, origin: Source) -> cl.Lake:
    return cl.Lake(tmp_path / "lake", source=origin.archive)


def klines(*symbols: str, interval: str = "1m") -> cl.Query:
    return cl.query().markets("spot").klines(interval).symbols(*symbols)


def ends(query: cl.Query) -> tuple[date, date]:
    days = query.selection.days
    assert days
    return days.first, days.last


def end_of(month: str) -> date:
    return ends(cl.query().between(month))[1]


@pytest.mark.parametrize(
    ("query", "newest"),
    [
        (klines("BTCUSDT"), NEWEST),
        (klines("DEADUSDT"), date(2024, 3, 5)),
        (klines("OLDUSDT"), date(2023, 11, 30)),
        (klines("BTCUSDT", "DEADUSDT", "OLDUSDT"), NEWEST),
        (klines("*USDT"), NEWEST),
        (klines("DEADUSDT", "OLDUSDT"), date(2024, 3, 5)),
        (klines("BTCUSDT", interval="1h"), date(2023, 1, 2)),
        (klines("BTCUSDT", interval="4h"), end_of(MONTH)),
        (cl.query().markets("futures_um").data_types("fundingRate").symbols("*"), end_of(MONTH)),
    ],
)
def test_the_newest_day_is_the_newest_of_any_symbol_by_days_or_months(
    lake: cl.Lake, query: cl.Query, newest: date
):
    assert ends(lake.plan(query.last("3d")).query) == (newest - timedelta(days=2), newest)
    assert ends(lake.plan(query.since("2022-12-05")).query) == (date(2022, 12, 5), newest)


def test_of_two_data_types_the_newer_day_counts_and_the_other_lacks_periods(lake: cl.Lake):
    both = cl.query().markets("futures_um").data_types("klines", "fundingRate").intervals("1m")
    plan = lake.plan(both.symbols("BTCUSDT").since(NEWEST - timedelta(days=3)))
    assert ends(plan.query)[1] == NEWEST
    assert plan.files.filter(data_type="klines").height == 4
    if end_of(MONTH) < NEWEST:
        assert "fundingRate" in plan.missing_periods["data_type"]


def test_a_live_query_is_resolved_by_questions_that_its_plan_asks_anyway(
    lake: cl.Lake, origin: Source
):
    origin.forget()
    lake.plan(klines("BTCUSDT").between(NEWEST, NEWEST))
    plain = len(origin.asked)
    other = cl.Lake(f"{lake.root}-other", source=origin.archive)
    origin.forget()
    other.plan(klines("BTCUSDT").last("1d"))
    january = TODAY.month == 1 and TODAY.day < 5
    assert len(origin.asked) <= plain + january
    origin.forget()
    other.plan(klines("BTCUSDT").since(NEWEST))
    assert origin.asked == []


def test_a_plain_query_asks_nothing(lake: cl.Lake, origin: Source):
    origin.forget()
    query = klines("BTCUSDT").between("2024-01")
    assert published_days(query, lake.context) is query
    assert held_days(query, lake.context) is query
    assert origin.asked == []


def test_an_incomplete_query_a_start_after_the_newest_day_and_unknown_names_are_refused(
    lake: cl.Lake,
):
    with pytest.raises(cl.InvalidQuery, match="say which symbols"):
        lake.plan(cl.query().markets("spot").klines("1m").last("3d"))
    with pytest.raises(cl.NotPublished, match=f"newest day is {date(2024, 3, 5)}") as caught:
        lake.plan(klines("DEADUSDT").since("2024-03-06"))
    assert caught.value.nearest == date(2024, 3, 5)
    with pytest.raises(cl.NoSuchSymbol, match="BTCUSDT"):
        lake.plan(klines("BTCUSDTT").last("3d"))


def test_reads_of_the_lake_end_with_what_it_holds_and_ask_nothing(lake: cl.Lake, origin: Source):
    nothing_held = held_days(klines("BTCUSDT").last("3d"), lake.context)
    assert ends(nothing_held)[1] == YESTERDAY
    key = SPOT.format(partition="daily", symbol="DEADUSDT", interval="1m", period="2024-03-01")
    month = SPOT.format(partition="monthly", symbol="OLDUSDT", interval="1m", period="2023-10")
    lake.meta.append("files", [{"key": name, "event": "stored"} for name in (key, month)])
    origin.forget()
    for words, newest in [("*", date(2024, 3, 1)), ("OLDUSDT", date(2023, 10, 31))]:
        held = held_days(klines(words).last("3d"), lake.context)
        assert ends(held) == (newest - timedelta(days=2), newest)
    with pytest.raises(cl.NotPublished):
        held_days(klines("OLDUSDT").since("2024"), lake.context)
    assert origin.asked == []
