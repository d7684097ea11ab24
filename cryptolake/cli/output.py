"""What the commands print: frames and SQL results as tables for people, as JSON for scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import typer

from cryptolake.cli.mistakes import in_options
from cryptolake.errors import StorageError, printable
from cryptolake.user_files import user_path

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from cryptolake.lake import Lake
    from cryptolake.planning.plan import Plan
    from cryptolake.query import Query

_WIDE = 10_000
_NUMBER = re.compile(r"(\d) ((?:[kMGT]?B|s|min|h|d)\b)")


def echo(said: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text; no sign in it, whoever named what it tells of, moves the cursor or colours the terminal."""
    typer.echo(printable(said), err=err, nl=nl)


def table(
    frame: pl.DataFrame,
    limit: int | None = None,
    *,
    about: Sequence[str] = (),
    nothing: str = "nothing",
    plain: bool = False,
) -> None:
    """Print a frame whole, or its first ``limit`` rows and how many there are.

    A terminal's width is kept (:mod:`cryptolake.cli.tables`); what a pipe reads does not depend on one, unless
    ``COLUMNS`` is in its environment.
    """
    if frame.is_empty():
        text(f"({nothing})", " ")
        return
    echo("\n".join(lines_of(frame, limit, width=terminal_width(), about=about, plain=plain)))


def lines_of(
    frame: pl.DataFrame,
    limit: int | None = None,
    *,
    width: int,
    about: Sequence[str] = (),
    plain: bool = False,
) -> Iterator[str]:
    """Yield the lines of a table of some width, and what was left out of it."""
    from rich.console import Console

    from cryptolake.cli.tables import columns_of, fitted, laid_out

    shown = frame if limit is None else frame.head(limit)
    columns, left_out = fitted(columns_of(shown, plain=plain), width, about)
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(laid_out(columns, width))
    yield from (line.rstrip() for line in capture.get().splitlines())
    if left_out:
        yield _rest(f"left out for the width: {', '.join(left_out)}", width)
    if shown.height < frame.height:
        yield _rest(f"{shown.height:,} of {frame.height:,} rows", width)


def terminal_width(*, err: bool = False) -> int:
    """Return the width that tables keep; that of messages on standard error where a person reads them."""
    asked = sys.stderr.isatty() if err else sys.stdout.isatty() or "COLUMNS" in os.environ
    return max(shutil.get_terminal_size().columns, 20) if asked else _WIDE


def _rest(text: str, width: int) -> str:
    return folded(f"… {text}", width, "  ")


def text(said: str, indent: str = "  ", *, err: bool = False) -> None:
    """Print lines; one that is longer than the terminal goes on below, indented. Queries are said in options."""
    width = terminal_width(err=err)
    lines = in_options(said).splitlines()
    echo("\n".join(folded(line, width, indent) for line in lines), err=err)


