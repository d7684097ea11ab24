"""The quality page of a month with ten defects: each is named, and nothing is asked of a network."""

import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.quality.page import page_facts
from tests.quality.world import World, key_of, without

MONTH = "2024-09"
DAYS = ("2024-09-01", "2024-12-03")
SYMBOLS = ["BTCUSDT", *(f"P{n}USDT" for n in range(10))]
QUERY = cl.query().markets("futures_um").klines("1h").symbols(SYMBOLS).between(MONTH)


def fields(line: bytes, **cells: bytes) -> bytes:
    parts = line.rstrip(b"\n").split(b",")
    for place, cell in cells.items():
        parts[int(place[1:])] = cell
    return b",".join(parts) + b"\n"


def month(here: World, symbol: str, change) -> None:
    here.edit(key_of(MONTH, symbol=symbol), change)


def day(here: World, symbol: str, number: int, change) -> None:
    here.edit(key_of(f"{MONTH}-{number:02d}", symbol=symbol), change)


def damage(here: World) -> None:
    month(
        here, "P0USDT", without(f"{MONTH}-05")
    )  # 1: a day that only the daily file has, not pulled
    month(here, "P1USDT", without(f"{MONTH}-14"))  # 2: a day in no file
    here.remove(key_of(f"{MONTH}-14", symbol="P1USDT"))
    month(here, "P2USDT", lambda lines: [*lines[:250], *lines[255:]])  # 3: five hours in no file
    day(here, "P2USDT", 11, lambda lines: [*lines[:10], *lines[15:]])
    month(  # 4: a negative price
        here, "P3USDT", lambda ls: [*ls[:100], fields(ls[100], c1=b"-1"), *ls[101:]]
    )
    month(here, "P4USDT", lambda ls: [*ls, *ls[1:49]])  # 5: two days twice
    month(
        here, "P5USDT", lambda ls: [*ls[:300], spike(ls[300]), *ls[301:]]
    )  # 6: a price out of line
    day(here, "P6USDT", 20, lambda ls: [*ls[:5], fields(ls[5], c5=b"7.5"), *ls[6:]])  # 7: disagrees
    sidecar = here.folder.path(key_of(f"{MONTH}-18", symbol="P7USDT") + ".CHECKSUM")  # 8: stale
    here.remove(key_of(MONTH, symbol="P7USDT"))
    sidecar.write_bytes(b"0" * 64 + sidecar.read_bytes()[64:])
    here.remove(key_of(MONTH, symbol="P8USDT"))  # 9: a day cut short
    day(here, "P8USDT", 17, lambda lines: lines[:9])
    for period in ("2024-10", "2024-11"):  # 10: goes on flat after its last trade
        here.remove(key_of(period, symbol="P9USDT"))
    for gone in pl.date_range(pl.date(2024, 9, 1), pl.date(2024, 12, 3), eager=True):
        here.remove(key_of(gone.isoformat(), symbol="P9USDT"))
    month(here, "P9USDT", lambda ls: [*ls[:400], *(frozen(line, ls[399]) for line in ls[400:])])
    here.publish()


def spike(line: bytes) -> bytes:
    high = float(line.split(b",")[2])
    return fields(line, c2=f"{high * 1.4:.4f}".encode())


def frozen(line: bytes, last: bytes) -> bytes:
    close, none = last.split(b",")[4], b"0"
    cells = {f"c{n}": close for n in (1, 2, 3, 4)} | {f"c{n}": none for n in (5, 7, 8, 9, 10)}
    return fields(line, **cells)


