"""Locks: what is pinned is restored by sha256, or each difference is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.gold import recipes
from cryptolake.transfer.kept import pinned_files
from tests.quality.world import World, key_of

DAYS = ("2024-06-01", "2024-07-02")
QUERY = cl.query().markets("spot").klines("1d").symbols("BTCUSDT").between(*DAYS)
FILES = 32
NOWHERE = "http://127.0.0.1:9"


def key(period: str) -> str:
    return key_of(period, market="spot", interval="1d")


def other_price(lines: list[bytes]) -> list[bytes]:
    first, _, rest = lines[-1].partition(b",")
    return [*lines[:-1], first + b",1" + rest]


def hash_of(frame: pl.DataFrame) -> list[int]:
    return frame.hash_rows().to_list()


def rows_of(lake: cl.Lake) -> list[int]:
    return hash_of(lake.silver(QUERY).collect())


@pytest.fixture
def here(world: Callable[..., World]) -> World:
    """The days of two months, pulled, while June's monthly file is not out."""
    made = world(datasets=["spot_klines"], symbols=["BTCUSDT"], intervals=["1d"], days=DAYS)
    june = made.folder.path(key("2024-06"))
    for path in june.parent.glob("*2024-06*"):
        path.rename(path.with_suffix(path.suffix + ".later"))
    made.publish()
    made.pull(QUERY)
    return made


def publish_june(here: World) -> None:
    for path in here.folder.path(key("2024-06")).parent.glob("*.later"):
        path.rename(path.with_suffix(""))
    here.publish()


def test_what_was_frozen_comes_back_by_its_keys_and_a_rewritten_file_is_named_or_had_from_a_donor(
    here: World, tmp_path: Path
):
    lake, path = here.lake, tmp_path / "x.lock.json"
    lock = lake.freeze(QUERY, path)
    frozen = rows_of(lake)
    assert cl.Lock.load(path) == lock
    assert lock.files["key"].to_list()[-3:] == [
        key(f"2024-{d}") for d in ("06-30", "07-01", "07-02")
    ]
    assert lock.files.height == FILES
    assert lake.diff(path).is_empty()

    # The month is out by now, and a plan takes it: a lock does not.
    publish_june(here)
    assert (
        lake.plan(QUERY, refresh=True, progress=False).files["partition"].to_list()[0] == "monthly"
    )
    first = cl.Lake(tmp_path / "first", source=lake.source)
    report = first.thaw(path, progress=False)
    assert (report.ok, report.transferred, report.built) == (True, FILES, 2), report
    assert rows_of(first) == frozen
    assert first.thaw(lock, progress=False).transferred == 0
    assert [held.name for held in tmp_path.glob("first/bronze/data/spot/*")] == ["daily"]

    rewritten, gone = key("2024-06-29"), key("2024-07-02")
    here.edit(rewritten, other_price)
    here.remove(gone)
    here.publish()
    found = {row["change"]: row for row in lake.diff(lock).iter_rows(named=True)}
    pins = dict(lock.files.select("key", "sha256").iter_rows())
    assert found["rewritten"]["key"] == rewritten
    assert (found["removed"]["key"], found["removed"]["sha256"]) == (gone, pins[gone])

    bare = cl.Lake(tmp_path / "bare", source=lake.source)
    report = bare.thaw(lock, progress=False)
    errors = dict(report.files.filter(status="failed").select("key", "error").iter_rows())
    sidecar = here.folder.path(f"{rewritten}.CHECKSUM").read_text().split()[0]
    assert not report.ok
    assert errors.keys() == {rewritten, gone}
    assert pins[rewritten] in errors[rewritten]
    assert sidecar in errors[rewritten]
    assert "removed from the archive" in errors[gone]
    assert report.built == 0  # each month lacks a file

    # The frozen lake follows the archive, keeps what its lock pins, and gives it back.
    assert lake.update(progress=False).changed
    assert rows_of(lake) != frozen
    report = bare.thaw(lock, [lake], progress=False)
    assert report.ok, report
    assert report.files.filter(mode="donor")["key"].sort().to_list() == [rewritten, gone]
    assert rows_of(bare) == frozen

    # The lake says what it keeps; a damaged zip or lock is named; a lock that is dropped takes its zip along.
    held = lake.locks().rows(named=True)
    size = lock.files.filter(key=rewritten)["size"].item()
    assert [(row["id"], row["kept_files"], row["kept_bytes"]) for row in held] == [
        (lock.id, 1, size)
    ]
    page = lake.quality_page(QUERY, tmp_path / "quality.html").read_text("utf-8")
    assert f"{lock.id}" in page
    assert "31 of 32" in page
    kept, own = f"meta/kept/{pins[rewritten]}.zip", f"meta/locks/{lock.id}.json"
    assert damaged(lake) == {}
    storage, true = lake.storage, lake.storage.read(kept)
    storage.write(kept, true[:-1] + b"x")
    storage.write("meta/locks/other.json", storage.read(own))
    said = damaged(lake)
    assert said.keys() == {kept, "meta/locks/other.json"}
    assert "other bytes than the lock pins" in said[kept]
    assert "holds another lock" in said["meta/locks/other.json"]
    assert lake.locks()["problem"].to_list() == [None, said["meta/locks/other.json"]]
    with pytest.raises(cl.LockError, match="is none of the locks"):
        lake.unlock(lock.id[:5])
    with pytest.warns(cl.DamagedLakeWarning, match="kept zips stay"):
        assert lake.unlock(lock.id[:6])["path"].to_list() == [own]
    assert lake.unlock("other")["path"].to_list() == ["meta/locks/other.json", kept]
    assert storage.list("meta/kept") == []
    assert lake.locks().is_empty()


