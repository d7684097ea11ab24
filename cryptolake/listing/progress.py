"""How a plan shows that it is still asking: a bar where a person watches, or a callable that is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptolake.progress import Progress, Step, telling, watched

MANY = 500
"""Questions from which on a bar is drawn: fewer are answered before one could be read."""


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show what is listed inside, as :mod:`cryptolake.progress` says.

    Raises
    ------
    KeyboardInterrupt
        The callable wants it to stop.
    """
    bar = _Bar()
    watch = progress if callable(progress) else bar.draw if progress and watched() else None
    try:
        with telling(watch):
            yield
    finally:
        bar.close()


class _Bar:
    """A tqdm bar, which is imported when there is much to wait for."""

    def __init__(self) -> None:
        self._bar: Any = None

    def draw(self, step: Step) -> None:
        if step.unit != "listings" or step.all_pieces < MANY:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=step.all_pieces, unit="listing", desc="plan", leave=False)
        self._bar.total = step.all_pieces
        self._bar.update(max(0, step.pieces - self._bar.n))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
