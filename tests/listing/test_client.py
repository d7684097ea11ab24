"""Asking for pages: over the network as it is, with and without signatures."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import pytest
from urllib3 import HTTPResponse

import cryptolake as cl
from cryptolake.listing import client
from cryptolake.listing.client import Pages
from tests.listing.tunnel import certificate, tunnel
from tests.transfer.proxy import Fault, proxied
from tests.transfer.servers import BUCKET, hadro

KEY, SECRET = "AKIAEXAMPLE", "se/cr+et"
STRANGE = ["s/a b&c=d.zip", "s/a+b%20c.zip", "s/~'()*!.zip", "s/龙虾USDT/é.zip"]
MANY = [f"many/{n:04d}.zip" for n in range(1003)]


class Endpoint(NamedTuple):
    """A server, and whether it wants signatures."""

    url: str
    signed: bool

    def pages(self, url: str = "") -> Pages:
        return Pages(cl.Archive(endpoint_url=url or self.url, anonymous=not self.signed))


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("buckets")
    for key in [*STRANGE, *MANY, "top.zip"]:
        path = root / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key, "utf-8")
    return root


@pytest.fixture(scope="module")
def anonymous(buckets: Path) -> Iterator[Endpoint]:
    with hadro(buckets) as url:
        yield Endpoint(url, signed=False)


@pytest.fixture(scope="module")
def signed(buckets: Path) -> Iterator[Endpoint]:
    """A server that checks each signature."""
    region = cl.Archive().region
    with hadro(buckets, "--access-key", KEY, "--secret-key", SECRET, "--region", region) as url:
        yield Endpoint(url, signed=True)


@pytest.fixture(params=["anonymous", "signed"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    found: Endpoint = request.getfixturevalue(request.param)
    if found.signed:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return found


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def keys(pages: Pages, prefix: str, *, after: str = "", limit: int = 1000) -> list[list[str]]:
    found = pages.of(prefix, after=after, limit=limit)
    return [[item.key for item in page.objects] for page in found]


def test_every_letter_of_a_key_arrives_as_it_is(server: Endpoint):
    (page,) = server.pages().of("s/")
    assert [item.key for item in page.objects] == sorted(STRANGE)
    assert [item.size for item in page.objects] == [len(k.encode()) for k in sorted(STRANGE)]
    assert [item.etag for item in page.objects] == [item.etag.strip('"') for item in page.objects]
    for key in STRANGE:
        assert keys(server.pages(), key) == [[key]]


def test_a_limit_and_a_start_are_the_first_pages_alone(server: Endpoint):
    pages = server.pages()
    assert list(map(len, keys(pages, "many/"))) == [1000, 3]
    assert keys(pages, "many/", after=MANY[990], limit=5) == [MANY[991:996], MANY[996:]]
    assert keys(pages, "s/", after="s/a b&c=d.zip") == [sorted(STRANGE)[1:]]
    assert keys(pages, "nothing/") == [[]]


def test_one_level_is_its_folders(server: Endpoint):
    (page,) = server.pages().of("", folders=True)
    assert (page.folders, [item.key for item in page.objects]) == (["many/", "s/"], ["top.zip"])
    (page,) = server.pages().of("s/", folders=True)
    assert page.folders == ["s/龙虾USDT/"]


def test_a_busy_server_and_a_broken_connection_are_asked_again(server: Endpoint):
    faults = {1: Fault("status", 503), 2: Fault("cut", 0.5)}
    with proxied(server.url) as proxy:
        proxy.faults = lambda method, key, nth: faults.get(nth)
        # What a signature covers includes the host, which the proxy leaves as it is.
        assert keys(server.pages(proxy.url), "s/") == [sorted(STRANGE)]
        assert proxy.gets("") == 3


def test_a_server_that_stays_busy_is_left_after_four_attempts(anonymous: Endpoint):
    with proxied(anonymous.url) as proxy:
        proxy.faults = lambda *_: Fault("status", 503)
        with pytest.raises(cl.ListingError, match="slow down"):
            keys(anonymous.pages(proxy.url), "s/")
        assert proxy.gets("") == client.ATTEMPTS


def test_a_connection_that_always_breaks_says_so(anonymous: Endpoint):
    with proxied(anonymous.url) as proxy:
        proxy.down = True
        with pytest.raises(cl.ListingError, match="broke off"):
            keys(anonymous.pages(proxy.url), "s/")


@pytest.mark.parametrize(("said", "waits"), [("3", 3), ("86400", 20), ("soon", None), (None, None)])
def test_a_server_may_say_when_to_come_again_but_not_tomorrow(
    said: str | None, waits: float | None
):
    headers = {"Retry-After": said} if said else {}
    answer = HTTPResponse(status=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
    assert client._RETRIES.get_retry_after(answer) == waits


def test_a_bucket_is_asked_for_in_the_region_that_it_turns_out_to_be_in(anonymous: Endpoint):
    def elsewhere(method: str, key: str, nth: int) -> Fault | None:
        return Fault("status", 301) if nth == 1 else None

    with proxied(anonymous.url) as proxy:
        proxy.faults = elsewhere
        pages = anonymous.pages(proxy.url)
        assert keys(pages, "s/") == keys(pages, "s/") == [sorted(STRANGE)]
        assert proxy.gets("") == 3
        proxy.faults = lambda *_: Fault("status", 301)
        with pytest.raises(cl.ListingError, match="region 'mars-north-1'"):
            keys(pages, "s/")


# ---------------------------------------------------------------------- credentials


def test_wrong_credentials_are_refused_and_none_are_missed(
    signed: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(cl.ListingError, match="needs credentials"):
        keys(signed.pages(), "s/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(cl.ListingError, match="refuses these credentials") as caught:
        keys(signed.pages(), "s/")
    assert KEY not in str(caught.value)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(cl.ListingError, match="nobody"):
        keys(signed.pages(), "s/")


# ---------------------------------------------------------------------- the way there


def test_the_environments_proxy_is_gone_through(
    anonymous: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    with tunnel(port_of(anonymous.url)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"127.0.0.1:{proxy.port}")
        assert keys(anonymous.pages("http://archive.invalid"), "s/") == [sorted(STRANGE)]
        assert proxy.asked == [("archive.invalid", None)]
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        assert keys(anonymous.pages(), "s/") == [sorted(STRANGE)]
    assert len(proxy.asked) == 1


def test_aws_itself_is_reached_through_a_proxy_by_the_certificates_that_are_named(
    buckets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trusted, key = certificate(tmp_path, "s3.ap-northeast-1.amazonaws.com")
    with (
        hadro(buckets, "--tls-cert", str(trusted), "--tls-key", str(key)) as url,
        tunnel(port_of(url)) as proxy,
    ):
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        with pytest.raises(cl.ListingError, match="certificate is not trusted"):
            keys(Pages(cl.Archive()), "s/")
        proxy.asked.clear()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
        assert keys(Pages(cl.Archive()), "s/") == [sorted(STRANGE)]
    login = base64.b64encode(b"me:p@ss").decode()
    assert proxy.asked == [("s3.ap-northeast-1.amazonaws.com:443", f"Basic {login}")]
    # It has ended by now; its password is nobody's business.
    with pytest.raises(cl.ListingError, match="the proxy that the environment names") as caught:
        keys(Pages(cl.Archive()), "s/")
    assert "p%40ss" not in str(caught.value)


def test_certificates_that_are_not_there_are_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(cl.ListingError, match="certificates"):
        keys(Pages(cl.Archive()), "s/")


# ---------------------------------------------------------------------- what is loaded


def loaded(program: str, *arguments: str) -> set[str]:
    """Run a program in a fresh interpreter; return the modules it has loaded."""
    program = f"import json, sys\n{program}\nprint(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_lake_on_a_disk_needs_nothing_of_botocore(archive: cl.Archive, tmp_path: Path):
    program = """
import cryptolake as cl
lake = cl.Lake(sys.argv[1], source=cl.Archive(endpoint_url=sys.argv[2]))
query = cl.query().markets("spot").klines("1d").symbols("BTC*").between("2025-01-01", "2025-01-03")
assert lake.pull(query, progress=False).transferred == 3
assert lake.frame(query, progress=False).height == 3
"""
    found = loaded(program, str(tmp_path / "lake"), str(archive.endpoint))
    assert not found & {"boto3", "botocore", "aiobotocore", "s3fs", "fsspec", "aiohttp"}
    assert "cryptolake.listing.client" in found


def test_botocores_certificates_are_found_without_botocore(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    program = """
from pathlib import Path
from cryptolake.listing.client import usual_certificates
sys.modules["certifi"] = None
found = Path(usual_certificates())
assert found.parent.name == "botocore" and found.is_file(), found
"""
    assert "botocore" not in loaded(program)
