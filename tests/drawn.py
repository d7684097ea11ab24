"""How many examples the longest random tests draw: few in a usual run, which draws others each time."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("CRYPTOLAKE_EXAMPLES") or 1)
"""``CRYPTOLAKE_EXAMPLES=20`` draws twenty times as many."""


def examples(count: int) -> int:
    """Return how many examples to draw where a usual run draws ``count``."""
    return count * TIMES
