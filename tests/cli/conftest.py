"""The program, run in the test's own process or in one of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer.main

from cryptolake.cli import main

WORDS = ["-m", "spot", "-i", "1h", "-s", "BTCUSDT", "--from", "2024-12-30", "--to", "2025-01-03"]
"""A small question that needs files of both partitions: 48 hours of December, 72 of January."""


COMMAND = cache(typer.main.get_command)
"""Makes the program's commands once: Typer reads the signatures of all of them for each command line."""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, monkeypatch, tmp_path, endpoint):
    """Run the program against the sample archive, with a lake of the test's own."""
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", endpoint)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist says one
    monkeypatch.setenv("CRYPTOLAKE_ROOT", str(tmp_path / "lake"))
    monkeypatch.setattr(typer.main, "get_command", COMMAND)

    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def program():
    """The command that starts the installed program, for tests that need a process of its own."""
    return [str(Path(sys.executable).parent / "cryptolake")]


@pytest.fixture(scope="module")
def pulled(endpoint, tmp_path_factory):
    """The root of a lake that the program filled from WORDS; tests only read it."""
    root = tmp_path_factory.mktemp("pulled") / "lake"
    command = [sys.executable, "-m", "cryptolake", "pull", *WORDS, "--root", str(root), "--quiet"]
    done = subprocess.run(
        [*command, "--endpoint-url", endpoint],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return root


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder by ``cryptolake serve-archive`` in a process of its own; yields the endpoint."""
    command = [sys.executable, "-m", "cryptolake", "serve-archive", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = ""
        while "CRYPTOLAKE_ENDPOINT_URL" not in said:
            line = process.stdout.readline()
            assert line, "the server ended at once"
            said += line
        [endpoint] = re.findall(r"CRYPTOLAKE_ENDPOINT_URL=(\S+)", said)
        try:
            yield endpoint
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
