"""Columns made of others, and the final shape of a Silver frame: names, order and types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.silver.parse import FILE, LINE

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Derived, Schema


def derived(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Add the schema's derived columns."""
    return frame.with_columns(_expression(item) for item in schema.derived)


def with_optional(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Add the schema's columns that no file had, as null (categories as text until the end)."""
    types = schema.silver_dtypes()
    absent = []
    for column in schema.columns:
        dtype = types.get(column.name, pl.String)
        if column.name not in frame.columns:
            plain = pl.String if dtype == pl.Categorical else dtype
            absent.append(pl.lit(None, plain).alias(column.name))
    return frame.with_columns(absent)


def extra_columns(frame: pl.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Return the columns that files had beyond the schema, in alphabetical order."""
    known = {*schema.silver_names, *(column.name for column in schema.columns), FILE, LINE}
    return tuple(sorted(set(frame.columns) - known))


def silver_shape(frame: pl.DataFrame, schema: Schema, extras: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return Silver's columns, in order and typed; extra ones last, as text."""
    types = schema.silver_dtypes()
    kept = [pl.col(name).cast(dtype) for name, dtype in types.items()]
    return frame.select(*kept, *(pl.col(name).cast(pl.String) for name in extras))


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
