"""Shards of a plan: they partition it, keep symbol-months whole, and fetch nothing of each other."""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.archive.source import Archive
from cryptolake.errors import InvalidQuery
from cryptolake.planning.plan import Plan
from cryptolake.planning.serialization import FILES, MISSING
from cryptolake.planning.shards import boundaries
from cryptolake.query import Query

_STATUSES = ("new", "updated", "cached", "unrecorded", "quarantined")
_NAME = "data/spot/{partition}/{kind}/{symbol}/{folder}{symbol}-{word}-{period}.zip"


def planned(
    symbol: str,
    period: str,
    size: int = 1,
    status: str = "new",
    level: int = 5,
    interval: str = "1m",
) -> dict[str, Any]:
    partition = "daily" if len(period) == 10 else "monthly"
    kind = "klines" if interval else "trades"
    key = _NAME.format(
        partition=partition,
        kind=kind,
        symbol=symbol,
        folder=f"{interval}/" if interval else "",
        word=interval or "trades",
        period=period,
    )
    stem = key.removesuffix(f"{period}.zip")
    head = period[: level if partition == "daily" else min(level, 7)]
    row = {
        "key": key,
        "market": "spot",
        "data_type": kind,
        "symbol": symbol,
        "interval": interval or None,
        "partition": partition,
        "period": period,
        "size": size,
        "etag": "e",
        "status": status,
        "checksum_size": 90,
        "checksum_etag": "c",
    }
    return row | {"selector": stem + head if status in ("new", "updated") else None}


def plan_of(rows: list[dict[str, Any]], missing: Sequence[tuple[str, str]] = ()) -> Plan:
    lacking = [
        {
            "market": "spot",
            "data_type": "klines",
            "symbol": symbol,
            "interval": "1m",
            "period": period,
            "reason": "not_published",
        }
        for symbol, period in missing
    ]
    now = datetime(2025, 1, 1, tzinfo=UTC)
    days = ("2023-11-30", "2024-03-31")
    return Plan(
        id="20250101T000000-abcdef",
        query=Query().markets("spot").klines("1m").symbols("*").between(*days),
        archive=Archive(),
        created_at=now,
        listed_at=now,
        files=pl.DataFrame(rows, schema=FILES),
        missing_periods=pl.DataFrame(lacking, schema=MISSING),
        notes=("files move by mode download; about 9 requests", "a note"),
    )


def selected(shard: Plan, listed: list[str]) -> list[str]:
    """The objects that a shard's command lines fetch from an archive that has these."""
    fetched = []
    for line in shard.commands():
        words = re.findall(r"'([^']*)'", line)
        source = words[-2].removeprefix("s3://data.binance.vision/")
        patterns = [word.removeprefix("*/").removesuffix("*") for word in words[:-2]]
        if not source.endswith("*"):
            fetched.append(source)
            continue
        found = [key for key in listed if key.startswith(source.removesuffix("*"))]
        fetched += [
            key
            for key in found
            if not patterns or any(key.rpartition("/")[2].startswith(p) for p in patterns)
        ]
    return fetched


days = st.integers(0, 90).map(lambda n: (date(2023, 12, 1) + timedelta(n)).isoformat())
files = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["AUSDT", "BUSDT", "龙虾USDT"]),
        "period": days | st.sampled_from(["2023-12", "2024-01", "2024-02"]),
        "size": st.integers(0, 10**9),
        "status": st.sampled_from(_STATUSES),
        "interval": st.sampled_from(["1m", "1h", ""]),
        "level": st.sampled_from([5, 8]),
    }
)


