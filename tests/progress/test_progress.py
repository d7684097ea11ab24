"""Progress is shown where a person looks, and a step knows its share."""

from __future__ import annotations

import io
import sys

from hypothesis import given
from hypothesis import strategies as st

from cryptolake.progress import Step, watched

counts = st.integers(min_value=0, max_value=10**15)


@given(counts, counts)
def test_a_share_is_between_nothing_and_all(done, total):
    assert 0 <= Step(done, total, 0, 0, "files").share <= 1


def test_nobody_watches_a_log(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not watched()


def test_nobody_watches_where_there_is_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not watched()


def test_a_terminal_is_watched(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert watched()
