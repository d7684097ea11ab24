"""The confusion table of halts, ends of lives and clocks: one symbol a case, and what the lake says of it.

Run with ``-s`` to see the table.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import cryptolake as cl
from tests.quality.test_clocks import fundings, schedule, stamps, volatility
from tests.quality.test_confusion import table
from tests.quality.world import World, key_of

HOUR = timedelta(hours=1)
Keep = Callable[[datetime], bool]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(first: str, end: str, keep: Keep, step: timedelta = HOUR) -> str:
    """Headerless klines of the hours (or steps) that are kept."""
    lines, time, last = [], at(first), at(end)
    while time < last:
        if keep(time):
            opens = int(time.timestamp() * 1000)
            closes = opens + int(step.total_seconds() * 1000) - 1
            lines.append(f"{opens},5.0,6.0,4.0,5.5,12.0,{closes},60.0,4,6.0,30.0,0\n")
        time += step
    return "".join(lines)


def months(
    symbol: str, *spans: tuple[str, str], market: str = "spot", keep: Keep = lambda _: True
) -> dict[str, str]:
    """The monthly files of some spans of time, which may begin and end in a month."""
    texts: dict[str, str] = {}
    for first, end in spans:
        begin = at(first).replace(day=1)
        while begin < at(end):
            after = (begin + timedelta(days=32)).replace(day=1)
            low, high = max(begin, at(first)), min(after, at(end))
            text = hours(f"{low:%F %T}", f"{high:%F %T}", keep)
            texts[key_of(f"{begin:%Y-%m}", market=market, symbol=symbol)] = text
            begin = after
    return texts


def days(symbol: str, first: str, end: str, market: str = "spot") -> dict[str, str]:
    """The daily files from a day to an instant."""
    texts, day = {}, at(first)
    while day < at(end):
        stop = min(day + timedelta(days=1), at(end))
        text = hours(f"{day:%F %T}", f"{stop:%F %T}", lambda _: True)
        texts[key_of(f"{day:%F}", market=market, symbol=symbol)] = text
        day += timedelta(days=1)
    return texts


def outside(first: str, end: str) -> Keep:
    return lambda time: not at(first) <= time < at(end)


class Case(NamedTuple):
    injected: str
    query: cl.Query
    expected: str


def klines(symbol: str, *asked: str, market: str = "spot", interval: str = "1h") -> cl.Query:
    return cl.query().markets(market).klines(interval).symbols(symbol).between(*asked)


def said(here: World, query: cl.Query) -> str:
    gaps = here.gaps(query)
    told = [f"{row['cause']} {row['bars']} {row['unit']}" for row in gaps.rows(named=True)]
    low = here.quality(query).filter(missing=0).height == here.quality(query).height
    return ", ".join([*told, "coverage 1" if low else "coverage below 1"])


HALT = outside("2023-05-09 03:00", "2023-05-09 07:00")
SPAN = ("2023-04-01", "2023-08-01")
FUNDING = "data/futures/um/monthly/fundingRate/F1USDT/F1USDT-fundingRate-2023-05.zip"
CHANGED = schedule("2023-05-01", "2023-05-18", 8) + schedule("2023-05-18", "2023-06-01", 2)
BVOL = "data/option/daily/BVOLIndex/ETHBVOLUSDT/ETHBVOLUSDT-BVOLIndex-2023-07-0{}.zip"
SECONDS = stamps("2023-07-04", "2023-07-05", 1)


def archive() -> dict[str, str]:
    texts: dict[str, str] = {}
    for symbol in ("H1ETH", "H2ETH", "H3ETH"):
        texts |= months(symbol, SPAN, market="futures/um", keep=HALT)
    for symbol in ("K1BTC", "K2BTC"):
        texts |= months(symbol, SPAN)
    texts |= months("K3BTC", SPAN, keep=HALT)
    texts |= months("D1BTC", ("2023-04-01", "2023-06-14 05:00"))
    texts |= days("D1BTC", "2023-06-01", "2023-06-14 05:00")
    texts |= months("D2BTC", ("2023-04-01", "2023-06-01"))
    texts |= days("D2BTC", "2023-06-01", "2023-06-09 11:00")
    texts |= months("R1BTC", ("2023-04-01", "2023-05-20"), ("2023-07-10", "2023-08-01"))
    texts |= days("R1BTC", "2023-05-01", "2023-05-20") | days("R1BTC", "2023-07-10", "2023-08-01")
    dated = "E1USDT_230630"
    texts |= months(dated, ("2023-05-01", "2023-06-30 08:00"), market="futures/um", keep=HALT)
    texts |= days(dated, "2023-06-01", "2023-06-30 08:00", market="futures/um")
    stopped = hours("2023-04-01", "2023-05-01", lambda _: True, 2 * HOUR)
    texts[key_of("2023-04", market="spot", symbol="K1BTC", interval="2h")] = stopped
    texts[FUNDING] = fundings(CHANGED[:60] + CHANGED[64:])
    whole = stamps("2023-07-03", "2023-07-04", 1)
    texts[BVOL.format(3)] = volatility(whole)
    texts[BVOL.format(4)] = volatility(SECONDS[: 8 * 3600] + SECONDS[14 * 3600 :])
    return texts


FEED = cl.query().markets("options").data_types("BVOLIndex").symbols("ETHBVOLUSDT")
RATE = cl.query().markets("futures_um").data_types("fundingRate").symbols("F1USDT")
CASES = [
    Case("nothing", klines("K2BTC", "2023-05"), "coverage 1"),
    Case(
        "a halt of the whole market, in three symbols",
        klines("H2ETH", "2023-05", market="futures_um"),
        "exchange_halt 4 bars, coverage below 1",
    ),
    Case(
        "a hole in one symbol only",
        klines("K3BTC", "2023-05"),
        "not_published 4 bars, coverage below 1",
    ),
    Case(
        "delisted in the middle of a day, with a monthly file",
        klines("D1BTC", "2023-06"),
        f"not_listed {720 - 13 * 24 - 5} bars, coverage 1",
    ),
    Case(
        "delisted in the middle of a day, without one",
        klines("D2BTC", "2023-06"),
        f"not_listed {720 - 8 * 24 - 11} bars, coverage 1",
    ),
    Case(
        "delisted and listed again",
        klines("R1BTC", "2023-05", "2023-07"),
        f"not_listed {12 * 24} bars, not_listed 720 bars, not_listed {9 * 24} bars, coverage 1",
    ),
    Case(
        "a delivered contract",
        klines("E1USDT_230630", "2023-06", market="futures_um"),
        "not_listed 16 bars, coverage 1",
    ),
    Case(
        "an interval that stopped",
        klines("K1BTC", "2023-04", "2023-05", interval="2h"),
        f"interval_stopped {31 * 12} bars, coverage 1",
    ),
    Case(
        "fundings with another interval from the 18th",
        RATE.between("2023-05"),
        "not_published 4 fundings, coverage below 1",
    ),
    Case(
        "a volatility index without six hours",
        FEED.between("2023-07-03", "2023-07-04"),
        f"not_published {6 * 3600} seconds, coverage below 1",
    ),
]


def test_halts_ends_of_lives_and_clocks_are_named_rightly(written, capsys):
    here = written(archive())
    everything = cl.query().klines("1h").symbols("*").between("2023-04", "2023-07")
    here.lake.pull(everything.markets("spot"), progress=False)
    here.lake.pull(everything.markets("futures_um"), progress=False)
    rows = []
    for case in CASES:
        here.lake.pull(case.query, progress=False)
        rows.append((case.injected, said(here, case.query), case.expected))
    with capsys.disabled():
        print("\n" + table(rows))
    assert [told for _, told, _ in rows] == [wanted for *_, wanted in rows]
