"""Objects above what one CopyObject can copy go in parts; here 'above' is 6 MiB, as moto takes parts of 5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cryptolake.maintenance.audit import audit
from cryptolake.planning.status import status_of
from cryptolake.transfer import s3_store
from tests.transfer.archives import put, write_archive, zipped
from tests.transfer.proxy import Fault
from tests.transfer.s3bench import LAKE, S3Bench, s3_bench

KEY = "data/spot/monthly/trades/A/A-trades-2024-01.zip"
NOISE = hashlib.shake_256(b"large").digest(7_500_000).hex()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bench]:
    """Three small files and one of 8 MB, which counts as large."""
    monkeypatch.setattr(s3_store, "LARGEST_COPY", 6 * s3_store.MIB)
    monkeypatch.setattr(s3_store, "COPY_PART", 5 * s3_store.MIB)
    folder = tmp_path / "archive"
    write_archive(folder, 3)
    put(folder, KEY, zipped("A-trades-2024-01.csv", NOISE))
    assert (folder / KEY).stat().st_size > 6 * s3_store.MIB
    with s3_bench(folder, same=True) as bench:
        yield bench


def keys_of(bench: S3Bench) -> list[str]:
    return sorted(p.relative_to(bench.folder).as_posix() for p in bench.folder.rglob("*.zip"))


def test_a_large_object_is_copied_in_parts_and_recorded_as_the_archive_lists_it(bench: S3Bench):
    report = bench.transfer(mode="direct")
    assert (report.transferred, report.failed, report.modes) == (4, 0, {"direct": 4})
    target = f"my lake/bronze/{KEY}"
    assert bench.source.asked["PUT", target] == 2, "two parts, each one UploadPartCopy"
    assert bench.source.asked["POST", target] == 2, "begun, and completed"
    assert bench.source.asked["GET", KEY] == 0
    assert bench.whole(keys_of(bench))
    assert bench.unfinished() == []
    made = bench.client.head_object(Bucket=LAKE, Key=target)
    assert made["ETag"].strip('"').endswith("-2")
    recorded = bench.meta.ledger().filter(key=KEY).row(0, named=True)
    assert (recorded["verified"], recorded["size"]) == ("etag", made["ContentLength"])
    assert recorded["etag"] == hashlib.md5((bench.folder / KEY).read_bytes()).hexdigest()


def test_it_counts_as_cached_afterwards_and_is_not_copied_again(bench: S3Bench):
    bench.transfer(mode="direct")
    plan = bench.plan()
    plan.files = plan.files.with_columns(status=status_of(plan.files, bench.lake))
    assert set(plan.files["status"]) == {"cached"}
    bench.source.forget()
    assert bench.transfer(plan, mode="direct").skipped == 4
    assert not [key for method, key in bench.source.asked if method in {"PUT", "POST"}]


def test_a_large_copy_without_a_record_is_adopted_by_its_size(bench: S3Bench):
    bench.transfer(mode="direct")
    for entry in bench.storage.list("meta"):
        bench.storage.delete(entry.path)
    bench.source.forget()
    report = bench.transfer(bench.plan("unrecorded"), mode="direct")
    assert (report.adopted, report.transferred) == (4, 0)
    assert not [key for method, key in bench.source.asked if method == "PUT" and "/bronze/" in key]


def test_full_verification_reads_the_large_copy_too(bench: S3Bench):
    bench.transfer(mode="direct", options={"verify": "full"})
    row = bench.meta.ledger().filter(key=KEY).row(0, named=True)
    assert row["verified"] == "sha256"
    assert row["sha256"] == hashlib.sha256((bench.folder / KEY).read_bytes()).hexdigest()


def test_a_part_that_fails_leaves_nothing_behind_and_is_copied_again(bench: S3Bench):
    bench.source.faults = lambda method, key, nth: (
        Fault("status", 503) if method == "PUT" and key.endswith(KEY) and nth == 1 else None
    )
    report = bench.transfer(mode="direct", options={"retries": 0})
    assert (report.transferred, report.failed) == (4, 0)
    assert bench.whole(keys_of(bench))
    assert bench.unfinished() == []


def test_a_large_object_that_was_rewritten_after_the_listing_is_not_copied(bench: S3Bench):
    plan = bench.plan()
    put(bench.folder, KEY, zipped("A-trades-2024-01.csv", NOISE[::-1]))
    bench.refresh()  # type: ignore[attr-defined]
    report = bench.transfer(plan, mode="direct")
    assert (report.transferred, report.failed) == (3, 1)
    assert KEY not in bench.objects("bronze/")
    assert bench.unfinished() == []


def test_an_archive_object_that_was_uploaded_in_parts_is_no_damage_to_an_audit(bench: S3Bench):
    plan = bench.plan()
    plan.files = plan.files.head(3).with_columns(etag=pl.lit(f"{'0' * 32}-2"))
    assert bench.transfer(plan, mode="direct").transferred == 3
    assert bench.meta.ledger()["etag"].str.ends_with("-2").all()
    assert set(audit(bench.lake)["status"]) == {"ok"}
