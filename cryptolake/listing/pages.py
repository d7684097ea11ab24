"""A page of an S3 listing as it came, parsed: its objects and folders, or in words why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from cryptolake.listing.folders import NO_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TAGS = 200_000
"""Tags of one page: a thousand objects have some twenty thousand. Each takes far more memory than text."""

_LONGEST_ETAG = 1024
"""Letters of an ETag. One that is longer, or holds signs that a terminal acts upon, is no file's."""

_LARGEST_FILE = 5 * 2**40
"""Bytes of a listed object; the sum of a million of them still is a 64-bit number."""

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
    fields: dict[str, str] = {}
    if root is not None and kind == "Error":
        fields = {item.tag.rpartition("}")[2]: (item.text or "").strip() for item in root}
    code, message = fields.get("Code", ""), fields.get("Message", "")
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

    def listed(item: ElementTree.Element) -> Object:
        size, etag = _size(text(item, "Size")), text(item, "ETag").strip('"')
        known = etag.isprintable() and len(etag) <= _LONGEST_ETAG
        key = plain(text(item, "Key"))
        return Object(key, size if known else NO_SIZE, etag, text(item, "LastModified"))

    objects = [listed(item) for item in root.iterfind(f"{space}Contents")]
    folders = [plain(text(item, "Prefix")) for item in root.iterfind(f"{space}CommonPrefixes")]
    goes_on = text(root, "IsTruncated").strip().lower() == "true"
    return Page(objects, folders, text(root, "NextContinuationToken") if goes_on else None)


def _size(text: str) -> int:
    """Read an object's size; ``NO_SIZE`` for a number that cannot be one.

    Raises
    ------
    ValueError
        It is no number.
    """
    size = int(text)
    return size if 0 <= size <= _LARGEST_FILE else NO_SIZE


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
    detail = ": ".join(part for part in (code, message) if part)
    return f"it answered {status}" + (f" ({detail})" if detail else "")


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, *_: object) -> None:
        """S3 declares no document type; and without one there are no entities that could swell."""
        raise ElementTree.ParseError


def _parsed(body: bytes) -> ElementTree.Element | None:
    if body.count(b"<") > _MOST_TAGS:
        return None
    try:
        parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314
        return ElementTree.fromstring(body, parser)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError):  # an encoding that there is not
        return None
