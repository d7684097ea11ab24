"""A server that fails a fifth of all requests and takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl
import pytest

from tests.transfer.archives import write_archive

if TYPE_CHECKING:
    import cryptolake as cl
    from tests.transfer.conftest import Bench


def pulled_through(bench: Bench, files: int) -> None:
    keys = write_archive(bench.folder, files)
    options = {"retries": 5, "workers": 64, "backoff": 1.0, "batch_size": 500}
    report = bench.transfer(options=options)
    told, seen = retries_told(report), repeats_seen(bench, report)
    assert {key: n for key, n in told.items() if n > seen[key]} == {}
    # What the server saw and s5cmd did not tell: an HTTP client may send again by itself, beneath S3, what
    # met a connection that had just been closed.
    resent = bench.proxy.asked.total() - (report.requests or 0)
    assert 0 <= resent <= 5 + files // 60
    assert sum(seen.values()) - sum(told.values()) <= resent
    again = int(report.files["retries"].sum())
    assert again > 0
    assert f"{again:,} requests made again" in report.summary()
    assert sum(n for why, n in report.retries.items() if "SlowDown" in why) > 0
    if not report.ok:
        report = bench.transfer(options=options)
    assert report.ok
    assert bench.whole(keys)
    assert bench.stray() == []


def retries_told(report: cl.Report) -> dict[str, int]:
    once = report.files.filter(pl.col("attempts") == 1)
    return dict(once.select("key", "retries").iter_rows())


def repeats_seen(bench: Bench, report: cl.Report) -> dict[str, int]:
    """What the server was asked more than once, for each file that took one attempt."""
    asked = bench.proxy.asked.items()
    return {
        key: sum(n - 1 for (_, name), n in asked if name in (key, f"{key}.CHECKSUM"))
        for key in retries_told(report)
    }


def test_a_fifth_of_all_requests_failing_costs_retries_not_files(make_bench: Callable[..., Bench]):
    pulled_through(make_bench("--error-rate", "0.2", "--latency-ms", "5", "--fault-seed", "1"), 30)


@pytest.mark.slow
def test_600_files_with_a_fifth_of_all_requests_failing_and_50_ms(make_bench: Callable[..., Bench]):
    pulled_through(
        make_bench("--error-rate", "0.2", "--latency-ms", "50", "--fault-seed", "7"), 600
    )
