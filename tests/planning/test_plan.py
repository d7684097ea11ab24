"""The plan: the exact files, where each stands, what is missing and why, and what it costs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.keys import CHECKSUM
from cryptolake.planning import plan_files
from cryptolake.planning.plan import age_of
from cryptolake.planning.serialization import FILES, MISSING
from cryptolake.storage.tables import Meta
from tests.planning.source import FUNDING, METRICS, SPOT, Source


def klines(
    *symbols: str, between: tuple[str, ...] = ("2024-01",), interval: str = "1m"
) -> cl.Query:
    return cl.query().markets("spot").klines(interval).symbols(*symbols).between(*between)


@pytest.fixture
def filled(origin: Source) -> Source:
    """BTCUSDT from 2023-12-20 to 2024-02-27 by days, its months 2023-12 and 2024-01; ETHUSDT from 01-10."""
    origin.days("BTCUSDT", "2023-12-20", "2024-02-27")
    origin.months("BTCUSDT", "2023-12", "2024-01")
    origin.days("ETHUSDT", "2024-01-10", "2024-02-27")
    origin.days("ETHBTC", "2024-01-01", "2024-02-27")
    origin.publish()
    return origin


def record(lake: cl.Lake, files: pl.DataFrame) -> None:
    """Store files as a transfer leaves them: the bytes at their final names, a ledger row each."""
    for key, size in files.select("key", "size").iter_rows():
        lake.storage.write(f"bronze/{key}", b"z" * size)
    stored = files.select(
        "key", "size", "etag", "checksum_etag", event=pl.lit("stored"), verified=pl.lit("sha256")
    )
    lake.meta.append("files", stored)


def test_whole_months_come_monthly_and_the_rest_by_days(filled: Source, lake: cl.Lake):
    plan = lake.plan(klines("BTCUSDT", between=("2023-12-30", "2024-02-27")))
    assert plan.files.select("partition", "period").rows() == [
        ("daily", "2023-12-30"),
        ("daily", "2023-12-31"),
        ("monthly", "2024-01"),
        *(("daily", f"2024-02-{n:02d}") for n in range(1, 28)),
    ]
    assert plan.missing == 0


def test_the_frames_have_the_columns_they_promise(filled: Source, lake: cl.Lake):
    plan = lake.plan(klines("BTCUSDT", "ETHUSDT"))
    assert dict(plan.files.schema) == FILES
    assert dict(plan.missing_periods.schema) == MISSING


def test_bytes_are_exact_zips_and_sidecars_apart(filled: Source, lake: cl.Lake):
    plan = lake.plan(klines("BTCUSDT", between=("2023-12-30", "2024-01-31")))
    zips = [filled.folder / key for key in plan.files["key"]]
    assert plan.total_bytes == sum(path.stat().st_size for path in zips)
    assert plan.sidecar_bytes == sum(
        path.with_name(path.name + CHECKSUM).stat().st_size for path in zips
    )
    assert (plan.to_transfer, plan.cached, plan.updated) == (3, 0, 0)


def test_days_before_the_listing_are_missing_with_that_reason(filled: Source, lake: cl.Lake):
    plan = lake.plan(klines("ETHUSDT", between=("2023-11-15", "2024-01-12")))
    assert plan.to_transfer == 3
    assert set(plan.missing_periods["reason"]) == {"not_listed"}
    assert plan.missing_periods["period"].to_list() == [
        *(f"2023-11-{n}" for n in range(15, 31)),
        "2023-12",
        *(f"2024-01-0{n}" for n in range(1, 10)),
    ]


def test_globs_mean_listed_symbols_and_universes_narrow_them(filled: Source, lake: cl.Lake):
    assert set(lake.plan(klines("ETH*")).files["symbol"]) == {"ETHUSDT", "ETHBTC"}
    usdt = klines("*").universe(quote="USDT", exclude="BTC*")
    assert set(lake.plan(usdt).files["symbol"]) == {"ETHUSDT"}


def test_a_universe_as_of_a_day_holds_what_was_listed_then(filled: Source, lake: cl.Lake):
    filled.days("OLDUSDT", "2022-03-01", "2022-03-05", interval="1d")
    filled.days("BTCUSDT", "2022-03-01", "2024-02-27", interval="1d")
    filled.days("ETHUSDT", "2024-01-10", "2024-02-27", interval="1d")
    filled.publish()
    then = klines("*", between=("2022-03-03",), interval="1d").universe(listed_on="2022-03-03")
    assert set(lake.plan(then, refresh=True).files["symbol"]) == {"BTCUSDT", "OLDUSDT"}
    now = klines("*", interval="1d").universe(listed_on="2024-01-15")
    assert set(lake.plan(now).files["symbol"]) == {"BTCUSDT", "ETHUSDT"}


def test_types_without_intervals_and_with_one_partition_plan_too(filled: Source, lake: cl.Lake):
    filled.days("BTCUSDT", "2024-01-01", "2024-01-05", key=METRICS)
    filled.months("BTCUSDT", "2023-12", "2024-01", key=FUNDING)
    filled.publish()
    query = cl.query().markets("futures_um").data_types("metrics", "fundingRate")
    plan = lake.plan(query.symbols("BTCUSDT").between("2023-12-31", "2024-01-03"))
    assert plan.files.select("data_type", "period").rows() == [
        *(("metrics", f"2024-01-0{n}") for n in (1, 2, 3)),
        ("fundingRate", "2023-12"),
        ("fundingRate", "2024-01"),
    ]
    assert plan.files["interval"].null_count() == 5
    assert plan.missing_periods.select("data_type", "period", "reason").rows() == [
        ("metrics", "2023-12-31", "not_listed")
    ]


# ---------------------------------------------------------------------- where files stand


def test_what_the_ledger_has_is_cached_and_a_second_plan_moves_nothing(
    filled: Source, lake: cl.Lake
):
    query = klines("BTCUSDT", between=("2023-12-30", "2024-02-03"))
    record(lake, lake.plan(query).files)
    again = lake.plan(query)
    assert (again.to_transfer, again.total_bytes, again.cached) == (0, 0, 6)
    assert again.commands() == []
    assert again.request_count == 0


def test_of_a_plan_in_parts_the_ledger_of_one_part_is_in_memory_at_a_time(
    filled: Source, lake: cl.Lake, monkeypatch: pytest.MonkeyPatch
):
    query = klines("*", between=("2024-02-01", "2024-02-20"))
    record(lake, lake.plan(query).files.filter(pl.col("period") < "2024-02-11"))
    whole = lake.plan(query)
    read: list[int] = []
    ledger = Meta.ledger

    def counted(self: Meta, *what: Any, **how: Any) -> pl.DataFrame:
        rows = ledger(self, *what, **how)
        read.append(rows.height)
        return rows

    monkeypatch.setattr(Meta, "ledger", counted)
    monkeypatch.setattr(plan_files, "_TOGETHER", 1)
    parts = lake.plan(query)
    assert (parts.cached, parts.to_transfer) == (30, 30)
    assert parts.files.equals(whole.files)
    assert read == [10, 10, 10]
    # A transfer looks for what came since: for nothing, where all files are here.
    assert lake.transfer(lake.plan(klines("ETHUSDT", between=("2024-02-01", "2024-02-10")))).skipped
    assert read == [10, 10, 10, 10, 0]


def test_a_file_that_the_archive_rewrote_is_updated(filled: Source, lake: cl.Lake):
    query = klines("ETHUSDT", between=("2024-01-10", "2024-01-12"))
    record(lake, lake.plan(query).files)
    key = filled.put(
        SPOT.format(partition="daily", symbol="ETHUSDT", interval="1m", period="2024-01-11"),
        b"new bytes",
    )
    filled.publish()
    plan = lake.plan(query, refresh=True)
    assert dict(plan.files.select("period", "status").rows()) == {
        "2024-01-10": "cached",
        "2024-01-11": "updated",
        "2024-01-12": "cached",
    }
    assert plan.total_bytes == len(b"new bytes")
    assert sum(key in command for command in plan.commands()) == 1


def test_a_file_that_vanished_or_shrank_is_new_again(filled: Source, lake: cl.Lake):
    query = klines("ETHUSDT", between=("2024-01-10", "2024-01-12"))
    keys = lake.plan(query).files
    record(lake, keys)
    lake.storage.delete(f"bronze/{keys['key'][0]}")
    lake.storage.write(f"bronze/{keys['key'][1]}", b"cut")
    assert lake.plan(query).files["status"].to_list() == ["new", "new", "cached"]


def test_a_file_without_a_record_is_adopted_not_moved(filled: Source, lake: cl.Lake):
    query = klines("ETHUSDT", between=("2024-01-10", "2024-01-12"))
    key = lake.plan(query).files["key"][1]
    lake.storage.write(f"bronze/{key}", b"whatever")
    plan = lake.plan(query)
    assert plan.files["status"].to_list() == ["new", "unrecorded", "new"]
    assert plan.to_transfer == 2


def test_quarantined_bytes_stay_so_until_the_archive_changes_zip_or_sidecar(
    filled: Source, lake: cl.Lake
):
    query = klines("ETHUSDT", between=("2024-01-10", "2024-01-11"))
    bad = lake.plan(query).files.head(1)
    held = bad.select(
        "key", "etag", "checksum_etag", reason=pl.lit("stale"), at=pl.lit(datetime.now(UTC))
    )
    lake.meta.append("quarantine", held)
    assert lake.plan(query).files["status"].to_list() == ["quarantined", "new"]
    sidecar = filled.folder / (bad["key"][0] + CHECKSUM)
    sidecar.write_text("0" * 64 + "  mended\n")
    filled.publish()
    assert lake.plan(query, refresh=True).files["status"].to_list() == ["new", "new"]


# ---------------------------------------------------------------------- what is not there


def test_a_name_that_is_not_listed_names_the_nearest(filled: Source, lake: cl.Lake):
    with pytest.raises(cl.NoSuchSymbol, match="Did you mean 'BTCUSDT'") as caught:
        lake.plan(klines("BTCUSD"))
    assert caught.value.nearest == "BTCUSDT"


def test_all_absent_names_are_named_at_once_and_cost_little(filled: Source, lake: cl.Lake):
    with pytest.raises(cl.NoSuchSymbol, match="'BTCUSDX', 'ETHUSDX' among") as caught:
        lake.plan(klines("BTCUSDX", "BTCUSDT", "ETHUSDX"))
    assert caught.value.absent == ["BTCUSDX", "ETHUSDX"]
    with pytest.raises(cl.NoSuchSymbol, match="'DOGE\\*', 'XRPUSDT' among"):
        lake.plan(klines("DOGE*", "XRPUSDT", "BTC*"))
    names = [f"X{number}USDT" for number in range(300)]
    filled.forget()
    with pytest.raises(cl.NoSuchSymbol, match="and 290 more among") as caught:
        lake.plan(klines("BTCUSDT", *names))
    assert caught.value.absent == names
    assert len(filled.asked) <= 4


def test_a_glob_that_matches_nothing_is_named_among_others_that_do(filled: Source, lake: cl.Lake):
    with pytest.raises(cl.NoSuchSymbol, match=r"'DOGE\*'"):
        lake.plan(klines("BTCUSDT", "DOGE*"))
    with pytest.raises(cl.NoSuchSymbol, match="takes in none"):
        lake.plan(klines("*").universe(quote="EUR"))


def test_a_listed_symbol_without_files_of_the_interval_plans_to_nothing(
    filled: Source, lake: cl.Lake
):
    plan = lake.plan(klines("BTCUSDT", interval="1h"))
    assert plan.to_transfer == 0
    assert plan.missing_periods.select("period", "reason").rows() == [("2024-01", "not_listed")]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC*"])
def test_a_row_that_was_never_observed_plans_to_nothing_and_names_a_live_one(
    symbol: str, filled: Source, lake: cl.Lake
):
    query = (
        cl.query()
        .markets("spot")
        .data_types("bookDepth")
        .symbols(symbol)
        .between("2024-01-01", "2024-01-03")
    )
    plan = lake.plan(query)
    assert plan.to_transfer == 0
    assert any("never seen" in note and "futures_um bookDepth" in note for note in plan.notes)


def test_a_name_listed_in_one_market_only_is_noted_for_the_other(filled: Source, lake: cl.Lake):
    filled.days("BTCUSDT", "2024-01-01", key=SPOT.replace("data/spot", "data/futures/um"))
    filled.publish()
    query = klines("BTCUSDT", "ETHUSDT", between=("2024-01-15",)).markets("spot", "futures_um")
    plan = lake.plan(query)
    assert any("futures_um klines lists no ETHUSDT" in note for note in plan.notes)
    missing = plan.missing_periods.filter(pl.col("symbol") == "ETHUSDT")
    assert missing.select("market", "period", "reason").rows() == [
        ("futures_um", "2024-01-15", "not_listed")
    ]


def test_a_query_that_does_not_agree_is_refused_before_any_question(filled: Source, lake: cl.Lake):
    with pytest.raises(cl.InvalidQuery, match="no interval 1s"):
        lake.plan(klines("BTCUSDT", interval="1s").markets("futures_um"))
    assert filled.asked == []


def test_malformed_keys_are_counted_in_a_note(filled: Source, lake: cl.Lake):
    filled.put("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-1.zip")
    filled.publish()
    plan = lake.plan(klines("BTCUSDT", between=("2024-01-01", "2024-01-02")))
    assert plan.to_transfer == 2
    assert any(note.startswith("2 listed keys fit no pattern") for note in plan.notes)


def test_files_far_smaller_than_their_neighbours_are_marked(filled: Source, lake: cl.Lake):
    for n, month in enumerate(("2023-05", "2023-06", "2023-07", "2023-08", "2023-09")):
        key = SPOT.format(partition="monthly", symbol="BTCUSDT", interval="1m", period=month)
        filled.put(key, b"x" * (30 if n == 2 else 3000 + n))
    filled.publish()
    plan = lake.plan(klines("BTCUSDT", between=("2023-05", "2023-09")))
    assert plan.files["suspect_size"].to_list() == [False, False, True, False, False]


# ---------------------------------------------------------------------- what it shows


def test_a_plan_shows_itself_without_asking_anything(filled: Source, lake: cl.Lake):
    plan = lake.plan(klines("BTCUSDT", "ETHUSDT"))
    filled.forget()
    text = repr(plan)
    assert plan.id in text
    assert "spot_klines" in text
    assert "to move: 23 files" in text
    assert "fresh" in text
    assert filled.asked == []


def test_ages_are_said_in_words():
    now = datetime(2024, 1, 3, 5, tzinfo=UTC)
    assert age_of(datetime(2024, 1, 1, tzinfo=UTC), now) == "2 days old"
    assert age_of(datetime(2024, 1, 3, 4, tzinfo=UTC), now) == "1 hour old"
    assert age_of(now, now) == "fresh"


def test_expected_rows_are_those_of_bars_without_a_gap(filled: Source, lake: cl.Lake):
    assert lake.plan(klines("BTCUSDT")).rows_expected == 31 * 1440


# ---------------------------------------------------------------------- symbols


def test_symbols_are_a_frame_of_what_names_say(filled: Source, lake: cl.Lake):
    filled.days("龙虾USDT", "2024-01-01")
    filled.publish()
    table = lake.symbols("spot", "klines")
    assert table.select("symbol", "base", "quote").rows() == [
        ("BTCUSDT", "BTC", "USDT"),
        ("ETHBTC", "ETH", "BTC"),
        ("ETHUSDT", "ETH", "USDT"),
        ("龙虾USDT", "龙虾", "USDT"),
    ]
    assert lake.symbols("spot", quote="BTC")["symbol"].to_list() == ["ETHBTC"]
    assert lake.symbols("spot", contract="perpetual").is_empty()


def test_symbols_say_since_when_until_when_and_whether_they_live(origin: Source, lake: cl.Lake):
    origin.days("LIVEUSDT", "2023-11-10", "2024-02-27", interval="1d")
    origin.months("LIVEUSDT", "2023-12", "2024-01", interval="1d")
    origin.days("GONEUSDT", "2021-06-02", "2021-08-20", interval="1d")
    origin.months("GONEUSDT", "2021-06", "2021-07", "2021-08", interval="1d")
    origin.days("DAILYUSDT", "2021-06-02", "2022-01-03", interval="1d")
    origin.months("MONTHUSDT", "2023-12", "2024-01", interval="1d")
    origin.publish()
    table = lake.symbols("spot", spans=True)
    assert table.select("symbol", "first", "last", "status").rows() == [
        ("DAILYUSDT", date(2021, 6, 2), date(2022, 1, 3), "delisted"),
        ("GONEUSDT", date(2021, 6, 2), date(2021, 8, 20), "delisted"),
        ("LIVEUSDT", date(2023, 11, 10), date(2024, 2, 27), "live"),
        ("MONTHUSDT", date(2023, 12, 1), date(2024, 1, 31), "live"),
    ]
    assert lake.symbols("spot", listed_on="2021-07-01")["symbol"].to_list() == [
        "DAILYUSDT",
        "GONEUSDT",
    ]
    origin.forget()
    assert lake.symbols("spot", spans=True).equals(table)
    assert origin.asked == []


def test_an_unknown_market_or_type_is_refused(lake: cl.Lake):
    with pytest.raises(cl.InvalidQuery, match="did you mean 'spot'"):
        lake.symbols("spott")
    with pytest.raises(cl.InvalidQuery, match="spot has no metrics"):
        lake.symbols("spot", "metrics")


# ---------------------------------------------------------------------- what it asks


def test_a_plan_of_named_symbols_asks_each_question_once(filled: Source, lake: cl.Lake):
    lake.plan(klines("BTCUSDT", "ETHUSDT"))
    assert len(filled.asked) == 4
    filled.forget()
    lake.plan(klines("BTCUSDT", "ETHUSDT"), refresh=True)
    assert len(filled.asked) == 4
    filled.forget()
    lake.plan(klines("BTCUSDT"))
    assert filled.asked == []
