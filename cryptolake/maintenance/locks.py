"""``lake.freeze`` pins what the lake holds of a query by sha256; ``lake.diff`` says what the archive did to it since."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import dataset_name
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import rows_version
from cryptolake.bronze.audit import Hashes, hashes
from cryptolake.bronze.ledger import narrowed, scope_of, with_key_parts
from cryptolake.errors import IncompleteWarning, ListingError, LockError, NoSuchSymbol
from cryptolake.listing.identity import archive_on_record, require_own_archive
from cryptolake.maintenance.locked_gold import gold_pins
from cryptolake.planning.lockfile import FILES, Lock
from cryptolake.planning.planner import make_plan
from cryptolake.planning.resolve import find_targets
from cryptolake.quality.freshness import NAME, held_folders, listed_files
from cryptolake.readers.silver_files import silver_scope
from cryptolake.render.html import plural
from cryptolake.silver.records import current
from cryptolake.storage import layout
from cryptolake.storage.exchange import put
from cryptolake.storage.lake_format import mark_format, release

if TYPE_CHECKING:
    import os

    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.folders import Folder
    from cryptolake.query import Query

DIFFERENCES: dict[str, Any] = {
    "change": pl.String,
    "key": pl.String,
    "size": pl.Int64,
    "size_now": pl.Int64,
    "etag": pl.String,
    "etag_now": pl.String,
    "sha256": pl.String,
    "last_modified": pl.Datetime("us", "UTC"),
}
"""The columns of ``lake.diff``: ``change`` is ``rewritten`` (another ETag or size), ``removed`` or ``added``; what the
lock pins and what the archive lists now; when the archive wrote its file (UTC). The archive's sha256 is not in its
listing: ``lake.thaw`` reads it where it needs it."""

NO_DAYS = Days(date.min, date.min)
"""In place of the days of a query that names none; one that was checked names them."""

_HERE = ("cached", "updated", "quarantined")
"""Statuses of planned files that a pull would not have to fetch first."""


def freeze(lake: LakeContext, query: Query, path: str | os.PathLike[str]) -> Lock:
    """Pin what the lake holds of a query, record the lock in the lake, and write it to a file.

    Raises
    ------
    LockError
        As :func:`make_lock` raises it.
    StorageError
        The lake or the file cannot be written.
    """
    lock = make_lock(lake, query)
    record(lake, lock)
    lock.save(path)
    return lock


def make_lock(lake: LakeContext, query: Query) -> Lock:
    """Return the lock of what the lake holds of a query; nothing is written.

    Parameters
    ----------
    lake
        The lake and its archive.
    query
        A complete query with plain days.

    Raises
    ------
    LockError
        The lake holds nothing of the query, or lacks files that the archive has.

    Warns
    -----
    IncompleteWarning
        Files of the query are in quarantine.
    """
    query.check()
    sources = current(lake.records, "sources", silver_scope(query))
    files = pinned_files(lake, query, sources)
    if not files.height:
        message = (
            f"the lake at {lake.storage.root} holds nothing of {query!r}, so there is nothing to pin: "
            "pull it first (lake.pull(query), cryptolake pull)."
        )
        raise LockError(message, root=lake.storage.root, query=query)
    _require_whole(lake, query, files)
    used = sources.join(files, on="key", how="semi")
    return Lock(
        query=query,
        archive=archive_on_record(lake) or lake.archive.place,
        created_at=datetime.now(UTC).replace(microsecond=0),
        made_by=f"cryptolake {release()}",
        schemas=_schemas(used),
        recipes=recipe_versions(lake),
        rows=int(used["rows_out"].sum()),
        files=_hashed(lake, files.select(list(FILES)).sort("key")),
        gold=gold_pins(lake, query, sources, files),
    )


def pinned_files(
    lake: LakeContext, query: Query, sources: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the ledger's rows, with key parts, of the files that a lock of a query pins.

    Those whose days are the query's, and those of other days that have Silver rows of its days. ``sources``: the
    rows of ``meta.sources`` that count for the query's Silver, where the caller has them.
    """
    held = with_key_parts(lake.records.ledger(scope=scope_of(query)))
    of_series = narrowed(held, query.undated())
    if query.selection.days is None:
        return of_series
    if sources is None:
        sources = current(lake.records, "sources", silver_scope(query))
    return of_series.filter(_of_days(query) | pl.col("key").is_in(_spilled(sources, query)))


