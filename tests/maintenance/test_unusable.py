"""Every verb says which published files have no rows, from the state of the lake, not only the run that met them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import cryptolake as cl
from cryptolake.cli.app import app
from cryptolake.readers import unusable
from tests.quality.world import World, key_of, without

TRADES = cl.query().markets("spot").data_types("trades").symbols("ETHUSDT")
FIRST, LAST, BAD = "2024-07-01", "2024-07-04", "2024-07-02"
KEY = key_of(BAD, market="spot", symbol="ETHUSDT", data_type="trades")
QUERY = TRADES.between(FIRST, LAST)


def _stale_checksum(here: World) -> None:
    sidecar = here.folder.path(f"{KEY}.CHECKSUM")
    sidecar.write_bytes(b"0" * 64 + sidecar.read_bytes()[64:])


def _empty_csv(here: World) -> None:
    here.edit(KEY, lambda _: [])


STATES = {"quarantined": _stale_checksum, "refused": _empty_csv}


@pytest.fixture(params=STATES)
def here(request: pytest.FixtureRequest, world: Callable[..., World]) -> Iterator[World]:
    """A lake in which one of four days is in quarantine, or was refused."""
    found = world(
        datasets=["spot_trades"], symbols=["ETHUSDT"], days=(FIRST, LAST), partitions=["daily"]
    )
    STATES[request.param](found)
    found.publish()
    found.lake.pull(QUERY, progress=False)
    yield found
    unusable._TOLD.clear()


def again(here: World) -> cl.Lake:
    """The lake as another process opens it, to which nothing was said yet."""
    unusable._TOLD.clear()
    return cl.Lake(here.lake.root, source=here.lake.source)


def heard(do: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        do()
    return [str(one.message) for one in found if one.category is cl.IncompleteWarning]


def told(report: cl.Report | None) -> bool:
    assert report is not None
    assert report.summary().count(KEY) == 1
    return bool(report.quarantined) != bool(report.failed)


def test_a_build_and_an_update_say_it_each_time(here: World):
    for _ in range(2):
        assert told(again(here).build(QUERY, progress=False))
        assert told(again(here).build(progress=False))
        done = again(here).update(progress=False)
        assert not done.changed
        assert told(done.report)
        assert "as the archive has it" not in done.summary()


def test_what_is_not_about_the_file_does_not_say_it(here: World):
    lake = again(here)
    other = TRADES.between("2024-07-03", LAST)
    assert heard(lambda: lake.silver(other)) == []
    assert lake.build(TRADES.symbols("BTCUSDT"), progress=False).quarantined == 0


def test_a_pull_counts_the_file_once(here: World):
    assert told(again(here).pull(QUERY, progress=False))


def test_silver_says_it_once_a_set_of_files(here: World):
    lake = again(here)
    (said,) = heard(lambda: lake.silver(QUERY))
    assert KEY in said
    assert heard(lambda: lake.silver(QUERY)) == []
    assert heard(lambda: lake.silver(QUERY.between(FIRST, BAD))) == []  # the same file


def test_a_frame_says_it_once_a_call(here: World):
    lake = again(here)
    for _ in range(2):
        (said,) = heard(lambda: lake.frame(QUERY, progress=False))
        assert KEY in said


def test_sql_says_it_once_a_lake_with_a_count(here: World):
    lake = again(here)
    (said,) = heard(lambda: lake.sql("select count(*) from silver.spot_trades"))
    assert said.startswith("1 published files have no rows in this lake")
    assert heard(lambda: lake.sql("select count(*) from silver.spot_trades")) == []
    assert heard(lake.connect) == []
    assert len(heard(again(here).connect)) == 1


def test_the_exit_code_is_that_of_a_pull(here: World):
    lake = again(here)
    root = ["--root", str(lake.root), "--endpoint-url", str(lake.source.endpoint_url)]
    words = ["-m", "spot", "-t", "trades", "-s", "ETHUSDT"]
    for call in (["build", *words], ["update", *words]):
        assert CliRunner().invoke(app, [*call, *root, "--quiet"]).exit_code == 1


def test_a_file_whose_days_others_have_is_not_missed(here: World):
    monthly = key_of("2024-07", market="spot", symbol="ETHUSDT", data_type="trades")
    row: dict[str, Any] = {"key": monthly, "size": 1, "sha256": "x", "event": "stored"}
    here.lake.meta.append("files", [{**row, "fetched_at": datetime.now(UTC)}])
    assert unusable.unusable(again(here).context.records).height == 0


BARS = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT")
DAY = key_of("2024-06-20")


@pytest.mark.parametrize("state", STATES)
def test_a_day_that_the_monthly_file_covers_and_has_not_is_missed(
    world: Callable[..., World], state: str
):
    here = world(
        datasets=["futures_um_klines"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2024-06-01", "2024-06-30"),
    )
    here.edit(key_of("2024-06"), without("2024-06-20"))
    if state == "refused":
        here.edit(DAY, lambda _: [])
    else:
        sidecar = here.folder.path(f"{DAY}.CHECKSUM")
        sidecar.write_bytes(b"0" * 64 + sidecar.read_bytes()[64:])
    here.publish()
    here.lake.pull(BARS.between("2024-06-19", "2024-06-21"), progress=False)
    june = BARS.between("2024-06")
    report = here.lake.pull(june, progress=False)
    assert key_of("2024-06") in report.files["key"].to_list()
    assert DAY in report.summary()
    assert DAY in again(here).build(june, progress=False).summary()
    lake = again(here)
    [said] = heard(lambda: lake.silver(june).collect())
    assert DAY in said
    assert heard(lambda: lake.frame(june, progress=False))
    unusable._TOLD.clear()


def test_a_file_that_was_fetched_anew_is_missed_no_more(here: World):
    row = {"key": KEY, "size": 1, "sha256": "x", "event": "stored", "fetched_at": datetime.now(UTC)}
    assert unusable.unusable(again(here).context.records)["key"].to_list() == [KEY]
    here.lake.meta.append("files", [row])
    assert unusable.unusable(again(here).context.records).height == 0


def test_a_lake_without_such_files_says_nothing(world: Callable[..., World]):
    found = world(
        datasets=["spot_trades"], symbols=["ETHUSDT"], days=(FIRST, BAD), partitions=["daily"]
    )
    found.pull(TRADES.between(FIRST, BAD))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.lake.silver(QUERY).select(pl.len()).collect().item() > 0
        found.lake.sql("select 1")
    assert found.lake.update(progress=False).report is None


def test_metrics_count_it_by_its_state(here: World):
    lines = again(here).metrics().splitlines()
    of = '{market="spot",data_type="trades",interval=""}'
    quarantined = KEY in here.lake.meta.quarantined()["key"]
    assert f"cryptolake_quarantined_files{of} {int(quarantined)}" in lines
    assert f"cryptolake_failed_months{of} {int(not quarantined)}" in lines
