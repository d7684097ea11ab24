"""Progress is shown where a person looks, and a step knows its share."""

from __future__ import annotations

import io
import re
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from cryptolake import progress
from cryptolake.progress import Step, TransferProgress, watched

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


def test_a_log_gets_a_line_now_and_then_though_no_step_comes(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    caplog.set_level("INFO", "cryptolake.progress")
    shown = TransferProgress(total_bytes=4_000_000, total_files=2, progress=True)
    assert not shown.is_shown
    shown.arrived(1_000_000)
    shown.settled()
    shown.close()
    assert not caplog.records
    monkeypatch.setattr(progress, "HEARTBEAT", 0.02)
    shown = TransferProgress(total_bytes=4_000_000, total_files=2, progress=True)
    shown.arrived(1_000_000)
    shown.settled()
    time.sleep(0.06)  # more than _PAUSE
    shown.show()
    until = time.monotonic() + 10
    while not any("1 of 2 files" in text for text in caplog.messages):
        assert time.monotonic() < until
        time.sleep(0.01)
    shown.close()
    line = next(text for text in caplog.messages if "1 of 2 files" in text)
    assert re.fullmatch(
        r"transfer: 1 of 2 files, 1\.0 of 4\.0 MB, [\d.]+ MB/s, \d+ s left", line
    ), line
    count = len(caplog.records)
    time.sleep(0.06)
    assert len(caplog.records) == count


def test_quiet_is_quiet(monkeypatch, caplog):
    monkeypatch.setattr(progress, "HEARTBEAT", 0.001)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    caplog.set_level("INFO", "cryptolake")
    shown = TransferProgress(total_bytes=4, total_files=2, progress=False)
    shown.show()
    time.sleep(0.01)
    shown.close()
    assert not caplog.records
