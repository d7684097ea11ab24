"""The picker in a real JupyterLab, from the first click to the frame, by mouse and by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

import cryptolake as cl
from tests.browser.drive import SHOW, barriers, chip, printed, search, set_days, show

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


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
    line = page.locator(".cl-notice").first
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
    expect(page.locator(".cl-notice .cryptolake h4")).to_contain_text("Report", timeout=120_000)
    expect(page.locator(".cl-notice .good")).to_have_text("ok")
    expect(line).to_contain_text("nothing to fetch", timeout=30_000)
    expect(page.get_by_role("button", name="Cancel")).to_have_attribute("aria-disabled", "true")
    assert len(list((lake_root / "silver").rglob("*.parquet"))) == 2

    page.get_by_role("button", name="Preview", exact=True).click()
    profile = page.locator(".cl-picker .cl-profile[data-rows]")
    expect(profile).to_contain_text("1,488 rows of klines", timeout=60_000)
    profile.get_by_role("option", name="ETHUSDT: 744 rows").click()
    expect(profile).to_have_attribute("data-rows", "744", timeout=30_000)
    page.get_by_text("Chart and months held").click()
    expect(page.locator(".cl-notice svg.marks")).to_be_visible(timeout=60_000)
    assert barriers(page, ".cl-picker") == []

    page.get_by_role("button", name="Copy as code").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("() => navigator.clipboard.readText()")
    assert "lake = cl.Lake(" in code
    mended = code.replace(f"cl.Lake({str(lake_root)!r})", "lake")
    answer = printed(page, f"{mended}\nprint(lake.silver(query).collect().height)")
    assert answer == "1488"

    lab.restart(page)
    answer = printed(
        page,
        f"{opening}\nprint(lake.sql('select count(*) from silver.spot_klines').fetchall()[0][0])",
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
    expect(page.locator(".cl-notice").first).to_contain_text("1 file to move", timeout=30_000)
    page.get_by_role("button", name="Plan", exact=True).focus()
    keys.press("Tab")
    keys.press("Enter")
    pull = page.get_by_role("button", name="Pull", exact=True)
    expect(pull).to_have_attribute("aria-disabled", "true")
    expect(pull).to_be_focused()
    expect(page.locator(".cl-notice .cryptolake h4")).to_contain_text("Report", timeout=120_000)
    expect(pull).to_be_focused()
    found = printed(page, "print(picker.query.to_json())")
    assert cl.Query.from_json(found) == (
        cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between("2025-01")
    )


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
def test_screenshots_wide_and_narrow(lab, page, opening, pictures, theme):
    lab.theme(theme)
    try:
        page.set_viewport_size({"width": 1200, "height": 2000})
        show(lab, page, "pictures.ipynb", opening, "")
        for name in ("ETHUSDT", "BTCUSDT"):
            search(page).fill(name)
            search(page).press("Enter")
        search(page).fill("btc")
        set_days(page, "2024-11-01", "2025-01-31")
        expect(page.locator(".cl-notice").first).to_contain_text("files", timeout=30_000)
        page.get_by_role("button", name="Pull", exact=True).click()
        expect(page.locator(".cl-notice .cryptolake h4")).to_contain_text("Report", timeout=120_000)
        picture(page, pictures / f"pulled-{theme[11:].lower()}")
        page.get_by_role("button", name="Preview", exact=True).click()
        expect(page.locator(".cl-profile[data-rows]")).to_be_visible(timeout=60_000)
        page.get_by_text("Chart and months held").click()
        expect(page.locator(".cl-notice svg.marks")).to_be_visible(timeout=60_000)
        picture(page, pictures / f"preview-{theme[11:].lower()}")
    finally:
        lab.theme("JupyterLab Light")


def picture(page: Page, stem: Path) -> None:
    """Take the picker wide and narrow; it may never be wider than its cell."""
    for width in (1200, 520):
        page.set_viewport_size({"width": width, "height": 2000})
        page.wait_for_timeout(300)
        page.locator(".cl-picker").screenshot(path=f"{stem}-{width}.png")
        over = page.evaluate(
            "() => { const el = document.querySelector('.cl-picker');"
            " return el.scrollWidth - el.clientWidth }"
        )
        assert over <= 1
