"""The guide's code runs in environments that have the real backtesters, and what it earns is plain arithmetic.

They exclude each other, so each list of requirements here is an environment, made once by uv below pytest's
cache and kept until the list changes. The checkout is on the path; nothing else of cryptolake is installed.
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl

pytestmark = [pytest.mark.slow, pytest.mark.handoff]

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "notebooks" / "guide" / "handoff.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", GUIDE, re.S | re.M))
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Environments:
    """Runs blocks of the guide where their backtester is; ``folder`` has the rows that they read."""

    kept: Path
    folder: Path

    def run(self, name: str, *headings: str, then: str, **variables: str) -> Any:
        """Run blocks in one process, then code that gives ``found``; return what it found."""
        code = "\n".join([*(BLOCKS[heading] for heading in headings), then])
        code += "\nimport json; print('\\n' + json.dumps(found))"
        own = {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", **variables}
        command = [str(self.python(name)), "-c", code]
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | own, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def python(self, name: str) -> Path:
        wanted = Path(__file__).with_name(f"{name}.txt")
        stamp = hashlib.sha256(f"{sys.version}\n{wanted.read_text('utf-8')}".encode()).hexdigest()
        made = self.kept / f"{name}-{stamp[:12]}"
        python, complete = made / "bin" / "python", made / "complete"
        if not complete.exists():
            uv("venv", "-q", "--clear", "--python", sys.executable, str(made))
            uv("pip", "install", "-q", "--python", str(python), "-r", str(wanted))
            complete.touch()
        return python


def uv(*words: str) -> None:
    """Run uv; the test is skipped where the packages cannot be installed."""
    pytest.importorskip("uv")
    command = [sys.executable, "-m", "uv", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip(f"uv {words[0]} took more than five minutes")
    if done.returncode:
        pytest.skip(f"uv {words[0]} failed: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def environments(tmp_path_factory, pytestconfig):
    """The guide's first block, run on a sample of the archive, has written the rows."""
    folder = tmp_path_factory.mktemp("handoff")
    names = ["BTCUSDT", "ETHUSDT", "BTCUSDT_241227"]
    ticks = ["futures_um_trades", "futures_um_book_ticker"]
    archive = folder / "archive"
    cl.sample_archive(
        archive,
        datasets=["futures_um_klines"],
        symbols=names,
        intervals=["1h"],
        days=("2024-12-23", "2024-12-29"),
    )
    cl.sample_archive(
        archive, datasets=ticks, symbols=["BTCUSDT"], days=("2024-03-29", "2024-03-30")
    )
    with cl.serve_archive(archive) as served:
        own = {"HOME": str(folder), "CRYPTOLAKE_ENDPOINT_URL": served.endpoint}
        command = [sys.executable, "-W", "error", "-c", BLOCKS["Rows"]]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | own, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert pytestconfig.cache is not None
    return Environments(pytestconfig.cache.mkdir("handoff"), folder)


@pytest.fixture(scope="module")
def bars(environments):
    """Each symbol's bars in order, as dictionaries: what plain arithmetic needs."""
    rows = pl.read_parquet(environments.folder / "klines.parquet").sort("symbol", "open_time")
    parts = rows.partition_by("symbol", as_dict=True)
    return {str(symbol): part.to_dicts() for (symbol,), part in parts.items()}


def test_every_block_of_the_guide_is_run_here():
    assert GUIDE.count("```python") == len(BLOCKS)
    assert [*BLOCKS] == [
        "Rows",
        "vectorbt",
        "bt",
        "backtesting.py",
        "nautilus_trader",
        "hftbacktest",
    ]


