"""Files of a lake that DuckDB cannot read: found, named, and left out of the views, so that the others are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import duckdb

from cryptolake.errors import DamagedLakeWarning
from cryptolake.readers.view_sql import FolderDamage
from cryptolake.storage import layout, segments
from cryptolake.storage.segments import Damaged
from cryptolake.storage.tables import TABLES

if TYPE_CHECKING:
    from cryptolake.readers.view_sql import Held
    from cryptolake.storage.files import Storage

_FOOTERS = "SELECT count(*) FROM parquet_file_metadata($files)"


def table_damage(storage: Storage, tables: Iterable[str]) -> dict[str, FolderDamage]:
    """Return the folders of tables that have a damaged segment; segments that were found whole are remembered."""
    found = {}
    for table in tables:
        folder = layout.table_folder(table)
        live = segments.current(storage, segments.segments(storage, folder))
        wrong = {entry.path: segments.rotten(storage, entry) for entry in live}
        bad = tuple(item for item in wrong.values() if item is not None)
        if bad:
            found[folder] = FolderDamage(tuple(p for p, w in wrong.items() if w is None), bad)
    return found


def damage(
    connection: duckdb.DuckDBPyConnection, storage: Storage, held: Held
) -> dict[str, FolderDamage]:
    """Return every folder below Silver, Gold and the tables in which DuckDB cannot read a file."""
    found = table_damage(storage, TABLES)
    for folder in _folders(held):
        paths = [e.path for e in storage.list(folder) if e.path.endswith(layout.PARQUET)]
        if folder.startswith(f"{layout.SILVER}/"):
            paths = [path for path in paths if layout.parse_silver_path(path)]
        bad = tuple(_unreadable(connection, storage, paths))
        if bad:
            names = {item.path for item in bad}
            found[folder] = FolderDamage(tuple(path for path in paths if path not in names), bad)
    return found


def warn(found: Mapping[str, FolderDamage]) -> None:
    """Name the files that are left out: a segment once in a process, others at each call."""
    for folder, (_, bad) in found.items():
        for item in bad:
            if layout.table_of(folder):
                segments.warn(item)
                continue
            message = (
                f"{item.path} cannot be read ({item.reason}), so its rows are left out. "
                "cryptolake verify --repair builds a damaged Silver file again from Bronze."
            )
            warnings.warn(message, DamagedLakeWarning, stacklevel=3)


def _folders(held: Held) -> Iterator[str]:
    for market, data_type in sorted({(market, kind) for market, kind, _ in held.silver}):
        yield f"{layout.SILVER}/market={market}/data_type={data_type}"
    for recipe in held.recipes:
        yield layout.gold_folder(recipe)


def _unreadable(
    connection: duckdb.DuckDBPyConnection, storage: Storage, paths: Sequence[str]
) -> Iterator[Damaged]:
    """Yield the files whose footers cannot be read: halves are asked until one file is left."""
    if not paths:
        return
    try:
        connection.execute(_FOOTERS, {"files": [storage.url(path) for path in paths]}).fetchall()
    except duckdb.Error as error:
        if len(paths) == 1:
            yield Damaged(paths[0], str(error).splitlines()[0], storage.root)
            return
        middle = len(paths) // 2
        yield from _unreadable(connection, storage, paths[:middle])
        yield from _unreadable(connection, storage, paths[middle:])
