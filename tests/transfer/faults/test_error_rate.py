"""A server that fails a fifth of all requests and takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.transfer.archives import write_archive

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench


def pulled_through(bench: Bench, files: int) -> None:
    keys = write_archive(bench.folder, files)
    report = bench.transfer(options={"retries": 5, "workers": 64, "backoff": 1.0})
    if not report.ok:
        bench.transfer(options={"retries": 5, "workers": 64, "backoff": 1.0})
    assert bench.whole(keys)
    assert bench.stray() == []
    # Each answer of 503 is a request repeated, by s5cmd or by the engine, and the report names it.
    assert sum(report.retries.values()) + report.retried > 0
    assert "requests repeated" in report.summary()


def test_a_fifth_of_all_requests_failing_costs_retries_not_files(make_bench: Callable[..., Bench]):
    pulled_through(make_bench("--error-rate", "0.2", "--latency-ms", "5", "--fault-seed", "1"), 30)


@pytest.mark.slow
def test_600_files_with_a_fifth_of_all_requests_failing_and_50_ms(make_bench: Callable[..., Bench]):
    pulled_through(
        make_bench("--error-rate", "0.2", "--latency-ms", "50", "--fault-seed", "7"), 600
    )
