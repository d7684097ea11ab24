"""What a command writes to standard error: a line a step with ``-v``, a heartbeat where no terminal watches."""

import logging

import pytest

from cryptolake import progress
from cryptolake.telemetry import LOG
from tests.cli.conftest import WORDS

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO "


@pytest.fixture(autouse=True)
def beating(monkeypatch):
    monkeypatch.setattr(progress, "HEARTBEAT", 0.002)


def test_a_pull_into_a_log_says_how_far_it_is(run):
    import re

    done = run("pull", *WORDS, "--json")
    assert done.code == 0
    assert re.search(LINE + r"transfer: \d+ of 5 files, ", done.err)
    assert "planned" not in done.err
    assert not Beats.left()


def test_a_line_a_step_is_asked_for(run):
    done = run("pull", *WORDS, "-v", "--quiet")
    steps = [line.split(" ", 2)[2].partition(":")[0] for line in done.err.splitlines()]
    assert steps == ["planned", "transferred batch", "transferred", "built"]
    assert not Beats.left()


def test_quiet_writes_nothing(run):
    assert run("pull", *WORDS, "--quiet").err == ""


class Beats:
    """The handlers and levels that a command may leave behind: none."""

    @staticmethod
    def left():
        logs = LOG, progress.Heartbeat.log
        kinds = [type(handler) for log in logs for handler in log.handlers]
        return [kind for kind in kinds if kind is not logging.NullHandler] + [
            log.level for log in logs if log.level
        ]