class Links(HTMLParser):
    """Collect what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.asks: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asks += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset")]
        self.asks += [tag] if tag in ("script", "link", "img", "iframe", "object") else []


def test_ten_defects_of_a_month_are_named_on_one_page_that_asks_nothing(world, tmp_path):
    here = world(datasets=["futures_um_klines"], symbols=SYMBOLS, intervals=["1h"], days=DAYS)
    damage(here)
    here.lake.pull(QUERY, progress=False, refresh=True)
    here.lake.pull(QUERY.symbols("P6USDT").between(f"{MONTH}-20"), progress=False)
    path = here.lake.quality_page(QUERY, tmp_path / "quality.html")
    if keep := os.environ.get("KEEP_PAGE"):
        Path(keep).write_bytes(path.read_bytes())
    page = path.read_text("utf-8")
    links = Links()
    links.feed(page)
    assert (links.asks, re.findall(r"url\(|@import|https?://", page)) == ([], [])
    assert "prefers-color-scheme:dark" in page

    said = dict(here.lake.quality(QUERY).select("symbol", "verdict").iter_rows())
    assert said["BTCUSDT"] == "whole"
    kinds = {symbol: verdict.split(" ")[0] for symbol, verdict in said.items()}
    assert [symbol for symbol in SYMBOLS[1:] if kinds[symbol] == "whole"] == [
        "P5USDT"
    ]  # by the rule
    assert "duplicates 48" in said["P4USDT"]
    assert "daily_monthly_disagree 1" in said["P6USDT"]
    assert "quarantined 1" in said["P7USDT"]
    assert "suspect_size 1" in said["P8USDT"]
    assert said["P9USDT"] == "frozen_run 321"

    facts = page_facts(QUERY, here.lake.context)
    named = {section.title: " ".join(map(str, section.rows)) for section in facts.sections}
    assert "P5USDT" in named["Outliers"]
    assert "BTCUSDT" not in named["Outliers"]
    assert "P7USDT-1h-2024-09-18" in named["Stale sidecars and quarantine"]
    assert "P6USDT" in named["Files that disagree"]
    assert "P9USDT" in named["Other findings"]
    assert facts.verdict.startswith("9 of 11 symbol-months have something to look at")
    heat = {label.replace("\N{NO-BREAK SPACE}", " "): spans for label, spans in facts.heat}
    assert [(s.state, s.start, s.length) for s in heat["BTCUSDT 1h klines futures_um"]] == [
        ("whole", 0, 30)
    ]
    [(state, part)] = [(s.state, s.part) for s in heat["P4USDT 1h klines futures_um"]]
    assert (state, part) == ("finding", True)  # rows that came twice have no day
    assert ("frozen_run", 16, 14) in [
        (s.state, s.start, s.length) for s in heat["P9USDT 1h klines futures_um"]
    ]


def test_names_are_escaped_and_an_empty_query_is_a_page(world, tmp_path):
    here = world(datasets=["futures_um_klines"], symbols=["BTCUSDT"], intervals=["1h"], days=DAYS)
    nobody = QUERY.symbols("NOBODYUSDT")
    page = here.lake.quality_page(nobody, tmp_path / "none.html").read_text("utf-8")
    assert "Nothing of this query is held or listed." in page


def test_a_page_that_cannot_be_written_is_an_error_in_a_sentence(world, tmp_path):
    here = world(datasets=["futures_um_klines"], symbols=["BTCUSDT"], intervals=["1h"], days=DAYS)
    with pytest.raises(cl.StorageError, match="cannot write"):
        here.lake.quality_page(QUERY, tmp_path / "absent" / "quality.html")


METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)


def test_open_interest_that_is_blank_or_zero_all_day_is_a_finding(written):
    def text(number: int, interest: str) -> str:
        times = [
            f"2023-05-{number:02d} {h:02d}:{m:02d}:00" for h in range(24) for m in range(0, 60, 5)
        ]
        return METRICS + "".join(f"{t},CHZUSDT,{interest},{interest},1,2,3,4\n" for t in times)

    by_day = {1: "5", 2: "0", 3: "0", 4: "", 5: "6"}
    key = "data/futures/um/daily/metrics/CHZUSDT/CHZUSDT-metrics-2023-05-{:02d}.zip"
    here = written({key.format(n): text(n, interest) for n, interest in by_day.items()})
    query = (
        cl.query()
        .markets("futures_um")
        .data_types("metrics")
        .symbols("CHZUSDT")
        .between("2023-05-01", "2023-05-05")
    )
    here.pull(query)
    [row] = here.quality(query).rows(named=True)
    assert (row["zeros"], row["nulls"]) == (0, 3 * 288)  # a zero of metrics is read as blank
    assert row["unchanged"] == 2 * 287
    assert row["findings"] == 1
    assert row["verdict"] == "open_interest_empty 864"


def test_values_are_counted_by_month_and_type(world):
    here = world(
        datasets=["futures_um_klines", "spot_trades"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2024-09-01", "2024-09-03"),
        partitions=["daily"],
    )
    day(
        here,
        "BTCUSDT",
        2,
        lambda ls: [*ls[:5], frozen(ls[5], ls[4]), frozen(ls[6], ls[4]), *ls[7:]],
    )
    here.publish()
    query = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between(*DAYS[:1])
    query = query.between("2024-09-01", "2024-09-03")
    here.pull(query)
    [row] = here.quality(query).rows(named=True)
    assert (row["zeros"], row["nulls"], row["unchanged"], row["verdict"]) == (2, 0, 1, "whole")
    trades = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT")
    here.pull(trades.between("2024-09-02"))
    [row] = here.quality(trades.between("2024-09-02")).rows(named=True)
    assert (row["zeros"], row["nulls"], row["unchanged"]) == (0, 0, None)
    assert row["first"] >= datetime(2024, 9, 2, tzinfo=UTC)
