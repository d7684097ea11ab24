"""A clock that is off: S3 refuses what was signed at another time than its own (RequestTimeTooSkewed).

What the two that sign do about it, as tested here: s5cmd 2.3 repeats the request, signed anew by the same
clock; botocore gives up at once, so the lake's client is told to repeat it too. Neither corrects its clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import cryptolake as cl
from cryptolake.storage.errors import clock_off, clock_said
from cryptolake.transfer.faults import PERMANENT, failure_of
from tests.transfer.archives import write_archive
from tests.transfer.proxy import Chooser, Fault
from tests.transfer.s3bench import S3Bench, s3_bench

MODES = ["direct", "relay", "traditional"]
OFF = 25 * 60


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[S3Bench]:
    write_archive(tmp_path / "archive", 4)
    with s3_bench(tmp_path / "archive", same=True) as bench:
        yield bench


def keys_of(bench: S3Bench) -> list[str]:
    return sorted(p.relative_to(bench.folder).as_posix() for p in bench.folder.rglob("*.zip"))


def first_of(key: str) -> Chooser:
    """The first request that puts this file is refused for its time."""
    return lambda method, asked, nth: (
        Fault("skew", OFF) if method == "PUT" and asked.endswith(key) and nth == 1 else None
    )


def always(where: str, ahead: float) -> Chooser:
    """Every signed request below a folder is refused, and S3's time is told to who asks for it."""
    return lambda method, key, nth: (
        Fault("skew", ahead)
        if (method == "PUT" and where in key) or (method, key) == ("HEAD", "")
        else None
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_request_refused_once_for_its_time_is_signed_anew(bench: S3Bench, mode: str):
    bench.source.faults = first_of(keys_of(bench)[1])
    report = bench.transfer(mode=mode)
    assert (report.transferred, report.failed) == (4, 0)
    assert bench.whole(keys_of(bench))
    assert len(bench.source.dates) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("ahead", "said"), [(OFF, "25 minutes behind"), (-OFF, "25 minutes ahead")]
)
def test_a_clock_that_stays_wrong_is_named_in_one_sentence(
    bench: S3Bench, mode: str, ahead: float, said: str
):
    bench.source.faults = always("/bronze/", ahead)
    with pytest.raises(cl.TransferError, match=f"this machine's clock is {said}") as caught:
        bench.transfer(mode=mode)
    assert "Check the endpoint" not in str(caught.value)
    errors = set(caught.value.report.files["error"].drop_nulls())
    assert len(errors) == 1
    assert "request id" not in errors.pop()
    assert bench.objects("bronze/") == {}
    bench.source.faults = None
    assert bench.transfer(mode=mode).ok
    assert bench.whole(keys_of(bench))


@pytest.mark.parametrize("mode", ["direct", "relay"])
def test_who_signs_does_not_correct_its_clock(bench: S3Bench, mode: str):
    bench.source.faults = always("/bronze/", OFF)
    with pytest.raises(cl.TransferError):
        bench.transfer(mode=mode, options={"retries": 1, "engine_retries": 5})
    signed = [datetime.fromisoformat(text) for text in bench.source.dates if text]
    assert signed
    assert all(abs(datetime.now(UTC) - then) < timedelta(minutes=5) for then in signed)
    most = max(n for (method, key), n in bench.source.asked.items() if method == "PUT")
    assert most == 2, "repeated by who signs, and not handed out again by the engine"


def test_a_lake_that_takes_no_signature_at_all_is_a_storage_error_that_names_the_clock(
    bench: S3Bench,
):
    plan = bench.plan()
    bench.source.faults = lambda method, key, nth: Fault("skew", OFF)
    with pytest.raises(cl.StorageError, match="this machine's clock is 25 minutes behind S3's"):
        bench.transfer(plan)


def test_the_fault_is_a_kind_of_its_own_and_not_mended_by_another_attempt():
    said = "RequestTimeTooSkewed: The difference is too large. status code: 403, request id: 7"
    texts = (said, clock_said(60), clock_said(None))
    assert {failure_of(text).fault for text in texts} == {"skewed"}
    assert "skewed" in PERMANENT


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2024 00:00:00 GMT"])
def test_an_answer_that_tells_no_time_tells_no_offset(date: str | None):
    headers = {} if date is None else {"date": date}
    answer = ClientError({"ResponseMetadata": {"HTTPHeaders": headers}}, "PutObject")  # type: ignore[typeddict-item]
    assert clock_off(answer) is None
    assert clock_off(OSError("no answer at all")) is None
