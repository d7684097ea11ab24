"""Staging: files before they are verified, in ``meta/incoming/<run>/<key>``, one folder per run.

The folder is locked (``flock``) for as long as its run, or the s5cmd that the run started, lives: the
kernel releases the lock when both have died, however they died. So a later run knows which folders no
process uses, and takes the complete files in them instead of fetching them again. A second lock is held by
the run alone: where it is free and the first is not, s5cmd is about to end after its run, and a later run
waits for that.
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
from cryptolake.errors import StorageError
from cryptolake.storage.errors import raise_storage_error
from cryptolake.storage.layout import INCOMING, checked
from cryptolake.storage.placing import move

if os.name == "posix":
    import fcntl

Wanted = Callable[[set[str]], set[str]]
"""Returns which of some zips' keys a run would fetch."""

_LOCK = ".lock"
"""Held by a run and by its s5cmd."""

_RUN_LOCK = ".run"
"""Held by a run only."""

_CHECKING = ".checking"
"""The folder of a run's folder that holds files while they are checked, under their keys."""

_DYING = 2.0
"""Seconds to wait for the s5cmd of a killed run to end; without ``setpriv`` it may not end so soon."""

_BEGINNING = 60.0
"""Seconds after which no run is still about to lock a folder."""

_TEMPORARY = "cryptolake-transfer-"
_INCOMING = "incoming"

_OLD = 7 * 24 * 3600.0
"""Seconds after which a file that no run wants, or a temporary file of no known run, is removed."""


