"""A plan's shards, each transferred and built by itself, in any order, make the lake that one pull makes."""

from __future__ import annotations

import pytest

import cryptolake as cl


def test_shards_built_alone_make_the_lake_of_one_pull(archive: cl.Archive, tmp_path) -> None:
    query = (
        cl.query()
        .markets("spot", "futures_um")
        .klines("1h")
        .symbols("BTCUSDT", "ETH*")
        .between("2024-12-31", "2025-02-01")
    )
    whole = cl.Lake(tmp_path / "whole", source=archive)
    once = whole.pull(query, progress=False)
    lake = cl.Lake(tmp_path / "shards", source=archive)
    shards = lake.plan(query).shards(5)
    assert len(shards) == 5
    moved, built = [], []
    for number, shard in enumerate(reversed(shards)):
        shard.save(tmp_path / f"{number}.json")
        part = cl.Plan.load(tmp_path / f"{number}.json")
        moved.append(lake.transfer(part, progress=False))
        built.append(lake.build(part, progress=False))
        months = {(f["symbol"], f["period"][:7]) for f in part.files.iter_rows(named=True)}
        paths = {
            tuple(path[:-8].split("symbol=")[1].split("/")) for path in built[-1].months["path"]
        }
        assert paths == months

    merged = cl.Report.merge([*moved, *built])
    assert (merged.kind, merged.transferred, merged.bytes) == ("pull", once.transferred, once.bytes)
    assert merged.requests is not None
    assert once.requests is not None
    assert merged.requests <= 1.3 * once.requests
    assert merged.built == once.built
    assert lake.silver(query).collect().equals(whole.silver(query).collect())
    assert lake.build(query, progress=False).built == 0
    assert lake.build(lake.plan(query), progress=False).count("unchanged") == once.built


def test_what_is_neither_query_nor_plan_is_refused(tmp_path) -> None:
    with pytest.raises(cl.InvalidQuery, match="no query"):
        cl.Lake(tmp_path).build("BTCUSDT")  # type: ignore[arg-type]
