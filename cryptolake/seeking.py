"""Where a seek goes, for what reads like a file and is none. Pure."""

from __future__ import annotations

import io


def sought(offset: int, whence: int, *, at: int, size: int) -> int:
    """Return the place that a seek means.

    Parameters
    ----------
    offset, whence
        As ``io.IOBase.seek`` takes them.
    at, size
        Where the reader is, and how long the file is, in bytes.

    Raises
    ------
    OSError
        It lies before the beginning.

    Examples
    --------
    >>> sought(-3, io.SEEK_END, at=0, size=10), sought(2, io.SEEK_CUR, at=4, size=10)
    (7, 6)
    """
    place = {io.SEEK_SET: 0, io.SEEK_CUR: at, io.SEEK_END: size}[whence] + offset
    if place < 0:
        message = "a seek to before the beginning"
        raise OSError(message)
    return place
