"""Zips that a lock pins stay in the lake when a transfer replaces them: the archive does not have them any more.

They are in ``meta/kept`` by their sha256, on a disk as another name of the same bytes. A lock is in ``meta/locks``
where it was made of this lake or restored into it; ``lake.unlock`` drops it, and with it what only it pins.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.errors import DamagedLakeWarning, LockError
from cryptolake.planning.lockfile import FILES, Lock
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
from cryptolake.storage.exchange import contents, small_files
from cryptolake.storage.files import S3Storage

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Storage


def pinned_files(storage: Storage) -> pl.DataFrame:
    """Return the files that the lake's locks pin: the columns of ``lock.files``.

    Warns
    -----
    DamagedLakeWarning
        A lock of the lake cannot be read.
    """
    found = [pl.DataFrame(schema=FILES)]
    for item in recorded_locks(storage):
        if item.lock is None:
            message = f"a lock of the lake pins nothing any more: {item.reason}"
            warnings.warn(message, DamagedLakeWarning, stacklevel=2)
        else:
            found.append(item.lock.files)
    return pl.concat(found).unique()


class RecordedLock(NamedTuple):
    """A lock that a lake keeps: its path and name, and the lock, or the reason why it cannot be read."""

    path: str
    id: str
    lock: Lock | None
    reason: str | None


def recorded_locks(storage: Storage) -> list[RecordedLock]:
    """Return the locks that a lake keeps, by id; one that is damaged has its reason."""
    ids = {path: layout.lock_id_of(path) for path in small_files(storage, layout.LOCKS)}
    return [_recorded(storage, path, name) for path, name in ids.items() if name is not None]


def _recorded(storage: Storage, path: str, name: str) -> RecordedLock:
    data = contents(storage, path)
    if data == b"" and storage.is_local and storage.local(path).is_dir():
        why = f"{path} is a folder in the place of the lock: lake.unlock({name!r}) moves it aside"
        return RecordedLock(path, name, None, why)
    if data is None:
        return RecordedLock(path, name, None, "it is gone meanwhile")
    try:
        lock = Lock.from_text(data.decode("utf-8", "replace"), storage.url(path))
    except LockError as error:
        return RecordedLock(path, name, None, str(error))
    if lock.id != name:
        return RecordedLock(path, name, None, f"it holds another lock, {lock.id}")
    return RecordedLock(path, name, lock, None)


def keep_pinned(lake: LakeContext, pieces: Iterable[pl.DataFrame]) -> None:
    """Keep what a lock pins of the files that a transfer is about to replace (``key, status``).

    Raises
    ------
    StorageError
        A file that is pinned cannot be kept, so that it must not be replaced.
    """
    updated = [piece.filter(pl.col("status") == "updated")["key"] for piece in pieces]
    keys = pl.concat([pl.Series("key", [], pl.String), *updated])
    if keys.is_empty():
        return
    pinned = pinned_files(lake.storage).filter(pl.col("key").is_in(keys.implode()))
    if pinned.is_empty():
        return
    held = lake.records.ledger(scope=scope_of_keys(pinned["key"])).select(
        "key", has_sha256="sha256", has_etag="etag"
    )
    # A copy inside S3 has no sha256 before Silver reads it.
    same = pl.coalesce(
        pl.col("has_sha256") == pl.col("sha256"), pl.col("has_etag") == pl.col("etag")
    )
    here = pinned.join(held, on="key", how="inner").filter(same)
    for key, sha256 in here.select("key", "sha256").iter_rows():
        # The zip comes last: one that is kept has its CHECKSUM beside it.
        for end in (CHECKSUM, ""):
            keep_copy(lake.storage, layout.bronze_path(key) + end, layout.kept_path(sha256) + end)


def keep_copy(storage: Storage, path: str, target: str) -> None:
    """Give a file a second name in the lake; nothing is done where it has it, or where there is no file."""
    if storage.exists(target) or not storage.exists(path):
        return
    with in_words("keep", target, storage.root):
        if isinstance(storage, S3Storage):
            names = [f"{storage.bucket}/{storage.key(name)}" for name in (path, target)]
            storage.filesystem.cp_file(*names)
            return
        found = storage.target(target)
        found.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(storage.local(path), found)
        except FileExistsError:  # another process was first
            return
        except OSError:  # a file system without second names, or a link to another disk
            storage.write(target, storage.read(path))
