"""Modules that are needed next are loaded while there is something to wait for, once, and not before."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cryptolake.preload import preloading, start_preload

if TYPE_CHECKING:
    import pytest

NAME = "a_module_that_nothing_else_loads"


def waited() -> None:
    for thread in threading.enumerate():
        if thread.name == "preload":
            thread.join(10)


def test_what_is_needed_next_is_loaded_when_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / f"{NAME}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with preloading(NAME):
        waited()
        assert NAME not in sys.modules
        start_preload()
        waited()
        assert NAME in sys.modules
        del sys.modules[NAME]
        start_preload()  # the second batch has nothing left to load
        waited()
        assert NAME not in sys.modules
    start_preload()
    waited()
    assert NAME not in sys.modules
