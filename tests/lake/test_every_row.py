"""Every row of the matrix: asked for, planned, pulled, built, and read from SQL and from Polars."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import Interval
from cryptolake.archive.keys import parse_key
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.schemas import schema_of

ROWS = load_matrix().rows


@pytest.fixture(scope="module")
def lake(archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """One lake for all rows, so that its datasets can be counted in the end."""
    return cl.Lake(tmp_path_factory.mktemp("rows"), source=archive)


def published(folder: Path, row: Row) -> pl.DataFrame:
    """Return the sample's files of a row, as the archive's tree has them."""
    keys = [str(path.relative_to(folder)) for path in folder.rglob("*.zip")]
    parsed = [key for key in map(parse_key, keys) if key and key[:2] == (row.market, row.data_type)]
    return pl.DataFrame(
        [(k.key, k.symbol, k.interval and k.interval.value, k.period.days.first) for k in parsed],
        schema={"key": pl.String, "symbol": pl.String, "interval": pl.String, "day": pl.Date},
        orient="row",
    )


def asked(row: Row, files: pl.DataFrame) -> cl.Query:
    """Return a query that means all of the row's files."""
    query = cl.query().markets(row.market).data_types(row.data_type).symbols("*")
    if row.has_interval:
        query = query.intervals(files["interval"].unique().to_list())
    first, last = files["day"].min(), files["day"].max()
    assert first is not None
    assert last is not None
    return query.between(first, last)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", ROWS, ids=[row.dataset for row in ROWS])
def test_row(row: Row, lake: cl.Lake, sample_archive: Path) -> None:
    files = published(sample_archive, row)
    if files.is_empty():
        _has_nothing_and_says_so(row, lake)
        return
    query = asked(row, files)
    plan = lake.plan(query)
    assert plan.to_transfer == plan.files.height > 0
    assert set(plan.files["key"]) <= set(files["key"])

    report = lake.pull(query, progress=False)
    assert report.ok, report.summary()
    assert report.transferred == plan.to_transfer

    schema = schema_of(row.market, row.data_type)
    frame = lake.silver(query).collect()
    assert frame.height > 0
    assert {"market", "symbol"} <= set(frame.columns)
    for name, dtype in schema.silver_dtypes().items():
        if not isinstance(dtype, pl.Categorical):
            assert frame.schema[name] == dtype, name
    assert frame[schema.time].null_count() == 0

    sources = lake.meta.read("sources").filter(pl.col("key").is_in(plan.files["key"].implode()))
    balance = pl.col("rows_in") - pl.col("rows_out") - pl.col("duplicates") - pl.col("rejects")
    assert sources.height == plan.files.height
    assert sources.select(balance.abs().sum()).item() == 0
    assert sources["rejects"].sum() == 0, lake.meta.read("rejects")

    assert lake.bronze(query).select(pl.len()).collect().item() > 0
    counted = lake.sql(f"select count(*) from silver.{row.dataset}").fetchall()[0][0]
    assert counted >= frame.height
    assert lake.sql(f"select count(*) from bronze.{row.dataset}").fetchall()[0][0] > 0
    assert {"bronze", "silver"} == set(lake.datasets().filter(dataset=row.dataset)["zone"])


def _has_nothing_and_says_so(row: Row, lake: cl.Lake) -> None:
    """A feed that was never seen, or was withdrawn, plans from the listing and finds nothing."""
    day = row.last_date or row.first_date
    query = cl.query().markets(row.market).data_types(row.data_type).symbols("BTCUSDT").between(day)
    plan = lake.plan(query)
    assert (plan.to_transfer, plan.total_bytes, plan.missing) == (0, 0, 1)
    near = load_matrix().live_row_near(row)
    assert near is not None
    assert any(near.dataset in note or near.market.value in note for note in plan.notes), plan.notes
    with pytest.raises(cl.NotPublished, match=near.data_type.value):
        lake.frame(query, progress=False)
    frame = lake.silver(query).collect()
    assert frame.height == 0
    assert set(schema_of(row.market, row.data_type).silver_names) <= set(frame.columns)
    assert lake.sql(f"select count(*) from silver.{row.dataset}").fetchall() == [(0,)]


@pytest.mark.parametrize("interval", list(Interval), ids=[interval.value for interval in Interval])
def test_every_interval_has_its_views(interval: Interval, lake: cl.Lake) -> None:
    names = lake.sql(
        "select table_schema || '.' || table_name from information_schema.tables"
    ).fetchall()
    views = {name for (name,) in names}
    assert {f"bronze.spot_klines_{interval.value}", f"silver.spot_klines_{interval.value}"} <= views
    has_futures = f"silver.futures_um_klines_{interval.value}" in views
    assert has_futures == (interval is not Interval.S1)
