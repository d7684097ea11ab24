"""Drafts of Silver files, and Bronze files opened for streaming."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.errors import CryptolakeError, StorageError
from cryptolake.storage import layout
from cryptolake.storage.errors import raise_storage_error
from cryptolake.storage.placing import flush
from cryptolake.storage.runs import lives

if TYPE_CHECKING:
    from cryptolake.silver.sources import Source
    from cryptolake.storage.files import Storage

_STALE = 86_400
_PREFIX = "cryptolake-build-"
"""What folders of builds are called, before the machine and the process that made them."""


def new_folder(storage: Storage) -> Path:
    """Make a folder for work in progress: in the lake on a disk (so that a rename is whole), else local.

    Raises
    ------
    StorageError
        The lake's disk may not be written, or is full.
    """
    prefix = f"{_PREFIX}{socket.gethostname()}-{os.getpid()}-"
    if not storage.is_local:
        return Path(tempfile.mkdtemp(prefix=prefix))
    base = _drafts(storage)
    with disk_errors(storage, layout.DRAFTS):
        base.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=base))


def sweep(storage: Storage) -> None:
    """Remove drafts that killed builds left: of this machine at once, of another once they are a day old."""
    if storage.is_local:
        folders = _drafts(storage).glob("*")
    else:
        folders = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
    for folder in folders:
        try:
            found = folder.lstat()
            if found.st_uid == os.getuid() and _is_left(folder.name, found.st_mtime):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another build removed it
            continue


def _is_left(name: str, changed: float) -> bool:
    """Say whether the build that made a folder of this name has ended, or, on another machine, may have.

    Of this machine its process tells: a clock that was set meanwhile makes no living build's folder old.
    """
    made_by, _, rest = name.removeprefix(_PREFIX).rpartition("-")
    host, _, pid = made_by.rpartition("-")
    if rest and host == socket.gethostname() and pid.isdecimal():
        return not lives(int(pid))
    return time.time() - changed > _STALE


def _drafts(storage: Storage) -> Path:
    return storage.target(layout.inside(layout.DRAFTS, "any")).parent


@contextmanager
def opened(storage: Storage, source: Source, folder: Path) -> Iterator[IO[bytes]]:
    """Open a Bronze file: in place on a disk, from a copy in a folder where the lake is a bucket.

    Raises
    ------
    CorruptArchive
        The ledger has the file and Bronze does not.
    StorageError
        The bucket cannot be read.
    """
    try:
        file = _on_disk(storage, source, folder).open("rb")
    except FileNotFoundError as error:
        raise source.absent() from error
    with file:
        yield file


def _on_disk(storage: Storage, source: Source, folder: Path) -> Path:
    path = layout.bronze_path(source.key)
    if storage.is_local:
        return storage.local(path)
    copy = folder / hashlib.sha256(source.key.encode()).hexdigest()
    if not copy.exists():
        with _bucket(storage, "read", path) as files:
            files.get_file(storage.url(path), str(copy))
    return copy


@contextmanager
def disk_errors(storage: Storage, path: str) -> Iterator[None]:
    """Turn what the system says while a draft is written, also through Polars, into StorageError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, CryptolakeError):
            raise
        raise_storage_error(error, "write", path, storage.root)
    except pl.exceptions.PolarsError as error:
        number_text = re.search(r"os error (\d+)", str(error))
        if number_text is None:
            raise
        number = int(number_text[1])
        raise_storage_error(OSError(number, os.strerror(number)), "write", path, storage.root)


class Draft(NamedTuple):
    """A finished file that has not its place yet."""

    path: Path
    size: int
    sha256: str


def drafted(storage: Storage, path: str, write: Callable[[Path], None]) -> Draft:
    """Have a file written to a draft on the lake's disk, so that it survives a power failure.

    Its hash is of what can be read there.
    """
    with disk_errors(storage, path):
        folder = new_folder(storage)
        draft = folder / "month.parquet"
        try:
            write(draft)
            with draft.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                return Draft(draft, file.tell(), sha256)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def put(storage: Storage, draft: Path, path: str, folder: Path | None = None) -> None:
    """Put a finished draft at its path in the lake, whole or not at all, and remove its folder, unless all share one."""
    if storage.is_local:
        put_all(storage, {path: draft}, folder)
        return
    with _bucket(storage, "write", path) as files:
        files.put_file(str(draft), storage.url(path))
    _remove(draft, folder)


def _remove(draft: Path, folder: Path | None) -> None:
    if draft.parent == folder:
        draft.unlink(missing_ok=True)
    else:
        shutil.rmtree(draft.parent, ignore_errors=True)


def put_all(storage: Storage, drafts: Mapping[str, Path], folder: Path | None = None) -> None:
    """Put finished drafts at their paths on the lake's disk, each whole or not at all, and remove their folders.

    ``folder``, which drafts share, stays.
    """
    touched: dict[Path, str] = {}
    for path, draft in drafts.items():
        target = storage.target(path)
        with disk_errors(storage, path):
            target.parent.mkdir(parents=True, exist_ok=True)
            flush(draft)  # quick where that was done before
            draft.replace(target)
        touched[target.parent] = path
    for place, path in touched.items():
        with disk_errors(storage, path):
            flush(place)
    for draft in drafts.values():
        if draft.parent != folder:
            shutil.rmtree(draft.parent, ignore_errors=True)


@contextmanager
def _bucket(storage: Storage, verb: str, path: str) -> Iterator[Any]:
    """Give the bucket's filesystem; its errors become StorageError."""
    from botocore.exceptions import BotoCoreError, ClientError

    remote: Any = storage
    try:
        yield remote.filesystem
    except FileNotFoundError:
        raise
    except OSError as error:
        raise_storage_error(error, verb, path, storage.root)
    except (BotoCoreError, ClientError) as error:
        message = f"cannot {verb} {path!r} in {storage.root}: {error}."
        raise StorageError(message, root=storage.root, path=path) from error
