"""The locks that a lake keeps, and the zips that it keeps for them: listed, dropped, and held against their names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.audit import Hashes, hashes
from cryptolake.errors import DamagedLakeWarning, LockError
from cryptolake.storage import layout
from cryptolake.storage.exchange import make_room
from cryptolake.transfer.kept import RecordedLock, recorded_locks

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Storage

LAKE_LOCKS: dict[str, Any] = {
    "id": pl.String,
    "created_at": pl.Datetime("us", "UTC"),
    "files": pl.Int64,
    "bytes": pl.Int64,
    "rows": pl.Int64,
    "kept_files": pl.Int64,
    "kept_bytes": pl.Int64,
    "made_by": pl.String,
    "query": pl.String,
    "problem": pl.String,
}
"""The columns of ``lake.locks()``. ``files``, ``bytes`` and ``rows`` (Silver's) are what the lock pins; ``kept_files`` and
``kept_bytes`` what the lake keeps for it in ``meta/kept`` since the archive replaced it; ``created_at`` is UTC; ``query``
is JSON; ``problem`` says why a lock cannot be read, and is null else."""

LET_GO: dict[str, Any] = {"path": pl.String, "size": pl.Int64}
"""The columns of ``lake.unlock``: the files under ``meta/`` that were removed, and their bytes."""

_SHORTEST = 6
"""Letters of an id by which a lock is named."""


def list_locks(lake: LakeContext) -> pl.DataFrame:
    """Return a row for each lock that the lake keeps: see :data:`LAKE_LOCKS`. The newest is first."""
    kept = dict(_kept(lake.storage))
    rows = [_row(item, kept) for item in recorded_locks(lake.storage)]
    found = pl.DataFrame(rows, schema=LAKE_LOCKS, orient="row")
    return found.sort("created_at", "id", descending=[True, False], nulls_last=True)


def _row(item: RecordedLock, kept: dict[str, int]) -> tuple[Any, ...]:
    lock = item.lock
    if lock is None:
        return (item.id, *[None] * (len(LAKE_LOCKS) - 2), item.reason)
    sizes = [kept[sha256] for sha256 in lock.files["sha256"].unique() if sha256 in kept]
    pinned = (lock.files.height, lock.bytes, lock.rows, len(sizes), sum(sizes))
    return (lock.id, lock.created_at, *pinned, lock.made_by, lock.query.to_json(), None)


def drop_lock(lake: LakeContext, lock_id: str) -> pl.DataFrame:
    """Remove a lock from the lake, and the kept zips that no other lock of it pins.

    Parameters
    ----------
    lake
        The lake.
    lock_id
        The lock's id, or its first letters, six at least.

    Returns
    -------
    polars.DataFrame
        What was removed: see :data:`LET_GO`.

    Raises
    ------
    LockError
        The lake keeps no such lock, or several begin with these letters.

    Warns
    -----
    DamagedLakeWarning
        Another lock cannot be read, so that it is not known what it pins: all zips stay.
    """
    storage = lake.storage
    locks = recorded_locks(storage)
    path = _named(locks, lock_id, storage.root).path
    gone = [(path, storage.size(path))]
    make_room(storage, path)
    storage.delete(path)
    others = [item for item in locks if item.path != path]
    if unread := [item.reason for item in others if item.lock is None]:
        message = (
            f"kept zips stay, since it is not known which of them a damaged lock pins: {unread[0]}"
        )
        warnings.warn(message, DamagedLakeWarning, stacklevel=4)
        return pl.DataFrame(gone, schema=LET_GO, orient="row")
    pinned = {
        sha256 for item in others if item.lock is not None for sha256 in item.lock.files["sha256"]
    }
    for sha256, size in _kept(storage):
        if sha256 not in pinned:
            zip_path = layout.kept_path(sha256)
            storage.delete_all([zip_path, zip_path + CHECKSUM])
            gone.append((zip_path, size))
    return pl.DataFrame(gone, schema=LET_GO, orient="row")


def _named(locks: Iterable[RecordedLock], lock_id: str, root: str) -> RecordedLock:
    locks = list(locks)
    found = [item for item in locks if item.id == lock_id] or [
        item for item in locks if len(lock_id) >= _SHORTEST and item.id.startswith(lock_id)
    ]
    if len(found) == 1:
        return found[0]
    held = ", ".join(item.id for item in locks)
    problem = "names several" if found else "is none of the"
    message = f"{lock_id!r} {problem} locks of the lake at {root}, which are: {held}."
    if not locks:
        message = f"the lake at {root} keeps no lock, so none is named {lock_id!r}; lake.freeze makes one."
    raise LockError(message, given=lock_id, root=root, locks=[item.id for item in locks])


def _kept(storage: Storage) -> list[tuple[str, int]]:
    """Return the sha256 and the size of each kept zip."""
    named = ((layout.kept_sha256(entry.path), entry.size) for entry in storage.list(layout.KEPT))
    return sorted((sha256, size) for sha256, size in named if sha256 is not None)


class DamagedPin(NamedTuple):
    """A lock or a kept zip that is not what its name says."""

    path: str
    sha256: str | None
    found_size: int | None
    found_sha256: str | None
    reason: str


def audit_locks(lake: LakeContext) -> list[DamagedPin]:
    """Read each lock of the lake again and hash each kept zip; return those that are damaged."""
    damaged = [
        DamagedPin(item.path, None, lake.storage.size(item.path), None, item.reason)
        for item in recorded_locks(lake.storage)
        if item.reason is not None
    ]
    for sha256, size in _kept(lake.storage):
        path = layout.kept_path(sha256)
        found = hashes(lake.storage, path, size)
        if isinstance(found, Hashes) and found.sha256 != sha256:
            why = "it has other bytes than the lock pins, and thaw will not take it; another donor may have them"
            damaged.append(DamagedPin(path, sha256, found.size, found.sha256, why))
        elif found == "damaged":
            damaged.append(DamagedPin(path, sha256, size, None, "it cannot be read"))
    return damaged
