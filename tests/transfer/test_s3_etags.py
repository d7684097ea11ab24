"""Lakes and archives in buckets whose ETags are no md5s, in each mode, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

import cryptolake as cl
from cryptolake.archive.keys import CHECKSUM
from cryptolake.sample.server import BUCKET, serve_archive
from tests.transfer.archives import KEY, put, write_archive, zipped
from tests.transfer.front import Front, front, kms

NUMBERS = count()
OPTIONS = {"retries": 0, "backoff": 0.0}
DAYS = 6
KEYS = [KEY.format(symbol="BTCUSDT", day=f"2020-01-0{day}") for day in range(1, DAYS + 1)]
BARE, STALE = KEYS[1], KEYS[3]
QUERY = (
    cl.query()
    .markets("spot")
    .klines("1m")
    .symbols("BTCUSDT")
    .between("2020-01-01", f"2020-01-0{DAYS}")
)
MODES = ["download", "direct", "relay", "traditional"]
pytestmark = pytest.mark.filterwarnings("ignore::cryptolake.IncompleteWarning")


class Mirror(NamedTuple):
    """An archive's folder behind a front, and what serves it."""

    folder: Path
    front: Front
    served: Any
    bucket: str
    """For lakes."""

    def lake(self, where: Path | None = None, **options: Any) -> cl.Lake:
        """A new lake: in a folder, or in the bucket."""
        source = cl.Archive(endpoint_url=self.front.url)
        if where is not None:
            return cl.Lake(where, source=source)
        keys = {"key": "k", "secret": "s", "client_kwargs": {"region_name": "us-east-1"}}
        root = f"s3://{self.bucket}/{next(NUMBERS)}"
        options = {**keys, "endpoint_url": self.front.url, **options}
        return cl.Lake(root, source=source, storage_options=options)


@contextmanager
def mirror(folder: Path) -> Iterator[Mirror]:
    bucket = f"lakes-of-etags-{next(NUMBERS)}"  # moto has one space of names
    with serve_archive(folder, lakes=[bucket]) as served, front(served.endpoint) as made:
        client_of(made).create_bucket(Bucket=bucket)
        made.become_plain()
        yield Mirror(folder, made, served, bucket)


def client_of(made: Front) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=made.url,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """Six days, of which one has no CHECKSUM and one another file's; tests change nothing of it."""
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, DAYS)
    (folder / f"{BARE}{CHECKSUM}").unlink()
    put(folder, STALE, (folder / STALE).read_bytes(), f"{'0' * 64}  {Path(STALE).name}\n".encode())
    with mirror(folder) as made:
        yield made


@pytest.fixture
def world(shared: Mirror) -> Mirror:
    shared.front.become_plain()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Mirror]:
    """Two days of a mirror that a test may change."""
    folder = tmp_path / "archive"
    write_archive(folder, 2)
    with mirror(folder) as made:
        made.front.etags = {BUCKET: kms}
        yield made


def pull(lake: cl.Lake, mode: str = "auto") -> cl.Report:
    return lake.pull(QUERY, mode=mode, refresh=True, progress=False, options=OPTIONS)  # type: ignore[arg-type]


def proofs(lake: cl.Lake) -> dict[str, str]:
    return dict(lake.meta.ledger().select("key", "verified").iter_rows())


def salted(etag: str) -> str:
    return kms(f"salt {etag}")


@pytest.mark.parametrize("mode", ["auto", "direct"])
def test_copies_into_a_bucket_that_encrypts_read_one_file_and_go_by_size(world: Mirror, mode: str):
    world.front.etags = {world.bucket: kms}
    lake = world.lake()
    report = lake.transfer(lake.plan(QUERY), mode=mode, progress=False, options=OPTIONS)  # type: ignore[arg-type]
    assert report.modes == {"direct": DAYS}
    assert not report.fallbacks
    copies = world.front.count("PUT", world.bucket, "/bronze/")
    assert copies == 2 * DAYS - 1, "one request an object"
    assert world.front.count("GET", world.bucket, ".zip") == 2, "one zip is read, and its CHECKSUM"
    assert world.front.count("DELETE", world.bucket, "/bronze/") == 0
    assert sorted(proofs(lake).values()) == ["sha256", *["size"] * (DAYS - 1)]
    built = lake.build(QUERY, progress=False)
    assert built.ok
    assert proofs(lake)[BARE] == "none_published"
    assert sorted(lake.meta.quarantined()["key"]) == [STALE]
    assert set(lake.verify()["status"]) == {"ok"}


