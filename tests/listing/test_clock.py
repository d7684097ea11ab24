"""A cached listing that says it was asked in the future: some machine's clock was wrong, then or now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import parse_days
from cryptolake.listing.listing import Listing
from cryptolake.planning.plan import age_of

if TYPE_CHECKING:
    import cryptolake as cl
    from tests.planning.source import Source

ROW = load_matrix().row(Market.SPOT, DataType.KLINES)


def asked_at(lake: cl.Lake, ahead: timedelta) -> None:
    """Let every cached listing say that it was asked at another time."""
    moment = pl.lit(datetime.now(UTC) + ahead, pl.Datetime("us", "UTC"))
    for entry in lake.storage.list("meta/listings"):
        buffer = BytesIO()
        frame = pl.read_parquet(BytesIO(lake.storage.read(entry.path)))
        frame.with_columns(at=moment).write_parquet(buffer)
        lake.storage.write(entry.path, buffer.getvalue())


def days_listed(lake: cl.Lake) -> list[str]:
    listing = Listing(lake.source, lake.storage)
    listing.symbols(ROW, Partition.DAILY)
    files = listing.files(ROW, "BTCUSDT", Interval.M1, days=parse_days("2024-01", "2024-01"))
    return files["period"].to_list()


@pytest.mark.parametrize(
    ("ahead", "asked_again"),
    [(timedelta(days=900), True), (timedelta(hours=2), True), (timedelta(minutes=1), False)],
    ids=["years", "hours", "a minute, as clocks differ"],
)
def test_a_listing_from_the_future_does_not_stay_fresh_until_then(
    origin: Source, lake: cl.Lake, ahead: timedelta, asked_again: bool
):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    days_listed(lake)
    asked_at(lake, ahead)
    origin.days("BTCUSDT", "2024-01-02")
    origin.publish()
    origin.forget()
    seen = days_listed(lake)
    assert seen == (["2024-01-01", "2024-01-02"] if asked_again else ["2024-01-01"])
    assert bool(origin.asked) is asked_again


@pytest.mark.parametrize("ahead", [timedelta(hours=-2), timedelta(hours=2)], ids=["old", "future"])
def test_a_listing_that_is_as_it_was_is_written_for_its_age(
    origin: Source, lake: cl.Lake, ahead: timedelta
):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    days_listed(lake)
    asked_at(lake, ahead)
    days_listed(lake)
    origin.forget()
    days_listed(lake)
    assert not origin.asked


def test_an_age_is_never_negative():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert age_of(now + timedelta(days=3), now) == "fresh"
