"""The site in a browser: nothing is loaded from elsewhere, nothing runs over the width, search finds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def served(site) -> Iterator[str]:
    """The site's address on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_load_nothing_from_elsewhere_and_fit_the_width(browser, served, scheme):
    with browser.new_context(
        viewport={"width": 700, "height": 900}, color_scheme=scheme
    ) as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in (
            "index",
            "sql",
            "reference/datasets",
            "reference/lake",
            "notebooks/05_research",
        ):
            page.goto(f"{served}/{name}.html")
            page.wait_for_load_state("networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 700, (name, wide)
        ours = (served, "data:", "blob:")
        assert [url for url in asked if not url.startswith(ours)] == []


def test_search_finds_a_command(browser, served):
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{served}/index.html")
        page.wait_for_load_state("networkidle")
        page.get_by_role("textbox", name="Search").click()
        page.get_by_role("textbox", name="Search").press_sequentially("quarantine")
        page.locator(".md-search-result__link").first.wait_for(timeout=60_000)
