"""DuckDB over the whole lake: a view for every dataset in ``bronze`` and ``silver``, and the ``meta`` tables.

Views exist whether there are files or not: one for a dataset with all its intervals
(``silver.spot_klines``), and one for each interval (``silver.spot_klines_1m``). Bronze is read where it
lies, still zipped; Silver and the tables are read as the Parquet files they are, on the disk or in the
bucket. No extension is downloaded to read: an S3 lake uses httpfs where it is installed, else s3fs.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import duckdb

from cryptolake.archive.matrix import load_matrix
from cryptolake.bronze.ledger import one_data_type
from cryptolake.errors import Damaged, StorageError
from cryptolake.readers.conversions import explain_missing_packages
from cryptolake.readers.damage import (
    built_damage,
    damage,
    table_damage,
    together,
    warn,
)
from cryptolake.readers.filesystems import BronzeFileSystem, SharedBucket, nothing_listed
from cryptolake.readers.odd_symbols import without_odd_symbols
from cryptolake.readers.polars_frames import markets_of
from cryptolake.readers.silver_files import extra_columns, silver_of, silver_scope, warn_of_damage
from cryptolake.readers.unusable import warn_of_unusable
from cryptolake.readers.view_notes import comments
from cryptolake.readers.view_sql import (
    EMPTY,
    NO_ROOT,
    SCHEMAS,
    TIME,
    FolderDamage,
    Held,
    QueryFiles,
    View,
    bronze_views,
    gold_views,
    intervals_of,
    literal,
    meta_views,
    question_view,
    quoted,
    silver_pattern,
    silver_views,
    sql_types,
    view_name,
)
from cryptolake.readers.view_template import in_lake, keep, place, take
from cryptolake.storage import layout
from cryptolake.storage.errors import in_words
from cryptolake.storage.files import S3Storage, Storage, walk
from cryptolake.storage.table_schemas import TABLES
from cryptolake.user_files import user_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.s3_config import Httpfs


Params = Mapping[str, Any] | Sequence[Any] | None
"""Values of a question's ``$name``, or of its ``?`` in order."""


Recipes = Mapping[str, Mapping[str, Any]]
"""Gold's recipes: each one's columns and their Polars types."""

_BUCKETS: WeakKeyDictionary[S3Storage, SharedBucket] = WeakKeyDictionary()
"""The filesystem by which DuckDB reads each lake in a bucket where it has no httpfs."""


def reach(connection: duckdb.DuckDBPyConnection, lake: LakeContext) -> None:
    """Register with a connection what it needs to read a lake."""
    if isinstance(lake.storage, S3Storage):
        _reach_bucket(connection, lake.storage)
    # A connection lives on, so its filesystem asks for the ledger as it is at each question.
    _register(connection, BronzeFileSystem(lake.storage, lake.tables))


def _reach_bucket(connection: duckdb.DuckDBPyConnection, storage: S3Storage) -> None:
    """Let DuckDB read the lake's bucket: by httpfs where it is installed, else by s3fs."""
    wanted = storage.config.httpfs(storage.bucket)
    if wanted is not None and _loads(connection, "httpfs"):
        for statement in _statements(wanted, storage.url()):
            connection.execute(statement)
    else:
        _register(
            connection, _BUCKETS.setdefault(storage, SharedBucket("s3://", storage.filesystem))
        )


def _register(connection: duckdb.DuckDBPyConnection, files: AbstractFileSystem) -> None:
    """Register a filesystem, in the place of one that an earlier connection to the same file left."""
    protocols = [files.protocol] if isinstance(files.protocol, str) else files.protocol
    for protocol in protocols:
        if connection.filesystem_is_registered(protocol):
            connection.unregister_filesystem(protocol)
    connection.register_filesystem(files)


def _loads(connection: duckdb.DuckDBPyConnection, extension: str) -> bool:
    try:
        connection.load_extension(extension)
    except duckdb.Error:
        return False
    return True


