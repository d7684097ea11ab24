"""What a lake lacks of the span that it holds: days without a Bronze file, and months that Silver lacks.

An update decides by these from the state of the lake, not from what its own run moved: what a run that
failed or was killed has left undone is done by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.periods import Days, Period
from cryptolake.planning.cover import FOLDER, cover
from cryptolake.quality.freshness import NAME
from cryptolake.readers.silver_files import silver_files
from cryptolake.readers.unusable import REFUSED
from cryptolake.silver.records import current, month_records
from cryptolake.storage.layout import silver_folder, silver_path
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.snapshot import Listed, Since

_OPEN = timedelta(days=92)
"""How long before the newest day held the archive may still add or rewrite files at any time."""

_FILE = r"/[^/]*$"

_SETTLED = timedelta(days=7)
"""How old the cached listing of an earlier year that the lake holds whole may be."""


class Coverage(NamedTuple):
    """The days that the lake holds of some folders, which go by their number.

    ``days``: ``folder, day``, each UTC day that a Bronze file covers. ``spans``: ``folder, first, last``.
    """

    days: pl.DataFrame
    spans: pl.DataFrame

    @classmethod
    def of(cls, held: pl.DataFrame, folders: Sequence[Folder]) -> Coverage:
        """Return what ledger rows (with key parts) cover of folders."""
        numbers = pl.DataFrame(
            [(number, *_name(folder)) for number, folder in enumerate(folders)],
            schema={"folder": pl.UInt32} | dict.fromkeys(NAME, pl.String),
            orient="row",
        )
        rows = held.select(*NAME, "first", "last").join(
            numbers, on=NAME, how="inner", nulls_equal=True
        )
        spans = rows.group_by("folder").agg(pl.col("first").min(), pl.col("last").max())
        return cls(_days_of(rows), spans)

    def since(self, now: datetime) -> Since:
        """Return which windows of the listing an update asks anew.

        Those in which something can be new: the monthly files, the years near the newest day held and
        after it, and a year of which a day is lacking. Of an earlier year that is held whole only a rewritten
        file can be new: it is asked once a week. Years before the first day held are not needed.
        """
        have: dict[tuple[int, int], int] = {
            (folder, year): count
            for folder, year, count in self.days.group_by(
                "folder", pl.col("day").dt.year().alias("year")
            )
            .len()
            .iter_rows()
        }
        spans = {folder: (first, last) for folder, first, last in self.spans.iter_rows()}

        def since(folder: int, partition: Partition, window: str) -> datetime | None:
            if partition is Partition.MONTHLY:
                return now
            if window == "first":
                return datetime.min.replace(tzinfo=UTC)
            first, last = spans[folder]
            year = Days(date(int(window), 1, 1), date(int(window), 12, 31))
            mine = year.clip(Days(first, last))
            if year.last < first:
                return None
            if (
                mine is None
                or year.last >= last - _OPEN
                or have.get((folder, int(window))) != len(mine)
            ):
                return now
            return now - _SETTLED

        return since

    def lacking(
        self, folders: Sequence[Folder], files: pl.DataFrame, listed: Listed, today: date
    ) -> pl.DataFrame:
        """Return the cheapest listed files with days that the lake lacks, from its first day on.

        Returns
        -------
        polars.DataFrame
            ``key`` and ``why``: ``extended`` where the days are after the last one held, else ``filled``.
        """
        found = [pl.DataFrame(schema={"key": pl.String, "why": pl.String})]
        lasts = {folder: last for folder, _, last in self.spans.iter_rows()}
        facts = listed.folders.with_columns(pl.col("more_daily").fill_null(value=False))
        for number, first, last in self._runs(files).iter_rows():
            folder = folders[number]
            about = pl.DataFrame(
                {
                    "folder": [number],
                    "daily": [Partition.DAILY in folder.partitions],
                    "monthly": [Partition.MONTHLY in folder.partitions],
                    "ends": [folder.row.last_date],
                },
                schema={key: FOLDER[key] for key in ("folder", "daily", "monthly", "ends")},
            ).join(facts, on="folder", how="left")
            mine = files.filter(pl.col("folder") == number).with_columns(day="first")
            chosen = cover(about, mine, Days(first, last), today).files
            why = "extended" if first > lasts[number] else "filled"
            found.append(chosen.select("key", pl.lit(why).alias("why")))
        return pl.concat(found)

    def _runs(self, files: pl.DataFrame) -> pl.DataFrame:
        """Return the runs of days that listed files have and the lake lacks: ``folder, first, last``."""
        lacking = (
            _days_of(files)
            .join(self.days, on=["folder", "day"], how="anti")
            .join(self.spans.select("folder", begin="first"), on="folder")
            .filter(pl.col("day") >= pl.col("begin"))
            .sort("folder", "day")
        )
        place = pl.int_range(pl.len()).over("folder")
        run = pl.col("day").dt.epoch("d") - place
        return (
            lacking.with_columns(run=run)
            .group_by("folder", "run", maintain_order=True)
            .agg(first=pl.col("day").min(), last=pl.col("day").max())
            .drop("run")
        )


def _name(folder: Folder) -> tuple[str, str, str, str | None]:
    market, data_type, symbol, interval = folder.parts
    return market.value, data_type.value, symbol, interval.value if interval else None


def _days_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each day that some rows' ``first`` to ``last`` cover, once a folder."""
    days = rows.drop_nulls(["first", "last"]).select("folder", day=pl.date_ranges("first", "last"))
    return days.explode("day").unique()


