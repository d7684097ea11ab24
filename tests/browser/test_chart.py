"""The chart in a notebook: it asks for finer bars as one zooms in, by keys too, and follows the theme."""

from __future__ import annotations

from playwright.sync_api import expect

CHART = """
import cryptolake.plot.candle_chart
query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT", "ETHUSDT").between("2024-11", "2025-01")
lake.pull(query, progress=False)
cryptolake.plot.candle_chart.MOST = 500  # so that three months are more than a view has
lake.plot.candles(query)
"""
SIX_HOURS = 92 * 4


def test_a_chart_can_be_zoomed_moved_and_read(lab, page, opening):
    lab.write("chart.ipynb", opening, CHART)
    lab.open(page, "chart.ipynb")
    lab.run_cell(page, 0)
    lab.run_cell(page, 1)
    chart = page.locator(".cl-chart[data-bars]")
    expect(chart).to_have_attribute("data-bars", str(SIX_HOURS), timeout=60_000)
    expect(chart).to_have_attribute("data-shown", "1h, shown as 6h")
    legend = page.locator(".cl-chart-legend")
    expect(legend).to_contain_text("2025-01-31 18:00 UTC  open")
    plot = page.locator(".cl-chart-plot")
    plot.focus()
    for _ in range(8):
        page.keyboard.press("+")
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
    assert page.locator(".jp-Cell").count() == 2  # no key was taken for a shortcut
