"""A mistake in a notebook is one sentence; the trace is shown where it is asked for, and for what is no mistake."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

MISTAKE = "import cryptolake as cl\ncl.query().markets('spott')"


@pytest.fixture
def shell():
    return InteractiveShell()


def test_a_mistake_is_one_sentence(shell, capsys):
    shell.run_cell(MISTAKE)
    said = capsys.readouterr().out.strip()
    assert said.startswith("InvalidQuery: unknown market 'spott'; did you mean 'spot'?")
    assert len(said.splitlines()) == 1


def test_the_trace_is_shown_on_request(shell, capsys, monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.run_cell("%xmode Verbose")
    shell.run_cell(MISTAKE)
    assert "Traceback" in capsys.readouterr().out


def test_what_is_no_mistake_has_its_trace(shell, capsys):
    shell.run_cell("import cryptolake as cl\nraise cl.BuildError('one month')")
    assert "Traceback" in capsys.readouterr().out
