"""What holds for any file and any split of a month, found by Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.errors import CryptolakeError
from tests.silver.texts import HEADER, as_text, bar, key, read, read_day

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 5
BARS = [BEGIN + timedelta(hours=hour) for hour in range(24 * DAYS)]
few = settings(max_examples=60, deadline=None)


def day_of(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


@st.composite
def splits(draw: st.DrawFn) -> dict[str, bytes]:
    """Some days daily, the month with any bars left out that a daily file has, lines in any order."""
    dice = Random(draw(st.integers(0, 2**32)))
    daily = draw(st.sets(st.integers(1, DAYS), max_size=DAYS))
    monthly = draw(st.booleans()) or len(daily) < DAYS
    texts: dict[str, bytes] = {}
    for day in daily:
        bars = [moment for moment in BARS if moment.day == day]
        texts[key(f"2024-01-{day:02}")] = written(bars, draw, dice)
    if monthly:
        bars = [m for m in BARS if m.day not in daily or dice.random() < 0.5]
        texts[key("2024-01")] = written(bars, draw, dice)
    names = list(texts)
    dice.shuffle(names)
    return {name: texts[name] for name in names}


def written(bars: list[datetime], draw: st.DrawFn, dice: Random) -> bytes:
    """Bars as a file: header or none, shuffled or not, some twice. close_time keeps one unit."""
    lines = [bar(moment) for moment in bars]
    if draw(st.booleans()):
        lines += dice.sample(lines, min(3, len(lines)))
    if draw(st.booleans()):
        dice.shuffle(lines)
    return as_text([HEADER, *lines] if draw(st.booleans()) else lines)


@few
@given(splits())
def test_any_split_of_a_month_into_daily_and_monthly_files_is_the_same_silver(
    texts: dict[str, bytes],
):
    done = read(texts)
    whole = read({key("2024-01"): as_text([bar(moment) for moment in BARS])})
    assert done.frame.equals(whole.frame)
    assert all(account.balanced for account in done.accounts)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A day's file, hurt in every way at hand."""
    lines: list[bytes] = [bar(moment).encode() for moment in BARS[:24]]
    dice = Random(draw(st.integers(0, 2**32)))
    for hurt in draw(st.lists(st.sampled_from(HURTS), max_size=6)):
        hurt(lines, dice)
    text = draw(st.sampled_from([b"\n", b"\r\n"])).join(lines)
    if draw(st.booleans()):
        text = HEADER.encode() + b"\n" + text
    text += draw(st.sampled_from([b"", b"\n"]))
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


def shuffle(lines: list[bytes], dice: Random) -> None:
    dice.shuffle(lines)


def repeat(lines: list[bytes], dice: Random) -> None:
    lines += dice.sample(lines, min(4, len(lines)))


def rescale(lines: list[bytes], dice: Random) -> None:
    place = dice.randrange(24)
    lines[place:place] = [bar(BARS[place], scale=1000).encode()]


def garble(lines: list[bytes], dice: Random) -> None:
    place = dice.randrange(len(lines))
    line = bytearray(lines[place])
    for _ in range(3):
        line[dice.randrange(len(line))] = dice.randrange(256)
    lines[place] = bytes(line)


def insert_noise(lines: list[bytes], dice: Random) -> None:
    lines.insert(dice.randrange(len(lines)), dice.randbytes(dice.randrange(1, 300)))


def insert_header(lines: list[bytes], dice: Random) -> None:
    lines.insert(dice.randrange(len(lines)), HEADER.encode())


def quote(lines: list[bytes], dice: Random) -> None:
    place = dice.randrange(len(lines))
    lines[place] = lines[place].replace(b",", b',"', 1)


HURTS = [shuffle, repeat, rescale, garble, insert_noise, insert_header, quote]


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_a_damaged_file_never_crashes_and_never_loses_a_line_unseen(text: bytes):
    done = read_day(text, "2024-01-01")
    (account,) = done.accounts
    assert account.balanced
    assert account.rows_out == done.frame.height
    assert account.error is None or isinstance(account.error, CryptolakeError)
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    full = sum(1 for line in lines if line.strip())
    headers = 1 if text.startswith(HEADER[:9].encode()) and full else 0
    assert account.rows_in in {full, full - headers}
    told = {item.line for _, item in done.rejects}
    assert len(told) == account.rejects or 0 in told


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_at_all_are_read_or_refused(text: bytes):
    (account,) = read_day(text).accounts
    assert account.balanced
    assert account.rows_out == 0


@few
@given(st.lists(st.floats(1e-8, 1e9, allow_nan=False), min_size=1, max_size=24))
def test_numbers_are_read_as_python_reads_them(prices: list[float]):
    """On both ways through the parser: the second text has a bad line, and so goes line by line."""
    lines = [
        f"{int(moment.timestamp() * 1000)},{price!r},{price!r},{price!r},{price!r},{price:.8f},"
        f"{int(moment.timestamp() * 1000) + 3_599_999},{price:e},1,0E-8,0,0"
        for moment, price in zip(BARS, prices, strict=False)
    ]
    for text in (as_text(lines), as_text([*lines, "no row"])):
        frame = read_day(text, "2024-01-01").frame
        assert frame["open"].to_list() == prices
        assert frame["volume"].to_list() == [float(f"{price:.8f}") for price in prices]
        assert frame["quote_volume"].to_list() == [float(f"{price:e}") for price in prices]


@few
@given(st.permutations(range(DAYS)), st.integers(0, 2**32))
def test_shuffled_lines_make_the_same_frame(order: list[int], seed: int):
    dice = Random(seed)
    texts = {}
    for day in order:
        lines = [bar(moment) for moment in BARS if moment.day == day + 1]
        dice.shuffle(lines)
        texts[key(f"2024-01-{day + 1:02}")] = as_text(lines)
    frame = read(texts).frame
    assert frame["open_time"].to_list() == BARS
    assert frame.schema["trades"] == pl.Int64