def _statements(wanted: Httpfs, scope: str) -> list[str]:
    """Return the statements that give this connection, and no file, the lake's credentials."""
    cells = [
        f"{name} {literal(value)}" for name, value in {**wanted.secret, "SCOPE": scope}.items()
    ]
    secret = f"CREATE OR REPLACE TEMPORARY SECRET cryptolake (TYPE s3, {', '.join(cells)})"
    return [*(f"SET GLOBAL {n} = {literal(v)}" for n, v in wanted.settings.items()), secret]


_SEARCHED = "SET search_path = 'main,silver,gold,meta'"
"""``show tables`` lists what a name without a schema may mean; a session's own setting, which no file keeps."""

_STATE = "SELECT comment FROM duckdb_views() WHERE schema_name = 'meta' AND view_name = 'files'"
"""What the views were made for, kept as the comment of one of them."""

_ONE = threading.Lock()
"""Two threads that remake the same views at once would be in each other's way."""


def connect(
    lake: LakeContext,
    *,
    path: Path | None = None,
    views: bool = True,
    recipes: Recipes = MappingProxyType({}),
) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with every view of a lake.

    Parameters
    ----------
    lake
        The lake.
    path
        A DuckDB file to keep the views in; in memory when left out. Plain DuckDB can open such a file
        and ask ``silver``, ``gold`` and ``meta`` of a local lake; ``bronze`` needs a connection made here.
    views
        Whether the views over Silver and the tables are made now, of all files; :func:`ask` makes them itself.
    recipes
        Gold's recipes and their columns: those that nothing was made of are empty views.

    Raises
    ------
    StorageError
        The file is not DuckDB's, or another process holds it.
    """
    try:
        connection = duckdb.connect(":memory:" if path is None else str(user_path(path)))
    except duckdb.Error as error:
        message = (
            f"cannot keep the views in {path}: {str(error).splitlines()[0]} "
            "Choose another path, or close what holds this one."
        )
        raise StorageError(message, path=path) from error
    explain_missing_packages()
    # No download at query time without leave; INSTALL httpfs by hand is that leave.
    connection.execute("SET GLOBAL autoinstall_known_extensions = false")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    reach(connection, lake)
    known = _begin(connection, lake.storage, in_memory=path is None)
    connection.execute(_SEARCHED)
    warn_of_unusable(lake)
    if views:
        damaged, gone = built_damage(lake, recipes=recipes)
        _refresh(connection, lake, known=known, damaged=damaged, gone=gone, recipes=recipes)
    return connection


def _begin(
    connection: duckdb.DuckDBPyConnection, storage: Storage, *, in_memory: bool
) -> str | None:
    """Make the views that do not depend on what the lake holds; return for what those over Silver were made.

    In memory they come from the cache if they can. Views that stay in a file name the lake's files themselves.
    """
    schemas = [f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}" for schema in SCHEMAS]
    if not in_memory:
        _create(connection, [*schemas, *(view.create for view in bronze_views())])
        return None
    views = [*bronze_views(), *_views(storage, EMPTY)]
    known = _state("", EMPTY)
    statements = [*schemas, in_lake(NO_ROOT), *(view.create for view in views), _note(known)]
    file = place(statements)
    if file is None or not take(connection, file, views):
        _create(connection, statements)
        if file is not None:
            keep(connection, file)
    if storage.is_local:
        connection.execute(in_lake(_top(storage)))
    return known


def _top(storage: Storage) -> str:
    """Return what stands before the paths under a root on a disk."""
    return storage.url(layout.SILVER).removesuffix(layout.SILVER)


def _state(seen: str, held: Held) -> str:
    """Return for what views were made, as it is kept with them."""
    return json.dumps({"seen": seen, "held": _plain(held)})


def _note(state: str) -> str:
    return f"COMMENT ON VIEW {quoted('meta')}.{quoted('files')} IS {literal(state)}"


def refresh(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeContext,
    *,
    damaged: Mapping[str, FolderDamage] | None = None,
    gone: Sequence[Damaged] = (),
    recipes: Recipes = MappingProxyType({}),
) -> None:
    """Bring a connection's views up to what the lake has now; quick when nothing new has come.

    On a disk the views see new files by themselves; this makes those of a dataset that was empty as fast as
    the others, and shows columns beyond the schema. In a bucket it also makes the first files seen.

    Parameters
    ----------
    connection, lake
        The connection and its lake.
    damaged, gone
        Files that the views leave out, and files that are not there: they are named in a warning.
    recipes
        As :func:`connect` takes them.
    """
    # A cursor of its own: the caller may be in the middle of reading a result.
    with _ONE, connection.cursor() as cursor:
        known = _known(cursor)
        _refresh(cursor, lake, known=known, damaged=damaged, gone=gone, recipes=recipes)


def ask(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeContext,
    text: str,
    params: Params = None,
    query: Query | None = None,
    recipes: Recipes = MappingProxyType({}),
) -> duckdb.DuckDBPyRelation:
    """Return the relation of a question to views as the lake stands now.

    A file of the lake that cannot be read is named in a warning and left out, so that a question about
    others is answered.

    Parameters
    ----------
    connection, lake
        The connection and its lake.
    text, params
        The question, and the values of its ``$name`` or ``?``.
    query
        What the view ``q`` has, for this question alone.
    recipes
        As :func:`connect` takes them.

    Raises
    ------
    duckdb.Error
        The question is wrong.
    StorageError
        A file of the lake cannot be read.
    """
    words = set(_WORD.findall(text.lower()))
    tables = words & TABLES.keys()
    built, gone = built_damage(lake, words, recipes)
    found = {**table_damage(lake.storage, sorted(tables)), **built}
    refresh(connection, lake, damaged=found, gone=gone, recipes=recipes)
    if isinstance(lake.storage, S3Storage) and lake.storage in _BUCKETS:
        _BUCKETS[lake.storage].forget()
    own = None if query is None else _query_view(query, lake)

    def asked() -> duckdb.DuckDBPyRelation:
        # A cursor of its own for each question: relations are lazy, and may be read in any order. It alone
        # sees its temporary view, so that two questions with a query each do not meet.
        cursor = connection.cursor()
        cursor.execute(_SEARCHED)
        if own is not None:
            cursor.execute(f"CREATE TEMPORARY VIEW q AS {own}")
        return cursor.sql(text, params=params)

    try:
        return asked()
    except (duckdb.ProgrammingError, duckdb.NotSupportedError):
        raise
    except duckdb.Error as error:
        unreadable = damage(connection.cursor(), lake.storage, look(lake.storage))
        if not unreadable:
            raise
        refresh(connection, lake, damaged=together(unreadable, found), recipes=recipes)
        try:
            return asked()
        except duckdb.Error:
            raise _unreadable(lake.storage, error) from error


def _query_view(query: Query, lake: LakeContext) -> str:
    """Return what ``q`` selects, and warn of the query's files that cannot be read."""
    data_type = one_data_type(query)
    extras = extra_columns(lake.records, silver_scope(query))
    days = query.selection.days
    parts, bad = [], list[Damaged]()
    for market in markets_of(query, data_type):
        found = silver_of(lake.storage, lake.records, query, market, data_type)
        held = without_odd_symbols(found, lake.storage.root)
        bad += held.bad
        row = load_matrix().row(market, data_type)
        own = extras.get((market.value, data_type.value), ())
        paths = tuple(file.path for file in held.whole)
        parts.append(QueryFiles(row, own, paths, None if days is None else (days.begin, days.end)))
    warn_of_damage(bad)
    return question_view(parts, lake.storage)


