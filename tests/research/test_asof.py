"""Joins: every row against a search by hand, whatever the order, the nulls and the holes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cryptolake as cl
import cryptolake.research.asof
from cryptolake.errors import IncompleteWarning, InvalidQuery
from cryptolake.research.asof import newest
from tests.research.conftest import COINS, DAYS, FUTURES, silver
from tests.research.lookahead import at

MINUTES = FUTURES.klines("1m").between(*DAYS)
BEGIN = at("2024-01-01")
TIME = pl.Datetime("us", "UTC")


def by_hand(
    instant: datetime, rows: list[tuple[datetime, float | None]], age: timedelta
) -> float | None:
    fitting = [
        (time, place, value)
        for place, (time, value) in enumerate(rows)
        if value is not None and value == value and instant - age <= time <= instant
    ]
    return max(fitting)[2] if fitting else None


numbers = st.integers(0, 40)


@settings(max_examples=100)
@given(
    st.lists(numbers, min_size=1, max_size=12),
    st.lists(st.tuples(numbers, st.one_of(st.none(), st.floats(0, 9), st.just(float("nan"))))),
    st.integers(0, 20),
)
def test_the_newest_value_that_is_there_is_joined(instants, right, age) -> None:
    rows = [(BEGIN + timedelta(seconds=second), value) for second, value in right]
    wanted = [BEGIN + timedelta(seconds=second) for second in instants]
    frame = pl.DataFrame(
        {"known": [time for time, _ in rows], "value": [value for _, value in rows]},
        schema={"known": TIME, "value": pl.Float64},
    )
    length = timedelta(seconds=age)
    found = newest(pl.Series(wanted, dtype=TIME), frame, length)
    assert found["value"].to_list() == [by_hand(instant, rows, length) for instant in wanted]
    times = [[time for time, _ in rows if i - length <= time <= i] for i in wanted]
    assert found["known"].to_list() == [max(seen, default=None) for seen in times]


def test_rows_of_a_lake_are_those_found_by_hand(futures: cl.Lake) -> None:
    found = futures.asof(MINUTES, "fundingRate", "metrics", "markPriceKlines:1h").collect()
    base = futures.silver(MINUTES).collect()
    assert found.select(base.columns).equals(base)
    funding = futures.silver(FUTURES.data_types("fundingRate")).collect()
    metrics = futures.silver(FUTURES.data_types("metrics")).collect()
    mark = futures.silver(FUTURES.data_types("markPriceKlines").intervals("1h")).collect()
    later = timedelta(minutes=5), timedelta(hours=1)
    rates = [*funding.select("time", "funding_rate").iter_rows()]
    interest = [
        (time + later[0], oi) for time, oi in metrics.select("time", "open_interest").rows()
    ]
    marks = [(time + later[1], close) for time, close in mark.select("open_time", "close").rows()]
    for row in found[::97].iter_rows(named=True):
        end = row["open_time"] + timedelta(minutes=1)
        assert row["funding_rate"] == by_hand(end, rates, timedelta(hours=9))
        assert row["open_interest"] == by_hand(end, interest, timedelta(minutes=15))
        assert row["mark_price_klines_close"] == by_hand(
            end, marks, later[1] - timedelta.resolution
        )
    assert found["funding_rate"].null_count() == 0
    assert (found["funding_rate_known_at"] == found["funding_rate_time"]).all()


def test_the_open_decides_by_the_open_and_a_lag_comes_on_top(futures: cl.Lake) -> None:
    at_open = futures.asof(MINUTES, "metrics", at="open").collect()
    assert (at_open["metrics_known_at"] <= at_open["open_time"]).all()
    late = futures.asof(MINUTES, "metrics", lag={"metrics": "1d"}).collect()
    age = (late["metrics_known_at"] - late["metrics_time"]).drop_nulls()
    assert set(age) == {timedelta(days=1, minutes=5)}
    assert late["metrics_known_at"].drop_nulls().min() >= at("2025-01-01")  # type: ignore[operator]


def test_bars_off_the_order_of_their_ends_are_joined_in_their_own_order(tmp_path: Path) -> None:
    opens = [BEGIN + timedelta(hours=n) for n in range(3)]
    closes = [opens[0] + timedelta(minutes=150), *(t + timedelta(minutes=60) for t in opens[1:])]
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), [1.0] * 3)
    silver(
        tmp_path / "lake",
        "futures_um/klines:1h/BTCUSDT/2024-01",
        {"open_time": opens, "close_time": closes, **prices},
    )
    times = [BEGIN + timedelta(minutes=30 * n) for n in range(8)]
    rates = [float(n) for n in range(8)]
    silver(
        tmp_path / "lake",
        "futures_um/fundingRate/BTCUSDT/2024-01",
        {"time": times, "funding_rate": rates},
    )
    query = FUTURES.klines("1h").between("2024-01-01")
    found = cl.Lake(tmp_path / "lake").asof(query, "fundingRate").collect()
    assert found["open_time"].to_list() == opens
    assert found["funding_rate"].to_list() == [5.0, 4.0, 6.0]


def test_coin_margined_index_prices_are_of_the_bare_pair(others: cl.Lake) -> None:
    query = COINS.klines("1h").between(*DAYS)
    found = others.asof(query, "indexPriceKlines", "markPriceKlines").collect()
    index = others.silver(query.data_types("indexPriceKlines").symbols("BTCUSD")).collect()
    assert set(found["symbol"]) == {"BTCUSD_PERP"}
    assert found["index_price_klines_close"].equals(index["close"])
    assert found["index_price_klines_close"].null_count() == 0 < found.height


def test_a_series_in_pieces_is_joined_as_in_one(futures: cl.Lake, monkeypatch) -> None:
    lazy = futures.asof(MINUTES, "fundingRate", "metrics")
    whole = lazy.collect()
    monkeypatch.setattr(cryptolake.research.asof, "_PIECE", 1)  # a file each: two months
    assert lazy.collect().equals(whole)


def test_in_a_bucket(ticks: cl.Lake, bucket_options: dict[str, Any]) -> None:
    bucket = cl.Lake("s3://lakes/joins", storage_options=bucket_options)
    for file in Path(ticks.root).rglob("*.parquet"):
        bucket.storage.write(file.relative_to(ticks.root).as_posix(), file.read_bytes())
    trades = FUTURES.data_types("trades").between("2024-03-01")
    found = bucket.asof(trades, "bookTicker").collect()
    assert found.height == 7200
    assert found.equals(ticks.asof(trades, "bookTicker").collect())


def test_columns_filters_and_engines(futures: cl.Lake) -> None:
    lazy = futures.asof(MINUTES, "fundingRate", "metrics")
    whole = lazy.collect()
    assert lazy.collect(engine="streaming").equals(whole)
    assert lazy.select("open_interest").collect().equals(whole.select("open_interest"))
    assert lazy.head(7).collect().equals(whole.head(7))
    some = pl.col("open_time") < at("2025-01-01")
    assert lazy.filter(some).collect().equals(whole.filter(some))
    assert lazy.filter(pl.col("symbol") == "ETHUSDT").collect().height == 0


def test_what_the_lake_lacks_is_said_and_null(ticks: cl.Lake) -> None:
    trades = FUTURES.data_types("trades").between("2024-03-01")
    with pytest.warns(IncompleteWarning, match="no futures_um_metrics of BTCUSDT in 2024-03"):
        found = ticks.asof(trades, "metrics").collect()
    assert found["open_interest"].null_count() == found.height > 0
    quotes = ticks.asof(trades, "bookTicker").collect()
    assert (quotes["book_ticker_known_at"] <= quotes["time"]).sum() == quotes.height - 1
    empty = ticks.asof(trades.between("2024-03-02"), "bookTicker").collect()
    assert empty.height == 0
    assert empty.schema == quotes.schema


@pytest.mark.parametrize(
    ("others", "how", "words"),
    [
        ((), {}, "say what to join"),
        (("bookDepth",), {}, "several of its rows have one time"),
        (("metrics", "metrics"), {}, "is named 2 times"),
        (("metric",), {}, "did you mean 'metrics'"),
        (("metrics:1h",), {}, "metrics has no interval"),
        (("klines",), {}, "cannot be joined to themselves"),
        (("EOHSummary",), {}, "cannot be joined as of a time"),
        (("metrics",), {"at": "close"}, "unknown at 'close'"),
        (("metrics",), {"lag": "1d"}, "lag is a mapping"),
        (("metrics",), {"lag": {"fundingRate": "1d"}}, "unknown lag 'fundingRate'"),
        (("metrics",), {"max_age": "long"}, "cannot read 'long' as a duration"),
    ],
)
def test_wrong_questions_are_refused(futures: cl.Lake, others, how, words) -> None:
    with pytest.raises(InvalidQuery, match=words):
        futures.asof(MINUTES, *others, **how)


def test_a_market_without_the_type_and_ticks_without_an_interval_are_refused(
    ticks: cl.Lake,
) -> None:
    spot = cl.query().markets("spot").klines("1m").symbols("BTCUSDT")
    with pytest.raises(InvalidQuery, match="spot has no fundingRate"):
        ticks.asof(spot, "fundingRate")
    with pytest.raises(InvalidQuery, match="'markPriceKlines:1m'"):
        ticks.asof(FUTURES.data_types("trades"), "markPriceKlines")
