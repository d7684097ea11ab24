"""Zips that a lock pins stay in the lake when a transfer replaces them: the archive does not have them any more.

They lie in ``meta/kept`` by their sha256, on a disk as another name of the same bytes. A lock is in ``meta/locks``
where it was made of this lake or restored into it; who deletes its file there lets go of what it pins.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import CHECKSUM
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.errors import DamagedLakeWarning, LockError
from cryptolake.planning.lockfile import FILES, Lock
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
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
    for entry in storage.list(layout.LOCKS):
        try:
            text = storage.read(entry.path).decode("utf-8", "replace")
            found.append(Lock.from_text(text, storage.url(entry.path)).files)
        except LockError as error:
            message = f"a lock of the lake pins nothing any more: {error}"
            warnings.warn(message, DamagedLakeWarning, stacklevel=2)
    return pl.concat(found).unique()


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
