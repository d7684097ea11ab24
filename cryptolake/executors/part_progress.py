"""The progress of all parts as one: bytes where files move, months else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptolake.progress import Step, display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptolake.executors.parts import Done
    from cryptolake.progress import Progress, Watch


class Together:
    """Sums the parts' steps for a bar or a callable.

    Parameters
    ----------
    sizes
        By part: its bytes and files to move; or, twice, its months.
    unit
        ``files`` or ``months``.
    progress
        As :mod:`cryptolake.progress` says.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], unit: str, progress: Progress) -> None:
        self._sizes, self._unit = sizes, unit
        files = unit == "files"
        options: dict[str, Any] = {"unit": "B", "unit_scale": True} if files else {"unit": "month"}
        self._bar = display("transfer" if files else "build", **options)
        self._watch: Watch | None = None
        if callable(progress):
            self._watch = progress
        elif progress:
            self._watch = self._bar.draw
        self._last: Step | None = None

    def show(self, steps: Mapping[int, Step], done: Sequence[Done]) -> None:
        """Show how far the parts are, where that has changed; the callable may stop the work."""
        if self._watch is None:
            return
        ended = {part.number for part in done}
        size = pieces = 0
        for number, (all_size, all_pieces) in enumerate(self._sizes):
            step = steps.get(number)
            if number in ended or (step is not None and step.unit != self._unit):
                size, pieces = size + all_size, pieces + all_pieces
            elif step is not None:
                size += min(step.done, all_size)
                pieces += min(step.pieces, all_pieces)
        totals = [sum(column) for column in zip(*self._sizes, strict=True)]
        now = Step(size, totals[0], pieces, totals[1], self._unit)
        if now != self._last:
            self._last = now
            self._watch(now)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()
