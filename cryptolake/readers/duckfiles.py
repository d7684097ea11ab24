"""How a DuckDB connection reaches a lake's files: zips as text, buckets, roots with odd names.

An S3 lake is read by DuckDB's httpfs extension where it is installed and the lake's keys are given,
else by s3fs. Nothing is downloaded for it, and no credential is kept in a file or a view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from cryptolake.readers.filesystems import BronzeFileSystem
from cryptolake.readers.rootfs import RootFileSystem, misleads
from cryptolake.readers.sharing import SharedBucket
from cryptolake.readers.sqltext import literal
from cryptolake.storage.files import S3Storage, Storage

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from cryptolake.storage.tables import Meta


def reach(connection: duckdb.DuckDBPyConnection, storage: Storage, meta: Meta) -> None:
    """Register with a connection what it needs to read a lake."""
    if isinstance(storage, S3Storage):
        _reach_bucket(connection, storage)
    if misleads(storage):
        _register(connection, RootFileSystem(storage))
    _register(connection, BronzeFileSystem(storage, meta))


def _reach_bucket(connection: duckdb.DuckDBPyConnection, storage: S3Storage) -> None:
    """Let DuckDB read the lake's bucket: by httpfs where it is installed, else by s3fs."""
    if storage.options.get("key") and _loads(connection, "httpfs"):
        connection.execute(_secret(storage))
    else:
        _register(connection, SharedBucket("s3://", storage.filesystem))


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
