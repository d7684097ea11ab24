"""The views of an empty lake, copied ready from a file of the user's cache into a connection in memory.

DuckDB binds each view when it is made, which for some 340 of them takes most of a connection's time. The views
over Bronze, and those of a lake that holds nothing, are the same for every lake on a disk and for every one in a
bucket. So they are bound once and copied. The file's name is a hash of the statements: other views have another
file. It is safe to delete; without it the views are made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import duckdb

from cryptolake.readers.view_sql import IN_LAKE, SCHEMAS, literal, unglobbed

if TYPE_CHECKING:
    from cryptolake.readers.view_sql import View


def in_lake(top: str, instead: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the statement that makes the macro :data:`IN_LAKE`, by which the views name the files of a lake.

    Parameters
    ----------
    top
        What stands before the paths under the root.
    instead
        For some patterns the path of one file that is read in place of all that match.

    Examples
    --------
    >>> in_lake("/data/")
    "CREATE OR REPLACE MACRO meta.in_lake(pattern) AS '/data/' || pattern"
    >>> in_lake("/data/", {"silver/*": "silver/a"})
    "CREATE OR REPLACE MACRO meta.in_lake(pattern) AS CASE pattern WHEN 'silver/*' THEN '/data/silver/a' ELSE '/data/' || pattern END"
    """
    found = f"{literal(unglobbed(top))} || pattern"
    if instead:
        cases = (
            f"WHEN {literal(pattern)} THEN {literal(unglobbed(top + path))}"
            for pattern, path in instead.items()
        )
        found = f"CASE pattern {' '.join(cases)} ELSE {found} END"
    return f"CREATE OR REPLACE MACRO {IN_LAKE}(pattern) AS {found}"


_AS = "cryptolake_template"


def place(statements: Sequence[str]) -> Path | None:
    """Return where the views of some statements are kept: below ``XDG_CACHE_HOME``, else ``~/.cache``.

    None where there is no such folder: the user has no home, or the variable's path is not absolute.
    """
    what = "\n".join([duckdb.__version__, *statements])
    name = f"views-{hashlib.sha256(what.encode()).hexdigest()[:24]}.duckdb"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - no error
    return Path(base) / "cryptolake" / name if os.path.isabs(base) else None  # noqa: PTH117 - text


def take(connection: duckdb.DuckDBPyConnection, file: Path, views: Sequence[View]) -> bool:
    """Copy the views that a file keeps into a connection in memory; say whether it worked."""
    if not _is_own(file):
        return False
    asked = {"name": _AS, "schemas": list(SCHEMAS)}
    names = {*((name, None) for name in SCHEMAS), *((view.schema, view.name) for view in views)}
    with contextlib.suppress(duckdb.Error):
        connection.execute(f"ATTACH {literal(str(file))} AS {_AS} (READ_ONLY)")
        try:
            # Names and number tell a file that was not finished, or that another program put there.
            if set(connection.execute(_NAMES, asked).fetchall()) != names:
                return False
            connection.execute(f"COPY FROM DATABASE {_AS} TO memory (SCHEMA)")
        finally:
            connection.execute(f"DETACH {_AS}")
        return True
    return False


_NAMES = """
SELECT schema_name, NULL AS view_name FROM duckdb_schemas()
WHERE database_name = $name AND list_contains($schemas, schema_name)
UNION ALL SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = $name AND NOT internal
"""


def _is_own(file: Path) -> bool:
    """Say whether this user wrote a file and nobody else may: another's views would be run here."""
    try:
        found = file.lstat()
    except (OSError, ValueError):
        return False
    mine = sys.platform == "win32" or found.st_uid == os.getuid()
    return mine and stat.S_ISREG(found.st_mode) and not found.st_mode & 0o022


def keep(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Keep the views that a connection in memory has so far; a cache that cannot be written is left out."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(6)}")
    with contextlib.suppress(duckdb.Error, OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            connection.execute(f"ATTACH {literal(str(draft))} AS {_AS}")
            try:
                connection.execute(f"COPY FROM DATABASE memory TO {_AS} (SCHEMA)")
            finally:
                connection.execute(f"DETACH {_AS}")
            draft.chmod(0o600)  # what others may write is not used
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
