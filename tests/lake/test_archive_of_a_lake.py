"""A lake is of one archive: recorded by the first transfer; another is refused until it is adopted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import cryptolake as cl
from cryptolake.archive.source import ArchivePlace
from cryptolake.cli.app import app
from cryptolake.listing.client import Pages
from cryptolake.listing.identity import archive_on_record
from cryptolake.planning.status import status_of
from cryptolake.sample.server import serve_archive
from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.lake_format import check_format, record_archive
from cryptolake.storage.layout import LAKE_FILE

QUERY = cl.query().markets("futures_um").klines("1h").symbols("ETHUSDT")
FIRST, ALL = QUERY.between("2025-01-30", "2025-01-31"), QUERY.between("2025-01-30", "2025-02-01")
_numbers = count()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two samples of the same files, whose bytes differ."""
    found = {}
    for name, seed in (("one", 0), ("two", 7)):
        found[name] = tmp_path_factory.mktemp(name)
        cl.sample_archive(
            found[name],
            datasets=["futures_um_klines"],
            symbols=["ETHUSDT"],
            intervals=["1h"],
            days=("2025-01-30", "2025-02-01"),
            seed=seed,
        )
    return found


@pytest.fixture(scope="module")
def sources(folders: dict[str, Path]) -> Iterator[dict[str, cl.Archive]]:
    """Both samples, the first one at two ports."""
    with (
        serve_archive(folders["one"]) as one,
        serve_archive(folders["one"]) as again,
        serve_archive(folders["two"]) as two,
    ):
        served = {"one": one, "again": again, "two": two}
        yield {name: cl.Archive(endpoint_url=item.endpoint) for name, item in served.items()}


