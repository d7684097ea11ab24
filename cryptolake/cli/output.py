"""What the commands print: frames and SQL results as tables for people, as JSON for scripts."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import typer

from cryptolake.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from cryptolake.lake import Lake
    from cryptolake.planning.plan import Plan

_WIDE = 10_000


def table(frame: pl.DataFrame, limit: int | None = None) -> None:
    """Print a frame whole, or its first ``limit`` rows and how many there are."""
    import polars as pl

    shown = frame if limit is None else frame.head(limit)
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    shown = shown.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.join(" "))
    # What a pipe reads must not depend on a terminal's width.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    with pl.Config(
        tbl_formatting="NOTHING",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=width,
        fmt_str_lengths=_WIDE,
        fmt_table_cell_list_len=-1,
    ):
        typer.echo("\n".join(line.rstrip() for line in str(shown).splitlines()))
    if frame.is_empty():
        typer.echo(" (nothing)")
    elif shown.height < frame.height:
        typer.echo(f" … {shown.height:,} of {frame.height:,} rows")


def either(frame: pl.DataFrame, *, json: bool) -> None:
    """Print a frame as JSON or as a table."""
    if json:
        as_json(frame)
    else:
        table(frame)


def absence(lake: Lake, *, json: bool) -> None:
    """Say that there is no lake at the root yet, where that is so; beside JSON, not in it.

    Raises
    ------
    StorageError
        There can be none.
    """
    if not lake.storage.begun():
        typer.echo(f"no lake at {lake.root} yet: cryptolake pull makes one", err=json)


def as_json(value: Any) -> None:
    """Print a value as one JSON document; times are ISO 8601, frames are lists of objects."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


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
        typer.echo(f"{between}{json.dumps(plain(row), ensure_ascii=False)}", nl=False)
        between = ",\n "
    typer.echo("[]" if between == "[" else "]")


def rows(names: Sequence[str], found: Sequence[Sequence[Any]], limit: int) -> None:
    """Print the first rows of an SQL result as a table; a statement's bare success is silence."""
    import polars as pl

    if not found and list(names) in ([], ["Success"]):
        return
    columns = [
        pl.Series(name, [plain(row[at]) for row in found[:limit]], strict=False)
        for at, name in enumerate(names)
    ]
    table(pl.DataFrame(columns))
    if len(found) > limit:
        typer.echo(" … and more rows: --limit shows them, --output keeps all")


def plan(made: Plan) -> None:
    """Print a plan: its totals by dataset, and the periods that are not published."""
    typer.echo(str(made))
    if not made.missing_periods.is_empty():
        typer.echo("\nnot published:")
        table(made.missing_periods, limit=20)


def kind_of(output: Path) -> str:
    """Return what kind of file a name asks for: ``.parquet`` or ``.csv``; others are refused."""
    if output.suffix not in {".parquet", ".csv"}:
        message = f"cannot write {output.name!r}: give a name that ends in .parquet or .csv"
        raise typer.BadParameter(message)
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
        message = f"cannot write {str(output)!r}: {error.strerror or error}"
        raise StorageError(message, path=output) from None
    typer.echo(f"wrote {output}", err=True)
