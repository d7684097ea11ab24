"""CSV text to typed columns: all at once where the text is regular, else line by line.

:func:`parse_fast` never guesses: where it cannot account for every line and every cell it returns None,
and :func:`parse_lines` makes each line a row or a reject that names what is wrong. Both give the same
frame: the schema's columns under their Silver names and types (and extra ones as text), with ``_file``
and ``_line`` for the place of each row. :func:`derived` adds the columns that are made of others, and
:func:`silver_shape` puts a finished frame into Silver's names, order and types.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.schemas import FLOATS, Column, Schema
from cryptolake.bronze.sniff import BOM, is_header, line_ends, lone_returns
from cryptolake.bronze.zips import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Derived
    from cryptolake.bronze.sniff import Layout


FILE, LINE = "_file", "_line"
MICROSECONDS = 100_000_000_000_000
"""From here up an epoch time is in microseconds, below it in milliseconds (1e14 ms is the year 5138)."""

_TIME = pl.Datetime("us", "UTC")
_KEPT_TEXT = 500
_FAULT = "_fault"


@dataclass(frozen=True)
class Piece:
    """Rows of one file: text that ends with a line end, and the number of its first line.

    ``text`` is ``whole`` from ``begin`` to ``end``: pieces of several files may stand in one.
    """

    file: int
    whole: bytes
    first_line: int
    layout: Layout
    begin: int = 0
    end: int | None = None

    @cached_property
    def text(self) -> bytes:
        """Its rows."""
        return self.whole[self.begin : self.end]

    @cached_property
    def lines(self) -> int:
        """How many lines the text has."""
        return line_ends(self.text)


class Parsed(NamedTuple):
    """Typed rows, how many each file has, and whether their times stand in both units."""

    frame: pl.DataFrame
    rows: dict[int, int]
    mixed_units: bool


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


def parse_fast(
    pieces: list[Piece], schema: Schema, limits: Limits = DEFAULT_LIMITS
) -> Parsed | None:
    """Parse the pieces, all of one layout, in one go; None when not every line is in order.

    What is asked of single columns here and in the checks is asked of ``Series``: of a day or a month of bars,
    a query that goes through Polars' threads takes longer than the numbers do.
    """
    text = _joined(pieces)
    # Polars' parser passes over a mark at the begin. A lone \r ends no line for it, and beside a number is nothing.
    if text.startswith(BOM) or lone_returns(text) or _has_longer(text, limits.max_line):
        return None
    columns = pieces[0].layout.columns
    wanted = {column.name: column for column in schema.columns}
    types: dict[str, Any] = {name: _raw_dtype(wanted.get(name)) for name in columns}
    if any(dtype == pl.String for dtype in types.values()) and b"\0" in text:
        return None
    try:
        # Each later step would pay for the pieces in which the parser's threads return a column.
        frame = _empty_as_null(pl.read_csv(text, has_header=False, schema=types).rechunk())
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    if not _accounted(frame, text, wanted):
        return None
    counts = _rows_of(pieces, frame, text, schema)
    if counts is None:
        return None
    mixed = mixed_units_in(frame, schema)
    if mixed and len(pieces) > 1:  # parsed one by one, the files show which it is
        return None
    typed = converted(frame, schema)
    dated = [name for name in columns if name in wanted and wanted[name].kind == "text_time"]
    if any(typed[name].null_count() for name in dated):
        return None
    rows: dict[int, int] = {}
    for piece, count in zip(pieces, counts, strict=True):
        rows[piece.file] = rows.get(piece.file, 0) + count
    return Parsed(typed.hstack(_places(pieces, counts)), rows, mixed)


def _joined(pieces: list[Piece]) -> bytes:
    """Return the text of pieces, without a copy where they stand one behind the other."""
    first, last = pieces[0], pieces[-1]
    if all(a.whole is b.whole and a.end == b.begin for a, b in pairwise(pieces)):
        return first.whole[first.begin : last.end]
    return b"".join(memoryview(piece.whole)[piece.begin : piece.end] for piece in pieces)


def _has_longer(text: bytes, most: int) -> bool:
    r"""Say whether a line has more bytes, looking only at about one line in each ``most`` bytes.

    Examples
    --------
    >>> _has_longer(b"abc\n" * 9, 3), _has_longer(b"abc\nabcd\nab\n", 3)
    (False, True)
    """
    begin = 0
    while len(text) - begin > most:
        begin = text.rfind(b"\n", begin, begin + most + 1) + 1
        if not begin:
            return True
    return False


def _rows_of(
    pieces: list[Piece], frame: pl.DataFrame, text: bytes, schema: Schema
) -> list[int] | None:
    """Return how many rows each piece has; None where there are other than a row a line.

    Only quotes can make Polars' parser see other than a row in each line. Without them all rows of one piece are
    its lines; and where times only rise, a piece begins at the one row that has the time of its first line. Else
    lines are counted, which takes longer than all checks of the values.
    """
    plain = pl.String not in frame.dtypes and b'"' not in text
    if plain and len(pieces) == 1:
        return [frame.height]
    if plain and (begins := _begins(pieces, frame, schema)) is not None:
        return [end - begin for begin, end in pairwise([*begins, frame.height])]
    counts = [piece.lines for piece in pieces]
    return counts if frame.height == sum(counts) else None


def _begins(pieces: list[Piece], frame: pl.DataFrame, schema: Schema) -> list[int] | None:
    """Return the row that each piece begins at, by the time in its first line; None where that says nothing."""
    if schema.time not in frame.columns or not is_rising(times := frame[schema.time]):
        return None
    place = frame.columns.index(schema.time)
    try:
        heads = [piece.whole[piece.begin : piece.begin + _KEPT_TEXT] for piece in pieces]
        firsts = [int(head.split(b",", place + 1)[place]) for head in heads]
        asked = pl.Series(firsts, dtype=times.dtype)
    except (ValueError, IndexError, TypeError, OverflowError, pl.exceptions.PolarsError):
        return None
    begins = _even(firsts, times)
    if begins is None or not (times[begins] == asked).all():
        begins = times.search_sorted(asked)
    found = begins[0] == 0 and begins[-1] < frame.height and is_rising(begins)
    return begins.to_list() if found and (times[begins] == asked).all() else None


def _even(asked: list[int], times: pl.Series) -> pl.Series | None:
    """Return where some times stand if all times are one step apart, as those of bars mostly are."""
    if len(times) < 2:
        return None
    first, step = times[0], times[1] - times[0]
    places = [(time - first) // step for time in asked]
    return pl.Series(places) if min(places) == 0 and max(places) < len(times) else None


def is_rising(values: pl.Series) -> bool:
    """Say whether each value is above the one before it, none of them being null.

    Examples
    --------
    >>> (
    ...     is_rising(pl.Series([1, 2, 4])),
    ...     is_rising(pl.Series([1, 1])),
    ...     is_rising(pl.Series([1, None])),
    ... )
    (True, False, False)
    """
    return not values.has_nulls() and bool(
        (values.slice(1) > values.slice(0, len(values) - 1)).all()
    )


def _places(pieces: list[Piece], counts: list[int]) -> list[pl.Series]:
    """Say of each row of the pieces, one after the other, in which file and line it stands."""
    file, line = (pl.Series(name, [], pl.UInt32) for name in (FILE, LINE))
    numbers = pl.Series([piece.file for piece in pieces], dtype=pl.UInt32)
    for place, (piece, count) in enumerate(zip(pieces, counts, strict=True)):
        file.append(numbers.new_from_index(place, count))
        begin = piece.first_line
        line.append(pl.int_range(begin, begin + count, dtype=pl.UInt32, eager=True))
    file = file.rechunk()
    # To group by a column that is known to be sorted takes Polars a quarter of the time.
    return [file.set_sorted() if numbers.is_sorted() else file, line.rechunk()]


def _raw_dtype(column: Column | None) -> Any:
    if column is None:
        return pl.String
    if column.kind in FLOATS or column.kind == "unused":
        return pl.Float64
    return {"time": pl.Int64, "count": pl.Int64, "id": pl.Int64, "flag": pl.Boolean}.get(
        column.kind, pl.String
    )


def _empty_as_null(frame: pl.DataFrame) -> pl.DataFrame:
    """Make text cells that are a pair of quotes null, as those of numbers are."""
    texts = [cells for cells in frame.get_columns() if cells.dtype == pl.String]
    empty = [pl.col(cells.name) for cells in texts if cells.str.len_bytes().min() == 0]
    return frame.with_columns(pl.when(cell != "").then(cell) for cell in empty) if empty else frame


def _accounted(frame: pl.DataFrame, text: bytes, wanted: dict[str, Column]) -> bool:
    """Whether no cell is empty that may not be, and short lines cannot hide as empty last cells."""
    nulls = dict(zip(frame.columns, frame.null_count().row(0), strict=True))
    if any(count and name in wanted and not wanted[name].nullable for name, count in nulls.items()):
        return False
    last = frame.columns[-1]
    return not nulls[last] or text.count(b",") == frame.height * (frame.width - 1)


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
    parsed = Parsed(
        converted(kept, schema), {piece.file: kept.height}, mixed_units_in(kept, schema)
    )
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


def mixed_units_in(frame: pl.DataFrame, schema: Schema) -> bool:
    """Say whether raw epoch times stand in both units."""
    times = [
        c.name for c in schema.columns if c.kind == "time" and frame.schema.get(c.name) == pl.Int64
    ]
    if not times or not frame.height:
        return False
    if _unit(frame[times[0]]) is not None:
        return False
    size = pl.col(times[0]).abs()
    least, most = frame.select(size.min().alias("least"), size.max().alias("most")).row(0)
    return most is not None and least < MICROSECONDS <= most


def _unit(times: pl.Series) -> int | None:
    """Return how many microseconds the numbers of a column of epoch times count in; None where they differ."""
    least, most = times.min(), times.max()
    if not isinstance(least, int) or not isinstance(most, int):
        return None
    if least >= MICROSECONDS:
        return 1
    return 1000 if least > -MICROSECONDS and most < MICROSECONDS else None


def converted(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Epoch times in either unit, and times as text, to microseconds UTC; stated numbers to null."""
    found: list[pl.Expr | pl.Series] = []
    for column in schema.columns:
        dtype = frame.schema.get(column.name)
        value = pl.col(column.name)
        if column.kind == "time" and dtype == pl.Int64:
            times = frame[column.name]
            if (unit := _unit(times)) is not None:
                found.append((times if unit == 1 else times * unit).cast(_TIME))
                continue
            near = value.is_between(-MICROSECONDS, MICROSECONDS, closed="none")
            found.append(pl.when(near).then(value * 1000).otherwise(value).cast(_TIME))
        elif column.kind == "text_time" and dtype == pl.String:
            found.append(text_time(value))
        elif column.null_numbers and dtype is not None:
            stated = value.is_in(list(column.null_numbers))
            found.append(pl.when(stated).then(None).otherwise(value).alias(column.name))
    if all(isinstance(item, pl.Series) for item in found):
        made = {item.name: item for item in found if isinstance(item, pl.Series)}
        return pl.DataFrame([made.get(column.name, column) for column in frame.get_columns()])
    return frame.with_columns(found)


