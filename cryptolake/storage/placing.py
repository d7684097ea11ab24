"""How a finished file takes its name on a disk, so that it is there after a power failure, or is not."""

from __future__ import annotations

import os
from pathlib import Path

from cryptolake.storage.errors import raise_storage_error


def place(draft: Path, target: Path) -> None:
    """Rename a finished draft to its final name, so that both survive a power failure.

    Without the flush before the rename, the name could be there after a failure and the bytes not.
    """
    flush(draft)
    draft.replace(target)
    flush(target.parent)


def move(source: str | Path, target: str | Path) -> None:
    """Rename a file, over one that is there; the folder of its new name is made where there is none.

    Thousands of files are renamed: unlike ``Path.replace`` it makes no path of the new name.
    """
    try:
        os.replace(source, target)  # noqa: PTH105
    except FileNotFoundError:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)  # noqa: PTH105


def make_folder(folder: Path, path: str, root: str) -> None:
    """Make the folder of a file that is about to be written.

    Raises
    ------
    StorageError
        The system makes no folder there at all, as below ``/proc``; other refusals stay what they are.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise_storage_error(error, "write", path, root)


def flush(path: Path) -> None:
    """Make a file, or a folder's names, survive a power failure."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
