"""What the listing alone lets one guess."""

from __future__ import annotations

import polars as pl
import pytest

from cryptolake.planning.estimates import rows_expected


def planned(data_type: str, interval: str | None, partition: str, period: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "data_type": [data_type],
            "interval": [interval],
            "partition": [partition],
            "period": [period],
        },
        schema_overrides={"interval": pl.String},
    )


@pytest.mark.parametrize(
    ("interval", "partition", "period", "rows"),
    [
        ("1m", "daily", "2024-01-01", 1440),
        ("1s", "monthly", "2024-02", 29 * 86400),
        ("1d", "monthly", "2024-01", 31),
        ("1w", "daily", "2024-01-01", 1),
        ("1mo", "monthly", "2024-01", 1),
    ],
)
def test_bars_without_a_gap_are_counted(interval: str, partition: str, period: str, rows: int):
    assert rows_expected(planned("klines", interval, partition, period)) == rows


def test_types_without_bars_have_no_expected_rows():
    assert rows_expected(planned("trades", None, "daily", "2024-01-01")) is None
