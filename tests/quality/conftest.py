"""A small archive that tests damage on purpose, served on loopback, and a lake beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.server import serve_archive
from tests.quality.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make an archive with the sample generator's arguments, serve it, and open a lake on it."""
    with ExitStack() as running:

        def make(**arguments: Any) -> World:
            root = tmp_path / "archive"
            cl.sample_archive(root, **arguments)
            # A bucket name of its own: the session's sample archive has the usual one.
            served = running.enter_context(
                serve_archive(root, bucket="damaged", lakes=["lakes-of-quality"])
            )
            source = cl.Archive(bucket="damaged", endpoint_url=served.endpoint)
            return World(ArchiveFolder(root), served, cl.Lake(tmp_path / "lake", source=source))

        yield make


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], World]]:
    """Write an archive of these keys and texts alone, serve it, and open a lake on it."""
    with ExitStack() as running:

        def make(texts: dict[str, str]) -> World:
            folder = ArchiveFolder(tmp_path / "written")
            for key, text in texts.items():
                parsed = parse_key(key)
                assert parsed is not None, key
                moment = published_at(parsed.period, parsed.market)
                folder.write_zip(key, text.encode(), moment, parsed.market)
            served = running.enter_context(serve_archive(folder.root, bucket="written"))
            source = cl.Archive(bucket="written", endpoint_url=served.endpoint)
            return World(folder, served, cl.Lake(tmp_path / "lake", source=source))

        yield make
