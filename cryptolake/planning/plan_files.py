"""The files of a plan: those that cover the days, and where each of them stands, a part of the folders at a time.

The listing of millions of files is held as few columns; the rows of a plan are many times that, so only those of
some folders are in memory together, and a long plan lies on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.planning.commands import selectors
from cryptolake.planning.cover import FOLDER, cover
from cryptolake.planning.estimates import suspect_sizes
from cryptolake.planning.late_rows import files_before
from cryptolake.planning.missing_reasons import with_reasons
from cryptolake.planning.plan import TO_MOVE
from cryptolake.planning.serialization import FILES, MISSING
from cryptolake.planning.status import Statuses
from cryptolake.progress import Step, tell
from cryptolake.query import Query
from cryptolake.storage.spooled import Rows

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.listing.lifetimes import Lifetimes
    from cryptolake.listing.snapshot import Listed

_TOGETHER = 100_000
"""Listed files, at most, of the folders whose rows are made together, unless one folder has more."""


class _Part(NamedTuple):
    """Folders from one number to before another, and which of their listed files, by place, cover the days."""

    begin: int
    end: int
    rows: pl.Series

    def of(self, zips: pl.DataFrame) -> pl.DataFrame:
        """Return the listed files of these folders."""
        return zips.filter(pl.col("folder").is_between(self.begin, self.end, closed="left"))


def files_and_missing(
    folders: Sequence[Folder], listed: Listed, days: Days, lake: LakeContext, asker: Lifetimes
) -> tuple[Rows, pl.DataFrame]:
    """Choose the files that cover the days once.

    Returns
    -------
    tuple
        The rows of the plan's files, with their status; and its missing periods.
    """
    facts = _folders(folders, listed)
    parts: list[_Part] = []
    lacking: list[pl.DataFrame] = []
    keys: list[pl.Series] = []
    for begin, end in _ranges(listed.zips, len(folders)):
        part = _Part(begin, end, pl.Series(dtype=pl.UInt32))
        zips = part.of(listed.zips)
        chosen, missing = _chosen(part.of(facts), zips, folders, days, asker)
        parts.append(part._replace(rows=chosen))
        lacking.append(missing)
        some = zips[chosen].unique(["folder", "partition"], keep="first", maintain_order=True)
        keys.append(listed.keyed(some)["key"])
    missing = with_reasons(pl.concat(lacking), folders, listed, days, asker)
    tell_step(2)
    statuses = Statuses(keys, lake)
    tell_step(3)
    names = _names(folders)
    rows = Rows(_rows(parts, listed, names, statuses))
    tell_step(4)
    return rows, typed(_named(missing, names), MISSING)


def _ranges(zips: pl.DataFrame, count: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of folders that have some files together; one at the least."""
    sizes = zips.group_by("folder").len().sort("folder").iter_rows()
    begin = total = 0
    for folder, size in sizes:
        if total and total + size > _TOGETHER:
            yield begin, folder
            begin, total = folder, 0
        total += size
    yield begin, count


def _chosen(
    facts: pl.DataFrame, zips: pl.DataFrame, folders: Sequence[Folder], days: Days, asker: Lifetimes
) -> tuple[pl.Series, pl.DataFrame]:
    """Return the places of the files that cover the days, and what no file covers."""
    # Rows go by their number until the files are chosen: a listing is many times a plan.
    slim = zips.select("folder", "partition", "day").with_row_index("row")
    chosen, missing = cover(facts, slim, days, asker.today)
    beside = files_before(folders, slim, days, chosen)
    if beside.height:
        chosen = pl.concat([beside, chosen]).sort("folder", "day", maintain_order=True)
    return chosen["row"], missing


def _rows(
    parts: Sequence[_Part], listed: Listed, names: pl.DataFrame, statuses: Statuses
) -> Iterator[pl.DataFrame]:
    """Yield the rows of one part after another."""
    for number, part in enumerate(parts):
        tell_step(3)
        zips = part.of(listed.zips)
        suspects = suspect_sizes(zips, by=["folder"])
        files = (
            part.rows.alias("row")
            .to_frame()
            .with_columns(*listed.keyed(zips[part.rows]), suspects[part.rows])
        )
        files = _named(files, names)
        files = files.with_columns(statuses.of(files, number))
        some = listed._replace(
            zips=zips, stems=part.of(listed.stems), strange=part.of(listed.strange)
        )
        yield typed(_with_selectors(files, some), FILES)


def typed(frame: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    """Return a frame with the columns of a schema, in its types."""
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def tell_step(step: int) -> None:
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


def naming(files: pl.DataFrame) -> Query:
    """Return a query of the markets, data types, symbols and intervals of some files."""
    market, data_type, symbol, interval = (
        files[column].drop_nulls().unique().sort().to_list()
        for column in ("market", "data_type", "symbol", "interval")
    )
    return Query().markets(market).data_types(data_type).symbols(symbol).intervals(interval)
