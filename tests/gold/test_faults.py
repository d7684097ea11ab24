"""Gold under faults: two writers at once, a kill between the record and the file, damaged records; and no future."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.gold import build
from cryptolake.gold.build import build_gold
from cryptolake.sample.research import research_symbols
from tests.gold.test_recipes import gold_months
from tests.quality.world import World, key_of

if TYPE_CHECKING:
    from cryptolake.progress import Step

BARS = cl.query().markets("spot", "futures_um").klines("1h")
ASKED = cl.query().symbols("BTCUSDT").between("2024-12-30", "2025-02-01")
MONTHS = ["2024-12", "2025-01", "2025-02"]
BEGUN = """
import os, signal, sys
import cryptolake as cl
from cryptolake.gold import build
lake = cl.Lake(sys.argv[1])
asked = cl.query().symbols("BTCUSDT").between("2024-12-30", "2025-02-01")
"""
KILLED = """
build.put_all = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
build.build_gold(lake.context, "basis", asked, progress=False, force=True)
"""
WRITER = """
factor = int(sys.argv[2])
@cl.recipe(bars="spot_klines:1h", version=factor)
def contested(bars):
    return bars.select("open_time", close=factor * bars.collect()["close"])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    build.build_gold(lake.context, "contested", asked, progress=False, force=True)
