"""``lake.update()``: what the lake holds, brought to the newest published day.

The archive's listing is asked anew for every symbol and interval that the ledger has. Three kinds of
files are fetched: those that the archive has rewritten, those that go on from the newest day held, and
the monthly file of a month held as daily ones, where rows of that month are missing: it can only add
rows (of two that differ the daily one counts), so a month without gaps is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.periods import Days
from cryptolake.bronze.ledger import holdings, holdings_beside
from cryptolake.planning.cover import FOLDER, cover
from cryptolake.planning.planner import plan_of
from cryptolake.quality.freshness import NAME, OBJECT, held_folders, listed_files
from cryptolake.quality.report import gaps
from cryptolake.query import Query

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.snapshot import Listed
    from cryptolake.report import Report
    from cryptolake.storage.tables import TableReader
    from cryptolake.transfer.pull import RunSettings


CHANGES: dict[str, Any] = {
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "why": pl.String,
    "files": pl.Int64,
    "bytes": pl.Int64,
    "failed": pl.Int64,
    "first": pl.Date,
    "last": pl.Date,
}
"""The columns of ``Update.changes``: per symbol and reason (``extended``, ``rewritten``, ``completed``)
the files fetched, their bytes, how many could not be fetched, and the first and last day they cover."""


@dataclass(frozen=True, repr=False)
class Update:
    """What an update did. ``report`` is that of its transfer and build, None when there was no need."""

    changes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CHANGES))
    rows_before: int = 0
    rows_after: int = 0
    report: Report | None = None
    listed_at: datetime | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was fetched or built."""
        return self.changes.height > 0

    def summary(self) -> str:
        """Return the update in one sentence.

        Examples
        --------
        >>> Update().summary()
        'update: everything here is as the archive has it'
        """
        if not self.changed:
            return "update: everything here is as the archive has it"
        counts = self.changes.group_by("why").agg(pl.col("files").sum()).sort("why")
        reasons = ", ".join(f"{why} by {files:,} files" for why, files in counts.iter_rows())
        return f"update: {reasons}; {self.rows_before:,} rows before, {self.rows_after:,} now"

    def __repr__(self) -> str:
        return f"<Update {self.summary()}>"


def update(lake: LakeContext, settings: RunSettings, query: Query | None = None) -> Update:
    """Bring what the lake holds to the newest published day. Done twice, the second does nothing.

    Parameters
    ----------
    lake
        The lake and its archive, whose listing is asked anew.
    settings
        How to transfer and build.
    query
        Only these markets, data types, intervals and symbols of what is held; its days do not matter.

    Returns
    -------
    Update
        What was fetched, per symbol and reason, and the rows before and after.

    Raises
    ------
    ListingError
        The archive does not answer: a stale listing cannot say what is new.
    """
    held = holdings(lake.records, None if query is None else _undated(query))
    folders = held_folders(held)
    if not folders:
        return Update()
    today = datetime.now(UTC).date()
    span = Days(min(held["first"].drop_nulls()), today)
    listed = lake.listing.listed(folders, span, refresh=True)
    if listed.trouble is not None:
        raise listed.trouble
    files = listed_files(listed)
    before = _rows(lake.records)
    newer = pl.concat([_rewritten(held, files), _extending(held, files, folders, listed, today)])
    done = [_fetch(newer, listed, lake, settings)]
    # Only when all days are here can it be seen which months lack rows.
    held = holdings(lake.records, None if query is None else _undated(query))
    lacking = _completing(held, files, lake)
    done.append(_fetch(lacking, listed, lake, settings))
    changes = [changes for changes, _ in done if changes.height]
    reports = [report for _, report in done if report is not None]
    if not reports:
        return Update(listed_at=listed.at)
    report = reports[0].combine(reports[1]) if len(reports) > 1 else reports[0]
    return Update(pl.concat(changes), before, _rows(lake.records), report, listed.at)


def _fetch(
    wanted: pl.DataFrame, listed: Listed, lake: LakeContext, settings: RunSettings
) -> tuple[pl.DataFrame, Report | None]:
    """Fetch files and build their months; nothing where all are here, or known to be bad."""
    files = wanted.unique("key", keep="first", maintain_order=True)
    plan = plan_of(
        files.drop("why"),
        lake,
        notes=["what is new since the lake was filled"],
        listed_at=listed.at,
    )
    moving = files.join(plan.moving.select("key"), on="key", how="semi", maintain_order="left")
    if not moving.height:
        return pl.DataFrame(schema=CHANGES), None
    months = moving.select(*NAME, month=pl.col("period").str.slice(0, 7)).unique()
    moved = settings.transfer(plan, lake)
    built = settings.build(_in_months(holdings_beside(lake.records, moving["key"]), months), lake)
    report = moved.combine(built)
    return _changes(moving, report), report


