"""Rows of several files to one sorted month without repeats, the same whatever order the files came in.

Of rows with the same key one stays: the one whose file's own period holds its time, then a daily
file's before a monthly one's, then the first file and line. A repeat that agrees is a duplicate; one that
differs is also a finding, since the archive then says two things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Partition
from cryptolake.silver.parse import FILE, LINE, is_rising

if TYPE_CHECKING:
    from cryptolake.archive.periods import Period
    from cryptolake.archive.schemas import Schema

_RANK = "_rank"


class Conflict(NamedTuple):
    """Rows of one file that say otherwise than the rows that were kept for the same key."""

    file: int
    against: int
    rows: int
    first: datetime
    last: datetime
    example: str


@dataclass
class Merged:
    """A sorted frame without repeats; per file, how many rows went; and where repeats disagreed."""

    frame: pl.DataFrame
    duplicates: dict[int, int] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)


def merge(frame: pl.DataFrame, schema: Schema, periods: Sequence[Period]) -> Merged:
    """Sort by the schema's order and keep one row of each key. ``periods``: by file number."""
    if in_order(frame, schema):
        return Merged(frame)
    repeated = _repeated(frame, schema)
    if not repeated.any():
        return Merged(frame.sort(schema.sort))
    marked = frame.with_columns(repeated.alias(_RANK))
    apart = marked.filter(pl.col(_RANK)).drop(_RANK)
    ranked = _ranked(apart, schema, periods).sort([_RANK, FILE, LINE]).drop(_RANK)
    kept = ranked.unique(list(schema.key), keep="first", maintain_order=True)
    dropped = ranked.join(kept.select(FILE, LINE), on=[FILE, LINE], how="anti")
    whole = pl.concat([marked.filter(~pl.col(_RANK)).drop(_RANK), kept]).sort(schema.sort)
    counts = dropped.group_by(FILE).len().rows()
    return Merged(whole, dict(counts), _conflicts(dropped, kept, schema))


def in_order(frame: pl.DataFrame, schema: Schema) -> bool:
    """Whether rows already stand in the schema's order, each key once (checked without sorting)."""
    if frame.height < 2:
        return True
    if len(schema.sort) == 1 and schema.sort[0] in schema.key:
        return is_rising(frame[schema.sort[0]])
    rising = _strictly_rising(list(schema.sort))
    if set(schema.sort) <= set(schema.key):
        return bool(frame.select(rising.all()).item())
    # The key begins with a running number: when it rises throughout and time never falls, all is in order.
    first = pl.col(schema.sort[0])
    if not frame.select((first >= first.shift()).slice(1).all()).item():
        return False
    key = list(schema.key)
    return any(bool(frame.select(_strictly_rising(names).all()).item()) for names in (key[:1], key))


def reused_ids(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the rows, each key once, whose running number another row has too: one id, several trades.

    Examples
    --------
    >>> from cryptolake.archive.schemas import schema_of
    >>> rows = pl.DataFrame(
    ...     {
    ...         "agg_trade_id": [7, 8, 8],
    ...         "first_trade_id": [10, 11, 12],
    ...         "last_trade_id": [10, 11, 12],
    ...     }
    ... )
    >>> reused_ids(rows, schema_of("spot", "aggTrades"))["last_trade_id"].to_list()
    [11, 12]
    """
    if schema.data_type is not DataType.AGG_TRADES or schema.id is None or frame.height < 2:
        return frame.clear()
    number = pl.col(schema.id)
    if frame.select((number > number.shift()).slice(1).all()).item():
        return frame.clear()
    return frame.filter(number.is_duplicated())


def _repeated(frame: pl.DataFrame, schema: Schema) -> pl.Series:
    """Return which rows share their key with another one."""
    key = list(schema.key)
    if schema.id in key and len(key) > 1:  # an id alone is compared faster, and rarely comes twice
        alone = frame[schema.id].is_duplicated()
        if not alone.any():
            return alone
    return frame.select(pl.struct(key).is_duplicated()).to_series()


def _strictly_rising(names: list[str]) -> pl.Expr:
    """Return what is true of each row (but the first) that comes after the one before it, column by column."""
    return _above(names).slice(1)


def _above(names: list[str]) -> pl.Expr:
    name, *rest = names
    column = pl.col(name)
    above = column > column.shift()
    return above | ((column == column.shift()) & _above(rest)) if rest else above


def _ranked(frame: pl.DataFrame, schema: Schema, periods: Sequence[Period]) -> pl.DataFrame:
    bounds = pl.DataFrame(
        {
            FILE: range(len(periods)),
            "_begin": [period.days.begin for period in periods],
            "_end": [period.days.end for period in periods],
            "_monthly": [period.partition is Partition.MONTHLY for period in periods],
        },
        schema={
            FILE: pl.UInt32,
            "_begin": pl.Datetime("us", "UTC"),
            "_end": pl.Datetime("us", "UTC"),
            "_monthly": pl.Boolean,
        },
    )
    time = pl.col(schema.time)
    foreign = (time < pl.col("_begin")) | (time >= pl.col("_end"))
    rank = foreign.cast(pl.Int8) * 2 + pl.col("_monthly").cast(pl.Int8)
    joined = frame.join(bounds, on=FILE, how="left", maintain_order="left")
    return joined.with_columns(rank.alias(_RANK)).drop("_begin", "_end", "_monthly")


def _conflicts(dropped: pl.DataFrame, kept: pl.DataFrame, schema: Schema) -> list[Conflict]:
    values = [
        name for name in schema.silver_names if name not in schema.key and name in dropped.columns
    ]
    if not values:
        return []
    pairs = dropped.join(kept, on=list(schema.key), how="inner", suffix="_kept", nulls_equal=True)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_kept")) for name in values)
    apart = pairs.filter(differs).sort(*schema.sort, FILE, LINE)
    found = []
    for (file, against), rows in apart.group_by([FILE, f"{FILE}_kept"], maintain_order=True):
        row = rows.row(0, named=True)
        changed = [name for name in values if row[name] != row[f"{name}_kept"]]
        key = ", ".join(f"{name} {row[name]}" for name in schema.key)
        differences = ", ".join(
            f"{name} {row[f'{name}_kept']} against {row[name]}" for name in changed[:4]
        )
        times = rows[schema.time]
        first, last = times.min(), times.max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            example = f"at {key}: {differences}"
            found.append(
                Conflict(int(str(file)), int(str(against)), rows.height, first, last, example)
            )
    return found
