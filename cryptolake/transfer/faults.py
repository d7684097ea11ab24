"""What went wrong, in s5cmd's words, and what it means: try again, give up on the file, or stop."""

from __future__ import annotations

import re
from typing import Literal

Fault = Literal[
    "full",
    "skewed",
    "denied",
    "absent",
    "unreachable",
    "page",
    "busy",
    "bytes",
    "stalled",
    "broken",
    "other",
]
"""``full``: the disk; ``skewed``: this machine's clock is off, so S3 takes no signature; ``denied``: 403;
``absent``: 404; ``unreachable``: refused, unknown host, timed out; ``page``: HTML instead of S3; ``busy``:
503; ``bytes``: other bytes than listed; ``stalled``: no progress; ``broken``: s5cmd itself ended early."""

HOPELESS: frozenset[Fault] = frozenset({"full", "skewed", "denied", "absent"})
"""Faults that another attempt does not mend."""

NOBODY_HOME: frozenset[Fault] = frozenset({"unreachable", "page", "denied", "skewed", "broken"})
"""Faults of the endpoint, not of one file: when every file has one, nothing can context."""

_SIGNS: tuple[tuple[Fault, str], ...] = (
    ("full", r"no space left on device|disk quota exceeded"),
    ("skewed", r"RequestTimeTooSkewed"),
    ("stalled", r"no byte arrived"),
    ("broken", r"s5cmd ended with code"),
    ("busy", r"status code: (429|5\d\d)|SlowDown|ServiceUnavailable|InternalError|Throttl"),
    ("page", r"<html|<!doctype|expected element type|web page"),
    ("absent", r"status code: 404|NoSuchKey|NoSuchBucket|NotFound|not found|no object found"),
    (
        "denied",
        r"status code: 40[13]|AccessDenied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch",
    ),
    (
        "unreachable",
        r"connection refused|no such host|dial tcp|connection reset|i/o timeout|timed out|unexpected EOF"
        r"|RequestError|EOF|could not connect|connection (broken|was closed)|tls:|x509:|PermanentRedirect|MovedPermanently|BucketRegionError|status code: 30\d",
    ),
)


def fault_of(said: str) -> Fault:
    """Name the fault that an error line of s5cmd, or of a verification, tells of.

    Examples
    --------
    >>> fault_of("open x: no space left on device")
    'full'
    >>> fault_of('Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused')
    'unreachable'
    """
    for fault, pattern in _SIGNS:
        if re.search(pattern, said, re.IGNORECASE):
            return fault
    return "other"


def readable(said: str) -> str:
    """Return an error line without the hex dump that the AWS SDK adds to what it cannot parse.

    Examples
    --------
    >>> readable(
    ...     "SerializationError: status code: 404, request id: , host id: caused by: 00000000 3c"
    ... )
    'the endpoint answered status 404 without saying why'
    """
    status = re.search(r"SerializationError.*?status code: (\d+)", said)
    if status is not None:
        page = "with a web page, not S3" if "<html" in said.lower() else "without saying why"
        return f"the endpoint answered status {status[1]} {page}"
    return said if len(said) <= 400 else said[:400] + "…"


def shortened(said: str) -> str:
    """Return what an error says without what differs from file to file, so that equal ones can be counted.

    Examples
    --------
    >>> shortened("AccessDenied: Access Denied status code: 403, request id: 7, host id: 8")
    'AccessDenied: Access Denied'
    """
    return re.sub(r"\s*(,? ?status code:.*|,? ?request id:.*|\([^()]*\.zip\))\s*$", "", said)[:160]
