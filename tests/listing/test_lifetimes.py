"""Lives by the archive's listing: universes, symbols and plans, from files of every kind of dataset."""

from __future__ import annotations

import polars as pl
import pytest

import cryptolake as cl
from tests.planning.source import FUNDING, METRICS, SPOT, Source

UM = SPOT.replace("data/spot", "data/futures/um")
CM = SPOT.replace("data/spot", "data/futures/cm")
MARK = UM.replace("/klines/", "/markPriceKlines/")


def names(lake: cl.Lake, market: str, data_type: str, day: str) -> list[str]:
    found = lake.symbols(market, data_type, listed_on=day, progress=False)
    return found["symbol"].to_list()


def reasons(plan: cl.Plan) -> dict[tuple[str, str], str]:
    missing = plan.missing_periods.select("symbol", "period", "reason").rows()
    return {(symbol, period): reason for symbol, period, reason in missing}


def query(market: str, *symbols: str, between: tuple[str, ...], interval: str = "4h") -> cl.Query:
    return cl.query().markets(market).klines(interval).symbols(symbols).between(*between)


def test_metrics_of_a_relisted_contract_have_two_spans(origin: Source, lake: cl.Lake):
    """Daily files only: what is away is found in the year that is asked about."""
    origin.days("BTCUSDT", "2022-11-01", "2023-04-10", key=METRICS)
    origin.days("WAVEUSDT", "2022-11-01", "2022-12-12", key=METRICS)
    origin.days("WAVEUSDT", "2023-03-20", "2023-04-10", key=METRICS)
    origin.publish()
    both = ["BTCUSDT", "WAVEUSDT"]
    found = {day: names(lake, "futures_um", "metrics", day) for day in ("2022-12-12", "2023-02-01")}
    assert found == {"2022-12-12": both, "2023-02-01": ["BTCUSDT"]}
    assert names(lake, "futures_um", "metrics", "2023-03-20") == both


def test_funding_has_months_alone_and_ends_with_them(origin: Source, lake: cl.Lake):
    origin.months("BTCUSDT", *(f"2023-{n:02d}" for n in range(1, 10)), key=FUNDING)
    origin.months("GONEUSDT", "2023-01", "2023-02", "2023-03", key=FUNDING)
    origin.publish()
    table = lake.symbols("futures_um", "fundingRate", spans=True, progress=False)
    assert table.select("symbol", "status").rows() == [
        ("BTCUSDT", "live"),
        ("GONEUSDT", "delisted"),
    ]
    assert names(lake, "futures_um", "fundingRate", "2023-04-01") == ["BTCUSDT"]


def test_a_universe_of_delisted_pairs_does_not_make_them_live(origin: Source, lake: cl.Lake):
    """All pairs of BUSD ended together; those of USDT show that the archive goes on."""
    origin.months("BTCUSDT", "2023-10", "2023-11", "2023-12", "2024-01", interval="1d")
    for symbol in ("BTCBUSD", "ETHBUSD"):
        origin.months(symbol, "2023-10", "2023-11", interval="1d")
        origin.days(symbol, "2023-11-20", "2023-12-05", interval="1d")
    origin.publish()
    table = lake.symbols("spot", quote="BUSD", spans=True, progress=False)
    assert table.select("status", pl.col("last").cast(pl.String)).rows() == [
        ("delisted", "2023-12-05"),
        ("delisted", "2023-12-05"),
    ]


@pytest.mark.parametrize("interval", ["2h", "12h", "1m"])
def test_a_mirror_with_one_interval_knows_everybody(interval: str, origin: Source, lake: cl.Lake):
    origin.days("BTCUSDT", "2023-05-01", "2023-06-10", interval=interval)
    origin.days("OLDUSDT", "2023-05-01", "2023-05-20", interval=interval)
    origin.publish()
    assert names(lake, "spot", "klines", "2023-05-20") == ["BTCUSDT", "OLDUSDT"]
    assert names(lake, "spot", "klines", "2023-05-21") == ["BTCUSDT"]


