"""Silver held against its records: each month's file is hashed again."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import polars as pl

from cryptolake.bronze.audit import Hashes, hashes
from cryptolake.silver.records import month_records
from cryptolake.storage.layout import SILVER, parse_silver_path

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

_AT_ONCE = 4

_MONTHS = {
    "path": pl.String,
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "first": pl.Date,
    "last": pl.Date,
    "standing": pl.Int64,
}


class AuditedMonth(NamedTuple):
    """A Silver file, what its newest record says, and what was found; ``unrecorded`` has no record."""

    path: str
    status: Literal["ok", "damaged", "gone", "unrecorded"]
    size: int | None
    sha256: str | None
    found_size: int | None
    found_sha256: str | None


def months_of_lake(storage: Storage, tables: Meta) -> pl.DataFrame:
    """Return the months that stand or are recorded: path, parts, days, and ``standing``, the file's size."""
    standing = {entry.path: entry.size for entry in storage.list(SILVER)}
    rows = []
    for path in sorted(standing.keys() | month_records(tables).keys()):
        found = parse_silver_path(path)
        if found is not None:
            market, data_type, interval, symbol, month = found
            words = (market.value, data_type.value, symbol, interval.value if interval else None)
            rows.append((path, *words, month.days.first, month.days.last, standing.get(path)))
    return pl.DataFrame(rows, schema=_MONTHS, orient="row")


def audit_months(storage: Storage, tables: Meta, paths: Iterable[str]) -> list[AuditedMonth]:
    """Hash some Silver files and compare them with their newest records.

    A build records a month just before it places it, so a file that differs is judged again by the record
    of that moment.
    """
    chosen = list(paths)
    records = month_records(tables, chosen)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="audit") as pool:
        found = list(pool.map(lambda path: audited(storage, path, records.get(path)), chosen))
    differ = [item.path for item in found if item.status in {"damaged", "gone"}]
    if differ:
        newer = month_records(tables, differ)
        again = {path: audited(storage, path, newer.get(path)) for path in differ}
        found = [again.get(item.path, item) for item in found]
    return found


class FileRecord(Protocol):
    """What a record says of a file's bytes."""

    @property
    def size(self) -> int:
        """Their number."""

    @property
    def sha256(self) -> str:
        """Their hash."""


def audited(storage: Storage, path: str, record: FileRecord | None) -> AuditedMonth:
    """Hash one file and compare it with its record."""
    size, sha256 = (record.size, record.sha256) if record else (None, None)
    found = hashes(storage, path, size or 0)
    if not isinstance(found, Hashes):
        return AuditedMonth(path, found, size, sha256, None, None)
    same = (found.size, found.sha256) == (size, sha256)
    status: Literal["ok", "damaged", "unrecorded"] = "ok" if same else "damaged"
    if record is None:
        status = "unrecorded"
    return AuditedMonth(path, status, size, sha256, found.size, found.sha256)
