"""What the examples in docstrings need: a plugin, as they lie outside this folder.

``cl.sample_lake()`` opens an empty lake as it is printed. Its archive is written once a run and served once a
process: that alone would take most of an example's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cryptolake.sample.presets import parts_of, write_parts
from cryptolake.sample.server import Served, serve_archive
from tests.conftest import made_once


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, Any, Any]:
    """Look for doctests where there are some: to load and look through all modules takes seconds a process.

    Those of Prefect's flow are run beside its other tests: Prefect takes more to load than all of cryptolake.
    """
    found = yield
    below = Path(__file__).parent
    test = file_path.is_relative_to(below) and not file_path.is_relative_to(below / "tools")
    if not test and file_path.name != "prefect_flow.py" and ">>>" in file_path.read_text("utf-8"):
        return found
    return [one for one in found if type(one).__name__ != "DoctestModule"]


@pytest.fixture(scope="session")
def default_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the preset ``default``; made once. Read only: tests share it."""
    return made_once(
        tmp_path_factory, "default-archive", lambda root: write_parts(root, parts_of("default"))
    )


@pytest.fixture(scope="session")
def default_served(default_archive: Path) -> Iterator[Served]:
    """The default sample archive on loopback, and beside it the bucket that the guide names, once it is made."""
    with serve_archive(default_archive, lakes=["my-bucket"]) as served:
        yield served


@pytest.fixture(autouse=True)
def sample_lakes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``cl.sample_lake()`` of an example open its lake beside the archive that is there."""
    node = request.node
    if not isinstance(node, pytest.DoctestItem):
        return
    if any("sample_lake()" in example.source for example in node.dtest.examples):
        served_already(request.getfixturevalue("default_served"), monkeypatch)


@pytest.fixture(autouse=True)
def no_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take away the event loop that a browser of other tests runs in this thread: an example runs one of its own."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)


def served_already(served: Served, patch: pytest.MonkeyPatch) -> None:
    """Let a sample lake be opened beside an archive that is served, in the place of one of its own."""
    patch.setattr("cryptolake.demo.write_parts", lambda *_: None)
    patch.setattr("cryptolake.demo.serve_archive", lambda *_, **__: nullcontext(served))
