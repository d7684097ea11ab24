"""A rejected line has the number and the text that it has in its file, and each row that stays can be taken.

Held in all ways that a month is made: whole, in pieces that follow each other, and in pieces sorted on disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from cryptolake.bronze.ledger import holdings
from cryptolake.silver.external_sort import Sizes
from cryptolake.silver.month import MonthResult, make_month
from cryptolake.silver.months import months_to_build
from cryptolake.silver.stream import blocks
from tests.silver.texts import (
    as_text,
    bar,
    day_text,
    hours,
    key,
    read,
    read_day,
    rules,
    stored,
    zipped,
)

DAY = key("2024-01-02")
TICKER = "data/futures/um/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-01-02.zip"
LIQUIDATIONS = (
    "data/futures/cm/daily/liquidationSnapshot/BTCUSD_PERP/"
    "BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip"
)
OPTIONS = "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-10-20.zip"
BEGIN = 1_687_656_471_926
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)
IMPOSSIBLE = [
    9 * 10**18,
    -9 * 10**18,
    2**63 - 1,
    -(2**63),
    253_402_300_800_000_000,
    253_402_214_400_000_000,
    -62_135_596_800_001,
    -62_135_510_400_001,
]
"""Numbers in close_time: the year 287168, its like before Christ, the ends of 64 bits, the years 10000 and 0, and times
that are in the years 9999 and 1, and in some time zones not."""
ZONES = ["UTC", "Pacific/Kiritimati", "America/New_York"]

Made = Callable[[str, bytes], tuple[MonthResult, pl.DataFrame]]


@pytest.fixture(params=["whole", "in passing", "sorted on disk"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes the month of one file in one of the three ways."""
    whole = request.param == "whole"
    held = 1000 if request.param == "in passing" else 0

    def make(name: str, text: bytes) -> tuple[MonthResult, pl.DataFrame]:
        storage, meta = stored(tmp_path, {name: zipped(text)})
        rows = holdings(meta)
        (month,) = months_to_build(rows, rows)
        sizes = Sizes(chunk=400, held=held, run=5)
        result = make_month(
            storage, month, stream_above=10**12 if whole else 0, sizes=sizes, extend=False
        )
        assert result.draft is not None
        return result, pl.read_parquet(result.draft, hive_partitioning=False)

    return make


def with_cell(line: str, place: int, cell: object) -> str:
    cells = line.split(",")
    cells[place] = str(cell)
    return ",".join(cells)


def told(result: MonthResult) -> list[tuple[int, str, str]]:
    return [(item.line, item.rule, item.text) for _, item in result.rejects]


def taken(frame: pl.DataFrame) -> None:
    """Take all rows of a frame by Python and by DuckDB, in several time zones."""
    assert len(frame.rows()) == frame.height
    times = [place for place, dtype in enumerate(frame.dtypes) if dtype == pl.Datetime]
    for zone in ZONES:
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = '{zone}'")
            rows = connection.sql("SELECT * FROM frame").fetchall()
        assert len(rows) == frame.height
        assert all(isinstance(row[place], datetime) for row in rows for place in times)


@pytest.mark.parametrize("time", IMPOSSIBLE)
def test_a_row_with_another_time_that_cannot_be_is_rejected(made: Made, time: int):
    lines = [bar(hour, scale=1000) for hour in reversed(hours("2024-01-02"))]
    lines[17] = with_cell(lines[17], 6, time)
    result, frame = made(DAY, as_text(lines))
    assert told(result) == [(18, "impossible_time", lines[17])]
    assert (
        result.rejects[0][1].reason == "close_time does not lie between 0001-01-02 and 9999-12-30"
    )
    assert not result.findings
    assert frame["open_time"].to_list() == [h for h in hours("2024-01-02") if h.hour != 6]
    taken(frame)


@pytest.mark.parametrize("time", [FIRST, LAST, datetime(1960, 1, 1, tzinfo=UTC)], ids=str)
def test_a_row_with_an_odd_time_that_can_be_stays_and_is_flagged(made: Made, time: datetime):
    number = pl.Series([time]).cast(pl.Datetime("us", "UTC")).cast(pl.Int64)[0]
    lines = [bar(hour, scale=1000) for hour in hours("2024-01-02")]
    lines[17] = with_cell(lines[17], 6, number)
    result, frame = made(DAY, as_text(lines))
    assert not result.rejects
    assert "odd_close_time" in {finding.kind for finding in result.findings}
    assert frame["close_time"][17] == time
    taken(frame)


