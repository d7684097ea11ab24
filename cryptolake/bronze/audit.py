"""Bronze held against its ledger: files are hashed again, and damaged ones taken out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.bronze.etags import EtagMeaning, agrees
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.bronze.verify import parse_sidecar
from cryptolake.errors import CorruptArchive, StorageError
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

Status = Literal["ok", "damaged", "gone"]

_AT_ONCE = 4
_FACTS = ("key", "size", "sha256", "md5", "etag", "verified")


class Entered(NamedTuple):
    """What the ledger says of a Bronze file."""

    key: str
    size: int
    sha256: str | None
    md5: str | None
    etag: str | None
    verified: str | None


class Hashes(NamedTuple):
    """What a file's bytes are."""

    size: int
    sha256: str
    md5: str


class Audited(NamedTuple):
    """A Bronze file, what the ledger says of it, and what was found."""

    key: str
    status: Status
    size: int
    sha256: str | None
    found_size: int | None
    found_sha256: str | None


def audit_files(storage: Storage, ledger: pl.DataFrame) -> list[Audited]:
    """Hash the files of some ledger rows, several at once and each piece by piece, and compare."""
    etags = EtagMeaning.of(ledger)
    rows = [Entered(*row) for row in ledger.select(_FACTS).iter_rows()]
    # Files with a sha256 come first: they tell what ETags say, by which some of the others are judged.
    halves = [row for row in rows if row.sha256], [row for row in rows if not row.sha256]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="audit") as pool:
        return [
            found
            for half in halves
            for found in list(
                pool.map(lambda row: look(storage, layout.bronze_path(row.key), row, etags), half)
            )
        ]


def look(
    storage: Storage, path: str, entered: Entered, etags: EtagMeaning | None = None
) -> Audited:
    """Hash one file and compare it with what the ledger says; one that cannot be read is damaged."""
    key, size, sha256 = entered[:3]
    found = hashes(storage, path, size)
    if not isinstance(found, Hashes):
        return Audited(key, found, size, sha256, None, None)
    same = found.size == size and _is_entered(storage, found, entered, etags or EtagMeaning())
    return Audited(key, "ok" if same else "damaged", size, sha256, found.size, found.sha256)


def _is_entered(storage: Storage, found: Hashes, entered: Entered, etags: EtagMeaning) -> bool:
    """Say whether a file of the right size is the one that the ledger means.

    One that was copied from bucket to bucket has no sha256 in the ledger before Silver reads it. A CHECKSUM that
    fits proves it, whatever its ETag; else the ETag decides where it is an md5, and the CHECKSUM where it is not.
    """
    if entered.sha256:
        same = found.sha256 == entered.sha256
        if same and entered.verified == "sha256":
            etags.learn(found.md5, entered.etag)
        return same
    if entered.md5:
        return found.md5 == entered.md5
    fits = _fits(storage, entered.key, found.sha256)
    if entered.verified == "size" or etags.agrees(found.md5, entered.etag) is None:
        return fits is not False
    return fits or agrees(found.md5, entered.etag) is not False


def _fits(storage: Storage, key: str, sha256: str) -> bool | None:
    """Say whether the CHECKSUM beside a file at its final name gives this hash; None where there is none."""
    try:
        text = storage.read(layout.bronze_path(key + CHECKSUM))[:4096]
    except FileNotFoundError:
        return None
    try:
        return parse_sidecar(text, file_name(key)) == sha256
    except CorruptArchive:
        return False


def hashes(storage: Storage, path: str, size: int) -> Hashes | Literal["damaged", "gone"]:
    """Return what a file of the lake hashes to, read piece by piece; or that it is gone, or cannot be read.

    ``size`` is what it is expected to have.
    """
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    found_size = 0
    try:
        for piece in storage.pieces(path, size):
            found_size += len(piece)
            sha256.update(piece)
            md5.update(piece)
    except FileNotFoundError:
        dangling = storage.is_local and os.path.lexists(storage.local(path))
        return "damaged" if dangling else "gone"
    except StorageError:
        if not storage.is_local:  # a bucket that does not answer says nothing of a file
            raise
        return "damaged"
    return Hashes(found_size, sha256.hexdigest(), md5.hexdigest())


