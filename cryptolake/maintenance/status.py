"""``lake.status``: per dataset, what is here, how new it is, and what was set aside. Asks only the lake."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition, dataset_name
from cryptolake.archive.lives import due_day
from cryptolake.archive.matrix import load_matrix
from cryptolake.bronze.ledger import holdings, warn_of_lost_ledger, with_key_parts
from cryptolake.listing.folders import Folder
from cryptolake.listing.identity import archive_of
from cryptolake.listing.lifetimes import known_end
from cryptolake.readers.silver_files import current_silver
from cryptolake.storage import layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader

_DATASET = ("market", "data_type")
_TOLD = ("rows", "duplicates", "rejects")
_COUNTS = (
    "symbols",
    "files",
    "bytes",
    "quarantined",
    "months",
    "rows",
    "duplicates",
    "rejects",
    "damaged",
)


def status(lake: LakeContext, today: date | None = None) -> pl.DataFrame:
    """Return one row per dataset that the lake holds or has files of in quarantine.

    Parameters
    ----------
    lake
        The lake, and the cached listing of its archive.
    today
        The UTC day to count from.

    Returns
    -------
    polars.DataFrame
        ``dataset``; ``symbols``, ``files``, ``bytes`` of Bronze; ``newest``, the last UTC day that a
        file covers, and ``behind``, the days after it that are due: those that have ended, or for an archive
        that had ended when it was asked last (a mirror, a sample) those that it has; ``quarantined`` files;
        ``months``, ``rows``, ``duplicates`` and ``rejects`` of Silver as it stands (null where a month has lost the
        account of its rows, which ``lake.build(query, force=True)`` makes anew); ``damaged`` months, which are gone
        or have another size than recorded and are not counted; ``last_stored``, UTC; ``archive``, the one
        that the lake is of, null where it does not say. A recipe of Gold has a row, too: ``gold.<recipe>``, with the
        files, bytes and rows that stand as recorded, and ``damaged`` those that do not, or are gone; ``behind`` is null.
    """
    storage, records = lake.storage, lake.records
    warn_of_lost_ledger(storage, records)
    joined = standing(lake, today=today)
    names = [dataset_name(*pair) for pair in joined.select(_DATASET).iter_rows()]
    own = archive_of(lake)
    archive = pl.lit(str(own) if own else None, pl.String).alias("archive")
    order = ("dataset", *_COUNTS[:3], "newest", "behind", *_COUNTS[3:], "last_stored", archive)
    silver = joined.with_columns(pl.Series("dataset", names, dtype=pl.String)).select(order)
    files = [
        (entry.path, entry.size, f"gold.{recipe}")
        for entry in storage.list(layout.GOLD)
        if (recipe := layout.gold_recipe(entry.path)) is not None
    ]
    if files:
        gold = _gold(files, records).with_columns(archive)
        same = gold.select(pl.col(name).cast(kind) for name, kind in silver.schema.items())
        silver = pl.concat([silver, same])
    return silver.sort("dataset")


def standing(
    lake: LakeContext, by: Sequence[str] = _DATASET, today: date | None = None
) -> pl.DataFrame:
    """Return what Bronze, quarantine and Silver hold, as :func:`status` says it, a row a dataset.

    Parameters
    ----------
    lake, today
        As :func:`status` takes them.
    by
        What a row is of: ``market`` and ``data_type``, and ``interval``, which is null where a type has none.
    """
    storage, records, now = lake.storage, lake.records, today or datetime.now(UTC).date()
    same: dict[str, Any] = {"on": by, "how": "full", "coalesce": True, "nulls_equal": True}
    joined = (
        _bronze(records, by)
        .join(_quarantined(records, by), **same)
        .join(_silver(storage, records, by), **same)
    )
    due = [_due(lake, now, *fact) for fact in joined.select(*_DATASET, "held").iter_rows()]
    behind = (pl.col("due") - pl.col("newest")).dt.total_days()
    return joined.with_columns(pl.Series("due", due, dtype=pl.Date)).with_columns(
        pl.max_horizontal(0, behind).alias("behind"),
        *(_or_zero(name).cast(pl.Int64) for name in _COUNTS),
    )


def _or_zero(name: str) -> pl.Expr:
    """Return a count, 0 where there is none; a number of rows stays unknown where there are months."""
    value = pl.col(name)
    return value.fill_null(0 if name not in _TOLD else pl.when(pl.col("months").is_null()).then(0))


def _gold(standing: list[tuple[str, int, str]], records: TableReader) -> pl.DataFrame:
    columns = {"path": pl.String, "size": pl.Int64, "dataset": pl.String}
    places = [layout.parse_gold_path(path) for path, *_ in standing]
    symbols = pl.Series("symbol", [place.symbol if place else None for place in places], pl.String)
    files = pl.DataFrame(standing, schema=columns, orient="row").with_columns(symbols)
    newest = records.read("lineage").unique("path", keep="last").drop_nulls("size")
    dataset = pl.format("gold.{}", "recipe").alias("dataset")
    absent = newest.join(files, on="path", how="anti")
    gone = absent.group_by(dataset).agg(pl.len().alias("gone"))
    told = ["path", "size", "rows", "last", "built_at"]
    files = files.join(newest.select(told), on=["path", "size"], how="left")
    whole = pl.col("built_at").is_not_null()
    counted = files.group_by("dataset").agg(
        pl.col("symbol").drop_nulls().n_unique().alias("symbols"),
        whole.sum().alias("files"),
        pl.col("size").filter(whole).sum().alias("bytes"),
        pl.col("last").max().dt.date().alias("newest"),
        pl.lit(None, pl.Int64).alias("behind"),
        pl.lit(0).alias("quarantined"),
        whole.sum().alias("months"),
        pl.col("rows").sum(),
        pl.lit(0).alias("duplicates"),
        pl.lit(0).alias("rejects"),
        (~whole).sum().alias("damaged"),
        pl.col("built_at").max().alias("last_stored"),
    )
    missing = pl.col("gone").fill_null(0)
    return counted.join(gone, on="dataset", how="left").with_columns(pl.col("damaged") + missing)


def _bronze(records: TableReader, by: Sequence[str]) -> pl.DataFrame:
    return (
        holdings(records)
        .drop_nulls("data_type")  # keys that the archive's grammar does not know
        .group_by(by)
        .agg(
            pl.col("symbol").n_unique().alias("symbols"),
            pl.len().alias("files"),
            pl.col("size").sum().alias("bytes"),
            pl.col("last").max().alias("newest"),
            pl.col("fetched_at").max().alias("last_stored"),
            pl.struct("symbol", "interval").sort_by("last").last().alias("held"),
        )
    )


def _due(
    lake: LakeContext, today: date, market: str, data_type: str, held: dict[str, str] | None
) -> date:
    """Return the last day that the archive is expected to have, by what it said when it was asked last."""
    row = load_matrix().row(Market(market), DataType(data_type))
    monthly = Partition.DAILY not in row.partitions
    due = due_day(None, today, today, monthly=monthly)
    if held:
        interval = Interval(held["interval"]) if held["interval"] else None
        folder = Folder(row, held["symbol"], interval)
        if known := known_end(lake.listing, row, [folder]):
            due = due_day(known.day, known.asked, today, monthly=monthly)
    return min(due, row.last_date or due)


def _quarantined(records: TableReader, by: Sequence[str]) -> pl.DataFrame:
    files = with_key_parts(records.quarantined()).drop_nulls("data_type")
    return files.group_by(by).agg(pl.len().alias("quarantined"))


def _pairs() -> list[str]:
    """Return the datasets that there can be; a record may be of a path that is no Silver file's."""
    return [f"{row.market}/{row.data_type}" for row in load_matrix().rows]


def _silver(storage: Storage, records: TableReader, by: Sequence[str]) -> pl.DataFrame:
    told = (pl.col("rows").is_not_null() | pl.col("damaged")).all()
    return (
        current_silver(storage, records)
        .filter(pl.concat_str("market", "data_type", separator="/").is_in(_pairs()))
        .group_by(by)
        .agg(
            (~pl.col("damaged")).sum().alias("months"),
            pl.col("damaged").sum(),
            *(pl.when(told).then(pl.col(name).sum()) for name in _TOLD),
        )
    )
