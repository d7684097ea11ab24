"""Which archive a lake is of: another one is refused before a call transfers anything.

A lake records its archive, bucket and endpoint, at its first transfer. On loopback a port says nothing of
what it serves: two endpoints there that have a bucket of the same name are the same sample where the second
one lists the files that the lake holds with the bytes that it holds. Loopback is never the real archive.

Where the lake's file is damaged, its runs and locks say which archive it is of. Where they do not, it is the given
one if that lists the files that the lake holds; nothing is taken from another until it is adopted.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import ZIP
from cryptolake.archive.source import ArchivePlace
from cryptolake.errors import ArchiveMismatch, DamagedLakeWarning, PlanError, StorageError
from cryptolake.listing.cache import read_kept_file
from cryptolake.storage import layout
from cryptolake.storage.exchange import contents, small_files
from cryptolake.storage.lake_format import (
    archive_is_lost,
    check_format,
    read_again,
    record_archive,
)

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.spooled import Rows

_ASKED = 8
"""Files that are compared, at most, to know a sample."""


def require_own_archive(lake: LakeContext) -> None:
    """Refuse a call that would transfer from another archive than the lake's; record one that is adopted.

    Raises
    ------
    ArchiveMismatch
        The lake is of another archive, and the call does not adopt this one.
    ListingError
        A sample on loopback does not answer, so that it cannot be known again.
    StorageError
        The adoption cannot be recorded.
    """
    check_format(lake.storage)
    if archive_is_lost(lake.storage):
        _find_archive(lake)
    own, given = lake.storage.archive, lake.archive.place
    if own is None or own.is_same(given):
        return
    if lake.adopt:
        record_archive(lake.storage, given, replace=True)
    elif own.may_be_same(given) and _is_same_sample(lake, own):
        with suppress(StorageError):  # a lake that can only be read is asked again at the next call
            record_archive(lake.storage, given, replace=True, moved=True)
        lake.storage.archive = given
    else:
        raise _mismatch(lake, own)


def claim_archive(lake: LakeContext) -> None:
    """Record, before a transfer moves anything, that the lake is of its archive.

    Raises
    ------
    ArchiveMismatch
        Another process recorded another archive meanwhile.
    StorageError
        The lake cannot be written.
    """
    given = lake.archive.place
    read_again(lake.storage)
    if lake.storage.archive is None and not archive_is_lost(lake.storage):
        record_archive(lake.storage, given)
    require_own_archive(lake)


def archive_on_record(lake: LakeContext) -> ArchivePlace | None:
    """Return the archive that the lake's file says it is of, else its newest transfer, else its newest lock."""
    if lake.storage.archive is not None:
        return lake.storage.archive
    runs = lake.tables.read("runs").drop_nulls("archive")  # in the order they were written
    said = [ArchivePlace.parse(text) for text in runs["archive"].reverse()]
    return next((place for place in said if place is not None), None) or _locked_archive(lake)


def _held(lake: LakeContext) -> dict[str, str | None]:
    """Return the ETags of some files that a lake holds; where its ledger is lost as well, by their bytes."""
    known = lake.tables.ledger().select("key", pl.coalesce("md5", "etag").alias("etag"))
    if known.height:
        return dict(_spread(known).iter_rows())
    zips = [e.path for e in lake.storage.list(layout.BRONZE) if e.path.endswith(ZIP)]
    some = _spread(pl.DataFrame({"path": zips}, schema={"path": pl.String}))["path"]
    return {
        path.removeprefix(f"{layout.BRONZE}/"): hashlib.md5(
            lake.storage.read(path), usedforsecurity=False
        ).hexdigest()
        for path in some
    }


def archive_of(lake: LakeContext) -> ArchivePlace | None:
    """Return the archive that the lake says it is of; where its file is damaged, what its other records say."""
    return archive_on_record(lake) if archive_is_lost(lake.storage) else lake.storage.archive


def _locked_archive(lake: LakeContext) -> ArchivePlace | None:
    found: list[tuple[str, ArchivePlace]] = []
    for path in small_files(lake.storage, layout.LOCKS):
        # A lock that cannot be read is named by verify, and says nothing here.
        with suppress(ValueError, KeyError, TypeError, RecursionError, FileNotFoundError):
            lock = json.loads(contents(lake.storage, path) or b"")
            place = ArchivePlace.of(lock["archive"]["bucket"], lock["archive"]["endpoint"])
            if layout.lock_id_of(path) and place is not None:
                found.append((str(lock["created_at"]), place))
    return max(found)[1] if found else None


