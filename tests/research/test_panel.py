"""Panels: every bar of the grid once, holes with their causes, nothing mixed, nothing from the future."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.periods import Days
from cryptolake.research.panel import PanelBars, is_member, placed, spans_of

if TYPE_CHECKING:
    from pathlib import Path

    from cryptolake.archive.source import Archive

TIME = pl.Datetime("us", "UTC")
HOURS = cl.query().markets("spot").klines("1h").between("2024-12-31", "2025-01-02")


@pytest.fixture(scope="module")
def lake(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """Three days of spot 1h bars of BTCUSDT, one of ETHUSDT; read only."""
    lake = cl.Lake(tmp_path_factory.mktemp("panel") / "lake", source=archive)
    lake.pull(HOURS.symbols("BTCUSDT"), progress=False)
    lake.pull(HOURS.symbols("ETHUSDT").between("2025-01-01"), progress=False)
    return lake


def test_every_bar_of_the_grid_has_a_row_and_holes_are_null(lake: cl.Lake) -> None:
    query = HOURS.symbols("ETHUSDT", "BTCUSDT")
    found = lake.panel(query)
    assert found.columns == ["open_time", "BTCUSDT", "ETHUSDT"]
    assert found.schema["open_time"] == TIME
    begin = datetime(2024, 12, 31, tzinfo=UTC)
    assert found["open_time"].to_list() == [begin + timedelta(hours=n) for n in range(72)]
    rows = lake.silver(query).collect()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        own = dict(rows.filter(symbol=symbol).select("open_time", "close").iter_rows())
        assert found[symbol].to_list() == [own.get(time) for time in found["open_time"]]
    assert found["ETHUSDT"].null_count() == 48


def test_causes_are_those_of_the_gaps(lake: cl.Lake) -> None:
    query = HOURS.symbols("BTCUSDT", "ETHUSDT", "NOSUCHUSDT")
    found = lake.panel(query, "gap")
    assert found["BTCUSDT"].null_count() == 72
    assert set(found["NOSUCHUSDT"]) == {"not_listed"}
    told: dict[datetime, str] = {}
    for first, bars, cause in (
        lake.gaps(query).filter(symbol="ETHUSDT").select("first", "bars", "cause").iter_rows()
    ):
        told |= {first + timedelta(hours=n): cause for n in range(bars)}
    assert found["ETHUSDT"].to_list() == [told.get(time) for time in found["open_time"]]
    assert set(found["ETHUSDT"]) == {None, "not_pulled"}


def test_cells_outside_a_membership_are_null_and_say_so(lake: cl.Lake) -> None:
    spans = [
        ("BTCUSDT", datetime(2024, 12, 31, 5, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
        ("BTCUSDT", datetime(2025, 1, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 3, tzinfo=UTC)),
        ("ETHUSDT", datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC)),
    ]
    members = pl.DataFrame(spans, schema=["symbol", "from", "until"], orient="row")
    query = HOURS.symbols("*")
    values, why = (lake.panel(query, column, members=members) for column in ("close", "gap"))
    plain = lake.panel(query)
    here = [*range(5, 24), 25, 26]
    expected = [plain["BTCUSDT"][n] if n in here else None for n in range(72)]
    assert values["BTCUSDT"].to_list() == expected
    assert [why["BTCUSDT"][n] for n in range(72)] == [
        None if n in here else "not_member" for n in range(72)
    ]
    assert why["ETHUSDT"].to_list() == ["not_member"] * 48 + ["not_pulled"] * 24


def test_a_symbol_without_rows_is_named(lake: cl.Lake) -> None:
    with pytest.warns(cl.IncompleteWarning, match="no rows of NOSUCHUSDT are in the lake"):
        found = lake.panel(HOURS.symbols("BTCUSDT", "NOSUCHUSDT"))
    assert found["NOSUCHUSDT"].null_count() == 72


def test_other_rows_than_silver(lake: cl.Lake) -> None:
    query = HOURS.symbols("BTCUSDT", "ETHUSDT")
    rows = lake.silver(query).select("symbol", "open_time", range=pl.col("high") - pl.col("low"))
    found = lake.panel(query, "range", of=rows)
    by_hand = lake.panel(query, "high").drop("open_time") - lake.panel(query, "low").drop(
        "open_time"
    )
    assert found.drop("open_time").equals(by_hand)
    with pytest.raises(cl.InvalidQuery, match="one row a bar"):
        lake.panel(query, "range", of=pl.concat([rows, rows]))
    with pytest.raises(cl.InvalidQuery, match="lacks symbol"):
        lake.panel(query, "range", of=rows.drop("symbol"))


def test_a_recipe_of_gold(lake: cl.Lake, tmp_path: Path) -> None:
    own = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    query = HOURS.markets("futures_um").symbols("BTCUSDT")
    own.pull(query, progress=False)
    found = own.panel(query, "basis", of="basis")
    rows = own.gold("basis", query).select("open_time", "basis").collect()
    assert rows["basis"].null_count() < 72
    assert found.rename({"BTCUSDT": "basis"}).equals(rows.sort("open_time"))
    with pytest.raises(cl.InvalidQuery, match="basis"):
        own.panel(query, "basi", of="basis")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            HOURS.markets("futures_um", "futures_cm"),
            "one market.* volume is base asset in futures_um and contracts",
        ),
        (HOURS.markets("spot", "futures_um"), "one market"),
        (HOURS.markets("futures_um").data_types("klines", "markPriceKlines"), "one data type"),
        (HOURS.klines("1h", "4h"), "one interval"),
        (HOURS.data_types("trades").intervals(), "rows at times of their own"),
        (
            HOURS.markets("futures_um").data_types("metrics").intervals(),
            "rows at times of their own",
        ),
    ],
)
def test_what_does_not_go_into_one_table_is_refused(
    lake: cl.Lake, query: cl.Query, words: str
) -> None:
    with pytest.raises(cl.InvalidQuery, match=words) as caught:
        lake.panel(query.symbols("BTCUSDT"))
    assert str(caught.value).count(". ") == 0


def test_unknown_columns_and_odd_members_are_refused(lake: cl.Lake) -> None:
    query = HOURS.symbols("BTCUSDT")
    with pytest.raises(cl.InvalidQuery, match="did you mean 'close'"):
        lake.panel(query, "clos")
    with pytest.raises(cl.InvalidQuery, match="lacks until"):
        lake.panel(query, members=pl.DataFrame({"from": [date(2025, 1, 1)], "symbol": ["BTCUSDT"]}))
    with pytest.raises(cl.InvalidQuery, match="no times in from, until"):
        spans_of(pl.DataFrame({"from": ["a"], "until": ["b"], "symbol": ["BTCUSDT"]}))


def test_a_row_off_the_grid_is_not_moved() -> None:
    day = datetime(2018, 2, 9, tzinfo=UTC)
    grid = pl.Series("open_time", [day + timedelta(hours=n) for n in range(4)], TIME)
    times = [day, day + timedelta(hours=1, minutes=28), day + timedelta(hours=3)]
    rows = pl.DataFrame({"open_time": pl.Series(times, dtype=TIME), "close": [1.0, 2.0, 3.0]})
    found = placed(rows, grid, Interval.H1)
    assert found.values.to_list() == [1.0, None, None, 3.0]
    assert found.off is not None
    assert found.off.to_list() == [False, True, False, False]


@settings(max_examples=40)
@given(
    st.dates(date(2017, 1, 1), date(2026, 1, 1)),
    st.integers(0, 70),
    st.sampled_from([Interval(word) for word in ("1h", "8h", "1d", "3d", "1w", "1mo")]),
)
def test_the_grid_has_every_bar_that_opens_in_the_days(
    first: date, more: int, interval: Interval
) -> None:
    span = Days(first, first + timedelta(days=more))
    hours = (span.begin + timedelta(hours=n) for n in range((more + 1) * 24))
    assert _grid(span, interval) == [time for time in hours if _opens(time, interval.value)]


def _opens(time: datetime, interval: str) -> bool:
    """Say whether a bar opens at a full hour, by the calendar."""
    days = (time.date() - date(1970, 1, 1)).days
    at_midnight = {"1d": True, "3d": days % 3 == 0, "1w": time.weekday() == 0, "1mo": time.day == 1}
    if interval in at_midnight:
        return time.hour == 0 and at_midnight[interval]
    return time.hour % int(interval.removesuffix("h")) == 0


def _grid(days: Days, interval: Interval) -> list[datetime]:
    return PanelBars(Market.SPOT, DataType.KLINES, interval, days).grid().to_list()


@given(st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), max_size=4))
def test_membership_is_half_open(spans: list[tuple[int, int]]) -> None:
    grid = pl.Series(range(10))
    found = is_member(grid, spans).to_list()
    assert found == [any(begin <= n < until for begin, until in spans) for n in range(10)]
