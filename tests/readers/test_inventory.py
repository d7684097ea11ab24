"""lake.datasets() says what there is; describe() says what it is."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.errors import InvalidQuery
from cryptolake.readers.describe import describe
from cryptolake.readers.inventory import COLUMNS
from tests.readers.lakes import build_all, days, header, klines_key, klines_text, put, put_days

ROWS = {row.dataset: row for row in load_matrix().rows}
SEEN = [name for name, row in ROWS.items() if describe(row.market, row.data_type).example]


@pytest.fixture
def lake(tmp_path):
    return cl.Lake(tmp_path / "lake")


def test_an_empty_lake_has_no_datasets(lake):
    found = lake.datasets()
    assert found.height == 0
    assert dict(found.schema) == COLUMNS


def test_each_zone_and_dataset_has_a_row(lake, tmp_path):
    put_days(lake.storage, lake.meta, ["BTCUSDT", "ETHUSDT"], days("2024-01-31", 3), rows=10)
    put(
        lake.storage,
        lake.meta,
        {
            klines_key("BTCUSDT", "2024-01-31", "1h"): klines_text(date(2024, 1, 31), 1),
            "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip": (
                "1706745600000,8,0.0001\n"
            ),
        },
    )
    before = lake.datasets()
    assert before["zone"].to_list() == ["bronze", "bronze"]
    assert before["rows"].to_list() == [None, None]
    build_all(lake.storage, lake.meta)
    gold = tmp_path / "lake/gold/bars"
    gold.mkdir(parents=True)
    pl.DataFrame({"a": [1]}).write_parquet(gold / "x.parquet")
    found = lake.datasets()
    assert found.drop("bytes").rows() == [
        *(
            ("bronze", "futures_um_funding_rate", 1, [], date(2024, 2, 1), date(2024, 2, 29), 1, 1),
            ("bronze", "spot_klines", 2, ["1m", "1h"], date(2024, 1, 31), date(2024, 2, 2), 7, 61),
            ("silver", "futures_um_funding_rate", 1, [], date(2024, 2, 1), date(2024, 2, 1), 1, 1),
            ("silver", "spot_klines", 2, ["1m", "1h"], date(2024, 1, 31), date(2024, 2, 2), 5, 61),
            ("gold", "bars", None, [], None, None, 1, None),
        )
    ]
    assert found["bytes"].min() > 0


@pytest.mark.parametrize("dataset", ROWS)
def test_every_dataset_is_described_from_matrix_and_schema(dataset):
    row = ROWS[dataset]
    about = describe(row.market, row.data_type)
    schema = schema_of(row.market, row.data_type)
    text = repr(about)
    assert dataset in text
    assert row.key_pattern in text
    assert all(quirk in text for quirk in about.quirks)
    assert f"known at    {about.known}" in text
    columns = about.columns
    assert columns["published"].drop_nulls().to_list() == list(schema.published_names)
    assert set(columns["name"].drop_nulls()) == set(schema.silver_names)
    assert columns["meaning"].null_count() == 0
    assert about.to_dict()["columns"] == columns.to_dicts()
    assert f"<h4>{dataset}</h4>" in about._repr_html_()


@pytest.mark.parametrize("dataset", SEEN)
def test_an_example_row_becomes_a_silver_row(lake, dataset):
    row = ROWS[dataset]
    example = describe(row.market, row.data_type).example
    assert example is not None
    assert parse_key(example.key) is not None
    names = schema_of(row.market, row.data_type).published_names
    assert len(example.cells) == len(names)
    put(lake.storage, lake.meta, {example.key: header(row.market, row.data_type) + example.line})
    build_all(lake.storage, lake.meta)
    assert lake.meta.read("rejects").height == 0
    query = cl.query().markets(row.market).data_types(row.data_type)
    silver = lake.silver(query).collect()
    assert silver.height == 1
    assert silver["market"].to_list() == [row.market.value]
    assert lake.bronze(query).collect().height == 1
    for zone in ("bronze", "silver"):
        assert len(lake.sql(f"from {zone}.{dataset}").fetchall()) == 1
    held = lake.datasets().select("zone", "dataset", "rows").rows()
    assert held == [("bronze", dataset, 1), ("silver", dataset, 1)]


def test_an_unknown_dataset_names_what_there_is():
    with pytest.raises(InvalidQuery, match="spot has no metrics"):
        describe("spot", "metrics")
    with pytest.raises(InvalidQuery, match="did you mean 'klines'"):
        describe("spot", "kline")
