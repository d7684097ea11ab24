"""Exact decimals: the digits as published, in the very rows that Silver has."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.errors import CorruptArchive
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import build
from cryptolake.silver.decimals import exact_frame
from tests.silver.texts import day_text, key, silver, stored, zipped


def test_prices_are_the_published_digits(tmp_path: Path):
    text = day_text("2024-01-02").replace(b"11.0,", b"11.123456789012345,")
    storage, meta = stored(tmp_path, {key("2024-01-02"): zipped(text)})
    frame = exact_frame(LakeContext.of(storage), holdings(meta))
    assert frame["high"].dtype == pl.Decimal(38, 15)
    assert frame["high"].to_list() == [Decimal("11.123456789012345")] * 24
    assert frame["close"].dtype == pl.Decimal(38, 1)


def test_rows_are_those_of_silver_whatever_the_files_are_like(tmp_path: Path):
    messy = day_text("2024-01-02") * 2 + b"no row\n"
    files = {key("2024-01"): zipped(day_text("2024-01-01")), key("2024-01-02"): zipped(messy)}
    storage, meta = stored(tmp_path, files)
    build(LakeContext.of(storage), holdings(meta), progress=False)
    exact = exact_frame(LakeContext.of(storage), holdings(meta))
    constant = ["market", "symbol", "interval"]
    plain = silver(storage).drop(constant)
    assert exact.columns == [*constant, *plain.columns]
    floats = [pl.col(name).cast(pl.Float64) for name, t in plain.schema.items() if t == pl.Float64]
    assert exact.with_columns(floats).select(plain.columns).equals(plain)


def test_one_scale_holds_over_months_and_exponents_count(tmp_path: Path):
    files = {
        key("2024-01-02"): zipped(day_text("2024-01-02").replace(b",100,", b",0E-8,")),
        key("2024-02-02"): zipped(day_text("2024-02-02")),
    }
    storage, meta = stored(tmp_path, files)
    frame = exact_frame(LakeContext.of(storage), holdings(meta))
    assert frame["volume"].dtype == pl.Decimal(38, 8)
    assert set(frame["volume"]) == {Decimal(0), Decimal(100)}


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path):
    storage, meta = stored(tmp_path, {key("2024-01-02"): b"no zip"})
    with pytest.raises(CorruptArchive, match="2024-01-02"):
        exact_frame(LakeContext.of(storage), holdings(meta))


@pytest.mark.real
def test_real_digits_survive(tmp_path: Path, real_archive: Path):
    path = next(real_archive.glob("zips/**/BTCUSDT-1m-2020-01-01.zip"))
    name = path.relative_to(real_archive / "zips").as_posix()
    storage, meta = stored(tmp_path, {name: path.read_bytes()})
    frame = exact_frame(LakeContext.of(storage), holdings(meta))
    from tests.silver.independent import read_csv

    lines = list(csv.reader(io.StringIO(read_csv(path))))
    assert [str(value) for value in frame["quote_volume"]] == [line[7] for line in lines]
