"""One bar for a transfer: bytes, with the files beside them. Silent where nobody looks."""

from __future__ import annotations

import time
from typing import Any

from cryptolake.progress import Progress, Step, Watch, watched

_PAUSE = 0.05
"""Seconds between two steps told, at least: a widget must not slow the transfer down."""


class Bar:
    """A tqdm bar in bytes, or nothing at all when ``shown`` is False or no person is watching.

    tqdm is only imported when there is something to show. A callable is told the steps instead, and may
    raise ``KeyboardInterrupt`` to stop the run.
    """

    def __init__(self, *, total_bytes: int, total_files: int, shown: Progress) -> None:
        self._bar: Any = None
        self._watch: Watch | None = shown if callable(shown) else None
        self._total = total_bytes
        self._told = 0.0
        self._files, self._total_files = 0, total_files
        self._done = 0
        if shown is True and total_files and watched():
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=total_bytes,
                unit="B",
                unit_scale=True,
                desc="transfer",
                postfix=f"0/{total_files} files",
                leave=True,
            )

    @property
    def shown(self) -> bool:
        """Whether there is anybody to show it to."""
        return self._bar is not None or self._watch is not None

    def arrived(self, size: int) -> None:
        """Count the bytes of an object that is here."""
        self._done += size

    def settled(self) -> None:
        """Count a file whose fate is known."""
        self._files += 1

    def show(self, arriving: int = 0) -> None:
        """Draw, counting also the bytes of files that are not complete yet."""
        now = self._done + arriving
        if self._watch is not None and (time.monotonic() - self._told > _PAUSE):
            self._told = time.monotonic()
            step = Step(min(now, self._total), self._total, self._files, self._total_files, "files")
            self._watch(step)
        if self._bar is None:
            return
        self._bar.set_postfix_str(f"{self._files}/{self._total_files} files", refresh=False)
        self._bar.update(max(0, min(now, self._bar.total) - self._bar.n))

    def close(self) -> None:
        """Show where it ended."""
        self._told = 0.0
        self.show()
        if self._bar is not None:
            self._bar.close()
