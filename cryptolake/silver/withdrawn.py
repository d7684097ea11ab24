"""A month that has rows of a file that the archive has withdrawn: whether other files of it have all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.readers.scans import scan_files
from cryptolake.silver.assembly import Finding

if TYPE_CHECKING:
    from pathlib import Path

    from cryptolake.archive.schemas import Schema
    from cryptolake.silver.months import Month
    from cryptolake.storage.files import Storage

KIND = "withdrawn_file"
"""The kind of the finding of a file whose rows other files of its month have."""

_TOGETHER = 500_000
"""Rows that are compared at a time: a day of trades has millions."""

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_MADE, _THERE = "_made", "_there"


def covered(
    storage: Storage, month: Month, made: Path | bytes, keys: set[str]
) -> list[Finding] | None:
    """Return a finding for each of some files; None where a row of theirs that stands is not in a month made anew.

    ``made`` is the Parquet file of that month. Rows are compared by their keys, in the periods of the files.
    """
    new = pl.scan_parquet(
        BytesIO(made) if isinstance(made, bytes) else made, glob=False, hive_partitioning=False
    )
    try:
        both = _Both(scan_files(storage, [month.path]), new, month.series.schema)
        found = [both.finding(key, *_span(month, key)) for key in sorted(keys)]
    except _UNREADABLE:  # what stands cannot be compared
        return None
    known = [finding for finding in found if finding is not None]
    return known if len(known) == len(found) else None


def _span(month: Month, key: str) -> tuple[datetime, datetime]:
    """Return the first instant that rows of a file may have, and the first that they may not."""
    parsed = parse_key(key)
    if parsed is None:
        return month.period.days.begin, month.period.days.end
    early, late = month.series.schema.tolerance(month.series.interval)
    days = parsed.period.days
    return days.begin - timedelta(seconds=early), days.end + timedelta(seconds=late)


class _Both(NamedTuple):
    """The month that stands and the one made anew."""

    old: pl.LazyFrame
    new: pl.LazyFrame
    schema: Schema

    def finding(self, key: str, begin: datetime, end: datetime) -> Finding | None:
        """Return what there is to say of a file whose rows lie in a span; None where one would be lost."""
        time = pl.col(self.schema.time)
        inside = self.old.filter(time.is_between(begin, end, closed="left"))
        rows, first, last = (
            inside.select(pl.len(), first=time.min(), last=time.max()).collect().row(0)
        )
        step = (end - begin) / (rows // _TOGETHER + 1)
        differ, at = 0, begin
        while at < end:
            until = min(at + step, end)
            changed = self._changed(time.is_between(at, until, closed="left"))
            if changed is None:
                return None
            differ, at = differ + changed, until
        detail = "the archive has withdrawn it; other files of the month have all its rows"
        if differ:
            detail += f", {differ:,} of them with other values"
        return Finding(KIND, key, rows, first, last, detail)

    def _changed(self, part: pl.Expr) -> int | None:
        """Return how many rows of a part have other values now; None where one is lacking."""
        key = list(self.schema.key)
        text = pl.col(pl.Categorical).cast(pl.String)  # two files number their words differently
        old, new = (
            frame.filter(part).with_columns(text).collect() for frame in (self.old, self.new)
        )
        there = new.with_columns(pl.lit(value=True).alias(_THERE))
        both = old.join(there, on=key, how="left", suffix=_MADE, nulls_equal=True)
        if both[_THERE].null_count():
            return None
        values = [name for name in self.schema.silver_names if f"{name}{_MADE}" in both.columns]
        differs = [pl.col(name).ne_missing(pl.col(f"{name}{_MADE}")) for name in values]
        return both.filter(pl.any_horizontal(differs)).height if differs else 0
