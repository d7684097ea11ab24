"""The ledger made again from Bronze itself: zips that it does not know are hashed and held against their CHECKSUM."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM, ZIP, file_name, parse_key
from cryptolake.bronze.audit import Hashes, hashes, set_aside
from cryptolake.bronze.etags import EtagMeaning, agrees
from cryptolake.bronze.verify import REASONS, Expected, Verdict, check
from cryptolake.listing.cache import read_kept_file
from cryptolake.silver.late_verification import OpenFileEvidence
from cryptolake.storage import layout
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext

_VERSIONS = 3
"""Zips whose ETag is not their md5, and none whose is, from which on ETags count as none: fewer may be versions that
the archive has replaced since by others of the same size."""

_LISTED = ("size", "etag", "last_modified", "checksum_size", "checksum_etag")


class Unknown(NamedTuple):
    """A zip in Bronze that the ledger does not know."""

    key: str
    size: int


class Judged(NamedTuple):
    """What became of an unknown zip: stored, quarantined, or left as it is, because nothing proves it."""

    key: str
    outcome: str
    verdict: Verdict | None
    detail: str


def unknown_zips(lake: LakeContext) -> list[Unknown]:
    """Return the zips in Bronze that the ledger does not know, by key."""
    known = set(lake.records.ledger()["key"])
    return [
        Unknown(key, entry.size)
        for entry in lake.storage.list(layout.BRONZE)
        if entry.path.endswith(ZIP)
        and (key := layout.bronze_key(entry.path)) is not None
        and key not in known
        and parse_key(key) is not None
    ]


def enter_again(lake: LakeContext, unknown: Iterable[Unknown]) -> list[Judged]:
    """Hash zips that the ledger does not know; enter those that are proven, quarantine those that are wrong.

    A zip is proven by the CHECKSUM beside it, else by what the cached listing says of it. One that neither
    tells of is left as it is: the next pull compares it with the archive.
    """
    run_id, etags = new_run_id(), EtagMeaning(needed=_VERSIONS)
    found = [_judge(lake, item, etags) for item in unknown]
    if etags.opaque:  # some may have been judged by an ETag before that was known
        found = [
            (_judge(lake, Unknown(item.key, item.verdict.size), etags))
            if item.verdict is not None and item.verdict.finding == "transport"
            else (item, proven)
            for item, proven in found
        ]
    judged = [item for item, _ in found]
    now = {"run_id": run_id, "fetched_at": datetime.now(UTC)}
    rows = [_row(item.key, proven, etags) | now for item, proven in found if proven is not None]
    lake.tables.append("files", rows)
    _quarantine(lake, [item for item in judged if item.outcome == "quarantined"], run_id)
    lake.records.forget()
    return judged


class Proven(NamedTuple):
    """What the row of a proven zip is made from: its md5, its CHECKSUM, and what the listing says of it."""

    verdict: Verdict
    md5: str
    sidecar: bytes | None
    listed: Mapping[str, Any]

    def is_listed(self, etags: EtagMeaning) -> bool:
        """Whether the listing is of these bytes: by the ETag of the zip, or of its CHECKSUM."""
        checksum = self.listed.get("checksum_etag")
        if self.sidecar and agrees(hashlib.md5(self.sidecar).hexdigest(), checksum):  # noqa: S324
            return True
        same = etags.agrees(self.md5, self.listed.get("etag")) is not False
        return same and self.listed.get("size") == self.verdict.size


def _judge(lake: LakeContext, item: Unknown, etags: EtagMeaning) -> tuple[Judged, Proven | None]:
    sidecar, listed = _sidecar(lake, item.key), _listed(lake, item.key)
    if sidecar is None and listed is None:
        why = "neither a CHECKSUM nor the cached listing tells of it"
        return Judged(item.key, "unproven", None, why), None
    # A version that the archive has replaced since is proven by its own CHECKSUM: its ETag is no matter.
    expected = Expected(item.size, None)
    if sidecar is None and listed is not None:
        facts = (listed["size"], listed["etag"], listed["checksum_size"], listed["checksum_etag"])
        expected = Expected(*facts)
    try:
        with lake.storage.open(layout.bronze_path(item.key)) as file:
            evidence = OpenFileEvidence(file)
            verdict = check(
                evidence, sidecar, expected, file_name(item.key), found=True, etags=etags
            )
    except OSError as error:
        if not lake.storage.is_local:
            raise
        return Judged(item.key, "quarantined", None, f"it cannot be read: {error}"), None
    if verdict.proof is None:
        return Judged(item.key, "quarantined", verdict, verdict.detail), None
    md5 = evidence.md5()
    if sidecar is not None and listed is not None and listed["size"] == verdict.size:
        etags.learn(md5, listed["etag"])
    return Judged(item.key, "stored", verdict, ""), Proven(verdict, md5, sidecar, listed or {})


def _row(key: str, proven: Proven, etags: EtagMeaning) -> dict[str, Any]:
    """Return the ledger's row of a zip: what the listing says of it, where that is of these bytes."""
    verdict, md5, sidecar, listed = proven
    facts = listed if proven.is_listed(etags) else {}
    checksum = hashlib.md5(sidecar, usedforsecurity=False).hexdigest() if sidecar else None
    return {
        "key": key,
        "size": verdict.size,
        "etag": facts.get("etag") or md5,
        "last_modified": facts.get("last_modified"),
        "sha256": verdict.sha256,
        "md5": md5,
        "verified": verdict.proof,
        "checksum_etag": facts.get("checksum_etag") or checksum,
        "event": "stored",
    }