def test_an_event_time_that_cannot_be_is_rejected_whatever_the_unit_of_the_others(made: Made):
    def quote(number: int, event: int) -> str:
        return f"{number},10.0,1.0,10.5,2.0,{1_704_153_600_000 + number},{event}"

    lines = [quote(number, 1_704_153_600_000 + number) for number in range(30)]
    lines[11] = quote(11, 9 * 10**18)
    lines[22] = quote(22, -(2**63))
    result, frame = made(TICKER, as_text(lines))
    assert told(result) == [(n + 1, "impossible_time", lines[n]) for n in (11, 22)]
    assert frame.height == 28
    taken(frame)


@pytest.mark.parametrize("strike", ["nan", "inf", "1e400"])
def test_a_number_made_of_text_is_finite(strike: str):
    good = "2023-10-20,01,BTC-231229-34000-C,BTCUSDT,C,231229-34000" + ",1.0" * 20
    bad = good.replace("231229-34000,", f"231229-{strike},")
    done = read({OPTIONS: as_text([good, bad])})
    assert rules(done) == [(2, "not_finite")]
    assert done.frame["strike_price"].to_list() == [34000.0]


def liquidation(number: int, side: str = "BUY", price: str = "30741.3") -> str:
    return f"{BEGIN + number},{side},LIMIT,IOC,{number + 1},{price},30631.6,FILLED,6,7"


def lines_of(text: bytes) -> list[bytes]:
    """The lines of a file, as an editor counts them: each of LF, CRLF and CR ends one."""
    lines = re.split(rb"\r\n|\n|\r", text.removeprefix(b"\xef\xbb\xbf"))
    return lines if lines[-1] else lines[:-1]


def swap(old: bytes, new: bytes, count: int = -1) -> Callable[[bytes], bytes]:
    return lambda text: text.replace(old, new, count)


SIDE = b"SELL"
ODD_TEXTS = {
    "a lone return in a text cell": swap(SIDE, b"SE\rLL"),
    "a lone return in a number": swap(b"30741.3,", b"30741.3\r,", 1),
    "a lone return before a number": swap(b",30741.3", b",\r30741.3", 1),
    "a return at the end of a text cell": swap(SIDE, b"SELL\r"),
    "two returns before a line feed": swap(b"6,7\n", b"6,7\r\r\n", 3),
    "a quoted line feed": swap(SIDE, b'"SE\nLL"'),
    "a quoted lone return": swap(SIDE, b'"SE\rLL"'),
    "a quoted CRLF": swap(SIDE, b'"SE\r\nLL"'),
    "CRLF here and there": swap(b"6,7\n", b"6,7\r\n", 3),
    "CR here and there": swap(b"6,7\n", b"6,7\r", 3),
    "CR everywhere": swap(b"\n", b"\r"),
    "CRLF everywhere, and one CR": lambda text: swap(b"\n", b"\r\n")(text) + b"\r",
    "a lone return at the end": lambda text: text.removesuffix(b"\n") + b"\r",
    "a lone return behind the end": lambda text: text + b"\r",
    "lone returns before all": lambda text: b"\r\r\n\r" + text,
    "blank lines before all": lambda text: b"\n\n\r\n" + text,
    "a line feed before lines that end in CR": lambda text: b"\n" + swap(b"\n", b"\r")(text),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a byte order mark and a lone return": lambda text: b"\xef\xbb\xbf\r" + text,
    "a byte order mark in a row": swap(
        b"\n" + str(BEGIN + 3).encode(), b"\n\xef\xbb\xbf" + str(BEGIN + 3).encode()
    ),
    "a NUL byte": swap(SIDE, b"SE\0LL"),
    "ends of lines that CSV does not have": swap(SIDE, "S\u2028E\x85L\x0bL\x0c".encode()),
    "bytes that are no text": swap(SIDE, b"SE\x85LL"),
}


