"""Makes a Plan: from a query's words to symbols, folders and files, and the status of each file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.keys import parse_key
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import scope_of, with_key_parts
from cryptolake.errors import ListingError
from cryptolake.listing.folders import Folder, shown
from cryptolake.listing.lifetimes import Lifetimes
from cryptolake.planning.late_rows import days_to_list
from cryptolake.planning.plan import Counts, Plan, age_of, facts_of_plan
from cryptolake.planning.plan_files import files_and_missing, naming, tell_step, typed
from cryptolake.planning.resolve import find_targets
from cryptolake.planning.serialization import FILES, MISSING
from cryptolake.planning.status import status_of
from cryptolake.planning.windows import from_months, listed_for_plan
from cryptolake.query import Query
from cryptolake.telemetry import observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.archive.enums import Partition
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.snapshot import Listed
    from cryptolake.planning.plan import Way


_ANY_AGE = timedelta(days=36_500)


@observed("plan", "planned", facts_of_plan)
def make_plan(
    query: Query,
    lake: LakeContext,
    *,
    route: Way | None = None,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> Plan:
    """Work out the files that a query needs. Asks the listing and the lake; transfers nothing.

    Parameters
    ----------
    query
        A complete query; it is checked here, once.
    lake
        The lake and its archive.
    route
        How the files will move, for the plan's note on it.
    refresh
        Ask the archive again even where the cached listing is fresh.
    max_age
        How old a cached listing may be; the listing's own figure when None.

    Raises
    ------
    InvalidQuery
        The query is not complete, or its words do not agree.
    NoSuchSymbol
        A name, a glob or the universe matches nothing that the archive lists.
    ListingError
        The archive does not answer and no cached listing can stand in.
    """
    selection = query.check().selection
    lake.records.about(scope_of(query))
    days = selection.days or Days(date.min, date.min)  # a checked query names its days
    targets = find_targets(selection, lake.listing, refresh=refresh, max_age=max_age)
    wide = days_to_list(targets.folders, days)
    listed = _listed(targets.folders, wide, lake, refresh=refresh, max_age=max_age)
    tell_step(1)
    targets = targets.checked(selection, listed, lake.listing)
    asof = (listed.at or datetime.now(UTC)).date()
    asker = Lifetimes(lake.listing, asof, refresh, max_age)
    rows, missing = files_and_missing(targets.folders, listed, days, lake, asker)
    counts = Counts.of(rows)
    now = datetime.now(UTC)
    return Plan(
        id=_plan_id(now),
        query=query,
        archive=lake.archive,
        created_at=now,
        listed_at=listed.at,
        files=rows,
        missing_periods=missing,
        notes=(
            *targets.notes,
            *_notes(listed, now),
            *_note_of_another(lake),
            *([route.note(counts)] if route and counts.objects else []),
        ),
    )


def _listed(folders: Sequence[Folder], days: Days, lake: LakeContext, **how: Any) -> Listed:
    """List what decides which files cover the days; where the archive does not answer, ask it once."""
    trouble: list[ListingError] = []

    def ask(only: Callable[[int, Partition, str], bool]) -> Listed:
        age = {"max_age": _ANY_AGE} if trouble else how
        listed = lake.listing.listed(folders, days, **age, only=only)
        trouble.extend([listed.trouble] if listed.trouble else [])
        return listed

    try:
        return listed_for_plan(folders, days, ask)
    except ListingError as error:
        trouble.append(error)
        with suppress(ListingError):
            if listed := from_months(folders, days, ask):
                return listed._replace(trouble=error)
        raise


def _plan_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _notes(listed: Listed, now: datetime) -> list[str]:
    notes: list[str] = []
    if listed.trouble:
        notes.append(
            f"the archive does not answer ({listed.trouble.why}); planned from the cached listing, "
            f"{age_of(listed.at, now)}"
        )
    if listed.strange.height:
        notes.append(
            f"{listed.strange.height} listed keys fit no pattern of the archive, or have a size or an ETag that "
            f"no file has, and are left out, e.g. {shown(listed.strange['key'][0])}"
        )
    return notes


def _note_of_another(lake: LakeContext) -> list[str]:
    own, given = lake.storage.archive, lake.archive.place
    if own is None or own.is_same(given) or own.may_be_same(given) or lake.adopt:
        return []
    return [f"the lake is of {own}: a transfer from {given} is refused unless it is adopted"]


def plan_of(
    files: pl.DataFrame,
    lake: LakeContext,
    *,
    notes: Iterable[str] = (),
    listed_at: datetime | None = None,
) -> Plan:
    """Return the plan that fetches these listed files, and says which of them are here already.

    Parameters
    ----------
    files
        Rows of the listing with their key parts: ``key, market, data_type, symbol, interval, partition,
        period, first, last, size, etag, last_modified, checksum_size, checksum_etag``; and their
        ``status``, where that is known already.
    lake
        The lake and its archive.
    notes
        Why these files, in words.
    listed_at
        When the listing was asked, UTC.
    """
    known = files
    if "status" not in files:
        known = files.with_columns(status_of(files, lake).alias("status"))
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in FILES.items() if name not in known]
    now = datetime.now(UTC)
    return Plan(
        id=_plan_id(now),
        query=_query_of(files),
        archive=lake.archive,
        created_at=now,
        listed_at=listed_at,
        files=typed(known.with_columns(absent), FILES).sort("key"),
        missing_periods=pl.DataFrame(schema=MISSING),
        notes=tuple(notes),
    )


def plan_of_keys(keys: Iterable[str], lake: LakeContext, *, notes: Iterable[str] = ()) -> Plan:
    """Return the plan that fetches the files with these keys, as far as the archive lists them now.

    Raises
    ------
    ListingError
        The archive does not answer: a cached listing does not tell whether it still has them.
    """
    names = list(keys)
    parsed = [key for key in map(parse_key, names) if key is not None]
    matrix = load_matrix()
    folders = {key[:4]: Folder(matrix.row(*key[:2]), *key[2:4]) for key in parsed}
    days = [key.period.days for key in parsed]
    first = min((each.first for each in days), default=date.min)
    span = Days(first, max((each.last for each in days), default=first))
    listed = lake.listing.listed(list(folders.values()), span, refresh=True)
    if listed.trouble is not None:
        raise listed.trouble
    files = listed.files.drop("folder", "partition", "period").filter(pl.col("key").is_in(names))
    return plan_of(with_key_parts(files), lake, notes=notes, listed_at=listed.at)


def _query_of(files: pl.DataFrame) -> Query:
    """Return a query that takes in these files (and perhaps others of the same names and days)."""
    if not files.height:
        return Query()
    first, last = files.select(pl.col("first").min(), pl.col("last").max()).row(0)
    return naming(files).between(first, last)
