"""Gold in SQL: a view a recipe, typed while it has no files, and the lineage of each file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from tests.quality.world import World, key_of

ASKED = cl.query().symbols("BTCUSDT").between("2024-12-30", "2025-02-01")


def test_a_view_is_typed_while_it_is_empty_and_has_the_rows_once_they_are_made(
    world: World, tmp_path: Path
):
    @cl.recipe(bars="spot_klines:1h")
    def mine(bars):
        return bars.select("open_time", up=pl.col("close") > pl.col("open"))

    lake = world.lake
    early = lake.connect()
    assert [str(kind) for kind in lake.sql("from gold.mine").types] == [
        *["VARCHAR"] * 3,
        "TIMESTAMP WITH TIME ZONE",
        "BOOLEAN",
    ]
    assert lake.sql("select count(*) from gold.basis").fetchall() == [(0,)]
    world.pull(ASKED.markets("spot").klines("1h"))
    rows = lake.gold("mine", ASKED, progress=False).collect()
    assert rows.height == 816
    for answer in (lake.sql("from gold.mine"), early.sql("from gold.mine")):
        assert cl.to_polars(answer.order("open_time")).equals(rows)
    lineage = "select recipe, rows, version from meta.lineage where recipe = 'mine' order by path"
    assert lake.sql(lineage).fetchall() == [
        ("mine", 48, "1"),
        ("mine", 744, "1"),
        ("mine", 24, "1"),
    ]
    kept = tmp_path / "kept.duckdb"
    lake.connect(kept).close()
    assert lake.connect(kept).sql("select count(*) from gold.mine").fetchall() == [(816,)]

    # A file that is gone, or is another one, is named, and no row of it is counted.
    path = Path(lake.root) / "gold/mine/market=spot/symbol=BTCUSDT/interval=1h/2025-01.parquet"
    whole = path.read_bytes()
    for damage, why in {
        Path.unlink: "it is gone",
        lambda path: path.mkdir(): "not the .* that were recorded",
        lambda path: pl.DataFrame({"a": [1]}).write_parquet(path): "not the .* that were recorded",
    }.items():
        damage(path)
        with pytest.warns(
            cl.DamagedLakeWarning, match=f"2025-01.parquet .*{why}.*builds damaged files again"
        ):
            assert lake.sql("select count(*) from mine").fetchall() == [(72,)]
        row = lake.status().row(by_predicate=pl.col("dataset") == "gold.mine", named=True)
        assert (row["rows"], row["damaged"]) == (72, 1)
        if path.is_dir():
            path.rmdir()
    path.write_bytes(whole)
    assert lake.sql("select count(*) from gold.mine").fetchall() == [(816,)]


def test_published_files_of_which_an_input_has_no_rows_are_named(world: World):
    @cl.recipe(bars="spot_klines:1h")
    def theirs(bars):
        return bars.select("open_time", up=pl.col("close") > pl.col("open"))

    asked = ASKED.symbols("ETHUSDT").between("2024-12-30", "2024-12-31")
    world.edit(key_of("2024-12-30", market="spot", symbol="ETHUSDT"), lambda _: [b"junk\n"])
    world.publish()
    assert not world.lake.pull(asked.markets("spot").klines("1h"), progress=False).ok
    with pytest.warns(cl.IncompleteWarning, match=r"ETHUSDT-1h-2024-12-30.zip \(refused: "):
        assert world.lake.gold("theirs", asked, progress=False).collect().height == 24
