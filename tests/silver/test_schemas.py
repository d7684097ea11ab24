"""The schemas are data that agree with the matrix and with one another."""

from __future__ import annotations

from collections import defaultdict

import polars as pl
import pytest

from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import Schema, load_schemas, schema_of
from cryptolake.errors import InvalidQuery

SCHEMAS = list(load_schemas().values())
every_dataset = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.dataset)


def test_every_row_of_the_matrix_has_a_schema_and_no_other_has():
    assert [(row.market, row.data_type) for row in load_matrix().rows] == list(load_schemas())


@every_dataset
def test_every_column_says_what_it_means(schema: Schema):
    for column in schema.silver_columns:
        assert column.meaning.endswith(".")
        assert column.name == column.name.lower()


@every_dataset
def test_the_key_decides_the_order(schema: Schema):
    assert set(schema.key) <= set(schema.sort)
    assert schema.sort[0] == schema.time


@every_dataset
def test_times_are_utc_microseconds(schema: Schema):
    assert schema.silver_dtypes()[schema.time] == pl.Datetime("us", "UTC")


def test_a_column_has_one_type_in_every_dataset():
    kinds: dict[str, set[str]] = defaultdict(set)
    for schema in SCHEMAS:
        for name, dtype in schema.silver_dtypes().items():
            kinds[name].add(str(dtype))
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_coin_margined_volume_is_contracts_and_its_quote_column_is_coin():
    coin = schema_of("futures_cm", "klines")
    assert coin.column("volume").unit == "contracts"
    assert coin.column("base_volume").published == ("quote_volume",)
    assert coin.column("taker_buy_base_volume").unit == "base asset"
    assert "quote_volume" not in coin.silver_names


def test_spot_klines_have_the_documented_columns():
    assert schema_of("spot", "klines").silver_names == (
        *("open_time", "open", "high", "low", "close", "volume", "close_time"),
        *("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"),
    )


def test_an_index_counts_samples_not_trades():
    assert "samples" in schema_of("futures_um", "markPriceKlines").silver_names
    assert "trades" not in schema_of("futures_um", "markPriceKlines").silver_names


def test_a_market_without_the_type_is_told_what_it_has():
    with pytest.raises(InvalidQuery, match="EOHSummary"):
        schema_of("options", "klines")
