"""A file that lies in quarantine in a bucket is accepted from there: read, checked and moved inside S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

import cryptolake as cl
from tests.transfer.archives import put, write_archive, zipped
from tests.transfer.s3bench import S3Bench, s3_bench

KEY = "data/spot/daily/klines/A/1m/A-1m-2024-01-01.zip"
DATA = zipped("A-1m-2024-01-01.csv", "1,2,3\n")
STALE = f"{'0' * 64}  {Path(KEY).name}\n".encode()
MODES = ["direct", "relay", "traditional"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[S3Bench]:
    """Two files: a good one, and a stale one that an earlier run has set aside."""
    folder = tmp_path / "archive"
    write_archive(folder, 1)
    put(folder, KEY, DATA, STALE)
    with s3_bench(folder, same=True) as bench:
        assert bench.transfer(mode="relay").quarantined == 1
        bench.source.forget()
        yield bench


def asked_of_the_archive(bench: S3Bench) -> list[str]:
    return [key for (_, key) in bench.source.asked if key.startswith("data/")]


def copied_from_the_archive(bench: S3Bench) -> bool:
    return bench.source.asked["PUT", f"my lake/bronze/{KEY}"] > 1


@pytest.mark.parametrize("mode", MODES)
def test_accept_takes_a_file_from_quarantine_and_asks_the_archive_for_nothing(
    bench: S3Bench, mode: str
):
    report = bench.transfer(bench.plan("quarantined"), mode=mode, checksum_policy="accept")
    assert (report.adopted, report.transferred, report.failed) == (1, 0, 0)
    assert bench.objects("bronze/")[KEY] == DATA
    assert bench.objects("bronze/")[f"{KEY}.CHECKSUM"] == STALE
    assert not [path for path in bench.objects("meta/quarantine/") if path.startswith("data/")]
    row = bench.meta.ledger().filter(key=KEY).row(0, named=True)
    assert (row["verified"], row["mode"]) == ("stale_accepted", mode)
    assert bench.meta.quarantined().is_empty()
    assert asked_of_the_archive(bench) == []
    assert not copied_from_the_archive(bench)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", ["quarantine", "raise"])
def test_without_accept_it_stays_aside(bench: S3Bench, mode: str, policy: str):
    plan = bench.plan("quarantined")
    with pytest.raises(cl.ChecksumMismatch) if policy == "raise" else nullcontext():
        bench.transfer(plan, mode=mode, checksum_policy=policy)
    assert KEY in bench.objects("meta/quarantine/")
    assert KEY not in bench.objects("bronze/")
    assert bench.meta.quarantined()["key"].to_list() == [KEY]
    assert asked_of_the_archive(bench) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_is_gone_from_quarantine_is_fetched(bench: S3Bench, mode: str):
    bench.storage.delete(f"meta/quarantine/{KEY}")
    report = bench.transfer(
        bench.plan("quarantined"),
        mode=mode,
        checksum_policy="accept",
        options={"verify": "full"},
    )
    assert (report.adopted, report.transferred, report.failed) == (0, 1, 0)
    assert bench.objects("bronze/")[KEY] == DATA


@pytest.mark.parametrize("mode", ["relay", "traditional"])
def test_bytes_in_quarantine_that_are_not_the_listed_ones_are_fetched_anew(
    bench: S3Bench, mode: str
):
    bench.storage.write(f"meta/quarantine/{KEY}", DATA[:-9] + b"otherwise")
    report = bench.transfer(bench.plan("quarantined"), mode=mode, checksum_policy="accept")
    assert report.transferred == 1
    assert bench.objects("bronze/")[KEY] == DATA


def test_accept_never_takes_a_corrupt_zip_back(tmp_path: Path):
    folder = tmp_path / "archive"
    put(folder, KEY, DATA[:-30], None)
    with s3_bench(folder, same=True) as bench:
        assert bench.transfer(mode="direct", options={"verify": "full"}).quarantined == 1
        assert bench.objects("bronze/") == {}
        again = bench.transfer(bench.plan("quarantined"), mode="direct", checksum_policy="accept")
        assert (again.quarantined, again.adopted) == (1, 0)
        assert bench.objects("bronze/") == {}
