"""Every method that takes a query refuses what is none, and resolves an open range."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import cryptolake as cl

METHODS = [
    name
    for name, method in inspect.getmembers(cl.Lake, inspect.isfunction)
    if "query" in inspect.signature(method).parameters and not name.startswith("_")
]
BTC = cl.query().markets("spot").klines("1h").symbols("BTCUSDT")


def arguments(name: str, query: Any) -> dict[str, Any]:
    """Return the query and something for each other parameter that has no default."""
    parameters = list(inspect.signature(getattr(cl.Lake, name)).parameters.values())[1:]
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    variadic = {one.name for one in parameters if one.kind.name.startswith("VAR")}
    return {one: "x" for one in needed if one not in variadic} | {"query": query}


@pytest.fixture(scope="module")
def lake(archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    return cl.Lake(tmp_path_factory.mktemp("queries") / "lake", source=archive)


def test_the_methods_are_those_of_the_contract():
    contract = {"plan", "pull", "frame", "build", "bronze", "silver", "quality", "gaps", "heal"}
    assert contract < set(METHODS)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"update"}))
def test_a_text_in_the_place_of_a_query_is_refused_with_what_to_write(lake: cl.Lake, name: str):
    with pytest.raises(cl.InvalidQuery, match=r"'BTCUSDT' is no query: write cl.query\(\)"):
        getattr(lake, name)(**arguments(name, "BTCUSDT"))


def test_a_plan_is_no_query(lake: cl.Lake):
    with pytest.raises(cl.InvalidQuery, match="a Plan is no query"):
        lake.frame(lake.plan(BTC.last("1d")))  # type: ignore[arg-type]


def test_a_frame_and_the_reads_of_the_lake_see_the_same_open_range(lake: cl.Lake):
    frame = lake.frame(BTC.last("2d"), progress=False)
    assert frame["open_time"].dt.date().unique().dt.to_string().to_list() == [
        "2025-01-31",
        "2025-02-01",
    ]
    assert lake.silver(BTC.last("2d")).collect().equals(frame)
    assert lake.bronze(BTC.last("2d")).collect().height == frame.height
    assert lake.silver(BTC.between("2025-02-01", "latest")).collect().height == 24
    assert lake.quality(BTC.last("2d"))["rows"].sum() == 48
    assert lake.gaps(BTC.last("2d")).is_empty()
    assert lake.build(BTC.last("2d"), progress=False).ok
    assert (lake.verify(BTC.last("1d"))["status"] == "ok").all()


def test_quality_is_told_by_the_lake_where_the_archive_cannot_be_asked(lake: cl.Lake):
    lake.pull(BTC.last("2d"), progress=False)
    gone = cl.Archive(endpoint_url="http://127.0.0.1:9")
    other = cl.Lake(lake.root, source=gone, adopt=True)
    assert other.quality(BTC.last("2d"))["rows"].sum() == 48


def test_bars_come_by_one_call(lake: cl.Lake, monkeypatch: pytest.MonkeyPatch):
    bars = cl.klines("BTCUSDT", "1h", "2025-01-31", lake=lake)
    assert bars.equals(lake.frame(BTC.last("2d"), progress=False))
    two = cl.klines(["BTCUSDT", "ETHUSDT"], "1h", "2025-02-01", "2025-02-01", lake=lake)
    assert two["symbol"].unique().sort().to_list() == ["BTCUSDT", "ETHUSDT"]
    with pytest.raises(cl.InvalidQuery, match="say lake or root"):
        cl.klines("BTCUSDT", "1h", "2025-01", lake=lake, root="x")
    monkeypatch.setenv("CRYPTOLAKE_ROOT", lake.root)
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", str(lake.source.endpoint_url))
    assert cl.klines("BTCUSDT", "1h", "2025-01-31").equals(bars)