def record(lake: LakeContext, lock: Lock) -> None:
    """Record a lock in the lake, so that what it pins stays there when the archive replaces it."""
    mark_format(lake.storage)
    put(lake.storage, layout.lock_path(lock.id), lock.to_text().encode())


def diff(lake: LakeContext, lock: Lock, *, refresh: bool = True) -> pl.DataFrame:
    """Compare a lock with the archive's listing; a row a difference, none where all is as it was.

    Parameters
    ----------
    lake
        The lake whose archive is asked; it may be empty.
    lock
        What was pinned.
    refresh
        Ask the archive even where its cached listing is fresh.

    Raises
    ------
    LockError
        The lock is of another archive.
    ListingError
        The archive does not answer: an old listing cannot say what changed.
    """
    require_same_archive(lake, lock)
    pinned = with_key_parts(lock.files)
    wanted = _folders(lake, lock, held_folders(pinned), refresh=refresh)
    listed = listed_now(lake, pinned, wanted, refresh=refresh)
    now = listed.select("key", "last_modified", size_now="size", etag_now="etag")
    both = pinned.select(list(FILES)).join(now, on="key", how="left", maintain_order="left")
    gone = pl.col("size_now").is_null()
    same = (pl.col("size") == pl.col("size_now")) & pl.col("etag").eq_missing(pl.col("etag_now"))
    changed = both.filter(gone | ~same).with_columns(
        change=pl.when(gone).then(pl.lit("removed")).otherwise(pl.lit("rewritten"))
    )
    new = _added(listed, pinned, lock).select(
        "key", "last_modified", size_now="size", etag_now="etag", change=pl.lit("added")
    )
    found = pl.concat([pl.DataFrame(schema=DIFFERENCES), changed, new], how="diagonal_relaxed")
    return found.select(pl.col(name).cast(dtype) for name, dtype in DIFFERENCES.items()).sort(
        "change", "key", descending=[True, False]
    )


def require_same_archive(lake: LakeContext, lock: Lock) -> None:
    """Refuse a lock of another archive. Nothing is asked of the archive that a lock names.

    Raises
    ------
    LockError
        The lock is of another archive than the lake's.
    ArchiveMismatch
        The lake is of another archive than the one it was opened with.
    """
    require_own_archive(lake)
    own = lake.archive.place
    if own.is_same(lock.archive) or own.may_be_same(lock.archive):
        return
    message = (
        f"this lock is of the archive {lock.archive}, and the lake at {lake.storage.root} of {own}: open a lake "
        "with the lock's archive as its source."
    )
    raise LockError(message, lock_archive=str(lock.archive), archive=str(own))


def listed_now(
    lake: LakeContext, pinned: pl.DataFrame, folders: list[Folder], *, refresh: bool
) -> pl.DataFrame:
    """Return what the archive lists of some folders over the days of pinned files, with key parts.

    Raises
    ------
    ListingError
        The archive does not answer: a stale listing does not stand in.
    """
    [(first, last)] = pinned.select(pl.col("first").min(), pl.col("last").max()).rows()
    listed = lake.listing.listed(folders, Days(first, last), refresh=refresh)
    if listed.trouble is not None:
        raise listed.trouble
    return listed_files(listed)


def recipe_versions(lake: LakeContext) -> dict[str, str]:
    """Return the version of each recipe whose files the lake holds."""
    made = (
        lake.records.read("lineage").unique("path", keep="last").drop_nulls(["recipe", "version"])
    )
    versions = made.group_by("recipe").agg(pl.col("version").unique().sort())
    return {name: ", ".join(found) for name, found in versions.sort("recipe").iter_rows()}


def _of_days(query: Query) -> pl.Expr:
    days = query.selection.days or NO_DAYS
    return (pl.col("first") <= days.last) & (pl.col("last") >= days.first)


def _spilled(sources: pl.DataFrame, query: Query) -> list[str]:
    """Return the files that have Silver rows of the query's days, of whatever day they are themselves."""
    days = query.selection.days or NO_DAYS
    first, last = (pl.col(name).dt.date() for name in ("first_time", "last_time"))
    return sources.filter(pl.col("rows_out") > 0, first <= days.last, last >= days.first)[
        "key"
    ].to_list()


