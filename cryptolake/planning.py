"""Making a Plan: from a query's words to symbols, folders, files, and where each file stands."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.commands import selectors
from cryptolake.cover import FOLDER, cover
from cryptolake.estimates import suspect_sizes
from cryptolake.periods import Days
from cryptolake.plan import FILES, MISSING, TO_MOVE, Plan, age_of
from cryptolake.standing import with_status
from cryptolake.targets import find_targets
from cryptolake.vocabulary import Partition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.archive import Archive
    from cryptolake.listing import Folder, Listed, Listing
    from cryptolake.meta import Meta
    from cryptolake.queries import Query
    from cryptolake.storage import Storage


def make_plan(
    query: Query,
    archive: Archive,
    listing: Listing,
    storage: Storage,
    meta: Meta,
    *,
    refresh: bool = False,
    max_age: timedelta | None = None,
) -> Plan:
    """Work out the files that a query needs. Asks the listing and the lake; transfers nothing.

    Parameters
    ----------
    query
        A complete sentence.
    archive, listing
        Where the files come from, and what is there.
    storage, meta
        The lake and its tables.
    refresh
        Ask the archive again even where the cached listing is fresh.
    max_age
        How old a cached listing may be; the listing's own figure when None.

    Raises
    ------
    InvalidQuery
        The sentence is not complete, or its words do not agree.
    NoSuchSymbol
        A name, a glob or the universe matches nothing that the archive lists.
    ListingError
        The archive does not answer and no cached listing can stand in.
    """
    said = query.check().selection
    days = said.days or Days(date.min, date.min)  # a checked query has said its days
    targets = find_targets(said, listing, refresh=refresh, max_age=max_age)
    listed = listing.listed(targets.folders, days, refresh=refresh, max_age=max_age)
    targets = targets.checked(said, listed, listing)
    folders = _folders(targets.folders, listed)
    asof = (listed.at or datetime.now(UTC)).date()
    chosen, missing = cover(folders, listed.files, days, asof)
    names = _names(targets.folders)
    files = with_status(_named(chosen, names), storage, meta)
    files = _with_selectors(files, listed)
    files = files.with_columns(suspect_size=pl.col("key").is_in(_suspects(listed).implode()))
    now = datetime.now(UTC)
    return Plan(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        query=query,
        archive=archive,
        created_at=now,
        listed_at=listed.at,
        files=files.select(pl.col(name).cast(dtype) for name, dtype in FILES.items()),
        missing_periods=_named(missing, names).select(
            pl.col(name).cast(dtype) for name, dtype in MISSING.items()
        ),
        notes=(*targets.notes, *_notes(listed, now)),
    )


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
    moving = (
        files.lazy().filter(pl.col("status").is_in(TO_MOVE)).select("key", move=pl.lit(value=True))
    )
    columns = ("folder", "partition", "key", "period", "checksum_size")
    everything = (
        listed.files.lazy()
        .select(*columns)
        .join(moving, on="key", how="left", maintain_order="left")
        .with_columns(pl.col("move").fill_null(value=False))
        .collect()
    )
    found = selectors(everything, listed.strange)
    return files.join(found, on="key", how="left", maintain_order="left")


def _suspects(listed: Listed) -> pl.Series:
    ordered = listed.files.select("folder", "partition", "day", "size", "key").sort(
        "folder", "partition", "day"
    )
    return ordered["key"].filter(suspect_sizes(ordered))


def _notes(listed: Listed, now: datetime) -> list[str]:
    notes: list[str] = []
    if listed.trouble:
        notes.append(
            f"the archive does not answer ({listed.trouble.why}); planned from the cached listing, "
            f"{age_of(listed.at, now)}"
        )
    if listed.strange.height:
        notes.append(
            f"{listed.strange.height} listed keys fit no pattern of the archive and are left out, "
            f"e.g. {listed.strange['key'][0]}"
        )
    return notes
