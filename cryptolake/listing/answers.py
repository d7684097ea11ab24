"""What S3 answers to ListObjectsV2: a page of its objects, or in words why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_LISTING = "it answered, but not with an S3 listing (a web page, a proxy's or a portal's?)"


class NoAnswer(Exception):
    """There is no page; the message says why, as the end of a sentence about the endpoint."""


class Object(NamedTuple):
    """A listed object: its key, bytes, ETag without quotes, and last modification as ISO text (UTC)."""

    key: str
    size: int
    etag: str
    modified: str


class Page(NamedTuple):
    """One answer: its objects, its folders where those were asked for, and the token of the next page."""

    objects: list[Object]
    folders: list[str]
    token: str | None = None


def read(status: int, headers: Mapping[str, str], body: bytes, *, anonymous: bool) -> Page:
    """Read an answer. Names are the bucket's own, whether or not they came percent-encoded.

    Raises
    ------
    NoAnswer
        It is no whole listing; the message says what it means.

    Examples
    --------
    >>> read(
    ...     200,
    ...     {},
    ...     b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    ...     anonymous=True,
    ... )
    Page(objects=[], folders=[], token=None)
    """
    root = _parsed(body)
    space, brace, kind = root.tag.rpartition("}") if root is not None else ("", "", "")
    if root is not None and status == 200 and kind == "ListBucketResult":
        try:
            return _page(root, space + brace)
        except ValueError:  # something lacks, or a size is no number
            raise NoAnswer(NO_LISTING) from None
    if status == 200 and kind != "Error":
        raise NoAnswer(NO_LISTING)
    said: dict[str, str] = {}
    if root is not None and kind == "Error":
        said = {item.tag.rpartition("}")[2]: (item.text or "").strip() for item in root}
    code, message = said.get("Code", ""), said.get("Message", "")
    raise NoAnswer(_refusal(status, headers, code, message, anonymous=anonymous))


def _page(root: ElementTree.Element, space: str) -> Page:
    """Return what a listing holds. S3 names the space of its elements; not all that speak S3 do.

    Raises
    ------
    ValueError
        It is not whole.
    """

    def text(element: ElementTree.Element, name: str) -> str:
        found = element.findtext(space + name)
        if found is None:
            raise ValueError
        return found

    def plain(name: str) -> str:
        return unquote_plus(name) if encoded else name

    encoded = root.findtext(f"{space}EncodingType") == "url"
    objects = [
        Object(
            plain(text(item, "Key")),
            int(text(item, "Size")),
            text(item, "ETag").strip('"'),
            text(item, "LastModified"),
        )
        for item in root.iterfind(f"{space}Contents")
    ]
    folders = [plain(text(item, "Prefix")) for item in root.iterfind(f"{space}CommonPrefixes")]
    goes_on = text(root, "IsTruncated").strip().lower() == "true"
    return Page(objects, folders, text(root, "NextContinuationToken") if goes_on else None)


def _refusal(
    status: int, headers: Mapping[str, str], code: str, message: str, *, anonymous: bool
) -> str:
    """Say in words what an S3 error, or another server's, means."""
    denied = "cannot be listed anonymously there" if anonymous else "refuses these credentials"
    meanings = {
        "NoSuchBucket": "it has no such bucket",
        "AccessDenied": f"it refused: this bucket {denied}",
        "RequestTimeTooSkewed": "it finds this machine's clock wrong, and refuses what it signs: set it",
        "SlowDown": "it asked to slow down, again and again; try later",
        "403": f"it refused (403): this bucket {denied}",
        "404": "it answered 404: it is no S3 endpoint, or has no such bucket",
        "429": "it asked to slow down, again and again; try later",
    }
    if meaning := meanings.get(code) or meanings.get(str(status)):
        return meaning
    if region := headers.get("x-amz-bucket-region"):
        return f"it answered {status}: the bucket is in the region {region!r} (Archive(region=...))"
    if location := headers.get("location"):
        return f"it answered {status}, pointing to {location[:200]!r}, which is no S3 listing"
    said = ": ".join(part for part in (code, message) if part)
    return f"it answered {status}" + (f" ({said})" if said else "")


def _parsed(body: bytes) -> ElementTree.Element | None:
    # S3 declares no document type; and without one there are no entities that could swell.
    if b"<!DOCTYPE" in body:
        return None
    try:
        return ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError:
        return None