def test_a_gateway_that_does_not_take_its_own_etags_is_written_all_the_same(world: Mirror):
    world.front.etags = {world.bucket: kms}
    world.front.knows_its_etags = False
    lake = world.lake()
    report = lake.transfer(lake.plan(QUERY), progress=False, options=OPTIONS)
    assert report.modes == {"direct": DAYS}
    assert lake.storage.read("meta/lake.json").count(BUCKET.encode()) == 1


@pytest.mark.parametrize("mode", MODES)
def test_of_a_mirror_with_such_etags_a_bare_file_is_kept_and_a_stale_one_quarantined(
    world: Mirror, mode: str, tmp_path: Path
):
    world.front.etags = {BUCKET: kms}
    lake = world.lake(tmp_path / "lake" if mode == "download" else None)
    report = pull(lake, mode)
    assert report.ok, report.summary()
    assert proofs(lake) == {
        key: "size" if key == BARE else "sha256" for key in KEYS if key != STALE
    }
    assert sorted(lake.meta.quarantined()["key"]) == [STALE]
    assert set(lake.verify()["status"]) == {"ok"}
    again = lake.plan(QUERY, refresh=True)
    assert dict(again.files.group_by("status").len().iter_rows()) == {"cached": 5, "quarantined": 1}


def test_a_repair_takes_no_good_copy_away_and_finds_a_damaged_one(world: Mirror):
    world.front.etags = {BUCKET: kms, world.bucket: salted}
    lake = world.lake()
    lake.transfer(lake.plan(QUERY), mode="direct", progress=False, options=OPTIONS)
    good = [key for key in KEYS if key not in {BARE, STALE}]
    spoiled = bytearray(lake.storage.read(f"bronze/{good[2]}"))
    spoiled[-1] ^= 1
    lake.storage.write(f"bronze/{good[2]}", bytes(spoiled))
    found = dict(lake.verify(repair=True).select("key", "status").iter_rows())
    # A CHECKSUM that does not fit may be stale or the file damaged: it is copied anew, and Silver says which.
    assert {key for key, status in found.items() if status == "damaged"} == {good[2], STALE}
    kept = {entry.path for entry in lake.storage.list("bronze") if entry.path.endswith(".zip")}
    assert kept == {f"bronze/{key}" for key in KEYS if key not in {good[2], STALE}}
    assert pull(lake).ok
    assert proofs(lake) == {
        key: "size" if key == BARE else "sha256" for key in KEYS if key != STALE
    }


def test_a_ledger_that_is_made_again_knows_the_files_as_the_archive_lists_them(
    world: Mirror, tmp_path: Path
):
    world.front.etags = {BUCKET: kms}
    lake = world.lake(tmp_path / "lake")
    pull(lake)
    for entry in lake.storage.list("meta/files"):
        lake.storage.delete(entry.path)
    lake = cl.Lake(lake.root, source=lake.source)
    lake.verify(repair=True)
    assert len(lake.storage.list("meta/quarantine/data")) == 2, (
        "what was there before, and its CHECKSUM"
    )
    assert proofs(lake) == {
        key: "size" if key == BARE else "sha256" for key in KEYS if key != STALE
    }
    assert lake.plan(QUERY).files.filter(status="updated").is_empty()


def test_the_same_bytes_at_another_etag_are_not_fetched_again(own: Mirror, tmp_path: Path):
    lake = own.lake(tmp_path / "lake")
    pull(lake)
    own.front.become_plain()
    own.front.etags = {BUCKET: salted}
    report = pull(lake)
    assert (report.adopted, report.transferred, report.failed) == (2, 0, 0)
    assert own.front.asked["GET", BUCKET, KEYS[0]] == 0
    assert lake.plan(QUERY).to_transfer == 0
    assert report.months["status"].to_list() == ["unchanged"]


