"""The shapes that backtesters get, by their rows: no backtester is needed to see them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

import cryptolake as cl
from cryptolake import handoff
from cryptolake.errors import InvalidQuery, MissingTool, SchemaMismatch
from cryptolake.handoff import rows as shared
from cryptolake.handoff.ticks import decimals_of

START = datetime(2025, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bar(symbol, number, close=100.25, volume=1.5, market="futures_um", interval="1h"):
    return {
        "market": market,
        "symbol": symbol,
        "interval": interval,
        "open_time": START + number * HOUR,
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": volume,
        "close_time": START + (number + 1) * HOUR - timedelta(milliseconds=1),
    }


def trade(number, milliseconds, price, quantity=1.0, maker=False):
    time = START + timedelta(milliseconds=milliseconds)
    names = (
        "market",
        "symbol",
        "interval",
        "trade_id",
        "price",
        "quantity",
        "time",
        "is_buyer_maker",
    )
    values = "futures_um", "AUSDT", None, number, price, quantity, time, maker
    return dict(zip(names, values, strict=True))


def quote(number, milliseconds, bid, ask, event=0):
    """Give a quote of 1.0 at the bid and 2.0 at the ask; ``event`` is how much later its event time is."""
    time = START + timedelta(milliseconds=milliseconds)
    return {
        "market": "futures_um",
        "symbol": "AUSDT",
        "interval": None,
        "update_id": number,
        "best_bid_price": bid,
        "best_bid_quantity": 1.0,
        "best_ask_price": ask,
        "best_ask_quantity": 2.0,
        "time": time,
        "event_time": time + timedelta(milliseconds=event),
    }


@pytest.fixture(scope="module")
def klines():
    """AUSDT lives on with a hole at 1, BUSDT ends after 2; not in order."""
    bars = [bar("BUSDT", n, 7.0 + n) for n in (2, 0, 1)] + [bar("AUSDT", n) for n in (0, 2, 3)]
    return pl.DataFrame(bars)


def test_a_frame_a_symbol_is_in_order_of_time_with_an_index_in_utc(klines):
    frames = handoff.ohlcv(klines.lazy())
    assert list(frames) == ["AUSDT", "BUSDT"]
    frame = frames["BUSDT"]
    assert list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert frame["Close"].tolist() == [7.0, 8.0, 9.0]
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert str(frame.index.tz) == "UTC"
    assert frame.index.is_monotonic_increasing
    assert frame.index[0] == pd.Timestamp(START)
    assert set(map(str, frame.dtypes)) == {"float64"}


def test_wide_has_nan_in_holes_and_marks_the_last_bar_of_what_ends_early(klines):
    wide = handoff.ohlcv(klines, wide=True)
    assert wide.columns.names == ["field", "symbol"]
    close = wide["Close"]
    assert close["AUSDT"].isna().tolist() == [False, True, False, False]
    assert close["BUSDT"].tolist()[:3] == [7.0, 8.0, 9.0]
    assert close["BUSDT"].isna().tolist() == [False, False, False, True]
    assert wide["Last"]["BUSDT"].tolist() == [False, False, True, False]
    assert not wide["Last"]["AUSDT"].any()
    assert wide["Last"].to_numpy().dtype == bool


def test_a_bar_without_a_price_is_left_out_and_an_exact_one_is_a_float(klines):
    odd = klines.with_columns(close=pl.when(pl.col("close") == 8.0).then(None).otherwise("close"))
    odd = odd.with_columns(
        high=pl.when(pl.col("close") == 9.0).then(float("nan")).otherwise("high")
    )
    exact = odd.with_columns(pl.col("close").cast(pl.Decimal(38, 8)))
    frame = handoff.ohlcv(exact)["BUSDT"]
    assert frame["Close"].tolist() == [7.0]
    assert str(frame["Close"].dtype) == "float64"
    bars = handoff.nautilus(odd)["BUSDT"].bars
    assert bars is not None
    assert bars["close"].tolist() == [7.0]
    assert handoff.ohlcv(exact, wide=True)["Last"]["BUSDT"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (bar("AUSDT", 9, market="spot"), "one market, the frame has futures_um and spot"),
        (bar("AUSDT", 9, interval="1m"), "one interval, the frame has 1h and 1m"),
        (bar("AUSDT", 0), "one row per symbol and open_time; AUSDT has several at 2025-03-01"),
    ],
)
def test_rows_that_do_not_agree_are_refused(klines, more, words):
    frame = pl.concat([klines, pl.DataFrame([more])])
    for shape in (handoff.ohlcv, handoff.nautilus):
        with pytest.raises(InvalidQuery, match=words):
            shape(frame)


def test_other_rows_and_no_rows_are_refused(klines):
    with pytest.raises(SchemaMismatch, match="absent: open_time, open, high"):
        handoff.ohlcv(pl.DataFrame([trade(1, 0, 2.0)]))
    with pytest.raises(InvalidQuery, match="needs rows"):
        handoff.ohlcv(klines.head(0))
    with pytest.raises(SchemaMismatch, match="klines, trades, aggTrades or bookTicker"):
        handoff.nautilus(pl.DataFrame({"x": [1]}))
    with pytest.raises(InvalidQuery, match="needs a frame"):
        handoff.nautilus()
    with pytest.raises(InvalidQuery, match="one frame of bars, and got two"):
        handoff.nautilus(klines, klines)


def test_a_bar_is_stamped_at_its_close_also_where_the_published_close_is_early_or_late(klines):
    early = bar("AUSDT", 4) | {"close_time": START + 4.5 * HOUR}
    late = bar("AUSDT", 5) | {"close_time": START + 6.5 * HOUR}
    bars = handoff.nautilus(pl.concat([klines, pl.DataFrame([early, late])]))["AUSDT"].bars
    assert bars is not None
    assert list(bars.columns) == ["open", "high", "low", "close", "volume"]
    hours = [(time - pd.Timestamp(START)) / pd.Timedelta(HOUR) for time in bars.index]
    assert hours[:4] == [1, 3, 4, 5]
    assert 6.5 < hours[4] < 6.500001
    assert str(bars.index.dtype) == "datetime64[ns, UTC]"


def test_an_instrument_has_one_precision_over_all_of_its_data(klines):
    trades = pl.DataFrame([trade(1, 0, 100.125, 0.001), trade(2, 5, 100.0, 2.0)])
    quotes = pl.DataFrame([quote(1, 0, 100.1, 100.2, event=3)])
    data = handoff.nautilus(klines, trades, quotes)
    assert (data["AUSDT"].price_precision, data["AUSDT"].size_precision) == (3, 3)
    assert (data["AUSDT"].price_increment, data["AUSDT"].size_increment) == ("0.001", "0.001")
    assert (data["BUSDT"].price_precision, data["BUSDT"].size_precision) == (0, 1)
    assert data["BUSDT"].price_increment == "1"
    assert data["BUSDT"].trades is None
    ticks, best = data["AUSDT"].trades, data["AUSDT"].quotes
    assert ticks is not None
    assert best is not None
    assert list(ticks.columns) == ["price", "quantity", "trade_id", "buyer_maker"]
    assert list(best.columns) == ["bid_price", "ask_price", "bid_size", "ask_size"]
    assert ticks.index[0] == pd.Timestamp(START + timedelta(milliseconds=1))
    assert best.index[0] == pd.Timestamp(START + timedelta(milliseconds=4))


def test_a_stated_precision_may_be_finer_and_may_change_no_value(klines):
    assert handoff.nautilus(klines, price_precision=4)["AUSDT"].price_increment == "0.0001"
    with pytest.raises(InvalidQuery, match="AUSDT has prices of 2 decimals"):
        handoff.nautilus(klines, price_precision=1)


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([42313.9, 42283.58], 2),
        ([sum([0.1] * 60), 0.3], 1),
        ([0.00001234], 8),
        ([123456789.0, 1e-8], 8),
        ([0.0, None], 0),
    ],
)
def test_decimals_are_found_in_floats_and_in_exact_ones(values, decimals):
    assert decimals_of(pl.Series(values, dtype=pl.Float64)) == decimals
    if len(values) == 2 and None not in values and decimals != 1:
        exact = pl.Series([f"{value:.8f}" for value in values]).cast(pl.Decimal(38, 8))
        assert decimals_of(exact) == decimals


def book(events):
    """Replay events as the exchange has them: the levels of each side after each quote's last event."""
    sides: dict[int, dict[float, float]] = {1 << 29: {}, 1 << 28: {}}
    for event in events[(events["ev"] & 0xFF) == 1]:
        levels = sides[int(event["ev"]) & (3 << 28)]
        if event["qty"] == 0:
            levels.pop(float(event["px"]))  # a KeyError is a level that never was
        else:
            levels[float(event["px"])] = float(event["qty"])
    return sides[1 << 29], sides[1 << 28]


