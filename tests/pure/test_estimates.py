"""What the listing alone lets one guess."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from cryptolake.estimates import rows_expected, suspect_sizes


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


def sizes(*values: int) -> pl.DataFrame:
    days = [date(2024, 1, 1) + timedelta(n) for n in range(len(values))]
    return pl.DataFrame(
        {
            "folder": [0] * len(values),
            "partition": ["daily"] * len(values),
            "day": days,
            "size": values,
        }
    )


def test_a_file_far_smaller_than_its_neighbours_is_suspicious():
    values = [800, 900, 700, 3, 850, 820, 780, 900]
    assert suspect_sizes(sizes(*values)).to_list() == [value == 3 for value in values]


def test_few_files_or_gentle_swings_are_not():
    assert not suspect_sizes(sizes(800, 3, 900)).any()
    assert not suspect_sizes(sizes(800, 300, 200, 400, 900, 150, 1000)).any()