_WORD = re.compile(r"\w+")
"""What may be the name of a view in a question. DuckDB's own ``get_table_names`` binds the question: it refuses
parameters, ``using`` and ``pivot``. A word that names a view and is something else costs a look at its files."""


def _known(connection: duckdb.DuckDBPyConnection) -> str | None:
    ((known,),) = connection.execute(_STATE).fetchall() or ((None,),)
    return known


def _refresh(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeContext,
    *,
    known: str | None,
    damaged: Mapping[str, FolderDamage] | None = None,
    gone: Sequence[Damaged] = (),
    recipes: Recipes = MappingProxyType({}),
) -> None:
    storage = lake.storage
    found = look(storage)._replace(typed=sql_types(recipes))
    # Extra columns are known from the build records: read only when there are new ones.
    records = [entry.path for entry in storage.list(layout.table_folder("sources"))]
    seen = hashlib.sha256(repr((_plain(found), records)).encode()).hexdigest()
    before = json.loads(known) if known else {}
    kept = _is_kept(connection)
    was = _held(before["held"])._replace(kept=kept) if before else None
    # Views that leave a file out are made again each time: it may have been repaired.
    if was is not None and before["seen"] == seen and not was.damage and not damaged:
        warn({}, gone)
        return
    held = found._replace(
        extras=extra_columns(lake.records) if records else found.extras,
        damage=damaged or {},
        kept=kept,
    )
    try:
        _make(connection, storage, held, was, seen)
    except duckdb.Error as error:
        held = held._replace(damage=together(damage(connection, storage, held), held.damage))
        if not held.damage:
            raise _unreadable(storage, error) from error
        try:
            _make(connection, storage, held, was, seen)
        except duckdb.Error as still:
            raise _unreadable(storage, still) from still
    warn(held.damage, gone)


