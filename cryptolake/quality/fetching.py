"""A plan of named files: what healing and updating fetch, through the same transfer as everything else."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.planning.plan import FILES, MISSING, Plan
from cryptolake.planning.status import status_of
from cryptolake.query import Query

if TYPE_CHECKING:
    from cryptolake.archive.source import Archive
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta


def plan_of(
    files: pl.DataFrame,
    archive: Archive,
    storage: Storage,
    meta: Meta,
    *,
    notes: Iterable[str] = (),
    listed_at: datetime | None = None,
) -> Plan:
    """Return the plan that fetches these listed files, and says which of them are here already.

    Parameters
    ----------
    files
        Rows of the listing with their key parts: ``key, market, data_type, symbol, interval, partition,
        period, first, last, size, etag, last_modified, checksum_size, checksum_etag``.
    archive, storage, meta
        Where they are, and the lake.
    notes
        Why these files, in words.
    listed_at
        When the listing was asked, UTC.
    """
    standing = files.with_columns(status_of(files, storage, meta).alias("status"))
    absent = [
        pl.lit(None, dtype).alias(name) for name, dtype in FILES.items() if name not in standing
    ]
    now = datetime.now(UTC)
    return Plan(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        query=_sentence(files),
        archive=archive,
        created_at=now,
        listed_at=listed_at,
        files=standing.with_columns(absent)
        .select(pl.col(name).cast(dtype) for name, dtype in FILES.items())
        .sort("key"),
        missing_periods=pl.DataFrame(schema=MISSING),
        notes=tuple(notes),
    )


def _sentence(files: pl.DataFrame) -> Query:
    """Return a query that takes in these files (and perhaps others of the same names and days)."""
    said = Query()
    if not files.height:
        return said

    def words(column: str) -> list[str]:
        return files[column].drop_nulls().unique().sort().to_list()

    first, last = files.select(pl.col("first").min(), pl.col("last").max()).row(0)
    said = said.markets(words("market")).data_types(words("data_type")).symbols(words("symbol"))
    return said.intervals(words("interval")).between(first, last)