def folded(line: str, width: int, indent: str = "  ") -> str:
    """Return a line in as many as a width asks for; no word is broken, and no number parted from its unit.

    Examples
    --------
    >>> print(folded("moved 215.8 kB", 12))
    moved
      215.8 kB
    >>> print(folded("a table of four columns", 12))
    a table of
      four
      columns
    """
    if len(line) <= width:
        return line
    kept = _NUMBER.sub("\\1\u00a0\\2", line)
    wrapped = textwrap.fill(
        kept, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapped.replace("\u00a0", " ")


def either(
    frame: pl.DataFrame,
    *,
    json: bool,
    about: Sequence[str] = (),
    nothing: str = "nothing",
    lake: Lake | None = None,
) -> None:
    """Print a frame as JSON or as a table; of a ``lake``, an empty one says where there is none yet."""
    if json and lake is not None:
        absence(lake, json=True)
    if json:
        as_json(frame)
    else:
        table(frame, about=about, nothing=nothing_in(lake, nothing))


def no_gaps(query: Query) -> str:
    """Return what no gaps mean: whole bars, or data that has none."""
    if any(row.has_interval for row in query.selection.rows()):
        return "no gaps"
    return (
        "only bars have gaps; cryptolake ids has the holes of trades, cryptolake quality the rest"
    )


def in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose queries are said in options, and whose ids are their first letters, for a table."""
    import polars as pl

    words = {"query": pl.col("query").map_elements(in_options, return_dtype=pl.String)}
    words["id"] = pl.col("id").str.head(12) if "id" in frame.columns else pl.lit(None)
    return frame.with_columns(
        **{name: made for name, made in words.items() if name in frame.columns}
    )


def absence(lake: Lake, *, json: bool) -> None:
    """Say that there is no lake at the root yet, where that is so; beside JSON, not in it.

    Raises
    ------
    StorageError
        There can be none.
    """
    if not lake.storage.begun():
        echo(nothing_in(lake), err=json)


def nothing_in(lake: Lake | None, nothing: str = "") -> str:
    """Return what it means that a lake holds nothing of a kind: there is no lake yet, or ``nothing``."""
    if lake is None or (nothing and lake.storage.begun()):
        return nothing
    return f"no lake at {lake.root} yet: cryptolake pull makes one"


def as_json(value: Any) -> None:
    """Print a value as one JSON document; times are ISO 8601, frames are lists of objects."""
    typer.echo(_json(plain(value), indent=2))


def _json(value: Any, indent: int | None = None) -> str:
    """Return JSON in which signs that a terminal acts upon are escaped, as JSON escapes most of them itself."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if printable(text) == text:
        return text
    signs = (sign if printable(sign) == sign else json.dumps(sign)[1:-1] for sign in text)
    return "".join(signs)


def plain(value: Any) -> Any:
    """Return a value in JSON's own types.

    Examples
    --------
    >>> from datetime import UTC
    >>> plain({"at": datetime(2024, 1, 1, tzinfo=UTC), "day": date(2024, 1, 1), "n": float("nan")})
    {'at': '2024-01-01T00:00:00+00:00', 'day': '2024-01-01', 'n': None}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON knows no NaN and no infinity
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "iter_rows"):
        return [plain(row) for row in value.iter_rows(named=True)]
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(inner) for inner in value]
    return str(value)


def rows_as_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as a JSON list, one object a line, as they come."""
    between = "["
    for row in rows:
        typer.echo(f"{between}{_json(plain(row))}", nl=False)
        between = ",\n "
    typer.echo("[]" if between == "[" else "]")


def rows(names: Sequence[str], found: Sequence[Sequence[Any]], limit: int) -> None:
    """Print the first rows of an SQL result as a table; a statement's bare success is silence."""
    import polars as pl

    if not found and list(names) in ([], ["Success"]):
        return
    columns = [
        pl.Series(name, [_sql_cell(row[at]) for row in found[:limit]], strict=False)
        for at, name in enumerate(names)
    ]
    table(pl.DataFrame(columns), plain=True)
    if len(found) > limit:
        echo(_rest("and more rows: --limit shows them, --output keeps all", terminal_width()))


def _sql_cell(value: Any) -> Any:
    return value if isinstance(value, datetime) else plain(value)


def plan(made: Plan) -> None:
    """Print a plan: its totals by dataset, and the periods that are not published."""
    text(str(made))
    if not made.missing_periods.is_empty():
        typer.echo("\nnot published:")
        table(made.missing_periods, limit=20)


def kind_of(output: Path) -> str:
    """Return what kind of file a name asks for: ``.parquet`` or ``.csv``; others are refused.

    Raises
    ------
    StorageError
        There is no such folder, or the name is a folder's.
    """
    if output.suffix not in {".parquet", ".csv"}:
        message = f"cannot write {output.name!r}: give a name that ends in .parquet or .csv"
        raise typer.BadParameter(message)
    output = user_path(output)
    if output.is_dir() or not output.parent.is_dir():
        why = "it is a folder" if output.is_dir() else f"there is no folder {str(output.parent)!r}"
        message = f"cannot write {str(output)!r}: {why}."
        raise StorageError(message, path=output)
    return output.suffix


def keep(frame: pl.DataFrame, output: Path) -> None:
    """Write a frame to a file.

    Raises
    ------
    StorageError
        It cannot be written there.
    """
    try:
        if kind_of(output) == ".csv":
            frame.write_csv(output)
        else:
            frame.write_parquet(output, compression="zstd")
    except OSError as error:
        message = f"cannot write {str(output)!r}: {error.strerror or error}."
        raise StorageError(message, path=output) from None
    echo(f"wrote {output}", err=True)
