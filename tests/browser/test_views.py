"""A chart and a profile in a notebook: they ask the kernel for what they show, by keys too, and follow the theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import opening_of
from tests.browser.drive import barriers

if TYPE_CHECKING:
    from playwright.sync_api import Page

PULL = """
import cryptolake.plot.candle_chart
query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT", "ETHUSDT").between("2024-11", "2025-01")
lake.pull(query, progress=False)
"""
CHART = """
cryptolake.plot.candle_chart.MOST = 500  # so that three months are more than a view has
lake.plot.candles(query)
"""
SIX_HOURS = 92 * 4


@pytest.fixture(scope="module")
def opened(lab, shared_page: Page, tmp_path_factory) -> Page:
    """A notebook whose lake has three months; the cells after the first are the tests'."""
    opening = opening_of(tmp_path_factory.mktemp("views") / "lake")
    lab.write("views.ipynb", opening + PULL, CHART, "lake.profile(query)")
    lab.open(shared_page, "views.ipynb")
    lab.run_cell(shared_page, 0)
    return shared_page


def test_a_chart_can_be_zoomed_moved_and_read(lab, opened):
    page = opened
    lab.run_cell(page, 1)
    chart = page.locator(".cl-chart[data-bars]")
    expect(chart).to_have_attribute("data-bars", str(SIX_HOURS), timeout=60_000)
    expect(chart).to_have_attribute("data-shown", "1h, shown as 6h")
    legend = page.locator(".cl-chart-legend")
    expect(legend).to_contain_text("2025-01-31 18:00 UTC  open")
    plot = page.locator(".cl-chart-plot")
    for _ in range(8):
        plot.press("+")  # to the plot itself: on a busy machine the page takes the focus back
    expect(chart).to_have_attribute("data-shown", "1h", timeout=30_000)
    assert int(chart.get_attribute("data-bars") or 0) < 500
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    expect(legend).not_to_contain_text("2025-01-31 18:00")
    expect(legend).to_contain_text("volume")
    page.keyboard.press("0")
    expect(chart).to_have_attribute("data-bars", str(SIX_HOURS), timeout=30_000)
    page.mouse.move(2, 2)  # away from the chart: the legend is of the last bar again
    page.get_by_label("Symbol", exact=True).select_option(index=1)
    expect(legend).to_contain_text("2025-01-31 18:00 UTC  open", timeout=30_000)
    assert page.locator(".jp-Cell").count() == 3  # no key was taken for a shortcut


def test_a_profile_is_sorted_and_narrowed_by_keys_and_by_mouse(lab, opened):
    page, keys = opened, opened.keyboard
    lab.run_cell(page, 2)
    profile = page.locator(".cl-profile[data-rows]")
    expect(profile).to_have_attribute("data-rows", "4416", timeout=60_000)
    expect(profile).to_contain_text("market spot, interval 1h")
    assert barriers(page, ".cl-profile") == []

    profile.get_by_role("button", name="symbol", exact=True).focus()
    keys.press("Tab")
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(profile).to_have_attribute("data-rows", "2208", timeout=30_000)
    expect(profile.get_by_role("option", name="ETHUSDT: 2,208 rows")).to_have_attribute(
        "aria-selected", "true"
    )
    keys.press("Tab")
    keys.press("Enter")  # the next column's name
    times = profile.locator("tbody td:nth-child(2)")
    expect(times.first).to_have_text("2024-11-01 00:00:00", timeout=30_000)
    keys.press("Enter")
    expect(times.first).to_have_text("2025-01-31 23:00:00", timeout=30_000)
    expect(profile.get_by_role("columnheader").nth(1)).to_have_attribute("aria-sort", "descending")
    keys.press("Tab")
    for key in ("End", "Shift+ArrowLeft", "Enter"):  # the last two bars
        keys.press(key)
    expect(profile).not_to_have_attribute("data-rows", "2208", timeout=30_000)
    assert int(profile.get_attribute("data-rows") or 0) < 600
    assert barriers(page, ".cl-profile") == []
    keys.press("Escape")
    expect(profile).to_have_attribute("data-rows", "2208", timeout=30_000)

    profile.get_by_label("Column to filter").select_option("open_time")
    profile.get_by_label("From, this value included").fill("2025-01-31")
    keys.press("Enter")
    expect(profile).to_have_attribute("data-rows", "24", timeout=30_000)
    profile.get_by_role("button", name="Remove the filter symbol is ETHUSDT").click()
    expect(profile).to_have_attribute("data-rows", "48", timeout=30_000)
    profile.get_by_label("From, this value included").fill("noon")
    keys.press("Enter")
    expect(profile.get_by_role("status")).to_contain_text("not a UTC time", timeout=30_000)
    profile.get_by_role("button", name="Remove the filter open_time").click()
    expect(profile).to_have_attribute("data-rows", "4416", timeout=30_000)
    profile.get_by_role("button", name="Next").click()
    expect(profile).to_contain_text("rows 51 to 100 of 4,416", timeout=30_000)
    box = profile.get_by_role("listbox", name="close: rows").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()
    expect(profile).to_have_attribute("data-rows", "2208", timeout=30_000)  # ETHUSDT's prices
    assert page.locator(".jp-Cell").count() == 3