def test_the_spans_of_a_symbol_are_a_column(origin: Source, lake: cl.Lake):
    origin.months("BTCUSDT", *(f"2021-{n:02d}" for n in range(1, 13)), interval="1d")
    origin.months("LITUSDT", "2021-02", "2021-03", "2021-10", "2021-11", "2021-12", interval="1d")
    origin.days("LITUSDT", "2021-03-01", "2021-03-09", interval="1d")
    origin.publish()
    table = lake.symbols("spot", spans=True, progress=False).filter(symbol="LITUSDT")
    spans = [(f"{span['first']}", f"{span['last']}") for span in table["spans"][0]]
    assert spans == [("2021-02-01", "2021-03-09"), ("2021-10-01", "2021-12-31")]


# ---------------------------------------------------------------------- plans


def test_a_plan_says_that_a_pair_was_away_and_the_archive_had_a_hole_apart(
    origin: Source, lake: cl.Lake
):
    origin.months("BTCUSDT", *(f"2021-{n:02d}" for n in range(1, 8)), interval="4h")
    origin.months("AWAYUSDT", "2021-01", "2021-02", "2021-05", "2021-06", "2021-07", interval="4h")
    origin.publish()
    away = lake.plan(query("spot", "AWAYUSDT", between=("2021-01", "2021-07")), progress=False)
    assert set(reasons(away).values()) == {"not_listed"}
    (
        origin.folder
        / SPOT.format(partition="monthly", symbol="BTCUSDT", interval="4h", period="2021-03")
    ).unlink()
    origin.publish()
    hole = lake.plan(
        query("spot", "AWAYUSDT", between=("2021-01", "2021-07")), refresh=True, progress=False
    )
    assert reasons(hole)["AWAYUSDT", "2021-03"] == "not_published"


def test_a_plan_names_the_delivery_of_a_contract(origin: Source, lake: cl.Lake):
    origin.days("BTCUSD_PERP", "2023-12-01", "2024-01-20", interval="4h", key=CM)
    origin.days("ETHUSD_231229", "2023-12-01", "2023-12-29", interval="4h", key=CM)
    origin.publish()
    asked = query("futures_cm", "ETHUSD_231229", between=("2023-12-28", "2024-01-03"))
    assert set(reasons(lake.plan(asked, progress=False)).values()) == {"delivered"}


@pytest.mark.parametrize("known", ["in the same query", "asked of the archive"])
def test_a_plan_names_an_interval_that_stopped(known: str, origin: Source, lake: cl.Lake):
    days = ("2023-02-01", "2023-02-20")
    origin.days("ETHUSDT", *days, interval="1d", key=MARK)
    origin.days("ETHUSDT", "2022-12-01", "2023-01-31", interval="1d", key=MARK)
    origin.days("ETHUSDT", "2022-12-01", "2022-12-25", interval="8h", key=MARK)
    origin.publish()
    intervals = ("8h", "1d") if known == "in the same query" else ("8h",)
    asked = query("futures_um", "ETHUSDT", between=("2022-12-24", "2023-02-10"))
    plan = lake.plan(asked.data_types("markPriceKlines").intervals(intervals), progress=False)
    assert set(plan.missing_periods["reason"]) == {"interval_stopped"}
    assert set(plan.missing_periods["interval"]) == {"8h"}


def test_a_plan_on_a_frozen_mirror_calls_nobody_delisted(origin: Source, lake: cl.Lake):
    origin.days("BTCUSDT", "2023-05-01", "2023-06-10", interval="4h")
    origin.days("GONEUSDT", "2023-05-01", "2023-05-20", interval="4h")
    origin.publish()
    asked = query("spot", "BTCUSDT", "GONEUSDT", between=("2023-05-19", "2023-06-12"))
    told = reasons(lake.plan(asked, progress=False))
    assert told["BTCUSDT", "2023-06-11"] == "not_yet_published"
    assert told["GONEUSDT", "2023-06-01"] == "delisted"


def test_a_live_symbol_costs_no_more_questions(origin: Source, lake: cl.Lake):
    """Days before its listing, and a part of its life: nothing else is asked to plan them."""
    origin.days("BTCUSDT", "2023-05-01", "2023-06-10", interval="4h")
    origin.publish()
    origin.forget()
    lake.plan(query("spot", "BTCUSDT", between=("2023-04-20", "2023-05-05")), progress=False)
    assert len(origin.asked) == 3
