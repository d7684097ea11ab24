"""A lake's files for DuckDB, where the root's own name would mislead it.

DuckDB takes ``[*]`` in a pattern for a plain ``*``, so most names can be written out. Some cannot: one
with a backslash, which it takes for a separator; one such as ``/data/symbol=X/lake``, which it reads as a
partition; and in a bucket one with a ``?``, ``*`` or ``[``, for whose pattern httpfs finds neither the
objects nor the keys. For those the lake is registered as a filesystem of its own, whose paths begin
below the root.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from cryptolake.readers.filesystems import SharedFile
from cryptolake.storage.files import S3Storage, Storage

PROTOCOL = "lake"

_LEVELS = ("market=", "data_type=", "interval=", "symbol=")


def misleads(storage: Storage) -> bool:
    """Say whether DuckDB would misread the root's name."""
    root = storage.url()
    strange = "\\?*[" if isinstance(storage, S3Storage) else "\\"
    return not set(strange).isdisjoint(root) or any(
        part.startswith(_LEVELS) for part in root.split("/")
    )


def pattern_of(storage: Storage, path: str) -> str:
    """Return a pattern for DuckDB that matches one path of the lake literally."""
    from cryptolake.readers.view_sql import unglobbed

    if misleads(storage):
        return f"{PROTOCOL}://{unglobbed(path)}"
    return unglobbed(storage.url(path))


class RootFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The files below a root on a disk or in a bucket, by their paths under it; read only."""

    protocol = PROTOCOL
    root_marker = ""
    cachable = False

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self._storage = storage
        self._files = storage.filesystem if isinstance(storage, S3Storage) else LocalFileSystem()

    def find(
        self,
        path: str,
        maxdepth: int | None = None,  # noqa: ARG002
        withdirs: bool = False,  # noqa: ARG002, FBT001, FBT002  # fsspec's signature
        detail: bool = False,  # noqa: FBT001, FBT002
        **_: Any,
    ) -> Any:
        """Return the files below a folder."""
        folder = str(self._strip_protocol(path)).strip("/")
        found = {
            entry.path: {"name": entry.path, "size": entry.size, "type": "file"}
            for entry in self._storage.list(folder)
        }
        return found if detail else list(found)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return a file's size."""
        name = str(self._strip_protocol(path))
        return {"name": name, "size": self._files.size(self._storage.url(name)), "type": "file"}

    def modified(self, path: str) -> datetime:
        """Return when a file was last changed (UTC)."""
        changed: datetime = self._files.modified(self._url(path))
        return changed

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            message = f"the lake is not written through DuckDB: {path!r}"
            raise PermissionError(message)
        return SharedFile(self._files.open(self._url(path), mode))

    def _url(self, path: str) -> str:
        return self._storage.url(str(self._strip_protocol(path)))
