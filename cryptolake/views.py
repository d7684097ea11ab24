"""DuckDB over the whole lake: a view for every dataset in ``bronze`` and ``silver``, and the ``meta`` tables.

A dataset's view exists whether it has files or not (``silver.spot_klines``, all intervals); each interval
that is there has one more (``silver.spot_klines_1m``). Bronze is read where it lies, still zipped; Silver
and the tables are read as the Parquet files they are, on the disk or in the bucket. Nothing is
downloaded to read: an S3 lake uses DuckDB's httpfs extension when it is installed, else s3fs.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from cryptolake.errors import StorageError
from cryptolake.holdings import with_key_parts
from cryptolake.meta import TABLES
from cryptolake.rootfs import RootFileSystem, misleads
from cryptolake.silverfiles import extra_columns
from cryptolake.sqltext import literal, quoted
from cryptolake.storage import S3Storage, Storage
from cryptolake.viewdefs import (
    SCHEMAS,
    Folder,
    Held,
    View,
    bronze_views,
    gold_views,
    meta_views,
    silver_views,
)
from cryptolake.zipfs import BronzeFileSystem, nothing_listed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from cryptolake.meta import Meta

_STATE = "SELECT comment FROM duckdb_views() WHERE schema_name = 'meta' AND view_name = 'files'"
"""What the views were made for, kept as the comment of one of them."""

_ONE = threading.Lock()
"""Two threads that remake the same views at once would be in each other's way."""


