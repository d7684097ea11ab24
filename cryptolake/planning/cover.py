"""The cheapest set of files for a range of days: monthly files for whole months, daily ones elsewhere.

Pure, and a few joins over whole frames instead of a loop over files. The rules, for each folder (a
symbol, and an interval where there is one) and each calendar month of the range:

1. the whole month is asked for and its monthly file exists: the monthly file;
2. only a part is asked for: the daily files, unless one that the symbol's life calls for is absent and
   the monthly file exists: then the monthly file;
3. no monthly file: the daily files.

A day that no chosen file covers is reported with its reason (:data:`REASONS`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days

REASONS = {
    "not_listed": "before the archive's first file of the symbol, between two listings, or not there at all",
    "not_published": "a hole: the archive has files before and after, and none for this period",
    "not_yet_published": "after the newest file, which is as new as the archive's: it may still come",
    "delisted": "after the symbol's last file, where the archive goes on with others",
    "delivered": "after the delivery of the contract",
    "interval_stopped": "after the last file of the interval, where the symbol goes on in others",
    "discontinued": "after the last day the archive published the data type at all",
}
"""Why a period has no file."""

FOLDER = {
    "folder": pl.UInt32,
    "daily": pl.Boolean,
    "monthly": pl.Boolean,
    "first_daily": pl.Date,
    "more_daily": pl.Boolean,
    "ends": pl.Date,
}
"""What the cover needs to know of a folder: its number, the partitions it can have, its first daily
file ever, whether daily files go on after those given, and the day its data type was discontinued."""

_FRESH_DAILY = timedelta(days=14)
_FRESH_MONTHLY = timedelta(days=62)


class Cover(NamedTuple):
    """The chosen files, and the periods that none covers."""

    files: pl.DataFrame
    missing: pl.DataFrame


def cover(folders: pl.DataFrame, files: pl.DataFrame, days: Days, asof: date) -> Cover:
    """Choose the files that cover every folder's days once.

    Parameters
    ----------
    folders
        One row per folder, columns as :data:`FOLDER`.
    files
        What exists: ``folder``, ``partition``, ``day`` (the first day of the file's period), and
        whatever else is to be kept. Daily files outside the range may be left out where
        ``first_daily`` and ``more_daily`` tell of them; of monthly files all have to be there.
    days
        The range of UTC days.
    asof
        The UTC day of the listing, which tells a recent end from a delisting; how far the archive is tells
        better (:mod:`cryptolake.planning.missing_reasons`).

    Returns
    -------
    Cover
        ``files``: rows of ``files``; ``missing``: ``folder``, ``period`` (``YYYY-MM-DD``, or
        ``YYYY-MM`` for a whole month without any file), ``reason``.
    """
    daily = files.lazy().filter(pl.col("partition") == "daily")
    monthly = files.lazy().filter(pl.col("partition") == "monthly")
    wanted = daily.filter(pl.col("day").is_between(days.first, days.last))
    lives = folders.lazy().pipe(_lives, daily, monthly)
    months = _with_choice(lives, wanted, monthly, days).collect()
    by_month = months.lazy().filter("by_month").select("folder", "month")
    chosen = pl.concat(
        [
            monthly.join(
                by_month, left_on=["folder", "day"], right_on=["folder", "month"], how="semi"
            ),
            wanted.with_columns(month=pl.col("day").dt.month_start())
            .join(by_month, on=["folder", "month"], how="anti")
            .drop("month"),
        ]
    )
    lacking = months.lazy().filter(~pl.col("by_month") & (pl.col("have") < pl.col("asked")))
    missing = _missing(lacking, wanted, asof)
    return Cover(chosen.sort("folder", "day").collect(), missing.sort("folder", "period").collect())


def _with_choice(
    lives: pl.LazyFrame, wanted: pl.LazyFrame, monthly: pl.LazyFrame, days: Days
) -> pl.LazyFrame:
    """Return every folder's months of the range, and whether each comes as one monthly file."""
    return (
        lives.join(_months(days).lazy(), how="cross")
        .join(
            wanted.group_by("folder", pl.col("day").dt.month_start().alias("month")).agg(
                pl.len().alias("have")
            ),
            on=["folder", "month"],
            how="left",
        )
        .join(
            monthly.select("folder", month="day", file=pl.lit(value=True)),
            on=["folder", "month"],
            how="left",
        )
        .with_columns(pl.col("have").fill_null(0), pl.col("file").fill_null(value=False))
        .with_columns(
            alive=(pl.min_horizontal("hi", "end") - pl.max_horizontal("lo", "begin"))
            .dt.total_days()
            .add(1)
            .clip(0)
        )
        .with_columns(
            by_month=pl.col("file") & (pl.col("whole") | (pl.col("have") < pl.col("alive")))
        )
    )


def _months(days: Days) -> pl.DataFrame:
    """Return the range's months: the days asked of each, and whether that is the whole month."""
    clipped = [(month, days.clip(month.days)) for month in days.months()]
    return pl.DataFrame(
        [
            (month.first, part.first, part.last, len(part), part == month.days)
            for month, part in clipped
            if part
        ],
        schema={
            "month": pl.Date,
            "lo": pl.Date,
            "hi": pl.Date,
            "asked": pl.Int32,
            "whole": pl.Boolean,
        },
        orient="row",
    )


def _lives(folders: pl.LazyFrame, daily: pl.LazyFrame, monthly: pl.LazyFrame) -> pl.LazyFrame:
    """Add the days a folder lives from and to (``begin``, ``end``), both included.

    Where the first (last) month has daily files, they say on which of its days the life begins (ends);
    the monthly file alone says only the month. Without any file, ``begin`` is null and ``end`` is too.
    """
    ends = daily.group_by("folder").agg(d_first=pl.col("day").min(), d_last=pl.col("day").max())
    spans = monthly.group_by("folder").agg(m_first=pl.col("day").min(), m_last=pl.col("day").max())
    first = pl.min_horizontal("first_daily", "d_first")
    last = pl.max_horizontal("d_last", "first_daily")
    forever = pl.lit(date.max)
    return (
        folders.join(ends, on="folder", how="left")
        .join(spans, on="folder", how="left")
        .with_columns(
            begin=pl.when(first.dt.month_start() <= pl.col("m_first").fill_null(forever))
            .then(first)
            .otherwise(pl.col("m_first")),
            by_daily=last.is_not_null() & (last >= pl.col("m_last").fill_null(pl.lit(date.min))),
        )
        .with_columns(
            end=pl.when(pl.col("more_daily"))
            .then(forever)
            .when("by_daily")
            .then(last)
            .otherwise(pl.col("m_last").dt.month_end())
        )
        .drop("d_first", "d_last", "m_first", "m_last")
    )


def _missing(lacking: pl.LazyFrame, wanted: pl.LazyFrame, asof: date) -> pl.LazyFrame:
    """Name the days without a file; a whole month without any, and with one reason, by its month."""
    before = pl.col("begin").is_null() | (pl.col("hi") < pl.col("begin"))
    after = pl.col("lo") > pl.col("end")
    amid = (pl.col("lo") >= pl.col("begin")) & (pl.col("hi") <= pl.col("end"))
    as_one = pl.col("whole") & (pl.col("have") == 0) & pl.col("monthly") & (before | after | amid)
    whole = lacking.filter(as_one).select(
        "folder",
        period=pl.col("month").dt.strftime("%Y-%m"),
        reason=_reason(pl.col("lo"), pl.col("hi"), asof),
    )
    single = (
        lacking.filter(~as_one)
        .with_columns(day=pl.date_ranges("lo", "hi"))
        .explode("day")
        .join(wanted.select("folder", "day"), on=["folder", "day"], how="anti")
        .select(
            "folder",
            period=pl.col("day").dt.strftime("%Y-%m-%d"),
            reason=_reason(pl.col("day"), pl.col("day"), asof),
        )
    )
    return pl.concat([whole, single])


def _reason(first: pl.Expr, last: pl.Expr, asof: date) -> pl.Expr:
    fresh = pl.when("by_daily").then(pl.lit(_FRESH_DAILY)).otherwise(pl.lit(_FRESH_MONTHLY))
    young = pl.lit(asof) - pl.col("end") <= fresh
    return (
        pl.when(pl.col("begin").is_null() | (last < pl.col("begin")))
        .then(pl.lit("not_listed"))
        .when(first <= pl.col("end"))
        .then(pl.lit("not_published"))
        .when(first > pl.col("ends"))
        .then(pl.lit("discontinued"))
        .when(young)
        .then(pl.lit("not_yet_published"))
        .otherwise(pl.lit("delisted"))
    )
