"""Text parsed at once: how many rows each file has, found without counting lines, is what counting says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.archive.schemas import Schema, schema_of
from cryptolake.bronze.sniff import detect
from cryptolake.silver.parse import FILE, LINE, Parsed, Piece, parse_fast
from tests.drawn import examples
from tests.silver.texts import HEADER, as_text, bar, hours

KLINES = schema_of("futures_um", "klines")
FUNDING = schema_of("futures_um", "fundingRate")
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def pieces_of(texts: list[bytes], schema: Schema = KLINES) -> list[Piece]:
    """Pieces of texts that each have a whole of their own."""
    found = []
    for number, text in enumerate(texts):
        layout = detect(text, schema, f"{number}.zip")
        found.append(Piece(number, text[layout.skip :], layout.first_line, layout))
    return found


def in_one(texts: list[bytes], schema: Schema = KLINES) -> list[Piece]:
    """Pieces that stand one behind the other in one text, headers between them."""
    whole, found = b"".join(texts), []
    begin = 0
    for number, text in enumerate(texts):
        layout = detect(text, schema, f"{number}.zip")
        end = begin + len(text)
        found.append(Piece(number, whole, layout.first_line, layout, begin + layout.skip, end))
        begin = end
    return found


def parsed(pieces: list[Piece], schema: Schema = KLINES) -> Parsed:
    found = parse_fast(pieces, schema)
    assert found is not None
    return found


@st.composite
def files(draw: st.DrawFn) -> list[bytes]:
    """Files of bars that follow each other, with holes anywhere, some with a header or CRLF."""
    texts, hour = [], 0
    for _ in range(draw(st.integers(1, 5))):
        lines = []
        for _ in range(draw(st.integers(1, 6))):
            hour += draw(st.integers(1, 3))
            lines.append(bar(BEGIN + timedelta(hours=hour)))
        text = as_text([HEADER, *lines] if draw(st.booleans()) else lines)
        texts.append(text.replace(b"\n", b"\r\n") if draw(st.booleans()) else text)
    return texts


@settings(max_examples=examples(60), deadline=None)
@given(files(), st.booleans())
def test_rows_and_lines_are_those_of_each_file(texts: list[bytes], one: bool):
    pieces = in_one(texts) if one else pieces_of(texts)
    found = parsed(pieces)
    counts = {piece.file: piece.text.count(b"\n") for piece in pieces}
    assert found.rows == counts
    places = [
        (piece.file, line)
        for piece in pieces
        for line in range(piece.first_line, piece.first_line + counts[piece.file])
    ]
    assert found.frame.select(FILE, LINE).rows() == places
    alone = pl.concat([parsed([piece]).frame for piece in pieces])
    assert found.frame.equals(alone)


@settings(max_examples=examples(60), deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_files_in_any_order_and_with_the_same_times_keep_their_own_rows(
    order: list[int], days: list[int]
):
    texts = [as_text([bar(hour) for hour in hours(f"2024-01-0{days[n] + 1}", 3)]) for n in order]
    found = parsed(pieces_of(texts))
    assert found.rows == dict.fromkeys(range(4), 3)
    assert found.frame[FILE].to_list() == [n for n in range(4) for _ in range(3)]


def test_a_blank_line_is_no_row_so_that_lines_are_told_one_by_one():
    lines = [bar(hour) for hour in hours("2024-01-01")]
    for place in (1, 12, 24):
        text = as_text([*lines[:place], "", *lines[place:]])
        assert parse_fast(pieces_of([text]), KLINES) is None
        assert parse_fast(pieces_of([text, as_text(lines)]), KLINES) is None


def test_a_line_without_its_last_cell_is_no_row():
    lines = [bar(hour) for hour in hours("2024-01-01")]
    short = [*lines[:3], lines[3].rpartition(",")[0], *lines[4:]]
    assert parse_fast(pieces_of([as_text(short)]), KLINES) is None


@pytest.mark.parametrize("quoted", ['"0.0001"', '"0.0001\n"', '"1,5"'])
def test_lines_with_quotes_are_counted(quoted: str):
    text = f"1775001600000,8,{quoted}\n1775030400000,8,0.0002\n".encode()
    found = parse_fast(pieces_of([text], FUNDING), FUNDING)
    assert found is None or found.frame.height == text.count(b"\n")


def test_pieces_in_one_text_are_parsed_where_they_stand(monkeypatch: pytest.MonkeyPatch):
    given_texts: list[bytes] = []
    read = pl.read_csv

    def reading(text: bytes, **options: object) -> pl.DataFrame:
        given_texts.append(text)
        return read(text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pl, "read_csv", reading)
    plain = [as_text([bar(hour) for hour in hours(f"2024-01-0{day}")]) for day in (1, 2, 3)]
    pieces = in_one(plain)
    parsed(pieces)
    assert given_texts[0] is pieces[0].whole
    mixed = [as_text([HEADER, bar(hour)]) for hour in hours("2024-01-01", 3)]
    parsed(in_one(mixed))
    assert given_texts[1] == b"".join(bar(h).encode() + b"\n" for h in hours("2024-01-01", 3))


def test_times_in_both_units_are_not_taken_for_one():
    both = as_text([bar(BEGIN), bar(BEGIN + timedelta(hours=1), scale=1000)])
    other = as_text([bar(BEGIN + timedelta(hours=2))])
    assert parse_fast(pieces_of([both, other]), KLINES) is None
    found = parsed(pieces_of([both]))
    assert found.mixed_units
    assert found.frame["open_time"].to_list() == [BEGIN, BEGIN + timedelta(hours=1)]
