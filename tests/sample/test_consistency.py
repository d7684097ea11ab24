"""One tape behind all: bars add up from trades, coarse bars from fine ones, ids run on."""

import itertools
from decimal import Decimal

import pytest

import cryptolake as cl
from cryptolake.sample.folder import ArchiveFolder

DAYS = ("2024-12-31", "2025-01-01")


@pytest.fixture(scope="module", params=["spot", "futures_um", "futures_cm"])
def market(request, tmp_path_factory):
    name = request.param
    folder = ArchiveFolder(tmp_path_factory.mktemp(name))
    rows = [f"{name}_klines", f"{name}_trades", f"{name}_agg_trades"]
    symbol = "BTCUSD_PERP" if name == "futures_cm" else "BTCUSDT"
    cl.sample_archive(
        folder.root, datasets=rows, symbols=[symbol], intervals=["1m", "1h"], days=DAYS
    )
    return folder


def table(folder, part, day="2025-01-01"):
    """The rows of one daily file, as text."""
    (key,) = [key for key in folder.zip_keys() if part in key and key.endswith(f"{day}.zip")]
    lines = folder.read_text(key).decode().splitlines()
    return [line.split(",") for line in lines if line[0].isdigit()]


def test_klines_are_exactly_what_the_trades_add_up_to(market):
    bars = table(market, "/1h/")
    trades = table(market, "/trades/")
    assert len(bars) == 24
    for bar in bars:
        inside = [t for t in trades if int(bar[0]) <= int(t[4]) <= int(bar[6])]
        prices = [Decimal(t[1]) for t in inside]
        taker = [t for t in inside if t[5].lower() == "false"]
        assert Decimal(bar[1]) == prices[0]
        assert Decimal(bar[2]) == max(prices)
        assert Decimal(bar[3]) == min(prices)
        assert Decimal(bar[4]) == prices[-1]
        assert Decimal(bar[5]) == sum(Decimal(t[2]) for t in inside)
        assert Decimal(bar[7]) == sum(Decimal(t[3]) for t in inside)
        assert int(bar[8]) == len(inside)
        assert Decimal(bar[9]) == sum(Decimal(t[2]) for t in taker)
        assert Decimal(bar[10]) == sum(Decimal(t[3]) for t in taker)


def test_hours_are_exactly_what_their_minutes_add_up_to(market):
    minutes = table(market, "/1m/")
    assert len(minutes) == 1440
    for number, bar in enumerate(table(market, "/1h/")):
        part = minutes[60 * number : 60 * number + 60]
        assert (bar[0], bar[6]) == (part[0][0], part[-1][6])
        assert (bar[1], bar[4]) == (part[0][1], part[-1][4])
        assert Decimal(bar[2]) == max(Decimal(m[2]) for m in part)
        assert Decimal(bar[3]) == min(Decimal(m[3]) for m in part)
        for cell in (5, 7, 8, 9, 10):
            assert Decimal(bar[cell]) == sum(Decimal(m[cell]) for m in part)


def test_aggregate_trades_are_exactly_what_their_trades_add_up_to(market):
    trades = {int(t[0]): t for t in table(market, "/trades/")}
    aggregates = table(market, "/aggTrades/")
    for a in aggregates:
        part = [trades.pop(number) for number in range(int(a[3]), int(a[4]) + 1)]
        assert Decimal(a[2]) == sum(Decimal(t[2]) for t in part)
        assert {t[1] for t in part} == {a[1]}
        assert {t[4] for t in part} == {a[5]}
    assert not trades


@pytest.mark.parametrize("part", ["/trades/", "/aggTrades/"])
def test_ids_run_on_from_day_to_day(market, part):
    ids = [int(row[0]) for day in DAYS for row in table(market, part, day)]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_times_never_go_back(market):
    times = [int(row[4]) for row in table(market, "/trades/")]
    assert times == sorted(times)


@pytest.mark.parametrize("market_name", ["spot", "futures_um"])
def test_every_interval_has_whole_bars_that_meet(tmp_path, market_name):
    days = ("2025-01-01", "2025-01-31")
    folder = ArchiveFolder(tmp_path)
    rows = [f"{market_name}_klines"]
    intervals = ["15m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1mo"]
    cl.sample_archive(tmp_path, datasets=rows, symbols=["ETHUSDT"], intervals=intervals, days=days)
    monthly = [key for key in folder.zip_keys() if "/monthly/" in key]
    assert {key.split("/")[-2] for key in monthly} == set(intervals)
    for key in monthly:
        lines = folder.read_text(key).decode().splitlines()
        bars = [line.split(",") for line in lines if line[0].isdigit()]
        for before, after in itertools.pairwise(bars):
            assert int(before[6]) + 1 == int(after[0]), key


def test_a_quiet_minute_repeats_the_close_before_it(tmp_path):
    folder = ArchiveFolder(tmp_path)
    cl.sample_archive(
        tmp_path, datasets=["spot_klines"], symbols=["ETHBTC"], intervals=["1m"], days="2025-01-01"
    )
    bars = table(folder, "/1m/")
    quiet = [n for n, bar in enumerate(bars) if bar[8] == "0" and n]
    assert quiet
    for n in quiet:
        assert set(bars[n][1:5]) == {bars[n - 1][4]}
        assert bars[n][5] == "0.00000000"
