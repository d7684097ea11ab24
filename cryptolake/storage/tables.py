"""What the lake records of itself: append-only tables of immutable Parquet segments.

``meta/<table>/<time>-<writer>.parquet``: every append writes a new file under a name nobody else uses,
so any number of processes write at once without a lock. Readers take all segments; of the ledger the
newest row of a key counts. :meth:`Meta.compact` merges many small segments into one; rows are exact
copies, so a reader that meets both the merged and the single ones drops the repeats.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage


_TIME = pl.Datetime("us", "UTC")

TABLES: dict[str, dict[str, Any]] = {
    "files": {
        "key": pl.String,
        "size": pl.Int64,
        "etag": pl.String,
        "last_modified": _TIME,
        "sha256": pl.String,
        "md5": pl.String,
        "verified": pl.String,
        "checksum_etag": pl.String,
        "fetched_at": _TIME,
        "run_id": pl.String,
        "mode": pl.String,
        "event": pl.String,
    },
    "quarantine": {
        "key": pl.String,
        "etag": pl.String,
        "checksum_etag": pl.String,
        "size": pl.Int64,
        "reason": pl.String,
        "detail": pl.String,
        "path": pl.String,
        "at": _TIME,
        "run_id": pl.String,
    },
    "runs": {
        "run_id": pl.String,
        "kind": pl.String,
        "state": pl.String,
        "started_at": _TIME,
        "ended_at": _TIME,
        "files": pl.Int64,
        "bytes": pl.Int64,
        "failed": pl.Int64,
        "quarantined": pl.Int64,
        "requests": pl.Int64,
        "retries": pl.Int64,
        "seconds": pl.Float64,
        "mode": pl.String,
        "note": pl.String,
    },
    "transfers": {
        "run_id": pl.String,
        "key": pl.String,
        "status": pl.String,
        "bytes": pl.Int64,
        "seconds": pl.Float64,
        "attempts": pl.Int64,
        "retries": pl.Int64,
        "mode": pl.String,
        "verified": pl.String,
        "error": pl.String,
        "at": _TIME,
    },
    "sources": {
        "path": pl.String,
        "key": pl.String,
        "sha256": pl.String,
        "etag": pl.String,
        "rows_in": pl.Int64,
        "rows_out": pl.Int64,
        "duplicates": pl.Int64,
        "rejects": pl.Int64,
        "first_time": _TIME,
        "last_time": _TIME,
        "built_at": _TIME,
        "run_id": pl.String,
        "schema_version": pl.String,
        "warnings": pl.String,
    },
    "rejects": {
        "dataset": pl.String,
        "path": pl.String,
        "key": pl.String,
        "line": pl.Int64,
        "rule": pl.String,
        "reason": pl.String,
        "text": pl.String,
        "at": _TIME,
        "run_id": pl.String,
    },
    "findings": {
        "dataset": pl.String,
        "path": pl.String,
        "symbol": pl.String,
        "interval": pl.String,
        "kind": pl.String,
        "first": _TIME,
        "last": _TIME,
        "rows": pl.Int64,
        "detail": pl.String,
        "key": pl.String,
        "at": _TIME,
        "run_id": pl.String,
    },
}
"""The tables and their columns. Times are UTC; sizes are bytes; seconds are wall-clock seconds."""

_MANY = 64

QUARANTINE = "meta/quarantine/"
"""Where files lie that were set aside; their rows are in the table of that name."""

_STAMP = "%Y%m%dT%H%M%S%f"


class Meta:
    """The tables of one lake."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._seen: dict[str, str] = {}

    def append(self, table: str, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> None:
        """Add rows as one new segment. Columns left out are null; others than the table's fail.

        Raises
        ------
        StorageError
            The lake cannot be written.
        """
        frame = _shaped(table, rows)
        if frame.height:
            self._write(table, frame)

    def read(self, table: str) -> pl.DataFrame:
        """Return all rows of a table in the order they were written; typed and empty when none."""
        for _ in range(3):
            try:
                return self._read(table)
            except FileNotFoundError:  # a segment was merged into another while we read
                continue
        return self._read(table)

    def ledger(self) -> pl.DataFrame:
        """Return the newest row of every Bronze file the lake holds."""
        files = self.read("files").unique("key", keep="last", maintain_order=True)
        return files.filter(pl.col("event") == "stored")

    def quarantined(self) -> pl.DataFrame:
        """Return the newest row of every file that lies in quarantine and was not stored since."""
        held = self.read("quarantine").unique("key", keep="last", maintain_order=True)
        stored = self.ledger().select("key", "fetched_at", now="verified", has="etag")
        joined = held.join(stored, on="key", how="left", maintain_order="left")
        # Times of two machines may disagree; that a file was accepted says by itself what came last.
        accepted = (pl.col("now") == "stale_accepted") & (pl.col("has") == pl.col("etag"))
        later = (pl.col("fetched_at") >= pl.col("at")) | accepted
        return joined.filter(~later.fill_null(value=False)).drop("fetched_at", "now", "has")

    def compact(self, table: str) -> None:
        """Merge the table's segments into one when they are many; safe beside other writers."""
        segments = [entry.path for entry in self.storage.list(f"meta/{table}")]
        if len(segments) < _MANY:
            return
        frame = self._load(table, segments)
        # Named after the newest segment it holds, so that later appends still sort behind it.
        newest = segments[-1].rsplit("/", 1)[1].split("-", 1)[0]
        self._write(table, frame, stamp=f"{newest}")
        for path in segments:
            self.storage.delete(path)

    def _read(self, table: str) -> pl.DataFrame:
        listed = [entry.path for entry in self.storage.list(f"meta/{table}")]
        segments = [path for path in listed if path.endswith(".parquet")]
        if segments:
            stamp = segments[-1].rsplit("/", 1)[1].split("-", 1)[0]
            self._seen[table] = max(stamp, self._seen.get(table, ""))
        return self._load(table, segments)

    def _load(self, table: str, segments: list[str]) -> pl.DataFrame:
        frames = [pl.read_parquet(BytesIO(self.storage.read(path))) for path in segments]
        empty = pl.DataFrame(schema=TABLES[table])
        merged = pl.concat([empty, *(_shaped(table, frame) for frame in frames)])
        return merged.unique(maintain_order=True, keep="first") if len(frames) > 1 else merged

    def _write(self, table: str, frame: pl.DataFrame, stamp: str | None = None) -> None:
        buffer = BytesIO()
        frame.write_parquet(buffer, compression="zstd")
        when = stamp or self._after_all_seen(table)
        name = f"meta/{table}/{when}-{secrets.token_hex(4)}.parquet"
        self.storage.write(name, buffer.getvalue())

    def _after_all_seen(self, table: str) -> str:
        """Return the stamp of a new segment: now, or just after the newest that was read.

        So what is written with knowledge of other rows sorts behind them, although the clock of who wrote
        those was ahead of ours, or our own was set back.
        """
        stamp = max(f"{datetime.now(UTC):{_STAMP}}", _next(self._seen.get(table, "")))
        self._seen[table] = stamp
        return stamp


def _next(stamp: str) -> str:
    try:
        return f"{datetime.strptime(stamp, _STAMP) + timedelta(microseconds=1):{_STAMP}}"  # noqa: DTZ007 - UTC
    except (ValueError, OverflowError):
        return ""  # no stamp of ours


def empty(table: str) -> pl.DataFrame:
    """Return a table without rows.

    Examples
    --------
    >>> empty("runs").columns[:3]
    ['run_id', 'kind', 'state']
    """
    return pl.DataFrame(schema=TABLES[table])


def _shaped(table: str, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    schema = TABLES[table]
    named = rows.columns if isinstance(rows, pl.DataFrame) else set().union(*rows)
    if unknown := set(named) - set(schema):
        message = f"the table {table!r} has no column {sorted(unknown)}"
        raise ValueError(message)
    if not isinstance(rows, pl.DataFrame):
        columns = {name: [row.get(name) for row in rows] for name in schema}
        return pl.DataFrame(columns, schema=schema)
    if rows.schema == schema:
        return rows
    missing = [
        pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in rows
    ]
    return rows.with_columns(missing).select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )


def new_run_id() -> str:
    """Return a name for a run: its UTC start and four random bytes, so that names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


_SAME = ["path", "kind", "first", "detail"]
_MOST = 10_000
"""Findings that one check records; a file that is wrong throughout needs no more to be told of."""


def record_new(found: pl.DataFrame, meta: Meta) -> int:
    """Add findings that ``meta.findings`` does not have yet; return how many those are.

    Parameters
    ----------
    found
        Columns of ``meta.findings``, ``path``, ``kind``, ``first`` and ``detail`` among them.
    meta
        The lake's tables.
    """
    if not found.height:
        return 0
    kinds = found["kind"].unique().to_list()
    known = meta.read("findings").filter(pl.col("kind").is_in(kinds))
    typed = found.head(_MOST).with_columns(pl.col("first").cast(TABLES["findings"]["first"]))
    new = typed.join(known, on=_SAME, how="anti", nulls_equal=True)
    now, run = datetime.now(UTC), new_run_id()
    meta.append("findings", new.with_columns(pl.lit(now).alias("at"), pl.lit(run).alias("run_id")))
    return new.height
