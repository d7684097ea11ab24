"""What a Silver month was made of is known for as long as the month stands, also where a part of the tables is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.readers.silver_files import current_silver
from cryptolake.silver.accounts import NO_ACCOUNT
from cryptolake.silver.build import build
from cryptolake.silver.records import current
from cryptolake.storage.layout import bronze_path
from tests.silver.texts import day_text, key, stored, zipped

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

PATH = "silver/market=futures_um/data_type=klines/interval=1h/symbol=BTCUSDT/2024-01.parquet"
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")
LOST: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "damaged": lambda path: path.write_bytes(b"junk"),
}


def day(name: str) -> dict[str, bytes]:
    """A day one of whose lines is rejected."""
    lines = day_text(name).splitlines(keepends=True)
    return {key(name): zipped(b"".join(lines[:-1]) + b"no,row\n")}


def built(storage: Storage) -> None:
    lake = LakeContext.of(storage)
    assert build(lake, holdings(lake.records), progress=False).ok


def accounts(lake: cl.Lake) -> dict[str, list[Any]]:
    times = ("run_id", "built_at", "at")
    found = {table: current(lake.meta, table) for table in ("sources", "rejects")}
    return {
        table: sorted(map(str, rows.drop(times, strict=False).rows()))
        for table, rows in found.items()
    }


@pytest.fixture
def lake(tmp_path: Path) -> cl.Lake:
    """A month that was built of two days, and then of three."""
    storage, _ = stored(tmp_path, day(DAYS[0]) | day(DAYS[1]))
    built(storage)
    stored(tmp_path, day(DAYS[2]))
    built(storage)
    return cl.Lake(tmp_path)


def told(lake: cl.Lake) -> tuple[str, str | None]:
    rows = lake.verify().filter(zone="silver", key=PATH)
    return rows.select("status", "detail").row(0)


@pytest.mark.filterwarnings("ignore::cryptolake.DamagedLakeWarning")
@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("table", ["sources", "rejects"])
def test_a_month_whose_account_was_lost_is_named_and_its_account_made_again(
    lake: cl.Lake, tmp_path: Path, table: str, how: str
) -> None:
    before, silver = accounts(lake), (tmp_path / PATH).read_bytes()
    assert [len(rows) for rows in before.values()] == [3, 3]
    assert told(lake) == ("ok", None)
    LOST[how](max((tmp_path / "meta" / table).glob("*.parquet")))
    assert told(lake) == ("unrecorded", NO_ACCOUNT)
    lake.verify(repair=True)
    assert accounts(lake) == before
    assert (tmp_path / PATH).read_bytes() == silver
    assert told(lake) == ("ok", None)


def test_rows_of_an_account_that_is_of_a_build_before_are_unknown_and_not_the_months(
    lake: cl.Lake, tmp_path: Path
) -> None:
    (rows,) = current_silver(lake.storage, lake.meta)["rows"]
    assert rows == pl.read_parquet(tmp_path / PATH).height
    max((tmp_path / "meta" / "sources").glob("*.parquet")).unlink()
    assert current_silver(lake.storage, lake.meta)["rows"].to_list() == [None]


def test_a_good_month_whose_account_and_one_of_whose_files_are_lost_stays_as_it_is(
    lake: cl.Lake, tmp_path: Path
) -> None:
    silver = (tmp_path / PATH).read_bytes()
    max((tmp_path / "meta" / "sources").glob("*.parquet")).unlink()
    (tmp_path / bronze_path(key(DAYS[1]))).unlink()
    lake.verify(repair=True)
    assert (tmp_path / PATH).read_bytes() == silver
    assert told(lake) == ("unrecorded", NO_ACCOUNT)


def test_a_month_whose_record_was_lost_has_its_account_still(lake: cl.Lake, tmp_path: Path) -> None:
    for segment in (tmp_path / "meta" / "months").glob("*.parquet"):
        segment.unlink()
    built(lake.storage)
    assert told(lake) == ("ok", None)


@pytest.mark.parametrize("state", ["running", "done"])
def test_months_of_a_build_that_is_at_work_are_not_judged(
    lake: cl.Lake, tmp_path: Path, state: str
) -> None:
    max((tmp_path / "meta" / "sources").glob("*.parquet")).unlink()
    (run,) = lake.meta.read("months").unique("path", keep="last")["run_id"]
    newest = lake.meta.read("runs").filter(run_id=run).tail(1)
    now = pl.lit(datetime.now(UTC)).cast(newest.schema["heartbeat_at"])
    lake.meta.append("runs", newest.with_columns(state=pl.lit(state), heartbeat_at=now))
    assert told(lake)[0] == ("ok" if state == "running" else "unrecorded")


def test_a_lost_account_is_named_though_another_build_is_at_work(
    lake: cl.Lake, tmp_path: Path
) -> None:
    max((tmp_path / "meta" / "sources").glob("*.parquet")).unlink()
    newest = lake.meta.read("runs").tail(1)
    now = pl.lit(datetime.now(UTC)).cast(newest.schema["heartbeat_at"])
    other = {"state": pl.lit("running"), "run_id": pl.lit("another"), "heartbeat_at": now}
    lake.meta.append("runs", newest.with_columns(**other))
    assert told(lake) == ("unrecorded", NO_ACCOUNT)
