"""A JupyterLab of its own on loopback, and Chromium to look at it: for browser tests and screenshots.

Needs the ``notebook`` and ``dev`` extras, and a Chromium of the system (``CRYPTOLAKE_CHROMIUM`` names one
elsewhere than ``/usr/bin/chromium``). Nothing is downloaded, nothing of the user's is read or written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = os.environ.get("CRYPTOLAKE_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
PACKAGE = Path(__file__).resolve().parents[2]
"""What a kernel needs on its path to import this very package."""


class Lab:
    """A running JupyterLab: where it is, and the folder its notebooks lie in."""

    def __init__(self, url: str, folder: Path, settings: Path) -> None:
        self.url = url
        self.folder = folder
        self._settings = settings

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells; a kernel's name in it keeps JupyterLab from asking."""
        notebook = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{index}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for index, source in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.folder / name).write_text(json.dumps(notebook))
        return name

    def theme(self, name: str) -> None:
        """Set the theme that pages opened from now on have."""
        folder = self._settings / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))

    def open(self, page: Page, name: str) -> None:
        """Open a notebook alone in the page, its kernel started."""
        page.goto(f"{self.url}/doc/tree/{name}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel"
            "?.status === 'idle'",
            timeout=60_000,
        )

    def run_all(self, page: Page) -> None:
        """Run every cell, from the first."""
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")

    def run_cell(self, page: Page, index: int) -> None:
        """Run one cell."""
        page.evaluate(
            """(index) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )

    def restart(self, page: Page) -> None:
        """Restart the kernel, and wait until it answers."""
        page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
        )
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status"
            " === 'idle'"
        )


@contextmanager
def running_lab(folder: Path, *, endpoint: str | None) -> Iterator[Lab]:
    """Run JupyterLab with settings of its own; nothing of the user's is read or written."""
    notebooks, home = folder / "notebooks", folder / "home"
    settings, runtime = home / "settings", home / "runtime"
    for each in (notebooks, settings / "@jupyterlab" / "apputils-extension", runtime):
        each.mkdir(parents=True)
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True})
    )
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(PACKAGE),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    if endpoint:
        environment["CRYPTOLAKE_ENDPOINT_URL"] = endpoint
    log = (home / "lab.log").open("w")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            "--port=0",
            "--allow-root",
            "--expose-app-in-browser",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            f"--ServerApp.root_dir={notebooks}",
        ],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=notebooks,
    )
    try:
        yield Lab(_answering(process, runtime, home / "lab.log"), notebooks, settings)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _answering(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server has said where it is and answers there."""
    for _ in range(600):
        if process.poll() is not None:
            break
        for said in runtime.glob("jpserver-*.json"):
            try:
                url = str(json.loads(said.read_text())["url"]).rstrip("/")
                with urllib.request.urlopen(f"{url}/api/status", timeout=5):
                    return url
            except (OSError, ValueError, KeyError):
                pass
        time.sleep(0.1)
    message = f"JupyterLab did not start:\n{log.read_text()[-3000:]}"
    raise RuntimeError(message)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; yields playwright's Browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