def _require_whole(lake: LakeContext, query: Query, files: pl.DataFrame) -> None:
    """Refuse a lake that lacks files of the query; where the archive does not answer, the lake is what counts."""
    try:
        plan = make_plan(query, lake)
    except (ListingError, NoSuchSymbol):
        return
    planned = with_key_parts(plan.files.select("key", "status"))
    lost = planned.filter(pl.col("status") == "quarantined")
    if lost.height:
        message = (
            f"{plural(lost.height, 'file of the query is', 'files of the query are')} in quarantine and not pinned, e.g. {lost['key'][0]}; "
            "meta.quarantine says why."
        )
        warnings.warn(message, IncompleteWarning, stacklevel=5)
    absent = planned.filter(~pl.col("status").is_in(_HERE))
    lacking = _uncovered(absent, files.join(absent, on="key", how="anti"), query)
    if lacking:
        message = (
            f"{plural(len(lacking), 'file of the query is', 'files of the query are')} not in the lake at {lake.storage.root}, e.g. {lacking[0]}: "
            "pull them first (lake.pull(query), cryptolake pull)."
        )
        raise LockError(message, root=lake.storage.root, keys=lacking)


def _uncovered(lacking: pl.DataFrame, files: pl.DataFrame, query: Query) -> list[str]:
    """Return the planned files that have days of which the lake holds no file: a month may be here as its days."""
    days = query.selection.days
    if not lacking.height or days is None:
        return lacking["key"].to_list()
    first = (
        pl.when(pl.col("last") < days.first)
        .then("first")
        .otherwise(pl.max_horizontal("first", pl.lit(days.first)))
    )
    each = {"day": pl.date_ranges(first, pl.min_horizontal("last", pl.lit(days.last)))}
    wanted = lacking.select(*NAME, "key", **each).explode("day")
    here = files.select(*NAME, day=pl.date_ranges("first", "last")).explode("day").unique()
    left = wanted.join(here, on=[*NAME, "day"], how="anti", nulls_equal=True)
    return left["key"].unique().sort().to_list()


def _hashed(lake: LakeContext, files: pl.DataFrame) -> pl.DataFrame:
    """Return the files with their sha256; those that were copied inside S3 and not read since are read now."""
    found: dict[str, str] = {}
    for key, size in files.filter(pl.col("sha256").is_null()).select("key", "size").iter_rows():
        of = hashes(lake.storage, layout.bronze_path(key), size)
        if not isinstance(of, Hashes) or of.size != size:
            message = (
                f"{key} is in the ledger of the lake at {lake.storage.root}, and its file is damaged or gone: "
                "lake.verify(query, repair=True) and lake.pull(query) mend it."
            )
            raise LockError(message, root=lake.storage.root, key=key)
        found[key] = of.sha256
    if not found:
        return files
    mine = pl.col("key").replace_strict(found, default=None, return_dtype=pl.String)
    return files.with_columns(pl.coalesce("sha256", mine).alias("sha256"))


def _schemas(sources: pl.DataFrame) -> dict[str, str]:
    """Return the schema version of each dataset's Silver rows; several where months differ."""
    found: dict[str, set[str]] = {}
    for path, version in sources.select("path", "schema_version").unique().iter_rows():
        level = layout.silver_level(path)
        if level is not None and version:
            found.setdefault(dataset_name(level[0], level[1]), set()).add(rows_version(version))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _folders(lake: LakeContext, lock: Lock, pinned: list[Folder], *, refresh: bool) -> list[Folder]:
    """Return the folders of the pinned files, and those that the query's globs or universe take in by now."""
    try:
        targets = find_targets(lock.query.selection, lake.listing, refresh=refresh).folders
    except NoSuchSymbol:
        targets = []
    by_name = {folder.parts: folder for folder in (*pinned, *targets)}
    return list(by_name.values())


def _added(listed: pl.DataFrame, pinned: pl.DataFrame, lock: Lock) -> pl.DataFrame:
    """Return the files of the query that the archive wrote since, or whose days no pinned file covers."""
    mine = narrowed(listed, lock.query).filter(_of_days(lock.query))
    other = mine.join(pinned, on="key", how="anti")
    bare = _uncovered(other, pinned, lock.query)
    since = (pl.col("last_modified") >= lock.created_at).fill_null(value=False)
    return other.filter(since | pl.col("key").is_in(bare))
