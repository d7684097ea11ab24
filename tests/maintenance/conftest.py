"""The archive of quality's tests, which tests damage on purpose, and a lake beside it."""

from __future__ import annotations

from tests.quality.conftest import world

__all__ = ["world"]
