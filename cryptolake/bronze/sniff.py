"""What a file's text is, seen in its first lines: a header or not, and which column stands where.

The archive's format drifts with re-uploads, so nothing is taken from a file's date. The first byte says
whether there is a header (a digit: none); names, or the number of cells, say which columns there are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptolake.errors import SchemaMismatch

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Schema

BOM = b"\xef\xbb\xbf"
_LOOK = 64 * 1024
_RESERVED = frozenset({"market", "data_type", "symbol", "interval", "key"})


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one file by position, under their Silver names, and where its rows begin.

    ``columns`` has a name for every cell of a line: a schema's column, or one of ``extras``. ``skip``
    bytes come before the first row, which is line ``first_line`` of the file (counted from 1).
    """

    columns: tuple[str, ...]
    extras: tuple[str, ...]
    missing: tuple[str, ...]
    skip: int
    first_line: int
    warnings: tuple[str, ...] = ()


def detect(head: bytes, schema: Schema, key: str) -> Layout:
    r"""See the layout of a file from its first bytes (a few lines are enough).

    Raises
    ------
    SchemaMismatch
        A required column is absent or named twice, or no line looks like the dataset's.

    Examples
    --------
    >>> from cryptolake.archive.schemas import schema_of
    >>> funding = schema_of("futures_um", "fundingRate")
    >>> detect(b"1775001600000,8,-0.00003449\n", funding, "a.zip").first_line
    1
    >>> text = b"calc_time,funding_interval_hours,last_funding_rate\n1775001600000,8,-0.0001\n"
    >>> detect(text, funding, "a.zip").columns
    ('time', 'funding_interval_hours', 'funding_rate')
    """
    warnings: list[str] = []
    skip = 0
    if head.startswith(BOM):
        skip = len(BOM)
        warnings.append("byte_order_mark")
    blank = head[skip : len(head) - len(head[skip:].lstrip(b"\r\n"))]
    first_line = 1 + line_ends(blank)
    skip += len(blank)
    look = head[skip : skip + _LOOK]
    first = _first_line(look)
    header = False
    if not first.strip():
        columns, extras, missing = _of_count(len(schema.columns), schema, key)
    else:
        names, known = ([], {}) if first[:1].isdigit() else (_names(first), _spellings(schema))
        header = any(name in known for name in names)
        if header:
            columns, extras, missing = _of_names(names, known, schema, key)
            skip += len(first)
            skip += 2 if head[skip : skip + 2] == b"\r\n" else 1
        else:
            columns, extras, missing = _of_count(_cells(first, look, schema), schema, key)
            if not first[:1].isdigit():
                warnings.append("unreadable_first_line")
    warnings += [f"extra_column:{name}" for name in extras]
    warnings += [f"missing_column:{name}" for name in missing]
    return Layout(
        columns,
        extras,
        missing,
        skip=min(skip, len(head)),
        first_line=first_line + header,
        warnings=tuple(warnings),
    )


def line_ends(text: bytes) -> int:
    r"""Count the line ends of a text, of any kind.

    Examples
    --------
    >>> line_ends(b"a\r\nb\rc\n\r\r\n")
    5
    """
    return text.count(b"\n") + lone_returns(text)


def lone_returns(text: bytes) -> int:
    r"""Count the ``\r`` without a ``\n`` behind it: each ends a line.

    Examples
    --------
    >>> lone_returns(b"a\r\nb\rc\n\r\r\n")
    2
    """
    if b"\r" not in text:  # ten times faster than to count none
        return 0
    return text.count(b"\r") - text.count(b"\r\n")


def _names(line: bytes) -> list[str]:
    cells = line.decode("latin-1").split(",")
    return [cell.strip().strip('"').strip().lower() for cell in cells]


def is_header(line: bytes, schema: Schema) -> bool:
    """Say whether a line is a header of the dataset: no digit first, and only column names."""
    if line[:1].isdigit() or len(line) > _LOOK:
        return False
    known = _spellings(schema)
    names = _names(line)
    return sum(name in known for name in names) * 2 > len(names)


def _first_line(text: bytes) -> bytes:
    end = text.find(b"\n")
    line = text[:end] if end >= 0 else text
    return line.split(b"\r", 1)[0]


def _cells(first: bytes, look: bytes, schema: Schema) -> int:
    """Count the cells of a line: of the first one when they fit, else the commonest number."""
    wanted = len(schema.columns)
    if first[:1].isdigit() and first.count(b",") + 1 == wanted:
        return wanted
    lines = re.split(rb"\r\n|\n|\r", look)
    whole = lines[:-1] if len(lines) > 1 else lines
    counts = Counter(line.count(b",") + 1 for line in whole[:200] if line[:1].isdigit())
    return counts.most_common(1)[0][0] if counts else wanted


def _spellings(schema: Schema) -> dict[str, str]:
    known = {column.name: column.name for column in schema.columns}
    return known | {
        name.lower(): column.name for column in schema.columns for name in column.published
    }


def _of_names(
    names: Sequence[str], known: dict[str, str], schema: Schema, key: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    columns: list[str] = []
    extras: list[str] = []
    taken = {*schema.silver_names, *(column.name for column in schema.columns), *_RESERVED}
    for place, name in enumerate(names, start=1):
        if name in known and known[name] not in columns:
            columns.append(known[name])
            continue
        if name in known:
            message = f"{key} names its column {name!r} twice; a header names each column once."
            raise SchemaMismatch(message, key=key, dataset=schema.dataset, column=name)
        plain = re.sub(r"[^a-z0-9]+", "_", name).strip("_") or f"extra_{place}"
        while plain in taken or plain in columns:
            plain = f"extra_{plain}"
        columns.append(plain)
        extras.append(plain)
    missing = tuple(column.name for column in schema.columns if column.name not in columns)
    _optional(missing, schema, key, f"its header is {', '.join(names)[:300]}")
    return tuple(columns), tuple(extras), missing


def _of_count(
    cells: int, schema: Schema, key: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    names = tuple(column.name for column in schema.columns)
    extras = tuple(f"extra_{place}" for place in range(len(names) + 1, cells + 1))
    missing = names[cells:]
    _optional(missing, schema, key, f"it has no header, and {cells} cells a line")
    return names[:cells] + extras, extras, missing


def _optional(missing: Sequence[str], schema: Schema, key: str, seen: str) -> None:
    needed = [name for name in missing if schema.column(name).required]
    if needed:
        published = ", ".join(schema.column(name).published[0] for name in needed)
        message = (
            f"{key} lacks the required column {published}; {seen}. "
            f"{schema.dataset} has {', '.join(schema.published_names)}."
        )
        raise SchemaMismatch(
            message, key=key, dataset=schema.dataset, column=needed[0], missing=tuple(needed)
        )
