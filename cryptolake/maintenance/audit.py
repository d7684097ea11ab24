"""``lake.verify``: hash Bronze again and hold it against the ledger; take damaged files out on request."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.ledger import holdings
from cryptolake.bronze.verify import agrees
from cryptolake.storage import layout
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage

AUDIT = {
    "key": pl.String,
    "status": pl.String,
    "size": pl.Int64,
    "sha256": pl.String,
    "found_size": pl.Int64,
    "found_sha256": pl.String,
}
"""Columns of an audit. ``status``: ``ok``, ``damaged`` (other bytes than the ledger says) or ``gone``."""

_CHUNK = 1 << 20


def audit(lake: LakeContext, query: Query | None = None, *, repair: bool = False) -> pl.DataFrame:
    """Hash every Bronze file that a query means, or all of them, and compare with the ledger.

    Parameters
    ----------
    lake
        The lake.
    query
        Which files; all when left out.
    repair
        Take damaged files out of Bronze, and damaged and missing ones out of the ledger, so that the
        next pull fetches them again. Each is recorded in ``meta.findings``.

    Returns
    -------
    polars.DataFrame
        A row per file, the bad ones first; columns as :data:`AUDIT`.
    """
    held = holdings(lake.records, query).select("key", "size", "sha256", "md5", "etag")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: _look(lake.storage, *row), held.iter_rows()))
    audited = pl.DataFrame(found, schema=AUDIT, orient="row").sort(
        pl.col("status").replace_strict({"damaged": 0, "gone": 1, "ok": 2}), "key"
    )
    if repair:
        _take_out(audited.filter(pl.col("status") != "ok"), lake)
    return audited


def _look(
    storage: Storage, key: str, size: int, sha256: str | None, md5: str | None, etag: str | None
) -> tuple[str, str, int, str | None, int | None, str | None]:
    try:
        found_size, found_sha256, found_md5 = _hashed(storage, layout.bronze_path(key))
    except FileNotFoundError:
        return key, "gone", size, sha256, None, None
    # A file copied from bucket to bucket may have no sha256 in the ledger yet; its ETag is the md5, or,
    # of an object that was uploaded in parts, says nothing of the bytes.
    same = found_sha256 == sha256 if sha256 else agrees(found_md5, md5 or etag) is not False
    status = "ok" if same and found_size == size else "damaged"
    return key, status, size, sha256, found_size, found_sha256


def _hashed(storage: Storage, path: str) -> tuple[int, str, str]:
    """Return a file's size, sha256 and md5, reading it piece by piece where it is on a disk."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    if not storage.is_local:
        data = storage.read(path)
        sha256.update(data)
        md5.update(data)
        return len(data), sha256.hexdigest(), md5.hexdigest()
    with storage.local(path).open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return size, sha256.hexdigest(), md5.hexdigest()


def _take_out(bad: pl.DataFrame, lake: LakeContext) -> None:
    run_id, now = new_run_id(), datetime.now(UTC)
    for key in bad["key"]:
        lake.storage.delete(layout.bronze_path(key))
        lake.storage.delete(layout.bronze_path(key + CHECKSUM))
    lake.tables.append(
        "files",
        bad.select(
            "key", "size", "sha256", event=pl.lit("removed"), fetched_at=now, run_id=pl.lit(run_id)
        ),
    )
    lake.tables.append(
        "findings",
        bad.select(
            "key",
            kind=pl.lit("bronze_") + pl.col("status"),
            detail=pl.lit("taken out; the next pull fetches it again"),
            at=now,
            run_id=pl.lit(run_id),
        ),
    )
