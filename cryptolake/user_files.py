"""Paths that a person gives for files of their own, and files that are written beside their name and renamed."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptolake.errors import StorageError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""How a URL begins; made a path, it has one slash."""


def user_path(given: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` as a home folder.

    Raises
    ------
    StorageError
        It is a URL, there is no such user, or no path has such a sign.

    Examples
    --------
    >>> user_path("data/a.json").name
    'a.json'
    >>> user_path("~no-such-user/a.json")
    Traceback (most recent call last):
    cryptolake.errors.StorageError: there is no home folder of '~no-such-user': write the whole path.
    """
    text = os.fspath(given)
    if url := _URL.match(text):
        message = (
            f"'{url[1]}://...' is a URL, and this is read and written on this machine: give a path."
        )
        raise StorageError(message, path=f"{url[1]}://...")  # the rest may be a login
    try:
        if b"\0" in os.fsencode(text):
            message = f"{text!r} is no path: it has a NUL in it."
            raise StorageError(message, path=text)
        return Path(text).expanduser()
    except UnicodeEncodeError:
        message = f"{text!r} is no path of this system."
        raise StorageError(message, path=text) from None
    except RuntimeError:
        message = f"there is no home folder of {Path(text).parts[0]!r}: write the whole path."
        raise StorageError(message, path=text) from None


@contextmanager
def written_whole(target: Path, what: str) -> Iterator[Path]:
    """Give a new, empty file beside a path, which takes its place at the end; one that fails leaves nothing.

    Nobody else can name the file before it is there: a link that waits at its name is not followed, and two writers
    of one path have two.

    Parameters
    ----------
    target
        Where it goes; what is there is replaced.
    what
        What is written, for messages: ``the lock``.

    Raises
    ------
    StorageError
        It cannot be written there.
    """
    draft = target.parent / f".{target.name[:120]}.{secrets.token_hex(6)}"
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            yield target  # a pipe, or a terminal
            return
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            yield draft
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except StorageError:
        raise
    except OSError as error:
        message = f"cannot write {what} to {target}: {error.strerror or error}."
        raise StorageError(message, path=str(target), errno=error.errno) from error
