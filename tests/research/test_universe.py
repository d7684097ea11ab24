"""Universes: who traded most as of each period's start, by an independent computation, and nothing from the future."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.periods import Days
from cryptolake.research.universe import periods, ranked
from tests.research.conftest import daily_key
from tests.research.lookahead import compared

if TYPE_CHECKING:
    from tests.research.conftest import DailyArchive

ASKED = cl.query().markets("futures_um").universe(quote="USDT").between("2024-02", "2024-04")
OUT = {"USDCUSDT", "BTCUPUSDT", "ETHBTC"}


@pytest.fixture(scope="module")
def lake(daily_archive: DailyArchive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """A lake that has asked for the universe once; read only."""
    lake = cl.Lake(tmp_path_factory.mktemp("universe") / "lake", source=daily_archive.source)
    lake.universe(ASKED, each="1d", progress=False)
    return lake


def by_hand(
    volumes: dict[tuple[str, date], float], starts: list[date], top: int, over: int = 30
) -> list[tuple[date, int, str, float, int]]:
    """Rank in plain Python: the days before each start."""
    found = []
    for start in starts:
        window = [start - timedelta(days=n) for n in range(over, 0, -1)]
        newest = max(day for _, day in volumes if day < start)
        sums = []
        for symbol in {name for name, _ in volumes} - OUT:
            own = [volumes[symbol, day] for day in window if (symbol, day) in volumes]
            if volumes.get((symbol, newest), 0) > 0:
                sums.append((-sum(own), symbol, len(own)))
        found += [
            (start, rank, symbol, -total, days)
            for rank, (total, symbol, days) in enumerate(sorted(sums)[:top], 1)
        ]
    return found


def rows_of(found: pl.DataFrame) -> list[tuple[date, int, str, float, int]]:
    day = pl.col("from").dt.date()
    return found.select(day, "rank", "symbol", pl.col("quote_volume"), "days").rows()


def same(found: pl.DataFrame, expected: list[tuple[date, int, str, float, int]]) -> bool:
    rows = rows_of(found)
    close = all(abs(a[3] - b[3]) < 1e-6 * b[3] for a, b in zip(rows, expected, strict=True))
    return close and [(*r[:3], r[4]) for r in rows] == [(*r[:3], r[4]) for r in expected]


def test_a_universe_is_that_of_an_independent_computation(
    lake: cl.Lake, daily_archive: DailyArchive
) -> None:
    found = lake.universe(ASKED, top=4, progress=False)
    assert found.columns == ["from", "until", "rank", "symbol", "quote_volume", "days"]
    starts = [date(2024, month, 1) for month in (2, 3, 4)]
    assert same(found, by_hand(daily_archive.volumes, starts, 4))
    ends = found.select("until").unique().sort("until")["until"].dt.date().to_list()
    assert ends == [date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)]
    daily = lake.universe(ASKED, top=9, over="7d", each="1d", progress=False)
    starts = [date(2024, 2, 1) + timedelta(days=n) for n in range(90)]
    assert same(daily, by_hand(daily_archive.volumes, starts, 9, over=7))


def test_who_is_in_it(lake: cl.Lake) -> None:
    found = lake.universe(ASKED, progress=False)
    members = {
        f"{start:%m}": set(part["symbol"])
        for (start,), part in found.partition_by("from", as_dict=True).items()
    }
    always = {"BTCUSDT", "ETHUSDT", "JUPUSDT"}
    assert members["02"] == always | {"LUNAUSDT", "IDLEUSDT", "ICPUSDTSETTLED"}
    assert members["03"] == always | {"LUNAUSDT", "NEWUSDT", "ICPUSDTSETTLED"}
    assert members["04"] == always | {"NEWUSDT"}


def test_it_fetches_bronze_once_and_builds_no_silver(lake: cl.Lake) -> None:
    assert not Path(lake.root, "silver").exists()
    runs = lake.runs().height
    before = {path: path.stat().st_mtime_ns for path in Path(lake.root, "gold").rglob("*.parquet")}
    assert len(before) == 4
    lake.universe(ASKED, progress=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert lake.runs().height == runs


def test_a_file_that_went_is_fetched_again(lake: cl.Lake, tmp_path: Path) -> None:
    own = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    key = daily_key("BTCUSDT", "2024-01")
    own.storage.delete(f"bronze/{key}")
    own.meta.append("files", [{"key": key, "event": "removed"}])
    found = own.universe(ASKED, progress=False)
    assert own.storage.exists(f"bronze/{key}")
    assert found.equals(lake.universe(ASKED, progress=False))


def test_a_damaged_note_of_what_was_fetched_counts_as_none(lake: cl.Lake, tmp_path: Path) -> None:
    own = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    (note,) = Path(own.root).rglob("fetched-*")
    whole = lake.universe(ASKED, top=1, progress=False)
    month = '{"2024-02": ["2024-02-01", "2024-02-29", "", %s]}'
    wrong = ["[]", "5", '{"2024-02": 5}', month % 7, month % '"2024-03-01T00:00:00"', "[" * 100_000]
    for text in wrong:
        note.write_text(text)
        assert own.universe(ASKED, top=1, progress=False).equals(whole)


def test_what_a_wrong_clock_says_was_listed_in_the_future_is_asked_anew(
    lake: cl.Lake, tmp_path: Path
) -> None:
    own = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    (note,) = Path(own.root).rglob("fetched-*")
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    told = json.loads(note.read_text())
    note.write_text(json.dumps({month: [*item[:3], ahead] for month, item in told.items()}))
    own.universe(ASKED, progress=False)
    listed = {month: item[3] for month, item in json.loads(note.read_text()).items()}
    assert [month for month in ("2024-01", "2024-02", "2024-03") if listed[month] == ahead] == []


def test_panel_of_members(lake: cl.Lake, tmp_path: Path) -> None:
    own = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    members = own.universe(ASKED, top=3, progress=False)
    query = ASKED.klines("1d").symbols(members["symbol"].unique().to_list())
    own.pull(query, progress=False)
    panel, why = (own.panel(query, column, members=members) for column in ("quote_volume", "gap"))
    told = members.select("symbol", pl.datetime_ranges("from", "until", "1d", closed="left"))
    inside = {(symbol, time) for symbol, time in told.explode("from").iter_rows()}
    for symbol in panel.columns[1:]:
        for time, value, cause in zip(panel["open_time"], panel[symbol], why[symbol], strict=True):
            assert (cause == "not_member") == ((symbol, time) not in inside)
            assert (value is None) == (cause is not None)
    assert set(why["LUNAUSDT"]) == {None, "not_listed", "not_member"}


MOMENTS = [datetime(2024, 3, 10, 7, 23, tzinfo=UTC), datetime(2024, 4, 1, 0, 0, 1, tzinfo=UTC)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_future_moves_nothing(lake: cl.Lake, moment: datetime, tmp_path: Path) -> None:
    """Rows that were not known at the moment get other volumes: what was decided by then stays."""
    other = cl.Lake(shutil.copytree(lake.root, tmp_path / "lake"), source=lake.source)
    later = 0
    for path in Path(other.root, "gold").rglob("*.parquet"):
        rows = pl.read_parquet(path, hive_partitioning=False)
        # When a day is known is written here apart from the code under test: when it is over.
        future = (pl.col("open_time") + pl.duration(days=1)) > moment
        later += rows.filter(future).height
        mixed = pl.when(future).then(pl.col("quote_volume").shuffle(7) * 50 + 1)
        rows.with_columns(mixed.otherwise("quote_volume").alias("quote_volume")).write_parquet(
            path, metadata=pl.read_parquet_metadata(path)
        )
    assert later
    for each in ("1mo", "1w", "1d"):
        one, two = (
            item.universe(ASKED, top=4, over="5d", each=each, progress=False)
            for item in (lake, other)
        )
        seen = compared(one, two, pl.col("from") <= moment)
        assert seen.decided > 0
        assert seen.changed == 0
        assert seen.changed_later > 0 or moment == MOMENTS[-1]
    # The control looks at the day that begins with the period: it leaks.
    leak, moved = (_by_open_time(item) for item in (lake, other))
    assert compared(leak, moved, pl.col("from") <= moment).changed > 0


def _by_open_time(lake: cl.Lake) -> pl.DataFrame:
    rows = pl.read_parquet(f"{lake.root}/gold/daily/market=futures_um/*.parquet")
    daily = rows.select("symbol", "open_time", "quote_volume", known_at="open_time")
    names = daily["symbol"].unique()
    spans = periods(Days(date(2024, 2, 10), date(2024, 4, 1)), "1d")
    return ranked(
        daily, spans, by="quote_volume", over=timedelta(days=5), top=4, among=set(names) - OUT
    )


def test_other_quotes_types_and_words_are_refused(lake: cl.Lake) -> None:
    market = ASKED.universe()
    with pytest.raises(cl.InvalidQuery, match=r"quoted in BTC, USDT.*universe\(quote='USDT'\)"):
        lake.universe(market, progress=False)
    for query, words, asked in (
        (ASKED.markets("spot", "futures_um"), "one market.* market spot, futures_um", {}),
        (ASKED.data_types("trades"), "data type trades", {}),
        (ASKED.markets("options"), "options", {}),
        (cl.query().markets("spot"), "say which days", {}),
        (ASKED, "did you mean 'quote_volume'", {"by": "quote_volum"}),
        (ASKED.markets("futures_cm"), "column to rank by", {}),
        (ASKED, "at least one symbol", {"top": 0}),
        (ASKED, "whole days", {"over": "8h"}),
        (ASKED, "cannot read 'monthly' as a period", {"each": "monthly"}),
    ):
        with pytest.raises(cl.InvalidQuery, match=words):
            lake.universe(query, **asked, progress=False)


days = st.dates(date(2018, 1, 1), date(2025, 12, 31))


@given(days, st.integers(0, 400), st.sampled_from(["1d", "7d", "1w", "2w", "1mo", "3mo", "1M"]))
def test_periods_cover_the_range_once(first: date, more: int, each: str) -> None:
    span = Days(first, first + timedelta(days=more))
    found = periods(span, each)
    assert found[0][0] == span.begin
    assert found[-1][0] < span.end <= found[-1][1]
    assert all(one[1] == two[0] and one[0] < one[1] for one, two in pairwise(found))
    for begin, _ in found[1:]:
        assert begin.weekday() == 0 if each.endswith("w") else True
        assert begin.day == 1 if each in ("1mo", "3mo", "1M") else True
        assert begin.month % 3 == 1 if each == "3mo" else True


volumes = st.dictionaries(
    st.tuples(st.sampled_from("ABCDE"), st.integers(0, 20)), st.integers(0, 5), min_size=1
)


@given(volumes, st.integers(1, 4), st.integers(1, 9))
def test_ranks_are_those_of_plain_python(
    known: dict[tuple[str, int], int], top: int, over: int
) -> None:
    first = date(2024, 1, 1)
    by_day = {(name, first + timedelta(days=n)): float(v) for (name, n), v in known.items()}
    rows = [(name, day, value) for (name, day), value in by_day.items()]
    daily = pl.DataFrame(rows, schema=["symbol", "day", "quote_volume"], orient="row").select(
        "symbol",
        pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("open_time"),
        "quote_volume",
    )
    daily = daily.with_columns(known_at=pl.col("open_time") + pl.duration(days=1))
    spans = periods(Days(first + timedelta(days=1), first + timedelta(days=24)), "3d")
    found = ranked(
        daily, spans, by="quote_volume", over=timedelta(days=over), top=top, among="ABCDE"
    )
    expected = []
    for begin, _ in spans:
        window = [begin.date() - timedelta(days=n) for n in range(1, over + 1)]
        traded = [day for (_, day), value in by_day.items() if day in window and value > 0]
        sums = [
            (-sum(own), name, len(own))
            for name in "ABCDE"
            if traded and by_day.get((name, max(traded)), 0) > 0
            for own in [[by_day[name, day] for day in window if (name, day) in by_day]]
        ]
        expected += [
            (begin.date(), rank, name, -total, count)
            for rank, (total, name, count) in enumerate(sorted(sums)[:top], 1)
        ]
    assert rows_of(found) == expected
