"""A frame as a table of a given width: no word is broken, and no line is longer than that.

Where a table is wider than the terminal, texts of several words take more lines, and then columns are left out: those
without any value first, then from the right, but for the columns that a command says it is about. A last line
names them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from cryptolake.errors import printable
from cryptolake.render.html import seconds, size

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

GAP = 2


@dataclass(frozen=True)
class TextColumn:
    """A column as it is printed."""

    name: str
    cells: tuple[str, ...]
    right: bool
    folds: bool = True

    @property
    def full(self) -> int:
        """The width at which every cell stands on one line."""
        return max(map(_length, (self.name, *self.cells)))

    @property
    def least(self) -> int:
        """The width below which a word, a number with its unit or a time would be broken."""
        if not self.folds:
            return self.full
        words = (word for cell in self.cells for word in cell.split())
        return max(map(_length, (self.name, *words)))

    @property
    def empty(self) -> bool:
        """Whether no row has a value."""
        return not any(self.cells)


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def columns_of(frame: pl.DataFrame, *, plain: bool = False) -> list[TextColumn]:
    """Return a frame's columns as text.

    Parameters
    ----------
    frame
        Any frame; lists become their words.
    plain
        Numbers as they are, for rows that a person asked for in SQL; else counts in groups of three digits, bytes
        and seconds in their units.
    """
    found = []
    for name, dtype in frame.schema.items():
        cells = tuple(cell(value, name, plain=plain) for value in frame[name].to_list())
        right = dtype.is_numeric() or dtype.is_decimal()
        found.append(TextColumn(name, cells, right, folds=not (right or dtype.is_temporal())))
    return found


def cell(value: Any, name: str = "", *, plain: bool = False) -> str:
    """Return one value as text.

    Examples
    --------
    >>> from datetime import UTC
    >>> cell(1234567, "rows"), cell(1234567, "bytes"), cell(1234567, "first_id")
    ('1,234,567', '1.2 MB', '1234567')
    >>> cell(datetime(2025, 1, 2, tzinfo=UTC)), cell(True), cell(None), cell(["1m", "1h"])
    ('2025-01-02 00:00:00Z', 'yes', '', '1m 1h')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        whole = value.replace(microsecond=0) if not plain else value
        return whole.isoformat(" ").replace("+00:00", "Z")
    if isinstance(value, int | float) and not plain:
        return _measure(value, name)
    if isinstance(value, list | tuple):
        return " ".join(cell(inner, plain=True) for inner in value)
    text = " ".join(str(value).split()) if isinstance(value, str) and not plain else str(value)
    return printable(text)


def _measure(value: float, name: str) -> str:
    if name == "bytes" or name.endswith("_bytes"):
        return size(value)
    if name == "seconds":
        return seconds(value)
    if isinstance(value, int):
        return str(value) if name.endswith("id") else f"{value:,}"
    return f"{value:,.6g}"


def fitted(
    columns: Sequence[TextColumn], width: int, about: Collection[str] = ()
) -> tuple[list[TextColumn], list[str]]:
    """Choose the columns that a width has room for.

    Parameters
    ----------
    columns
        All of them; at least one stays.
    width
        Of the terminal, in characters.
    about
        Names of columns that are left out last.

    Returns
    -------
    tuple
        The columns that stay, in their order, and the names of the others.

    Examples
    --------
    >>> wide = [TextColumn(name, ("x" * 30,), False) for name in ("a", "b", "c")]
    >>> kept, left_out = fitted(wide, 70, about=("c",))
    >>> [column.name for column in kept], left_out
    (['a', 'c'], ['b'])
    """
    kept = list(columns)
    order = sorted(
        range(len(columns)),
        key=lambda at: (columns[at].name in about, not columns[at].empty, -at),
    )
    for at in order[:-1]:
        if _least(kept) <= width:
            break
        kept.remove(columns[at])
    names = {column.name for column in kept}
    return kept, [column.name for column in columns if column.name not in names]


def _least(columns: Iterable[TextColumn]) -> int:
    return sum(column.least + GAP for column in columns) - GAP


def widths(columns: Sequence[TextColumn], width: int) -> list[int]:
    """Share a width among columns that fit: each its longest word, then whole lines from the left."""
    left = max(width - _least(columns), 0)
    found = []
    for column in columns:
        more = min(left, column.full - column.least)
        found.append(min(column.least + more, width))
        left -= more
    return found


def laid_out(columns: Sequence[TextColumn], width: int) -> Table:
    """Return the table of columns that fit, for a console of that width."""
    from rich.table import Table

    cells: list[list[str]] = []
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for column, wide in zip(columns, widths(columns, width), strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.name, width=wide, justify=justify, no_wrap=True)
        cells.append([_lines(text, wide) for text in column.cells])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _lines(text: str, width: int) -> str:
    """Put each word on the line where it has room (rich's own way loses a wide letter before a space)."""
    if _length(text) <= width:
        return text
    lines: list[str] = []
    for word in text.split():
        if lines and _length(lines[-1]) + 1 + _length(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