def test_vectorbt_bt_and_backtesting_earn_what_arithmetic_says(environments, bars):
    found = environments.run(
        "vectorbt",
        "vectorbt",
        "bt",
        "backtesting.py",
        then="""
still = vbt.Portfolio.from_signals(close, entries=first, init_cash=1_000, fees=0.001, freq="1h")
trade = stats["_trades"].iloc[0]
found = {
    "returns": portfolio.total_return().to_dict(),
    "held": portfolio.assets().iloc[-1].to_dict(),
    "held without Last": still.assets().iloc[-1].to_dict(),
    "bt": result.prices.iloc[-1, 0],
    "trade": [trade["EntryPrice"], trade["ExitPrice"], int(trade["EntryBar"])],
    "equity": stats["Equity Final [$]"],
}""",
        NUMBA_DISABLE_JIT="1",  # compiling takes half a minute, the rows a moment
    )
    fee, gains = 0.001, {}
    for symbol, rows in bars.items():
        gains[symbol] = rows[-1]["close"] / rows[0]["close"]
        sold = 1 - fee if symbol == "BTCUSDT_241227" else 1
        assert found["returns"][symbol] == pytest.approx(gains[symbol] / (1 + fee) * sold - 1)
    assert bars["BTCUSDT_241227"][-1]["open_time"] < bars["BTCUSDT"][-1]["open_time"]
    assert [symbol for symbol, units in found["held"].items() if not units] == ["BTCUSDT_241227"]
    assert all(found["held without Last"].values())  # the control: nothing ends the position

    assert found["bt"] == pytest.approx(50 * gains["BTCUSDT"] + 50 * gains["ETHUSDT"])

    entry, exit_, number = found["trade"]
    assert entry == pytest.approx(bars["BTCUSDT"][number]["open"])
    assert exit_ == pytest.approx(bars["BTCUSDT"][-1]["open"])  # where it closes what is left
    units = math.floor(5_000 / entry * 1e8) / 1e8
    assert found["equity"] == pytest.approx(10_000 + units * (exit_ - entry), abs=0.001)


def test_nautilus_fills_at_closes_and_keeps_what_is_left_after_fees(environments, bars):
    found = environments.run(
        "nautilus",
        "nautilus_trader",
        then="""
found = {
    "prices": [float(price) for price in fills["avg_px"]],
    "times": [time.isoformat() for time in fills["ts_last"]],
    "balance": float(balance),
    "counts": [len(bars), len(trades), len(quotes)],
    "stamp": bars[0].ts_event,
    "first": [str(trades[0].price), str(trades[0].size), str(quotes[0].ask_price)],
    "size": str(bars[0].volume),
}""",
    )
    rows = bars["BTCUSDT"]
    bought, sold = rows[0], rows[9]
    assert found["prices"] == pytest.approx([bought["close"], sold["close"]])
    closes = [(row["open_time"] + HOUR).isoformat() for row in (bought, sold)]
    assert found["times"] == closes
    assert found["stamp"] == int((bought["open_time"] + HOUR).timestamp()) * 10**9
    fees = 0.0005 * 0.1 * (bought["close"] + sold["close"])
    gain = 0.1 * (sold["close"] - bought["close"])
    assert found["balance"] == pytest.approx(100_000 + gain - fees, abs=1e-6)

    trades, quotes = (
        pl.read_parquet(environments.folder / f"{name}.parquet") for name in ("trades", "quotes")
    )
    assert found["counts"] == [len(rows), trades.height, quotes.height]
    price, size, ask = trades["price"][0], trades["quantity"][0], quotes["best_ask_price"][0]
    assert found["first"] == [f"{price:.2f}", f"{size:.3f}", f"{ask:.2f}"]
    assert found["size"] == f"{rows[0]['volume']:.3f}"


def test_hftbacktest_has_the_published_quotes_and_fills_at_the_ask(environments):
    found = environments.run(
        "hftbacktest",
        "hftbacktest",
        then="""
import hftbacktest
from hftbacktest.types import event_dtype

state = backtest.state_values(0)
found = {
    "ask": ask, "time": backtest.current_timestamp, "position": backtest.position(0),
    "balance": state.balance, "fee": state.fee,
    "dtype": handoff.hft_events(trades=pl.read_parquet("trades.parquet")).dtype == event_dtype,
    "numbers": [getattr(hftbacktest, name) for name in
                ("DEPTH_EVENT", "TRADE_EVENT", "BUY_EVENT", "SELL_EVENT")],
    "quotes": [],
}
while backtest.elapse(3_600_000_000_000) == 0:
    depth = backtest.depth(0)
    found["quotes"].append([backtest.current_timestamp, depth.best_bid, depth.best_ask])
""",
    )
    assert found["dtype"]
    assert found["numbers"] == [1, 2, 1 << 29, 1 << 28]
    assert found["position"] == pytest.approx(0.1)
    assert found["balance"] == pytest.approx(-0.1 * found["ask"])
    assert found["fee"] == pytest.approx(0.0005 * 0.1 * found["ask"])

    received = pl.max_horizontal("time", "event_time") + pl.duration(milliseconds=1 + 10)
    quotes = pl.read_parquet(environments.folder / "quotes.parquet").sort("time")
    quotes = quotes.with_columns(at=received.dt.timestamp("ns"))

    def published(time):
        last = quotes.filter(pl.col("at") <= time)[-1]
        return [last["best_bid_price"][0], last["best_ask_price"][0]]

    assert found["ask"] == pytest.approx(published(found["time"])[1])
    assert len(found["quotes"]) > 40
    for time, *best in found["quotes"]:
        assert best == pytest.approx(published(time))
