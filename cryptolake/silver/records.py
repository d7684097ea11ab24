"""The records of months: rows of ``meta.months``, ``sources``, ``rejects`` and ``findings``.

The tables only grow. A Silver file as it is now is described by the rows of its newest build: those whose
``run_id`` and ``path`` its newest ``sources`` rows have (:func:`current`). Rows are written before the file
has its final name, so :class:`~cryptolake.silver.parquet.MonthRecord` says whether the file that stands is the recorded one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.readers.silver_files import current_sources
from cryptolake.readers.unusable import REFUSED
from cryptolake.silver.parquet import MonthRecord
from cryptolake.storage.scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from cryptolake.silver.assembly import RowAccount
    from cryptolake.silver.month import MonthResult
    from cryptolake.storage.tables import TableReader

Row = dict[str, Any]


def month_records(meta: TableReader, paths: Iterable[str] | None = None) -> dict[str, MonthRecord]:
    """Return the newest record of each Silver month, by path; only of some paths, when given."""
    where = None
    if paths is not None:
        wanted = pl.Series(list(paths), dtype=pl.String)
        # Merged segments are sorted by path: of a range only some row groups are read.
        near = pl.col("path").is_between(pl.lit(wanted.min()), pl.lit(wanted.max()))
        where = near & pl.col("path").is_in(wanted.implode())
    newest = meta.read("months", where=where).unique("path", keep="last")
    return {
        path: MonthRecord(*facts)
        for path, *facts in newest.select("path", *MonthRecord._fields).iter_rows()
    }


def month_rows(months: Sequence[MonthResult], run_id: str, now: datetime) -> list[Row]:
    """Return a row for each month that has a file: its bytes, hash and rows, and what it was made of."""
    return [
        {
            "path": result.month.path,
            "size": result.size,
            "sha256": result.sha256,
            "origin": result.origin.id,
            "rows": result.rows,
            "built_at": now,
            "run_id": run_id,
            "schema_version": result.origin.schema_version,
        }
        for result in months
        if result.origin is not None and result.sha256 is not None
    ]


def damaged_rows(paths: Iterable[str], run_id: str, now: datetime) -> list[Row]:
    """Return, for each month whose file is damaged, a record that no file fits: the next build makes it anew."""
    facts = {"size": -1, "sha256": "", "origin": "damaged", "built_at": now, "run_id": run_id}
    return [{"path": path, **facts} for path in paths]


def source_rows(months: Sequence[MonthResult], run_id: str, now: datetime) -> list[Row]:
    """Return a row for each file of each month: what went in, what came out."""
    found = []
    for result in months:
        known = {source.key: source for source in result.month.sources}
        for account in result.accounts:
            source = known[account.key]
            found.append(
                {
                    "path": result.month.path,
                    "key": account.key,
                    "sha256": source.sha256,
                    "etag": source.etag,
                    "rows_in": account.rows_in,
                    "rows_out": account.rows_out,
                    "duplicates": account.duplicates,
                    "rejects": account.rejects,
                    "first_time": account.first_time,
                    "last_time": account.last_time,
                    "built_at": now,
                    "run_id": run_id,
                    "schema_version": result.month.series.schema.file_version,
                    "warnings": _warnings(account),
                }
            )
    return found


def reject_rows(months: Sequence[MonthResult], run_id: str, now: datetime) -> list[Row]:
    """Return a row for each rejected line; line 0 stands for a file refused as a whole."""
    return [
        {
            "dataset": result.month.series.schema.dataset,
            "path": result.month.path,
            "key": key,
            "line": item.line,
            "rule": item.rule,
            "reason": item.reason,
            "text": item.text,
            "at": now,
            "run_id": run_id,
        }
        for result in months
        for key, item in result.rejects
    ]


def finding_rows(months: Sequence[MonthResult], run_id: str, now: datetime) -> list[Row]:
    """Return a row for each finding, a file that could not be used included (``unusable_file``)."""
    found = []
    for result in months:
        series = result.month.series
        common = {
            "dataset": series.schema.dataset,
            "path": result.month.path,
            "symbol": series.symbol,
            "interval": series.interval.value if series.interval else None,
            "at": now,
            "run_id": run_id,
        }
        # In one order, however the month was made.
        findings = sorted(result.findings, key=lambda item: (item.key, item.kind))
        found += [{**common, **item._asdict()} for item in findings]
        found += [
            {
                **common,
                "kind": "unusable_file",
                "key": account.key,
                "rows": account.rejects,
                "first": None,
                "last": None,
                "detail": str(account.error),
            }
            for account in result.accounts
            if account.error is not None
        ]
    return found


def current(records: TableReader, table: str, scope: Scope = EVERYTHING) -> pl.DataFrame:
    """Return the rows of ``sources``, ``rejects`` or ``findings`` that describe Silver as it is now.

    ``scope``: only of these paths; the rest of the tables is not read.
    """
    newest = current_sources(records.within("sources", scope))
    if table == "sources":
        return newest
    builds = newest.select("path", "run_id", at="built_at").unique()
    on = ["path", "run_id", "at"]
    return records.within(table, scope).join(
        builds, on=on, how="semi", maintain_order="left", nulls_equal=True
    )


def _warnings(account: RowAccount) -> str | None:
    warnings = [*account.warnings, *([f"{REFUSED}{account.error}"] if account.error else [])]
    return "; ".join(warnings) or None
