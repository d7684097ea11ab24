"""Which archive a lake is of: another one is refused before a call transfers anything.

A lake records its archive, bucket and endpoint, at its first transfer. On loopback a port says nothing of
what it serves: two endpoints there that have a bucket of the same name are the same sample where the second
one lists the files that the lake holds with the bytes that it holds. Loopback is never the real archive.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.errors import ArchiveMismatch, PlanError, StorageError
from cryptolake.listing.cache import read_kept_file
from cryptolake.storage import layout
from cryptolake.storage.lake_format import check_format, read_again, record_archive

if TYPE_CHECKING:
    from cryptolake.archive.source import ArchivePlace
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
    if lake.storage.archive is None:
        record_archive(lake.storage, given)
    require_own_archive(lake)


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
    return known.is_empty() or _lists(lake, dict(_spread(known).iter_rows()))


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
    return same * 2 > len(etags)


def _mismatch(lake: LakeContext, own: ArchivePlace) -> ArchiveMismatch:
    given = lake.archive.place
    message = (
        f"the lake at {lake.storage.root} is of the archive {own}, and it was opened with {given}: one lake "
        "does not hold files of two archives. Open it with its own, use another root, or adopt this one with "
        "Lake(..., adopt=True), --adopt-archive on the command line."
    )
    facts = {"root": lake.storage.root, "archive": str(own), "given": str(given)}
    return ArchiveMismatch(message, **facts)