def connect(storage: Storage, meta: Meta, *, path: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection with every view of a lake.

    Parameters
    ----------
    storage, meta
        The lake.
    path
        A DuckDB file to keep the views in; in memory when left out. Plain DuckDB can open such a file
        and ask ``silver``, ``gold`` and ``meta`` of a local lake; ``bronze`` needs a connection made here.

    Raises
    ------
    StorageError
        The file is not DuckDB's, or another process holds it.
    """
    try:
        connection = duckdb.connect(":memory:" if path is None else str(path.expanduser()))
    except duckdb.Error as error:
        message = (
            f"cannot keep the views in {path}: {str(error).splitlines()[0]} "
            "Choose another path, or close what holds this one."
        )
        raise StorageError(message, path=path) from error
    # No download at query time without leave; INSTALL httpfs by hand is that leave.
    connection.execute("SET GLOBAL autoinstall_known_extensions = false")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    if isinstance(storage, S3Storage):
        _reach_bucket(connection, storage)
    _register(connection, BronzeFileSystem(storage, meta))
    if misleads(storage):
        _register(connection, RootFileSystem(storage))
    for schema in SCHEMAS:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    _refresh(connection, storage, meta, known="")
    return connection


def refresh(connection: duckdb.DuckDBPyConnection, storage: Storage, meta: Meta) -> None:
    """Bring a connection's views up to what the lake has now; quick when nothing new has come."""
    # A cursor of its own: the caller may be in the middle of reading a result.
    with _ONE, connection.cursor() as cursor:
        ((known,),) = cursor.execute(_STATE).fetchall() or ((None,),)
        _refresh(cursor, storage, meta, known=known)


def _refresh(
    connection: duckdb.DuckDBPyConnection, storage: Storage, meta: Meta, *, known: str | None
) -> None:
    found = look(storage)
    # What Bronze has, and extra columns, are in the records: read only when there are new ones.
    records = [
        entry.path for table in ("files", "sources") for entry in storage.list(f"meta/{table}")
    ]
    seen = _digest(storage.root, *found, records)
    if known and seen in known:
        return
    held = found._replace(extras=extra_columns(meta), bronze=_bronze(meta)) if records else found
    made = _digest(storage.root, *held)
    views = () if known and made in known else _views(storage, held)
    note = f"COMMENT ON VIEW {quoted('meta')}.{quoted('files')} IS {literal(f'{seen} {made}')}"
    try:
        _create(connection, [*(view.create for view in views), note])
    except duckdb.Error as error:
        message = f"a file of the lake at {storage.root} cannot be read: {error}"
        raise StorageError(message, root=storage.root) from error


def _views(storage: Storage, held: Held) -> Iterator[View]:
    yield from bronze_views(held)
    yield from silver_views(storage, held)
    yield from meta_views(storage, held)
    yield from gold_views(storage, held)


def _digest(*parts: Any) -> str:
    plain = [sorted(part, key=str) if isinstance(part, frozenset) else part for part in parts]
    return hashlib.sha256(repr(plain).encode()).hexdigest()


def to_polars(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Return a relation's rows as a Polars frame, without pyarrow (which ``relation.pl()`` needs).

    Intervals become text, since Polars has no type for months and days at once.

    Examples
    --------
    >>> import duckdb
    >>> to_polars(duckdb.sql("select 1::BIGINT as a, interval '2 hours' as b")).row(0)
    (1, '02:00:00')
    """
    cells = [
        f"{quoted(name)}::VARCHAR AS {quoted(name)}" if str(kind) == "INTERVAL" else quoted(name)
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]
    if any(str(kind) == "INTERVAL" for kind in relation.types):
        relation = relation.project(", ".join(cells))
    # Only the stream is handed over: Polars' look at the relation itself leaves references behind, of
    # which DuckDB complains on standard error when the process ends.
    stream = [relation.__arrow_c_stream__()]
    return pl.DataFrame(SimpleNamespace(__arrow_c_stream__=stream.pop))


def look(storage: Storage) -> Held:
    """See what the lake has, as far as it shapes its views: folders on a disk, a listing in a bucket."""
    silver = {
        (parts["market"], parts["data_type"], parts.get("interval"))
        for path in _folders(storage, "silver", 3)
        if {"market", "data_type"} <= (parts := _partitions(path)).keys()
    }
    tables = set() if storage.is_local else {p.split("/")[1] for p in _folders(storage, "meta", 1)}
    recipes = {path.split("/")[1] for path in _folders(storage, "gold", 1)}
    return Held(
        frozenset(silver), frozenset(), {}, frozenset(tables & set(TABLES)), tuple(sorted(recipes))
    )


def _bronze(meta: Meta) -> frozenset[Folder]:
    held = with_key_parts(meta.ledger()).filter(pl.col("interval").is_not_null())
    return frozenset(held.select("market", "data_type", "interval").unique().iter_rows())


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


def _partitions(path: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.split("/") if "=" in part)


def _folders(storage: Storage, top: str, depth: int) -> set[str]:
    """Return the folders, ``depth`` below the top, that have Parquet files somewhere in them."""
    if storage.is_local:
        return set(_local_folders(storage.local(top), top, depth))
    return {
        "/".join(entry.path.split("/")[: depth + 1])
        for entry in storage.list(top)
        if entry.path.endswith(".parquet") and entry.path.count("/") > depth
    }


def _local_folders(folder: Path, name: str, depth: int) -> Iterator[str]:
    if depth == 0:
        if any(folder.rglob("*.parquet")):
            yield name
        return
    try:
        found = [item for item in os.scandir(folder) if item.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return
    for item in found:
        yield from _local_folders(Path(item.path), f"{name}/{item.name}", depth - 1)


def _reach_bucket(connection: duckdb.DuckDBPyConnection, storage: S3Storage) -> None:
    """Let DuckDB read the lake's bucket: by httpfs where it is installed, else by s3fs."""
    if storage.options.get("key") and _loads(connection, "httpfs"):
        connection.execute(_secret(storage))
    else:
        _register(connection, storage.filesystem)


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


def _secret(storage: S3Storage) -> str:
    """Return the statement that gives this connection, and no file, the lake's credentials."""
    options = storage.options
    said: dict[str, Any] = {
        "KEY_ID": options["key"],
        "SECRET": options.get("secret", ""),
        "SESSION_TOKEN": options.get("token"),
        "REGION": storage.region,
        "SCOPE": storage.url(),
    }
    endpoint = storage.endpoint_url
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        said |= {"ENDPOINT": host.rstrip("/"), "URL_STYLE": "path"}
        said["USE_SSL"] = "true" if scheme == "https" else "false"
    cells = ", ".join(f"{name} {literal(str(value))}" for name, value in said.items() if value)
    return f"CREATE OR REPLACE TEMPORARY SECRET cryptolake (TYPE s3, {cells})"
