"""Which bars one Bronze file has: only the first column of its CSV is read, piece by piece."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.bronze.zips import inflate_chunks
from cryptolake.quality.gaps import bar_number

if TYPE_CHECKING:
    from cryptolake.archive.enums import Interval
    from cryptolake.storage.files import Storage

_MICROSECONDS = 10**14
"""Epoch times from here on are microseconds, below it milliseconds."""


def bars_of_file(storage: Storage, key: str, interval: Interval) -> pl.Series:
    """Return the sorted, unique bar numbers of a kline file in Bronze.

    Lines whose first field is no number (headers, damage) have no bar.

    Raises
    ------
    CorruptArchive
        The file is no zip of one CSV.
    """
    parts = []
    rest = b""
    for chunk in inflate_chunks(BytesIO(storage.read(f"bronze/{key}")), key):
        text, newline, tail = (rest + chunk).rpartition(b"\n")
        if newline:
            parts.append(_bars(text, interval))
        rest = tail
    if rest:
        parts.append(_bars(rest, interval))
    return pl.concat([pl.Series("bar", [], dtype=pl.Int64), *parts]).unique().sort()


def opens_of_text(first_fields: pl.Expr) -> pl.Expr:
    """Return the times that the first fields of kline lines say, null where they say none."""
    number = first_fields.str.strip_chars().cast(pl.Int64, strict=False)
    micros = pl.when(number < _MICROSECONDS).then(number * 1000).otherwise(number)
    return micros.cast(pl.Datetime("us", "UTC"))


def _bars(text: bytes, interval: Interval) -> pl.Series:
    lines = pl.read_csv(
        BytesIO(text),
        has_header=False,
        columns=[0],
        infer_schema=False,
        quote_char=None,
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )
    opens = lines.select(opens_of_text(pl.first()).alias("open")).drop_nulls()
    return opens.select(bar_number(pl.col("open"), interval).alias("bar"))["bar"].unique()
