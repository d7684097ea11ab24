"""Failures of a transfer: their kind and their reason, read once from an error's text.

The kind decides what follows: another attempt, giving up on the file, or the end of the run. The text is
s5cmd's, S3's, the system's or a check's own.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Fault = Literal[
    "full",
    "skewed",
    "denied",
    "lake",
    "absent",
    "unreachable",
    "page",
    "busy",
    "bytes",
    "stalled",
    "broken",
    "other",
]
"""``full``: the disk; ``skewed``: this machine's clock is off, so S3 takes no signature; ``denied``: 403; ``lake``: the lake's bucket refuses;
``absent``: 404; ``unreachable``: refused, unknown host, timed out; ``page``: HTML instead of S3; ``busy``:
503; ``bytes``: other bytes than listed; ``stalled``: no progress; ``broken``: s5cmd itself ended early."""

PERMANENT: frozenset[Fault] = frozenset({"full", "skewed", "denied", "lake", "absent"})
"""Faults that another attempt does not repair."""

ENDPOINT_FAULTS: frozenset[Fault] = frozenset(
    {"unreachable", "page", "denied", "lake", "skewed", "broken"}
)
"""Faults of the endpoint, not of one file: when every file has one, the endpoint is down."""


class Failure(NamedTuple):
    """Why a file was not stored: the kind of failure, and the reason in words."""

    fault: Fault
    reason: str


_REFUSED = (
    r"AccessDenied|Forbidden|\(403\)|InvalidAccessKeyId|SignatureDoesNotMatch|AllAccessDisabled"
    r"|ExpiredToken|InvalidToken|TokenRefreshRequired"
)

_OF_THE_LAKE = (
    r"(PutObject|CreateMultipartUpload|UploadPart|CompleteMultipartUpload|CopyObject|DeleteObject"
    r"|HeadObject|ListObjectsV2)"
)
"""Operations that boto3 does at the lake's bucket alone, while files move."""

_SIGNS: tuple[tuple[Fault, str], ...] = (
    ("full", r"no space left on device|disk quota exceeded"),
    ("skewed", r"RequestTimeTooSkewed"),
    ("lake", rf"({_REFUSED}).*when calling the {_OF_THE_LAKE} operation"),
    ("broken", r"s5cmd ended with code"),
    ("busy", r"status code: (429|5\d\d)|SlowDown|ServiceUnavailable|InternalError|Throttl"),
    ("page", r"<html|<!doctype|expected element type|web page"),
    ("absent", r"status code: 404|NoSuchKey|NoSuchBucket|NotFound|not found|no object found"),
    ("denied", rf"status code: 40[13]|{_REFUSED}"),
    (
        "unreachable",
        r"connection refused|no such host|dial tcp|connection reset|i/o timeout|timed out|unexpected EOF"
        r"|RequestError|EOF|could not connect|connection (broken|was closed)|tls:|x509:|PermanentRedirect|MovedPermanently|BucketRegionError|status code: 30\d",
    ),
)


def failure_of(text: str) -> Failure:
    """Return the failure that an error's text tells of.

    Examples
    --------
    >>> failure_of("open x: no space left on device").fault
    'full'
    >>> failure_of(
    ...     'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused'
    ... ).fault
    'unreachable'
    """
    return Failure(_fault_of(text), readable(text))


def wrong_bytes(detail: str) -> Failure:
    """Return the failure of a check: other bytes than the listed ones arrived, or a web page.

    Examples
    --------
    >>> wrong_bytes("3 bytes arrived, the listing says 4").fault
    'bytes'
    """
    failure = failure_of(detail)
    return failure if failure.fault == "page" else failure._replace(fault="bytes")


def _fault_of(text: str) -> Fault:
    for fault, pattern in _SIGNS:
        if re.search(pattern, text, re.IGNORECASE):
            return fault
    return "other"


def readable(text: str) -> str:
    """Return an error line without the hex dump that the AWS SDK adds where it cannot parse an answer.

    Examples
    --------
    >>> readable(
    ...     "SerializationError: status code: 404, request id: , host id: caused by: 00000000 3c"
    ... )
    'the endpoint answered status 404 without saying why'
    """
    status = re.search(r"SerializationError.*?status code: (\d+)", text)
    if status is not None:
        page = "with a web page, not S3" if "<html" in text.lower() else "without saying why"
        return f"the endpoint answered status {status[1]} {page}"
    text = re.sub(r"^Failed to upload \S+ to \S+: ", "", text)  # a name of the staging folder
    return text if len(text) <= 400 else text[:400] + "…"


def shortened(text: str) -> str:
    """Return an error without the parts that differ from file to file, so that equal ones can be counted.

    Examples
    --------
    >>> shortened("AccessDenied: Access Denied status code: 403, request id: 7, host id: 8")
    'AccessDenied: Access Denied'
    >>> shortened(f"the copy's ETag is {'a' * 32}, the archive's is {'b' * 32}")
    "the copy's ETag is …, the archive's is …"
    """
    text = re.sub(r"\s*(,? ?status code:.*|,? ?request id:.*|\([^()]*\.zip\))\s*$", "", text)
    text = re.sub(r"\b[0-9a-f]{32}(?:[0-9a-f]{32})?\b(?:-\d+)?", "…", text)
    return re.sub(r"\b\d+ bytes|says \d+", lambda found: re.sub(r"\d+", "…", found[0]), text)[:160]
