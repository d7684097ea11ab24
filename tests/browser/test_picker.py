"""The picker in a real JupyterLab, driven by mouse and keyboard."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

import cryptolake as cl

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SHOW = "picker = cl.picker(lake)\npicker"


def chip(page: Page, group: str, word: str) -> Locator:
    return page.get_by_role("group", name=group, exact=True).get_by_role(
        "button", name=re.compile(rf"^(✓ )?{word}$")
    )


def search(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search symbols")


def show(lab, page: Page, name: str, opening: str, *more: str) -> None:
    lab.write(name, opening, SHOW, *more)
    lab.open(page, name)
    lab.run_cell(page, 0)
    lab.run_cell(page, 1)
    expect(search(page)).to_be_visible(timeout=30_000)
    expect(page.locator(".cl-count")).to_contain_text("of 3,003 symbols", timeout=30_000)


def set_days(page: Page, first: str, last: str) -> None:
    page.get_by_label("First day (UTC)").fill(first)
    page.get_by_label("Last day (UTC)").fill(last)


def said(lab, page: Page, code: str) -> str:
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


def test_choose_pull_preview_and_copy_by_mouse(lab, page, opening, lake_root):
    show(lab, page, "mouse.ipynb", opening, "")
    chip(page, "Market", "futures_um").click()
    chip(page, "Market", "spot").click()
    expect(chip(page, "Interval", "1s")).to_have_attribute("aria-disabled", "true")
    chip(page, "Market", "spot").click()
    chip(page, "Market", "futures_um").click()
    search(page).fill("btcu")
    page.get_by_role("option", name="BTCUSDT").click()
    search(page).fill("ethusdt")
    page.get_by_role("option", name="ETHUSDT").click()
    line = page.locator(".cl-say").first
    set_days(page, "2024-11-01", "2025-01-31")
    expect(line).to_contain_text("6 files to move", timeout=30_000)
    before = line.inner_text()
    set_days(page, "2025-01-01", "2025-01-31")
    expect(line).to_contain_text("2 files to move", timeout=30_000)
    assert line.inner_text() != before
    expect(page.locator(".cl-range svg rect").first).to_be_visible()

    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator(".cryptolake h4").first).to_contain_text("Plan", timeout=30_000)
    page.get_by_role("button", name="Pull", exact=True).click()
    expect(page.locator(".cl-say .cryptolake h4")).to_contain_text("Report", timeout=120_000)
    expect(page.locator(".cl-say .good")).to_have_text("ok")
    expect(line).to_contain_text("nothing to fetch", timeout=30_000)
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    assert len(list((lake_root / "silver").rglob("*.parquet"))) == 2

    page.get_by_role("button", name="Preview", exact=True).click()
    expect(page.locator(".cl-say svg.marks")).to_be_visible(timeout=60_000)
    expect(page.locator(".cl-say")).to_contain_text(["1,488 rows"])

    page.get_by_role("button", name="Copy as code").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("() => navigator.clipboard.readText()")
    assert "lake = cl.Lake(" in code
    mended = code.replace(f"cl.Lake({str(lake_root)!r})", "lake")
    answer = said(lab, page, f"{mended}\nprint(lake.silver(query).collect().height)")
    assert answer == "1488"

    lab.restart(page)
    answer = said(
        lab,
        page,
        f"{opening}\nprint(lake.sql('select count(*) from silver.spot_klines').fetchone()[0])",
    )
    assert answer == "1488"


def test_everything_can_be_done_by_keyboard_alone(lab, page, opening, lake_root):
    show(lab, page, "keys.ipynb", opening, "")
    keys = page.keyboard
    chip(page, "Market", "spot").focus()
    keys.press("ArrowRight")
    keys.press("Space")
    expect(chip(page, "Market", "futures_um")).to_have_attribute("aria-pressed", "true")
    keys.press("ArrowLeft")
    keys.press("Enter")
    expect(chip(page, "Market", "spot")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".cl-count")).to_contain_text("of 2 symbols", timeout=30_000)
    for _ in range(3):  # data types, intervals, search: one Tab stop each
        keys.press("Tab")
    expect(search(page)).to_be_focused()
    keys.type("eth")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Remove ETHUSDT")).to_be_visible()
    keys.press("Backspace")
    keys.press("Backspace")
    keys.press("Backspace")
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Remove ETHUSDT")).to_have_count(0)
    keys.press("ArrowUp")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Remove BTCUSDT")).to_be_visible()

    page.get_by_label("First day (UTC)").focus()
    keys.type("01012025")
    page.get_by_label("Last day (UTC)").focus()
    keys.type("01302025")
    expect(page.get_by_label("Last day, by arrow keys")).to_have_attribute(
        "aria-valuetext", "2025-01-30"
    )
    page.get_by_label("Last day, by arrow keys").focus()
    keys.press("ArrowRight")
    expect(page.get_by_label("Last day, by arrow keys")).to_have_attribute(
        "aria-valuetext", "2025-01-31"
    )
    expect(page.get_by_label("Last day, by arrow keys")).to_be_focused()
    expect(page.locator(".cl-say").first).to_contain_text("1 file to move", timeout=30_000)
    page.get_by_role("button", name="Plan", exact=True).focus()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.locator(".cl-say .cryptolake h4")).to_contain_text("Report", timeout=120_000)
    found = said(lab, page, "print(picker.query.to_json())")
    assert cl.Query.from_json(found) == (
        cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between("2025-01")
    )


def test_a_pattern_and_a_rule_can_be_kept_in_place_of_names(lab, page, opening):
    show(lab, page, "rule.ipynb", opening, "")
    search(page).fill("eth*")
    expect(page.locator(".cl-count")).to_contain_text("2 of 3,003")
    search(page).press("Enter")
    expect(page.get_by_role("button", name="Remove ETH*")).to_be_visible()
    page.get_by_label("Quote asset").select_option("BTC")
    expect(page.locator(".cl-count")).to_contain_text("1,001 of 3,003")
    page.get_by_role("button", name="Use filters as rule").click()
    expect(page.get_by_role("button", name="Remove the rule")).to_be_visible()
    found = said(lab, page, "print(picker.query.to_json())")
    assert json.loads(found)["symbols"] == ["ETH*"]
    assert json.loads(found)["universe"] == {"quote": ["BTC"]}
    page.get_by_role("button", name="Remove the rule").click()
    assert "universe" not in json.loads(said(lab, page, "print(picker.query.to_json())"))


def test_select_all_takes_every_name_that_the_filter_shows(lab, page, opening):
    show(lab, page, "all.ipynb", opening, "")
    search(page).fill("COIN")
    page.get_by_label("Quote asset").select_option("BTC")
    page.get_by_role("button", name="Select all 1,000").click()
    expect(page.locator(".cl-chosen")).to_contain_text("and 940 more")
    assert said(lab, page, "print(len(picker.query.selection.symbols))") == "1000"
    expect(page.locator(".cl-say").first).to_contain_text("Many symbols", timeout=30_000)


def test_setting_the_query_moves_the_widget(lab, page, opening):
    show(lab, page, "setting.ipynb", opening, "")
    said(
        lab,
        page,
        "picker.query = (cl.query().markets('futures_um').data_types('fundingRate')"
        ".symbols('BTCUSDT').between('2024-12'))\nprint('set')",
    )
    expect(chip(page, "Market", "futures_um")).to_have_attribute("aria-pressed", "true")
    expect(chip(page, "Data type", "fundingRate")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("First day (UTC)")).to_have_value("2024-12-01")
    expect(page.get_by_role("button", name="Remove BTCUSDT")).to_be_visible()


def test_dragging_over_the_coverage_sets_the_days(lab, page, opening):
    show(lab, page, "drag.ipynb", opening, "")
    search(page).fill("BTCUSDT")
    search(page).press("Enter")
    expect(page.locator(".cl-range svg rect[opacity='0.8']").first).to_be_attached(timeout=30_000)
    box = page.locator(".cl-range svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 6, steps=5)
    page.mouse.up()
    query = cl.Query.from_json(said(lab, page, "print(picker.query.to_json())"))
    assert query.selection.days is not None
    assert 500 < len(query.selection.days) < 1000


def test_what_goes_wrong_is_said_in_the_widget(lab, page, lake_root):
    lab.write(
        "wrong.ipynb",
        "import cryptolake as cl\n"
        f"lake = cl.Lake({str(lake_root)!r}, source=cl.Archive(endpoint_url='http://127.0.0.1:9'))",
        SHOW,
    )
    lab.open(page, "wrong.ipynb")
    lab.run_all(page)
    expect(page.get_by_role("alert")).to_contain_text("Not done.", timeout=60_000)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [1200, 560])
def test_screenshots(lab, browser, opening, pictures, theme, width):
    lab.theme(theme)
    page = browser.new_page(viewport={"width": width, "height": 2000})
    try:
        show(lab, page, "pictures.ipynb", opening, "")
        search(page).fill("eth")
        page.get_by_role("option", name="ETHUSDT").click()
        search(page).fill("BTCUSDT")
        page.get_by_role("option", name="BTCUSDT").first.click()
        set_days(page, "2024-11-01", "2025-01-31")
        expect(page.locator(".cl-say").first).to_contain_text("files", timeout=30_000)
        page.get_by_role("button", name="Pull", exact=True).click()
        expect(page.locator(".cl-say .cryptolake h4")).to_contain_text("Report", timeout=120_000)
        name = f"{'dark' if 'Dark' in theme else 'light'}-{width}.png"
        page.locator(".cl-picker").screenshot(path=pictures / f"pulled-{name}")
        page.get_by_role("button", name="Preview", exact=True).click()
        expect(page.locator(".cl-say svg.marks")).to_be_visible(timeout=60_000)
        page.locator(".cl-picker").screenshot(path=pictures / f"preview-{name}")
        overflow = page.evaluate(
            "() => { const el = document.querySelector('.cl-picker');"
            " return el.scrollWidth - el.clientWidth }"
        )
        assert overflow <= 1
    finally:
        page.close()
        lab.theme("JupyterLab Light")


def test_every_control_has_a_name_for_a_screen_reader(lab, page, opening):
    show(lab, page, "names.ipynb", opening, "")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('.cl-picker button, .cl-picker input, .cl-picker select,'
            + ' .cl-picker [role=slider], .cl-picker [role=listbox]')].filter((el) =>
            !(el.getAttribute('aria-label') || el.innerText?.trim() || el.labels?.length
              || el.title || el.getAttribute('aria-labelledby'))).map((el) => el.outerHTML)"""
    )
    assert nameless == []
