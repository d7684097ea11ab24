"""Giving memory back before long work and during it."""

from __future__ import annotations

import ctypes
import sys

SMALL = 500
"""Files up to which a run is too short for its memory to matter."""

_DONT_NEED = 4
"""``MADV_DONTNEED``, as Linux numbers it."""

_LIBRARIES = ("_polars_runtime", "_pydantic_core", "libcrypto")
"""What planning works with, and a transfer little or not at all."""


def give_back_code() -> None:
    """Let the kernel take back freed memory, and the pages of some libraries' machine code.

    Polars is 170 MB. Its import touches 40 of them, each query plan some more, and a transfer, which may
    run for hours, needs little of that. Code and constants are never written to, so dropping their pages
    loses nothing: what is needed comes back from the page cache. Only on Linux; it takes half a millisecond.
    """
    if sys.platform != "linux":
        return
    try:
        with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123 - no file of a disk
            lines = [line.split() for line in maps if any(name in line for name in _LIBRARIES)]
        library = ctypes.CDLL(None)
        advise = library.madvise
        if hasattr(library, "malloc_trim"):  # what reading the plan has freed
            library.malloc_trim(0)
    except (OSError, AttributeError):
        return
    for fields in lines:
        # The code, and the constants that the file begins with; what lies behind the code is relocated
        # when it is loaded, and would be lost.
        if fields[1] == "r-xp" or (fields[1] == "r--p" and int(fields[2], 16) == 0):
            start, end = (int(part, 16) for part in fields[0].split("-"))
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED)
