"""Bytes of files that builds may hold in memory at a time, whatever the number of threads and of files.

A month waits, whole, until there is room for it; months get room in the order in which they asked.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """So many bytes, lent to threads and given back."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Wait until there is room for ``size`` bytes, and hold it; what is larger than all waits for all.

        Examples
        --------
        >>> budget = Budget(10)
        >>> with budget.room(4), budget.room(6):
        ...     budget.free
        0
        >>> with budget.room(99):
        ...     budget.free
        0
        >>> budget.free
        10
        """
        size = min(size, self.total)
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._free >= size)
                self._free -= size
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()

    @property
    def free(self) -> int:
        """The bytes that are not lent."""
        return self._free


ZIPS = Budget(64 * 2**20)
"""For the zips of months that are held whole."""

TEXTS = Budget(128 * 2**20)
"""For what they inflate to; parsed, sorted and encoded, a month takes some times that."""

STREAMED = TEXTS.total * 3 // 4
"""What a month made in pieces takes of it: two never run at once, and small months go on beside it."""
