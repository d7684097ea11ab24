"""Multipart uploads that killed runs left in the lake's bucket: no listing of objects shows them, and they are billed.

Only uploads below the lake's own folders are ended, and none while another run may be at work: its newest
row in ``meta.runs`` tells. What transfers write has such a row; elsewhere an upload must also have begun long ago.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptolake.storage import layout
from cryptolake.transfer.s3_store import TROUBLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptolake.transfer.s3_store import S3Store

_TRANSFERRED = (layout.BRONZE, layout.QUARANTINE)

_OLD = timedelta(days=1)
"""Age of an upload from which on nobody is at it any more."""


def end_abandoned(store: S3Store, others_run: Callable[[], bool]) -> int:
    """Abort the uploads that nobody will complete; return how many. A bucket that refuses is left as it is.

    Parameters
    ----------
    store
        The lake's bucket.
    others_run
        Says whether another run may be at work. It is asked after the bucket, so that it knows of every run that
        one of the uploads is of.
    """
    ended = 0
    with suppress(*TROUBLES):
        found = list(_unfinished(store))
        if not found or others_run():
            return 0
        for upload in found:
            store.client.abort_multipart_upload(
                Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
            ended += 1
    return ended


def _unfinished(store: S3Store) -> Iterator[dict[str, Any]]:
    """Yield the uploads that no run of this lake is at, if none is at work."""
    transferred, own = _folders(store, _TRANSFERRED), _folders(store, layout.ZONES)
    now = datetime.now(UTC)
    pages = store.client.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=store.bucket, Prefix=store.key()):
        for upload in page.get("Uploads", ()):
            old = upload["Key"].startswith(own) and now - upload["Initiated"] > _OLD
            if old or upload["Key"].startswith(transferred):
                yield upload


def _folders(store: S3Store, paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{store.key(path)}/" for path in paths)