"""


@pytest.fixture(scope="module")
def pulled(world: World) -> World:
    world.pull(BARS.symbols("BTCUSDT").between("2024-12-30", "2025-02-01"))
    return world


def started(world: World, script: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", BEGUN + script, world.lake.root, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def recorded(lake: cl.Lake, recipe: str) -> dict[str, str]:
    rows = lake.meta.read("lineage").filter(recipe=recipe).unique("path", keep="last")
    return dict(rows.select("path", "sha256").iter_rows())


def standing(lake: cl.Lake, recipe: str) -> dict[str, str]:
    files = [entry.path for entry in lake.storage.list(f"gold/{recipe}")]
    return {path: sha256(lake.storage.read(path)).hexdigest() for path in files}


def test_two_writers_at_once_leave_the_files_that_are_recorded(pulled: World):
    writers = [started(pulled, WRITER, factor) for factor in ("1", "2")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    found = standing(pulled.lake, "contested")
    assert len(found) == 3
    assert recorded(pulled.lake, "contested") == found


def test_a_build_killed_between_the_record_and_the_file_is_finished_by_the_next(pulled: World):
    rows = pulled.lake.gold("basis", ASKED, progress=False).collect()
    before = standing(pulled.lake, "basis")
    for path in before:
        pulled.lake.storage.delete(path)
    child = started(pulled, KILLED)
    child.communicate(timeout=120)
    assert child.returncode == -9
    assert standing(pulled.lake, "basis") == {}
    assert recorded(pulled.lake, "basis") == before
    report = build_gold(pulled.lake.context, "basis", ASKED, progress=False)
    assert gold_months(report.months, "built") == MONTHS
    assert standing(pulled.lake, "basis") == before
    assert pulled.lake.gold("basis", ASKED, progress=False).collect().equals(rows)


def damage(lake: cl.Lake) -> None:
    for entry in lake.storage.list("meta/lineage"):
        lake.storage.write(entry.path, lake.storage.read(entry.path)[:40])


def test_damaged_lineage_is_made_anew_with_its_files(pulled: World):
    rows = pulled.lake.gold("basis", ASKED, progress=False).collect()
    damage(pulled.lake)
    again = cl.Lake(pulled.lake.root, source=pulled.lake.source)
    with pytest.warns(cl.DamagedLakeWarning, match=r"meta/lineage/.* cannot be read"):
        report = again.build(ASKED, gold=["basis"], progress=False)
    assert gold_months(report.months, "built") == MONTHS
    assert again.gold("basis", ASKED, progress=False).collect().equals(rows)
    assert recorded(again, "basis") == standing(again, "basis")


def test_in_a_bucket_a_stopped_build_and_damaged_lineage_are_finished(
    pulled: World, bucket_options, monkeypatch
):
    source, options = pulled.lake.source, bucket_options
    lake = cl.Lake("s3://lakes/gold-faults", source=source, storage_options=options)
    asked = ASKED.between("2025-01-31", "2025-02-01")
    assert lake.pull(BARS.symbols("BTCUSDT").between("2025-01-31", "2025-02-01"), progress=False).ok

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "put", stop)
        with pytest.raises(KeyboardInterrupt):
            build_gold(lake.context, "basis", asked, progress=False)
    assert len(recorded(lake, "basis")) == 2
    assert standing(lake, "basis") == {}
    rows = lake.gold("basis", asked, progress=False).collect()
    assert rows.equals(pulled.lake.gold("basis", asked, progress=False).collect())
    damage(lake)
    again = cl.Lake("s3://lakes/gold-faults", source=source, storage_options=options)
    with pytest.warns(cl.DamagedLakeWarning, match=r"meta/lineage/.* cannot be read"):
        report = again.build(asked, gold=["basis"], progress=False)
    assert gold_months(report.months, "built") == ["2025-01", "2025-02"]
    assert recorded(again, "basis") == standing(again, "basis")


def test_a_build_that_is_stopped_ends_its_work_and_removes_its_drafts(pulled: World):
    def stop(_: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_gold(pulled.lake.context, "basis", ASKED, progress=stop, force=True)
    assert not [one for one in threading.enumerate() if one.name.startswith("gold")]
    assert pulled.lake.storage.list("meta/drafts") == []
    assert list(pulled.lake.storage.local("meta/drafts").iterdir()) == []


def test_status_shows_gold(pulled: World):
    rows = pulled.lake.gold("basis", ASKED, progress=False).collect()
    found = pulled.lake.status().filter(dataset="gold.basis").rows(named=True)[0]
    assert (found["symbols"], found["months"], found["damaged"]) == (1, 3, 0)
    assert (found["rows"], str(found["newest"]), found["behind"]) == (
        rows.height,
        "2025-02-01",
        None,
    )
    path = next(iter(standing(pulled.lake, "basis")))
    pulled.lake.storage.write(path, b"short")
    found = pulled.lake.status().filter(dataset="gold.basis").rows(named=True)[0]
    assert (found["months"], found["damaged"]) == (2, 1)
    assert pulled.lake.gold("basis", ASKED, progress=False).collect().equals(rows)


def test_filled_bars_are_a_recipe_that_says_how_they_are_made(pulled: World):
    row = pulled.lake.recipes().filter(name="filled").rows(named=True)[0]
    assert row["columns"][-1] == "origin String"
    with pytest.raises(cl.InvalidQuery, match=r"made by lake\.fill\(query, against='trades'\)"):
        pulled.lake.gold("filled", ASKED)


def test_other_data_that_a_recipe_depends_on_makes_all_months_anew(pulled: World):
    def built(weights: object) -> list[str]:
        @cl.recipe(bars="spot_klines:1h", depends=weights)
        def weighted(bars):
            return bars.select("open_time", "close")

        return gold_months(
            pulled.lake.build(ASKED, gold="weighted", progress=False).months, "built"
        )

    assert built({"BTC": 1, "ETH": 2}) == MONTHS
    assert built({"ETH": 2, "BTC": 1}) == []
    assert built({"BTC": 2, "ETH": 2}) == MONTHS
    with pytest.raises(cl.InvalidQuery, match="depends= takes what JSON can hold"):
        built({1j})


def test_a_thousand_shib_are_paired_with_shib(pulled: World):
    shib = research_symbols("1000SHIBUSDT", "SHIBUSDT")
    cl.sample_archive(
        pulled.folder.root,
        datasets=["spot_klines", "futures_um_klines"],
        symbols=shib,
        intervals=["1h"],
        days=("2024-01-01", "2024-01-02"),
        partitions=["daily"],
    )
    pulled.publish()
    days = BARS.between("2024-01-01", "2024-01-02")
    pulled.pull(days.markets("futures_um").symbols("1000SHIBUSDT"))
    pulled.pull(days.markets("spot").symbols("SHIBUSDT"))
    asked = cl.query().symbols("1000SHIBUSDT").between("2024-01-01", "2024-01-02")
    rows = pulled.lake.gold("basis", asked, progress=False).collect()
    assert rows["symbol"].unique().to_list() == ["1000SHIBUSDT"]
    assert rows["multiplier"].unique().to_list() == [1000]
    assert (rows.height, rows["basis"].null_count()) == (48, 0)
    assert rows.filter(pl.col("basis").abs() < 0.05).height == 48


def test_built_files_do_not_know_what_comes_after(pulled: World):
    """The archive writes every price after an instant anew; what was known at it stays, to the last digit."""

    @cl.recipe(bars="spot_klines:1h", before="31d")
    def trailing_mean(bars):
        mean = pl.col("close").rolling_mean_by("open_time", "7d", min_samples=24)
        return bars.select("open_time", mean=mean)

    cut = datetime(2025, 1, 15, 7, 31, 17, tzinfo=UTC)
    names = ("basis", "trailing_mean")
    before = {name: pulled.lake.gold(name, ASKED, progress=False).collect() for name in names}

    def later(factor: bytes):
        def change(lines: list[bytes]) -> list[bytes]:
            made = []
            for line in lines:
                cells = line.split(b",")
                stamp = int(cells[0][:10]) if cells[0].isdigit() else 0
                if stamp + 3600 > cut.timestamp():
                    cells[1:5] = [factor + cell for cell in cells[1:5]]
                made.append(b",".join(cells))
            return made

        return change

    for market, factor in (("spot", b"1"), ("futures/um", b"2")):
        pulled.edit(key_of("2025-01", market=market), later(factor))
    pulled.publish()
    pulled.pull(BARS.symbols("BTCUSDT").between("2025-01"))
    known = pl.col("open_time") + pl.duration(hours=1) <= cut
    for name in names:
        after = pulled.lake.gold(name, ASKED, progress=False).collect()
        assert after.filter(known).equals(before[name].filter(known))
        assert not after.filter(~known).equals(before[name].filter(~known))
