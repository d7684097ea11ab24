"""A folder of a lake that a user moved away and linked: read by every reader, and written by none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.sample.server import serve_archive
from cryptolake.storage.files import LocalStorage

SYMBOLS = cl.query().symbols("BTCUSDT", "ETHUSDT").between("2025-01-30", "2025-02-02")
KLINES = SYMBOLS.markets("spot").klines("1h")
FUNDING = SYMBOLS.markets("futures_um").data_types("fundingRate")

LINKS = [
    "bronze",
    "bronze/data",
    "bronze/data/spot/daily",
    "bronze/data/spot/daily/klines/ETHUSDT/1h",
    "bronze/data/futures",
    "silver",
    "silver/market=spot",
    "silver/market=spot/data_type=klines",
    "silver/market=spot/data_type=klines/interval=1h",
    "silver/market=spot/data_type=klines/interval=1h/symbol=ETHUSDT",
    "silver/market=futures_um/data_type=fundingRate/symbol=BTCUSDT",
    "meta/files",
    "meta/months",
]


def _moved(report: cl.Report) -> tuple[bool, int]:
    return report.ok, report.transferred


READERS: dict[str, Callable[[cl.Lake], Any]] = {
    "plan": lambda lake: (
        lake.plan(KLINES, progress=False).cached,
        lake.plan(FUNDING, progress=False).to_transfer,
    ),
    "pull": lambda lake: _moved(lake.pull(FUNDING, progress=False)),
    "build": lambda lake: lake.build(KLINES, progress=False).months["status"].unique().to_list(),
    "silver": lambda lake: lake.silver(KLINES).collect().height,
    "silver by glob": lambda lake: lake.silver(KLINES.symbols("E*")).collect().height,
    "bronze": lambda lake: lake.bronze(KLINES).collect().height,
    "sql silver": lambda lake: lake.sql(
        "select count(*), count(distinct symbol) from silver.spot_klines"
    ).fetchall(),
    "sql bronze": lambda lake: lake.sql(
        "select count(*), count(distinct symbol) from bronze.spot_klines_1h"
    ).fetchall(),
    "sql funding": lambda lake: lake.sql(
        "select count(*) from silver.futures_um_funding_rate"
    ).fetchall(),
    "status": lambda lake: lake.status().drop("at", strict=False).to_dicts(),
    "datasets": lambda lake: lake.datasets().to_dicts(),
    "verify": lambda lake: lake.verify().select("key", "status").sort("key").rows(),
    "quality": lambda lake: lake.quality(KLINES).select("symbol", "rows").sort("symbol").rows(),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """An archive that is served, a lake that was filled from it, and what each reader says of that."""
    base = tmp_path_factory.mktemp("linked")
    cl.sample_archive(
        base / "archive",
        symbols=["BTCUSDT", "ETHUSDT"],
        days=("2025-01-01", "2025-02-04"),
        datasets=["spot_klines", "futures_um_funding_rate"],
        intervals=["1h"],
    )
    with serve_archive(base / "archive") as served:
        lake = cl.Lake(base / "lake", source=cl.Archive(endpoint_url=served.endpoint))
        assert lake.pull(KLINES, progress=False).ok
        assert lake.pull(FUNDING, progress=False).transferred
        yield served.endpoint, base / "lake", {name: read(lake) for name, read in READERS.items()}


def copy(world: tuple[str, Path, dict[str, Any]], folder: Path) -> cl.Lake:
    shutil.copytree(world[1], folder / "lake")
    return cl.Lake(folder / "lake", source=cl.Archive(endpoint_url=world[0]))


def moved_away(lake: cl.Lake, name: str, folder: Path) -> Path:
    path, far = Path(lake.root) / name, folder / "other disk" / Path(name).name
    far.parent.mkdir()
    shutil.move(path, far)
    path.symlink_to(far, target_is_directory=True)
    return far


@pytest.mark.parametrize("link", LINKS)
def test_every_reader_sees_what_a_linked_folder_holds(world, link: str, tmp_path: Path):
    lake = copy(world, tmp_path)
    moved_away(lake, link, tmp_path)
    again = cl.Lake(lake.root, source=lake.source)
    wrong = {
        name: (found, world[2][name])
        for name, read in READERS.items()
        if (found := read(again)) != world[2][name]
    }
    assert not wrong


@pytest.mark.parametrize("link", ["bronze/data/spot/daily/klines/ETHUSDT", "silver/market=spot"])
def test_what_is_new_is_not_written_through_the_link_and_that_is_said(
    world, link: str, tmp_path: Path
):
    lake = copy(world, tmp_path)
    far = moved_away(lake, link, tmp_path)
    before = sorted(str(path) for path in far.rglob("*"))
    try:
        report = lake.pull(KLINES.between("2025-01-29", "2025-02-03"), progress=False)
        said = [*report.files["error"].drop_nulls(), *report.months["error"].drop_nulls()]
        assert not report.ok
    except cl.CryptolakeError as error:
        said = [str(error)]
    assert any("leads out of the lake" in text for text in said), said
    assert sorted(str(path) for path in far.rglob("*")) == before
    assert lake.silver(KLINES).collect().height == world[2]["silver"]


def test_links_that_lead_in_circles_end(tmp_path: Path):
    storage = LocalStorage(tmp_path)
    for name in ("gold/a/x.parquet", "gold/b/y.parquet"):
        storage.write(name, b"1")
    (tmp_path / "gold/a/up").symlink_to("..")
    (tmp_path / "gold/a/self").symlink_to("self")
    (tmp_path / "gold/a/b").symlink_to("../b")
    (tmp_path / "gold/b/a").symlink_to(tmp_path / "gold/a")
    found = [entry.path for entry in storage.list("gold")]
    assert len(found) == len(set(found)) < 60
    assert {"gold/a/x.parquet", "gold/b/y.parquet", "gold/a/b/y.parquet"} <= set(found)
    assert "gold/a/up/a/x.parquet" not in found


def test_a_recipe_reads_its_linked_folders_at_every_depth(tmp_path: Path):
    lake = cl.Lake(tmp_path / "lake")
    levels = "market=spot/data_type=klines/interval=1h/symbol=A"
    for recipe, below in (("deep", levels), ("flat", "market=spot")):
        folder = tmp_path / "lake" / "gold" / recipe / below
        folder.mkdir(parents=True)
        pl.DataFrame({"x": [1, 2]}).write_parquet(folder / "2024-01.parquet")
        inner = folder.parent if recipe == "deep" else folder
        far = tmp_path / "far" / recipe
        shutil.copytree(inner, far)
        shutil.rmtree(inner)
        inner.symlink_to(far)
    for recipe in ("deep", "flat"):
        assert lake.sql(f"select sum(x) from gold.{recipe}").fetchall() == [(3,)]
    assert lake.datasets().select("dataset", "files").rows() == [("deep", 1), ("flat", 1)]
