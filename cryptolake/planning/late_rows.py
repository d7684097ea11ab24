"""Rows that the archive keeps in the file before their own: a plan for some days takes that file in too.

A day of USD-M metrics before 2026-06-25 runs from 00:05 to 00:00 of the next day, so the first row of a day
stands in the file of the day before (``Schema.late`` and ``Schema.late_until``). Days follow each other, so
only the file before the first day asked for is lacking in a plan that has the files of the days themselves.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.listing.folders import Folder

_DAY = timedelta(days=1)


def days_to_list(folders: Sequence[Folder], days: Days) -> Days:
    """Return the days, with the one before them where some folder keeps a row of them there."""
    return Days(days.first - _DAY, days.last) if _late(folders, days) else days


def files_before(
    folders: Sequence[Folder], files: pl.DataFrame, days: Days, chosen: pl.DataFrame
) -> pl.DataFrame:
    """Return the listed files that hold rows of the first day asked for beside its own file.

    Parameters
    ----------
    folders
        The folders, by their number.
    files
        What is listed: ``folder, partition, day`` (the first day of the file's period), and what else is kept.
    days
        The days asked for.
    chosen
        The files that cover the days, of the same columns: a folder that has none of them needs no neighbour.
    """
    before = (pl.col("day") == days.first - _DAY) & (pl.col("partition") == "daily")
    near = files.filter(before, pl.col("folder").is_in(_late(folders, days)))
    return near.join(chosen, on="folder", how="semi", maintain_order="left")


def _late(folders: Sequence[Folder], days: Days) -> list[int]:
    """Return the numbers of folders in which the day before keeps rows of the first day."""
    found: list[int] = []
    if days.first == date.min:
        return found
    for number, folder in enumerate(folders):
        until = schema_of(folder.row.market, folder.row.data_type).late_until
        if until is not None and days.first - _DAY <= until:
            found.append(number)
    return found