def test_gold_of_the_lock_is_made_again_or_named(here: World, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recipes, "_RECIPES", recipes.recipes())

    @cl.recipe(bars="spot_klines:1d", before="31d")
    def mine(bars):
        return bars.select("open_time", high=pl.col("high").rolling_max_by("open_time", "7d"))

    lake = here.lake
    tables = {"panel": QUERY, "daily": QUERY, "mine": QUERY}
    frozen = {name: hash_of(lake.gold(name, of).collect()) for name, of in tables.items()}
    lock = lake.freeze(QUERY, tmp_path / "x.lock.json")
    assert cl.Lock.load(tmp_path / "x.lock.json").gold == lock.gold
    assert list(lock.gold) == ["daily/spot", "mine/spot/1d", "panel/spot/1d"]
    assert {pin.unpinned for pin in lock.gold.values()} == {0}
    paper = cl.Lake(tmp_path / "paper", source=lake.source)
    report = paper.thaw(lock, lake, progress=False)
    assert report.ok, report
    made = report.months.filter(pl.col("path").str.starts_with("gold/"), status="built")
    assert made.height == 6
    assert {name: hash_of(paper.gold(name, of).collect()) for name, of in tables.items()} == frozen
    assert paper.build(QUERY, gold=["mine"], progress=False).built == 0

    recipes._RECIPES.pop("mine")
    panel = lock.gold["panel/spot/1d"]
    other = {
        "mine/spot/1d": lock.gold["mine/spot/1d"],
        "panel/spot/1d": panel._replace(code="f" * 32),
        "panel/options": panel,
        "basis/futures_um/1h": panel._replace(version="7"),
        "filled/spot/1d": panel,
        "daily/spot": lock.gold["daily/spot"]._replace(unpinned=3),
    }
    with pytest.warns(cl.IncompleteWarning) as warned:
        report = paper.thaw(replace(lock, gold=other), lake, progress=False)
    text = str(warned[0].message)
    for part in (
        "gold.mine of spot 1d is not made: the recipe is not registered",
        f"gold.panel of spot 1d is not made: its code is another: hash {'f' * 12} then",
        "gold.panel of options is not made: the recipe does not hold",
        "by version 7, and here is version 1",
        "lake.fill(query, against=...)",
        "gold.daily of spot was made of 3 more files",
    ):
        assert part in text
    assert (
        report.months.filter(pl.col("path").str.starts_with("gold/"))["status"].to_list()
        == ["unchanged"] * 2
    )
    july = lake.freeze(QUERY.between("2024-07-01", "2024-07-02"), tmp_path / "part.json")
    assert {label: pin.unpinned for label, pin in july.gold.items()} == {
        "daily/spot": 0,
        "mine/spot/1d": 1,
        "panel/spot/1d": 0,
    }
    text = (tmp_path / "part.json").read_text("utf-8").replace('"panel/spot/1d"', '"panel/moon"')
    with pytest.raises(cl.LockError, match="moon"):
        cl.Lock.from_text(text, "x")


