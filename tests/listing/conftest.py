from __future__ import annotations

from tests.plan.conftest import lake, origin

__all__ = ["lake", "origin"]