@settings(max_examples=60)
@given(
    st.lists(
        files,
        min_size=1,
        max_size=60,
        unique_by=lambda f: (f["symbol"], f["period"], f["interval"]),
    ),
    st.integers(1, 9),
    st.none() | st.integers(1, 4 * 10**9),
    st.randoms(use_true_random=False),
)
def test_shards_partition_a_plan_whole_months_in_any_order(drawn, n, most, chance):
    # A plan's selectors of one year or month never overlap.
    level = {(f["symbol"], f["interval"], f["period"][:4]): f["level"] for f in drawn}
    rows = [
        planned(**(f | {"level": level[f["symbol"], f["interval"], f["period"][:4]]}))
        for f in drawn
    ]
    missing = [("AUSDT", "2024-01"), ("AUSDT", "2024-02-03"), ("ZUSDT", "2024-01")]
    plan = plan_of(rows, missing)
    shards = plan.shards(n, max_bytes=most)

    keys = [key for shard in shards for key in shard.files["key"]]
    assert sorted(keys) == sorted(plan.files["key"])
    lacking = pl.concat([shard.missing_periods for shard in shards])
    assert sorted(lacking.rows()) == sorted(plan.missing_periods.rows())
    unit = ["data_type", "symbol", "interval", pl.col("period").str.head(7)]
    months = [set(shard.files.select(unit).unique().rows()) for shard in shards]
    assert len(set().union(*months)) == sum(map(len, months))
    assert len(shards) >= min(n, len(set().union(*months)))
    if most is None:
        assert len(shards) == min(n, len(set().union(*months)))
    elif plan.total_bytes:
        assert all(
            s.total_bytes <= most or len(m) == 1 for s, m in zip(shards, months, strict=True)
        )

    shuffled = list(rows)
    chance.shuffle(shuffled)
    again = plan_of(shuffled, missing).shards(n, max_bytes=most)
    assert [s.files.rows() for s in again] == [s.files.rows() for s in shards]

    # Each fetches its own files, and nothing of another's.
    listed = [key + end for key in plan.moving["key"] for end in ("", ".CHECKSUM")]
    for shard in shards:
        own = [key + end for key in shard.moving["key"] for end in ("", ".CHECKSUM")]
        assert sorted(selected(shard, listed)) == sorted(own)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=12), st.integers(1, 6))
def test_no_cut_of_neighbours_has_a_smaller_greatest_run(weights, n):
    def best(row: list[int], runs: int) -> int:
        if runs == 1 or len(row) == 1:
            return sum(row)
        cuts = range(1, len(row) - min(runs, len(row)) + 2)
        return min(max(sum(row[:cut]), best(row[cut:], runs - 1)) for cut in cuts if row[cut:])

    ends = boundaries(weights, n)
    runs = [sum(weights[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    assert len(ends) == min(n, len(weights))
    assert ends[-1] == len(weights)
    assert max(runs) == best(weights, min(n, len(weights)))


def test_a_shard_of_one_file_makes_three_requests_and_not_those_of_the_year():
    year = [(date(2024, 1, 1) + timedelta(n)).isoformat() for n in range(60)]
    plan = plan_of([planned("AUSDT", day) for day in year] + [planned("BUSDT", "2024-01-05")])
    assert plan.request_count == 1 + 2 * 60 + 3
    shards = plan.shards(99)
    assert [shard.to_transfer for shard in shards] == [31, 29, 1]
    assert [shard.request_count for shard in shards] == [63, 59, 3]
    assert len(shards[2].commands()) == 1
    assert (
        shards[0]
        .commands()[0]
        .startswith(
            "cp --flatten 's3://data.binance.vision/data/spot/daily/klines/AUSDT/1m/AUSDT-1m-2024-01-*'"
        )
    )


def test_a_shard_is_a_plan_that_travels(tmp_path: Path):
    rows = [
        planned("AUSDT", "2024-01", 5),
        planned("AUSDT", "2024-02-03", 7),
        planned("BUSDT", "2024-01", 9),
    ]
    random.Random(1).shuffle(rows)
    one, two = plan_of(rows).shards(2)
    assert (one.total_bytes, two.total_bytes) == (12, 9)
    assert two.notes == ("a note", "part 2 of 2 of plan 20250101T000000-abcdef")
    words = Query().markets("spot").klines("1m").symbols("AUSDT")
    assert one.query == words.between("2024-01-01", "2024-02-03")
    one.save(tmp_path / "one.json")
    for back in (Plan.load(tmp_path / "one.json"), pickle.loads(pickle.dumps(one))):
        assert back.files.equals(one.files)
        assert (back.id, back.query, back.notes) == (one.id, one.query, one.notes)
        assert back.commands() == one.commands()


def test_a_plan_without_files_is_one_shard():
    plan = plan_of([], [("AUSDT", "2024-01")])
    assert plan.shards(3) == [plan]


@pytest.mark.parametrize("wrong", [{}, {"n": 0}, {"n": 1.5}, {"max_bytes": 0}, {"n": True}])
def test_what_is_no_number_of_shards_is_refused(wrong):
    with pytest.raises(InvalidQuery, match=r"plan\.shards"):
        plan_of([planned("AUSDT", "2024-01")]).shards(**wrong)
