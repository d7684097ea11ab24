"""lake.update finishes what was left undone: it decides by what the lake lacks, not by what it moved itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import Partition
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.client import Pages
from cryptolake.maintenance.missing import Coverage
from cryptolake.quality.freshness import held_folders
from tests.quality.world import World, key_of, without
from tests.transfer.proxy import Fault, proxied

if TYPE_CHECKING:
    from cryptolake.maintenance.update import Update

TRADES = cl.query().markets("spot").data_types("trades").symbols("ETHUSDT")
FUNDING = cl.query().markets("futures_um").data_types("fundingRate").symbols("BTCUSDT")
FIRST, LAST = "2024-06-27", "2024-07-06"


def trade_key(day: str) -> str:
    return key_of(day, market="spot", symbol="ETHUSDT", data_type="trades")


@pytest.fixture
def trades(world: Callable[..., World]) -> World:
    """Ten days of trades over two months in the archive, and the first four in the lake."""
    here = world(
        datasets=["spot_trades"], symbols=["ETHUSDT"], days=(FIRST, LAST), partitions=["daily"]
    )
    here.pull(TRADES.between(FIRST, "2024-06-30"))
    return here


def whys(done: Update) -> dict[str, int]:
    return dict(done.changes.group_by("why").agg(pl.col("files").sum()).iter_rows())


def update(here: World, **more: object) -> Update:
    here.publish()
    return cl.Lake(here.lake.root, source=here.lake.source).update(progress=False, **more)  # type: ignore[arg-type]


def is_finished(here: World, query: cl.Query = TRADES) -> None:
    """The next update does nothing, and Silver has the rows of a lake that was filled in one go."""
    assert not update(here).changed
    other = cl.Lake(Path(here.lake.root).with_name("other"), source=here.lake.source)
    assert other.pull(query, progress=False).ok
    mine, fresh = (lake.silver(query).collect() for lake in (here.lake, other))
    assert mine.equals(fresh)


def withheld(here: World, key: str) -> Callable[[], None]:
    """Take a file and its CHECKSUM out of the archive; return what publishes it."""
    path = here.folder.path(key)
    both = [path, path.with_name(f"{path.name}.CHECKSUM")]
    away = here.folder.root / "away"
    away.mkdir(exist_ok=True)
    for one in both:
        shutil.move(one, away / one.name)

    def publish() -> None:
        for one in both:
            shutil.move(away / one.name, one)

    return publish


def test_a_day_that_is_published_late_is_fetched_and_one_in_another_month_too(trades: World):
    late = [withheld(trades, trade_key(day)) for day in ("2024-07-01", "2024-07-04")]
    assert whys(update(trades)) == {"extended": 4}
    for publish in late:
        publish()
    assert whys(update(trades)) == {"filled": 2}
    is_finished(trades, TRADES.between(FIRST, LAST))


def test_a_file_that_failed_is_fetched_by_the_next_update(trades: World):
    key = trade_key("2024-07-03")
    with proxied(trades.served.endpoint) as proxy:
        proxy.faults = lambda method, asked, _: (
            Fault("status", 503) if (method, asked) == ("GET", key) else None
        )
        source = cl.Archive(bucket=trades.lake.source.bucket, endpoint_url=proxy.url)
        options = {"retries": 0, "engine_retries": 0, "backoff": 0.0}
        done = cl.Lake(trades.lake.root, source=source).update(progress=False, options=options)
    assert done.report is not None
    assert (done.report.transferred, done.report.failed) == (5, 1)
    assert whys(update(trades)) == {"filled": 1}
    is_finished(trades, TRADES.between(FIRST, LAST))


def test_a_quarantined_day_is_fetched_when_the_archive_has_mended_its_checksum(trades: World):
    sidecar = trades.folder.path(f"{trade_key('2024-07-02')}.CHECKSUM")
    right = sidecar.read_bytes()
    sidecar.write_bytes(b"0" * 64 + right[64:])
    done = update(trades)
    assert done.report is not None
    assert done.report.quarantined == 1
    assert not update(trades).changed  # it is still as it was
    sidecar.write_bytes(right)
    assert whys(update(trades)) == {"filled": 1}
    is_finished(trades, TRADES.between(FIRST, LAST))


DIES_BEFORE_BUILD = """
import os, signal, sys
import cryptolake as cl, cryptolake.silver.build as silver
silver.build = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
source = cl.Archive(bucket=sys.argv[2], endpoint_url=sys.argv[3])
cl.Lake(sys.argv[1], source=source).update(progress=False)
"""

DIES_UNRECORDED = """
import os, signal, sys
import cryptolake as cl
from cryptolake.transfer.recorder import RunRecorder
RunRecorder.flush = lambda *_, **__: None
RunRecorder.close = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
source = cl.Archive(bucket=sys.argv[2], endpoint_url=sys.argv[3])
cl.Lake(sys.argv[1], source=source).update(progress=False)
"""


def killed(here: World, script: str) -> None:
    here.publish()
    source = here.lake.source
    command = [sys.executable, "-c", script, here.lake.root, source.bucket, str(source.endpoint)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == -9, child.stderr


def test_an_update_killed_before_the_build_is_finished(trades: World):
    killed(trades, DIES_BEFORE_BUILD)
    assert holdings(trades.lake.meta).height == 10
    assert whys(update(trades)) == {"built": 6}
    is_finished(trades, TRADES.between(FIRST, LAST))


def test_files_that_were_stored_and_not_recorded_are_adopted(trades: World):
    killed(trades, DIES_UNRECORDED)
    assert holdings(trades.lake.meta).height == 4
    with proxied(trades.served.endpoint) as proxy:
        source = cl.Archive(bucket=trades.lake.source.bucket, endpoint_url=proxy.url)
        # The lake is of the archive by its bucket; the proxy only counts.
        done = cl.Lake(trades.lake.root, source=source).update(progress=False)
        assert done.report is not None
        assert (done.report.adopted, done.report.transferred) == (6, 0)
        assert not [key for method, key in proxy.asked if method == "GET" and ".zip" in key]
    is_finished(trades, TRADES.between(FIRST, LAST))


def unlist(here: World, day: str) -> str:
    """Take a day out of the archive, as it does sometimes."""
    key = trade_key(day)
    for end in ("", ".CHECKSUM"):
        here.folder.path(key + end).unlink()
    here.publish()
    return key


@pytest.mark.parametrize("lost", ["meta/files", "meta"])
@pytest.mark.parametrize("scope", [None, TRADES])
def test_an_update_records_the_files_of_a_lost_ledger_again(
    trades: World, lost: str, scope: cl.Query | None
):
    facts = ["key", "size", "sha256"]
    before = trades.lake.meta.ledger().select(facts).sort("key")
    unlist(trades, "2024-06-29")
    shutil.rmtree(Path(trades.lake.root) / lost)
    lake = cl.Lake(trades.lake.root, source=trades.lake.source)
    with pytest.warns(cl.DamagedLakeWarning, match=r"names none of the 4 zips in bronze/"):
        done = lake.update(scope, progress=False)
    assert whys(done) == {"verified": 4, "extended": 6}
    assert done.report is not None
    assert done.report.ok
    held = lake.meta.ledger().select(facts)
    assert before.join(held, on=facts, how="anti").is_empty()
    days = lake.silver(TRADES).select(pl.col("time").dt.date()).unique().collect()
    assert days.height == 10
    assert not update(trades).changed


def test_a_zip_of_a_lost_ledger_that_nothing_proves_makes_the_update_fail(trades: World):
    key = unlist(trades, "2024-06-29")
    trades.lake.storage.delete(f"bronze/{key}.CHECKSUM")
    shutil.rmtree(Path(trades.lake.root) / "meta/files")
    with pytest.warns(cl.DamagedLakeWarning):
        done = update(trades)
    assert done.report is not None
    assert not done.report.ok  # by which the command ends with 1
    (failed,) = done.report.files.filter(status="failed").iter_rows(named=True)
    assert failed["key"] == key
    assert "no CHECKSUM proves it" in failed["error"]
    assert trades.lake.storage.exists(f"bronze/{key}")


def test_a_bronze_file_that_is_gone_or_cut_is_fetched_again(trades: World):
    update(trades)
    bronze = Path(trades.lake.root) / "bronze"
    (bronze / trade_key("2024-06-28")).unlink()
    cut = bronze / trade_key("2024-07-05")
    cut.write_bytes(cut.read_bytes()[:-9])
    assert whys(update(trades)) == {"repaired": 2}
    is_finished(trades, TRADES.between(FIRST, LAST))


def test_a_file_that_the_build_finds_damaged_is_fetched_again(trades: World):
    key = trade_key("2024-06-29")
    place = Path(trades.lake.root) / "bronze" / key
    good = place.read_bytes()
    place.write_bytes(good[:60] + bytes([good[60] ^ 1]) + good[61:])
    [silver] = (Path(trades.lake.root) / "silver").rglob("2024-06.parquet")
    silver.unlink()
    done = update(trades)
    assert done.report is not None
    assert done.report.ok, done.report
    assert place.read_bytes() == good
    is_finished(trades, TRADES.between(FIRST, LAST))


@pytest.fixture
def funding(world: Callable[..., World]) -> World:
    here = world(
        datasets=["futures_um_funding_rate"], symbols=["BTCUSDT"], days=("2024-01-01", "2024-06-30")
    )
    here.pull(FUNDING.between("2024-01", "2024-02"))
    return here


def funding_key(month: str) -> str:
    return key_of(month, data_type="fundingRate")


def test_a_month_that_is_published_late_is_fetched(funding: World):
    publish = withheld(funding, funding_key("2024-04"))
    assert whys(update(funding)) == {"extended": 3}
    publish()
    assert whys(update(funding)) == {"filled": 1}
    is_finished(funding, FUNDING.between("2024-01", "2024-06"))


def test_a_silver_month_that_is_gone_is_built_again(funding: World):
    update(funding)
    gone = [*(Path(funding.lake.root) / "silver").rglob("2024-03.parquet")]
    gone[0].unlink()
    assert whys(update(funding)) == {"built": 1}
    is_finished(funding, FUNDING.between("2024-01", "2024-06"))


def test_only_what_can_be_new_is_asked_of_the_listing(world: Callable[..., World]):
    here = world(
        datasets=["spot_trades"],
        symbols=["ETHUSDT"],
        days=("2023-12-30", "2024-06-02"),
        partitions=["monthly"],
    )
    cl.sample_archive(
        here.folder.root,
        datasets=["spot_trades"],
        symbols=["ETHUSDT"],
        days=("2023-12-30", "2023-12-31"),
        partitions=["daily"],
    )
    here.publish()
    here.pull(TRADES.between("2023-12-30", "2024-05-31"))
    held = holdings(here.lake.meta)
    since = Coverage.of(held, held_folders(held)).since(now := datetime.now(UTC))
    assert since(0, Partition.MONTHLY, "all") == now
    assert since(0, Partition.DAILY, "2022") is None
    assert since(0, Partition.DAILY, "2023") == now - timedelta(days=7)
    assert since(0, Partition.DAILY, "2024") == now
    assert since(0, Partition.DAILY, "2026") == now
    first = since(0, Partition.DAILY, "first")
    assert first is not None
    assert first.date() == date.min
    # A year of which a day is lacking is asked anew.
    without = held.filter(pl.col("first") != date(2023, 12, 30)).with_columns(
        pl.when(pl.col("first") == date(2023, 12, 31))
        .then(date(2023, 12, 29))
        .otherwise("last")
        .alias("last"),
        pl.when(pl.col("first") == date(2023, 12, 31))
        .then(date(2023, 12, 29))
        .otherwise("first")
        .alias("first"),
    )
    lacking = Coverage.of(without, held_folders(without)).since(now)
    assert lacking(0, Partition.DAILY, "2023") == now
    with proxied(here.served.endpoint) as proxy:
        source = cl.Archive(bucket=here.lake.source.bucket, endpoint_url=proxy.url)
        lake = cl.Lake(here.lake.root, source=source)
        assert not lake.update(progress=False).changed  # another endpoint has another cache
        proxy.forget()
        assert not lake.update(progress=False).changed
        years = now.year - 2024 + 1
        assert sum(proxy.asked.values()) <= 1 + years


BARS = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT")
TAKEN = "2024-06-29"


@pytest.fixture
def mixed(world: Callable[..., World]) -> World:
    """A month held as its last days, of which one was damaged and taken out, and then as a whole month too."""
    here = world(
        datasets=["futures_um_klines"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2024-06-01", "2024-06-30"),
    )
    here.pull(BARS.between("2024-06-25", "2024-06-30"))
    place = Path(here.lake.root) / "bronze" / key_of(TAKEN)
    place.write_bytes(place.read_bytes()[:-9])
    assert here.lake.verify(repair=True).filter(pl.col("status") == "damaged").height == 1
    moved = here.lake.transfer(here.lake.plan(BARS.between("2024-06-01", "2024-06-30")))
    assert moved.files["key"].to_list() == [key_of("2024-06")]
    return here


def test_a_day_that_was_taken_out_is_fetched_again_though_the_monthly_file_covers_it(mixed: World):
    report = mixed.lake.build(progress=False)
    assert (report.ok, mixed.lake.silver(BARS).collect().height) == (False, 6 * 24)
    mixed.pull(BARS.between("2024-06-01", "2024-06-30"))
    assert (Path(mixed.lake.root) / "bronze" / key_of(TAKEN)).is_file()
    assert mixed.lake.silver(BARS).collect().height == 30 * 24
    assert mixed.lake.build(progress=False).ok
    is_finished(mixed, BARS.between("2024-06-01", "2024-06-30"))


def test_an_update_too_fetches_the_day_that_was_taken_out(mixed: World):
    done = update(mixed)
    assert done.report is not None
    assert done.report.ok, done.report
    is_finished(mixed, BARS.between("2024-06-01", "2024-06-30"))


def test_an_update_sees_that_a_month_stands_with_rows_of_a_day_that_was_taken_out(mixed: World):
    mixed.pull(BARS.between("2024-06-01", "2024-06-30"))
    place = Path(mixed.lake.root) / "bronze" / key_of(TAKEN)
    place.write_bytes(b"")
    mixed.lake.verify(repair=True)
    assert not place.exists()
    assert update(mixed).report is not None
    assert place.stat().st_size
    assert mixed.lake.build(progress=False).ok
    is_finished(mixed, BARS.between("2024-06-01", "2024-06-30"))


@pytest.mark.parametrize("verb", ["pull", "pull over threads", "update"])
def test_a_month_is_built_of_its_monthly_file_where_the_archive_has_withdrawn_the_day_that_was_taken_out(
    mixed: World, verb: str
):
    withheld(mixed, key_of(TAKEN))
    mixed.publish()
    asked = BARS.between("2024-06-01", "2024-06-30")
    with ThreadPoolExecutor(2) as pool:
        executor = pool if "threads" in verb else None
        report = (
            update(mixed).report
            if verb == "update"
            else mixed.lake.pull(asked, progress=False, executor=executor)
        )
    assert report is not None
    assert report.ok, report
    assert f"{key_of(TAKEN)}, withdrawn by the archive" in report.summary()
    assert mixed.lake.silver(BARS).collect().height == 30 * 24
    assert mixed.lake.build(progress=False).ok
    is_finished(mixed, asked)


def test_a_month_is_kept_where_no_other_file_has_the_rows_of_a_day_that_the_archive_has_withdrawn(
    mixed: World,
):
    withheld(mixed, key_of(TAKEN))
    mixed.edit(key_of("2024-06"), without(TAKEN))
    mixed.publish()
    asked = BARS.between("2024-06-01", "2024-06-30")
    for _ in range(2):
        report = mixed.lake.pull(asked, refresh=True, progress=False)
        assert not report.ok
        assert f"{key_of(TAKEN)} is withdrawn by the archive, and no other" in report.summary()
        assert mixed.lake.silver(BARS).collect().height == 6 * 24


def test_a_month_is_kept_while_the_archive_does_not_say_whether_it_still_has_the_day(
    mixed: World, monkeypatch: pytest.MonkeyPatch
):
    asked = BARS.between("2024-06-01", "2024-06-30")
    withheld(mixed, key_of(TAKEN))
    mixed.publish()
    assert mixed.lake.plan(asked, refresh=True).to_transfer == 0

    def refused(self: Pages, asked: object) -> None:
        raise self._failure("no answer")

    monkeypatch.setattr(Pages, "_ask", refused)
    report = mixed.lake.pull(asked, progress=False)
    assert not report.ok
    assert f"{key_of(TAKEN)} is no longer in the lake; pull it again" in report.summary()
    assert mixed.lake.silver(BARS).collect().height == 6 * 24