def test_a_new_upload_in_parts_of_the_same_bytes_is_no_update(own: Mirror, tmp_path: Path):
    own.front.etags = {}
    lake = own.lake(tmp_path / "lake")
    pull(lake)
    own.front.etags = {BUCKET: lambda etag: f"{etag}-2" if etag in ZIPS else etag}
    ZIPS = {lake.meta.ledger()["etag"][n] for n in (0, 1)}  # noqa: N806 - what the rule above means
    plan = lake.plan(QUERY, refresh=True)
    assert set(plan.files["etag"]) == {f"{etag}-2" for etag in ZIPS}
    assert (plan.cached, plan.to_transfer) == (2, 0)


@pytest.mark.parametrize("etags", ["md5", "kms"])
def test_other_bytes_of_the_same_size_are_fetched(own: Mirror, tmp_path: Path, etags: str):
    own.front.etags = {BUCKET: kms} if etags == "kms" else {}
    lake = own.lake(tmp_path / "lake")
    pull(lake)
    old = (own.folder / KEYS[0]).read_bytes()
    new = old.replace(old[10:14], b"\x01\x02\x03\x04")  # the time of the zip's one member
    assert len(new) == len(old)
    assert new != old
    put(own.folder, KEYS[0], new)
    own.served.refresh()
    report = pull(lake)
    assert (report.transferred, report.adopted, report.failed) == (1, 0, 0)
    assert lake.storage.read(f"bronze/{KEYS[0]}") == new


def test_a_new_md5_beside_an_old_checksum_is_fetched_and_quarantined(own: Mirror, tmp_path: Path):
    own.front.etags = {}
    lake = own.lake(tmp_path / "lake")
    pull(lake)
    old = (own.folder / KEYS[0]).read_bytes()
    put(own.folder, KEYS[0], old.replace(old[10:14], b"\x01\x02\x03\x04"), None)
    own.served.refresh()
    report = pull(lake)
    assert (report.quarantined, report.adopted) == (1, 0)


def test_a_summary_has_a_line_for_each_kind_of_error(own: Mirror, tmp_path: Path):
    for key in KEYS[:2]:
        name = Path(key).name
        put(own.folder, key, zipped("x.csv", f"{key}\n"), f"{'0' * 64}  {name}\n".encode())
    own.front.etags = {}
    own.served.refresh()
    lake = own.lake(tmp_path / "lake")
    report = lake.transfer(lake.plan(QUERY), progress=False)
    lines = [line for line in report.summary().splitlines() if "stale_checksum" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"  quarantined: 2, such as {KEYS[0]}: ")


@pytest.mark.parametrize("mode", ["direct", "relay", "traditional"])
def test_every_request_to_the_lake_is_encrypted_and_paid_for_as_configured(
    world: Mirror, mode: str
):
    parameters = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "our-key"}
    lake = world.lake(s3_additional_kwargs=parameters, requester_pays=True)
    assert pull(lake, mode).ok
    lake.frame(QUERY, progress=False)
    asked = [(a, h) for a, h in world.front.headers if a.bucket == world.bucket and a.signed]
    puts = [(a, h) for a, h in asked if a.method == "PUT"]
    assert len(puts) > 2 * DAYS
    assert {h.get("x-amz-server-side-encryption") for _, h in puts} == {"aws:kms"}
    assert {h.get("x-amz-server-side-encryption-aws-kms-key-id") for _, h in puts} == {"our-key"}
    unpaid = [(a.method, a.key) for a, h in asked if h.get("x-amz-request-payer") != "requester"]
    assert unpaid == []


def test_folders_that_a_console_makes_are_no_files(own: Mirror):
    lake = own.lake()
    client, name = client_of(own.front), lake.root.rpartition("/")[2]
    folders = ("", "bronze/", f"bronze/{KEYS[0].rpartition('/')[0]}/", "meta/", "meta/files/")
    more = ("meta/runs/", "meta/quarantine/", "silver/", "silver/market=spot/", "gold/")

    def mark() -> None:
        for folder in (*folders, *more):
            client.put_object(Bucket=own.bucket, Key=f"{name}/{folder}", Body=b"")

    mark()
    assert pull(lake).ok
    mark()
    again = pull(lake)
    assert (again.ok, again.transferred) == (True, 0)
    assert set(lake.verify(repair=True)["status"]) == {"ok"}
    assert lake.frame(QUERY, progress=False).height == 36
    assert lake.sql("select count(*) from meta.files").fetchall()[0][0] >= 2