def set_aside(storage: Storage, path: str, aside: str) -> bool:
    """Move whatever is at a path of the lake to another; say whether there was something."""
    if storage.is_local:
        with in_words("set aside", path, storage.root):
            target = storage.target(aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                storage.target(path).rename(target)
            except FileNotFoundError:
                return False
            return True
    try:
        storage.write(aside, storage.read(path))
    except FileNotFoundError:
        return False
    storage.delete(path)
    return True


def take_out(storage: Storage, tables: Meta, keys: Iterable[str]) -> list[str]:
    """Take damaged files out of Bronze, and damaged and missing ones out of the ledger.

    A file is judged again here, after it was moved aside and against the ledger as it is then: another
    process may have stored a newer one since, which goes back to its place.

    Returns
    -------
    list of str
        The keys that the next pull will fetch again.
    """
    removed: list[Audited] = []
    wanted = pl.col("key").is_in(pl.Series(sorted(set(keys)), dtype=pl.String).implode())
    ledger = tables.ledger(scope=scope_of_keys(pl.Series(sorted(set(keys)), dtype=pl.String)))
    etags = EtagMeaning.of(ledger)
    for row in ledger.filter(wanted).select(_FACTS).iter_rows():
        found = _taken_out(storage, tables, Entered(*row), etags)
        if found is not None:
            removed.append(found)
    removed = _not_stored_since(storage, tables, removed, ledger)
    _record(tables, removed)
    return [item.key for item in removed]


def _taken_out(
    storage: Storage, tables: Meta, entered: Entered, etags: EtagMeaning
) -> Audited | None:
    place = layout.bronze_path(entered.key)
    if not storage.is_local:
        found = look(storage, place, _now(tables, entered), etags)
        if found.status == "ok":
            return None
        storage.delete(place)
        storage.delete(place + CHECKSUM)
        return found
    aside = layout.quarantine_path(f"damaged/{secrets.token_hex(6)}.zip")
    found_at, target = storage.target(place), storage.target(aside)
    if not set_aside(storage, place, aside):
        return look(storage, place, entered, etags)
    found = look(storage, aside, _now(tables, entered), etags)
    if found.status == "ok":
        with contextlib.suppress(FileExistsError):  # a still newer one has been stored meanwhile
            os.link(target, found_at)
        target.unlink()
        return None
    if not storage.exists(place):  # else another process has stored both anew
        storage.delete(place + CHECKSUM)
    return found


def _not_stored_since(
    storage: Storage, tables: Meta, removed: list[Audited], before: pl.DataFrame
) -> list[Audited]:
    """Leave out files that another process has stored anew while the damaged ones were taken out: those stay recorded."""
    if not removed:
        return removed
    keys = pl.Series([item.key for item in removed], dtype=pl.String)
    facts = ["key", "fetched_at", "size"]
    now = tables.ledger(pl.col("key").is_in(keys.implode())).select(facts)
    newer = now.join(before.select(facts), on=facts, how="anti", nulls_equal=True)
    stands = {key for key, _, size in newer.rows() if storage.size(layout.bronze_path(key)) == size}
    return [item for item in removed if item.key not in stands]


def _now(tables: Meta, entered: Entered) -> Entered:
    """Return what the ledger says of the file by now."""
    rows = tables.ledger(pl.col("key") == entered.key).select(_FACTS).rows()
    return Entered(*rows[0]) if rows else entered


def _record(tables: Meta, removed: list[Audited]) -> None:
    if not removed:
        return
    run_id, now = new_run_id(), datetime.now(UTC)
    bad = pl.DataFrame(removed, schema=list(Audited._fields), orient="row")
    common = {"key": pl.col("key"), "run_id": pl.lit(run_id)}
    tables.append(
        "files",
        bad.select("size", "sha256", event=pl.lit("removed"), fetched_at=now, **common),
    )
    tables.append(
        "findings",
        bad.select(
            kind=pl.lit("bronze_") + pl.col("status"),
            detail=pl.lit("taken out; the next pull fetches it again"),
            at=now,
            **common,
        ),
    )
