"""How far behind the archive is, and the lake behind it, per market and data type."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.lives import LATE, due_day
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import holdings, warn_of_lost_ledger, with_key_parts
from cryptolake.errors import ListingError
from cryptolake.listing.folders import Folder
from cryptolake.listing.lifetimes import Lifetimes

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.snapshot import Listed

NAME = ["market", "data_type", "symbol", "interval"]
"""The columns that name a folder of the archive."""

OBJECT = ["key", "size", "etag", "last_modified", "checksum_size", "checksum_etag"]
"""The columns of a listed file."""


def freshness(
    lake: LakeContext, *, refresh: bool = False, today: date | None = None
) -> pl.DataFrame:
    """Say how far behind the archive is, and the lake: a row per market and data type that it holds.

    Parameters
    ----------
    lake
        The lake and its archive.
    refresh
        Ask the archive again even where the cached listing is fresh.
    today
        The UTC day to count from; the archive is on time when it has the day before.

    Returns
    -------
    polars.DataFrame
        ``market, data_type, symbols`` (held), ``archive_newest, archive_behind, lake_newest,
        lake_behind, status``; newest days are the last that a file covers. ``archive_behind`` counts the days
        after the archive's that are due, ``lake_behind`` those that the archive has of the symbols held and
        the lake has not. A discontinued type, and an archive that ended (a mirror, a sample), say their last
        day in ``status`` and are not behind.

    Raises
    ------
    ListingError
        The archive does not answer, and no cached listing can stand in.
    """
    # Without keys that the archive's grammar does not know.
    held = holdings(lake.records).drop_nulls("market")
    if held.is_empty():
        warn_of_lost_ledger(lake.storage, lake.records)
    folders = held_folders(held)
    now = today or datetime.now(UTC).date()
    latest = held.group_by(NAME).agg(pl.col("last").max())["last"].drop_nulls()
    span = Days(min([*latest, now]), now)
    listed = listed_files(lake.listing.listed(folders, span, refresh=refresh))
    newest = listed.group_by("market", "data_type").agg(pl.col("last").max().alias("mine_newest"))
    mine = held.group_by("market", "data_type").agg(
        pl.col("symbol").n_unique().cast(pl.Int64).alias("symbols"),
        pl.col("last").max().alias("lake_newest"),
    )
    joined = mine.join(newest, on=["market", "data_type"], how="left").sort("market", "data_type")
    asker = Lifetimes(lake.listing, now, refresh)
    return _with_status(joined, asker)


def _with_status(rows: pl.DataFrame, asker: Lifetimes) -> pl.DataFrame:
    """Count the days behind; a discontinued type is due up to its last day."""
    matrix = load_matrix()
    facts: list[tuple[date | None, date, date | None]] = []
    for market, data_type, newest in rows.select("market", "data_type", "mine_newest").iter_rows():
        row = matrix.row(Market(market), DataType(data_type))
        reach = _reach(asker, row, newest)
        monthly = Partition.DAILY not in row.partitions
        due = due_day(reach, asker.today, asker.today, monthly=monthly)
        facts.append((reach, min(due, row.last_date or due), row.last_date))
    schema = {"archive_newest": pl.Date, "due": pl.Date, "stopped": pl.Date}
    rows = rows.hstack(pl.DataFrame(facts, schema=schema, orient="row"))
    behind = (pl.col("due") - pl.col("archive_newest")).dt.total_days().clip(0)
    lake_behind = (pl.col("mine_newest") - pl.col("lake_newest")).dt.total_days().clip(0)
    ended = pl.col("due") < asker.today - timedelta(days=1)
    status = (
        pl.when(pl.col("stopped").is_not_null())
        .then(pl.format("discontinued on {}", "stopped"))
        .when(behind > 0)
        .then(pl.format("the archive is {} days behind", behind))
        .when(ended & (pl.col("due") == pl.col("archive_newest")))
        .then(pl.format("the archive ends on {}", "archive_newest"))
        .otherwise(pl.lit("up to date"))
    )
    return rows.select(
        *("market", "data_type", "symbols", "archive_newest"),
        behind.alias("archive_behind"),
        "lake_newest",
        lake_behind.alias("lake_behind"),
        status.alias("status"),
    )


def _reach(asker: Lifetimes, row: Row, newest: date | None) -> date | None:
    """Return how far the archive is; other symbols are asked where those held end too early to tell."""
    if row.last_date or (newest and newest >= asker.today - LATE):
        return newest
    try:
        days = [day for day in (newest, asker.reach(row).day) if day]
    except ListingError:
        return newest
    return max(days, default=None)


def held_folders(held: pl.DataFrame) -> list[Folder]:
    """Return the folders that some ledger rows (with key parts) lie in, by name."""
    matrix = load_matrix()
    names = held.select(NAME).drop_nulls("market").unique().sort(NAME)
    return [
        Folder(
            matrix.row(Market(market), DataType(data_type)),
            symbol,
            Interval(interval) if interval else None,
        )
        for market, data_type, symbol, interval in names.iter_rows()
    ]


def listed_files(listed: Listed) -> pl.DataFrame:
    """Return the listed files with their key parts, and the number of their folder."""
    return with_key_parts(listed.files.select("folder", *OBJECT))