def _undated(query: Query) -> Query:
    return Query(query.selection.model_copy(update={"first": None, "last": None}))


def _rewritten(held: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    mine = held.select("key", has="etag", md5="md5")
    both = files.join(mine, on="key", how="inner", maintain_order="left")
    same = pl.col("etag").eq_missing(pl.col("has")) | pl.col("etag").eq_missing(pl.col("md5"))
    return _shaped(both.filter(~same), "rewritten")


def _extending(
    held: pl.DataFrame, files: pl.DataFrame, folders: list[Folder], listed: Listed, today: date
) -> pl.DataFrame:
    """Return the files that go on after the last day each folder holds, the cheapest that do."""
    newest_held = held.group_by(NAME).agg(pl.col("last").max())
    ends = {tuple(name): last for *name, last in newest_held.iter_rows()}
    facts = listed.folders.with_columns(pl.col("more_daily").fill_null(value=False))
    found = []
    for number, folder in enumerate(folders):
        name = (
            folder.row.market.value,
            folder.row.data_type.value,
            folder.symbol,
            folder.interval.value if folder.interval else None,
        )
        last = ends[name]
        mine = files.filter(pl.col("folder") == number)
        newest = mine["last"].max()
        if not isinstance(newest, date) or newest <= last:
            continue
        about = pl.DataFrame(
            {
                "folder": [number],
                "daily": [Partition.DAILY in folder.partitions],
                "monthly": [Partition.MONTHLY in folder.partitions],
                "ends": [folder.row.last_date],
            },
            schema={key: FOLDER[key] for key in ("folder", "daily", "monthly", "ends")},
        ).join(facts, on="folder", how="left")
        after = Days(last + timedelta(days=1), newest)
        chosen = cover(about, mine.with_columns(day="first"), after, today).files
        found.append(_shaped(chosen, "extended"))
    return pl.concat([_shaped(files.clear(), "extended"), *found])


def _completing(held: pl.DataFrame, files: pl.DataFrame, lake: LakeContext) -> pl.DataFrame:
    """Return the monthly files of months held as daily ones that lack rows."""
    by_month = held.with_columns(month=pl.col("first").dt.month_start())
    monthly = by_month.filter(pl.col("partition") == "monthly")
    daily = by_month.filter(pl.col("partition") == "daily").join(
        monthly, on=[*NAME, "month"], how="anti", nulls_equal=True
    )
    begun = daily.group_by(*NAME, "month").agg(since=pl.col("first").min())
    may = files.filter(pl.col("partition") == "monthly").join(
        begun.rename({"month": "first"}), on=[*NAME, "first"], how="inner", nulls_equal=True
    )
    keys: set[str] = set()
    for (market, data_type, interval), part in may.partition_by(
        "market", "data_type", "interval", as_dict=True
    ).items():
        # What lies before the first day held was not asked for when the lake was filled.
        for (since, last), months in part.partition_by("since", "last", as_dict=True).items():
            symbols = months["symbol"].unique().to_list()
            asked = Query().markets(str(market)).data_types(str(data_type)).symbols(symbols)
            if interval:
                asked = asked.intervals(str(interval))
            lacking = gaps(asked.between(_day(since), _day(last)), lake)
            unknown = lacking.filter(pl.col("cause") == "unknown")
            keys |= {key for siblings in unknown["siblings"] for key in siblings}
    return _shaped(may.filter(pl.col("key").is_in(sorted(keys))), "completed")


def _day(value: Any) -> date:
    day: date = value
    return day


def _shaped(files: pl.DataFrame, why: str) -> pl.DataFrame:
    parts = ["market", "data_type", "symbol", "interval", "partition", "period", "first", "last"]
    return files.select(*OBJECT, *parts, pl.lit(why).alias("why"))


def _in_months(held: pl.DataFrame, months: pl.DataFrame) -> pl.DataFrame:
    rows = held.with_columns(month=pl.col("period").str.slice(0, 7))
    return rows.join(months, on=[*NAME, "month"], how="semi", nulls_equal=True).drop("month")


def _changes(wanted: pl.DataFrame, report: Report) -> pl.DataFrame:
    lost = report.files.filter(pl.col("status").is_in(["failed", "quarantined"])).select(
        "key", lost=pl.lit(value=True)
    )
    return (
        wanted.join(lost, on="key", how="left")
        .group_by(*NAME, "why")
        .agg(
            pl.len().alias("files"),
            pl.col("size").sum().alias("bytes"),
            pl.col("lost").count().alias("failed"),
            pl.col("first").min(),
            pl.col("last").max(),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in CHANGES.items())
        .sort(*NAME, "why")
    )


def _rows(records: TableReader) -> int:
    """Return the rows that Silver has now."""
    from cryptolake.silver.records import current

    return int(current(records, "sources")["rows_out"].sum())
