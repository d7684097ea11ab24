"""The picker in Jupyter Notebook 7 and in Voila: extensions of the Jupyter server, beside JupyterLab."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.drive import SHOW, chip, search, set_days

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


def needs(module: str) -> pytest.MarkDecorator:
    absent = find_spec(module) is None and os.environ.get("CRYPTOLAKE_REQUIRE_BROWSER") != "1"
    return pytest.mark.skipif(absent, reason=f"no {module} here")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose own script may fail: Notebook 7.6 raises one error of its own while it loads."""
    made = browser.new_page(viewport={"width": 1100, "height": 1500})
    yield made
    made.close()


def go(page: Page, url: str) -> None:
    answer = page.goto(url, timeout=120_000)
    assert answer is not None
    assert answer.ok, f"{url}: {answer.status}"


@needs("notebook")
def test_the_picker_in_jupyter_notebook(lab, page, opening):
    lab.write("classic.ipynb", opening, SHOW)
    go(page, f"{lab.url}/notebooks/classic.ipynb")
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2, timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator").first).to_have_attribute(
        "data-status", "idle", timeout=60_000
    )
    run_all(page)
    choose_and_read_the_line(page)


def run_all(page: Page) -> None:
    """Run all cells by the menu, again where the page was not ready for it."""
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(AssertionError):
            expect(page.locator(".jp-InputPrompt").first).not_to_have_text("[ ]:", timeout=10_000)
            return


@needs("voila")
def test_the_picker_in_voila(lab, page, opening):
    lab.write("shown.ipynb", opening, SHOW)
    go(page, f"{lab.url}/voila/render/shown.ipynb")
    choose_and_read_the_line(page)


def choose_and_read_the_line(page: Page) -> None:
    """Choose by mouse; what the line then says came from the kernel."""
    expect(search(page)).to_be_visible(timeout=60_000)
    expect(page.locator(".cl-count")).to_contain_text("of 3,003 symbols", timeout=60_000)
    chip(page, "Market", "futures_um").click()
    chip(page, "Market", "spot").click()
    expect(chip(page, "Market", "spot")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".cl-count")).to_contain_text("of 2 symbols", timeout=30_000)
    chip(page, "Interval", "1d").click()
    expect(chip(page, "Interval", "1d")).to_have_attribute("aria-pressed", "true")
    search(page).fill("btcu")
    page.get_by_role("option", name="BTCUSDT").click()
    line = page.locator(".cl-notice").first
    set_days(page, "2025-01-01", "2025-01-31")
    expect(line).to_contain_text("2 files to move", timeout=30_000)
    chip(page, "Data type", "klines").click()
    expect(line).not_to_contain_text("to move", timeout=30_000)
    chip(page, "Data type", "klines").click()
    chip(page, "Interval", "1h").click()
    expect(line).to_contain_text("1 file to move", timeout=30_000)
