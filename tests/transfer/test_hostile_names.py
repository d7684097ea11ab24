"""Names from outside: what climbs, is absolute, empty or no name at all is written, deleted and read nowhere."""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import polars as pl
import pytest

import cryptolake as cl
from tests.transfer.archives import put, write_archive, zipped

FOLDER = "data/spot/daily/klines/BTCUSDT/1m/"
EVIL = b"echo planted\n"

NAMES = [
    *(
        "..",
        ".",
        "",
        "/",
        "../..",
        "../../../x",
        "/etc/x",
        "a/../../x",
        "..\\..\\x",
        "a\\b",
        "\0",
        "a\0b",
    ),
    *(
        "a=b",
        "..%2F..%2Fx",
        "%2e%2e/x",
        "é龙",
        "x" * 300,
        " ",
        "...",
        "a\nb",
        "-rf",
        ".lock",
        "*",
        "'; rm x '",
    ),
]
"""What a name from outside may be."""


class Endpoint:
    """An S3 endpoint over a folder that lists ``planted`` keys besides, and serves them."""

    def __init__(self, root: Path, bucket: str) -> None:
        self.root, self.bucket = root, bucket
        self.planted: list[str] = []
        self.only_wildcards = True
        self.symbols: list[str] = []
        self.asked: list[tuple[str, str]] = []

    def objects(self) -> dict[str, bytes]:
        return {
            p.relative_to(self.root).as_posix(): p.read_bytes()
            for p in self.root.rglob("*")
            if p.is_file()
        }

    def listing(self, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        encoded = query.get("encoding-type") == "url"
        text: Callable[[str], str] = quote if encoded else escape
        mine = not encoded or not self.only_wildcards
        found = self.objects() | (dict.fromkeys(self.planted, EVIL) if mine else {})
        lines, folders = [], set()
        if delimiter and prefix.endswith("/klines/"):
            folders |= {f"{prefix}{symbol}/" for symbol in self.symbols}
        for key in sorted(found):
            if not key.startswith(prefix):
                continue
            below = key[len(prefix) :]
            if delimiter and delimiter in below:
                folders.add(prefix + below.partition("/")[0] + "/")
                continue
            lines.append(
                f"<Contents><Key>{text(key)}</Key><Size>{len(found[key])}</Size>"
                f"<ETag>&quot;{hashlib.md5(found[key]).hexdigest()}&quot;</ETag>"
                "<LastModified>2024-01-02T00:00:00.000Z</LastModified></Contents>"
            )
        lines += [
            f"<CommonPrefixes><Prefix>{text(f)}</Prefix></CommonPrefixes>" for f in sorted(folders)
        ]
        kind = "<EncodingType>url</EncodingType>" if encoded else ""
        return (
            f"<ListBucketResult><Name>{self.bucket}</Name><Prefix>{text(prefix)}</Prefix>{kind}"
            f"<KeyCount>{len(lines)}</KeyCount><IsTruncated>false</IsTruncated>{''.join(lines)}"
            "</ListBucketResult>"
        ).encode()

    def answer(self, path: str) -> tuple[int, bytes]:
        parts = urlsplit(path)
        key = unquote(parts.path)[1:].partition("/")[2]
        self.asked.append(("list" if not key else "get", key))
        if not key:
            return 200, self.listing({k: v[0] for k, v in parse_qs(parts.query).items()})
        if key in self.planted:
            return 200, EVIL
        found = self.objects().get(key)
        return (404, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else (200, found)


@contextmanager
def served(endpoint: Endpoint) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            status, body = endpoint.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
            self.send_header("Last-Modified", "Tue, 02 Jan 2024 00:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class World:
    """A home with a lake in it, an archive of five days, and what stands where before and after."""

    def __init__(self, home: Path, endpoint: Endpoint, url: str) -> None:
        self.home, self.endpoint = home, endpoint
        self.root = home / "work" / "lake"
        self.archive = cl.Archive(bucket=endpoint.bucket, endpoint_url=url, region="us-east-1")
        self.keys = sorted(key for key in endpoint.objects() if key.endswith(".zip"))
        first = datetime(2020, 1, 1, tzinfo=UTC)
        self.query = (
            cl.query().markets("spot").klines("1m").symbols("BTCUSDT")
            .between(first.date(), (first + timedelta(4)).date())
        )  # fmt: skip
        for name in (".bashrc", "work/notes.txt", "x", "work/x"):
            path = home / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text("mine")

    @property
    def lake(self) -> cl.Lake:
        return cl.Lake(self.root, source=self.archive)

    def outside(self) -> dict[str, bytes]:
        """Every file of the home that is not in the lake."""
        return {
            str(path): path.read_bytes()
            for path in self.home.rglob("*")
            if path.is_file() and not path.is_relative_to(self.root)
        }

    def verified(self) -> dict[str, bytes]:
        """Every file of Bronze and every segment."""
        kept = [*self.root.glob("bronze/**/*"), *self.root.glob("meta/*/*.parquet")]
        return {str(path): path.read_bytes() for path in kept if path.is_file()}

    def planted(self) -> list[Path]:
        """Files anywhere with the planted bytes."""
        roots = [*self.home.rglob("*"), *Path("/").glob("x"), *Path("/etc").glob("x")]
        return [path for path in roots if path.is_file() and path.read_bytes() == EVIL]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "archive"
    write_archive(folder, 5)
    endpoint = Endpoint(folder, "archive")
    with served(endpoint) as url:
        yield World(tmp_path / "home", endpoint, url)


def climbing(world: World) -> list[str]:
    """Keys that begin as the wildcard's do and go on with each of the names."""
    up = "../" * 40
    stem = f"{FOLDER}BTCUSDT-1m-2020-"
    targets = [
        f"{up}{str(world.home)[1:]}/.bashrc",
        f"{'../' * 8}bronze/{world.keys[0]}",
        f"{'../' * 8}files/29990101T000000000000-aaaaaaaa.parquet",
        f"{up}x",
    ]
    readable = [name for name in NAMES if "\0" not in name]  # XML holds no NUL
    return [
        f"{stem}{join}{name}" for join in ("", "/", "01-01.zip/") for name in [*targets, *readable]
    ]


def test_keys_in_a_wildcards_answer_are_written_nowhere(world: World):
    before = world.outside()
    world.endpoint.planted = climbing(world)
    plan = world.lake.plan(world.query, progress=False)
    assert "*" in plan.commands()[0]
    report = world.lake.transfer(plan, progress=False)
    assert (report.transferred, report.ok) == (5, True)
    assert world.outside() == before
    assert world.planted() == []
    assert {
        p.relative_to(world.root / "bronze").as_posix() for p in world.root.rglob("*.zip")
    } == set(world.keys)
    assert any(".." in key for _, key in world.endpoint.asked)  # the wildcard did meet them


def test_a_second_run_leaves_verified_files_and_segments_as_they_are(world: World):
    lake = world.lake
    lake.transfer(lake.plan(world.query, progress=False), progress=False)
    before, outside = world.verified(), world.outside()
    (world.root / "bronze" / world.keys[4]).unlink()
    world.endpoint.planted = climbing(world)
    later = world.lake
    later.transfer(later.plan(world.query, progress=False), progress=False)
    after = world.verified()
    assert {path: after.get(path) for path in before} == before
    assert world.outside() == outside
    assert world.planted() == []


def test_listed_keys_that_are_no_names_are_not_planned(world: World):
    before = world.outside()
    world.endpoint.only_wildcards = False
    world.endpoint.planted = climbing(world) + [
        f"data/spot/daily/klines/{name}/1m/{name}-1m-2020-01-01.zip" for name in NAMES
    ]
    world.endpoint.symbols = [*NAMES, "BTCUSDT"]
    plan = world.lake.plan(world.query.symbols("*"), progress=False)
    assert set(world.keys) <= set(plan.files["key"])
    for key in plan.files["key"]:
        folders = key.split("/")
        assert key.startswith("data/spot/daily/klines/")
        assert not {"", ".", ".."} & set(folders)
        assert not {"\0", "\\"} & set(key)
    world.lake.transfer(plan, progress=False)
    assert world.outside() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_file_with_such_a_key_moves_nothing_outside(world: World, name: str):
    before = world.outside()
    plan = world.lake.plan(world.query, progress=False)
    path = world.home / "plan.json"
    plan.save(path)
    said = json.loads(path.read_text())
    place = {column: number for number, column in enumerate(said["columns"])}
    keys = [f"{FOLDER}{name}", f"data/spot/daily/klines/{name}/1m/{name}-1m-2020-01-01.zip", name]
    for number, key in enumerate(keys):
        said["files"][number][place["key"]] = key
        said["files"][number][place["selector"]] = None
        path.write_text(json.dumps(said))
        try:
            world.lake.transfer(
                cl.Plan.load(path), progress=False, options={"retries": 0, "engine_retries": 0}
            )
        except cl.CryptolakeError:
            continue
    path.unlink()
    assert world.outside() == before
    assert world.planted() == []


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x", "a\0b", ""])
def test_a_ledger_with_such_a_key_reaches_nothing_outside(world: World, name: str):
    lake = world.lake
    lake.pull(world.query, progress=False)
    segment = next((world.root / "meta/files").glob("*.parquet"))
    rows = pl.read_parquet(segment)
    more = rows.head(1).with_columns(key=pl.lit(name))
    more.write_parquet(segment.with_name("29990101T000000000000-aaaaaaaa.parquet"))
    before = world.outside()
    with pytest.warns(cl.DamagedLakeWarning):
        world.lake.verify()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.DamagedLakeWarning)
        world.lake.build(progress=False)
        world.lake.plan(world.query, progress=False)
        world.lake.pull(world.query, progress=False)
    assert world.outside() == before
    assert all((world.root / "bronze" / key).is_file() for key in world.keys)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n and "\0" not in n and len(n) < 300] + ["../../../bronze/x"]
)
def test_a_zips_member_is_no_path(world: World, name: str):
    put(world.endpoint.root, world.keys[0], zipped(name, "1,2\n"))
    before = world.outside()
    report = world.lake.pull(world.query, progress=False)
    assert report.transferred + report.quarantined == 5
    assert world.outside() == before


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "", ".", "é" * 300, "a\0b", "..\\x"])
def test_a_checksums_name_is_no_path(world: World, name: str):
    key = world.keys[0]
    data = (world.endpoint.root / key).read_bytes()
    put(world.endpoint.root, key, data, f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
    before = world.outside()
    report = world.lake.transfer(world.lake.plan(world.query, progress=False), progress=False)
    assert (report.transferred, report.quarantined) == (4, 1)
    assert world.outside() == before


LINKS = [
    *(
        "bronze",
        "bronze/data",
        f"bronze/{FOLDER}".rstrip("/"),
        "meta/incoming",
        "meta/files",
        "meta/quarantine",
    ),
    *("meta/drafts", "silver", "silver/market=spot"),
]


@pytest.mark.parametrize("link", LINKS)
def test_nothing_is_written_or_deleted_through_a_link_that_leads_out(world: World, link: str):
    far = world.home / "elsewhere"
    for name in ("data/a.txt", "run/b.txt", "run/.lock", "c.zip"):
        (far / name).parent.mkdir(parents=True, exist_ok=True)
        (far / name).write_text("mine")
    path = world.root / link
    path.parent.mkdir(parents=True)
    path.symlink_to(far)
    before = world.outside()
    put(world.endpoint.root, world.keys[0], zipped("other.csv", "1\n"))  # it is for quarantine
    try:
        world.lake.pull(world.query, progress=False)
    except cl.StorageError as error:
        assert "leads out of the lake" in str(error)  # noqa: PT017
    assert world.outside() == before


def test_links_in_staging_are_not_taken(world: World):
    far = world.home / "elsewhere"
    (far / "data").mkdir(parents=True)
    (far / "data" / "half").write_text("mine")
    (far / "half").write_text("mine")
    incoming = world.root / "meta" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "dead").symlink_to(far)
    (incoming / "data").symlink_to(far / "data")
    (far / ".lock").touch()
    before = world.outside()
    assert world.lake.pull(world.query, progress=False).ok
    assert world.outside() == before
