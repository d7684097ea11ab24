from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryptolake as cl
from tests.planning.source import Source, source


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Source]:
    """An archive to fill, on loopback."""
    with source(tmp_path / "archive", f"archive-{secrets.token_hex(4)}") as found:
        yield found


@pytest.fixture
def lake(tmp_path: Path, origin: Source) -> cl.Lake:
    """A lake with that archive as its source. Its root has what roots may have in their names."""
    return cl.Lake(tmp_path / "a [lake]; it's * mine", source=origin.archive)
