"""Text to typed columns, at once: the fast way, for text that is regular.

It never guesses: whenever it cannot account for every line and every cell it gives up, and
:mod:`cryptolake.silver.lines` goes through the text line by line. Both give the same frame: the schema's
columns under their Silver names and types (and extra ones as text), with ``_file`` and ``_line`` saying
where each row stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.schemas import FLOATS, Column, Schema

if TYPE_CHECKING:
    from cryptolake.bronze.sniff import Layout

FILE, LINE = "_file", "_line"
MICROSECONDS = 100_000_000_000_000
"""From here up an epoch time is in microseconds, below it in milliseconds (1e14 ms is the year 5138)."""

_TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Piece:
    """Rows of one file: text that ends with a line end, and the number of its first line."""

    file: int
    text: bytes
    first_line: int
    layout: Layout

    @cached_property
    def lines(self) -> int:
        """How many lines the text has."""
        return self.text.count(b"\n")


class Parsed(NamedTuple):
    """Typed rows, and whether their times stand in both units (milliseconds and microseconds)."""

    frame: pl.DataFrame
    mixed_units: bool


def parse_fast(pieces: list[Piece], schema: Schema) -> Parsed | None:
    """Parse the pieces, all of one layout, in one go; None when not every line is in order."""
    counts = [piece.lines for piece in pieces]
    text = pieces[0].text if len(pieces) == 1 else b"".join(piece.text for piece in pieces)
    columns = pieces[0].layout.columns
    wanted = {column.name: column for column in schema.columns}
    types: dict[str, Any] = {name: _raw_dtype(wanted.get(name)) for name in columns}
    if any(dtype == pl.String for dtype in types.values()) and b"\0" in text:
        return None
    try:
        frame = pl.read_csv(text, has_header=False, schema=types)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    if frame.height != sum(counts) or not _accounted(frame, text, wanted):
        return None
    mixed = mixed_units_in(frame, schema)
    if mixed and len(pieces) > 1:  # which file it is shows when each is parsed by itself
        return None
    typed = converted(frame, schema)
    dated = [name for name in columns if name in wanted and wanted[name].kind == "text_time"]
    if any(typed[name].null_count() for name in dated):
        return None
    return Parsed(typed.with_columns(_places(pieces)), mixed)


def _places(pieces: list[Piece]) -> list[pl.Series]:
    """Say of each row of the pieces, one after the other, in which file and line it stands."""
    spans = pl.DataFrame(
        {
            "file": [piece.file for piece in pieces],
            "begin": [piece.first_line for piece in pieces],
            "end": [piece.first_line + piece.lines for piece in pieces],
        },
        schema={"file": pl.UInt32, "begin": pl.UInt32, "end": pl.UInt32},
    )
    files = pl.col("file").repeat_by(pl.col("end") - pl.col("begin")).alias(FILE)
    lines = pl.int_ranges("begin", "end", dtype=pl.UInt32).alias(LINE)
    return spans.select(files, lines).explode(FILE, LINE).get_columns()


def _raw_dtype(column: Column | None) -> Any:
    if column is None:
        return pl.String
    if column.kind in FLOATS or column.kind == "unused":
        return pl.Float64
    return {"time": pl.Int64, "count": pl.Int64, "id": pl.Int64, "flag": pl.Boolean}.get(
        column.kind, pl.String
    )


def _accounted(frame: pl.DataFrame, text: bytes, wanted: dict[str, Column]) -> bool:
    """Whether no cell is empty that may not be, and short lines cannot hide as empty last cells."""
    nulls = dict(zip(frame.columns, frame.null_count().row(0), strict=True))
    if any(count and name in wanted and not wanted[name].nullable for name, count in nulls.items()):
        return False
    last = frame.columns[-1]
    return not nulls[last] or text.count(b",") == frame.height * (frame.width - 1)


def mixed_units_in(frame: pl.DataFrame, schema: Schema) -> bool:
    """Say whether raw epoch times stand in both units."""
    times = [
        c.name for c in schema.columns if c.kind == "time" and frame.schema.get(c.name) == pl.Int64
    ]
    if not times or not frame.height:
        return False
    in_micros = pl.col(times[0]).abs() >= MICROSECONDS
    some, every = frame.select(in_micros.any().alias("some"), in_micros.all().alias("all")).row(0)
    return bool(some and not every)


def converted(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Epoch times in either unit, and times as text, to microseconds UTC; stated numbers to null."""
    found = []
    for column in schema.columns:
        dtype = frame.schema.get(column.name)
        value = pl.col(column.name)
        if column.kind == "time" and dtype == pl.Int64:
            scaled = pl.when(value.abs() >= MICROSECONDS).then(value).otherwise(value * 1000)
            found.append(scaled.cast(_TIME))
        elif column.kind == "text_time" and dtype == pl.String:
            found.append(text_time(value))
        elif column.null_numbers and dtype is not None:
            stated = value.is_in(list(column.null_numbers))
            found.append(pl.when(stated).then(None).otherwise(value).alias(column.name))
    return frame.with_columns(found)


def text_time(value: pl.Expr) -> pl.Expr:
    """Read ``YYYY-MM-DD HH:MM:SS`` as UTC; null where it is something else."""
    return value.str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False, exact=True
    )
