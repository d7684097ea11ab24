"""The target of verified files: Bronze at the final name, or quarantine. Here for a lake on a disk."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptolake.archive.keys import CHECKSUM
from cryptolake.storage import layout
from cryptolake.storage.layout import checked
from cryptolake.storage.placing import move

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage


class BronzeStore(Protocol):
    """What a pipeline that downloads needs of a lake."""

    def stored(self, keys: Iterable[str]) -> dict[str, Path]:
        """Return the files at their final names, of those keys whose files are on this disk."""

    def quarantined(self, key: str) -> Path | None:
        """Return the quarantined file if it is on this disk, else None."""

    def place(self, key: str, zip_path: Path, sidecar: Path | None) -> None:
        """Put a verified file, and its sidecar, at their final names."""

    def quarantine(self, key: str, zip_path: Path, sidecar: Path | None) -> str:
        """Put a file that failed verification into quarantine; return its path in the lake."""


class DiskStore:
    """Bronze and quarantine of a lake in a folder: every step is a rename."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._root, self._bronze = storage.local(), storage.local(layout.BRONZE)
        self._own_folders: set[str] = set()

    def stored(self, keys: Iterable[str]) -> dict[str, Path]:
        """Return the files at their final names, of those keys that have one."""
        found = present(self._bronze, map(checked, keys))
        return {key: Path(self._target(layout.bronze_path(key))) for key in found}

    def quarantined(self, key: str) -> Path | None:
        """Return the quarantined file, if there is one."""
        path = Path(self._target(layout.quarantine_path(key)))
        return path if path.is_file() else None

    def place(self, key: str, zip_path: Path, sidecar: Path | None) -> None:
        """Rename both to their final names, replacing what an earlier version left there.

        The sidecar goes first: a zip at its final name then always has the sidecar it was checked with,
        and a run that is killed in between leaves the zip to be found by the next one.
        """
        self._rename_to(self._target(layout.bronze_path(key)), zip_path, sidecar)

    def quarantine(self, key: str, zip_path: Path, sidecar: Path | None) -> str:
        """Rename both into quarantine."""
        path = layout.quarantine_path(key)
        self._rename_to(self._target(path), zip_path, sidecar)
        return path

    def _target(self, path: str) -> str:
        """Return the place of a file, as text; StorageError where a link leads out of the lake."""
        folder = path.rpartition("/")[0]
        if folder not in self._own_folders:  # a run's files are in few folders
            self._storage.target(path)
            self._own_folders.add(folder)
        return f"{self._root}/{checked(path)}"

    def _rename_to(self, target: str, zip_path: Path, sidecar: Path | None) -> None:
        beside = f"{target}{CHECKSUM}"
        if sidecar is not None:
            self._rename(str(sidecar), beside)
        else:
            self._clear(Path(beside))
            Path(beside).unlink(missing_ok=True)
        self._rename(str(zip_path), target)

    def _rename(self, source: str, target: str) -> None:
        try:
            _move(source, target)
        except IsADirectoryError:
            self._clear(Path(target))
            _move(source, target)

    def _clear(self, place: Path) -> None:
        """Move a folder that is in the place of a file aside: a rename does not replace it."""
        if place.is_dir() and not place.is_symlink():
            aside = Path(self._target(layout.quarantine_path(f"damaged/{secrets.token_hex(6)}")))
            aside.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another process was first
                place.rename(aside)


def present(base: Path, keys: Iterable[str]) -> set[str]:
    """Return those of some keys that are files below a folder.

    Each key's folder is listed once, which costs less than one call for each file: a batch has few folders.
    """
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        folder, _, name = key.rpartition("/")
        wanted[folder].add(name)
    found: set[str] = set()
    for folder, names in wanted.items():
        with contextlib.suppress(FileNotFoundError), os.scandir(base / folder) as entries:
            files = {entry.name for entry in entries if entry.name in names and _is_file(entry)}
            found.update(f"{folder}/{name}" for name in files)
    return found


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _move(source: str, target: str) -> None:
    if source == target:
        return
    try:
        move(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A part of the lake is on another disk: copy beside the target, then rename there.
        folder, name = Path(target).parent, Path(target).name
        draft = folder / f".{name[:200]}.{os.getpid()}"
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            undo.callback(draft.unlink, missing_ok=True)
            shutil.copyfile(source, draft)
            draft.replace(target)
        Path(source).unlink()
