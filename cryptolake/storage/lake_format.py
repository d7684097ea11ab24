"""What a lake says of itself in ``meta/lake.json``: the version of its format, and which archive it is of.

The first write of a lake writes the file; a lake without it is one of the release before, whose format is
the first. Every release reads the formats up to its own, and refuses a newer one before it reads or writes
anything else. The archive is recorded by the first transfer, and of two first ones only one can be.

Where the file is damaged it does not say any more which archive the lake is of. Whoever writes it anew keeps the
damaged bytes in quarantine and says ``archive_lost`` until the archive is known again (``listing.identity``).
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from cryptolake.archive.source import ArchivePlace
from cryptolake.errors import DamagedLakeWarning, StorageError
from cryptolake.storage.exchange import contents, exchange
from cryptolake.storage.layout import LAKE_FILE, quarantine_path

if TYPE_CHECKING:
    from cryptolake.storage.files import Storage

FORMAT = 1
"""The format that this release writes, and the newest that it reads."""

_LOST = "archive_lost"
"""What the file has, written anew after it was damaged, until the archive is known again: since when it is not."""

_FORGETFUL: WeakSet[Storage] = WeakSet()
"""The lakes whose file does not say which archive they are of, though it has done so, or may have."""


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
        exchange(storage, LAKE_FILE, lambda data: None if _parse(data) else _begun(storage, data))
        storage.format = FORMAT


def archive_is_lost(storage: Storage) -> bool:
    """Say whether the lake's file, as it was last read, is damaged, or was, so that the archive is not known."""
    return storage in _FORGETFUL


def file_damage(storage: Storage) -> str | None:
    """Return why the lake's file does not say which archive the lake is of; None where it does, or never did.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read.
    """
    data = contents(storage, LAKE_FILE)
    _take(storage, data, quiet=True)
    if storage not in _FORGETFUL:
        return None
    return f"{_why(_parse(data))}, so it does not say which archive the lake is of"


def renew(storage: Storage) -> None:
    """Set a damaged file aside and write it anew; which archive the lake is of, it does not say.

    Raises
    ------
    StorageError
        A newer release wrote the lake, or the file cannot be read or written.
    """

    def change(data: bytes | None) -> bytes | None:
        _take(storage, data, quiet=True)
        return _begun(storage, data) if storage in _FORGETFUL else None

    exchange(storage, LAKE_FILE, change)
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
        facts = _renewed(storage, data) if storage in _FORGETFUL else _parse(data) or _first()
        facts.pop(_LOST, None)
        _FORGETFUL.discard(storage)
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
    if data is None or storage.archive is not None or not _should_say(found):
        _FORGETFUL.discard(storage)
        return
    if storage not in _FORGETFUL and not quiet:
        warnings.warn(
            f"{LAKE_FILE} of the lake at {storage.root} does not say which archive the lake is of: {_why(found)}. "
            "`cryptolake verify --repair` sets the file aside and looks in the lake's other records, and so does the "
            "next call that transfers, which moves nothing from another archive.",
            DamagedLakeWarning,
            stacklevel=3,
        )
    _FORGETFUL.add(storage)


def _should_say(found: dict[str, Any] | None) -> bool:
    """Say whether a file that names no archive has named one, or may have."""
    return found is None or _LOST in found or found.get("archive") is not None


def _why(found: dict[str, Any] | None) -> str:
    if found is None:
        return "it cannot be understood"
    if _LOST in found:
        return f"it was damaged, and written anew at {found[_LOST]}"
    return "what it names is no archive"


def _begun(storage: Storage, data: bytes | None) -> bytes:
    """Return the text of a file that names no archive yet; of a damaged one, that it does not name it any more."""
    return _text(_first() if data is None else _renewed(storage, data))


def _renewed(storage: Storage, data: bytes | None) -> dict[str, Any]:
    """Return what can be said in the place of a damaged file, whose bytes are kept in quarantine."""
    found = _parse(data)
    if found is not None and _LOST in found:
        return found
    if data:
        name = f"lake.json.{hashlib.sha256(data).hexdigest()[:12]}"
        storage.write(quarantine_path(f"damaged/{name}"), data)
    facts = {**(found or _first()), _LOST: datetime.now(UTC).isoformat(timespec="seconds")}
    facts.pop("archive", None)
    return facts


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
    if not isinstance(said, dict):
        return None
    return ArchivePlace.of(said.get("bucket"), said.get("endpoint") or None)


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
