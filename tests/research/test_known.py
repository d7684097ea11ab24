"""When a row is known: the instants are written out here, by hand, apart from the schemas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import BAR, Schema, schema_of
from cryptolake.errors import InvalidQuery

MS, US = timedelta(milliseconds=1), timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def when(market: str, data_type: str, interval: str | None = None, **times: str) -> datetime:
    row = pl.DataFrame({name: [at(text)] for name, text in times.items()}).cast(
        pl.Datetime("us", "UTC")
    )
    found = row.select(cl.known(market, data_type, interval))
    assert found.columns == ["known_at"]
    known: datetime = found.item()
    return known.astimezone(UTC)


@pytest.mark.parametrize(
    ("interval", "opens", "closes", "known"),
    [
        ("1h", "2024-01-01T10:00", "2024-01-01T10:59:59.999", "2024-01-01T11:00"),
        ("1m", "2025-01-01T10:00", "2025-01-01T10:00:59.999999", "2025-01-01T10:01"),
        # Around a halt: the bar "closes" before it opens, inside itself, or opens off the grid.
        ("1h", "2020-12-21T14:00", "2020-12-21T13:47:12.345", "2020-12-21T15:00"),
        ("1h", "2018-02-09T09:28:14.789", "2018-02-09T10:28:14.788", "2018-02-09T10:28:14.789"),
        ("1m", "2020-01-01T10:00", "2020-01-01T10:07:59.999", "2020-01-01T10:07:59.999001"),
        # A calendar's bars.
        ("3d", "2024-02-28", "2024-03-01T23:59:59.999", "2024-03-02"),
        ("1w", "2024-02-26", "2024-03-03T23:59:59.999", "2024-03-04"),
        ("1mo", "2024-02-01", "2024-02-29T23:59:59.999", "2024-03-01"),
    ],
)
@pytest.mark.parametrize(
    ("market", "data_type"), [("spot", "klines"), ("futures_um", "markPriceKlines")]
)
def test_a_bar_is_known_when_it_has_ended(market, data_type, interval, opens, closes, known):
    found = when(market, data_type, interval, open_time=opens, close_time=closes)
    assert found == at(known)


def test_a_row_at_an_instant_is_known_a_tick_of_its_clock_later():
    noon, old = "2024-06-01T12:00", at("2024-06-01T12:00")
    for data_type in ("trades", "aggTrades"):
        assert when("spot", data_type, time=noon) == old + MS
        assert when("spot", data_type, time="2024-12-31T23:59:59.999") == at("2025-01-01")
        assert when("spot", data_type, time="2025-01-01T00:00") == at("2025-01-01") + US
        assert when("futures_um", data_type, time="2025-06-01") == at("2025-06-01") + MS
        assert when("futures_cm", data_type, time="2025-06-01") == at("2025-06-01") + MS
    assert when("options", "BVOLIndex", time=noon) == old + MS
    assert when("futures_um", "bookDepth", time=noon) == old + timedelta(seconds=1)
    assert when("futures_cm", "liquidationSnapshot", time=noon) == old + timedelta(seconds=1)
    assert when("options", "EOHSummary", time=noon) == old + timedelta(hours=1)
    for market in ("futures_um", "futures_cm"):
        assert when(market, "metrics", time=noon) == old + timedelta(minutes=5)
        jitter = "2026-04-03T08:00:00.015"
        assert when(market, "fundingRate", time=jitter) == at(jitter)


def test_a_quote_is_known_after_the_later_of_its_two_times():
    early, late = "2024-03-01T12:00:00.007", "2024-03-01T12:00:00.011"
    assert when("futures_um", "bookTicker", time=early, event_time=late) == at(late) + MS
    assert when("futures_um", "bookTicker", time=late, event_time=early) == at(late) + MS


@pytest.mark.parametrize("row", load_matrix().rows, ids=lambda row: row.dataset)
def test_the_schemas_say_it_of_times_and_of_bars_where_there_are_bars(row):
    schema: Schema = schema_of(row.market, row.data_type)
    times = {name for name, kind in schema.silver_dtypes().items() if kind == pl.Datetime}
    assert {bound.column for bound in schema.known} <= times
    assert schema.known[0].column == schema.time
    assert any(bound.plus == BAR for bound in schema.known) == row.has_interval
    assert (schema.max_age == BAR) == row.has_interval


def test_words_are_refused_in_a_sentence():
    with pytest.raises(InvalidQuery, match="did you mean 'metrics'"):
        cl.known("futures_um", "metric")
    with pytest.raises(InvalidQuery, match="spot has no metrics"):
        cl.known("spot", "metrics")
    with pytest.raises(InvalidQuery, match="no interval was given"):
        cl.known("spot", "klines")
    with pytest.raises(InvalidQuery, match="has the intervals none, and 1h was given"):
        cl.known("spot", "trades", "1h")
    with pytest.raises(InvalidQuery, match="and 1s was given"):
        cl.known("futures_um", "klines", "1s")


def test_a_schema_with_a_wrong_known_time_is_refused():
    fine = schema_of("spot", "trades").model_dump()
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"known": [{"column": "when", "plus": "1ms"}]}, "no Silver columns"),
        ({"known": [{"column": "time", "plus": "soon"}]}, "as a duration"),
        ({"known": [{"column": "time", "plus": "1ms", "then": "1us"}]}, "or neither"),
        ({"known": []}, "at least 1"),
        ({"max_age": "long"}, "as a duration"),
    ]
    for wrong, why in wrongs:
        with pytest.raises(ValueError, match=why):
            Schema.model_validate({**fine, **wrong})
