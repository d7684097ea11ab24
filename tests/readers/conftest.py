"""Lakes for the readers: empty ones on a disk and in a bucket."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.tables import Meta


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "lake")


@pytest.fixture
def meta(storage: Storage) -> Meta:
    return Meta(storage)


@pytest.fixture
def s3_storage(bucket_options: dict[str, Any]) -> Storage:
    """A new lake in a bucket."""
    return open_storage(f"s3://lakes/{secrets.token_hex(4)}/my lake", bucket_options)
