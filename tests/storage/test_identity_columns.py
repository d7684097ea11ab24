"""The Arrow schema that a file carries says what pyarrow says of its folders, and each other column is as it was."""

from __future__ import annotations

from io import BytesIO

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest

from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.storage.identity_columns import AS_TEXT, IDENTITY, arrow_metadata, as_text

FOLDER = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
SILVER = "silver/market=spot/data_type=klines/interval=1h/symbol=A/2024-01.parquet"


def written(rows: pl.DataFrame, path: str) -> BytesIO:
    file = BytesIO()
    rows.write_parquet(file, metadata=arrow_metadata(rows.schema, path) | {"ours": "1"})
    file.seek(0)
    return file


@pytest.mark.parametrize("row", load_matrix().rows, ids=lambda row: row.dataset)
def test_columns_of_every_dataset_keep_their_types(row):
    types = schema_of(row.market, row.data_type).silver_dtypes()
    rows = pl.DataFrame([{}, {}], schema=dict.fromkeys(IDENTITY, pl.String()) | types)
    rows = rows.with_columns(symbol=pl.lit("龙虾USDT"))
    file = written(rows, SILVER)
    plain = BytesIO()
    rows.write_parquet(plain)
    found, before = pyarrow.parquet.read_schema(file), pyarrow.parquet.read_schema(plain)
    assert [found.field(name).type for name in IDENTITY] == [FOLDER] * 3
    for name in types:
        assert found.field(name).equals(before.field(name), check_metadata=True)
    assert pyarrow.parquet.read_table(file)["symbol"].to_pylist() == ["龙虾USDT"] * 2
    file.seek(0)
    assert as_text(pl.read_parquet(file)).equals(rows)
    file.seek(0)
    read = pl.scan_parquet(file, schema=dict(rows.schema), cast_options=AS_TEXT).collect()
    assert read.equals(rows)
    assert read.schema == rows.schema


def test_columns_without_a_folder_of_their_name_stay_text():
    rows = pl.DataFrame(
        {"market": ["spot", "spot"], "symbol": ["A", "B"], "interval": [None, None]}
    )
    rows = rows.cast(pl.String)
    found = pyarrow.parquet.read_schema(written(rows, "gold/breadth/market=spot/2024-01.parquet"))
    assert found.types == [FOLDER, pyarrow.large_string(), pyarrow.large_string()]


def test_the_metadata_beside_it_stays():
    file = written(pl.DataFrame({"symbol": ["A"]}), SILVER)
    assert pl.read_parquet_metadata(file)["ours"] == "1"
