"""The status of each planned file: by the ledger, the quarantine, and the files in Bronze."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.keys import CHECKSUM, file_name
from cryptolake.bronze.ledger import scope_of_keys
from cryptolake.bronze.verify import sidecar_of
from cryptolake.storage import layout
from cryptolake.storage.files import S3Storage
from cryptolake.storage.scope import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptolake.listing.context import LakeContext
    from cryptolake.storage.files import Entry, Storage
    from cryptolake.storage.scope import Scope

_MANY_FOLDERS = 64
"""In a bucket, more folders than this are looked at by listing what is above them."""

_DATASET_LEVELS = 5
"""Levels of a path in Bronze down to the data type (of spot; of futures, to the partition)."""

_TOGETHER = 10_000
"""Entries of a listing that become columns together."""


def status_of(files: pl.DataFrame, lake: LakeContext) -> pl.Series:
    """Return the ``status`` of files (``key, etag, checksum_etag``), in their order; see :class:`Statuses`."""
    return Statuses([files["key"]], lake).of(files)


class Statuses:
    """Says where the files of a plan stand, by what the lake has in their folders; a part of the plan at a time.

    Of a plan in one part, the ledger stays read for what the call does next. Of one in several parts, only what one
    of them is about is in memory: the ledger of millions of files would take more than their plan.

    Parameters
    ----------
    keys
        For each part, keys of its files, one of each folder at the least.
    lake
        The lake and its archive.
    """

    def __init__(self, keys: Sequence[pl.Series], lake: LakeContext) -> None:
        self._keys, self._lake = keys, lake
        if len(keys) > 1:
            lake.records.about(NOTHING)
        self._above = _there_above(pl.concat(keys), lake.storage)

    def of(self, files: pl.DataFrame, part: int = 0) -> pl.Series:
        """Return the ``status`` of files (``key, etag, checksum_etag``) of a part, in their order.

        A file is ``cached`` when the ledger has the archive's present ETag and the file is there in its full
        size, or its ETag is of an upload in parts and that of its CHECKSUM tells that the bytes are the same;
        ``updated`` when the ledger has another ETag; ``unrecorded`` when it is there without a record, or
        was stored before its CHECKSUM was published, which is fetched then; ``quarantined`` when these very
        bytes, with this very sidecar, were found wrong before; else ``new``.
        """
        keys, storage = self._keys[part], self._lake.storage
        scope = scope_of_keys(keys)
        ledger, held = _recorded(self._lake, scope), _held(self._lake, scope)
        there = _there(keys, storage) if self._above is None else self._above
        etag = pl.col("etag")
        known = (
            files.lazy()
            .select("key", "etag", "checksum_etag")
            .join(ledger.lazy(), on="key", how="left", maintain_order="left")
            .join(held.lazy(), on="key", how="left", maintain_order="left")
            .join(there.lazy(), on="key", how="left", maintain_order="left")
            .with_columns(
                same=(pl.col("has_etag") == etag).fill_null(value=False)
                | (pl.col("has_md5") == etag).fill_null(value=False),
                whole=(pl.col("there") == pl.col("has_size")).fill_null(value=False),
            )
        )
        known = _with_same_bytes(known.collect(), storage.adopted).lazy()
        # Not .select(status=...): Polars 2.1 forgets the joins' order where nothing but an expression is left.
        return known.with_columns(status=_status()).collect()["status"]


def _recorded(lake: LakeContext, scope: Scope) -> pl.DataFrame:
    """Return what the ledger has in a scope."""
    return lake.records.ledger(scope=scope).select(
        "key",
        has_etag="etag",
        has_md5="md5",
        has_size="size",
        has_sha256="sha256",
        has_since="fetched_at",
        recorded=pl.lit(value=True),
        # Stored while no CHECKSUM was published: the ledger has neither its ETag nor a proof by it.
        bare=pl.col("checksum_etag").is_null()
        & pl.col("verified").is_in(["none_published", "etag", "size"]),
    )


def _held(lake: LakeContext, scope: Scope) -> pl.DataFrame:
    """Return what is in quarantine in a scope."""
    return lake.records.quarantined(scope).select(
        "key", bad_etag="etag", bad_checksum="checksum_etag", bad=pl.lit(value=True)
    )


def _with_same_bytes(known: pl.DataFrame, adopted: datetime | None) -> pl.DataFrame:
    """Mark as the same the files that have a new ETag of an upload in parts, and a CHECKSUM as the ledger knows it.

    A new ETag that may be an md5 is of other bytes, even where the archive did not renew the CHECKSUM. Of files
    that came from another archive, before the present one was adopted, ETags say nothing here: CHECKSUMs do.
    """
    tells = known["etag"].str.contains("-", literal=True).fill_null(value=False)
    if adopted is not None:
        tells |= (known["has_since"] < adopted).fill_null(value=False)
    differs = ~known["same"] & known["whole"] & known["has_sha256"].is_not_null() & tells
    if not differs.any():
        return known
    facts = known.filter(differs).select("key", "has_sha256", "checksum_etag").iter_rows()
    same = [sidecar_of(sha256, file_name(key), etag) is not None for key, sha256, etag in facts]
    found = pl.Series("same", known["same"]).scatter(differs.arg_true(), same)
    return known.with_columns(same=found)


def _status() -> pl.Expr:
    """Return the status of files joined with what the lake has of them."""
    etag = pl.col("etag")
    recorded = pl.col("recorded").is_not_null()
    still_bad = (
        pl.col("bad").is_not_null()
        & pl.col("bad_etag").eq_missing(etag)
        & pl.col("bad_checksum").eq_missing(pl.col("checksum_etag"))
    )
    here = recorded & pl.col("same") & pl.col("whole")
    return (
        pl.when(here & pl.col("bare") & pl.col("checksum_etag").is_not_null())
        .then(pl.lit("unrecorded"))
        .when(here)
        .then(pl.lit("cached"))
        .when(still_bad)
        .then(pl.lit("quarantined"))
        .when(recorded & ~pl.col("same"))
        .then(pl.lit("updated"))
        .when(~recorded & pl.col("there").is_not_null())
        .then(pl.lit("unrecorded"))
        .otherwise(pl.lit("new"))
    )


def _folders(keys: pl.Series) -> list[str]:
    """Return the folders in Bronze that some keys are of."""
    folders = keys.str.replace(r"/[^/]*$", "").unique().sort()
    return [layout.bronze_path(folder) for folder in folders]


def _there(keys: pl.Series, storage: Storage) -> pl.DataFrame:
    """Return the zips that lie in Bronze among the keys' folders: ``key`` and ``there``, their size."""
    return _listed(storage, _folders(keys))


