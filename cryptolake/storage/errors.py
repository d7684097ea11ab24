"""What went wrong with a disk or a bucket, in words: every such error becomes a StorageError.

Nothing is read or written here; where a folder's place is taken by a file, the disk is asked which one it is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

from cryptolake.errors import StorageError
from cryptolake.storage.layout import BRONZE, GOLD, META, SILVER

_MADE_AGAIN = {
    BRONZE: "a pull or `cryptolake update` fetches its files again",
    SILVER: "`cryptolake verify --repair` builds its files again from Bronze",
    GOLD: "`cryptolake verify --repair` makes its files again from Silver",
    META: "`cryptolake verify --repair` records Bronze's files again, after which `cryptolake build` goes on",
}
"""How each zone of a lake comes back once what stands in its place is gone."""


@contextmanager
def in_words(verb: str, path: str, root: str) -> Iterator[None]:
    """Turn what the system or S3 says inside the block into StorageError; an absent file stays one.

    Parameters
    ----------
    verb, path
        What is done to which file, for the message; no path for the lake itself.
    root
        The lake's root as given.
    """
    try:
        yield
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        answer = error.__cause__ or error  # s3fs raises a system error from S3's own
        if _is_skewed(answer):
            message = f"cannot {verb} {_place(path, root)}: {clock_said(clock_off(answer))}."
            raise StorageError(message, root=root, path=path) from error
        raise_storage_error(error, verb, path, root)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"botocore", "aiobotocore"}:
            raise
        message = (
            f"cannot {verb} {_place(path, root)}: {error}. Check the bucket's name, the "
            "endpoint and the credentials (storage_options, or the AWS environment)."
        )
        raise StorageError(message, root=root, path=path) from error


REFUSED_CONDITION = frozenset(
    {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"}
)
"""S3's words for a conditional write that came too late: the object is another one by now, or is gone."""

UNKNOWN_CONDITION = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest", "501"})
"""The words of stores that have no conditional writes."""


_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def where_allowed() -> Iterator[None]:
    """Leave a write out that a disk or bucket refuses for want of rights: of a cache, which a reader can go without."""
    try:
        yield
    except StorageError as error:
        cause = error.__cause__
        if not (isinstance(cause, PermissionError) or getattr(cause, "errno", 0) in _NO_RIGHTS):
            raise


def code_of(error: BaseException) -> str:
    """Return S3's word for an error that s3fs raises from S3's own; empty where there is none."""
    response = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


SKEWED = "RequestTimeTooSkewed"
"""S3's word for a request that was signed at a time too far (15 minutes) from its own."""

ALLOWED = 900
"""Seconds that a clock may be off for S3 to take what it signs."""


def clock_off(answer: BaseException | None) -> float | None:
    """Return by how many seconds this clock is ahead of S3's, going by an answer; None where it is silent."""
    response = getattr(answer, "response", None) or {}
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        then = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    if then.tzinfo is None:  # "-0000": a time without a zone, which in HTTP is UTC
        then = then.replace(tzinfo=UTC)
    return (datetime.now(UTC) - then).total_seconds()


def _is_skewed(answer: BaseException) -> bool:
    """Say whether S3 refused a request for its time. To HEAD it answers 403 and no word, but its time."""
    off = clock_off(answer) if "(403)" in str(answer) else None
    return SKEWED in str(answer) or abs(off or 0) > ALLOWED


def clock_said(ahead: float | None) -> str:
    """Say in words that S3 refuses what is signed here, for the clock is wrong.

    Examples
    --------
    >>> clock_said(-1260)
    "this machine's clock is 21 minutes behind S3's, which refuses what it signs (RequestTimeTooSkewed): set it"
    """
    minutes = round(abs(ahead or 0) / 60)
    if not minutes:  # it was set right meanwhile, or S3 does not tell its own time
        return f"S3 finds this machine's clock wrong and refuses what it signs ({SKEWED}): set it"
    off = f"{minutes:,} minute{'s' * (minutes > 1)} {'ahead of' if (ahead or 0) > 0 else 'behind'}"
    return f"this machine's clock is {off} S3's, which refuses what it signs ({SKEWED}): set it"


def raise_storage_error(error: OSError, verb: str, path: str, root: str) -> NoReturn:
    """Raise the StorageError that tells a person what the system call's error means."""
    hints = {
        errno.ENOSPC: "the disk is full: free some room and run it again, nothing done is lost",
        errno.EDQUOT: "the quota is used up: free some room and run it again, nothing done is lost",
        errno.EACCES: "permission denied: choose a root that you may write, or mend its permissions",
        errno.EPERM: "permission denied: choose a root that you may write, or mend its permissions",
        errno.EROFS: "the file system is read-only: choose another root",
        errno.ENOTDIR: "a part of the path is a file, not a folder: choose another root",
    }
    why = hints.get(error.errno or 0, error.strerror or str(error))
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and (part := _file_on_the_way(path, root)):
        again = _MADE_AGAIN.get(part.partition("/")[0])
        then = f", and {again}" if again else ""
        why = f"the folder {part!r} of the lake is a file: move it out of the lake{then}"
    message = f"cannot {verb} {_place(path, root)}: {why}."
    raise StorageError(message, root=root, path=path, errno=error.errno) from error


def _file_on_the_way(path: str, root: str) -> str | None:
    """Return the first part of a path under a root that stands and is no folder; None where the root is none either."""
    place = root
    for part in ["", *path.split("/")]:
        place = os.path.join(place, part)  # noqa: PTH118 - of a root as text
        try:
            if stat.S_ISDIR(os.stat(place).st_mode):  # noqa: PTH116
                continue
        except OSError:
            return None
        return os.path.relpath(place, root).replace(os.sep, "/") if part else None
    return None


def _place(path: str, root: str) -> str:
    return f"{path!r} in the lake at {root}" if path else f"the lake at {root}"