class Staging:
    """The folder of one run, as a context manager: files left in it on exit are for the next run.

    Only files that the run wants are left: what else an endpoint put there is removed.

    Parameters
    ----------
    base
        ``meta/incoming`` of the lake, or a temporary folder.
    run_id
        The run's name, which the folder gets.
    left
        Returns which of some zips' keys the run leaves for the next one; by default all.

    Raises
    ------
    StorageError
        The folder cannot be made: the root is not writable, or the disk is full.
    """

    def __init__(self, base: Path, run_id: str, left: Wanted | None = None) -> None:
        self.base = base
        self.folder = base / run_id
        self._locks: list[int] = []
        self._left = left

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
            raise_storage_error(error, "write", INCOMING, str(self.base.parent.parent))
        return self

    def __exit__(self, *_: object) -> None:
        self.sweep()
        self._remove_strangers()
        if not any(_files(self.folder)):
            shutil.rmtree(self.folder, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    @property
    def keep_open(self) -> tuple[int, ...]:
        """The lock's descriptor, for s5cmd to inherit: the folder stays locked while s5cmd writes there."""
        return (self._locks[0],)

    def path(self, key: str) -> Path:
        """Return where s5cmd puts an object.

        Raises
        ------
        StorageError
            The key would leave the folder.
        """
        return self.folder / checked(key)

    def claim(self, key: str, *, sidecar: bool) -> Path:
        """Move a file that has arrived to where s5cmd writes nothing; return its place there.

        An endpoint may list two keys that are written to one name. The second must not replace the first
        between its check and its storing.
        """
        arrived, claimed = self._names(key)
        if sidecar:
            move(arrived + CHECKSUM, claimed + CHECKSUM)
        move(arrived, claimed)
        return Path(claimed)

    def put_back(self, key: str) -> None:
        """Move what is left of a claimed file to where the next attempt looks for it."""
        arrived, claimed = self._names(key)
        for end in ("", CHECKSUM):
            with contextlib.suppress(OSError):
                move(claimed + end, arrived + end)

    def _names(self, key: str) -> tuple[str, str]:
        """Return where s5cmd puts a zip, and where it is while it is checked; as text, which takes less time."""
        return f"{self.folder}/{checked(key)}", f"{self.folder}/{_CHECKING}/{key}"

    def discard(self, key: str) -> None:
        """Remove an object that was not asked for. One whose key would leave the folder is not there."""
        with contextlib.suppress(StorageError, OSError):
            self.path(key).unlink(missing_ok=True)

    def _remove_strangers(self) -> None:
        if self._left is None:
            return
        found = {path: _key_of(path, self.folder) for path in _files(self.folder, hidden=True)}
        wanted = self._left({key.removesuffix(CHECKSUM) for key in found.values()}) if found else ()
        for path, key in found.items():
            if key.removesuffix(CHECKSUM) not in wanted:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the temporary files of an s5cmd that has ended. Only when none runs here."""
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
        """Take the complete files that dead runs left and this run wants; return how many.

        Parameters
        ----------
        wanted
            Returns which of some zips' keys this run would fetch.
        """
        taken = 0
        # Files right under meta/incoming come from a person who ran the plan's commands by hand.
        for folder in [self.base, *_others(self.base, self.folder)]:
            with _claimed(folder, self.base) as claimed:
                if claimed:
                    taken += self._take(folder, wanted)
        return taken

    def _take(self, folder: Path, wanted: Wanted) -> int:
        """Move a folder's wanted files here, and remove what no run can use."""
        by_hand = folder == self.base
        inner = folder / "data" if by_hand else folder
        if inner.is_symlink():
            return 0
        keys = {path: _key_of(path, folder) for path in _files(inner)}
        complete = {path: key for path, key in keys.items() if _complete(key)}
        zips = {key.removesuffix(CHECKSUM) for key in complete.values()}
        chosen = wanted(zips) if zips else set()
        taken = sum(
            self._move_here(path, key)
            for path, key in complete.items()
            if key.removesuffix(CHECKSUM) in chosen
        )
        for path in keys:
            if by_hand or path in complete:
                _remove_old(path)
            else:
                path.unlink(missing_ok=True)
        if not by_hand and not any(_files(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        return taken

    def _move_here(self, path: Path, key: str) -> bool:
        target = self.path(key)
        if target.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(target)
        except FileNotFoundError:  # another process was first
            return False
        return True


@contextlib.contextmanager
def temporary(run_id: str) -> Iterator[Staging]:
    """Yield a staging folder in the system's temporary folder, for a lake in a bucket; it is removed on exit.

    The folders of killed runs there are removed: none can be used, as nothing says which lake it was for.

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
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                _remove_unused(folder)


def _remove_unused(folder: Path) -> None:
    base = folder / _INCOMING
    for run in base.iterdir():
        with _claimed(run, base) as claimed:
            if claimed:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_old(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # it was moved, or another process was first
        if time.time() - path.stat().st_mtime > _OLD:
            path.unlink()


def _others(base: Path, own: Path) -> list[Path]:
    return [
        path
        for path in sorted(base.iterdir())
        if path.is_dir() and not path.is_symlink() and path != own and path.name != "data"
    ]


@contextlib.contextmanager
def _claimed(folder: Path, base: Path) -> Iterator[bool]:
    """Yield whether no process uses a folder, and hold its lock in the block if so."""
    if folder == base:
        yield True
        return
    if folder.name.startswith("."):  # a run that is about to lock its folder, or died before
        yield _is_old(folder)
        return
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:  # the run just ended, or a person made the folder
        yield _is_old(folder)
        return
    try:
        yield _try_lock(lock) or (_run_is_dead(folder) and _lock_soon(lock))
    finally:
        os.close(lock)


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _BEGINNING
    except FileNotFoundError:  # its run was first
        return False


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
    while not (locked := _try_lock(lock)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return locked


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        # A file system without locks: the folders of dead runs cannot be recognized, and stay.
        if error.errno in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}:
            return False
        raise
    return True


def _key_of(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix().removeprefix(f"{_CHECKING}/")


def _complete(name: str) -> bool:
    """Return whether a file is complete: s5cmd's temporary ones have digits after the name."""
    return name.endswith((".zip", CHECKSUM))


def _files(folder: Path, *, hidden: bool = False) -> Iterator[Path]:
    """Yield the files below a folder, without the lock and the command file. Links are no files."""
    own = {_LOCK, _RUN_LOCK, ".commands"}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            shown = path.parent != folder or name not in own if hidden else not name.startswith(".")
            if shown and not path.is_symlink():
                yield path
