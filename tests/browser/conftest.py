"""A sample archive served on loopback, a JupyterLab that reads from it, and Chromium."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cryptolake as cl
from tests.tools.jupyterlab import CHROMIUM, Lab, chromium, running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

BUCKET = "browser.archive"
"""Not the real bucket's name: other tests serve that one in the same process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives a browser, and skip it where there is none (unless CI asks for it)."""
    required = os.environ.get("CRYPTOLAKE_REQUIRE_BROWSER") == "1"
    lacking = _lacking()
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if lacking and not required:
                item.add_marker(pytest.mark.skip(reason=f"no {lacking} here"))


def _lacking() -> str | None:
    for name in ("jupyterlab", "playwright"):
        if (
            find_spec(name) is None
        ):  # not imported: JupyterLab takes a second of each process of tests
            return name
    return None if shutil.which(CHROMIUM) else CHROMIUM


@pytest.fixture(scope="session")
def browser_endpoint(tmp_path_factory) -> Iterator[str]:
    """An archive with three months of hourly and daily bars, and 3,000 more listed names."""
    folder = tmp_path_factory.mktemp("archive")
    cl.sample_archive(
        folder,
        datasets=["spot_klines", "futures_um_klines"],
        symbols=["BTCUSDT", "ETHUSDT", "ETHBTC"],
        intervals=["1h", "1d"],
        days=("2024-11-01", "2025-01-31"),
    )
    for number in range(3000):
        name = f"COIN{number:04d}{'USDT' if number % 3 else 'BTC'}"
        listed = folder / f"data/spot/monthly/klines/{name}/1h/{name}-1h-2024-12.zip"
        listed.parent.mkdir(parents=True)
        listed.touch()
    with cl.serve_archive(folder, bucket=BUCKET) as served:
        yield served.endpoint


@pytest.fixture(scope="session")
def lab(tmp_path_factory, browser_endpoint) -> Iterator[Lab]:
    """A running JupyterLab whose kernels find the archive in their environment."""
    with running_lab(tmp_path_factory.mktemp("lab"), endpoint=browser_endpoint) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    with chromium() as running:
        yield running


@contextmanager
def sound_page(browser: Browser) -> Iterator[Page]:
    """Open a fresh page that may use the clipboard; raises when the page's script failed."""
    context = browser.new_context(viewport={"width": 1100, "height": 1500})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    try:
        yield made
    finally:
        context.close()
    assert wrong == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of the test's own."""
    with sound_page(browser) as made:
        yield made


@pytest.fixture(scope="module")
def shared_page(browser: Browser) -> Iterator[Page]:
    """A page for all tests of a module: opening a notebook takes JupyterLab some seconds."""
    with sound_page(browser) as made:
        yield made


@pytest.fixture
def lake_root(tmp_path) -> Path:
    """Where the notebook's lake lies, so that a test can look into it."""
    return Path(tmp_path) / "lake"


def opening_of(root: Path) -> str:
    """Return the first cell of a notebook: a lake that reads from the served archive."""
    return (
        "import cryptolake as cl\n"
        f"lake = cl.Lake({str(root)!r}, source=cl.Archive(bucket={BUCKET!r}))"
    )


@pytest.fixture
def opening(lake_root) -> str:
    """The first cell of the test's notebook."""
    return opening_of(lake_root)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Where screenshots go: ``CRYPTOLAKE_ARTIFACTS``, else a temporary folder."""
    named = os.environ.get("CRYPTOLAKE_ARTIFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
