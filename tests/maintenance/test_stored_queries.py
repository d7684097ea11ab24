"""Stored queries: saved by name, and followed by an update to what they mean by then."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import cryptolake as cl
from tests.quality.world import World, key_of

if TYPE_CHECKING:
    from cryptolake.maintenance.update import Update

CORE = cl.query().markets("spot").klines("1d").symbols("*USDT").since("2024-06-29")
JUNE = CORE.between("2024-06-29", "2024-06-30")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored")


def empty_lake(root: Path, name: str) -> cl.Lake:
    return cl.Lake(root / name, source=cl.Archive(endpoint_url="http://127.0.0.1:9"))


def whys(done: Update) -> dict[str, int]:
    return dict(done.changes.group_by("why").agg(pl.col("files").sum()).iter_rows())


def test_a_query_is_saved_replaced_listed_and_dropped(root: Path):
    lake = empty_lake(root, "names")
    assert lake.queries().is_empty()
    lake.save_query("core", JUNE)
    lake.save_query("core", CORE)
    lake.save_query("a_b-2", JUNE)
    assert empty_lake(root, "names").stored_query("core") == CORE
    rows = lake.queries()
    assert rows["name"].to_list() == ["a_b-2", "core"]
    assert [eval(text, {"cl": cl}) for text in rows["query"]] == [JUNE, CORE]
    assert [cl.Query.from_json(text) for text in rows["json"]] == [JUNE, CORE]
    assert rows.schema["saved_at"] == pl.Datetime("us", "UTC")
    lake.drop_query("a_b-2")
    assert lake.queries()["name"].to_list() == ["core"]


@pytest.mark.parametrize("target", ["/nonexistent", "core.json"])
def test_a_link_that_leads_nowhere_is_named(root: Path, target: str):
    lake = empty_lake(root, "linked")
    lake.save_query("core", CORE)
    (path,) = Path(lake.root).rglob("core.json")
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(cl.InvalidQuery, match=r"core\.json .* is no stored query"):
        lake.stored_query("core")
    with pytest.warns(cl.DamagedLakeWarning, match=r"core\.json"):
        assert lake.queries().is_empty()
    lake.save_query("core", JUNE)
    assert lake.stored_query("core") == JUNE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"query": 5, "saved_at": 1}', "[" * 100_000])
def test_a_damaged_one_is_named(root: Path, text: str):
    lake = empty_lake(root, "damaged")
    lake.save_query("core", CORE)
    (path,) = Path(lake.root).rglob("core.json")
    path.write_text(text)
    with pytest.raises(cl.InvalidQuery, match=r"core\.json .* is no stored query"):
        lake.stored_query("core")


@pytest.mark.parametrize(
    ("name", "near"), [("../x", "x"), ("My Core", "my-core"), ("", "core"), ("a/b", "a-b")]
)
def test_a_name_that_could_be_no_file_is_refused_with_the_nearest(root: Path, name: str, near: str):
    lake = empty_lake(root, "refused")
    with pytest.raises(cl.InvalidQuery, match="cannot name a query") as caught:
        lake.save_query(name, CORE)
    assert caught.value.nearest == near
    assert not Path(lake.root).exists()


def test_what_is_not_stored_names_the_nearest_and_half_a_query_is_refused(root: Path):
    lake = empty_lake(root, "absent")
    lake.save_query("core", CORE)
    for ask in (lake.update, lake.stored_query, lake.drop_query):
        with pytest.raises(cl.InvalidQuery, match="did you mean 'core'"):
            ask("cora")
    with pytest.raises(cl.InvalidQuery, match="say which symbols"):
        lake.save_query("half", cl.query().markets("spot").klines("1d").last("3d"))
    with pytest.raises(cl.InvalidQuery, match="is no query"):
        lake.save_query("half", "BTCUSDT")  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "a link to nothing", "a pipe", "a folder"])
def test_a_damaged_file_is_named_and_the_others_are_listed(root: Path, damage: str):
    lake = empty_lake(root, damage)
    lake.save_query("core", CORE)
    lake.save_query("bad", CORE)
    path = Path(lake.root) / "meta" / "queries" / "bad.json"
    if damage == "cut":
        path.write_text("{")
    else:
        path.unlink()
        made = {"a pipe": os.mkfifo, "a folder": os.mkdir}
        path.symlink_to("/nowhere") if "link" in damage else made[damage](path)
    with pytest.raises(cl.InvalidQuery, match="is no stored query"):
        lake.stored_query("bad")
    with pytest.warns(cl.DamagedLakeWarning, match=r"bad\.json"):
        assert lake.queries()["name"].to_list() == ["core"]
    lake.save_query("bad", CORE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lake.queries().height == 2


def test_an_update_by_name_fetches_new_days_and_symbols_listed_since(
    world: Callable[..., World],
):
    here = world(
        datasets=["spot_klines"],
        symbols=["BTCUSDT", "ETHUSDT"],
        intervals=["1d"],
        days=("2024-06-28", "2024-07-02"),
        partitions=["daily"],
    )

    def key(symbol: str, day: str) -> str:
        return key_of(day, market="spot", symbol=symbol, data_type="klines", interval="1d")

    late = [("BTCUSDT", "2024-07-02")]
    late += [("ETHUSDT", f"2024-{day}") for day in ("06-28", "06-29", "06-30", "07-01", "07-02")]
    kept = {}
    for symbol, day in late:
        for path in here.folder.path(key(symbol, day)).parent.glob(f"*{day}*"):
            kept[path] = path.read_bytes()
            path.unlink()
    here.publish()
    here.lake.save_query("core", CORE)
    first = here.lake.update("core", progress=False)
    assert whys(first) == {"added": 3}
    assert (first.rows_before, first.rows_after) == (0, 3)
    assert not here.lake.update("core", progress=False).changed
    for path, data in kept.items():
        path.write_bytes(data)
    here.publish()
    second = here.lake.update("core", progress=False)
    assert whys(second) == {"extended": 1, "added": 4}
    assert (second.rows_before, second.rows_after) == (3, 8)
    assert here.lake.silver(CORE).collect().height == 8
    assert not here.lake.update("core", progress=False).changed
    with pytest.raises(cl.InvalidQuery, match=r"holds nothing of .* pull it first"):
        here.lake.update(CORE.intervals("1h"), progress=False)
