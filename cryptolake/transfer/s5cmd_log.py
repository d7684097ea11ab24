"""The log of ``s5cmd run``: objects done, objects failed, and each request, so that no repeat goes unseen.

s5cmd runs with ``--json --log trace``: every finished object is one JSON line, every failed one too, and
every request to S3 is logged with its path. s5cmd logs why it repeats a request and not for which object; a
path that is requested twice within a run tells that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from cryptolake.transfer.faults import Failure, failure_of, readable, shortened


class ObjectResult(NamedTuple):
    """An object is done, or (with ``failure``) an object or a command failed.

    ``key`` is the object's key in the source bucket, empty where s5cmd does not name one object.
    """

    key: str
    size: int
    failure: Failure | None


class Retry(NamedTuple):
    """S5cmd will repeat a request, for this reason. It does not say which object's."""

    reason: str


class Repeat(NamedTuple):
    """A request was made again: ``path`` is what it asked for, as in the URL without its query."""

    path: str


class ProcessEnded(NamedTuple):
    """The last event of a run.

    ``code`` is its exit code, ``output`` the lines that were no JSON (a usage error, a panic), ``requests``
    how many requests it made.
    """

    code: int
    output: str
    requests: int = 0


LogEvent = ObjectResult | Retry | Repeat | ProcessEnded
"""An event of a run."""

_REMARK = b'{"message":"DEBUG: Re'
_REQUEST = b'{"message":"DEBUG: Request '
_BEGINS = rb"-\n"  # in JSON a line break is written as backslash and n
_RANGE = rb"\r\nRange: "


class Log:
    r"""Reads the log of one run, line by line, and counts its requests.

    Examples
    --------
    >>> log = Log()
    >>> line = (
    ...     rb'{"message":"DEBUG: Request s3/GetObject Details:\n---\nGET /b/k.zip HTTP/1.1\r\n"}'
    ... )
    >>> log.read([line, line]), log.requests
    ([Repeat(path='/b/k.zip')], 2)
    """

    def __init__(self) -> None:
        self.requests = 0
        self._asked: set[bytes] = set()
        self.other: list[str] = []

    def read(self, lines: Iterable[bytes]) -> list[LogEvent]:
        """Return the events of some lines. Lines that are no JSON are kept in ``other``, the last twenty."""
        events: list[LogEvent] = []
        for line in lines:
            if line.startswith(_REMARK):
                path = self._repeated(line)
                if path is not None:
                    events.append(Repeat(path))
                continue
            found = parse_line(line)
            if found is not None:
                events.append(found)
            elif not line.startswith(b"{") and line.strip():
                self.other = [*self.other[-19:], line.decode("utf-8", "replace").strip()]
        return events

    def _repeated(self, line: bytes) -> str | None:
        """Count a request; return its path if it was made before."""
        if not line.startswith(_REQUEST):
            return None
        self.requests += 1
        request, _, headers = line.partition(_BEGINS)[2].partition(b" HTTP/1.1")
        if _RANGE in headers:  # the parts of one object are requests of their own
            request += b"\0" + headers.partition(_RANGE)[2].partition(b"\\")[0]
        if request not in self._asked:
            self._asked.add(request)
            return None
        path = request.partition(b"\0")[0].partition(b" ")[2].partition(b"?")[0]
        return unquote(json.loads(b'"' + path + b'"'))


def parse_line(line: bytes) -> ObjectResult | Retry | None:
    """Read one JSON line about objects; None when it is something else.

    Examples
    --------
    >>> parse_line(b'{"operation":"cp","command":"cp s3://b/k.zip k.zip","error":"no"}')
    ObjectResult(key='k.zip', size=0, failure=Failure(fault='other', reason='no'))
    >>> parse_line(b"panic: runtime error") is None
    True
    """
    if not line.startswith(b"{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if "error" in entry:
        reason = str(entry["error"])
        if reason.startswith("retryable error: "):
            return Retry(shortened(readable(reason.removeprefix("retryable error: "))))
        if "job" in entry:  # a remark about a failure that has its own line
            return None
        return ObjectResult(_key_of_command(entry.get("command", "")), 0, failure_of(reason))
    if not entry.get("success"):
        return None
    size = (entry.get("object") or {}).get("size") or 0
    key = entry.get("source", "").removeprefix("s3://").partition("/")[2]
    return ObjectResult(key, int(size), None)


def _key_of_command(command: str) -> str:
    """Return the key a failed ``cp`` line was for: the log writes it unquoted, names may hold blanks."""
    rest = command.partition("s3://")[2].partition("/")[2]
    # Our targets end with the key: "<key> <folder or URL/><key>".
    for match in re.finditer(" ", rest):
        key = rest[: match.start()]
        if rest.endswith(key) and len(rest) > 2 * len(key):
            return key
    return rest.rpartition(" ")[0]