def unbuilt(held: pl.DataFrame, lake: LakeContext) -> pl.DataFrame:
    """Return the ledger rows of the months that Silver lacks, or that lack the rows of a file.

    They have their month's ``path``, and ``used``: whether Silver has this file's rows.

    A month is also not built where the file that stands has another size than the recorded one, or none
    stands. A file that its build refused is named again each time, so its month counts as not built.

    Parameters
    ----------
    held
        Ledger rows with their key parts.
    lake
        The lake.
    """
    mine = _with_paths(held)
    if not mine.height:
        return mine
    scope = Scope.of(f"{folder}/" for folder in mine["path"].str.replace(_FILE, "").unique())
    used = current(lake.records, "sources", scope).select(
        "path",
        "key",
        used_sha256="sha256",
        used_etag="etag",
        rows_out="rows_out",
        refused=pl.col("warnings").str.contains(REFUSED, literal=True).fill_null(value=False),
    )
    same = (pl.col("used_sha256") == pl.col("sha256")).fill_null(value=False) | (
        pl.col("sha256").is_null() & (pl.col("used_etag") == pl.col("etag")).fill_null(value=False)
    )
    absent = pl.col("path").is_in(sorted(_not_standing(mine, used, lake)))
    known = mine.join(
        used.drop("rows_out"), on=["path", "key"], how="left", maintain_order="left"
    ).with_columns(used=same & ~absent)
    lacking = known.filter(~pl.col("used") | pl.col("refused").fill_null(value=False))["path"]
    # A file that was taken out: the month stands with its rows, and can be built by no file that comes after.
    gone = used.filter(~pl.col("refused")).join(mine, on="key", how="anti")["path"]
    lacking = pl.concat([lacking, gone]).unique().implode()
    return known.filter(pl.col("path").is_in(lacking)).drop("used_sha256", "used_etag", "refused")


def _with_paths(held: pl.DataFrame) -> pl.DataFrame:
    """Add the path of the Silver month that each ledger row lies in."""
    rows = held.drop_nulls(["market", "data_type", "symbol", "first"]).with_columns(
        month=pl.col("first").dt.month_start()
    )
    names = rows.select(*NAME, "month").unique()
    paths = [
        (
            *name,
            month,
            silver_path(
                Market(name[0]),
                DataType(name[1]),
                name[2],
                Interval(name[3]) if name[3] else None,
                Period.month(month.year, month.month),
            ),
        )
        for *name, month in names.iter_rows()
    ]
    schema: dict[str, Any] = {**dict.fromkeys(NAME, pl.String), "month": pl.Date, "path": pl.String}
    return rows.join(
        pl.DataFrame(paths, schema=schema, orient="row"),
        on=[*NAME, "month"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).drop("month")


def _not_standing(mine: pl.DataFrame, used: pl.DataFrame, lake: LakeContext) -> set[str]:
    """Return the paths of months that were built and whose file is gone, or has not its recorded size."""
    datasets = mine.select("market", "data_type").unique().iter_rows()
    standing = {
        file.path: file.size
        for market, data_type in datasets
        for file in silver_files(lake.storage, silver_folder(Market(market), DataType(data_type)))
    }
    paths = set(mine["path"])
    rows = used.group_by("path").agg(pl.col("rows_out").sum()).filter(pl.col("rows_out") > 0)
    recorded = dict.fromkeys(rows["path"])  # a lake of the first release recorded no sizes
    records = month_records(lake.records, paths)
    sizes = recorded | {path: made.size for path, made in records.items()}
    return {
        path
        for path, size in sizes.items()
        if path in paths and (path not in standing or size not in (None, standing[path]))
    }
