"""One bar for a transfer: bytes, with the files beside them. Silent where nobody looks."""

from __future__ import annotations

import sys
from typing import Any


class Bar:
    """A tqdm bar in bytes, or nothing at all when ``shown`` is False or no person is watching.

    tqdm is only imported when there is something to show.
    """

    def __init__(self, *, total_bytes: int, total_files: int, shown: bool) -> None:
        self._bar: Any = None
        self._files, self._total_files = 0, total_files
        self._done = 0
        if shown and total_files and _watched():
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
        """Whether there is a bar at all."""
        return self._bar is not None

    def arrived(self, size: int) -> None:
        """Count the bytes of an object that is here."""
        self._done += size

    def settled(self) -> None:
        """Count a file whose fate is known."""
        self._files += 1

    def show(self, arriving: int = 0) -> None:
        """Draw, counting also the bytes of files that are not complete yet."""
        if self._bar is None:
            return
        now = self._done + arriving
        self._bar.set_postfix_str(f"{self._files}/{self._total_files} files", refresh=False)
        self._bar.update(max(0, min(now, self._bar.total) - self._bar.n))

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self.show()
            self._bar.close()


def _watched() -> bool:
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
