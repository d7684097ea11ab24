"""How far a long piece of work is, for whoever watches it: a bar, a widget, a log. Pure.

Where a method takes ``progress``, True shows a bar where a person is watching, False shows nothing, and a
callable is told each :class:`Step` on the thread that does the work. It may raise ``KeyboardInterrupt``
to stop the work in order, as Ctrl-C does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple


class Step(NamedTuple):
    """How far it is: bytes (or, where bytes say nothing, pieces) and pieces, done and in all.

    Examples
    --------
    >>> Step(500, 1000, 1, 2, "files").share
    0.5
    """

    done: int
    total: int
    pieces: int
    all_pieces: int
    unit: str

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


Watch = Callable[[Step], None]
Progress = bool | Watch


def watched() -> bool:
    """Say whether a person may be looking: standard error is a terminal, or a notebook's kernel runs.

    Examples
    --------
    >>> isinstance(watched(), bool)
    True
    """
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
