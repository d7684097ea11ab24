"""A copy of the sample archive that tests rewrite, served on loopback, and a lake beside it: one a module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.gold import recipes
from cryptolake.sample.folder import ArchiveFolder
from cryptolake.sample.server import serve_archive
from tests.quality.world import World


@pytest.fixture(scope="module")
def world(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The archive of ``sample_archive``, which may be edited, and an empty lake of it."""
    root = tmp_path_factory.mktemp("gold")
    shutil.copytree(sample_archive, root / "archive")
    with serve_archive(root / "archive", bucket="recipes") as served:
        source = cl.Archive(bucket="recipes", endpoint_url=served.endpoint)
        lake = cl.Lake(root / "lake", source=source)
        yield World(ArchiveFolder(root / "archive"), served, lake)


@pytest.fixture(autouse=True)
def own_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it; ours stay."""
    monkeypatch.setattr(recipes, "_RECIPES", recipes.recipes())
