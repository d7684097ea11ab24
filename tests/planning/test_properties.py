"""Plans made of real listings of drawn archives: complete, disjoint, inside the range, idempotent."""

from __future__ import annotations

import secrets
import tempfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cryptolake as cl
from cryptolake.archive.periods import Days, Period
from tests.drawn import examples
from tests.planning.source import source

FIRST = date(2023, 12, 20)
days = st.integers(0, 75).map(lambda n: FIRST + timedelta(n))
archives = st.dictionaries(
    st.sampled_from(["BTCUSDT", "ETHUSDT", "龙虾USDT"]),
    st.tuples(
        st.sets(days, max_size=70), st.sets(st.sampled_from(["2023-12", "2024-01", "2024-02"]))
    ),
    min_size=1,
)


@settings(max_examples=examples(6), suppress_health_check=[HealthCheck.too_slow])
@given(archives, days, days)
def test_every_day_once_or_missing_nothing_outside_and_a_second_plan_moves_nothing(
    shelves: dict[str, tuple[set[date], set[str]]], one: date, other: date
):
    asked = Days(min(one, other), max(one, other))
    with (
        tempfile.TemporaryDirectory() as name,
        source(Path(name) / "archive", f"drawn-{secrets.token_hex(4)}") as origin,
    ):
        for symbol, (daily, monthly) in shelves.items():
            origin.days("ANCHORUSDT", "2024-01-01")
            origin.months(symbol, *monthly)
            for day in daily:
                origin.days(symbol, day.isoformat())
            if not daily and not monthly:
                origin.days(symbol, "2025-01-01")
        origin.publish()
        lake = cl.Lake(Path(name) / "lake", source=origin.archive)
        query = (
            cl.query()
            .markets("spot")
            .klines("1m")
            .symbols(*shelves)
            .between(asked.first, asked.last)
        )
        plan = lake.plan(query)
        for symbol in shelves:
            periods = [
                *plan.files.filter(pl.col("symbol") == symbol)["period"],
                *plan.missing_periods.filter(pl.col("symbol") == symbol)["period"],
            ]
            spans = [Period.parse(period).days for period in periods]
            assert all(span.clip(asked) for span in spans)
            assert all(sum(day in span for span in spans) == 1 for day in asked)
        for key, size in plan.files.select("key", "size").iter_rows():
            lake.storage.write(f"bronze/{key}", b"z" * size)
        lake.meta.append("files", plan.files.select("key", "size", "etag", event=pl.lit("stored")))
        again = lake.plan(query)
        assert (again.to_transfer, again.cached) == (0, plan.files.height)
