"""The days of a query whose range ends with the newest published day: the one place that finds that day.

What the archive has published is asked of its listing, by the windows that a plan for the newest days asks
anyway; what a lake holds is read in its ledger. Either way the day is the newest that any symbol of any of the
query's markets and data types has, by daily or by monthly files: one that was delisted does not hold it back,
and a data type that is published by the month only has periods missing from a plan that others have files for.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import Partition, parse_symbol
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import holdings, scope_of
from cryptolake.errors import InvalidQuery, ListingError
from cryptolake.planning.resolve import find_targets
from cryptolake.query import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.listing import Listing
    from cryptolake.listing.snapshot import Listed

_ENDS = pl.when(partition="monthly").then(pl.col("day").dt.month_end()).otherwise("day")
"""The last day that a listed file covers."""


def published_days(
    query: Query, lake: LakeContext, *, refresh: bool = False, max_age: timedelta | None = None
) -> Query:
    """Return the query with plain days: an open range ends with the newest day that the archive has published.

    Parameters
    ----------
    query
        A complete query; one with plain days is returned as it is, and nothing is asked.
    lake
        The lake and its archive.
    refresh, max_age
        As for a plan.

    Raises
    ------
    InvalidQuery
        This is no Query, or it is open and not complete.
    NotPublished
        The range begins after the newest published day.
    NoSuchSymbol
        The archive lists none of the query's symbols.
    ListingError
        The archive does not answer, and no cached listing can stand in.
    """
    require_query(query)
    if not query.selection.is_open:
        return query
    selection = query.check().selection
    how: dict[str, Any] = {"refresh": refresh, "max_age": max_age}
    targets = find_targets(selection, lake.listing, **how)
    newest, listed = newest_day(targets.folders, lake.listing, **how)
    if newest is None and listed is not None:
        targets.checked(selection, listed, lake.listing)
    return query.ending(newest or _yesterday())


def published_bar_days(query: Query, lake: LakeContext, *, refresh: bool = False) -> Query:
    """Return the query with the plain days of the daily bars of its symbols; of all, where it names none."""
    selection = query.selection
    bars = query.klines("1d")
    named = selection.symbols or selection.universe
    days = published_days(bars if named else bars.symbols("*"), lake, refresh=refresh)
    days_of = days.selection.days
    return query.between(days_of.first, days_of.last) if days_of else query


def published_or_held_days(query: Query, lake: LakeContext, *, refresh: bool = False) -> Query:
    """Return :func:`published_days`; :func:`held_days` where neither the archive nor a cached listing can tell."""
    try:
        return published_days(query, lake, refresh=refresh)
    except ListingError:
        return held_days(query, lake)


def held_days(query: Query, lake: LakeContext) -> Query:
    """Return the query with plain days: an open range ends with the newest day that the lake holds of it.

    Nothing is asked of the archive. Where the lake holds nothing of the query, the range ends yesterday (UTC).

    Parameters
    ----------
    query
        Any query; one with plain days is returned as it is, and nothing is read.
    lake
        The lake.

    Raises
    ------
    InvalidQuery
        This is no Query.
    NotPublished
        The range begins after the newest day held.
    """
    require_query(query)
    if not query.selection.is_open:
        return query
    lake.records.about(scope_of(query))
    newest = holdings(lake.records, query.undated())["last"].max()
    return query.ending(newest if isinstance(newest, date) else _yesterday())


def newest_day(
    folders: Sequence[Folder], listing: Listing, **how: Any
) -> tuple[date | None, Listed | None]:
    """Return the newest day that a file of some folders covers, and the listing that says so.

    Daily files are asked for by the year, from this one back to the first that has any: of an archive that is
    alive that is one question a folder, or two in January.
    """
    today = datetime.now(UTC).date()
    year, newest, listed = today.year, None, None
    while folders:
        listed = listing.listed(folders, Days(date(year, 1, 1), date(year, 12, 31)), **how)
        how["refresh"] = False  # earlier years have been asked about, or do not change
        found = listed.zips.select(_ENDS.max()).item()
        newest = min(found, today) if isinstance(found, date) else None
        first = listed.folders["first_daily"].min()
        daily = any(Partition.DAILY in folder.partitions for folder in folders)
        if not (daily and isinstance(first, date) and first.year < year):
            break
        if newest is not None and newest.year >= year:
            break
        year -= 1
    return newest, listed


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def require_query(given: object) -> None:
    """Refuse what is no Query where one is needed, and say what to write.

    Raises
    ------
    InvalidQuery
        The value is a text, a plan, or anything else.

    Examples
    --------
    >>> require_query("BTCUSDT")
    Traceback (most recent call last):
    ...
    cryptolake.errors.InvalidQuery: 'BTCUSDT' is no query: write \
cl.query().markets('spot').klines('1h').symbols('BTCUSDT').last('90d'), or call cl.klines('BTCUSDT', '1h', '2024-12').
    """
    if isinstance(given, Query):
        return
    name = given if isinstance(given, str) and _is_symbol(given) else "BTCUSDT"
    what = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    message = (
        f"{what} is no query: write cl.query().markets('spot').klines('1h').symbols({name!r}).last('90d'), "
        f"or call cl.klines({name!r}, '1h', '2024-12')."
    )
    raise InvalidQuery(message, what="query", given=given)


def _is_symbol(text: str) -> bool:
    try:
        return bool(parse_symbol(text))
    except InvalidQuery:
        return False
