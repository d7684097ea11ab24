"""Where files land before they are verified: ``meta/incoming/<run>/<key>``, one folder per run.

The folder is locked (``flock``) for as long as its run, or the s5cmd that the run started, lives: the
kernel lets go of it when they die, however they die. So a later run knows which folders are nobody's, and
takes the complete files in them instead of fetching them again. A second lock is the run's alone: where it
is free and the first is not, s5cmd is about to follow its run, and a later run waits for that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from cryptolake.archive.keys import CHECKSUM
from cryptolake.storage.errors import raise_storage_error

if os.name == "posix":
    import fcntl

Wanted = Callable[[set[str]], set[str]]
"""Returns those of some keys that a run would fetch."""

_LOCK = ".lock"
"""Held by a run and by its s5cmd."""

_RUN_LOCK = ".run"
"""Held by a run only."""

_DYING = 2.0
"""Seconds in which an s5cmd ends whose run was killed; one that nothing kills is not waited for longer."""

_TEMPORARY = "cryptolake-transfer-"
_INCOMING = "incoming"

_OLD = 7 * 24 * 3600.0
"""Seconds after which a file that no run wanted, or a temporary file of no known run, is removed."""


class Staging:
    """The folder of one run. Use as a context manager: what is left in it on exit is for the next run.

    Parameters
    ----------
    base
        ``meta/incoming`` of the lake, or a temporary folder.
    run_id
        The run's name, which the folder gets.

    Raises
    ------
    StorageError
        The folder cannot be made: the root is not writable, or the disk is full.
    """

    def __init__(self, base: Path, run_id: str) -> None:
        self.base = base
        self.folder = base / run_id
        self._locks: list[int] = []

    def __enter__(self) -> Self:
        # Locked before it has its name, so that no other run ever sees it unlocked.
        draft = self.base / f".{self.folder.name}"
        try:
            draft.mkdir(parents=True)
            for name in (_LOCK, _RUN_LOCK):
                self._locks.append(os.open(draft / name, os.O_RDWR | os.O_CREAT, 0o600))
                _try_lock(self._locks[-1])
            draft.rename(self.folder)
        except OSError as error:
            raise_storage_error(error, "write", "meta/incoming", str(self.base.parent.parent))
        return self

    def __exit__(self, *_: object) -> None:
        self.sweep()
        if not any(_files(self.folder)):
            shutil.rmtree(self.folder, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    @property
    def keep_open(self) -> tuple[int, ...]:
        """The lock's descriptor, for s5cmd to inherit: the folder stays ours while it writes there."""
        return (self._locks[0],)

    def path(self, key: str) -> Path:
        """Return where s5cmd puts an object."""
        return self.folder / key

    def sweep(self) -> None:
        """Remove the temporary files of an s5cmd that was ended. Only when none runs here."""
        for path in _files(self.folder):
            if not _complete(path.name):
                path.unlink(missing_ok=True)

    def arriving(self) -> int:
        """Return the bytes on disk of files that are not complete yet."""
        total = 0
        for path in _files(self.folder):
            if not _complete(path.name):
                with contextlib.suppress(OSError):
                    # Blocks, not length: s5cmd writes parts of a large file at their places.
                    total += path.stat().st_blocks * 512
        return total

    def adopt(self, wanted: Wanted) -> int:
        """Take the complete files that dead runs left, where this run wants them; return how many.

        Parameters
        ----------
        wanted
            Says which of some zips' keys this run would fetch.
        """
        taken = 0
        # Files right under meta/incoming come from a person who ran the plan's commands by hand.
        for folder in [self.base, *_others(self.base, self.folder)]:
            with _claimed(folder, self.base) as ours:
                if ours:
                    taken += self._take(folder, wanted)
        return taken

    def _take(self, folder: Path, wanted: Wanted) -> int:
        inner = folder / "data" if folder == self.base else folder
        found = [path.relative_to(folder).as_posix() for path in _files(inner)]
        ready = [key for key in found if _complete(key)]
        zips = {key.removesuffix(CHECKSUM) for key in ready}
        keys = wanted(zips) if zips else set()
        taken = 0
        for key in ready:
            target = self.path(key)
            if key.removesuffix(CHECKSUM) in keys and not target.exists():
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (folder / key).rename(target)
                    taken += 1
        known_dead = folder != self.base
        for key in found:
            path = folder / key
            with contextlib.suppress(FileNotFoundError):
                partial = not _complete(key) and known_dead
                if partial or time.time() - path.stat().st_mtime > _OLD:
                    path.unlink()
        if known_dead and not any(_files(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        return taken


@contextlib.contextmanager
def temporary(run_id: str) -> Iterator[Staging]:
    """Yield a staging folder in the system's temporary one, for a lake in a bucket; nothing is left of it.

    What killed runs left there is removed: none of it can be used, for nobody says which lake it was for.

    Raises
    ------
    StorageError
        The folder cannot be made: the disk is full.
    """
    _remove_dead()
    with (
        tempfile.TemporaryDirectory(prefix=_TEMPORARY) as folder,
        Staging(Path(folder) / _INCOMING, run_id) as staging,
    ):
        yield staging


def _remove_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):  # another user's, or another run was first
            base = folder / _INCOMING
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            for run in base.iterdir():
                with _claimed(run, base) as ours:
                    if ours:
                        shutil.rmtree(folder, ignore_errors=True)


def _others(base: Path, own: Path) -> list[Path]:
    return [
        path
        for path in sorted(base.iterdir())
        if path.is_dir() and path != own and path.name != "data"
    ]


@contextlib.contextmanager
def _claimed(folder: Path, base: Path) -> Iterator[bool]:
    """Say whether a folder is nobody's, and keep it ours meanwhile."""
    if folder == base:
        yield True
        return
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # A run that died before it had locked its folder, or is about to.
        yield time.time() - folder.stat().st_mtime > 60 if folder.exists() else False
        return
    try:
        yield _try_lock(lock) or (_run_is_dead(folder) and _lock_soon(lock))
    finally:
        os.close(lock)


def _run_is_dead(folder: Path) -> bool:
    try:
        lock = os.open(folder / _RUN_LOCK, os.O_RDWR)
    except FileNotFoundError:  # the run just ended in order, or was of an earlier version
        return False
    try:
        return _try_lock(lock)
    finally:
        os.close(lock)


def _lock_soon(lock: int) -> bool:
    deadline = time.monotonic() + _DYING
    while not (ours := _try_lock(lock)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return ours


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        # A file system without locks: then nobody's folders are not told apart, and stay.
        if error.errno in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}:
            return False
        raise
    return True


def _complete(name: str) -> bool:
    """Say whether it is a finished file: s5cmd's temporary ones have digits behind the name."""
    return name.endswith((".zip", CHECKSUM))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without the lock and the command file."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name)