def test_quotes_that_share_a_millisecond_leave_one_level_a_side():
    quotes = [quote(1, 0, 10.0, 11.0), quote(2, 7, 10.5, 11.0), quote(3, 7, 10.4, 10.9)]
    quotes += [quote(4, 7, 10.6, 10.9)]
    events = handoff.hft_events(quotes=pl.DataFrame(quotes))
    assert book(events) == ({10.6: 1.0}, {10.9: 2.0})
    assert book(events[events["exch_ts"] == events["exch_ts"][0]]) == ({10.0: 1.0}, {11.0: 2.0})
    assert len(events) == 8 + 3 + 1


def test_trades_come_before_quotes_of_their_time_and_reach_nobody_early():
    trades = pl.DataFrame([trade(2, 7, 10.5, 0.2, maker=True), trade(1, 3, 10.4, 0.1)])
    quotes = pl.DataFrame([quote(1, 7, 10.0, 11.0, event=9), quote(2, 8, 10.0, 11.5, event=1)])
    events = handoff.hft_events(trades=trades.lazy(), quotes=quotes, latency=timedelta(seconds=1))
    kinds = events["ev"] & 0xFF
    assert kinds.tolist() == [2, 2, 1, 1, 1, 1, 1]
    assert (events["ev"][:2] >> np.uint64(28)).tolist() == [2, 1]  # bought, then sold
    start = int(START.timestamp()) * 10**9
    assert ((events["exch_ts"] - start) // 10**6).tolist() == [3, 7, 7, 7, 8, 8, 8]
    late = (events["local_ts"] - start) // 10**6
    assert late.tolist() == [1004, 1008] + 5 * [1017]  # the feed of quotes stays in order


@pytest.mark.parametrize("latency", ["", "-1ms", "1 hour", timedelta(milliseconds=-1)])
def test_a_latency_that_is_none_is_refused(latency):
    with pytest.raises(InvalidQuery, match="as a duration"):
        handoff.hft_events(trades=pl.DataFrame([trade(1, 0, 2.0)]), latency=latency)


def test_events_are_of_one_symbol():
    trades = pl.DataFrame([trade(1, 0, 2.0)])
    other = trades.with_columns(symbol=pl.lit("BUSDT"))
    with pytest.raises(InvalidQuery, match="one symbol, the frame has AUSDT and BUSDT"):
        handoff.hft_events(trades=pl.concat([trades, other]))
    quotes = pl.DataFrame([quote(1, 0, 1.0, 2.0)]).with_columns(symbol=pl.lit("BUSDT"))
    with pytest.raises(InvalidQuery, match="one symbol"):
        handoff.hft_events(trades=trades, quotes=quotes)
    with pytest.raises(InvalidQuery, match="trades=, quotes= or both"):
        handoff.hft_events()


def test_a_missing_package_is_named_with_what_installs_it(klines, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for shape in (handoff.ohlcv, handoff.nautilus):
        with pytest.raises(MissingTool, match=r"needs pandas: pip install 'cryptolake\[pandas\]'"):
            shape(klines)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingTool, match="hft_events needs numpy"):
        shared.require("numpy", "handoff.hft_events")


def test_the_module_is_reached_by_its_name_and_loads_nothing_heavy():
    assert cl.handoff is handoff
    code = (
        "import sys, cryptolake; cryptolake.handoff.ohlcv;"
        " print({'pandas', 'numpy', 'polars', 'vectorbt', 'duckdb'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
