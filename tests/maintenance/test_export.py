"""Exported files hold the lake's rows, explain themselves, and are there whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.cli import main
from cryptolake.errors import IncompleteWarning

DAYS = ("2025-01-30", "2025-02-01")
ODD = "龙虾USDT"
QUERY = cl.query().markets("spot").klines("1h").symbols("BTCUSDT", ODD).between(*DAYS)
BESIDE = {"README.md", "files.csv", "sources.sha256"}


@pytest.fixture(scope="module")
def lake(archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    """Hours of two symbols in spot and of one in futures_um, and of spot its days; tests only read it."""
    made = cl.Lake(tmp_path_factory.mktemp("export") / "lake", source=archive)
    both = cl.query().markets("spot", "futures_um").klines("1h").between(*DAYS)
    made.pull(both.symbols("BTCUSDT"), progress=False)
    made.pull(QUERY.intervals("1h", "1d"), progress=False)
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_each_symbol_has_a_file_with_the_rows_of_silver(lake: cl.Lake, tmp_path: Path, kind):
    made = lake.export(QUERY, tmp_path / "out", kind)
    rows = lake.silver(QUERY).collect()
    assert made["symbol"].to_list() == ["BTCUSDT", ODD]
    assert names(tmp_path / "out") == {f"BTCUSDT.{kind}", f"{ODD}.{kind}"} | BESIDE
    for path, symbol, count, size in made.iter_rows():
        expected = rows.filter(symbol=symbol)
        if kind == "csv":
            text = Path(path).read_text("utf-8").splitlines()
            assert text[0].split(",") == expected.columns
            assert text[1].split(",")[3] == "2025-01-30T00:00:00.000000Z"
            read = pl.read_csv(path, schema_overrides=dict(expected.schema))
        else:
            read = (pl.read_parquet if kind == "parquet" else pl.read_ipc)(path)
        assert read.equals(expected)  # every float, too
        assert (count, size) == (expected.height, Path(path).stat().st_size)
        assert count == 72


def test_the_readme_has_units_counts_and_the_id_of_a_lock_of_the_same_files(
    lake: cl.Lake, tmp_path: Path
):
    made = lake.export(QUERY, tmp_path / "out")
    lock = lake.freeze(QUERY, tmp_path / "x.lock.json")
    sources = (tmp_path / "out" / "sources.sha256").read_bytes()
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert hashlib.sha256(sources).hexdigest() == lock.id
    assert sources.decode().count("\n") == lock.files.height
    assert f"`{lock.id}`" in text
    assert "| volume | Float64 | base asset |" in text
    assert f"{made['rows'].sum()} rows in 2 files" in text
    assert "zone UTC" in text
    listed = pl.read_csv(tmp_path / "out" / "files.csv")
    assert listed["rows"].to_list() == made["rows"].to_list()


def test_one_file_holds_all_and_other_files_are_named_by_market_and_interval(
    lake: cl.Lake, tmp_path: Path
):
    both = QUERY.markets("spot", "futures_um").intervals("1h", "1d").symbols("BTCUSDT")
    one = lake.export(both, tmp_path / "one", each="all")
    assert one.select("symbol", "rows").row(0) == (None, 72 * 2 + 3)
    assert pl.read_parquet(one["path"][0]).equals(lake.silver(both).collect())
    made = lake.export(both, tmp_path / "many")
    assert [Path(path).stem for path in made["path"]] == [
        *("BTCUSDT-spot-1h", "BTCUSDT-spot-1d", "BTCUSDT-futures_um-1h")
    ]
    assert made["rows"].to_list() == [72, 3, 72]


def test_a_folder_with_files_is_refused_and_overwritten_on_request(lake: cl.Lake, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(cl.StorageError, match=r"holds notes\.txt: .*overwrite"):
        lake.export(QUERY, tmp_path)
    (tmp_path / ".export-killed").mkdir()
    (tmp_path / ".export-killed" / "half.csv").write_text("mar")
    lake.export(QUERY, tmp_path, "csv", overwrite=True)
    lake.export(QUERY.symbols("BTCUSDT"), tmp_path, overwrite=True)
    assert names(tmp_path) == {"notes.txt", "BTCUSDT.parquet"} | BESIDE
    with pytest.raises(cl.StorageError, match="cannot write"):
        lake.export(QUERY, tmp_path / "notes.txt")
    with pytest.raises(cl.InvalidQuery, match="is a URL"):
        lake.export(QUERY, "s3://bucket/folder")
    with pytest.raises(cl.InvalidQuery, match="did you mean 'parquet'"):
        lake.export(QUERY, tmp_path, "parket")  # type: ignore[arg-type]


def test_an_export_that_fails_leaves_no_file(archive: cl.Archive, tmp_path: Path):
    lake = cl.Lake(tmp_path / "lake", source=archive)
    lake.pull(QUERY, progress=False)
    damaged = sorted(Path(lake.root).rglob(f"silver/**/symbol={ODD}/2025-01.parquet"))[0]
    bytes_ = bytearray(damaged.read_bytes())
    bytes_[4:3000] = bytes(2996)
    damaged.write_bytes(bytes_)
    with pytest.raises(cl.StorageError, match="its bytes are damaged"):
        lake.export(QUERY, tmp_path / "out")
    assert names(tmp_path / "out") == set()


def test_what_is_lacking_is_said(lake: cl.Lake, tmp_path: Path):
    with pytest.warns(IncompleteWarning, match="no klines of ETHUSDT"):
        made = lake.export(QUERY.symbols("BTCUSDT", "ETHUSDT"), tmp_path)
    assert made["symbol"].to_list() == ["BTCUSDT"]


def test_rows_of_gold_are_exported_with_their_sources(lake: cl.Lake, tmp_path: Path):
    query = cl.query().symbols("BTCUSDT").between(*DAYS)
    made = lake.export(query, tmp_path, of="basis")
    assert made["symbol"].to_list() == ["BTCUSDT"]
    assert pl.read_parquet(made["path"][0]).equals(lake.gold("basis", query).collect())
    sources = (tmp_path / "sources.sha256").read_text()
    assert "/futures/um/" in sources
    assert "/spot/" in sources
    assert "Gold: basis" in (tmp_path / "README.md").read_text("utf-8")


def test_daily_bars_are_exported_each_with_its_own_sources(lake: cl.Lake, tmp_path: Path):
    query = cl.query().markets("spot").symbols("BTCUSDT").between(*DAYS)
    made = lake.export(query, tmp_path / "one", of="daily")
    assert made["symbol"].to_list() == ["BTCUSDT"]
    rows = pl.read_parquet(made["path"][0])
    assert rows.equals(lake.gold("daily", query).collect())
    assert rows.height == 3
    sources = (tmp_path / "one" / "sources.sha256").read_text("utf-8").splitlines()
    assert sources
    assert all("/BTCUSDT/1d/" in line for line in sources)
    assert "Gold: daily" in (tmp_path / "one" / "README.md").read_text("utf-8")
    every = lake.export(query.symbols("*"), tmp_path / "all", each="all", of="daily")
    assert every["rows"].to_list() == [6]
    with pytest.raises(cl.InvalidQuery, match="one market"):
        lake.export(query.markets("spot", "futures_um"), tmp_path / "no", of="daily")


def test_the_panel_of_two_markets_is_exported_in_one_file(lake: cl.Lake, tmp_path: Path):
    query = cl.query().markets("spot", "futures_um").klines("1h").symbols("BTCUSDT").between(*DAYS)
    made = lake.export(query, tmp_path, of="panel")
    assert made.select("symbol", "rows").rows() == [("BTCUSDT", 144)]
    sources = (tmp_path / "sources.sha256").read_text("utf-8")
    assert "/futures/um/" in sources
    assert "/spot/" in sources


def test_the_program_exports(lake: cl.Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    words = ["--root", lake.root, "-m", "spot", "-i", "1h", "-s", "BTCUSDT", "--from", "2025-02-01"]
    with pytest.raises(SystemExit) as ended:
        main(["export", *words, "--folder", str(tmp_path), "--format", "csv", "--json"])
    assert not ended.value.code
    assert '"rows":24' in capfd.readouterr().out.replace(" ", "")
    assert names(tmp_path) == {"BTCUSDT.csv"} | BESIDE
