"""``lake.status``: per dataset, what is here, how new it is, and what was set aside. Asks only the lake."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import dataset_name
from cryptolake.bronze.ledger import holdings, with_key_parts
from cryptolake.readers.silver_files import current_silver

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

_DATASET = ["market", "data_type"]


def status(storage: Storage, records: TableReader, today: date | None = None) -> pl.DataFrame:
    """Return one row per dataset that the lake holds or has files of in quarantine.

    Parameters
    ----------
    storage
        The lake.
    records
        The lake's tables.
    today
        The UTC day to count from.

    Returns
    -------
    polars.DataFrame
        ``dataset``; ``symbols``, ``files``, ``bytes`` of Bronze; ``newest``, the last UTC day that a
        file covers, and ``behind``, the days after it that have ended; ``quarantined`` files; ``months``,
        ``rows``, ``duplicates`` and ``rejects`` of Silver as it stands; ``damaged`` months, which are gone
        or have another size than recorded and are not counted; ``last_stored``, UTC; ``archive``, the one
        that the lake is of, null where it does not say.
    """
    yesterday = (today or datetime.now(UTC).date()) - timedelta(days=1)
    joined = (
        _bronze(records)
        .join(_quarantined(records), on=_DATASET, how="full", coalesce=True)
        .join(_silver(storage, records), on=_DATASET, how="full", coalesce=True)
    )
    names = [dataset_name(*pair) for pair in joined.select(_DATASET).iter_rows()]
    counts = ["symbols", "files", "bytes", "quarantined", "months", "rows", "duplicates", "rejects"]
    counts.append("damaged")
    archive = pl.lit(str(storage.archive) if storage.archive else None, pl.String).alias("archive")
    behind = (pl.lit(yesterday) - pl.col("newest")).dt.total_days()
    return (
        joined.with_columns(pl.Series("dataset", names, dtype=pl.String))
        .with_columns(
            pl.max_horizontal(0, behind).alias("behind"),
            *(pl.col(name).fill_null(0).cast(pl.Int64) for name in counts),
        )
        .select("dataset", *counts[:3], "newest", "behind", *counts[3:], "last_stored", archive)
        .sort("dataset")
    )


def _bronze(records: TableReader) -> pl.DataFrame:
    return (
        holdings(records)
        .drop_nulls("data_type")  # keys that the archive's grammar does not know
        .group_by(_DATASET)
        .agg(
            pl.col("symbol").n_unique().alias("symbols"),
            pl.len().alias("files"),
            pl.col("size").sum().alias("bytes"),
            pl.col("last").max().alias("newest"),
            pl.col("fetched_at").max().alias("last_stored"),
        )
    )


def _quarantined(records: TableReader) -> pl.DataFrame:
    files = with_key_parts(records.quarantined()).drop_nulls("data_type")
    return files.group_by(_DATASET).agg(pl.len().alias("quarantined"))


def _silver(storage: Storage, records: TableReader) -> pl.DataFrame:
    return (
        current_silver(storage, records)
        .group_by(_DATASET)
        .agg(
            (~pl.col("damaged")).sum().alias("months"),
            pl.col("damaged").sum(),
            pl.col("rows").sum(),
            pl.col("duplicates").sum(),
            pl.col("rejects").sum(),
        )
    )