def damaged(lake: cl.Lake) -> dict[str, str]:
    """Return what verify says of damaged files of the lake's own."""
    found = lake.verify().filter(zone="meta", status="damaged")
    return dict(found.select("key", "detail").iter_rows())


def test_a_lake_in_a_bucket_is_restored_by_donors_keeps_what_is_pinned_and_is_a_donor(
    here: World, tmp_path: Path, bucket_options: dict[str, Any]
):
    lake, july = here.lake, QUERY.between("2024-07-01", "2024-07-02")
    lock = lake.freeze(july, tmp_path / "x.lock.json")
    liar = tmp_path / "liar"
    shutil.copytree(lake.root, liar)
    for path in liar.rglob("*.zip"):
        path.write_bytes(b"PK" + bytes(path.stat().st_size - 2))
    root, opened = "s3://lakes/thawed", bucket_options
    away = lake.source.model_copy(update={"endpoint_url": NOWHERE})
    bucket = cl.Lake(root, source=away, storage_options=opened)
    report = bucket.thaw(lock, liar, progress=False)
    assert (report.ok, report.failed) == (False, 2)
    assert "does not answer" in report.files["error"][0]
    report = bucket.thaw(lock, [liar, lake], progress=False)
    assert (report.ok, report.modes) == (True, {"donor": 2}), report
    frozen = hash_of(lake.silver(july).collect())
    assert hash_of(bucket.silver(july).collect()) == frozen

    bucket = cl.Lake(root, source=lake.source, storage_options=opened)
    assert bucket.diff(lock).is_empty()
    here.edit(key("2024-07-01"), other_price)
    here.publish()
    assert bucket.freeze(july, tmp_path / "again.json") == lock
    assert lake.unlock(tmp_path / "again.json")["path"].to_list() == [f"meta/locks/{lock.id}.json"]
    assert bucket.update(july, progress=False).changed
    assert hash_of(bucket.silver(july).collect()) != frozen
    other = cl.Lake(tmp_path / "other", source=away)
    with pytest.warns(cl.IncompleteWarning, match="spot_klines by 0, here"):
        report = other.thaw(replace(lock, schemas={"spot_klines": "0"}), bucket, progress=False)
    assert (report.ok, report.modes) == (True, {"donor": 2}), report
    assert hash_of(other.silver(july).collect()) == frozen


def test_bytes_that_are_listed_as_pinned_and_are_others_never_take_their_place(
    here: World, tmp_path: Path
):
    lock = here.lake.freeze(QUERY.between("2024-07-02", "2024-07-02"), tmp_path / "x.lock.json")
    [true] = lock.files["sha256"]
    forged = replace(lock, files=lock.files.with_columns(sha256=pl.lit("0" * 64)))
    other = cl.Lake(tmp_path / "other", source=here.lake.source)
    report = other.thaw(forged, here.lake, progress=False)
    assert not report.ok
    [error] = report.files["error"]
    assert error == f"sha256 is {true}, the lock pins {'0' * 64}"
    assert other.storage.list("bronze") == []


