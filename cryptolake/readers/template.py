"""Bronze's views, kept ready in a file of the user's cache: they are the same for every lake.

DuckDB binds each view when it is made, which for all of Bronze takes most of a connection's time; copied
from another database they come bound. The file is made by the first connection and named by what is in
it, so that another version of the views has another file. It is a cache: safe to delete, and where it
cannot be kept or read the views are made as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from cryptolake.readers.sqltext import literal

if TYPE_CHECKING:
    from collections.abc import Sequence

_AS = "cryptolake_template"


def place(statements: Sequence[str]) -> Path:
    """Return where the views of some statements are kept: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    what = "\n".join([duckdb.__version__, *statements])
    name = f"bronze-{hashlib.sha256(what.encode()).hexdigest()[:24]}.duckdb"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cryptolake" / name


def take(connection: duckdb.DuckDBPyConnection, file: Path) -> bool:
    """Copy the views that a file keeps into a connection in memory; say whether it worked."""
    if not file.is_file():
        return False
    with contextlib.suppress(duckdb.Error):
        connection.execute(f"ATTACH {literal(str(file))} AS {_AS} (READ_ONLY)")
        try:
            connection.execute(f"COPY FROM DATABASE {_AS} TO memory (SCHEMA)")
        finally:
            connection.execute(f"DETACH {_AS}")
        return True
    return False


def keep(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Keep the views that a connection in memory has so far; where that cannot be, nothing is said."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(6)}")
    with contextlib.suppress(duckdb.Error, OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            connection.execute(f"ATTACH {literal(str(draft))} AS {_AS}")
            try:
                connection.execute(f"COPY FROM DATABASE memory TO {_AS} (SCHEMA)")
            finally:
                connection.execute(f"DETACH {_AS}")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
