"""Files of a lake that SQL cannot read: found, named, and left out of the views, so that the others are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import duckdb

from cryptolake.archive.enums import DataType, Market
from cryptolake.archive.matrix import load_matrix
from cryptolake.errors import Damaged
from cryptolake.readers.gold_files import gold_files
from cryptolake.readers.odd_symbols import (
    has_odd_symbols,
    is_odd,
    odd_symbol,
    without_odd_symbols,
)
from cryptolake.readers.silver_files import (
    are_as_recorded,
    readable,
    warn_of_damage,
)
from cryptolake.readers.view_sql import FolderDamage, intervals_of, view_name
from cryptolake.storage import layout, segments
from cryptolake.storage.table_schemas import TABLES

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
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


def silver_damage(
    lake: LakeContext, names: AbstractSet[str] | None = None
) -> tuple[dict[str, FolderDamage], list[Damaged]]:
    """Return the folders of datasets with Silver files that are not what was recorded, and the files that are gone.

    ``names`` are words among which those of Silver's views count; all datasets when left out.
    """
    folders = whole = [layout.SILVER]
    if names is not None:
        views = [(row, only) for row in load_matrix().rows for only in intervals_of(row)]
        asked = [(row, only) for row, only in views if view_name(row, only) in names]
        folders = [layout.silver_folder(row.market, row.data_type, only) for row, only in asked]
        whole = sorted({layout.silver_folder(row.market, row.data_type) for row, _ in asked})
    odd = has_odd_symbols(lake.storage, folders)
    if not folders or (not odd and are_as_recorded(lake.storage, lake.records, folders)):
        return {}, []
    # Of a damaged file all views of its dataset are made anew, so the whole dataset is looked at.
    found = readable(lake.storage, lake.records, whole)
    files = without_odd_symbols(found, lake.storage.root)
    bad: dict[str, list[Damaged]] = {}
    for item in files.damaged:
        bad.setdefault(layout.top(item.path, 3), []).append(item)
    sound = [file.path for file in files.whole] if bad else []
    damaged = {
        folder: FolderDamage(tuple(p for p in sound if p.startswith(f"{folder}/")), tuple(items))
        for folder, items in bad.items()
    }
    return damaged, files.gone


def gold_damage(
    lake: LakeContext, names: AbstractSet[str] | None = None, recipes: Iterable[str] = ()
) -> tuple[dict[str, FolderDamage], list[Damaged]]:
    """Return the folders of recipes with Gold files that are not what was recorded, and the files that are gone.

    ``names`` are words among which those of recipes count; all that was made when left out. A question that
    has no word ``gold`` and names none of ``recipes`` is not about Gold: nothing is read for it.
    """
    if names is not None and names.isdisjoint({layout.GOLD, *recipes}):
        return {}, []
    mine = None if names is None else frozenset(names)
    files = gold_files(lake, mine, set(recipes) if names is None else names & set(recipes))
    damaged: dict[str, list[Damaged]] = {}
    for item in files.damaged:
        damaged.setdefault(layout.top(item.path, 2), []).append(item)
    found = {
        folder: FolderDamage(
            tuple(path for path in files.whole if path.startswith(f"{folder}/")), tuple(items)
        )
        for folder, items in damaged.items()
    }
    return found, files.gone


def built_damage(
    lake: LakeContext, names: AbstractSet[str] | None = None, recipes: Iterable[str] = ()
) -> tuple[dict[str, FolderDamage], list[Damaged]]:
    """Return what :func:`silver_damage` and :func:`gold_damage` find."""
    (silver, absent), (gold, gone) = silver_damage(lake, names), gold_damage(lake, names, recipes)
    return {**silver, **gold}, [*absent, *gone]


def together(
    one: Mapping[str, FolderDamage], other: Mapping[str, FolderDamage]
) -> dict[str, FolderDamage]:
    """Return the damage of two findings: a file is whole where both say so."""
    both = {**one, **other}
    for folder in one.keys() & other.keys():
        bad = {item.path: item for item in (*one[folder].bad, *other[folder].bad)}
        whole = tuple(path for path in one[folder].whole if path in set(other[folder].whole))
        both[folder] = FolderDamage(whole, tuple(bad.values()))
    return both


def damage(
    connection: duckdb.DuckDBPyConnection, storage: Storage, held: Held
) -> dict[str, FolderDamage]:
    """Return every folder below Silver, Gold and the tables in which DuckDB cannot read a file."""
    found = table_damage(storage, TABLES)
    for folder in _folders(held):
        paths = [e.path for e in storage.list(folder) if e.path.endswith(layout.PARQUET)]
        odd: list[Damaged] = []
        if folder.startswith(f"{layout.SILVER}/"):
            places = {path: place for path in paths if (place := layout.parse_silver_path(path))}
            odd = [odd_symbol(path, storage.root) for path in paths if is_odd(places.get(path))]
            paths = [path for path, place in places.items() if not is_odd(place)]
        bad = (*odd, *_unreadable(connection, storage, paths))
        if bad:
            names = {item.path for item in bad}
            found[folder] = FolderDamage(tuple(path for path in paths if path not in names), bad)
    return found


def warn(found: Mapping[str, FolderDamage], gone: Sequence[Damaged] = ()) -> None:
    """Name the files that are left out, and those that are gone: a segment once in a process, others at each call."""
    files = list(gone)
    for folder, (_, bad) in found.items():
        if not layout.table_of(folder):
            files += bad
            continue
        for item in bad:
            segments.warn(item)
    warn_of_damage(files)


def _folders(held: Held) -> Iterator[str]:
    for market, data_type in sorted({(market, kind) for market, kind, _ in held.silver}):
        yield layout.silver_folder(Market(market), DataType(data_type))
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
