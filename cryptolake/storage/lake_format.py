"""What a lake says of itself in ``meta/lake.json``: the version of its format, and which archive it is of.

The first write of a lake writes the file; a lake without it is one of the release before, whose format is
the first. Every release reads the formats up to its own, and refuses a newer one before it reads or writes
anything else. The archive is recorded by the first transfer, and of two first ones only one can be.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptolake.archive.source import BUCKET_NAME, ArchivePlace, checked_endpoint
from cryptolake.errors import DamagedLakeWarning, StorageError
from cryptolake.storage.exchange import contents, exchange
from cryptolake.storage.layout import LAKE_FILE

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

FORMAT = 1
"""The format that this release writes, and the newest that it reads."""


def check_format(storage: Storage) -> None:
    """Read what a lake says of itself, once for each storage, and refuse a format that is not known here.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read.
    """
    if storage.format is None:
        read_again(storage)


def read_again(storage: Storage) -> None:
    """Read what a lake says of itself, as it is now.

    Raises
    ------
    StorageError
        As :func:`check_format`.
    """
    _take(storage, contents(storage, LAKE_FILE))


def mark_format(storage: Storage) -> None:
    """Write ``meta/lake.json`` where the lake has none yet; call it before a write.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read or written.
    """
    check_format(storage)
    if storage.format == 0:
        exchange(storage, LAKE_FILE, lambda data: None if _parse(data) else _text(_first()))
        storage.format = FORMAT


def record_archive(
    storage: Storage, archive: ArchivePlace, *, replace: bool = False, moved: bool = False
) -> None:
    """Record which archive a lake is of, where it does not say yet, or where another one is replaced.

    Afterwards ``storage.archive`` is what the lake says, which is another process's word where that was first.

    Parameters
    ----------
    storage
        The lake's files.
    archive
        The archive.
    replace
        Whether another one's place is taken; the lake remembers that one under ``former``.
    moved
        Whether that one is the same sample, which is at another port now: there is nothing to remember.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read or written.
    """
    read_again(storage)
    if storage.archive is not None and (storage.archive == archive or not replace):
        return

    def change(data: bytes | None) -> bytes | None:
        _take(storage, data, quiet=True)
        if storage.archive is not None and (storage.archive == archive or not replace):
            return None
        facts = _parse(data) or _first()
        former = storage.archive
        storage.archive, storage.format = archive, storage.format or FORMAT
        facts["archive"] = archive._asdict()
        if former is not None and not moved:
            storage.adopted = datetime.now(UTC)
            was = {**former._asdict(), "until": storage.adopted.isoformat()}
            facts["former"] = [*_listed(facts.get("former")), was]
        return _text(facts)

    exchange(storage, LAKE_FILE, change)


def _take(storage: Storage, data: bytes | None, *, quiet: bool = False) -> None:
    """Keep, with the storage, what the lake says: its format, 0 where it says none, and its archive."""
    found = _parse(data)
    storage.format = _format(storage, found)
    storage.archive = _archive(found or {})
    storage.adopted = _adopted(found or {})
    if found is None and data is not None and not quiet:
        warnings.warn(
            f"{LAKE_FILE} of the lake at {storage.root} cannot be understood: the lake is read as format "
            f"{FORMAT}, and the next write writes the file anew.",
            DamagedLakeWarning,
            stacklevel=3,
        )


def _format(storage: Storage, found: dict[str, Any] | None) -> int:
    if found is None:
        return 0
    number = int(found["format"])
    if number > FORMAT:
        by = f" (written by {found['written_by']})" if found.get("written_by") else ""
        message = (
            f"the lake at {storage.root} has format {number}{by}, and cryptolake {release()} knows "
            f"formats up to {FORMAT}: upgrade cryptolake to use it."
        )
        raise StorageError(message, root=storage.root, format=number, known=FORMAT)
    return number


def _archive(found: dict[str, Any]) -> ArchivePlace | None:
    said = found.get("archive")
    if not isinstance(said, dict) or not BUCKET_NAME.fullmatch(str(said.get("bucket"))):
        return None
    endpoint = said.get("endpoint")
    try:
        return ArchivePlace(
            str(said["bucket"]), checked_endpoint(str(endpoint)) if endpoint else None
        )
    except ValueError:
        return None  # no endpoint: nothing that a transfer could have recorded


def _adopted(found: dict[str, Any]) -> datetime | None:
    former = _listed(found.get("former"))
    try:
        return datetime.fromisoformat(former[-1]["until"]).astimezone(UTC) if former else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _first() -> dict[str, Any]:
    return {"format": FORMAT, "written_by": f"cryptolake {release()}"}


def _parse(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    number = found.get("format") if isinstance(found, dict) else None
    return found if isinstance(number, int) and number > 0 else None


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _text(facts: dict[str, Any]) -> bytes:
    return f"{json.dumps(facts)}\n".encode()


def release() -> str:
    """Return the release that runs."""
    # Not by an import: this module stands below the package that would import it.
    return str(vars(sys.modules["cryptolake"])["__version__"])
