from __future__ import annotations

from tests.planning.conftest import lake, origin

__all__ = ["lake", "origin"]
