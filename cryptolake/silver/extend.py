"""A Silver month extended by new days, where that gives what a build of all its files would give.

A running month is built every night. Read whole, its thirtieth night costs thirty times its first. So the
file that stands is taken as it is, and new days are put behind its rows, if all of this holds:

- the file is the one that its record describes, to the last byte, by the same schema;
- it is made of files that the lake still has with the same sha256, and none was refused or damaged. They are
  not read: what rots in Bronze meanwhile is found by ``lake.verify``, and its rows are in Silver;
- all files are daily, the new ones are of later days, and no row may step over the edge of its day;
- the new rows lie behind the standing ones, in time and in key, and have the same columns.

Else the month is built from all its files. What the tables say of the standing rows (``sources``,
``rejects``, ``findings``) is taken over as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.schemas import rows_version
from cryptolake.silver.assembly import Finding, RowAccount
from cryptolake.silver.parse import Reject
from cryptolake.storage.identity_columns import IDENTITY
from cryptolake.storage.layout import bronze_path
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Schema
    from cryptolake.silver.months import Month
    from cryptolake.silver.parquet import MonthRecord, Standing
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import TableReader


class BuildId(NamedTuple):
    """The build that made a month's file: its run, and when it was recorded."""

    run_id: str
    built_at: datetime


@dataclass(frozen=True)
class Extended:
    """The standing part of an extended month: which build made it, of what, and its rows."""

    build: BuildId
    sources: frozenset[tuple[str, str | None]]
    rows: int


@dataclass
class Told:
    """What the tables say of a month's build."""

    accounts: list[RowAccount]
    hashes: frozenset[tuple[str, str | None]]
    rejects: list[tuple[str, Reject]]
    findings: list[Finding]

    def fits(self, standing: Extended) -> bool:
        """Say whether this is the account of a standing file: of its files, and of each of its rows."""
        rows = sum(account.rows_out for account in self.accounts)
        rejects = sum(account.rejects for account in self.accounts)
        return (self.hashes, rows) == (standing.sources, standing.rows) and (
            rejects == len(self.rejects)
        )


def new_days(
    storage: Storage, month: Month, standing: Standing, record: MonthRecord
) -> list[Source]:
    """Return the files by which a standing month can be extended; none where it has to be built whole."""
    origin, series = standing.origin, month.series
    if not record.describes(standing) or record.run_id is None or record.built_at is None:
        return []
    same = rows_version(origin.schema_version) == series.schema.version
    if not same or series.schema.tolerance(series.interval) != (0, 0):
        return []
    if origin.damaged or origin.refused or origin.spills or month.quarantined:
        return []
    sources = month.sources
    known = {(source.key, source.sha256) for source in sources if source.sha256}
    if not known.issuperset(origin.sources) or not origin.sources:
        return []
    if any(source.period.partition is not Partition.DAILY for source in sources):
        return []
    held = {key for key, _ in origin.sources}
    new = [source for source in sources if source.key not in held]
    old = [source for source in sources if source.key in held]
    last = max(source.period.first for source in old)
    if any(source.period.first <= last for source in new) or not _stand(storage, old):
        return []
    return new


def _stand(storage: Storage, sources: list[Source]) -> bool:
    """Say whether Bronze files stand whole by their size, where that costs no request.

    In a bucket that is seen when a plan or an update lists them.
    """
    return not storage.is_local or all(
        storage.size(bronze_path(source.key)) == source.size for source in sources
    )


def read_rows(storage: Storage, path: str, record: MonthRecord) -> pl.DataFrame | None:
    """Return the rows of a month's file, as they are made; None where its bytes are not the recorded ones."""
    try:
        data = storage.read(path)
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != record.sha256:
        return None
    return pl.read_parquet(BytesIO(data)).drop(IDENTITY, strict=False)


def behind(old: pl.DataFrame, new: pl.DataFrame, schema: Schema) -> pl.DataFrame | None:
    """Return old rows and new ones behind them; None where their order or keys could mix."""
    if not old.height or not new.height or old.schema != new.schema:
        return None
    if schema.sort[0] != schema.time or not _later(old, new, schema.time):
        return None
    if schema.time not in schema.key and not _later(old, new, schema.key[0]):
        return None
    return pl.concat([old, new], rechunk=True)


def _later(old: pl.DataFrame, new: pl.DataFrame, column: str) -> bool:
    both = pl.concat([old.select(column).max(), new.select(column).min()])[column]
    nulls = old[column].null_count() + new[column].null_count()
    return not nulls and both.is_sorted() and both.n_unique() == both.len()


def told(tables: TableReader, builds: Mapping[str, BuildId]) -> dict[str, Told]:
    """Return what the tables say of some months' builds, by path."""
    scope = Scope.of(builds)
    named = pl.DataFrame(
        [(path, *build) for path, build in builds.items()],
        schema={"path": pl.String, "run_id": pl.String, "at": pl.Datetime("us", "UTC")},
        orient="row",
    )

    def rows(table: str, time: str = "at") -> dict[str, list[dict[str, Any]]]:
        mine = tables.within(table, scope).rename({time: "at"}, strict=False)
        mine = mine.join(named, on=["path", "run_id", "at"], how="semi", maintain_order="left")
        found: dict[str, list[dict[str, Any]]] = {}
        for row in mine.iter_rows(named=True):
            found.setdefault(row["path"], []).append(row)
        return found

    sources = rows("sources", "built_at")
    refused = any(row["rejects"] for each in sources.values() for row in each)
    rejects = rows("rejects") if refused else {}
    findings = rows("findings")
    return {
        path: Told(
            sorted(map(_account, each), key=lambda account: account.key),
            frozenset((row["key"], row["sha256"]) for row in each),
            list(map(_reject, rejects.get(path, ()))),
            list(map(_finding, findings.get(path, ()))),
        )
        for path, each in sources.items()
    }


def _account(row: Mapping[str, Any]) -> RowAccount:
    return RowAccount(
        row["key"],
        row["rows_in"],
        row["rows_out"],
        row["duplicates"],
        row["rejects"],
        row["first_time"],
        row["last_time"],
        [row["warnings"]] if row["warnings"] else [],
    )


def _reject(row: Mapping[str, Any]) -> tuple[str, Reject]:
    return row["key"], Reject(0, row["line"], row["rule"], row["reason"], row["text"])


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(*(row[name] for name in Finding._fields))