@pytest.mark.parametrize("change", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_a_reject_has_the_number_and_the_text_of_its_line(
    made: Made, change: Callable[[bytes], bytes]
):
    rows = [liquidation(number) for number in range(40)]
    rows[5] = liquidation(5, side="SELL")
    rows[20] = liquidation(20, price="-1")
    rows[39] = liquidation(39, price="-1")
    names = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status"
    head = f"{names},last_fill_quantity,accumulated_fill_quantity"
    text = change(as_text([head, *rows]))
    result, frame = made(LIQUIDATIONS, text)

    lines = lines_of(text)
    assert [text for *_, text in told(result)] == [
        lines[line - 1].decode("utf-8", "backslashreplace") for line, *_ in told(result)
    ]
    broken = {line for line, text in enumerate(lines, 1) if b",-1," in text}
    assert len(broken) == 2
    assert {line for line, rule, _ in told(result) if rule == "price_not_positive"} == broken
    (account,) = result.accounts
    assert account.rows_in == sum(1 for line in lines if line.strip()) - 1
    assert account.rows_in == frame.height + account.rejects
    taken(frame)


def test_a_lone_return_ends_a_line_whether_or_not_the_file_is_otherwise_in_order():
    """What becomes of a line does not depend on the others of its file."""
    text = day_text("2024-01-02", header=False).replace(b",100,", b",100\r,", 1)
    alone, beside = read_day(text), read_day(text + b"no row\n")
    assert rules(alone) == [(1, "wrong_column_count"), (2, "wrong_column_count")]
    assert rules(beside)[:2] == rules(alone)
    assert alone.frame.equals(beside.frame)


@pytest.mark.parametrize("more", [b"", b"no row\n"], ids=["alone", "beside a bad line"])
def test_a_mark_before_the_first_row_is_no_part_of_a_number(more: bytes):
    text = day_text("2024-01-02").replace(b"\n", b"\n\xef\xbb\xbf", 1)
    assert rules(read_day(text + more))[0] == (2, "unreadable_value")


def test_a_line_of_a_byte_order_mark_alone_is_no_line_of_a_file_that_is_refused():
    text = b"open_time,nonsense\n1,2\n"
    plain, marked = read_day(text), read_day(b"\xef\xbb\xbf\r\n" + text)
    assert plain.accounts[0].rows_in == marked.accounts[0].rows_in == 2


@pytest.mark.parametrize(
    ("zeros", "found"), [(65_400, []), (65_600, [(2, "line_too_long")])], ids=["long", "too long"]
)
def test_a_line_is_too_long_also_where_all_of_its_cells_can_be_read(
    zeros: int, found: list[tuple[int, str]]
):
    lines = [liquidation(0), liquidation(1, price="3." + "0" * zeros), liquidation(2)]
    done = read({LIQUIDATIONS: as_text(lines)})
    assert rules(done) == found
    assert done.frame.height == 3 - len(found)


@pytest.mark.parametrize("more", ["", "no row\n"])
def test_a_text_cell_of_two_quotes_is_empty(more: str):
    lines = [liquidation(0), liquidation(1, side='""'), liquidation(2)]
    done = read({LIQUIDATIONS: as_text(lines) + more.encode()})
    assert rules(done)[0] == (2, "empty_cell")
    assert done.rejects[0][1].text == lines[1]
    assert done.frame["side"].to_list() == ["BUY", "BUY"]


def test_a_file_whose_last_line_ends_in_a_return_ends_in_a_line_end(made: Made):
    result, _ = made(DAY, day_text("2024-01-02").replace(b"\n", b"\r"))
    assert result.accounts[0].warnings == ["mixed_line_ends"]


@pytest.mark.parametrize("parts", [[b"a" * 9 + b"\r", b"b\nc\n"], [b"a" * 9 + b"\r", b"\nb\nc\n"]])
def test_of_a_line_that_is_cut_down_the_end_is_seen_wherever_the_text_was_parted(
    parts: list[bytes],
):
    found = b"".join(blocks(iter(parts), 4))
    assert lines_of(found) == [b"aaaa", b"b", b"c"]