@pytest.fixture(params=["disk", "bucket"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, bucket_options: dict[str, Any]
) -> Callable[..., cl.Lake]:
    """A function that opens the same new lake with a source: another process's look at it."""
    if request.param == "disk":
        return lambda source, **more: cl.Lake(tmp_path / "lake", source=source, **more)
    root = f"s3://lakes/archive-{next(_numbers)}"
    return lambda source, **more: cl.Lake(
        root, source=source, storage_options=bucket_options, **more
    )


def said(storage: Storage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(storage.read(LAKE_FILE))
    return found


def test_the_first_transfer_records_the_archive_and_a_plan_does_not(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    lake = opened(sources["one"])
    lake.plan(FIRST)
    assert "archive" not in said(lake.storage)
    lake.pull(FIRST, progress=False)
    record = {"bucket": "data.binance.vision", "endpoint": sources["one"].endpoint}
    assert said(lake.storage)["archive"] == record
    assert lake.status()["archive"].to_list() == [str(sources["one"])]


def test_every_verb_that_transfers_refuses_another_archive(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    opened(sources["one"]).pull(FIRST, progress=False)
    before = [(one.path, one.size) for one in opened(sources["one"]).storage.list("bronze")]
    plan = opened(sources["two"]).plan(ALL)
    verbs: list[Callable[[cl.Lake], object]] = [
        lambda lake: lake.pull(ALL, progress=False),
        lambda lake: lake.frame(ALL, progress=False),
        lambda lake: lake.transfer(plan, progress=False),
        lambda lake: lake.update(progress=False),
        lambda lake: lake.heal(ALL, progress=False),
    ]
    for verb in verbs:
        lake = opened(sources["two"])
        with pytest.raises(cl.ArchiveMismatch) as caught:
            verb(lake)
        for word in (str(sources["one"]), str(sources["two"]), "adopt=True", "--adopt-archive"):
            assert word in str(caught.value)
        assert caught.value.archive == str(sources["one"])
        assert f"{sources['one']}, opened with {sources['two']}" in repr(lake)
    assert [(one.path, one.size) for one in opened(sources["one"]).storage.list("bronze")] == before


def test_the_same_sample_at_another_port_is_the_same_archive(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    opened(sources["one"]).pull(FIRST, progress=False)
    lake = opened(sources["again"])
    report = lake.pull(ALL, progress=False)
    assert report.ok
    assert set(report.files["status"]) == {"cached", "transferred"}
    assert said(lake.storage)["archive"]["endpoint"] == sources["again"].endpoint
    assert "former" not in said(lake.storage)


@pytest.mark.parametrize("real", [None, "https://s3.ap-northeast-1.amazonaws.com"])
def test_a_sample_is_never_taken_for_the_real_archive(
    tmp_path: Path, sources: dict[str, cl.Archive], real: str | None
) -> None:
    record_archive(open_storage(tmp_path), ArchivePlace("data.binance.vision", real))
    lake = cl.Lake(tmp_path, source=sources["one"])
    with pytest.raises(cl.ArchiveMismatch, match=r"data\.binance\.vision at http://127"):
        lake.pull(FIRST, progress=False)
    assert any("is refused unless it is adopted" in note for note in lake.plan(FIRST).notes)
    assert not list(tmp_path.rglob("*.zip"))


def test_the_real_archive_is_not_asked_for_a_lake_of_a_sample(
    tmp_path: Path, sources: dict[str, cl.Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    cl.Lake(tmp_path, source=sources["one"]).pull(FIRST, progress=False)
    # Were it asked, it would answer nothing: the error would be another.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for verb in (cl.Lake.pull, cl.Lake.frame, cl.Lake.update):
        with pytest.raises(cl.ArchiveMismatch):
            verb(cl.Lake(tmp_path, source=cl.Archive()), ALL, progress=False)


def test_regional_endpoints_of_aws_are_one_archive(tmp_path: Path) -> None:
    aws = ArchivePlace("data.binance.vision", None)
    assert aws.is_same(ArchivePlace("data.binance.vision", "https://s3.us-east-1.amazonaws.com/"))
    assert not aws.is_same(ArchivePlace("other-bucket", None))
    assert not aws.is_same(
        ArchivePlace("data.binance.vision", "https://amazonaws.com.evil.example")
    )
    assert not ArchivePlace("b", "http://localhost.evil.example").is_loopback


def test_an_adopted_archive_takes_the_place_of_the_other_for_good(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    opened(sources["one"]).pull(FIRST, progress=False)
    lake = opened(sources["two"], adopt=True)
    report = lake.pull(ALL, progress=False)
    assert report.ok
    assert report.transferred == 3  # its bytes are others
    record = said(lake.storage)
    assert record["archive"]["endpoint"] == sources["two"].endpoint
    assert [one["endpoint"] for one in record["former"]] == [sources["one"].endpoint]
    assert opened(sources["two"]).pull(ALL, progress=False).transferred == 0
    with pytest.raises(cl.ArchiveMismatch):
        opened(sources["again"]).pull(ALL, progress=False)


def test_an_adopted_mirror_of_the_same_bytes_is_fetched_from_only_for_what_is_new(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    lake = opened(sources["one"])
    lake.pull(FIRST, progress=False)
    was = {**said(lake.storage), "archive": {"bucket": "data.binance.vision", "endpoint": None}}
    lake.storage.write(LAKE_FILE, json.dumps(was).encode())
    adopted = opened(sources["one"], adopt=True)
    report = adopted.pull(ALL, progress=False)
    assert (report.transferred, report.skipped) == (1, 2)
    former = said(adopted.storage)["former"]
    assert [(one["bucket"], one["endpoint"]) for one in former] == [("data.binance.vision", None)]


def test_files_of_the_archive_before_count_by_their_checksums_where_the_mirror_has_other_etags(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    lake = opened(sources["one"])
    lake.pull(ALL, progress=False)
    files = lake.plan(ALL).files
    mirrored = files.with_columns(etag=pl.lit("0123456789abcdef" * 2))
    other = mirrored.with_columns(checksum_etag=pl.lit("fedcba9876543210" * 2))
    assert set(status_of(mirrored, opened(sources["one"]).context)) == {"updated"}
    record_archive(lake.storage, ArchivePlace("mirror", "https://mirror.example"), replace=True)
    assert set(status_of(mirrored, opened(sources["one"]).context)) == {"cached"}
    assert set(status_of(other, opened(sources["one"]).context)) == {"updated"}


def test_a_lake_of_the_release_before_gets_its_archive_at_the_first_transfer(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    opened(sources["one"]).pull(FIRST, progress=False)
    opened(sources["one"]).storage.delete(LAKE_FILE)
    old = opened(sources["one"])
    assert old.frame(FIRST, progress=False).height == 48
    assert old.status()["archive"].to_list() == [None]
    old.pull(ALL, progress=False)
    assert said(old.storage)["archive"]["endpoint"] == sources["one"].endpoint


def test_of_two_first_archives_only_one_can_be(opened: Callable[..., cl.Lake]) -> None:
    places = [ArchivePlace(f"bucket-{number % 2}", "http://10.0.0.1:9000") for number in range(8)]
    storages = [opened(None).storage for _ in places]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record_archive, storages, places))
    assert len({storage.archive for storage in storages}) == 1
    fresh = opened(None).storage
    check_format(fresh)
    assert fresh.archive == storages[0].archive


def test_two_first_transfers_at_once_never_mix_two_archives(
    tmp_path: Path, sources: dict[str, cl.Archive]
) -> None:
    def pull(name: str) -> str | None:
        try:
            cl.Lake(tmp_path, source=sources[name]).pull(ALL, progress=False)
        except cl.ArchiveMismatch:
            return None
        return name

    with ThreadPoolExecutor(2) as pool:
        done = [name for name in pool.map(pull, ["one", "two"]) if name]
    assert len(done) == 1
    listed = {row["key"]: row["etag"] for row in cl.Lake(tmp_path).meta.ledger().to_dicts()}
    pages = Pages(sources[done[0]]).of("data/")
    etags = {item.key: item.etag for page in pages for item in page.objects}
    assert listed == {key: etags[key] for key in listed}
    assert len(listed) == 3


def test_the_command_line_says_and_adopts(tmp_path: Path, sources: dict[str, cl.Archive]) -> None:
    def run(name: str, *words: str) -> Any:
        where = ["--root", str(tmp_path / "lake"), "--endpoint-url", sources[name].endpoint]
        return CliRunner().invoke(app, [*words, *(str(word) for word in where)])

    asked = ["-m", "futures_um", "-i", "1h", "-s", "ETHUSDT", "--from", "2025-02-01", "-q"]
    assert run("one", "pull", *asked).exit_code == 0
    refused = run("two", "pull", *asked)
    assert isinstance(refused.exception, cl.ArchiveMismatch)
    assert "--adopt-archive" in str(refused.exception)
    assert f"archive: {sources['one']}" in run("one", "status").output
    assert run("two", "pull", *asked, "--adopt-archive").exit_code == 0
    assert f"archive: {sources['two']}" in run("two", "status").output
    assert json.loads(run("two", "status", "--json").output)[0]["archive"] == str(sources["two"])


@pytest.mark.parametrize(
    "said_of_it", [{"bucket": 7}, "s3://x", {"bucket": "b", "endpoint": "http://u:p@h"}, [], None]
)
def test_a_record_that_names_no_archive_is_as_good_as_none(
    tmp_path: Path, sources: dict[str, cl.Archive], said_of_it: object
) -> None:
    storage = open_storage(tmp_path)
    storage.write(LAKE_FILE, json.dumps({"format": 1, "archive": said_of_it}).encode())
    lake = cl.Lake(tmp_path, source=sources["one"])
    with nullcontext() if said_of_it is None else pytest.warns(cl.DamagedLakeWarning) as heard:
        lake.pull(FIRST, progress=False)
    if heard is not None:
        assert "what it names is no archive" in str(heard[0].message)
        assert "with which it was opened: it holds no files" in str(heard[1].message)
    assert said(storage)["archive"]["endpoint"] == sources["one"].endpoint


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "junk": lambda _: b"\xff\x00junk",
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "another archive's value": lambda _: b'{"format": 1, "archive": {"bucket": "-"}}',
}


def forget(lake: cl.Lake, *, runs: bool) -> None:
    """Take the archive from a lake's runs, as those of the release before have none; or the runs as well."""
    rows = lake.meta.read("runs")
    lake.storage.delete_all(sorted(lake.meta.names("runs")))
    if not runs:
        lake.meta.append("runs", rows.with_columns(archive=pl.lit(None, pl.String)))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_of_the_lake_binds_it_to_no_other_archive(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive], how: str
) -> None:
    opened(sources["one"]).pull(FIRST, progress=False)
    storage = opened(sources["one"]).storage
    storage.write(LAKE_FILE, DAMAGES[how](storage.read(LAKE_FILE)))
    lake = opened(sources["two"])
    with pytest.warns(cl.DamagedLakeWarning, match=r"meta/lake\.json .* does not say which"):
        lake.plan(ALL)  # which caches a listing, and writes the file anew
    with pytest.warns(cl.DamagedLakeWarning) as heard, pytest.raises(cl.ArchiveMismatch) as caught:
        opened(sources["two"]).pull(ALL, progress=False)
    assert caught.value.archive == str(sources["one"])
    why = "what it names is no archive" if "value" in how else "it was damaged, and written anew at"
    assert any(why in str(one.message) for one in heard)
    assert any(f"is of {sources['one']}, as its other records" in str(one.message) for one in heard)
    assert said(storage)["archive"]["endpoint"] == sources["one"].endpoint
    assert "archive_lost" not in said(storage)
    assert opened(sources["one"]).pull(ALL, progress=False).transferred == 1


@pytest.mark.parametrize("ledger", [True, False])
def test_where_nothing_records_it_the_archive_that_lists_what_is_held_is_its_own(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive], ledger: bool
) -> None:
    lake = opened(sources["one"])
    lake.pull(FIRST, progress=False)
    forget(lake, runs=not ledger)
    if not ledger:
        lake.storage.delete_all(sorted(lake.meta.names("files")))
    lake.storage.write(LAKE_FILE, b"{")
    for verb in (cl.Lake.pull, cl.Lake.frame):
        words = "nothing else in the lake says which"
        with pytest.warns(cl.DamagedLakeWarning), pytest.raises(cl.ArchiveMismatch, match=words):
            verb(opened(sources["two"]), ALL, progress=False)
    with pytest.warns(cl.DamagedLakeWarning) as heard:
        assert opened(sources["again"]).pull(ALL, progress=False).ok
    assert "which lists the files that it holds" in str(heard[-1].message)
    assert said(lake.storage)["archive"]["endpoint"] == sources["again"].endpoint


def test_an_archive_is_adopted_where_nothing_says_which_the_lake_is_of(
    tmp_path: Path, sources: dict[str, cl.Archive]
) -> None:
    lake = cl.Lake(tmp_path, source=sources["one"])
    lake.pull(FIRST, progress=False)
    forget(lake, runs=True)
    lake.storage.write(LAKE_FILE, b"{")
    with pytest.warns(cl.DamagedLakeWarning) as heard:
        cl.Lake(tmp_path, source=sources["two"], adopt=True).pull(ALL, progress=False)
    assert "which is adopted" in str(heard[-1].message)
    assert said(lake.storage)["archive"]["endpoint"] == sources["two"].endpoint


def test_the_archive_of_the_run_written_last_counts_though_its_clock_was_behind(
    opened: Callable[..., cl.Lake], sources: dict[str, cl.Archive]
) -> None:
    lake = opened(sources["one"])
    lake.pull(FIRST, progress=False)
    began = datetime.now(UTC) - timedelta(days=400)
    adopted = {"run_id": "behind", "started_at": began, "archive": str(sources["two"].place)}
    opened(sources["two"]).meta.append("runs", [adopted])
    lake.storage.write(LAKE_FILE, b"{")
    with pytest.warns(cl.DamagedLakeWarning):
        assert archive_on_record(opened(sources["one"]).context) == sources["two"].place


@pytest.mark.parametrize("by", ["runs", "a lock", "nothing"])
def test_verify_sets_a_damaged_file_aside_and_finds_the_archive_again(
    opened: Callable[..., cl.Lake], tmp_path: Path, sources: dict[str, cl.Archive], by: str
) -> None:
    lake = opened(sources["one"])
    lake.pull(FIRST, progress=False)
    if by != "runs":
        if by == "a lock":
            lake.freeze(FIRST, tmp_path / "a.lock.json")
        forget(lake, runs=False)
    lake.storage.write(LAKE_FILE, b"{damaged")
    seen = opened(sources["two"])
    with pytest.warns(cl.DamagedLakeWarning):
        found = seen.verify()
    (bad,) = found.filter(pl.col("status") != "ok").iter_rows(named=True)
    assert (bad["key"], bad["status"], bad["zone"]) == (LAKE_FILE, "damaged", "meta")
    own = None if by == "nothing" else str(sources["one"])
    assert (own or "nothing else here does") in bad["detail"]
    assert seen.status()["archive"].to_list() == [own]
    seen.verify(repair=True)
    aside = [e.path for e in lake.storage.list("meta/quarantine/damaged")]
    assert [lake.storage.read(path) for path in aside] == [b"{damaged"]
    assert lake.meta.read("findings")["kind"].to_list() == ["damaged_lake_file"]
    if by == "nothing":
        assert "archive" not in said(lake.storage)
        with pytest.warns(cl.DamagedLakeWarning), pytest.raises(cl.ArchiveMismatch):
            opened(sources["two"]).update(progress=False)
    else:
        assert said(lake.storage)["archive"]["endpoint"] == sources["one"].endpoint
        assert set(opened(sources["two"]).verify()["status"]) == {"ok"}
        with pytest.raises(cl.ArchiveMismatch):
            opened(sources["two"]).update(progress=False)


def test_a_file_that_is_gone_is_written_again_by_what_the_runs_say(
    tmp_path: Path, sources: dict[str, cl.Archive]
) -> None:
    lake = cl.Lake(tmp_path, source=sources["one"])
    lake.pull(FIRST, progress=False)
    lake.storage.delete(LAKE_FILE)
    (bad,) = lake.verify(repair=True).filter(pl.col("status") != "ok").iter_rows(named=True)
    assert (bad["key"], bad["status"]) == (LAKE_FILE, "gone")
    assert said(lake.storage)["archive"]["endpoint"] == sources["one"].endpoint
    with pytest.raises(cl.ArchiveMismatch):
        cl.Lake(tmp_path, source=sources["two"]).pull(ALL, progress=False)


def test_status_says_that_the_archive_is_not_known(
    tmp_path: Path, sources: dict[str, cl.Archive]
) -> None:
    lake = cl.Lake(tmp_path / "lake", source=sources["one"])
    lake.pull(FIRST, progress=False)
    forget(lake, runs=True)
    lake.storage.write(LAKE_FILE, b"{")
    with pytest.warns(cl.DamagedLakeWarning):
        done = CliRunner().invoke(app, ["status", "--root", str(tmp_path / "lake")])
    assert "archive: not known, since meta/lake.json is damaged" in done.output


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[bytes]]]:
    """An endpoint that keeps what it is asked, and answers nothing."""
    asked: list[bytes] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.fixture
def with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, f"{name}-of-the-victim")


def edited(plan: cl.Plan, path: Path, **archive: object) -> cl.Plan:
    plan.save(path)
    said = json.loads(path.read_text("utf-8"))
    said["archive"] |= archive
    path.write_text(json.dumps(said), "utf-8")
    return cl.Plan.load(path)


@pytest.mark.usefixtures("with_credentials")
@pytest.mark.parametrize("host", ["http://stranger.example:9000", "https://10.1.2.3", "loopback"])
@pytest.mark.parametrize("verb", ["transfer", "command line"])
def test_a_plan_from_a_stranger_moves_nothing_and_nothing_is_signed_for_it(
    tmp_path: Path,
    sources: dict[str, cl.Archive],
    stranger: tuple[str, list[bytes]],
    host: str,
    verb: str,
) -> None:
    endpoint, asked = stranger
    theirs = cl.Lake(tmp_path / "theirs", source=sources["two"]).plan(ALL)
    where = endpoint if host == "loopback" else host
    path = tmp_path / "plan.json"
    plan = edited(theirs, path, endpoint_url=where, anonymous=False, region="eu-west-3")
    words = "and a plan moves files only from the lake's own"
    if verb == "transfer":
        with pytest.raises(cl.PlanError, match=words):
            cl.Lake(tmp_path / "mine", source=sources["one"]).transfer(plan, progress=False)
    else:
        options = ["--root", str(tmp_path / "mine"), "--endpoint-url", sources["one"].endpoint]
        done = CliRunner().invoke(app, ["pull", "--plan", str(path), *map(str, options)])
        assert isinstance(done.exception, cl.PlanError)
        assert words in str(done.exception)
    assert asked == []
    assert not list((tmp_path / "mine").rglob("*.zip"))


@pytest.mark.usefixtures("with_credentials")
def test_a_plan_of_the_same_sample_is_carried_out_from_the_lakes_own_endpoint(
    opened: Callable[..., cl.Lake],
    tmp_path: Path,
    sources: dict[str, cl.Archive],
    stranger: tuple[str, list[bytes]],
) -> None:
    endpoint, asked = stranger
    plan = edited(
        opened(sources["one"]).plan(ALL),
        tmp_path / "plan.json",
        endpoint_url=endpoint,
        anonymous=False,
    )
    report = opened(sources["again"]).transfer(plan, progress=False)
    assert report.transferred == 3
    assert asked == []


def test_a_plan_of_another_bucket_moves_nothing(
    tmp_path: Path, sources: dict[str, cl.Archive]
) -> None:
    mine = cl.Lake(tmp_path, source=sources["one"])
    plan = edited(mine.plan(ALL), tmp_path / "plan.json", bucket="some-bucket")
    with pytest.raises(cl.PlanError, match="s3://some-bucket at "):
        mine.transfer(plan, progress=False)
