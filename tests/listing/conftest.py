from __future__ import annotations

import pytest

from cryptolake.listing import client
from tests.planning.conftest import lake, origin

__all__ = ["at_once", "lake", "origin"]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for between two attempts."""
    monkeypatch.setattr(client, "_RETRIES", client._RETRIES.new(backoff_factor=0, backoff_jitter=0))
