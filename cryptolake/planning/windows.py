"""Which windows of the listing a plan needs: not the years of days where whole months are planned.

A month that is asked for whole, and has its monthly file, needs no listing of its days. So the monthly files are
listed first; then the first daily file of the folders that lack a month; then the years of those months, as far as
daily files go. Each step asks for all folders at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import Partition

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.snapshot import Listed

_AT_ONCE = 8192
"""Folders whose months are looked through together."""

Years = Mapping[int, Sequence[int]]
"""Years by the number of a folder, sorted."""

Ask = Callable[[Callable[[int, Partition, str], bool]], "Listed"]
"""Lists those windows (a folder's number, partition and name) for which a function says yes."""


def listed_for_plan(folders: Sequence[Folder], days: Days, ask: Ask) -> Listed:
    """Return what the listing says of folders, as far as it decides which files cover some days.

    Parameters
    ----------
    folders
        What is planned.
    days
        The days to cover.
    ask
        What lists windows. Of one that is not asked for, nothing is said.
    """
    parts = {month.first: month.days != days.clip(month.days) for month in days.months()}
    whole = [month for month, part in parts.items() if not part]
    by_month = {number for number, folder in enumerate(folders) if len(folder.partitions) > 1}
    if not whole or not by_month:
        return ask(lambda *_: True)
    needed = {str(month.year) for month, part in parts.items() if part}
    needed |= {"first"} if needed else set()

    def at_first(number: int, partition: Partition, window: str) -> bool:
        return number not in by_month or partition is Partition.MONTHLY or window in needed

    listed = ask(at_first)
    lacking = _lacking(listed, sorted(by_month), whole)
    if lacking and not needed:
        listed = listed.with_more(
            ask(lambda number, _, name: name == "first" and number in lacking)
        )
    return _with_years(listed, _from_first(listed, lacking), needed, ask)


def from_months(folders: Sequence[Folder], days: Days, ask: Ask) -> Listed | None:
    """Return the listing of monthly files alone, where they cover all of some days in every folder; else None.

    For an archive that does not answer, days of which were never listed: a whole month has them.
    """
    listed = ask(lambda _, partition, __: partition is Partition.MONTHLY)
    months = [month.first for month in days.months()]
    return None if _lacking(listed, range(len(folders)), months) else listed


def _with_years(listed: Listed, lacking: Years, needed: set[str], ask: Ask) -> Listed:
    """Ask for the years of months that lack a file; for later ones only where daily files go on until then."""
    last = _last_months(listed)
    now: dict[int, set[int]] = {}
    for number, years in lacking.items():
        after = [year for year in years if year >= last.get(number, years[0])]
        until = after[0] if after else years[-1]
        now[number] = {year for year in years if year <= until}
    listed = _asked(listed, now, needed, ask)
    ended = _ends(listed)
    later = {
        number: {
            year for year in years if year > max(now[number]) and year <= ended.get(number, year)
        }
        for number, years in lacking.items()
    }
    return _asked(listed, later, needed, ask)


def _asked(listed: Listed, years: Mapping[int, set[int]], done: set[str], ask: Ask) -> Listed:
    wanted = {
        (number, str(year))
        for number, some in years.items()
        for year in some
        if str(year) not in done
    }
    if not wanted:
        return listed
    return listed.with_more(
        ask(lambda number, part, name: part is Partition.DAILY and (number, name) in wanted)
    )


def _lacking(
    listed: Listed, numbers: Sequence[int], months: Sequence[date]
) -> dict[int, list[int]]:
    """Return the years in which folders lack the monthly file of a month."""
    have = listed.zips.lazy().filter(pl.col("partition") == "monthly").select("folder", month="day")
    wanted = pl.LazyFrame({"month": months}, schema={"month": pl.Date})
    found: dict[int, list[int]] = {}
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        rows = (
            pl.LazyFrame({"folder": some}, schema={"folder": pl.UInt32})
            .join(wanted, how="cross")
            .join(have, on=["folder", "month"], how="anti")
            .group_by("folder")
            .agg(pl.col("month").dt.year().unique().sort())
            .collect()
        )
        found.update((number, years) for number, years in rows.iter_rows())
    return found


def _from_first(listed: Listed, lacking: Years) -> dict[int, list[int]]:
    """Leave out the years before a folder's first daily file; all, where it has none."""
    facts: dict[int, Any] = dict(listed.folders.select("folder", "first_daily").iter_rows())
    from_then = {
        number: [year for year in years if year >= first.year]
        for number, years in lacking.items()
        if (first := facts.get(number)) is not None
    }
    return {number: years for number, years in from_then.items() if years}


def _last_months(listed: Listed) -> dict[int, int]:
    """Return the year of each folder's newest monthly file."""
    monthly = listed.zips.lazy().filter(pl.col("partition") == "monthly")
    rows = monthly.group_by("folder").agg(pl.col("day").max().dt.year()).collect()
    return dict(rows.iter_rows())


def _ends(listed: Listed) -> dict[int, int]:
    """Return the year after which a folder has no daily files, where a listed year says so."""
    rows = (
        listed.years()
        .filter(~pl.col("more").fill_null(value=False))
        .group_by("folder")
        .agg(pl.col("year").min())
    )
    return dict(rows.iter_rows())
