"""Recipes on real files of the archive, against csv and plain Python."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.gold.funding import funding
from cryptolake.gold.option_surface import option_surface
from tests.gold.cases.option_surface import surface

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PUBLISHED = [
    *("day", "hour", "option_symbol", "underlying", "option_type", "strike"),
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("best_bid_price", "best_ask_price", "best_bid_quantity", "best_ask_quantity"),
    *("best_buy_iv", "best_sell_iv", "mark_price", "mark_iv"),
    *("delta", "gamma", "vega", "theta", "open_interest", "open_interest_value"),
]
"""The columns of EOHSummary in the order of the file, as Silver names them."""


def test_no_payment_of_a_real_month_is_lost(real_archive: Path):
    """An exact join finds 41 of the 90 payments, and adds them up to half of what was paid."""
    stem = "BTCUSDT-fundingRate-2026-04"
    path = real_archive / f"zips/data/futures/um/monthly/fundingRate/BTCUSDT/{stem}.zip"
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open(f"{stem}.csv"))))
    times = [EPOCH + timedelta(milliseconds=int(row["calc_time"])) for row in rows]
    paid = [float(row["last_funding_rate"]) for row in rows]
    rates = pl.DataFrame(
        {
            "time": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "funding_interval_hours": [int(row["funding_interval_hours"]) for row in rows],
            "funding_rate": paid,
        }
    )
    begin = datetime(2026, 3, 31, 23, tzinfo=UTC)
    hours = [begin + timedelta(hours=hour) for hour in range(30 * 24)]
    bars = pl.DataFrame({"open_time": pl.Series(hours, dtype=pl.Datetime("us", "UTC"))})
    found = funding(bars.lazy(), rates.lazy()).collect()
    assert found["funding_time"].drop_nulls().to_list() == times
    assert found["funding_rate"].null_count() == 0
    assert found["funding_rate"].sum() == pytest.approx(sum(paid), abs=1e-12)
    assert round(sum(paid), 5) == -0.00177
    exact = bars.join(rates, left_on="open_time", right_on="time")
    assert (exact.height, round(exact["funding_rate"].sum(), 5)) == (41, -0.00095)


def test_real_options_are_on_their_right_clock_and_none_outlives_its_expiry(real_archive: Path):
    folder = "csv/data/option/daily/EOHSummary/BTCUSDT"
    with (real_archive / folder / "BTCUSDT-EOHSummary-2023-10-20.csv").open() as file:
        lines = list(csv.reader(file))[1:]
    hour = pl.format("{} {}:00", "day", "hour").str.to_datetime("%Y-%m-%d %H:%M", time_unit="us")
    summary = pl.DataFrame(lines, schema=PUBLISHED, orient="row").select(
        "option_symbol",
        "option_type",
        "strike",
        hour.dt.replace_time_zone("UTC").alias("time"),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in PUBLISHED[6:]),
    )
    no_ask = pl.when(pl.col("best_sell_iv") != -1e-8).then("best_sell_iv")
    found = option_surface(summary.with_columns(best_sell_iv=no_ask).lazy()).collect()
    hand = surface(lines)
    assert (len(lines), len(hand)) == (5626, 5592)
    columns = list(hand[0])
    days = pl.col("days_to_expiry").round(9)  # a quotient's last digit
    rows = found.select(columns).with_columns(days).sort("time", "option_symbol")
    for row, expected in zip(rows.rows(named=True), hand, strict=True):
        assert row == expected | {"days_to_expiry": round(expected["days_to_expiry"], 9)}
    expiring = found.filter(pl.col("option_symbol").str.starts_with("BTC-231020-"))
    assert (expiring["valued_at"].max(), expiring["days_to_expiry"].min()) == (
        datetime(2023, 10, 20, 8, tzinfo=UTC),
        0,
    )