def _find_archive(lake: LakeContext) -> None:
    """Record anew which archive a lake is of, whose file does not say it any more.

    Raises
    ------
    ArchiveMismatch
        Nothing records it, and the given archive does not list what the lake holds.
    ListingError
        Nothing records it, and the given archive does not answer.
    """
    given, own = lake.archive.place, archive_on_record(lake)
    said = "as its other records say"
    if own is None and lake.adopt:
        own, said = given, "which is adopted"
    elif own is None:
        held = _held(lake)
        if not _lists(lake, held):
            raise _unknown(lake)
        own, said = given, "which lists the files that it holds"
        said = said if held else "with which it was opened: it holds no files"
    with suppress(StorageError):  # a lake that can only be read is asked again at the next call
        record_archive(lake.storage, own)
    lake.storage.archive = own
    message = f"{layout.LAKE_FILE} of the lake at {lake.storage.root} was damaged: the lake is of {own}, {said}."
    warnings.warn(message, DamagedLakeWarning, stacklevel=4)


def require_own_plan(place: ArchivePlace, rows: Rows, lake: LakeContext) -> None:
    """Refuse a plan of another archive. A plan of a sample is known by the files that it names.

    Parameters
    ----------
    place
        The archive that the plan says it is of.
    rows
        The plan's files.
    lake
        The lake and its archive, which alone is asked.

    Raises
    ------
    PlanError
        The plan is of another archive.
    ListingError
        The sample on loopback does not answer.
    """
    own = lake.archive.place
    if own.is_same(place):
        return
    if own.may_be_same(place):
        some = next((piece for piece in rows.pieces() if piece.height), None)
        if some is None or _lists(lake, dict(_spread(some).select("key", "etag").iter_rows())):
            return
    message = (
        f"this plan is of the archive {place}, and a plan moves files only from the lake's own, {own}: "
        "plan the query anew with lake.plan(query), or open the lake with that archive as its source."
    )
    raise PlanError(message, plan_archive=str(place), archive=str(own), root=lake.storage.root)


def _is_same_sample(lake: LakeContext, own: ArchivePlace) -> bool:
    """Compare what the lake holds with what the endpoint lists; where it holds nothing yet, what was listed."""
    known = lake.tables.ledger().select("key", pl.coalesce("md5", "etag").alias("etag"))
    if not known.height:
        listings = lake.storage.list(layout.listed_files(own.tag))
        rows = [read_kept_file(lake.storage, entry.path) for entry in listings[:1]]
        known = pl.concat([known, *(frame.select("key", "etag") for frame in rows)])
    return _lists(lake, dict(_spread(known).iter_rows()))


def _spread(files: pl.DataFrame) -> pl.DataFrame:
    """Return some files, from the first to the last."""
    return files.gather_every(max(1, -(-files.height // _ASKED)))


def _lists(lake: LakeContext, etags: dict[str, str | None]) -> bool:
    """Say whether the lake's archive lists most of some files, by key and ETag: it may have rewritten others."""
    same = 0
    for key, etag in etags.items():
        page = next(iter(lake.listing.pages.of(key, limit=1)), None)
        found = {item.key: item.etag for item in page.objects} if page else {}
        same += etag is not None and found.get(key) == etag
    return same * 2 > len(etags) or not etags


def _unknown(lake: LakeContext) -> ArchiveMismatch:
    given = lake.archive.place
    message = (
        f"{layout.LAKE_FILE} of the lake at {lake.storage.root} is damaged, nothing else in the lake says which archive "
        f"it is of, and {given}, with which it was opened, does not list the files that it holds: nothing is taken from "
        "it. Open the lake with its own archive, or adopt this one with Lake(..., adopt=True), --adopt-archive on the "
        "command line."
    )
    facts = {"root": lake.storage.root, "archive": None, "given": str(given)}
    return ArchiveMismatch(message, **facts)


def _mismatch(lake: LakeContext, own: ArchivePlace) -> ArchiveMismatch:
    given = lake.archive.place
    message = (
        f"the lake at {lake.storage.root} is of the archive {own}, and it was opened with {given}: one lake "
        "does not hold files of two archives. Open it with its own, use another root, or adopt this one with "
        "Lake(..., adopt=True), --adopt-archive on the command line."
    )
    facts = {"root": lake.storage.root, "archive": str(own), "given": str(given)}
    return ArchiveMismatch(message, **facts)