def _sidecar(lake: LakeContext, key: str) -> bytes | None:
    try:
        return lake.storage.read(layout.bronze_path(key + CHECKSUM))[:4096]
    except OSError:
        if not lake.storage.is_local and lake.storage.exists(layout.bronze_path(key + CHECKSUM)):
            raise
        return None


def _listed(lake: LakeContext, key: str) -> Mapping[str, Any] | None:
    """Return what the cached listing says of a key; None where it says nothing."""
    parsed = parse_key(key)
    if parsed is None:
        return None
    rows = _folder(lake, parsed[:4]).filter(pl.col("key") == key)
    return rows.row(0, named=True) if rows.height else None


def _folder(lake: LakeContext, parts: Any) -> pl.DataFrame:
    market, data_type, symbol, interval = parts
    path = layout.listed_files_path(lake.archive.tag, market, data_type, symbol, interval)
    return read_kept_file(lake.storage, path).select("key", *_LISTED)


def _quarantine(lake: LakeContext, bad: list[Judged], run_id: str) -> None:
    """Move zips that are wrong aside, unless another process has entered them meanwhile.

    The rows are written first: what another process stores from then on is newer than they are.
    """
    known = _recorded(lake, bad)
    bad = [item for item in bad if item.key not in known]
    lake.tables.append("quarantine", [_row_of_wrong(item, run_id) for item in bad])
    for item in bad:
        set_aside(lake.storage, layout.bronze_path(item.key), layout.quarantine_path(item.key))
    known = _recorded(lake, bad)
    back = [
        known[item.key] for item in bad if item.key in known and _given_back(lake, known[item.key])
    ]
    # Stored just before the rows above were written, so that they would count as newer.
    now = datetime.now(UTC)
    lake.tables.append("files", [row | {"fetched_at": now} for row in back])
    for item in bad:
        place = layout.bronze_path(item.key)
        if item.key not in known and not lake.storage.exists(place):
            aside = layout.quarantine_path(item.key + CHECKSUM)
            set_aside(lake.storage, place + CHECKSUM, aside)


def _recorded(lake: LakeContext, items: list[Judged]) -> dict[str, dict[str, Any]]:
    """Return the ledger's rows of some zips, as it is now, by key."""
    if not items:
        return {}
    keys = pl.Series([item.key for item in items], dtype=pl.String).implode()
    rows = lake.tables.ledger(pl.col("key").is_in(keys)).to_dicts()
    return {row["key"]: row for row in rows}


def _given_back(lake: LakeContext, row: Mapping[str, Any]) -> bool:
    """Put a zip that was moved aside back, where it is the one that the ledger has by now; say whether it stands."""
    place, aside = layout.bronze_path(row["key"]), layout.quarantine_path(row["key"])
    found = hashes(lake.storage, aside, row["size"])
    same = isinstance(found, Hashes) and row["sha256"] in (None, found.sha256)
    if same and not lake.storage.exists(place):
        set_aside(lake.storage, aside, place)
    return lake.storage.exists(place)


def _row_of_wrong(item: Judged, run_id: str) -> dict[str, Any]:
    key, _, verdict, detail = item
    finding = verdict.finding if verdict else "unreadable"
    return {
        "key": key,
        "etag": verdict.md5 if verdict else None,
        "size": verdict.size if verdict else None,
        "reason": REASONS.get(finding, finding),
        "detail": detail,
        "path": layout.quarantine_path(key),
        "at": datetime.now(UTC),
        "run_id": run_id,
    }