def _make(
    connection: duckdb.DuckDBPyConnection, storage: Storage, held: Held, was: Held | None, seen: str
) -> None:
    """Make the views of what a lake has, but for those that are as they were."""
    made = set() if was is None else set(_views(storage, was))
    # Making the view of a table reads its segments: damage is found now, and not by a question about it.
    new = held.tables - (frozenset() if was is None else was.tables)
    views = [
        view
        for view in _views(storage, held)
        if view not in made or (view.schema == layout.META and view.name in new)
    ]
    notes = [*comments(held, views), _note(_state(seen, held))]
    if held.kept:
        for view in views:
            _create(connection, [_without_zone(connection, view).create])
        _create(connection, notes)
        return
    creates = [view.create for view in views]
    if storage.is_local:
        one = in_lake(_top(storage), _samples(storage, held, views))
        creates = [one, *creates, in_lake(_top(storage))]
    _create(connection, [*creates, *notes])


def _samples(storage: Storage, held: Held, views: Iterable[View]) -> dict[str, str]:
    """Return, by the pattern of a Silver view, its first file: a view is made by that one, without listing the others.

    A dataset whose files differ in their columns is looked at whole.
    """
    made = {view.name for view in views if view.schema == layout.SILVER}
    found = {}
    for row in load_matrix().rows:
        if (row.market.value, row.data_type.value) in held.extras:
            continue
        for interval in intervals_of(row):
            pattern = silver_pattern(row, interval)
            if view_name(row, interval) in made:
                found[pattern] = _first(storage.local(), "", pattern.split("/"))
    return {pattern: path for pattern, path in found.items() if path}


def _first(root: Path, folder: str, levels: Sequence[str]) -> str | None:
    """Return the first file, by name, that matches a pattern's levels below a folder."""
    try:
        names = fnmatch.filter((item.name for item in os.scandir(root / folder)), levels[0])
    except (FileNotFoundError, NotADirectoryError):
        return None
    paths = (f"{folder}/{name}" if folder else name for name in sorted(names))
    if len(levels) == 1:
        return next((path for path in paths if (root / path).is_file()), None)
    return next((found for path in paths if (found := _first(root, path, levels[1:]))), None)


