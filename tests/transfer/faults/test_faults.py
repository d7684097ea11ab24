"""One test per fault of the wire or the server. Each id is the fault.

For every one: nothing corrupt becomes visible, the good files are done, the failures are named, and a plain
rerun, when the fault is over, completes.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

import cryptolake as cl
from cryptolake.transfer.engine import transfer
from tests.transfer.archives import write_archive
from tests.transfer.proxy import Chooser, Fault

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench

AWAY = float(os.environ.get("CRYPTOLAKE_AWAY", "20"))
"""Seconds that an endpoint is away for long: 60 in a thorough run, fewer where all tests run."""

FILES = 12
BAD = 5
"""The file that the fault hits."""


def once(kind: str, amount: float = 0) -> Chooser:
    """The fault hits the first GET of the bad zip only."""
    return lambda method, key, nth: (
        Fault(kind, amount)
        if key.endswith(f"-{BAD + 1:02}.zip") and method == "GET" and nth == 1
        else None
    )


def always(kind: str, amount: float = 0) -> Chooser:
    """The fault hits every request for the bad zip."""
    return lambda method, key, nth: (
        Fault(kind, amount) if key.endswith(f"-{BAD + 1:02}.zip") else None
    )


FAULTS = {
    "connection cut mid-body": ("cut", 0.5),
    "wrong Content-Length, body shorter than listed": ("short", 7),
    "one flipped byte": ("flip", 0),
    "web page with status 200": ("page", 0),
    "503 SlowDown": ("status", 503),
    "500 InternalError": ("status", 500),
    "403 AccessDenied": ("status", 403),
    "404 NoSuchKey": ("status", 404),
    "redirect to another region": ("status", 301),
}

PASSING = {name: FAULTS[name] for name in FAULTS if name[:3] not in {"403", "404", "red"}}
"""Faults that another attempt mends."""


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_mended_within_the_run(bench: Bench, fault: str):
    keys = write_archive(bench.folder, FILES)
    bench.proxy.faults = once(*PASSING[fault])
    report = bench.transfer()
    assert (report.transferred, report.failed) == (FILES, 0)
    assert bench.whole(keys)
    assert bench.stray() == []
    assert all(bench.proxy.gets(key) == 1 for i, key in enumerate(keys) if i != BAD)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_fails_its_file_only_and_a_rerun_completes(bench: Bench, fault: str):
    keys = write_archive(bench.folder, FILES)
    bench.proxy.faults = always(*FAULTS[fault])
    report = bench.transfer()
    assert (report.transferred, report.failed, report.ok) == (FILES - 1, 1, False)
    failed = report.files.filter(report.files["status"] == "failed").row(0, named=True)
    assert failed["key"] == keys[BAD]
    assert failed["error"]
    assert not bench.bronze(keys[BAD]).exists()
    assert bench.whole([key for key in keys if key != keys[BAD]])
    bench.proxy.faults = None
    bench.proxy.forget()
    again = bench.transfer()
    assert (again.transferred, again.skipped, again.ok) == (1, FILES - 1, True)
    assert bench.whole(keys)
    assert bench.stray() == []
    assert {key for (_, key) in bench.proxy.asked} <= {keys[BAD], keys[BAD] + ".CHECKSUM"}


def test_a_sidecar_that_arrives_wrong_is_fetched_again_alone(bench: Bench):
    keys = write_archive(bench.folder, 3)
    bench.proxy.faults = lambda method, key, nth: (
        Fault("flip") if key == keys[0] + ".CHECKSUM" and method == "GET" and nth == 1 else None
    )
    assert bench.transfer().transferred == 3
    assert bench.whole(keys)
    assert bench.proxy.gets(keys[0]) == 1


def test_a_transfer_that_stalls_is_ended_and_handed_out_again(bench: Bench):
    keys = write_archive(bench.folder, 3)
    bench.proxy.faults = once("hang", 30)
    bench.proxy.faults = lambda method, key, nth: (
        Fault("hang", 30) if key == keys[0] and method == "GET" and nth == 1 else None
    )
    report = bench.transfer(options={"stall_timeout": 2.0})
    assert (report.transferred, report.retried) == (3, 1)
    assert bench.whole(keys)


def test_a_slow_drip_is_waited_for(bench: Bench):
    keys = write_archive(bench.folder, 2)
    bench.proxy.faults = lambda method, key, nth: Fault("drip", 0.05) if key == keys[0] else None
    assert bench.transfer(options={"stall_timeout": 5.0}).transferred == 2
    assert bench.whole(keys)


def test_an_endpoint_that_refuses_everything_is_a_transfer_error(bench: Bench):
    write_archive(bench.folder, 3)
    plan = bench.plan()
    bench.archive = cl.Archive(bucket=bench.archive.bucket, endpoint_url="http://127.0.0.1:1")
    plan.archive = bench.archive
    with pytest.raises(
        cl.TransferError, match=r"nothing could be fetched from http://127.0.0.1:1"
    ) as caught:
        bench.transfer(plan)
    assert caught.value.report.failed == 3
    assert bench.stray() == []


@pytest.mark.parametrize("fault", [("page", 0), ("status", 403)], ids=["web page", "403"])
def test_an_endpoint_that_answers_nothing_else_is_a_transfer_error(
    bench: Bench, fault: tuple[str, float]
):
    write_archive(bench.folder, 3)
    bench.proxy.faults = lambda method, key, nth: Fault(*fault)
    with pytest.raises(cl.TransferError, match="nothing could be fetched"):
        bench.transfer()
    assert bench.stray() == []


def test_an_endpoint_that_is_down_is_not_asked_for_every_file(bench: Bench):
    write_archive(bench.folder, 40)
    bench.proxy.faults = lambda method, key, nth: Fault("status", 403)
    with pytest.raises(cl.TransferError) as caught:
        bench.transfer(options={"batch_size": 5, "engine_retries": 0})
    assert caught.value.failed == 40
    assert len({key for _, key in bench.proxy.asked if key.endswith(".zip")}) == 5


def test_an_endpoint_that_comes_back_is_waited_for(bench: Bench):
    keys = write_archive(bench.folder, 5)
    bench.proxy.down = True
    threading.Timer(3.0, lambda: setattr(bench.proxy, "down", False)).start()
    report = bench.transfer(options={"retries": 0, "engine_retries": 6, "backoff": 0.5})
    assert report.transferred == 5
    assert bench.whole(keys)


@pytest.mark.slow
def test_an_endpoint_that_comes_back_after_long_is_waited_for_by_a_preset(bench: Bench):
    keys = write_archive(bench.folder, FILES)
    bench.proxy.down = True
    back = threading.Timer(AWAY, lambda: setattr(bench.proxy, "down", False))
    back.start()
    plan = bench.plan()
    report = transfer(
        plan,  # type: ignore[arg-type]
        bench.lake,
        progress=False,
        options="network_resilient",
    )
    assert not back.is_alive()
    assert (report.transferred, report.failed) == (FILES, 0)
    assert bench.whole(keys)
    assert bench.stray() == []


def test_an_endpoint_that_goes_away_in_the_middle_leaves_what_was_done(bench: Bench):
    keys = write_archive(bench.folder, 20)
    gone = time.monotonic() + 3600

    def choose(method: str, key: str, nth: int) -> Fault | None:
        bench.proxy.down = sum(bench.proxy.sent.values()) >= 12 or time.monotonic() > gone
        return None

    bench.proxy.faults = choose
    report = bench.transfer(options={"batch_size": 4, "retries": 0, "engine_retries": 0})
    assert 0 < report.transferred < 20
    assert report.transferred + report.failed == 20
    bench.proxy.faults, bench.proxy.down = None, False
    assert bench.transfer().ok
    assert bench.whole(keys)