def test_a_damaged_lock_of_the_lake_is_named(tmp_path: Path):
    storage = cl.Lake(tmp_path).storage
    storage.write("meta/locks/x.json", b"{")
    with pytest.warns(cl.DamagedLakeWarning, match=r"x\.json is no lock"):
        assert pinned_files(storage).is_empty()
    storage.delete("meta/locks/x.json")
    storage.local("meta/locks/y.json").symlink_to("y.json")
    (said,) = cl.Lake(tmp_path).locks()["problem"]
    assert "is no lock" in said


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_in_the_place_of_a_lock_is_named_until_the_lock_is_let_go_or_made_again(
    here: World, tmp_path: Path, inside: bool
):
    lake, asked = here.lake, QUERY.between("2024-06-01", "2024-06-03")
    lock = lake.freeze(asked, tmp_path / "a.lock.json")
    path = lake.storage.local(f"meta/locks/{lock.id}.json")

    def damage() -> None:
        path.unlink()
        path.mkdir()
        if inside:
            (path / "notes.txt").write_text("mine")

    damage()
    (bad,) = lake.verify().filter(pl.col("status") != "ok").iter_rows(named=True)
    assert (bad["key"], bad["zone"]) == (f"meta/locks/{lock.id}.json", "meta")
    assert "a folder in the place of the lock" in bad["detail"]
    assert lake.locks()["problem"].to_list() == [bad["detail"]]
    assert lake.unlock(lock.id)["path"].to_list() == [bad["key"]]
    assert set(lake.verify()["status"]) == {"ok"}
    lake.freeze(asked, tmp_path / "a.lock.json")
    damage()
    lake.freeze(asked, tmp_path / "a.lock.json")
    assert lake.locks()["problem"].to_list() == [None]
    kept = list(lake.storage.local("meta/quarantine").rglob("notes.txt"))
    assert len(kept) == 2 * inside


def test_what_cannot_be_frozen_or_thawed_is_refused(here: World, tmp_path: Path):
    lake = here.lake
    path = tmp_path / "x.lock.json"
    wide = QUERY.between("2024-05-31", "2024-07-02")
    more = QUERY.symbols("BTCUSDT").between("2024-01-01", "2024-01-02")
    with pytest.raises(cl.LockError, match="holds nothing of"):
        lake.freeze(more, path)
    (Path(lake.root) / "bronze" / key("2024-07-01")).unlink()
    with pytest.raises(cl.LockError, match="1 file of the query is not in the lake") as caught:
        lake.freeze(wide, path)
    assert caught.value.keys == [key("2024-07-01")]
    assert not path.exists()
    here.pull(QUERY)
    lake.meta.append("lineage", [{"path": "gold/mine/a", "recipe": "mine", "version": "3"}])
    lock = lake.freeze(QUERY, path)
    assert lock.recipes == {"mine": "3"}
    publish_june(here)
    full = cl.Lake(tmp_path / "full", source=lake.source)
    assert full.pull(QUERY, progress=False).ok
    with pytest.raises(cl.LockError, match="1 other files of the lock's months") as caught:
        full.thaw(lock, progress=False)
    assert caught.value.keys == [key("2024-06")]
    other = cl.Lake(tmp_path / "other", source=cl.Archive(bucket="elsewhere"))
    for ask in (other.diff, other.thaw):
        with pytest.raises(cl.LockError, match="this lock is of the archive"):
            ask(lock)
    with pytest.raises(cl.LockError, match="there is no lake at"):
        cl.Lake(other.root, source=lake.source).thaw(lock, tmp_path / "mistyped")
    assert not Path(other.root).exists()


def test_files_and_symbols_that_came_since_are_added(here: World, tmp_path: Path):
    lake = here.lake
    late = here.folder.path(key("2024-07-02"))
    for path in late.parent.glob("*2024-07-02*"):
        path.rename(path.with_suffix(path.suffix + ".later"))
    shutil.rmtree(lake.root)
    here.publish()
    here.pull(QUERY.symbols("BTC*"))
    lock = lake.freeze(QUERY.symbols("BTC*"), tmp_path / "x.lock.json")
    for path in late.parent.glob("*.later"):
        path.rename(path.with_suffix(""))
    new = here.folder.root / "data/spot/daily/klines/BTCUSDC/1d"
    shutil.copytree(late.parent, new)
    for path in new.iterdir():
        path.rename(path.with_name(path.name.replace("BTCUSDT", "BTCUSDC")))
    here.publish()
    found = lake.diff(lock)
    assert found["change"].unique().to_list() == ["added"]
    assert found["key"].to_list()[-1] == key("2024-07-02")
    assert found.height == FILES + 1
