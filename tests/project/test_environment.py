"""The environment of the process stays as it is from test to test: threads of native code read it without a lock."""

from __future__ import annotations

import os


def test_the_running_tests_name_is_not_written_into_the_environment():
    assert "PYTEST_CURRENT_TEST" not in os.environ
