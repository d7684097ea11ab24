"""A JupyterLab on loopback with settings of its own, and Chromium: for browser tests and screenshots.

Needs the ``notebook`` and ``test`` extras and a system Chromium (``CRYPTOLAKE_CHROMIUM`` names one elsewhere
than ``/usr/bin/chromium``). Nothing is downloaded; the user's Jupyter settings are neither read nor written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
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
ROOT = Path(__file__).resolve().parents[2]
"""The repository: on a kernel's path, so that it imports this package."""


class Lab:
    """A running JupyterLab: its URL, and the folder of its notebooks."""

    def __init__(self, url: str, folder: Path, settings: Path) -> None:
        self.url = url
        self.folder = folder
        self._settings = settings

    def write(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells. It names its kernel, so JupyterLab does not ask for one."""
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
        """Set the theme of pages opened from now on."""
        folder = self._settings / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "themes.jupyterlab-settings").write_text(json.dumps({"theme": name}))

    def open(self, page: Page, name: str) -> None:
        """Open a notebook alone in the page, and wait until its kernel is idle."""
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
    """Run JupyterLab, with all its settings in a folder.

    Parameters
    ----------
    folder
        Where notebooks, settings and the log are written.
    endpoint
        The archive's endpoint for the kernels; the environment's when None.
    """
    notebooks, home = folder / "notebooks", folder / "home"
    notebooks.mkdir(parents=True)
    quiet = home / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True})
    )
    # Not below the test's folder: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="lab-") as short, (home / "lab.log").open("w") as log:
        runtime = Path(short)
        process = subprocess.Popen(
            _command(notebooks),
            env=_environment(home, runtime, endpoint),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=notebooks,
        )
        try:
            yield Lab(_wait_for_url(process, home, runtime), notebooks, home / "settings")
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(notebooks: Path) -> list[str]:
    return [
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
        # Sockets in a folder: of free ports, two servers that start kernels at once may choose the same.
        "--KernelManager.transport=ipc",
    ]


def _environment(home: Path, runtime: Path, endpoint: str | None) -> dict[str, str]:
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/tools/light")]),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    if endpoint:
        environment["CRYPTOLAKE_ENDPOINT_URL"] = endpoint
    return environment


def _wait_for_url(process: subprocess.Popen[bytes], home: Path, runtime: Path) -> str:
    """Wait until the server has written its URL and answers there."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        for written in runtime.glob("jpserver-*.json"):
            with suppress(OSError, ValueError, KeyError):
                url = str(json.loads(written.read_text())["url"]).rstrip("/")
                urllib.request.urlopen(f"{url}/api/status", timeout=5).close()
                return url
        time.sleep(0.1)
    message = f"JupyterLab did not start:\n{(home / 'lab.log').read_text()[-3000:]}"
    raise RuntimeError(message)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run Chromium; yields playwright's ``Browser``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
