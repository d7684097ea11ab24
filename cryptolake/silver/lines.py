"""Text to typed columns, line by line: the slow way, which names what is wrong with each line."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from cryptolake.archive.schemas import FLOATS, Column, Schema
from cryptolake.bronze.sniff import is_header
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits
from cryptolake.silver.parse import FILE, LINE, Parsed, Piece, converted, mixed_units_in, text_time

_KEPT_TEXT = 500
_FAULT = "_fault"


class Reject(NamedTuple):
    """A line that is not a row: where it stands, the rule it breaks, why, and its text."""

    file: int
    line: int
    rule: str
    reason: str
    text: str


def clip(text: bytes) -> str:
    """Return the part of a line that a reject keeps, readable whatever the bytes are."""
    return text[:_KEPT_TEXT].decode("utf-8", "backslashreplace")


def parse_lines(
    piece: Piece, schema: Schema, limits: Limits = DEFAULT_LIMITS
) -> tuple[Parsed, list[Reject]]:
    """Parse a piece line by line: every line becomes a row or a reject, blank ones neither."""
    columns = piece.layout.columns
    lines = split_lines(piece.text)
    good: list[int] = []
    rejects: list[Reject] = []
    for number, line in enumerate(lines, start=piece.first_line):
        fault = _fault(line, len(columns) - 1, schema, limits)
        if fault is None:
            good.append(number)
        elif fault[0] != "blank_line":
            rejects.append(Reject(piece.file, number, *fault, clip(line)))
    cells = _cells([lines[number - piece.first_line] for number in good], columns)
    wanted = [column for column in schema.columns if column.name in columns]
    frame = cells.select(
        *(_lenient(column) for column in wanted),
        *piece.layout.extras,
        pl.lit(piece.file, pl.UInt32).alias(FILE),
        pl.Series(LINE, good, pl.UInt32),
        pl.coalesce(*(_value_fault(column) for column in wanted), pl.lit(None, pl.String)).alias(
            _FAULT
        ),
    )
    for number, fault_text in (
        frame.filter(pl.col(_FAULT).is_not_null()).select(LINE, _FAULT).rows()
    ):
        rule, _, reason = fault_text.partition(":")
        rejects.append(
            Reject(piece.file, number, rule, reason, clip(lines[number - piece.first_line]))
        )
    kept = frame.filter(pl.col(_FAULT).is_null()).drop(_FAULT)
    parsed = Parsed(converted(kept, schema), mixed_units_in(kept, schema))
    return parsed, sorted(rejects)


def split_lines(text: bytes) -> list[bytes]:
    r"""Split text at any kind of line end, without an empty line after the last one.

    Examples
    --------
    >>> split_lines(b"a\r\nb\rc\n")
    [b'a', b'b', b'c']
    """
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def _fault(line: bytes, commas: int, schema: Schema, limits: Limits) -> tuple[str, str] | None:
    """Say which rule a line breaks as text, if any."""
    if not line.strip():
        return "blank_line", "nothing but white space"
    if len(line) > limits.max_line:
        return (
            "line_too_long",
            f"{len(line):,} bytes, above the limit of {limits.max_line:,} (max_line)",
        )
    if b"\0" in line:
        return "nul_byte", "holds a NUL byte"
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            return "not_text", "is not UTF-8"
    if is_header(line, schema):
        return "header_line", "repeats the header among the rows"
    if line.count(b",") != commas:
        return "wrong_column_count", f"has {line.count(b',') + 1} cells, not {commas + 1}"
    return None


def _cells(lines: list[bytes], columns: tuple[str, ...]) -> pl.DataFrame:
    """Cut lines, each with the right number of commas, into text cells; an empty cell is null."""
    whole = pl.Series("", [line.decode() for line in lines], pl.String)
    cells = whole.str.split_exact(",", len(columns) - 1).struct.unnest()
    cells.columns = list(columns)
    stripped = pl.all().str.strip_chars(' \t"')
    return cells.with_columns(pl.when(stripped == "").then(None).otherwise(stripped).name.keep())


def _lenient(column: Column) -> pl.Expr:
    """Read a text cell as the column's kind; null where it cannot be."""
    cell = pl.col(column.name)
    if column.kind in FLOATS or column.kind == "unused":
        return cell.cast(pl.Float64, strict=False)
    if column.kind == "text_time":
        return text_time(cell)
    if column.kind == "flag":
        spelled = {"true": True, "false": False, "1": True, "0": False}
        return cell.str.to_lowercase().replace_strict(
            spelled, default=None, return_dtype=pl.Boolean
        )
    if column.kind in {"time", "count", "id"}:
        number = cell.cast(pl.Float64, strict=False)
        whole = number.is_finite() & (number == number.floor()) & (number.abs() < 2**53)
        # Counts may be printed as 542.0.
        printed = pl.when(whole).then(number).cast(pl.Int64, strict=False)
        return pl.coalesce(cell.cast(pl.Int64, strict=False), printed).alias(column.name)
    return cell


def _value_fault(column: Column) -> pl.Expr:
    cell = pl.col(column.name)
    name = column.published[0]
    faults = pl.lit(None, pl.String)
    if column.kind != "unused":
        shown = cell.str.slice(0, 60)
        unreadable = cell.is_not_null() & _lenient(column).is_null()
        text = pl.format("unreadable_value:{} cannot be read from {}", pl.lit(name), shown)
        faults = pl.when(unreadable).then(text)
    if not column.nullable:
        empty = pl.lit(f"empty_cell:{name} is empty")
        faults = pl.when(cell.is_null()).then(empty).otherwise(faults)
    return faults.alias("fault")
