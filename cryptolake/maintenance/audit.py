"""``lake.verify``: hash Bronze again and hold it against the ledger; take damaged files out on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.bronze.audit import audit_files, take_out
from cryptolake.bronze.ledger import holdings

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

AUDIT = {
    "key": pl.String,
    "status": pl.String,
    "size": pl.Int64,
    "sha256": pl.String,
    "found_size": pl.Int64,
    "found_sha256": pl.String,
}
"""Columns of an audit. ``status``: ``ok``, ``damaged`` (other bytes than the ledger says) or ``gone``."""


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
    held = holdings(lake.records, query)
    found = audit_files(lake.storage, held)
    audited = pl.DataFrame(found, schema=AUDIT, orient="row").sort(
        pl.col("status").replace_strict({"damaged": 0, "gone": 1, "ok": 2}), "key"
    )
    if repair:
        take_out(lake.storage, lake.tables, audited.filter(pl.col("status") != "ok")["key"])
        lake.records.forget()
    return audited
