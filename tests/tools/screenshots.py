"""The README's pictures: ``python -m tests.tools.screenshots notebooks/pictures``.

JupyterLab runs the picker on a sample archive that is served on loopback, and Chromium takes its picture in
light and dark, and those of a chart and a profile below it. Needs the ``notebook``, ``demo`` and ``test`` extras, and a Chromium.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.jupyterlab import chromium, running_lab

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.tools.jupyterlab import Lab

SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT", "BNBUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT")
DAYS = ("2024-11-01", "2025-01-31")

PICKER = """\
picker = cl.picker(lake)
picker.query = (
    cl.query().markets("spot").klines("1h")
    .symbols("BTCUSDT", "ETHUSDT").between("2024-11-15", "2025-01-31")
)
picker
"""
CHART = "lake.plot.candles(picker.query)"
PROFILE = "lake.profile(picker.query)"


def take(folder: Path) -> list[Path]:
    """Write the pictures: the picker, a chart and a profile, in light and dark. Returns their paths.

    Raises
    ------
    RuntimeError
        JupyterLab does not start.
    """
    import cryptolake as cl

    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cryptolake-pictures-"))
        )
        cl.sample_archive(
            scratch / "archive",
            datasets=["spot_klines"],
            symbols=SYMBOLS,
            intervals=["1h"],
            days=DAYS,
        )
        served = stack.enter_context(cl.serve_archive(scratch / "archive"))
        lab = stack.enter_context(running_lab(scratch / "lab", endpoint=served.endpoint))
        browser = stack.enter_context(chromium())
        home = (
            f"import os\nos.environ['HOME'] = {str(scratch)!r}  # pictures show no temporary folder"
        )
        opening = f"{home}\nimport cryptolake as cl\nlake = cl.Lake('~/lake')"
        lab.write("pictures.ipynb", opening, PICKER, CHART, PROFILE)
        taken = []
        for theme in ("light", "dark"):
            lab.theme(f"JupyterLab {theme.title()}")
            page = browser.new_page(viewport={"width": 1000, "height": 1800})
            taken.append(_picker(lab, page, folder / f"picker-{theme}.png"))
            taken.append(_chart(lab, page, folder / f"chart-{theme}.png"))
            taken.append(_profile(lab, page, folder / f"profile-{theme}.png"))
            page.close()
    return taken


def _picker(lab: Lab, page: Page, path: Path) -> Path:
    """Show the picker, press Pull and Preview, and take its picture."""
    lab.open(page, "pictures.ipynb")
    lab.run_cell(page, 0)
    lab.run_cell(page, 1)
    page.locator(".cl-count").filter(has_text="symbols").wait_for()
    page.get_by_role("button", name="Pull", exact=True).click()
    page.locator(".cl-notice h4", has_text="Report").wait_for(timeout=120_000)
    page.get_by_role("button", name="Preview", exact=True).click()
    page.locator(".cl-profile[data-rows]").wait_for(timeout=60_000)
    page.get_by_text("Chart and months held").wait_for(timeout=60_000)
    page.mouse.move(2, 2)
    page.locator(".cl-picker").screenshot(path=path)
    return path


def _chart(lab: Lab, page: Page, path: Path) -> Path:
    """Show the chart, look closer, and take its picture with the crosshair on a bar."""
    lab.run_cell(page, 2)
    chart = page.locator(".cl-chart[data-bars]")
    chart.wait_for(timeout=60_000)
    plot = page.locator(".cl-chart-plot")
    plot.focus()
    for key in ("+", "+", "+", "+", "+", "+"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    page.wait_for_timeout(800)
    page.evaluate("document.activeElement.blur()")
    box = plot.bounding_box()
    if box:
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_timeout(300)
    chart.screenshot(path=path)
    return path


def _profile(lab: Lab, page: Page, path: Path) -> Path:
    """Show the profile, keep one symbol, sort by its volume, and take its picture."""
    lab.run_cell(page, 3)
    profile = page.locator(".cl-profile[data-rows]").nth(1)  # the first is the picker's
    profile.wait_for(timeout=60_000)
    every = profile.get_attribute("data-rows")
    profile.get_by_role("option", name="ETHUSDT").click()
    page.locator(f".cl-profile[data-rows]:not([data-rows='{every}'])").wait_for(timeout=60_000)
    for sort in ("ascending", "descending"):
        profile.get_by_role("button", name="volume", exact=True).click()
        profile.locator(f"th[aria-sort='{sort}']").wait_for(timeout=60_000)
    page.evaluate("document.activeElement.blur()")
    profile.get_by_role("region", name="Rows").evaluate("(box) => { box.scrollLeft = 0 }")
    page.mouse.move(2, 2)
    page.wait_for_timeout(300)
    profile.screenshot(path=path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("notebooks/pictures"))
    for made in take(parser.parse_args().folder):
        print(made)
