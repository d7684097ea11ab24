"""How the tests use the picker: find its parts, set its days, ask the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.tools.jupyterlab import Lab

SHOW = "picker = cl.picker(lake)\npicker"


def chip(page: Page, group: str, word: str) -> Locator:
    return page.get_by_role("group", name=group, exact=True).get_by_role(
        "button", name=re.compile(rf"^(✓ )?{word}$")
    )


def search(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search symbols")


def show(lab: Lab, page: Page, name: str, opening: str, *more: str) -> None:
    lab.write(name, opening, SHOW, *more)
    lab.open(page, name)
    lab.run_cell(page, 0)
    lab.run_cell(page, 1)
    expect(search(page)).to_be_visible(timeout=30_000)
    expect(page.locator(".cl-count")).to_contain_text("of 3,003 symbols", timeout=30_000)


def set_days(page: Page, first: str, last: str) -> None:
    page.get_by_label("First day (UTC)").fill(first)
    page.get_by_label("Last day (UTC)").fill(last)


def printed(page: Page, code: str) -> str:
    """Run the notebook's last cell after writing ``code`` in it; return what it printed."""
    page.evaluate(
        """(code) => {
            const notebook = window.jupyterapp.shell.currentWidget.content;
            const last = notebook.widgets.length - 1;
            notebook.widgets[last].model.sharedModel.setSource(code);
            notebook.widgets[last].model.clearExecution();
            notebook.activeCellIndex = last;
            window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        code,
    )
    outputs = page.locator(".jp-Notebook .jp-Cell").last.locator(".jp-OutputArea-output")
    outputs.first.wait_for(timeout=60_000)
    return outputs.all_inner_texts()[-1].strip()


def barriers(page: Page, part: str) -> list[str]:
    """Return what axe finds wrong in a part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=part).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found]
