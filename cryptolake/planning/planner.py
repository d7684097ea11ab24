"""Makes a Plan: from a query's words to symbols, folders and files, and the status of each file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import scope_of
from cryptolake.listing.folders import shown
from cryptolake.listing.lifetimes import Lifetimes
from cryptolake.planning.absence import with_reasons
from cryptolake.planning.commands import selectors
from cryptolake.planning.cover import FOLDER, cover
from cryptolake.planning.estimates import suspect_sizes
from cryptolake.planning.neighbours import days_to_list, files_before
from cryptolake.planning.plan import TO_MOVE, Counts, Plan, age_of
from cryptolake.planning.resolve import find_targets
from cryptolake.planning.serialization import FILES, MISSING
from cryptolake.planning.status import status_of
from cryptolake.planning.windows import listed_for_plan
from cryptolake.progress import Step, tell
from cryptolake.query import Query
from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.snapshot import Listed
    from cryptolake.planning.plan import Way


_ANY_AGE = timedelta(days=36_500)


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
    _tell(1)
    targets = targets.checked(selection, listed, lake.listing)
    asof = (listed.at or datetime.now(UTC)).date()
    asker = Lifetimes(lake.listing, asof, refresh, max_age)
    files, missing = _files(targets.folders, listed, days, lake, asker)
    rows = Rows.of(_typed(files, FILES))
    counts = Counts.of(rows)
    now = datetime.now(UTC)
    return Plan(
        id=_plan_id(now),
        query=query,
        archive=lake.archive,
        created_at=now,
        listed_at=listed.at,
        files=rows,
        missing_periods=_typed(missing, MISSING),
        notes=(
            *targets.notes,
            *_notes(listed, now),
            *_note_of_another(lake),
            *([route.note(counts)] if route and counts.objects else []),
        ),
    )


def _listed(folders: Sequence[Folder], days: Days, lake: LakeContext, **how: Any) -> Listed:
    """List what decides which files cover the days; where the archive does not answer, ask it once."""
    trouble: list[object] = []

    def ask(only: Callable[[int, Partition, str], bool]) -> Listed:
        age = {"max_age": _ANY_AGE} if trouble else how
        listed = lake.listing.listed(folders, days, **age, only=only)
        trouble.extend([listed.trouble] if listed.trouble else [])
        return listed

    return listed_for_plan(folders, days, ask)


def _files(
    folders: Sequence[Folder], listed: Listed, days: Days, lake: LakeContext, asker: Lifetimes
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Choose the files that cover the days once; return them with their status, and what is missing."""
    # Rows go by their number until the files are chosen: a listing is many times a plan.
    slim = listed.zips.select("folder", "partition", "day").with_row_index("row")
    chosen, missing = cover(_folders(folders, listed), slim, days, asker.today)
    missing = with_reasons(missing, folders, listed, days, asker)
    beside = files_before(folders, slim, days, chosen)
    if beside.height:
        chosen = pl.concat([beside, chosen]).sort("folder", "day", maintain_order=True)
    _tell(2)
    names = _names(folders)
    suspects = suspect_sizes(listed.zips, by=["folder"])
    files = chosen.select("row").with_columns(
        *listed.keyed(listed.zips[chosen["row"]]), suspects[chosen["row"]]
    )
    files = _named(files, names)
    _tell(3)
    files = files.with_columns(status_of(files, lake))
    _tell(4)
    return _with_selectors(files, listed), _named(missing, names)


def _typed(frame: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _plan_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _tell(step: int) -> None:
    """Report a step of the plan, now that everything is listed; the callback may stop it."""
    tell(Step(step, 5, step, 5, "steps"))


def _folders(folders: Sequence[Folder], listed: Listed) -> pl.DataFrame:
    facts = pl.DataFrame(
        [
            (
                number,
                Partition.DAILY in folder.partitions,
                Partition.MONTHLY in folder.partitions,
                folder.row.last_date,
            )
            for number, folder in enumerate(folders)
        ],
        schema={name: FOLDER[name] for name in ("folder", "daily", "monthly", "ends")},
        orient="row",
    )
    return facts.join(listed.folders, on="folder", how="left").with_columns(
        pl.col("more_daily").fill_null(value=False)
    )


def _names(folders: Sequence[Folder]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (
                number,
                folder.row.market.value,
                folder.row.data_type.value,
                folder.symbol,
                folder.interval.value if folder.interval else None,
            )
            for number, folder in enumerate(folders)
        ],
        schema={
            "folder": pl.UInt32,
            "market": pl.String,
            "data_type": pl.String,
            "symbol": pl.String,
            "interval": pl.String,
        },
        orient="row",
    )


def _named(rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    return rows.join(names, on="folder", how="left", maintain_order="left")


def _with_selectors(files: pl.DataFrame, listed: Listed) -> pl.DataFrame:
    moving = files.filter(pl.col("status").is_in(TO_MOVE)).select("row", move=pl.lit(value=True))
    everything = (
        listed.zips.select("folder", "partition", "period", "checksum_size")
        .with_row_index("row")
        .join(moving, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("move").fill_null(value=False))
    )
    found = selectors(everything, listed.stems, listed.strange)
    return files.join(found, on="row", how="left", maintain_order="left")


def _notes(listed: Listed, now: datetime) -> list[str]:
    notes: list[str] = []
    if listed.trouble:
        notes.append(
            f"the archive does not answer ({listed.trouble.why}); planned from the cached listing, "
            f"{age_of(listed.at, now)}"
        )
    if listed.strange.height:
        notes.append(
            f"{listed.strange.height} listed keys fit no pattern of the archive, or have a size that no file "
            f"has, and are left out, e.g. {shown(listed.strange['key'][0])}"
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
        files=_typed(known.with_columns(absent), FILES).sort("key"),
        missing_periods=pl.DataFrame(schema=MISSING),
        notes=tuple(notes),
    )


def _query_of(files: pl.DataFrame) -> Query:
    """Return a query that takes in these files (and perhaps others of the same names and days)."""
    query = Query()
    if not files.height:
        return query

    def words(column: str) -> list[str]:
        return files[column].drop_nulls().unique().sort().to_list()

    first, last = files.select(pl.col("first").min(), pl.col("last").max()).row(0)
    query = query.markets(words("market")).data_types(words("data_type")).symbols(words("symbol"))
    return query.intervals(words("interval")).between(first, last)
