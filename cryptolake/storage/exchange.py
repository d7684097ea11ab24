"""Changes a small file that several writers change: read, and written with no other writer in between.

Where a disk has no locks, or a store no conditional writes, the last writer wins.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from cryptolake.errors import StorageError
from cryptolake.storage.errors import REFUSED_CONDITION, UNKNOWN_CONDITION, code_of, in_words
from cryptolake.storage.files import S3Storage
from cryptolake.storage.layout import quarantine_path
from cryptolake.storage.placing import make_folder

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

Change: TypeAlias = Callable[[bytes | None], bytes | None]
"""Returns the new bytes of a file from its present ones, None for an absent file; None leaves it as it is."""

_TRIES = 20
"""How often an object is read again because another writer was quicker."""

_IN_VAIN = 5
"""Refusals in a row at one unchanged version, from which on the store counts as one without conditional writes."""


def exchange(storage: Storage, path: str, change: Change) -> None:
    """Read a file of a lake and put what ``change`` makes of it.

    Raises
    ------
    StorageError
        The file cannot be read or written.
    """
    if isinstance(storage, S3Storage):
        _exchange_object(storage, path, change)
        return
    folder = storage.target(path).parent
    with in_words("write", path, storage.root):
        make_folder(folder, path, storage.root)
        number = os.open(folder, os.O_RDONLY)
        try:
            _lock(number)
            _change(storage, path, change)
        finally:
            os.close(number)


def _change(storage: Storage, path: str, change: Change) -> None:
    made = change(contents(storage, path))
    if made is None:
        return
    put(storage, path, made)


def put(storage: Storage, path: str, data: bytes) -> None:
    """Put a small file at its path, also where a folder is in its place.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    make_room(storage, path)
    storage.write(path, data)


def make_room(storage: Storage, path: str) -> None:
    """Move a folder that is in the place of a file to quarantine: no file can be renamed over it, or deleted there.

    Raises
    ------
    StorageError
        It cannot be moved.
    """
    if not storage.is_local or not storage.local(path).is_dir():
        return
    with in_words("move", path, storage.root):
        aside = storage.target(quarantine_path(f"damaged/{secrets.token_hex(6)}"))
        make_folder(aside.parent, path, storage.root)
        storage.target(path).rename(aside)


def small_files(storage: Storage, folder: str) -> list[str]:
    """Return the paths in a folder of small files, sorted; also of folders that are in the place of files.

    Raises
    ------
    StorageError
        The folder cannot be listed.
    """
    if not storage.is_local:
        return [entry.path for entry in storage.list(folder)]
    with in_words("list", folder, storage.root):
        try:
            return sorted(f"{folder}/{name}" for name in os.listdir(storage.local(folder)))  # noqa: PTH208
        except FileNotFoundError:
            return []


def contents(storage: Storage, path: str) -> bytes | None:
    """Return a file's bytes: None where there is none, no bytes where a folder or a link to itself is in its place.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    try:
        return storage.read(path)
    except FileNotFoundError:
        return None
    except StorageError as error:
        if error.facts.get("errno") not in {errno.EISDIR, errno.ELOOP}:
            raise
        return b""


def _lock(number: int) -> None:
    """Wait until nobody else holds the lock of an open folder, which the kernel ends with the process."""
    if sys.platform == "win32":
        return
    import fcntl

    with suppress(OSError):  # some network disks have no locks
        fcntl.flock(number, fcntl.LOCK_EX)


def _exchange_object(storage: S3Storage, path: str, change: Change) -> None:
    refused: list[tuple[str | None, bytes | None]] = []
    for _ in range(_TRIES):
        version = _version(storage, path)
        made = change(version[1])
        if made is None:
            return
        if refused[-_IN_VAIN:] == [version] * _IN_VAIN:  # a gateway shows other ETags than it takes
            storage.write(path, made)
            return
        if _put_if(storage, path, made, version[0]):
            return
        refused.append(version)
    message = f"{path!r} in the lake at {storage.root} is written by others all the time."
    raise StorageError(message, root=storage.root, path=path)


def _version(storage: S3Storage, path: str) -> tuple[str | None, bytes | None]:
    """Return an object's ETag and bytes; what is put meanwhile has another ETag."""
    where = {"Bucket": storage.bucket, "Key": storage.key(path)}
    with in_words("read", path, storage.root):
        try:
            return storage.filesystem.call_s3("head_object", **where)["ETag"], storage.read(path)
        except FileNotFoundError:
            return None, None


def _put_if(storage: S3Storage, path: str, data: bytes, etag: str | None) -> bool:
    """Put an object in the place of one with an ETag, or of none; say whether it still was so."""
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    with in_words("write", path, storage.root):
        try:
            storage.filesystem.pipe_file(f"{storage.bucket}/{storage.key(path)}", data, **condition)
        except OSError as error:
            code = code_of(error)
            if code in {*UNKNOWN_CONDITION, "NoSuchBucket"}:  # the plain write says it in words
                storage.write(path, data)
            elif code in REFUSED_CONDITION:
                return False
            else:
                raise
    return True