def text_time(value: pl.Expr) -> pl.Expr:
    """Read ``YYYY-MM-DD HH:MM:SS`` as UTC; null where it is something else."""
    return value.str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False, exact=True
    )


def derived(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Add the schema's derived columns."""
    return (
        frame
        if not schema.derived
        else frame.with_columns(_expression(item) for item in schema.derived)
    )


def _expression(item: Derived) -> pl.Expr:
    """Return how a derived column is made.

    ``date_and_hour``: ``2023-10-20`` and ``01`` make 01:00 UTC of that day. ``strike_expiry`` and
    ``strike_price``: the two halves of ``231229-34000``.
    """
    first = pl.col(item.columns[0])
    if item.how == "date_and_hour":
        text = first + " " + pl.col(item.columns[1]).str.zfill(2) + ":00"
        made = text.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", time_zone="UTC", strict=False)
    elif item.how == "strike_expiry":
        made = first.str.split("-").list.first().str.to_date("%y%m%d", strict=False)
    else:
        made = first.str.split("-").list.get(1, null_on_oob=True).cast(pl.Float64, strict=False)
    return made.alias(item.name)


def with_optional(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Add the schema's columns that no file had, as null (categories as text until the end)."""
    types = schema.silver_dtypes()
    absent = []
    for column in schema.columns:
        dtype = types.get(column.name, pl.String)
        if column.name not in frame.columns:
            plain = pl.String if dtype == pl.Categorical else dtype
            absent.append(pl.lit(None, plain).alias(column.name))
    return frame.with_columns(absent) if absent else frame


def extra_columns(frame: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Return the columns that files had beyond the schema, in alphabetical order."""
    known = {*schema.silver_names, *(column.name for column in schema.columns), FILE, LINE}
    return tuple(sorted(set(frame.columns) - known))


def silver_shape(frame: pl.DataFrame, schema: Schema, extras: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return Silver's columns, in order and typed; extra ones last, as text."""
    types = schema.silver_dtypes()
    wanted = {**types, **dict.fromkeys(extras, pl.String)}
    return pl.DataFrame([frame[name].cast(dtype) for name, dtype in wanted.items()])
