"""Since when and until when the archive has files of a symbol: from few questions, and cached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Interval, Partition
from cryptolake.archive.periods import Days, Period
from cryptolake.listing.folders import Folder

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row
    from cryptolake.listing.listing import Listing

SPANS = {"symbol": pl.String, "first": pl.Date, "last": pl.Date}
"""The first and the last UTC day that a symbol has files of; by the month where only months are there."""


def span_interval(row: Row) -> Interval | None:
    """Return the interval whose files tell how long a symbol was listed: daily bars, as all have them."""
    if not row.has_interval:
        return None
    return Interval.D1 if Interval.D1 in row.all_intervals else row.all_intervals[-1]


def spans(
    listing: Listing,
    row: Row,
    symbols: Sequence[str],
    *,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> pl.DataFrame:
    """Return the first and last day of symbols, null where one has no file.

    A symbol takes three questions to the archive, asked side by side with the others'; a delisted one
    takes a fourth, for the year it ended in.

    Raises
    ------
    ListingError
        The archive does not answer, and no cached listing can stand in.
    """
    interval = span_interval(row)
    folders = [Folder(row, symbol, interval) for symbol in symbols]
    newest = row.last_date or datetime.now(UTC).date()
    found = _ends(listing, folders, Days(newest, newest), refresh=refresh, max_age=max_age)
    if Partition.DAILY in row.partitions_of(interval):
        open_ended = found.filter(pl.col("last_daily").is_null() & pl.col("first").is_not_null())
        for days, numbers in _years_to_ask(open_ended, newest):
            some = [folders[number] for number in numbers]
            again = _ends(listing, some, days, refresh=refresh, max_age=max_age)
            again = again.with_columns(folder=pl.Series(numbers, dtype=pl.UInt32)[again["folder"]])
            found = found.update(again.select("folder", "last_daily", "last"), on="folder")
    names = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String})
    return (
        names.with_row_index("folder")
        .join(found, on="folder", how="left", maintain_order="left")
        .select(pl.col(name).cast(dtype) for name, dtype in SPANS.items())
    )


def listed_on(
    listing: Listing,
    row: Row,
    symbols: Sequence[str],
    day: date,
    *,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> list[str]:
    """Return those of the symbols that were listed on a UTC day, delisted ones included."""
    found = spans(listing, row, symbols, refresh=refresh, max_age=max_age)
    return found.filter(pl.lit(day).is_between("first", "last"))["symbol"].to_list()


def _ends(
    listing: Listing,
    folders: Sequence[Folder],
    days: Days,
    *,
    refresh: bool,
    max_age: timedelta | None,
) -> pl.DataFrame:
    """Return ``folder, first, last, last_daily, last_month`` by the windows that the days touch."""
    listed = listing.listed(folders, days, refresh=refresh, max_age=max_age)
    monthly = pl.col("day").filter(pl.col("partition") == "monthly")
    daily = pl.col("day").filter(pl.col("partition") == "daily")
    by_file = listed.zips.group_by("folder").agg(
        first_month=monthly.min(), last_month=monthly.max(), last_daily=daily.max()
    )
    first_month = pl.col("first_month")
    # Where daily files begin in or before the first month, they know the day.
    first = pl.when(pl.col("first_daily").dt.month_start() <= first_month.fill_null(date.max))
    last = pl.when(pl.col("last_daily") >= pl.col("last_month").fill_null(date.min))
    return listed.folders.join(by_file, on="folder", how="left").select(
        "folder",
        "last_daily",
        "last_month",
        "first_daily",
        first=first.then("first_daily").otherwise(first_month),
        last=last.then("last_daily").otherwise(pl.col("last_month").dt.month_end()),
    )


def _years_to_ask(open_ended: pl.DataFrame, newest: date) -> list[tuple[Days, list[int]]]:
    """Group the folders whose newest year has no daily file by the years that may tell their end."""
    groups: dict[Days, list[int]] = {}
    for number, month, first in open_ended.select(
        "folder", "last_month", "first_daily"
    ).iter_rows():
        if month is not None:
            days = Period.month(month.year, month.month).days
            days = Days(days.first.replace(month=1, day=1), days.first.replace(month=1, day=1))
        elif first is not None:
            days = Days(first, newest)
        else:
            continue
        groups.setdefault(days, []).append(number)
    return list(groups.items())
