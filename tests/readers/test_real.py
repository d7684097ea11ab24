"""Real archive files are read in place, value by value as Python's own csv and zipfile read them."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.enums import dataset_name
from cryptolake.archive.keys import parse_key
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import with_key_parts

pytestmark = pytest.mark.real


def by_hand(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        rows = list(csv.reader(io.TextIOWrapper(member, "ascii")))
    return rows if rows[0][0][:1].isdigit() else rows[1:]


def plain(value: str, kind: str) -> object:
    if kind in {"BIGINT", "Int64"}:
        return int(value)
    if kind in {"DOUBLE", "Float64"}:
        return float(value) if value else None
    if kind in {"BOOLEAN", "Boolean"}:
        return value.lower() == "true"
    return value or None


@pytest.fixture(scope="module")
def real_lake(real_archive, tmp_path_factory):
    """A lake whose Bronze is the real zips and the real CSVs, zipped."""
    lake = cl.Lake(tmp_path_factory.mktemp("real"))
    zips, texts = real_archive / "zips", real_archive / "csv"
    rows = []
    for path in [*zips.rglob("*.zip"), *texts.rglob("*.csv")]:
        key = (
            path.relative_to(zips if path.suffix == ".zip" else texts)
            .with_suffix(".zip")
            .as_posix()
        )
        if parse_key(key) is None:
            continue
        target = lake.storage.local(f"bronze/{key}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            shutil.copyfile(path, target)
        else:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(path, path.name)
        rows.append({"key": key, "size": target.stat().st_size, "event": "stored"})
    lake.meta.append("files", rows)
    return lake


def test_every_real_file_reads_as_by_hand_in_sql_and_in_frames(real_lake):
    held = with_key_parts(real_lake.meta.ledger())
    assert held.height > 20
    for market, data_type in held.select("market", "data_type").unique().iter_rows():
        kinds = [str(kind) for kind in schema_of(market, data_type).published_dtypes().values()]
        query = cl.query().markets(market).data_types(data_type)
        frame = real_lake.bronze(query).collect()
        for key in held.filter(market=market, data_type=data_type)["key"]:
            rows = [
                tuple(plain(cell, kind) for cell, kind in zip(row, kinds, strict=True))
                for row in by_hand(real_lake.storage.local(f"bronze/{key}"))
            ]
            assert frame.filter(key=key).select(frame.columns[: len(kinds)]).rows() == rows
            found = real_lake.sql(
                f"from bronze.{dataset_name(market, data_type)} where key = '{key}'"
            )
            assert sorted((row[: len(kinds)] for row in found.fetchall()), key=str) == sorted(
                rows, key=str
            )
