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

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
