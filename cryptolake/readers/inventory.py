"""What a lake holds, per zone and dataset: from the ledger, the build records and the files' names."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import dataset_name
from cryptolake.bronze.ledger import warn_of_lost_ledger, with_key_parts
from cryptolake.errors import DamagedLakeWarning, StorageError
from cryptolake.readers.silver_files import current_silver, current_sources
from cryptolake.storage import layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

COLUMNS = {
    "zone": pl.String(),
    "dataset": pl.String(),
    "symbols": pl.Int64(),
    "intervals": pl.List(pl.String()),
    "first": pl.Date(),
    "last": pl.Date(),
    "files": pl.Int64(),
    "bytes": pl.Int64(),
    "rows": pl.Int64(),
}


def datasets(lake: LakeContext) -> pl.DataFrame:
    """Return one row for each zone and dataset that has files.

    Returns
    -------
    polars.DataFrame
        ``zone`` (bronze, silver, gold), ``dataset``, the number of ``symbols``, the ``intervals`` there
        are (empty where the type has none), the ``first`` and ``last`` UTC day, ``files``, ``bytes``
        and ``rows``. Days are those that Bronze files cover and those that Silver rows lie in. Rows are
        as recorded when Silver was built: null where some file was not built, or not by cryptolake.

    Warns
    -----
    DamagedLakeWarning
        Silver files are gone or cut; they are not counted.
    """
    warn_of_lost_ledger(lake.storage, lake.records)
    sources = lake.records.read("sources")
    parts = [
        _bronze(lake.records, sources),
        _silver(lake.storage, lake.records),
        _gold(lake.storage, lake.records),
    ]
    found = pl.concat([part.select(*COLUMNS).cast(COLUMNS) for part in parts])  # type: ignore[arg-type]
    zones = pl.Enum([layout.BRONZE, layout.SILVER, layout.GOLD])
    return found.sort(pl.col("zone").cast(zones), "dataset")


GLANCE = 12 * 2**20
"""Bytes of a ledger that a lake's picture reads, at most: those of 100,000 files and more."""


def shown(lake: Callable[[], LakeContext], told: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return what a lake's picture shows: what :func:`datasets` last told, or what the ledger has where that is newer.

    Of a lake that cannot be read, or that a newer release wrote, it is what was told: a picture raises nothing.
    """
    try:
        now = glance(lake())
    except StorageError:
        return told
    if now is None or told is None:
        return told if now is None else now
    same = ["dataset", "files", "bytes"]
    before = told.filter(zone=layout.BRONZE).select(same)
    return told if before.equals(now.select(same)) else now


def glance(lake: LakeContext) -> pl.DataFrame | None:
    """Return the rows of :func:`datasets` for Bronze, as the ledger has them, for a picture of a lake.

    Only the ledger's segments are read, whatever number of files they name; no folder of the lake's data is walked,
    and nothing is kept.

    Returns
    -------
    polars.DataFrame or None
        Without counts of rows; None for a lake in a bucket, which would be asked over the network, for a ledger of
        more than :data:`GLANCE` bytes, and where it cannot be read.
    """
    if not lake.storage.is_local:
        return None
    try:
        sizes = [lake.storage.size(path) or 0 for path in lake.tables.names("files")]
        if sum(sizes) > GLANCE:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # verify tells of what is damaged
            held = with_key_parts(lake.tables.ledger()).filter(pl.col("data_type").is_not_null())
    except (OSError, pl.exceptions.PolarsError):
        return None
    held = held.with_columns(pl.lit(None, pl.Int64).alias("rows"))
    return _per_dataset(held, layout.BRONZE, "size").select(*COLUMNS).cast(COLUMNS).sort("dataset")  # type: ignore[arg-type]


def _bronze(records: TableReader, sources: pl.DataFrame) -> pl.DataFrame:
    # A file that feeds two months has an account in both, each of its own lines.
    read = current_sources(sources).group_by("key").agg(pl.col("rows_in").sum().alias("rows"))
    held = with_key_parts(records.ledger()).filter(pl.col("data_type").is_not_null())
    return _per_dataset(held.join(read, on="key", how="left"), "bronze", "size")


def _silver(storage: Storage, records: TableReader) -> pl.DataFrame:
    found = current_silver(storage, records)
    damaged = found.filter("damaged")["path"]
    if damaged.len():
        message = (
            f"{damaged.len()} Silver files are gone or have another size than recorded, and are not counted: "
            f"{', '.join(damaged.head(3))}. cryptolake verify --repair builds them again from Bronze."
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=3)
    month = pl.concat_str("month", pl.lit("-01")).str.to_date("%Y-%m-%d")
    parts = (
        found.filter(~pl.col("damaged"))
        .with_columns(month.alias("_month"))
        .with_columns(
            pl.coalesce("first", "_month").alias("first"),
            pl.coalesce("last", pl.col("_month").dt.month_end()).alias("last"),
        )
    )
    return _per_dataset(parts, "silver", "bytes")


def _per_dataset(files: pl.DataFrame, zone: str, size: str) -> pl.DataFrame:
    grouped = files.group_by("market", "data_type").agg(
        pl.col("symbol").n_unique().alias("symbols"),
        pl.col("interval").drop_nulls().unique().alias("intervals"),
        pl.col("first").min(),
        pl.col("last").max(),
        pl.len().alias("files"),
        pl.col(size).sum().alias("bytes"),
        pl.when(pl.col("rows").is_not_null().all()).then(pl.col("rows").sum()).alias("rows"),
    )
    names = [dataset_name(*pair) for pair in grouped.select("market", "data_type").iter_rows()]
    order = {interval: place for place, interval in enumerate(_intervals())}
    intervals = [sorted(found, key=order.__getitem__) for found in grouped["intervals"]]
    return grouped.with_columns(
        pl.lit(zone).alias("zone"),
        pl.Series("dataset", names, dtype=pl.String),
        pl.Series("intervals", intervals, dtype=pl.List(pl.String)),
    )


def _gold(storage: Storage, records: TableReader) -> pl.DataFrame:
    """Return what stands under ``gold/``; days and rows as recorded, null where some file has no record."""
    order = {interval: place for place, interval in enumerate(_intervals())}
    files: dict[str, list[tuple[str, int]]] = {}
    for entry in storage.list(layout.GOLD):
        recipe = layout.gold_recipe(entry.path)
        if recipe is not None:
            files.setdefault(recipe, []).append((entry.path, entry.size))
    newest = records.read("lineage").unique("path", keep="last") if files else None
    rows = []
    for recipe, found in files.items():
        places = [place for path, _ in found if (place := layout.parse_gold_path(path)) is not None]
        table = pl.DataFrame(found, schema={"path": pl.String, "size": pl.Int64}, orient="row")
        told = table if newest is None else table.join(newest, on=["path", "size"], how="left")
        known = newest is not None and not told["rows"].null_count()
        levels = {place.interval.value for place in places if place.interval is not None}
        rows.append(
            {
                "zone": layout.GOLD,
                "dataset": recipe,
                "symbols": len({p.symbol for p in places if p.symbol}) or None,
                "intervals": sorted(levels, key=order.__getitem__),
                "first": told["first"].dt.date().min() if known else None,
                "last": told["last"].dt.date().max() if known else None,
                "files": len(found),
                "bytes": table["size"].sum(),
                "rows": told["rows"].sum() if known else None,
            }
        )
    return pl.DataFrame(rows, schema=COLUMNS)


def _intervals() -> list[str]:
    from cryptolake.archive.enums import Interval

    return [interval.value for interval in Interval]
