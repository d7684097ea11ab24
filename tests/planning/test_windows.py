"""A plan lists no days where whole months are planned, and says what it would say by the whole listing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.periods import Days
from cryptolake.listing.lifetimes import Lifetimes
from cryptolake.planning.plan_files import files_and_missing
from cryptolake.planning.resolve import find_targets
from tests.storage.s3_recorder import Recorder, recorder

BUCKET = "data.binance.vision"
BEGIN, SPAN = date(2019, 1, 1), 5 * 365
SYMBOLS = [f"{name}USDT" for name in "ABCDEFGH"]
ALIVE = "ZUSDT"
"""A symbol that goes on to the end, so that others are seen to have ended."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Recorder]:
    with recorder() as found:
        yield found


def published(dice: random.Random) -> set[tuple[str, date]]:
    """Return what a symbol has: a life with holes, a monthly file for most of its months, or no days, or no months."""
    begin = BEGIN + timedelta(dice.randrange(SPAN))
    end = min(begin + timedelta(dice.randrange(900)), BEGIN + timedelta(SPAN))
    days = {begin + timedelta(n) for n in range((end - begin).days + 1)}
    if dice.random() < 0.4:
        away = begin + timedelta(dice.randrange(400))
        days -= {away + timedelta(n) for n in range(dice.choice([1, 20, 200]))}
    months = {day.replace(day=1) for day in days if dice.random() < 0.3}
    kind = dice.random()
    if kind < 0.15:
        days = set()
    elif kind < 0.3:
        months = set()
    elif kind < 0.5:  # days only near the end
        days = {day for day in days if day > end - timedelta(60)}
    return {("daily", day) for day in days} | {("monthly", month) for month in months}


def key_of(symbol: str, partition: str, day: date) -> str:
    period = f"{day}" if partition == "daily" else f"{day:%Y-%m}"
    return f"{BUCKET}/data/spot/{partition}/klines/{symbol}/1h/{symbol}-1h-{period}.zip"


@pytest.mark.parametrize("seed", [0, 3, 10])
def test_a_plan_is_that_of_the_whole_listing(seed: int, endpoint: Recorder, tmp_path: Path) -> None:
    dice = random.Random(seed)
    shelves = {symbol: published(dice) for symbol in SYMBOLS}
    everyday = {("daily", BEGIN + timedelta(n)) for n in range(SPAN + 40)}
    shelves[ALIVE] = everyday | {("monthly", day.replace(day=1)) for _, day in everyday}
    endpoint.objects = {
        key_of(symbol, *file): b"zip" for symbol, files in shelves.items() for file in files
    }
    source = cl.Archive(bucket=BUCKET, endpoint_url=endpoint.url, region="us-east-1")
    first = BEGIN + timedelta(dice.randrange(SPAN - 100))
    last = min(first + timedelta(dice.choice([40, 400, 1500])), BEGIN + timedelta(SPAN))
    if dice.random() < 0.5:
        first, last = first.replace(day=1), last.replace(day=1) - timedelta(1)
    named = [symbol for symbol in SYMBOLS if shelves[symbol]]
    query = cl.query().markets("spot").klines("1h").symbols(*named, ALIVE).between(first, last)
    plan = cl.Lake(tmp_path / "lean", source=source).plan(query, progress=False)

    whole = cl.Lake(tmp_path / "whole", source=source).context
    folders = find_targets(query.selection, whole.listing).folders
    listed = whole.listing.listed(folders, Days(first, last))
    asker = Lifetimes(whole.listing, datetime.now(UTC).date())
    rows, missing = files_and_missing(folders, listed, Days(first, last), whole, asker)
    files = rows.frame()
    same = ["key", "status", "size"]
    assert plan.files.select(same).sort("key").equals(files.select(same).sort("key"))
    told = ["symbol", "period", "reason"]
    assert plan.missing_periods.select(told).sort(told).equals(missing.select(told).sort(told))
    assert set(plan.files["selector"].is_null()) == set(files["selector"].is_null())


def test_whole_months_take_one_request_a_folder(endpoint: Recorder, tmp_path: Path) -> None:
    months = pl.date_range(date(2019, 1, 1), date(2023, 12, 1), "1mo", eager=True).to_list()
    intervals = ("1m", "1h", "1d")
    endpoint.objects = {
        key_of("AUSDT", "monthly", month).replace("1h", interval): b"zip"
        for month in months
        for interval in intervals
    }
    source = cl.Archive(bucket=BUCKET, endpoint_url=endpoint.url, region="us-east-1")
    query = cl.query().markets("spot").klines(*intervals).symbols("AUSDT").between("2019", "2023")
    endpoint.requests.clear()
    plan = cl.Lake(tmp_path, source=source).plan(query, progress=False)
    assert (plan.rows.height, plan.missing) == (180, 0)
    assert len(endpoint.requests) == len(intervals)
