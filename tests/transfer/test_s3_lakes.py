"""A lake in a bucket: copied inside S3, streamed through memory, or downloaded and uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryptolake as cl
from cryptolake.archive.source import Archive
from cryptolake.storage.files import open_storage
from cryptolake.transfer.routing import route
from tests.transfer.archives import put, write_archive, zipped
from tests.transfer.proxy import Fault
from tests.transfer.s3bench import KEYS, LAKE, S3Bench, s3_bench

KEY = "data/spot/daily/klines/A/1m/A-1m-2024-01-01.zip"
STALE = f"{'0' * 64}  {Path(KEY).name}\n".encode()
MODES = ["direct", "relay", "traditional"]


@pytest.fixture
def archive_folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def near(archive_folder: Path) -> Iterator[S3Bench]:
    """Archive and lake at one endpoint; twelve files."""
    write_archive(archive_folder, 12)
    with s3_bench(archive_folder, same=True) as bench:
        yield bench


@pytest.fixture
def far(archive_folder: Path) -> Iterator[S3Bench]:
    """Archive and lake at two endpoints; twelve files."""
    write_archive(archive_folder, 12)
    with s3_bench(archive_folder, same=False) as bench:
        yield bench


def keys_of(bench: S3Bench) -> list[str]:
    return sorted(p.relative_to(bench.folder).as_posix() for p in bench.folder.rglob("*.zip"))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_brings_the_same_objects_and_a_ledger(near: S3Bench, mode: str):
    report = near.transfer(mode=mode)
    assert (report.transferred, report.failed, report.ok) == (12, 0, True)
    assert report.modes == {mode: 12}
    assert near.whole(keys_of(near))
    assert near.unfinished() == []
    proof = "etag" if mode == "direct" else "sha256"
    assert set(near.meta.ledger()["verified"]) == {proof}
    assert set(near.meta.ledger()["mode"]) == {mode}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["it's/brace{a,b}", "龙 +%20#"])
def test_a_root_with_an_odd_name_is_filled_by_every_mode(near: S3Bench, mode: str, name: str):
    near.settle(name)
    assert near.transfer(mode=mode).modes == {mode: 12}
    assert near.whole(keys_of(near))
    assert near.unfinished() == []


def test_direct_makes_one_copy_request_an_object_and_reads_nothing(near: S3Bench):
    near.transfer(mode="direct")
    copies = {
        key: n
        for (method, key), n in near.source.asked.items()
        if method == "PUT" and "/bronze/" in key
    }
    assert len(copies) == 24
    assert set(copies.values()) == {1}
    assert not [
        key
        for (method, key) in near.source.asked
        if method in {"GET", "HEAD"} and key.startswith("data/")
    ]


def test_direct_with_full_verification_reads_each_file_and_records_its_sha256(near: S3Bench):
    near.transfer(mode="direct", options={"verify": "full"})
    assert near.whole(keys_of(near))
    ledger = near.meta.ledger()
    assert set(ledger["verified"]) == {"sha256"}
    wanted = {
        key: hashlib.sha256((near.folder / key).read_bytes()).hexdigest() for key in keys_of(near)
    }
    assert dict(ledger.select("key", "sha256").rows()) == wanted


def test_auto_copies_inside_s3_where_lake_and_archive_are_at_one_endpoint(near: S3Bench):
    assert near.transfer().modes == {"direct": 12}


def test_auto_relays_between_two_endpoints(far: S3Bench):
    report = far.transfer()
    assert report.modes == {"relay": 12}
    assert far.whole(keys_of(far))
    assert far.meta.read("runs")["note"][0].startswith(
        "mode relay, else traditional: the lake is at another"
    )


def test_direct_between_two_endpoints_is_refused_in_words(far: S3Bench):
    with pytest.raises(cl.InvalidQuery, match="copies inside one S3"):
        far.transfer(mode="direct")


def test_auto_finds_out_with_one_file_that_copies_are_forbidden_and_relays(near: S3Bench):
    copies: list[str] = []

    def choose(method: str, key: str, nth: int) -> Fault | None:
        if method != "PUT" or "/bronze/" not in key or len(copies) == 2:
            return None
        copies.append(key)
        return Fault("status", 403)

    near.source.faults = choose
    report = near.transfer()
    assert report.modes == {"relay": 12}
    assert near.whole(keys_of(near))
    assert sum(report.fallbacks.values()) == 12
    assert "AccessDenied" in next(iter(report.fallbacks))
    assert "fell back for 12: direct: AccessDenied" in report.summary()


def test_a_single_file_that_cannot_be_copied_falls_back_alone(near: S3Bench):
    bad = keys_of(near)[4]
    seen: list[str] = []

    def choose(method: str, key: str, nth: int) -> Fault | None:
        if method == "PUT" and key.endswith(bad) and len(seen) < 1:
            seen.append(key)
            return Fault("status", 403)
        return None

    near.source.faults = choose
    report = near.transfer()
    assert report.modes == {"direct": 11, "relay": 1}
    assert sum(report.fallbacks.values()) == 1
    assert near.whole(keys_of(near))


@pytest.mark.parametrize("mode", ["relay", "traditional"])
def test_a_stale_file_is_quarantined_in_the_bucket(near: S3Bench, mode: str):
    data = zipped("a.csv", "1\n")
    put(near.folder, KEY, data, STALE)
    near.refresh()  # type: ignore[attr-defined]
    report = near.transfer(mode=mode)
    assert (report.transferred, report.quarantined) == (12, 1)
    assert near.objects("meta/quarantine/")[KEY] == data
    assert KEY not in near.objects("bronze/")
    assert near.meta.read("quarantine")["reason"].to_list() == ["stale_checksum"]


def test_a_direct_copy_that_full_verification_finds_stale_is_moved_to_quarantine(near: S3Bench):
    put(near.folder, KEY, zipped("a.csv", "1\n"), STALE)
    near.refresh()  # type: ignore[attr-defined]
    report = near.transfer(mode="direct", options={"verify": "full"})
    assert (report.transferred, report.quarantined) == (12, 1)
    assert KEY not in near.objects("bronze/")
    assert KEY in near.objects("meta/quarantine/")


def test_a_file_rewritten_after_the_listing_is_not_left_behind_by_a_direct_copy(near: S3Bench):
    plan = near.plan()
    changed = keys_of(near)[0]
    put(near.folder, changed, zipped("x.csv", "rewritten, and longer\n" * 40))
    near.refresh()  # type: ignore[attr-defined]
    report = near.transfer(plan, mode="direct")
    assert (report.transferred, report.failed) == (11, 1)
    assert changed not in near.objects("bronze/")


@pytest.mark.parametrize("mode", ["relay", "traditional"])
@pytest.mark.parametrize("kind", ["flip", "cut", "page"])
def test_bytes_that_arrive_wrong_are_fetched_again(far: S3Bench, mode: str, kind: str):
    bad = keys_of(far)[3]
    far.source.faults = lambda method, key, nth: (
        Fault(kind, 0.5) if key == bad and method == "GET" and nth == 1 else None
    )
    report = far.transfer(mode=mode, options={"retries": 0})
    assert (report.transferred, report.failed) == (12, 0)
    assert far.whole(keys_of(far))


def test_a_large_file_is_relayed_in_parts_and_shown_only_when_it_is_right(far: S3Bench):
    noise = hashlib.shake_256(b"x").digest(9_000_000).hex()
    put(far.folder, KEY, zipped("a.csv", noise))
    put(
        far.folder,
        KEY.replace("-01.zip", "-02.zip"),
        zipped("a.csv", noise),
        STALE.replace(b"-01.zip", b"-02.zip"),
    )
    assert (far.folder / KEY).stat().st_size > 8 * 2**20
    far.refresh()  # type: ignore[attr-defined]
    report = far.transfer(mode="relay")
    assert (report.transferred, report.quarantined) == (13, 1)
    assert far.objects("bronze/")[KEY] == (far.folder / KEY).read_bytes()
    assert KEY.replace("-01.zip", "-02.zip") in far.objects("meta/quarantine/")
    assert far.unfinished() == []


def test_what_a_killed_run_copied_is_adopted_by_the_listing_alone(near: S3Bench):
    near.transfer(mode="direct")
    for entry in near.storage.list("meta"):
        near.storage.delete(entry.path)
    near.source.forget()
    report = near.transfer(near.plan("unrecorded"))
    assert (report.adopted, report.transferred) == (12, 0)
    assert not [key for method, key in near.source.asked if method == "PUT" and "/bronze/" in key]


def test_the_same_plan_again_moves_nothing(near: S3Bench):
    plan = near.plan()
    near.transfer(plan)
    report = near.transfer(plan)
    assert (report.transferred, report.skipped) == (0, 12)


def test_a_missing_bucket_is_a_storage_error(near: S3Bench):
    options = {**KEYS, "endpoint_url": near.target.url}
    near.storage = open_storage("s3://absent/lake", options)
    near.meta = type(near.meta)(near.storage)
    with pytest.raises(cl.StorageError, match="no bucket 'absent'"):
        near.transfer()


def test_credentials_reach_no_table_and_no_report(near: S3Bench):
    report = near.transfer()
    said = repr(report) + repr(near.storage) + "".join(map(str, near.meta.read("runs").rows()))
    assert KEYS["secret"] not in said
    assert all(KEYS["secret"].encode() not in data for data in near.objects("meta/").values())


def test_the_storage_class_is_said_to_s3(near: S3Bench):
    near.transfer(options={"storage_class": "STANDARD_IA"})
    listed = near.client.list_objects_v2(Bucket=LAKE, Prefix="my lake/bronze/")["Contents"]
    assert {item["StorageClass"] for item in listed} == {"STANDARD_IA"}


def test_acceleration_outside_aws_is_refused_by_name(near: S3Bench):
    with pytest.raises(cl.InvalidQuery, match="acceleration is a service of AWS"):
        near.transfer(options={"acceleration": True})


@pytest.mark.parametrize(
    ("archive", "lake", "first"),
    [
        (None, None, "direct"),
        ("https://s3.ap-northeast-1.amazonaws.com", None, "direct"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/", "direct"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9001", "relay"),
        ("http://127.0.0.1:9000", None, "relay"),
        ("https://minio.example", "https://minio.example:443", "direct"),
    ],
)
def test_auto_compares_the_endpoints(archive: str | None, lake: str | None, first: str):
    storage = open_storage("s3://b/p", {"endpoint_url": lake} if lake else {})
    assert route("auto", Archive(endpoint_url=archive), storage).modes[0] == first


def planned(bench: S3Bench, name: str) -> tuple[cl.Lake, cl.Plan]:
    """Return a lake of that name in the bench's bucket, and a plan of twelve days for it."""
    options = {
        **KEYS,
        "endpoint_url": bench.target.url,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    lake = cl.Lake(f"s3://{LAKE}/{name}", source=bench.archive, storage_options=options)
    query = cl.query().markets("spot").klines("1m").symbols("BTCUSDT")
    return lake, lake.plan(query.between("2020-01-01", "2020-01-12"))


def test_the_plan_says_which_mode_and_why_and_is_empty_after_the_transfer(near: S3Bench):
    lake, plan = planned(near, "real")
    assert plan.to_transfer == 12
    assert "files move by mode direct, else relay, else traditional: lake and archive" in repr(plan)
    report = lake.transfer(plan, progress=False)
    assert report.modes == {"direct": 12}
    again = lake.plan(plan.query)
    assert (again.to_transfer, again.cached) == (0, 12)


@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_the_requests_that_a_plan_tells_are_those_that_are_made(mode: str, near: S3Bench):
    lake, plan = planned(near, mode)
    assert plan.objects == 24
    told = route(mode, near.archive, lake.storage).requests(plan)
    assert mode != "direct" or f"; about {told} requests" in repr(plan)
    made = lake.transfer(plan, mode=mode, progress=False).requests or 0  # type: ignore[arg-type]
    assert abs(made - told) <= 2  # a LIST of what was copied, or a part of a page


@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_every_request_is_counted_and_each_repeat_is_told_by_file(mode: str, near: S3Bench):
    plan = near.plan()
    keys = plan.files["key"].to_list()
    method = "PUT" if mode == "direct" else "GET"
    wanted = keys[1] if method == "GET" else f"my lake/bronze/{keys[1]}"

    def once(asked: str, key: str, nth: int) -> Fault | None:
        return Fault("status", 503) if (asked, key, nth) == (method, wanted, 1) else None

    near.source.faults = once
    report = near.transfer(plan, mode=mode, options={"retries": 3})
    asked = list(near.source.asked.items())
    seen = sum(n for (_, key), n in asked if "/meta/" not in key and key != "")
    of_buckets = sum(n for (_, key), n in asked if key == "")
    assert seen <= (report.requests or 0) <= seen + of_buckets
    assert near.whole(keys)
    again = dict(report.files.select("key", "retries").iter_rows())
    assert again == {key: int(key == keys[1]) for key in keys}
    assert report.retried == 1
    assert sum(report.retries.values()) == 1
