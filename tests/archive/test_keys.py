"""Keys of the archive: parts to key and back, and nothing else."""

from __future__ import annotations

import string
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.keys import KEY_PATTERN, ArchiveKey, parse_key, prefix_of
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import Period

SYMBOLS = [
    "BTCUSDT",
    "1000SHIBUSDT",
    "BTCUSDT_210326",
    "BTCUSD_PERP",
    "龙虾USDT",
    "A-B",
    "XSETTLEDSETTLED",
]
letters = st.text(string.ascii_uppercase + string.digits + "_-龙虾é", min_size=1, max_size=12)


@st.composite
def archive_keys(draw: st.DrawFn) -> ArchiveKey:
    row = draw(st.sampled_from(load_matrix().rows))
    partition = draw(st.sampled_from(row.partitions))
    interval = draw(st.sampled_from(row.intervals[partition])) if row.has_interval else None
    day = draw(st.dates(date(2017, 8, 1), date(2030, 1, 1)))
    daily = partition is Partition.DAILY
    period = Period.day(day) if daily else Period.month(day.year, day.month)
    symbol = draw(letters | st.sampled_from(SYMBOLS))
    return ArchiveKey(row.market, row.data_type, symbol, interval, period)


@given(archive_keys())
def test_a_key_reads_back_as_the_parts_it_was_made_of(made: ArchiveKey):
    assert parse_key(made.key) == made


@given(archive_keys())
def test_a_key_lies_below_its_prefix(made: ArchiveKey):
    row = load_matrix().row(made.market, made.data_type)
    prefix = prefix_of(row, made.partition, made.symbol, made.interval)
    assert made.key.startswith(prefix)
    assert "/" not in made.key.removeprefix(prefix)


@given(archive_keys(), st.data())
def test_a_key_with_a_letter_more_or_less_is_refused_or_another_key(
    made: ArchiveKey, data: st.DataObject
):
    at = data.draw(st.integers(0, len(made.key) - 1))
    cut = made.key[:at] + made.key[at + 1 :]
    found = parse_key(cut)
    assert found is None or found.key == cut


@given(st.text(max_size=60))
def test_any_text_is_refused_or_a_key_that_says_the_same(text: str):
    found = parse_key(text)
    assert found is None or found.key == text


DAILY = "data/spot/daily/klines"


@pytest.mark.parametrize(
    "key",
    [
        "data/futures/um/daily/metrics/MATICUSDT/MATICUSDT-metrics-1993.zip",
        f"{DAILY}/ADABKRW/1d/ADABKRW-1d-2020-8.zip",
        f"{DAILY}/BTCUSDT/1m/BTCUSDT-1m-2024-02-30.zip",
        f"{DAILY}/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
        f"{DAILY}/BTCUSDT/1m/ETHUSDT-1m-2024-01-01.zip",
        f"{DAILY}/BTCUSDT/1m/BTCUSDT-5m-2024-01-01.zip",
        f"{DAILY}/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip.CHECKSUM",
        f"{DAILY}/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip\n",
        f"{DAILY}/BTCUSDT/1x/BTCUSDT-1x-2024-01-01.zip",
        f"{DAILY}/../1m/..-1m-2024-01-01.zip",
        f"{DAILY}/A\nB/1m/A\nB-1m-2024-01-01.zip",
        f"/{DAILY}/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip",
        "data/options/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-10-20.zip",
        "data/spot/weekly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip",
        "data/spot/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip",
        "",
    ],
)
def test_malformed_keys_are_refused(key: str):
    assert parse_key(key) is None


@pytest.mark.parametrize("period", ["0001-01-01", "1999-12-31", "9999-12-31", "9999-12", "2020-8"])
def test_a_key_of_another_millennium_is_read_neither_alone_nor_in_a_column(period: str):
    tree = "monthly" if period.count("-") == 1 else "daily"
    key = f"data/spot/{tree}/klines/BTCUSDT/1m/BTCUSDT-1m-{period}.zip"
    assert parse_key(key) is None
    assert pl.Series([key]).str.extract_groups(KEY_PATTERN).struct["period"].to_list() == [None]


@pytest.mark.parametrize("row", load_matrix().rows, ids=lambda row: row.dataset)
def test_every_row_has_keys_that_read_back(row: Row):
    for partition in row.partitions:
        text = "2024-02-29" if partition is Partition.DAILY else "2024-02"
        for interval in row.intervals.get(partition, ()) or (None,):
            key = ArchiveKey(
                row.market, row.data_type, row.example_symbol, interval, Period.parse(text)
            )
            assert parse_key(key.key) == key


def test_the_base_name_does_not_tell_data_types_apart_but_the_key_does():
    day = Period.parse("2024-01-01")
    keys = [
        ArchiveKey(Market.FUTURES_UM, kind, "BTCUSDT", Interval.M1, day).key
        for kind in (DataType.KLINES, DataType.MARK_PRICE_KLINES, DataType.INDEX_PRICE_KLINES)
    ]
    assert len({key.rsplit("/")[-1] for key in keys}) == 1
    assert len({parse_key(key) for key in keys}) == 3
