"""Each data type is held to its own clock: what is missing by it, and what is said of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.archive.enums import Interval
from cryptolake.archive.grid import Beats, expected_numbers, number_of, open_of, present_numbers
from tests.quality.world import World

HOUR = timedelta(hours=1)
Written = Callable[[dict[str, str]], World]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def asked(market: str, data_type: str, symbol: str, *days: str) -> cl.Query:
    query = cl.query().markets(market).data_types(data_type).symbols(symbol).between(*days)
    return query.intervals("1m") if data_type.endswith("Klines") else query


def told(here: World, query: cl.Query) -> dict[str, Any]:
    here.pull(query)
    [row] = here.quality(query).rows(named=True)
    return row


# ---------------------------------------------------------------- fundings


def fundings(rows: Iterable[tuple[int, int]]) -> str:
    head = "calc_time,funding_interval_hours,last_funding_rate\n"
    return head + "".join(f"{time},{hours},0.0001\n" for time, hours in rows)


def schedule(begin: str, end: str, hours: int, jitter: int = 7) -> list[tuple[int, int]]:
    return [(t + jitter, hours) for t in range(ms(begin), ms(end), hours * 3_600_000)]


CHANGED = schedule("2024-06-01", "2024-06-11", 8) + schedule("2024-06-11", "2024-07-01", 1)


@pytest.mark.parametrize(
    ("rows", "expected", "missing"),
    [
        (schedule("2024-06-01", "2024-07-01", 4), 180, 0),
        (schedule("2024-06-01", "2024-07-01", 4)[::2], 180, 90),
        (CHANGED, 30 + 480, 0),
        (CHANGED[:200] + CHANGED[203:], 30 + 480, 3),
        (CHANGED[:20] + CHANGED[22:], 30 + 480, 2),
        # The step of the row before it: the file says the hours that ended.
        ([*CHANGED[:30], (CHANGED[30][0], 8), *CHANGED[31:]], 30 + 480, 0),
        (CHANGED[:-24], 30 + 480, 24),
        (CHANGED[3:], 30 + 480, 3),
    ],
)
def test_fundings_are_held_to_the_hours_that_rows_say(written: Written, rows, expected, missing):
    key = "data/futures/cm/monthly/fundingRate/{0}/{0}-fundingRate-{1}.zip"
    first = "ETHUSD_PERP"
    around = {
        key.format(first, "2024-05"): fundings(schedule("2024-05-01", "2024-06-01", 8)),
        key.format(first, "2024-07"): fundings(schedule("2024-07-01", "2024-08-01", 8)),
    }
    here = written({key.format(first, "2024-06"): fundings(rows), **around})
    row = told(here, asked("futures_cm", "fundingRate", first, "2024-06"))
    assert (row["expected"], row["missing"], row["unit"]) == (expected, missing, "fundings")
    assert row["coverage"] == pytest.approx(1 - missing / expected)


def test_a_gap_of_fundings_says_which_and_why(written: Written):
    rows = schedule("2024-06-01", "2024-07-01", 4)
    key = "data/futures/um/monthly/fundingRate/XUSDT/XUSDT-fundingRate-2024-06.zip"
    query = asked("futures_um", "fundingRate", "XUSDT", "2024-06")
    here = written({key: fundings(rows[:60] + rows[64:])})
    told(here, query)
    [gap] = here.gaps(query).rows(named=True)
    assert (gap["first"], gap["last"]) == (
        datetime(2024, 6, 11, tzinfo=UTC),
        datetime(2024, 6, 11, 12, tzinfo=UTC),
    )
    assert (gap["bars"], gap["unit"], gap["cause"]) == (4, "fundings", "not_published")
    assert "absent in the monthly file" in gap["evidence"]
    assert "goes on through halts" in gap["evidence"]


def test_beats_are_numbered_by_their_place_and_go_on_outside():
    day = datetime(2024, 1, 1, tzinfo=UTC)
    beats = Beats.of([(day + 8 * HOUR, 8 * HOUR)], day, day + 24 * HOUR, HOUR)
    assert list(expected_numbers(beats, day, day + 24 * HOUR)) == [0, 1, 2]
    for number in range(-3, 7):
        assert number_of(open_of(number, beats), beats) == number
        assert number_of(open_of(number, beats) + HOUR, beats) == number
    import polars as pl

    times = pl.Series([day + 16 * HOUR, day]).dt.cast_time_unit("us")
    assert present_numbers(times, beats).to_list() == [0, 2]
    assert Interval.H1.length == HOUR


# ---------------------------------------------------------------- feeds with a fixed step


def stamps(begin: str, end: str, step: float) -> list[datetime]:
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end))
    count = int((last - first).total_seconds() / step)
    return [first + timedelta(seconds=number * step) for number in range(count)]


def metrics(times: Iterable[datetime]) -> str:
    head = (
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
        "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
    )
    return head + "".join(f"{t:%F %T},AUSDT,1.5,2.5,1.1,1.2,1.3,1.4\n" for t in times)


def depth(times: Iterable[datetime]) -> str:
    return "timestamp,percentage,depth,notional\n" + "".join(
        f"{t:%F %T},{level},{abs(level)}.5,{abs(level)}00.5\n" for t in times for level in (-1, 1)
    )


def volatility(times: Iterable[datetime]) -> str:
    return "calc_time,symbol,base_asset,quote_asset,index_value\n" + "".join(
        f"{int(t.timestamp() * 1000) - number % 2},ETHBVOLUSDT,ETHBVOL,USDT,55.5\n"
        for number, t in enumerate(times)
    )


DAY = ("2024-02-06", "2024-02-07")
HOLE = (datetime(2024, 2, 6, 9, tzinfo=UTC), datetime(2024, 2, 6, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("market", "folder", "data_type", "symbol", "step", "text", "expected", "missing", "unit"),
    [
        ("futures_um", "futures/um", "metrics", "AUSDT", 300, metrics, 288, 72, "bars"),
        ("futures_cm", "futures/cm", "bookDepth", "AUSD_PERP", 30, depth, 1440, 360, "minutes"),
        ("options", "option", "BVOLIndex", "ETHBVOLUSDT", 1, volatility, 86400, 21600, "seconds"),
    ],
)
def test_six_hours_of_a_feed_are_missing_by_its_own_clock(
    written: Written, market, folder, data_type, symbol, step, text, expected, missing, unit
):
    key = f"data/{folder}/daily/{data_type}/{symbol}/{symbol}-{data_type}-2024-02-0{{}}.zip"
    before = stamps("2024-02-05", "2024-02-06", step)
    day = [t for t in stamps(*DAY, step) if not HOLE[0] <= t < HOLE[1]]
    here = written({key.format(5): text(before), key.format(6): text(day)})
    query = asked(market, data_type, symbol, "2024-02-05", "2024-02-06")
    row = told(here, query)
    assert (row["expected"], row["missing"], row["unit"]) == (2 * expected, missing, unit)
    [gap] = here.gaps(query).rows(named=True)
    assert (gap["first"], gap["bars"], gap["cause"]) == (HOLE[0], missing, "not_published")


# ---------------------------------------------------------------- prices and their samples


def prices(begin: str, count: int, samples: Callable[[int], int]) -> str:
    first = ms(begin)
    return "".join(
        f"{first + n * 60_000},9.5,9.5,9.5,9.5,0,{first + n * 60_000 + 59_999},0,{samples(n)},0,0,0\n"
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("data_type", "samples", "missing", "thin"),
    [
        ("indexPriceKlines", lambda n: 60, 0, 0),
        ("indexPriceKlines", lambda n: 0 if 100 <= n < 110 else 60, 10, 10),
        ("premiumIndexKlines", lambda n: 3 if n < 7 else 12, 0, 7),
        ("markPriceKlines", lambda n: 0, 0, 0),  # a time whose files have no counts
    ],
)
def test_a_price_without_a_sample_is_missing_and_one_of_few_is_thin(
    written: Written, data_type, samples, missing, thin
):
    key = f"data/futures/um/daily/{data_type}/AUSDT/1m/AUSDT-1m-2024-02-06.zip"
    here = written({key: prices("2024-02-06", 1440, samples)})
    query = asked("futures_um", data_type, "AUSDT", "2024-02-06", "2024-02-06")
    row = told(here, query)
    assert (row["rows"], row["missing"], row["thin"]) == (1440, missing, thin)
    if missing:
        assert here.gaps(query)["evidence"].str.contains("no sample").all()


# ---------------------------------------------------------------- ticks


def aggregates(times: Iterable[datetime], start: int) -> str:
    return "".join(
        f"{n},2.5,3,{n},{n},{int(t.timestamp() * 1000)},true\n" for n, t in enumerate(times, start)
    )


@pytest.mark.parametrize(
    ("hours", "silent"),
    [(range(9, 15), 6), (range(0), 0), (range(17, 24), 7), (range(1, 23, 2), 0)],
)
def test_hours_without_a_tick_lower_the_coverage_of_a_busy_symbol(written: Written, hours, silent):
    """Of one that trades every other hour nobody can say."""
    texts, number = {}, 1
    often = len(hours) == 11  # a symbol that is silent every day
    for day in ("2023-03-04", "2023-03-05", "2023-03-06"):
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
        times = [begin + timedelta(minutes=20 * n) for n in range(72)]
        if often or day.endswith("05"):
            times = [t for t in times if t.hour not in hours]
        key = f"data/futures/um/daily/aggTrades/AUSDT/AUSDT-aggTrades-{day}.zip"
        texts[key] = aggregates(times, number)
        number += len(times)
    here = written(texts)
    row = told(here, asked("futures_um", "aggTrades", "AUSDT", "2023-03-04", "2023-03-06"))
    assert (row["expected"], row["missing"], row["silent"]) == (3, 0, silent)
    assert row["coverage"] == pytest.approx(1 - silent / 72)
