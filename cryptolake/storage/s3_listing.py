"""Objects below a prefix of a bucket, a page of a thousand at a request.

Not by the listing of s3fs, which asks three times about an empty folder, and keeps all that it was ever told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

_HIGHEST = "\U0010ffff"
"""Sorts behind every key of a folder."""


class S3Object(NamedTuple):
    """An object of a listing: its key, bytes, ETag and time of change (UTC)."""

    key: str
    size: int
    etag: str | None
    modified: datetime


def objects(
    filesystem: Any, bucket: str, prefix: str, skip: Sequence[str] = (), *, page_size: int = 1000
) -> Iterator[S3Object]:
    """Yield the objects below a prefix, in the order of their keys.

    Parameters
    ----------
    filesystem
        The s3fs filesystem.
    bucket, prefix
        Where; the prefix of a folder ends with a slash.
    skip
        Prefixes of folders that are left out; what they hold beyond a page is not asked for.
    page_size
        Objects of a page, at most.

    Raises
    ------
    FileNotFoundError
        There is no such bucket.
    """
    left_out = tuple(skip)
    for page in _pages(
        filesystem, {"Bucket": bucket, "Prefix": prefix, "MaxKeys": page_size}, left_out
    ):
        for item in page:
            key = str(item["Key"])
            # A key that ends with a slash stands for a folder, in a console.
            if not key.endswith("/") and not key.startswith(left_out):
                etag = str(item.get("ETag", "")).strip('"') or None
                yield S3Object(key, int(item["Size"]), etag, item["LastModified"])


def _pages(filesystem: Any, asked: dict[str, Any], skip: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield page after page; behind one that ends in a folder to skip, the listing goes on after that folder."""
    more: dict[str, str] = {}
    last = token = ""
    while True:
        page = filesystem.call_s3("list_objects_v2", **asked, **more)
        found: Sequence[Any] = page.get("Contents", [])
        if "StartAfter" in more and found and found[0]["Key"] <= last:
            skip, more = (), {"ContinuationToken": token}  # a store that does not heed it
            continue
        yield found
        if not page.get("IsTruncated"):
            return
        last, token = str(found[-1]["Key"]) if found else "", page["NextContinuationToken"]
        folder = next((folder for folder in skip if last.startswith(folder)), None)
        more = {"StartAfter": folder + _HIGHEST} if folder else {"ContinuationToken": token}
