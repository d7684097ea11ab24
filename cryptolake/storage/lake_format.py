"""The version of a lake's format, in ``meta/lake.json``.

The first write of a lake writes the file; a lake without it is one of the release before, whose format is
the first. Every release reads the formats up to its own, and refuses a newer one before it reads or writes
anything else. A file is written whole, and two first writers say the same: it does not matter whose stays.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

from cryptolake.errors import DamagedLakeWarning, StorageError
from cryptolake.storage.layout import LAKE_FILE

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

FORMAT = 1
"""The format that this release writes, and the newest that it reads."""


def check_format(storage: Storage) -> None:
    """Read a lake's format, once for each storage, and refuse one that this release does not know.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read.
    """
    if storage.format is None:
        storage.format = _read(storage)


def mark_format(storage: Storage) -> None:
    """Write ``meta/lake.json`` where the lake has none yet; call it before a write.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read or written.
    """
    check_format(storage)
    if storage.format == 0:
        content = {"format": FORMAT, "written_by": f"cryptolake {_release()}"}
        storage.write(LAKE_FILE, f"{json.dumps(content)}\n".encode())
        storage.format = FORMAT


def _read(storage: Storage) -> int:
    """Return the format that the lake says it has, 0 where it says nothing."""
    try:
        found = _parse(storage.read(LAKE_FILE))
    except FileNotFoundError:
        return 0
    if found is None:
        warnings.warn(
            f"{LAKE_FILE} of the lake at {storage.root} cannot be understood: the lake is read as format "
            f"{FORMAT}, and the next write writes the file anew.",
            DamagedLakeWarning,
            stacklevel=2,
        )
        return 0
    number = found["format"]
    if number > FORMAT:
        by = f" (written by {found['written_by']})" if found.get("written_by") else ""
        message = (
            f"the lake at {storage.root} has format {number}{by}, and cryptolake {_release()} knows "
            f"formats up to {FORMAT}: upgrade cryptolake to use it."
        )
        raise StorageError(message, root=storage.root, format=number, known=FORMAT)
    return int(number)


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    number = found.get("format") if isinstance(found, dict) else None
    return found if isinstance(number, int) and number > 0 else None


def _release() -> str:
    # Not by an import: this module stands below the package that would import it.
    return str(vars(sys.modules["cryptolake"])["__version__"])