def _is_kept(connection: duckdb.DuckDBPyConnection) -> bool:
    """Say whether a connection's views stay in a file."""
    text = (
        "SELECT path IS NOT NULL FROM duckdb_databases() WHERE database_name = current_database()"
    )
    ((kept,),) = connection.execute(text).fetchall()
    return bool(kept)


def _without_zone(connection: duckdb.DuckDBPyConnection, view: View) -> View:
    """Return a view whose times are UTC's without a zone, as Silver's are already.

    No setting stays in a DuckDB file. A program that opens it in another time zone would cut days and hours of
    times with a zone by its own; those without one have the days and hours of UTC everywhere.
    """
    if view.schema == "silver":
        return view
    columns = connection.execute(f"DESCRIBE {view.select}").fetchall()
    return view.without_zone([name for name, kind, *_ in columns if kind == TIME])


def _unreadable(storage: Storage, error: duckdb.Error) -> StorageError:
    message = f"a file of the lake at {storage.root} cannot be read: {error}"
    return StorageError(message, root=storage.root)


def _views(storage: Storage, held: Held) -> Iterator[View]:
    yield from silver_views(storage, held)
    yield from meta_views(storage, held)
    yield from gold_views(storage, held)


def _plain(held: Held) -> list[Any]:
    extras = [[*dataset, list(names)] for dataset, names in sorted(held.extras.items())]
    damaged = [
        [folder, list(whole), [[item.path, item.reason, item.root] for item in bad]]
        for folder, (whole, bad) in sorted(held.damage.items())
    ]
    silver = sorted(held.silver, key=str)
    return [silver, extras, sorted(held.tables), list(held.recipes), damaged, held.typed]


def _held(plain: list[Any]) -> Held:
    silver, extras, tables, recipes, damaged, typed = [*plain, [], []][:6]
    return Held(
        frozenset((market, data_type, interval) for market, data_type, interval in silver),
        {(market, data_type): tuple(names) for market, data_type, names in extras},
        frozenset(tables),
        tuple(recipes),
        {
            folder: FolderDamage(tuple(whole), tuple(Damaged(*item) for item in bad))
            for folder, whole, bad in damaged
        },
        tuple((name, tuple((column, kind) for column, kind in types)) for name, types in typed),
    )


def look(storage: Storage) -> Held:
    """See what the lake has, as far as it shapes its views: folders on a disk, a listing in a bucket."""
    silver = {
        layout.silver_level(path) for path in _folders(storage, layout.SILVER, 3, layout.MONTH_FILE)
    }
    tables = _folders(storage, layout.META, 1)
    recipes = {path.rpartition("/")[2] for path in _folders(storage, layout.GOLD, 1)}
    return Held(
        frozenset(level for level in silver if level is not None),
        {},
        frozenset(table for path in tables if (table := layout.table_of(path)) in TABLES),
        tuple(sorted(recipes)),
    )


def _create(connection: duckdb.DuckDBPyConnection, statements: Iterable[str]) -> None:
    connection.begin()
    try:
        with nothing_listed():
            for statement in statements:
                connection.execute(statement).fetchall()
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _folders(storage: Storage, top: str, depth: int, name: str = f"*{layout.PARQUET}") -> set[str]:
    """Return the folders, ``depth`` below the top, that have files of a name (a glob) somewhere in them."""
    if storage.is_local:
        with in_words("list", top, storage.root):
            return set(_local_folders(storage.local(top), top, depth, name))
    return {
        layout.top(entry.path, depth + 1)
        for entry in storage.list(top)
        if fnmatch.fnmatchcase(entry.path.rpartition("/")[2], name)
        and entry.path.count("/") > depth
    }


def _local_folders(folder: Path, path: str, depth: int, name: str) -> Iterator[str]:
    if depth == 0:
        if any(fnmatch.fnmatchcase(item.name, name) for item, _ in walk(str(folder))):
            yield path
        return
    try:
        found = [item for item in os.scandir(folder) if _is_folder(item)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in found:
        yield from _local_folders(Path(item.path), f"{path}/{item.name}", depth - 1, name)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False
