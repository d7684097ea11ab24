"""``lake.verify``: hash Bronze, Silver and Gold again, find damaged segments; repair them on request."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.bronze.audit import audit_files, set_aside, take_out
from cryptolake.bronze.ledger import holdings, narrowed, with_key_parts
from cryptolake.errors import IncompleteWarning, InvalidQuery
from cryptolake.gold.audit import audit_gold, repair_gold
from cryptolake.listing.identity import archive_on_record
from cryptolake.maintenance.lake_locks import audit_locks
from cryptolake.maintenance.ledger_rebuild import Judged, Unknown, enter_again, unknown_zips
from cryptolake.quality.crosscheck import crosscheck
from cryptolake.silver.accounts import NO_ACCOUNT, without_account
from cryptolake.silver.audit import AuditedMonth, audit_months, months_of_lake
from cryptolake.silver.build import build
from cryptolake.silver.records import damaged_rows
from cryptolake.storage import layout, segments
from cryptolake.storage.lake_format import file_damage, record_archive, renew
from cryptolake.storage.strays import strays
from cryptolake.storage.tables import new_run_id
from cryptolake.telemetry import observed

if TYPE_CHECKING:
    from cryptolake.errors import Damaged
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

AUDIT = {
    "key": pl.String,
    "status": pl.String,
    "size": pl.Int64,
    "sha256": pl.String,
    "found_size": pl.Int64,
    "found_sha256": pl.String,
    "zone": pl.String,
    "detail": pl.String,
}
"""Columns of an audit. ``zone``: ``bronze``, ``silver``, ``gold`` or ``meta``. ``key``: the archive's key of a Bronze file,
the path in the lake of a Silver or Gold file, of a segment of the lake's tables, or of a lock and what is kept for it. ``status``: ``ok``, ``damaged`` (other
bytes than were recorded, or not to be read), ``gone``, or ``unrecorded``: it is there without a record, a Bronze
file of a lost ledger, a Silver file of the first release or one whose account is lost, which is no failure."""

_STRAY = "a key of the ledger that is no path inside the lake"

_ORDER = {"damaged": 0, "gone": 1, "unrecorded": 2, "ok": 3}


def verify(
    lake: LakeContext,
    query: Query | None = None,
    *,
    against: str | None = None,
    repair: bool = False,
) -> pl.DataFrame:
    """Audit the files, or compare a query's klines with those that another dataset gives.

    Raises
    ------
    InvalidQuery
        ``against`` needs a query of klines.
    """
    if against is None:
        return audit(lake, query, repair=repair)
    if query is None:
        message = f"verify(against={against!r}) rebuilds klines: say which, verify(query, against={against!r})."
        raise InvalidQuery(message, what="query")
    return crosscheck(query, lake, against=against)


def _facts(found: pl.DataFrame) -> dict[str, Any]:
    counts = found.group_by("status").len().sort("status")
    return {"files": found.height, **dict(counts.iter_rows())}


@observed("verify", "verified", _facts)
def audit(lake: LakeContext, query: Query | None = None, *, repair: bool = False) -> pl.DataFrame:
    """Hash every Bronze, Silver and Gold file that a query means, or all, and compare with what was recorded.

    Parameters
    ----------
    lake
        The lake.
    query
        Which files; all when left out. The lake's own tables and locks are always looked at.
    repair
        Set damaged segments of the tables and a damaged ``meta/lake.json`` aside, whose archive is taken from the lake's
        other records; take keys that lead out of the lake out of the ledger; enter Bronze files that the ledger does not know and that
        their CHECKSUM proves, and quarantine those that it contradicts; take damaged files out of Bronze,
        and damaged and missing ones out of the ledger, so that the next pull fetches them again; build
        damaged and missing Silver months from Bronze, and Gold from Silver. What is taken away is recorded in ``meta.findings``.

    Returns
    -------
    polars.DataFrame
        A row per file as it was found, before any repair, the bad ones first; columns as :data:`AUDIT`.
        Segments of the tables, locks (``meta/locks``) and zips that are kept for them (``meta/kept``) have a row
        only where they are damaged; ``detail`` says why.

    Warns
    -----
    IncompleteWarning
        A damaged Silver month cannot be built before a pull has fetched its files again.
    """
    damaged, astray = lake.tables.damaged(), strays(lake.tables)
    forgotten = _forgotten(lake)
    if repair:
        _remember(lake, forgotten)
        _set_aside(lake, damaged)
        _take_out_strays(lake, astray)
    unknown = _narrowed(unknown_zips(lake), query)
    judged = enter_again(lake, unknown) if repair else []
    entered = pl.Series([item.key for item in judged], dtype=pl.String).implode()
    held = holdings(lake.records, query).filter(~pl.col("key").is_in(entered))
    bronze = audit_files(lake.storage, held)
    months = months_of_lake(lake.storage, lake.tables)
    months = months if query is None else narrowed(months, query)
    silver = audit_months(lake.storage, lake.tables, months["path"])
    fine = [item.path for item in silver if item.status == "ok"]
    lake.records.forget()  # what the tables say at one moment, after the files were read
    lost = without_account(lake.storage, lake.records, fine)
    gold = audit_gold(lake, query)
    if repair:
        take_out(lake.storage, lake.tables, [item.key for item in bronze if item.status != "ok"])
        lake.records.forget()
        bad = [item.path for item in silver if item.status in {"damaged", "gone"}]
        _rebuild(
            lake, months.filter(pl.col("path").is_in(pl.Series(bad, dtype=pl.String).implode()))
        )
        _account_again(lake, months.filter(pl.col("path").is_in(sorted(lost))))
        repair_gold(lake, gold)
        lake.tables.settle()
    rows: list[tuple[Any, ...]] = [
        *((*item, layout.BRONZE, None) for item in bronze),
        *_unknown_rows(unknown, judged),
        *_silver_rows(silver, lost),
        *((*item, layout.GOLD, None) for item in gold),
        *((*item, layout.META, why) for item, why in forgotten),
        *_meta_rows(lake, damaged, astray),
    ]
    found = pl.DataFrame(rows, schema=AUDIT, orient="row")
    return found.sort(pl.col("status").replace_strict(_ORDER, return_dtype=pl.Int8), "zone", "key")


def _forgotten(lake: LakeContext) -> list[tuple[tuple[Any, ...], str]]:
    """Return the row of ``meta/lake.json`` where it is damaged, or gone, and does not say which archive the lake is of."""
    why, status = file_damage(lake.storage), "damaged"
    own = archive_on_record(lake)
    if why is None and own is not None and not lake.storage.exists(layout.LAKE_FILE):
        why, status = "it is not there to say which archive the lake is of", "gone"
    if why is None:
        return []
    if own is None:
        why += (
            ", and nothing else here does: the next call that transfers asks the archive that it is opened with for "
            "the files held, and takes nothing from one that does not list them"
        )
    else:
        why += f", which is {own} by its other records"
    return [((layout.LAKE_FILE, status, None, None, None, None), why)]


def _remember(lake: LakeContext, forgotten: list[tuple[tuple[Any, ...], str]]) -> None:
    """Write a damaged ``meta/lake.json`` anew, with the archive that other records name; its bytes are kept."""
    for _, why in forgotten:
        own = archive_on_record(lake)
        if own is None:
            renew(lake.storage)
        else:
            record_archive(lake.storage, own)
        found = {"kind": "damaged_lake_file", "path": layout.LAKE_FILE, "detail": why}
        now = {"at": datetime.now(UTC), "run_id": new_run_id()}
        lake.tables.append("findings", [found | now])


def _meta_rows(
    lake: LakeContext, damaged: list[Damaged], astray: list[str | None]
) -> Iterable[tuple[Any, ...]]:
    """Yield a row for each segment, key, lock and kept zip that is not what it should be."""
    for key, reason in (*((d.path, d.reason) for d in damaged), *((k, _STRAY) for k in astray)):
        yield (key, "damaged", None, None, None, None, layout.META, reason)
    for pin in audit_locks(lake):
        found = pin.found_size, pin.found_sha256
        yield (pin.path, "damaged", None, pin.sha256, *found, layout.META, pin.reason)


def _narrowed(unknown: list[Unknown], query: Query | None) -> list[Unknown]:
    if query is None or not unknown:
        return unknown
    keys = pl.DataFrame({"key": [item.key for item in unknown]})
    meant = set(narrowed(with_key_parts(keys), query)["key"])
    return [item for item in unknown if item.key in meant]


def _unknown_rows(unknown: list[Unknown], judged: list[Judged]) -> Iterable[tuple[Any, ...]]:
    found = {item.key: item for item in judged}
    for key, size in unknown:
        item = found.get(key)
        wrong = item is not None and item.outcome == "quarantined"
        verdict = item.verdict if item else None
        yield (
            key,
            "damaged" if wrong else "unrecorded",
            None,
            None,
            verdict.size if verdict else size,
            verdict.sha256 if verdict else None,
            layout.BRONZE,
            item.detail or None if item else None,
        )


def _silver_rows(silver: list[AuditedMonth], lost: set[str]) -> Iterable[tuple[Any, ...]]:
    """Yield a row for each month; one that the tables do not account for is ``unrecorded``."""
    for item in silver:
        if item.path in lost:
            yield (*item._replace(status="unrecorded"), layout.SILVER, NO_ACCOUNT)
        else:
            yield (*item, layout.SILVER, None)


def _set_aside(lake: LakeContext, damaged: list[Damaged]) -> None:
    """Move segments whose bytes are damaged into quarantine; one that a newer release wrote stays."""
    storage, rows = lake.storage, []
    now, run_id = datetime.now(UTC), new_run_id()
    for item in damaged:
        table = layout.table_of(item.path) or ""
        listed = segments.segments(storage, layout.table_folder(table))
        wrong = next((e for e in listed if e.path == item.path), None)
        if wrong is None or segments.rotten(storage, wrong) is None:
            continue
        # Another ending: what ends as a segment does would be read as one of meta.quarantine.
        aside = layout.quarantine_path(f"{table}/{item.path.rpartition('/')[2]}.damaged")
        if set_aside(storage, item.path, aside):
            detail = f"{item.reason}; set aside as {aside}"
            rows.append(
                {
                    "kind": "damaged_segment",
                    "path": item.path,
                    "detail": detail,
                    "at": now,
                    "run_id": run_id,
                }
            )
    lake.tables.append("findings", rows)
    lake.records.forget()


def _take_out_strays(lake: LakeContext, keys: list[str | None]) -> None:
    """Take keys that lead out of the lake out of the ledger; nothing is looked at where they lead."""
    now, run_id = datetime.now(UTC), new_run_id()
    common = [{"key": key, "run_id": run_id} for key in keys]
    gone = {"event": "removed", "fetched_at": now}
    found = {"kind": "stray_key", "detail": _STRAY, "at": now}
    lake.tables.append("files", [row | gone for row in common])
    lake.tables.append("findings", [row | found for row in common])
    lake.records.forget()


def _account_again(lake: LakeContext, months: pl.DataFrame) -> None:
    """Make months anew whose files are good and whose accounts are lost. One that a file lacks for stays as it is."""
    if months.height:
        lake.records.forget()
        build(lake, _files_of(lake, months), progress=False, force=True)


def _files_of(lake: LakeContext, months: pl.DataFrame) -> pl.DataFrame:
    """Return the ledger's rows of some months' files."""
    name = ["market", "data_type", "symbol", "interval"]
    month = pl.col("first").dt.month_start()
    rows = holdings(lake.records).with_columns(month=month)
    wanted = months.select(*name, month=month)
    return rows.join(wanted, on=[*name, "month"], how="semi", nulls_equal=True)


def _rebuild(lake: LakeContext, bad: pl.DataFrame) -> None:
    """Build months whose files are damaged or gone from their Bronze files.

    A month that stands gets a record that no file fits, so that this build, or, where a source is missing,
    the first one after a pull, makes it anew. Until then it is kept: what it has is lost nowhere else.
    """
    if not bad.height:
        return
    standing = bad.filter(pl.col("standing").is_not_null())["path"]
    lake.tables.append("months", damaged_rows(standing, new_run_id(), datetime.now(UTC)))
    lake.records.forget()
    report = build(lake, _files_of(lake, bad), progress=False)
    built = set(report.months.filter(pl.col("status") == "built")["path"])
    for path in sorted(set(bad["path"]) - built):
        why = dict(report.months.select("path", "error").iter_rows()).get(path)
        message = (
            f"{path} is damaged or gone and cannot be built: {why or 'none of its files is in Bronze'}. "
            "Pull its files, which builds it."
        )
        warnings.warn(message, IncompleteWarning, stacklevel=4)
