"""Stored queries: named in ``meta/queries/``, one JSON file each, and what an update that follows one does.

A file is written whole, so of two processes that save a name the later one's query stands.
"""

from __future__ import annotations

import json
import re
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.bronze.ledger import holdings, with_key_parts
from cryptolake.errors import DamagedLakeWarning, InvalidQuery, StorageError, hint, nearest
from cryptolake.listing.identity import require_own_archive
from cryptolake.maintenance.update import CHANGES, Update, changes_of, rows_of, update
from cryptolake.planning.dates import published_days, require_query
from cryptolake.planning.plan import TO_MOVE
from cryptolake.query import Query
from cryptolake.readers.silver_files import silver_scope
from cryptolake.report import Report
from cryptolake.storage import layout
from cryptolake.storage.exchange import contents, make_room, put, small_files
from cryptolake.storage.lake_format import mark_format
from cryptolake.transfer.pull import pull

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Storage
    from cryptolake.transfer.pull import RunSettings

QUERIES: dict[str, Any] = {
    "name": pl.String,
    "query": pl.String,
    "json": pl.String,
    "saved_at": pl.Datetime("us", "UTC"),
}
"""The columns of ``lake.queries()``: the name, the query as code and as JSON, and when it was saved (UTC)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


def save_query(storage: Storage, name: str, query: Query) -> None:
    """Store a query under a name; one of that name is replaced.

    Raises
    ------
    InvalidQuery
        The name cannot be one, this is no Query, or the query is not complete.
    StorageError
        The lake cannot be written.
    """
    require_query(query)
    path = _path(name)
    query.check()
    kept = {"query": json.loads(query.to_json()), "saved_at": datetime.now(UTC).isoformat()}
    mark_format(storage)
    put(storage, path, json.dumps(kept, ensure_ascii=False).encode())


def drop_query(storage: Storage, name: str) -> None:
    """Remove a stored query; what it fetched stays.

    Raises
    ------
    InvalidQuery
        There is none of that name.
    """
    if name not in _names(storage):
        raise _unknown(storage, name)
    make_room(storage, _path(name))
    storage.delete(_path(name))


def stored_query(storage: Storage, name: str) -> Query:
    """Return a stored query.

    Raises
    ------
    InvalidQuery
        There is none of that name, the nearest one is named; or its file is damaged.
    """
    if name not in _names(storage):
        raise _unknown(storage, name)
    return _read(storage, name)[0]


def stored_queries(storage: Storage) -> pl.DataFrame:
    """Return the stored queries, a row each, by name: see :data:`QUERIES`.

    Warns
    -----
    DamagedLakeWarning
        A file of one cannot be read; it is left out.
    """
    rows: list[tuple[Any, ...]] = []
    for name in _names(storage):
        try:
            query, at = _read(storage, name)
        except InvalidQuery as error:
            warnings.warn(str(error), DamagedLakeWarning, stacklevel=3)
            continue
        rows.append((name, repr(query), query.to_json(), at))
    return pl.DataFrame(rows, schema=QUERIES, orient="row")


def update_stored(lake: LakeContext, settings: RunSettings, name: str) -> Update:
    """Bring what a stored query means to its newest published day, symbols listed since included.

    Of a query that goes to the newest day, what is held of it is updated first, from its first day held on. Then
    its files that the lake has nothing of yet are pulled: symbols that its globs or universe take in by now, and
    days before the first one held (``added`` in the changes).

    Raises
    ------
    InvalidQuery
        There is no such stored query.
    ArchiveMismatch, ListingError, NoSuchSymbol, NotPublished
        As an update and a plan raise them.
    """
    require_own_archive(lake)
    query = stored_query(lake.storage, name)
    plain = published_days(query, lake, refresh=True)
    paths = silver_scope(query.undated())
    before, done = rows_of(lake.records, paths), Update()
    if query.selection.is_open and holdings(lake.records, query.undated()).height:
        done = update(lake, settings, query)
        lake.records.forget()
    plan, pulled = pull(plain, lake, settings)
    lake.records.forget()
    moving = with_key_parts(
        plan.files.filter(pl.col("status").is_in(TO_MOVE)).select("key", "size")
    )
    added = changes_of(moving.with_columns(why=pl.lit("added")), pulled)
    changes = pl.concat([pl.DataFrame(schema=CHANGES), done.changes, added])
    report = pulled if done.report is None else Report.merge([done.report, pulled])
    return Update(changes, before, rows_of(lake.records, paths), report, plan.listed_at)


def _path(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return layout.query_path(name)
    near = re.sub(r"[^a-z0-9_-]+", "-", str(name).lower()).strip("-_")[:64] or "core"
    message = (
        f"{name!r} cannot name a query; a name is 1 to 64 of a-z, 0-9, '-' and '_', and begins with a letter or "
        f"digit: {near!r}."
    )
    raise InvalidQuery(message, what="query name", given=name, nearest=near)


def _names(storage: Storage) -> list[str]:
    names = (layout.query_name_of(path) for path in small_files(storage, layout.QUERIES))
    return sorted(name for name in names if name and _NAME.fullmatch(name))


def _read(storage: Storage, name: str) -> tuple[Query, datetime]:
    path = _path(name)
    try:
        # No bytes: a link leads nowhere, or another process has dropped it since it was listed.
        kept = json.loads(contents(storage, path) or b"")
        return Query.from_json(json.dumps(kept["query"])), datetime.fromisoformat(kept["saved_at"])
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        if isinstance(error, StorageError) and not storage.is_local:
            raise  # a bucket that does not answer is no damaged file
        why = "a link to nothing" if isinstance(error, FileNotFoundError) else error
        message = f"{path} of the lake at {storage.root} is no stored query ({why}); save it again."
        raise InvalidQuery(message, given=name, path=path) from None


def _unknown(storage: Storage, name: object) -> InvalidQuery:
    names = _names(storage)
    near, told = nearest(str(name), names), hint(str(name), names)
    have = f" Stored are: {', '.join(names)}." if names else ""
    message = f"the lake has no stored query {name!r}{told}{have} lake.save_query(name, query) stores one."
    return InvalidQuery(message, what="stored query", given=name, allowed=names, nearest=near)
