"""The picker's parts in a real JupyterLab, in one notebook that all tests share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

import cryptolake as cl
from tests.browser.conftest import opening_of
from tests.browser.drive import barriers, chip, printed, search, show

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def shown(lab, shared_page: Page, tmp_path_factory) -> Page:
    """The notebook, with the picker shown and an empty cell below it."""
    show(lab, shared_page, "shared.ipynb", opening_of(tmp_path_factory.mktemp("lake")), "")
    return shared_page


@pytest.fixture
def page(shown: Page) -> Page:
    """The shared page, with the picker as it begins."""
    printed(
        shown, "picker.query = cl.query().markets('spot').klines('1h').between('2024-12')\nprint(1)"
    )
    shown.get_by_label("Quote asset").select_option("")
    search(shown).fill("")
    expect(shown.locator(".cl-count")).to_contain_text("3,003 of 3,003 symbols")
    return shown


def test_a_pattern_and_a_rule_can_be_kept_in_place_of_names(page):
    search(page).fill("eth*")
    expect(page.locator(".cl-count")).to_contain_text("2 of 3,003")
    search(page).press("Enter")
    expect(page.get_by_role("button", name="Remove ETH*")).to_be_visible()
    page.get_by_label("Quote asset").select_option("BTC")
    expect(page.locator(".cl-count")).to_contain_text("1,001 of 3,003")
    page.get_by_role("button", name="Keep as rule").click()
    # the kernel may run a cell before it takes a change of the page: wait until the code shows it
    expect(page.locator(".cl-code")).to_contain_text("universe")
    found = printed(page, "print(picker.query.to_json())")
    assert json.loads(found)["symbols"] == ["ETH*"]
    assert json.loads(found)["universe"] == {"quote": ["BTC"]}
    page.get_by_role("button", name="Remove the rule").click()
    expect(page.locator(".cl-code")).not_to_contain_text("universe")
    assert "universe" not in json.loads(printed(page, "print(picker.query.to_json())"))


def test_select_all_of_many_names_is_a_rule_and_a_pattern(page):
    search(page).fill("COIN")
    page.get_by_label("Quote asset").select_option("BTC")
    page.get_by_role("button", name="Select all 1,000").click()
    expect(page.get_by_role("button", name="Remove *COIN*")).to_be_visible()
    expect(page.get_by_role("button", name="Remove the rule")).to_be_visible()
    expect(page.locator(".cl-notice").first).to_contain_text("Many symbols", timeout=30_000)
    found = json.loads(printed(page, "print(picker.query.to_json())"))
    assert (found["symbols"], found["universe"]) == (["*COIN*"], {"quote": ["BTC"]})
    page.get_by_role("button", name="Clear").click()


def test_the_exact_name_is_the_first_that_is_found(page):
    search(page).fill("ETHBTC")
    expect(page.locator(".cl-option").first).to_contain_text("ETHBTC")


def test_days_that_are_no_range_leave_nothing_to_pull_and_say_why(page):
    search(page).fill("BTCUSDT")
    search(page).press("Enter")
    page.get_by_label("Last day (UTC)").fill("2024-11-01")
    page.get_by_label("Last day (UTC)").press("Enter")
    line = page.locator(".cl-notice").first
    expect(line).to_contain_text("which days (they end before they begin)", timeout=30_000)
    page.get_by_label("Last day (UTC)").blur()  # to leave the field does not swap the days
    assert "first" not in json.loads(printed(page, "print(picker.query.to_json())"))
    expect(page.get_by_label("Last day (UTC)")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Last day (UTC)").fill("2024-12-05")
    page.get_by_label("Last day (UTC)").press("Enter")
    expect(line).to_contain_text("to move", timeout=30_000)
    assert json.loads(printed(page, "print(picker.query.to_json())"))["last"] == "2024-12-05"


def test_the_verdict_on_another_query_is_faint_at_once(page):
    search(page).fill("BTCUSDT")
    search(page).press("Enter")
    line = page.locator(".cl-notice").first
    expect(line).to_contain_text("to move", timeout=30_000)
    printed(
        page,
        "seen = []\npicker._plan_line.observe(lambda c: seen.append(c['new']), 'stale')\nprint(1)",
    )
    chip(page, "Interval", "1d").click()
    expect(page.locator(".cl-code")).to_contain_text("'1d'")
    wait = "import time\n[time.sleep(0.1) for _ in range(100) if len(seen) < 2]"
    assert printed(page, f"{wait}\nprint(seen)") == "[True, False]"


def test_no_state_has_a_barrier_that_axe_knows(page):
    assert barriers(page, ".cl-picker") == []
    search(page).fill("BTCUSDT")
    search(page).press("Enter")
    expect(page.locator(".cl-notice").first).to_contain_text("to move", timeout=30_000)
    assert barriers(page, ".cl-picker") == []
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator(".cl-notice").nth(1)).to_contain_text("files", timeout=30_000)
    assert barriers(page, ".cl-picker") == []
    page.get_by_label("Last day (UTC)").fill("2024-11-01")
    page.get_by_label("Last day (UTC)").press("Enter")
    expect(page.locator(".cl-notice").first).to_contain_text("which days", timeout=30_000)
    assert barriers(page, ".cl-picker") == []


def test_setting_the_query_moves_the_widget(page):
    printed(
        page,
        "picker.query = (cl.query().markets('futures_um').data_types('fundingRate')"
        ".symbols('BTCUSDT').between('2024-12'))\nprint('set')",
    )
    expect(chip(page, "Market", "futures_um")).to_have_attribute("aria-pressed", "true")
    expect(chip(page, "Data type", "fundingRate")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("First day (UTC)")).to_have_value("2024-12-01")
    expect(page.get_by_role("button", name="Remove BTCUSDT")).to_be_visible()


def test_dragging_over_the_coverage_sets_the_days(page):
    search(page).fill("BTCUSDT")
    search(page).press("Enter")
    expect(page.locator(".cl-range svg rect[opacity='0.8']").first).to_be_attached(timeout=30_000)
    box = page.locator(".cl-range svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 6, steps=5)
    page.mouse.up()
    expect(page.locator(".cl-code")).not_to_contain_text(".between('2024-12-01', '2024-12-31')")
    query = cl.Query.from_json(printed(page, "print(picker.query.to_json())"))
    assert query.selection.days is not None
    assert 15 < len(query.selection.days) < 45


def test_every_control_has_a_name_for_a_screen_reader(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('.cl-picker button, .cl-picker input, .cl-picker select,'
            + ' .cl-picker [role=slider], .cl-picker [role=listbox]')].filter((el) =>
            !(el.getAttribute('aria-label') || el.innerText?.trim() || el.labels?.length
              || el.title || el.getAttribute('aria-labelledby'))).map((el) => el.outerHTML)"""
    )
    assert nameless == []


def test_the_notebook_does_not_take_keys_that_are_pressed_in_a_control(page):
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    for control in (
        chip(page, "Market", "spot"),
        page.get_by_role("button", name="Plan", exact=True),
    ):
        control.focus()
        for key in "bdd":  # the notebook's: a cell more, and delete this one
            page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    expect(search(page)).to_be_visible()


def test_a_message_changes_its_live_region_and_does_not_replace_it(page):
    notice = page.locator(".cl-notice").nth(1)
    notice.evaluate("(el) => { window.notice = el }")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(notice).to_contain_text("saved to")
    assert notice.evaluate("(el) => el === window.notice && el.role") == "status"
    page.get_by_role("textbox", name="File", exact=True).fill("absent.json")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(notice).to_contain_text("No such file")
    assert notice.evaluate("(el) => el === window.notice && el.ariaLive") == "assertive"
