"""The paths of a lake: what is built is read back as the same, and no name leaves its folder."""

from __future__ import annotations

from pathlib import PurePosixPath

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.keys import is_plain
from cryptolake.archive.periods import Period
from cryptolake.errors import StorageError
from cryptolake.storage import layout
from cryptolake.storage.layout import SilverPath

NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(is_plain)
MONTHS = st.builds(Period.month, st.integers(2010, 2099), st.integers(1, 12))
PATHS = st.builds(
    SilverPath,
    st.sampled_from(Market),
    st.sampled_from(DataType),
    st.none() | st.sampled_from(Interval),
    NAMES,
    MONTHS,
)
UNSAFE = [
    "",
    ".",
    "..",
    "/",
    "/etc/x",
    "a/../b",
    "../a",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
]


@given(PATHS)
def test_a_silver_path_is_read_back_as_what_it_was_built_of(where):
    assert layout.parse_silver_path(where.path) == where
    assert layout.silver_level(where.path) == (
        where.market.value,
        where.data_type.value,
        where.interval.value if where.interval else None,
    )


@given(PATHS)
def test_polars_reads_a_silver_path_as_python_does(where):
    parts = pl.Series([where.path]).str.extract_groups(layout.SILVER_PATTERN).struct.unnest()
    interval = where.interval.value if where.interval else None
    expected = (where.market.value, where.data_type.value, interval, where.symbol, str(where.month))
    assert parts.row(0) == expected


@given(PATHS)
def test_a_silver_file_is_below_its_folders_and_matches_their_glob(where):
    interval = where.interval
    folder = layout.silver_folder(where.market, where.data_type)
    below = where.path.removeprefix(f"{folder}/")
    assert below != where.path
    named = layout.silver_folder(where.market, where.data_type, interval, where.symbol)
    assert where.path == f"{named}/{where.month}.parquet"
    assert PurePosixPath(below).match(
        layout.silver_glob(interval=interval.value if interval else None)
    )


@given(PATHS, NAMES)
def test_a_gold_path_is_read_back_as_its_recipe(where, recipe):
    market, data_type, interval, symbol, month = where
    filled = layout.GoldPath(recipe, market, symbol, interval, month, data_type)
    assert filled.path.endswith(where.path.removeprefix("silver/"))
    for each in (
        filled,
        filled._replace(data_type=None),
        filled._replace(data_type=None, symbol=None),
    ):
        assert layout.gold_recipe(each.path) == recipe
        assert layout.parse_gold_path(each.path) == each


@given(st.lists(NAMES, min_size=1).map("/".join))
def test_a_key_in_bronze_is_read_back(key):
    assert layout.bronze_key(layout.bronze_path(key)) == key
    assert layout.quarantine_path(key).removeprefix("meta/quarantine/") == key


@given(NAMES)
def test_a_table_is_read_back(name):
    folder = layout.table_folder(name)
    assert layout.table_of(folder) == layout.table_of(f"{folder}/a.parquet") == name


@given(NAMES, NAMES, st.none() | st.sampled_from(Interval))
def test_two_symbols_listings_are_two_files_below_the_archives_folder(one, other, interval):
    first, second = (
        layout.listed_files_path("a1", Market.SPOT, DataType.KLINES, symbol, interval)
        for symbol in (one, other)
    )
    assert first.startswith("meta/listings/a1/files/spot/klines/")
    assert (first == second) == (one == other)


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize(
    "build",
    [
        lambda name: layout.inside("bronze", name),
        layout.checked,
        layout.bronze_path,
        layout.quarantine_path,
        layout.gold_folder,
        layout.table_folder,
        lambda name: layout.silver_folder(Market.SPOT, DataType.TRADES, None, name),
        lambda name: layout.listed_symbols_path(
            name, Market.SPOT, DataType.TRADES, Partition.DAILY
        ),
    ],
)
def test_a_name_that_would_leave_its_folder_is_refused(build, name):
    with pytest.raises(StorageError):
        build(name)


def test_a_symbol_is_one_folder():
    with pytest.raises(StorageError):
        layout.silver_path(Market.SPOT, DataType.TRADES, "A/B", None, Period.parse("2024-01"))


@given(st.text(st.sampled_from("a./\\\0"), max_size=8))
def test_what_is_joined_stays_below_its_folder(name):
    try:
        path = layout.inside("bronze", name)
    except StorageError:
        return
    parts = PurePosixPath(path).parts
    assert parts[0] == "bronze"
    assert len(parts) == path.count("/") + 1 > 1
    assert not {".", ".."} & set(parts)


@pytest.mark.parametrize(
    "path",
    [
        "silver/market=spot/data_type=trades/symbol=A/2024-01-01.parquet",
        "silver/market=spot/data_type=trades/symbol=A/.2024-01.parquet",
        "silver/market=spot/data_type=trades/symbol=A/2024-13.parquet",
        "silver/market=spot/data_type=trades/symbol=../2024-01.parquet",
        "silver/market=moon/data_type=trades/symbol=A/2024-01.parquet",
        "silver/market=spot/data_type=trades/symbol=A/B/2024-01.parquet",
        "gold/market=spot/data_type=trades/symbol=A/2024-01.parquet",
        "silver/market=spot/symbol=A/2024-01.parquet",
        "",
    ],
)
def test_what_is_no_silver_file_is_not_read_as_one(path):
    assert layout.parse_silver_path(path) is None
