"""Lives made exact by rows: ends in the middle of a day, deliveries, stopped intervals, frozen runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from tests.quality.world import Edit, World, key_of

DAYS = ("2024-10-20", "2025-01-12")
END = datetime(2024, 12, 18, 6, 30, tzinfo=UTC)


def klines(interval: str, *symbols: str, market: str = "futures_um") -> cl.Query:
    return cl.query().markets(market).klines(interval).symbols(symbols)


def before(end: datetime) -> Edit:
    """Drop the lines that open at or after an instant."""

    def change(lines: list[bytes]) -> list[bytes]:
        def opens(line: bytes) -> float:
            first = line.split(b",", 1)[0]
            return int(first) / (1e6 if len(first) > 13 else 1e3) if first.isdigit() else 0

        return [line for line in lines if opens(line) < end.timestamp()]

    return change


def idle_from(end: datetime) -> Edit:
    """Let bars go on at one price, without a trade."""

    def change(lines: list[bytes]) -> list[bytes]:
        kept = before(end)(lines)
        return kept + [_idle(line) for line in lines[len(kept) :]]

    return change


def _idle(line: bytes) -> bytes:
    (
        first,
        *_,
    ) = fields = line.rstrip(b"\n").split(b",")
    return b",".join([first, *[b"0.7"] * 4, b"0", fields[6], *[b"0"] * 5]) + b"\n"


def remove_days(here: World, first: str, last: str, **names: str) -> None:
    for day in pl.date_range(date.fromisoformat(first), date.fromisoformat(last), eager=True):
        here.remove(key_of(f"{day}", **names))


def only(frame: pl.DataFrame) -> dict[str, Any]:
    [row] = frame.rows(named=True)
    return row


@pytest.mark.parametrize("published", ["monthly", "daily alone"])
@pytest.mark.parametrize("market", ["spot", "futures/um"])
def test_a_pair_that_ends_in_the_middle_of_a_day_is_whole_to_its_last_row(
    market: str, published: str, world
):
    names = market.replace("/", "_")
    here = world(
        datasets=[f"{names}_klines"],
        symbols=["BTCUSDT", "WAVEUSDT"],
        intervals=["15m"],
        days=("2024-12-01", "2025-01-12"),
    )
    of = {"market": market, "symbol": "WAVEUSDT", "interval": "15m"}
    here.remove(key_of("2024-12", **of)) if published != "monthly" else here.edit(
        key_of("2024-12", **of), before(END)
    )
    here.edit(key_of("2024-12-18", **of), before(END))
    remove_days(here, "2024-12-19", "2025-01-12", **of)
    here.publish()
    query = klines("15m", "WAVEUSDT", market=names).between("2024-12")
    here.pull(query)
    row = only(here.quality(query))
    bars = 17 * 96 + 26
    assert (row["rows"], row["expected"], row["missing"], row["coverage"]) == (bars, bars, 0, 1.0)
    gap = only(here.gaps(query))
    assert (gap["first"], gap["cause"]) == (END, "not_listed")


def test_a_monthly_file_cut_short_is_no_end_where_daily_files_go_on(world):
    here = world(
        datasets=["futures_um_klines"], symbols=["BTCUSDT", "WAVEUSDT"], intervals=["1h"], days=DAYS
    )
    here.edit(key_of("2024-12", symbol="WAVEUSDT"), before(datetime(2024, 12, 9, tzinfo=UTC)))
    remove_days(here, "2024-12-21", "2025-01-12", symbol="WAVEUSDT")
    here.publish()
    query = klines("1h", "WAVEUSDT").between("2024-12")
    here.pull(query)
    row = only(here.quality(query))
    assert (row["expected"], row["missing"]) == (20 * 24, 12 * 24)


@pytest.mark.parametrize("interval", ["15m", "4h"])
def test_a_contract_is_whole_to_its_delivery(interval: str, world):
    here = world(
        datasets=["futures_um_klines"],
        symbols=["BTCUSDT", "BTCUSDT_241227"],
        intervals=[interval],
        days=("2024-12-01", "2025-01-02"),
    )
    query = klines(interval, "BTCUSDT_241227").between("2024-12")
    here.pull(query)
    row = only(here.quality(query))
    assert (row["missing"], row["coverage"]) == (0, 1.0)
    gap = only(here.gaps(query))
    assert gap["first"] == datetime(2024, 12, 27, 8, tzinfo=UTC)
    assert gap["cause"] == "not_listed"
    assert "delivery 2024-12-27 08:00" in gap["evidence"]


def test_a_pair_that_was_away_for_a_month_misses_nothing_then(world):
    here = world(
        datasets=["futures_um_klines"], symbols=["BTCUSDT", "LITUSDT"], intervals=["1h"], days=DAYS
    )
    here.remove(key_of("2024-11", symbol="LITUSDT"))
    remove_days(here, "2024-10-29", "2024-12-05", symbol="LITUSDT")
    here.edit(key_of("2024-10", symbol="LITUSDT"), before(datetime(2024, 10, 28, 4, tzinfo=UTC)))
    here.edit(key_of("2024-10-28", symbol="LITUSDT"), before(datetime(2024, 10, 28, 4, tzinfo=UTC)))
    here.edit(
        key_of("2024-12", symbol="LITUSDT"),
        lambda lines: [lines[0], *lines[1 + 5 * 24 :]],
    )
    here.publish()
    query = klines("1h", "LITUSDT").between("2024-10-20", "2024-12-31")
    here.pull(query)
    rows = here.quality(query).select("month", "expected", "missing", "coverage").rows()
    assert rows == [
        ("2024-10", 8 * 24 + 4, 0, 1.0),
        ("2024-11", 0, 0, None),
        ("2024-12", 26 * 24, 0, 1.0),
    ]
    assert set(here.gaps(query)["cause"]) == {"not_listed"}


def test_an_interval_that_stopped_is_named_as_that(world):
    here = world(datasets=["spot_klines"], symbols=["ETHUSDT"], intervals=["2h", "1d"], days=DAYS)
    of = {"market": "spot", "symbol": "ETHUSDT", "interval": "2h"}
    remove_days(here, "2024-11-06", "2025-01-12", **of)
    here.remove(key_of("2024-11", **of))
    here.remove(key_of("2024-12", **of))
    here.publish()
    query = klines("2h", "ETHUSDT", market="spot").between("2024-11")
    here.pull(query)
    gap = only(here.gaps(query))
    assert (gap["cause"], gap["bars"]) == ("interval_stopped", 25 * 12)
    row = only(here.quality(query))
    assert (row["expected"], row["missing"], row["coverage"]) == (5 * 12, 0, 1.0)


@pytest.mark.parametrize("symbol", ["FTMUSDT", "OMGUSDTSETTLED"])
def test_files_that_go_on_without_a_trade_are_no_life(symbol: str, world):
    """Settled on 12 November; its files go on flat to the end of December."""
    here = world(
        datasets=["futures_um_klines"], symbols=["BTCUSDT", symbol], intervals=["1h"], days=DAYS
    )
    settled = datetime(2024, 11, 12, 9, tzinfo=UTC)
    remove_days(here, "2024-11-01", "2024-12-28", symbol=symbol)
    if symbol == "FTMUSDT":
        remove_days(here, "2024-12-29", "2025-01-12", symbol=symbol)
        here.edit(key_of("2024-12", symbol=symbol), idle_from(settled))
        months, tail = ["2024-11", "2024-12"], 31 * 24
    else:  # the sample's own ends on 29 December at 09:00
        here.remove(key_of("2024-12-29", symbol=symbol))
        here.edit(key_of("2024-12", symbol=symbol), idle_from(settled))
        months, tail = ["2024-11", "2024-12"], 28 * 24 + 9
    here.edit(key_of("2024-11", symbol=symbol), idle_from(settled))
    here.publish()
    query = klines("1h", symbol).between("2024-11", "2024-12")
    here.pull(query)
    found = here.quality(query)
    assert found["month"].to_list() == months
    assert found["idle"].to_list() == [18 * 24 + 15, tail]
    assert found["expected"].to_list() == [11 * 24 + 9, 0]
    assert found["missing"].sum() == 0


def test_a_pause_of_a_pair_that_lives_is_no_end(world):
    here = world(datasets=["spot_klines"], symbols=["ETHBTC"], intervals=["1h"], days=DAYS)
    pause = datetime(2025, 1, 10, 2, tzinfo=UTC)
    for day in ("2025-01-10", "2025-01-11", "2025-01-12"):
        here.edit(key_of(day, market="spot", symbol="ETHBTC"), idle_from(pause))
    here.publish()
    query = klines("1h", "ETHBTC", market="spot").between("2025-01-01", "2025-01-12")
    here.pull(query)
    row = only(here.quality(query))
    assert (row["idle"], row["expected"], row["coverage"]) == (0, 12 * 24, 1.0)


def test_trades_and_metrics_end_with_their_last_day(world):
    here = world(
        datasets=["futures_um_trades", "futures_um_metrics"],
        symbols=["BTCUSDT", "ETHUSDT"],
        days=("2024-12-20", "2025-01-05"),
        partitions=["daily"],
    )
    for data_type in ("trades", "metrics"):
        remove_days(here, "2024-12-28", "2025-01-05", symbol="ETHUSDT", data_type=data_type)
    here.publish()
    query = (
        cl.query()
        .markets("futures_um")
        .data_types("trades", "metrics")
        .symbols("ETHUSDT")
        .between("2024-12-20", "2024-12-31")
    )
    here.pull(query)
    found = here.quality(query)
    assert found["coverage"].to_list() == [1.0, 1.0]
    assert sorted(found["expected"]) == [8, 8 * 288]
    assert set(here.gaps(query)["cause"]) == {"not_listed"}