def _there_above(keys: pl.Series, storage: Storage) -> pl.DataFrame | None:
    """Return the same of a bucket where the folders are many, from a listing of what is above them; else None."""
    folders = [] if storage.is_local else _folders(keys)
    if len(folders) <= _MANY_FOLDERS:
        return None
    return _listed(storage, sorted({layout.top(path, _DATASET_LEVELS) for path in folders}))


def _listed(storage: Storage, paths: list[str]) -> pl.DataFrame:
    if not isinstance(storage, S3Storage):
        return pl.concat([_zips(()), *(_zips(storage.list(path)) for path in paths)])
    with ThreadPoolExecutor(16) as pool:
        return pl.concat([_zips(()), *pool.map(_zips, map(storage.entries, paths))])


def _zips(entries: Iterable[Entry]) -> pl.DataFrame:
    """Return the zips of a listing as columns: of a million files the entries take many times that."""
    found = (
        (layout.bronze_key(entry.path), entry.size)
        for entry in entries
        if not entry.path.endswith(CHECKSUM)
    )
    schema = {"key": pl.String, "there": pl.Int64}
    frames = [pl.DataFrame(schema=schema)]
    while some := list(islice(found, _TOGETHER)):
        frames.append(pl.DataFrame(some, schema=schema, orient="row"))
    return pl.concat(frames)
