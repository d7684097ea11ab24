"""Each option of a bucket, and each client: what it sends, seen by an endpoint that records requests.

DuckDB's httpfs cannot be installed where the tests run: there the secret's parameters are looked at.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs

import cryptolake as cl
from cryptolake.archive.source import Archive
from cryptolake.listing.client import Pages
from cryptolake.readers.duckdb_views import _statements
from cryptolake.storage.files import open_storage
from cryptolake.storage.s3_config import S3Config
from cryptolake.transfer.routing import route
from cryptolake.transfer.s5cmd import find_s5cmd, global_flags
from tests.readers.lakes import build_all, days, put_days
from tests.storage.s3_recorder import Recorder, Request, authority, recorder

BUCKET, KEY = "lakes", "x.parquet"
HOST = "http://s3.test"
"""An endpoint without a name service: it is reached through the recorder as a proxy."""

KEYS = {"key": "GIVEN", "secret": "sesame"}


# ---------------------------------------------------------------------- clients: each makes its requests


def by_listing(config: S3Config) -> None:
    archive = Archive(bucket=BUCKET, endpoint_url=config.endpoint, region=config.region or "r")
    list(Pages(archive, config=config).of(""))


def by_boto3(config: S3Config) -> None:
    client = config.boto3(retries={"total_max_attempts": 1})
    client.put_object(Bucket=BUCKET, Key="new", Body=b"1")
    client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()


def by_s3fs(config: S3Config) -> None:
    files = s3fs.S3FileSystem(**config.s3fs())
    files.pipe_file(f"{BUCKET}/new", b"1")
    files.cat_file(f"{BUCKET}/{KEY}")


def by_polars(config: S3Config) -> None:
    arguments = config.polars(BUCKET)
    arguments["storage_options"]["max_retries"] = 0
    assert pl.scan_parquet(f"s3://{BUCKET}/{KEY}", glob=False, **arguments).collect().height == 2


def by_s5cmd(config: S3Config) -> None:
    s5cmd = config.s5cmd(global_flags)
    copy = [word for pair in config.s5cmd_copy().items() for word in pair]
    objects = [f"s3://{BUCKET}/{KEY}", f"s3://{BUCKET}/new"]
    command = [str(find_s5cmd()), "--retry-count", "0", *s5cmd.flags, "cp", *copy, *objects]
    done = subprocess.run(
        command, env=s5cmd.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


CLIENTS: dict[str, Callable[[S3Config], None]] = {
    "listing": by_listing,
    "boto3": by_boto3,
    "s3fs": by_s3fs,
    "polars": by_polars,
    "s5cmd": by_s5cmd,
}
WRITERS = {"boto3", "s3fs", "s5cmd"}
"""Clients of the table that write objects; the others only read."""


# ---------------------------------------------------------------------- options: the rows of the table


@dataclass(frozen=True)
class Case:
    """An option, where it is given, and what has to be seen of it.

    In options, environment and configuration file ``{url}``, ``{proxy}`` and ``{ca}`` stand for the
    endpoint, the recorder as a proxy with a login, and the file of its certificate authority.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    file: str = ""
    tls: bool = False
    seen: Callable[[Request], object] = lambda _: None
    want: object = None
    writes: bool = False
    """Whether only requests that write carry it; else all do."""


def header(name: str) -> Callable[[Request], object]:
    return lambda request: request.headers.get(name)


def checksums(request: Request) -> list[str]:
    return sorted(name for name in request.headers if "checksum" in name)


def secure(request: Request) -> object:
    return request.secure


def login(request: Request) -> object:
    return request.proxied


def place(request: Request) -> object:
    return request.host, "/lakes" in request.path.removeprefix(f"http://{request.host}")


def key(request: Request) -> object:
    return request.scope and request.scope[0]


def region(request: Request) -> object:
    return request.scope and request.scope[1]


AT = {"endpoint_url": "{url}"}
GIVEN = {**KEYS, **AT}
PROFILES = """[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = s
[profile other]
aws_access_key_id = OTHER
aws_secret_access_key = s
region = eu-file-1
"""
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "ENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "s"}
SSE, KMS = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"
ME = "Basic bWU6cGFzcw=="
THROUGH = {"config_kwargs": {"proxies": {"http": "{proxy}"}}}


def styled(style: str) -> dict[str, Any]:
    proxied: dict[str, Any] = THROUGH["config_kwargs"]
    return {"config_kwargs": {**proxied, "s3": {"addressing_style": style}}}


CASES = [
    Case("keys", options=GIVEN, seen=key, want="GIVEN"),
    Case("keys of the environment", options=AT, environment=ENV_KEYS, seen=key, want="ENVIRONMENT"),
    Case("keys of a file", options=AT, file=PROFILES, seen=key, want="DEFAULT"),
    Case(
        "keys by other names",
        options={**AT, "username": "NAMED", "password": "s"},
        seen=key,
        want="NAMED",
    ),
    Case(
        "token",
        options={**GIVEN, "token": "TOKEN"},
        seen=header("x-amz-security-token"),
        want="TOKEN",
    ),
    Case(
        "token of the environment",
        options=AT,
        environment={**ENV_KEYS, "AWS_SESSION_TOKEN": "T2"},
        seen=header("x-amz-security-token"),
        want="T2",
    ),
    Case(
        "no token beside given keys",
        options=GIVEN,
        environment={**ENV_KEYS, "AWS_SESSION_TOKEN": "T2"},
        seen=header("x-amz-security-token"),
    ),
    Case(
        "profile",
        options={**AT, "profile": "other"},
        environment=ENV_KEYS,
        file=PROFILES,
        seen=key,
        want="OTHER",
    ),
    Case(
        "profile of the environment",
        options=AT,
        environment={"AWS_PROFILE": "other"},
        file=PROFILES,
        seen=key,
        want="OTHER",
    ),
    Case("anonymous", options={**AT, "anon": True}, environment=ENV_KEYS, seen=key),
    Case(
        "region",
        options={**GIVEN, "client_kwargs": {"region_name": "eu-1"}},
        environment={"AWS_REGION": "eu-2"},
        seen=region,
        want="eu-1",
    ),
    Case(
        "region of config_kwargs",
        options={**GIVEN, "config_kwargs": {"region_name": "eu-3"}},
        seen=region,
        want="eu-3",
    ),
    Case(
        "region of the environment",
        options=GIVEN,
        environment={"AWS_REGION": "eu-2"},
        seen=region,
        want="eu-2",
    ),
    Case(
        "region of a profile",
        options={**AT, "profile": "other"},
        file=PROFILES,
        seen=region,
        want="eu-file-1",
    ),
    Case(
        "endpoint of client_kwargs",
        options={**KEYS, "client_kwargs": AT},
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        seen=key,
        want="GIVEN",
    ),
    Case(
        "endpoint of the environment",
        options=KEYS,
        environment={"AWS_ENDPOINT_URL": "{url}"},
        seen=key,
        want="GIVEN",
    ),
    Case(
        "endpoint for S3 of the environment",
        options=KEYS,
        environment={"AWS_ENDPOINT_URL_S3": "{url}", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        seen=key,
        want="GIVEN",
    ),
    Case(
        "endpoint of a file",
        options=KEYS,
        file="[default]\nendpoint_url = {url}\n",
        seen=key,
        want="GIVEN",
    ),
    Case(
        "endpoint of a file's services",
        options=KEYS,
        file="[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = {url}\n",
        seen=key,
        want="GIVEN",
    ),
    Case(
        "certificates",
        options={**GIVEN, "client_kwargs": {"verify": "{ca}"}},
        tls=True,
        seen=secure,
        want=True,
    ),
    Case(
        "certificates by AWS_CA_BUNDLE alone",
        options=GIVEN,
        environment={"AWS_CA_BUNDLE": "{ca}"},
        tls=True,
        seen=secure,
        want=True,
    ),
    Case(
        "certificates by REQUESTS_CA_BUNDLE alone",
        options=GIVEN,
        environment={"REQUESTS_CA_BUNDLE": "{ca}"},
        tls=True,
        seen=secure,
        want=True,
    ),
    Case(
        "certificates of a file",
        options=GIVEN,
        file="[default]\nca_bundle = {ca}\n",
        tls=True,
        seen=secure,
        want=True,
    ),
    Case(
        "no verification",
        options={**GIVEN, "client_kwargs": {"verify": False}},
        tls=True,
        seen=secure,
        want=True,
    ),
    Case("proxies", options={**KEYS, "endpoint_url": HOST, **THROUGH}, seen=login, want=ME),
    Case(
        "proxies of the environment",
        options={**KEYS, "endpoint_url": HOST},
        environment={"HTTP_PROXY": "{proxy}", "http_proxy": "{proxy}"},
        seen=login,
        want=ME,
    ),
    Case(
        "proxies before a TLS endpoint",
        options={
            **KEYS,
            "endpoint_url": "https://s3.test",
            "config_kwargs": {"proxies": {"https": "{proxy}"}},
            "client_kwargs": {"verify": "{ca}"},
        },
        tls=True,
        seen=lambda request: (request.proxied, request.secure),
        want=(ME, True),
    ),
    Case("no checksum headers", options=GIVEN, seen=checksums, want=[]),
    Case(
        "addressing style auto",
        options={**KEYS, "endpoint_url": HOST, **THROUGH},
        seen=place,
        want=("s3.test", True),
    ),
    Case(
        "addressing style path",
        options={**KEYS, "endpoint_url": HOST, **styled("path")},
        seen=place,
        want=("s3.test", True),
    ),
    Case(
        "addressing style virtual",
        options={**KEYS, "endpoint_url": HOST, **styled("virtual")},
        seen=place,
        want=("lakes.s3.test", False),
    ),
    Case(
        "addressing style of a file",
        options={**KEYS, "endpoint_url": HOST, **THROUGH},
        file="[default]\ns3 =\n  addressing_style = virtual\n",
        seen=place,
        want=("lakes.s3.test", False),
    ),
    Case(
        "encryption",
        options={**GIVEN, "s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        seen=header(SSE),
        want="AES256",
        writes=True,
    ),
    Case(
        "encryption by a key of KMS",
        options={
            **GIVEN,
            "s3_additional_kwargs": {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": "arn:aws:kms:r:1:key/k",
            },
        },
        seen=lambda request: (request.headers.get(SSE), request.headers.get(KMS)),
        want=("aws:kms", "arn:aws:kms:r:1:key/k"),
        writes=True,
    ),
    Case(
        "requester pays",
        options={**GIVEN, "requester_pays": True},
        seen=header("x-amz-request-payer"),
        want="requester",
    ),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, Path]]:
    return authority(tmp_path_factory.mktemp("certificates"), "s3.test", "*.s3.test")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy or certificate of the machine reaches a test, and none that a test sets remains."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def plain() -> Iterator[Recorder]:
    with recorder() as found:
        found.objects[f"{BUCKET}/{KEY}"] = parquet()
        yield found


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": [1, 2]}).write_parquet(file)
    return file.getvalue()


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(inner, names) for name, inner in value.items()}
    if not isinstance(value, str):
        return value
    for name, text in names.items():
        value = value.replace(f"{{{name}}}", text)
    return value


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_client_does_what_is_configured(
    case: Case,
    client: str,
    certificates: tuple[Path, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    ca, server = certificates
    with recorder(server if case.tls else None) as found:
        found.objects[f"{BUCKET}/{KEY}"] = parquet()
        proxy = f"http://me:pass@127.0.0.1:{found.port}"
        names = {"url": found.url, "proxy": proxy, "ca": str(ca)}
        for name, value in filled(case.environment, names).items():
            monkeypatch.setenv(name, value)
        (tmp_path / "config").write_text(filled(case.file, names))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        config = S3Config.of(filled(case.options, names))
        if client == "s5cmd" and config.style == "virtual":
            with pytest.raises(cl.InvalidQuery, match="s5cmd writes the bucket into the path"):
                CLIENTS[client](config)
            return
        CLIENTS[client](config)
    assert found.requests
    if case.writes:
        wrote = {case.seen(request) for request in found.requests if request.method == "PUT"}
        assert wrote == ({case.want} if client in WRITERS else set())
        assert not {SSE, KMS} & {h for r in found.requests if r.method != "PUT" for h in r.headers}
    else:
        for request in found.requests:
            assert case.seen(request) == case.want, request


@pytest.mark.parametrize("client", ["boto3", "s3fs"])
@pytest.mark.parametrize("where", ["options", "environment", "file"])
def test_checksum_headers_are_sent_where_they_are_asked_for(
    plain: Recorder, client: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("request_checksum_calculation", "response_checksum_validation")
    policy = dict.fromkeys(names, "when_supported")
    options: dict[str, Any] = {**KEYS, "endpoint_url": plain.url}
    if where == "options":
        options["config_kwargs"] = policy
    elif where == "environment":
        for name in names:
            monkeypatch.setenv(f"AWS_{name.upper()}", "when_supported")
    else:
        lines = "".join(f"{name} = when_supported\n" for name in names)
        (tmp_path / "config").write_text(f"[default]\n{lines}")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    CLIENTS[client](S3Config.of(options))
    put = next(request for request in plain.requests if request.method == "PUT")
    get = next(request for request in plain.requests if request.method == "GET")
    assert "x-amz-sdk-checksum-algorithm" in put.headers
    assert get.headers["x-amz-checksum-mode"] == "ENABLED"


# ---------------------------------------------------------------------- a lake


def test_a_lake_is_written_and_read_by_a_profile_and_certificates_of_the_environment(
    certificates: tuple[Path, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ca, server = certificates
    (tmp_path / "config").write_text(PROFILES)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca))
    week = days("2024-01-30", 3)
    query = cl.query().markets("spot").klines("1m").symbols("*").between(week[0], week[-1])
    with recorder(server) as found:
        options = {"profile": "other", "endpoint_url": found.url}
        lake = cl.Lake("s3://lakes/root", storage_options=options)
        put_days(lake.storage, lake.meta, ["BTCUSDT"], week, rows=3)
        build_all(lake.storage, lake.meta)
        assert lake.silver(query).collect().height == 9
        assert lake.bronze(query).collect().height == 9
        assert lake.sql("select count(*) from silver.spot_klines").fetchall() == [(9,)]
    assert {key(request) for request in found.requests} == {"OTHER"}
    # S3 demands a checksum of a request that removes several objects; a store that refuses it is asked
    # for each of them.
    plain = [request for request in found.requests if not request.path.endswith("?delete")]
    assert not [header for request in plain for header in checksums(request)]


def test_what_polars_trusts_is_added_to_what_the_process_trusts(
    certificates: tuple[Path, tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, second = certificates[0], authority(tmp_path, "s3.test")[0]
    S3Config(certificates=str(first)).polars(BUCKET)
    S3Config(certificates=str(second)).polars(BUCKET)
    trusted = Path(os.environ["SSL_CERT_FILE"]).read_text()
    assert first.read_text() in trusted
    assert second.read_text() in trusted
    monkeypatch.setenv("SSL_CERT_FILE", str(first))
    S3Config(certificates=str(second)).polars(BUCKET)
    assert os.environ["SSL_CERT_FILE"] == str(first)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(cl.StorageError, match="cannot be read"):
        S3Config(certificates="/no/such.pem").polars(BUCKET)


# ---------------------------------------------------------------------- DuckDB's httpfs


def test_httpfs_gets_all_of_it_in_a_secret():
    given = {
        **KEYS,
        "token": "T",
        "endpoint_url": "https://s3.test:9000",
        "requester_pays": True,
        "client_kwargs": {"region_name": "eu-1", "verify": "/ca.pem"},
        "config_kwargs": {"proxies": {"https": "http://proxy:3128"}},
        "s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "it's"},
    }
    config = S3Config.of(given)
    wanted = config.httpfs(BUCKET)
    assert wanted is not None
    setting, secret = _statements(wanted, "s3://lakes/root")
    assert setting == "SET GLOBAL ca_cert_file = '/ca.pem'"
    assert secret == (
        "CREATE OR REPLACE TEMPORARY SECRET cryptolake (TYPE s3, KEY_ID 'GIVEN', SECRET 'sesame', "
        "SESSION_TOKEN 'T', REGION 'eu-1', ENDPOINT 's3.test:9000', URL_STYLE 'path', USE_SSL 'true', "
        "KMS_KEY_ID 'it''s', REQUESTER_PAYS 'true', HTTP_PROXY 'proxy:3128', SCOPE 's3://lakes/root')"
    )


@pytest.mark.parametrize(
    ("options", "style"),
    [
        ({}, "vhost"),
        ({"endpoint_url": HOST}, "path"),
        ({"endpoint_url": HOST, **styled("virtual")}, "vhost"),
    ],
)
def test_httpfs_addresses_the_bucket_as_the_others_do(options: dict[str, Any], style: str):
    found = S3Config.of(filled({**KEYS, **options}, {"proxy": "http://proxy:1"})).httpfs(BUCKET)
    assert found is not None
    assert found.secret["URL_STYLE"] == style


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"anon": True},
        {**KEYS, "config_kwargs": {"proxies": {"https": "http://me:pass@proxy:1"}}},
    ],
)
def test_s3fs_reads_where_a_secret_would_not_do(options: dict[str, Any]):
    assert S3Config.of(options).httpfs(BUCKET) is None


# ---------------------------------------------------------------------- what cannot be is said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"session": object()}, "session: it reaches s3fs alone; name a profile"),
        ({"use_ssl": False}, "use_ssl=False: write it as the endpoint"),
        ({"s3_additional_kwargs": {"SSECustomerKey": "k"}}, "keys of your own"),
        ({"endpoint_url": "http://me:pass@h"}, "endpoint_url is wrong"),
        ({"endpoint_url": "minio:9000"}, "endpoint_url is wrong"),
        ({"config_kwargs": {"s3": {"addressing_style": "vhost"}}}, "addressing style 'vhost'"),
        ({"config_kwargs": {"request_checksum_calculation": "never"}}, "checksum policy 'never'"),
    ],
)
def test_an_option_that_not_all_can_follow_is_refused(options: dict[str, Any], why: str):
    with pytest.raises(cl.InvalidQuery, match=why) as caught:
        S3Config.of(options)
    assert "pass@" not in str(caught.value)


def test_a_profile_that_is_not_there_is_an_error_of_the_lakes():
    lake = cl.Lake("s3://lakes", storage_options={"profile": "nobody"})
    with pytest.raises(cl.StorageError, match="nobody"):
        lake.datasets()


def test_a_lake_without_credentials_says_so():
    with pytest.raises(cl.StorageError, match="needs credentials"):
        S3Config.of({"endpoint_url": HOST}).s5cmd()


def test_polars_cannot_leave_the_environments_proxy_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    config = S3Config.of({**KEYS, "endpoint_url": HOST, "config_kwargs": {"proxies": {}}})
    with pytest.raises(cl.InvalidQuery, match=r"put s3\.test into NO_PROXY"):
        config.polars(BUCKET)


@pytest.mark.parametrize(
    "options",
    [styled("virtual"), {"s3_additional_kwargs": {"BucketKeyEnabled": True}}],
)
def test_what_s5cmd_cannot_copy_is_relayed_and_direct_says_why(options: dict[str, Any]):
    lake = open_storage("s3://lakes", {**KEYS, "endpoint_url": HOST, **options})
    archive = Archive(endpoint_url=HOST)
    chosen = route("auto", archive, lake)
    assert chosen.modes == ("relay", "traditional")
    assert "s5cmd" in chosen.reason
    with pytest.raises(cl.InvalidQuery, match=r"s5cmd .* use mode relay"):
        route("direct", archive, lake)


def test_a_newer_s5cmd_takes_the_style_as_a_flag():
    config = S3Config(endpoint=HOST, key="k", secret="s", style="virtual")
    assert "--addressing-style virtual" in " ".join(
        config.s5cmd(lambda: ["--addressing-style"]).flags
    )


def test_the_flags_that_are_used_are_flags_of_this_s5cmd():
    used = {"--no-sign-request", "--endpoint-url", "--no-verify-ssl", "--request-payer"}
    assert used <= global_flags()


# ---------------------------------------------------------------------- secrets


def test_no_text_shows_a_credential(plain: Recorder):
    secrets = ["sesame", "hidden", "t0ken", "KMSKEY"]
    config = S3Config.of(
        {
            "key": "GIVEN",
            "secret": "sesame",
            "token": "t0ken",
            "endpoint_url": plain.url,
            "config_kwargs": {"proxies": {"http": "http://me:hidden@proxy:1"}},
            "s3_additional_kwargs": {"SSEKMSKeyId": "KMSKEY"},
        }
    )
    frame = pl.LazyFrame({"a": [1]})
    shown = [config, config.http(plain.url), config.s5cmd(), config.httpfs(BUCKET), config.chain]
    shown += [config.s5cmd().flags, frame.explain()]
    assert not [secret for secret in secrets if secret in repr(shown)]


def test_credentials_of_the_chain_are_not_pickled(monkeypatch: pytest.MonkeyPatch):
    for name, value in ENV_KEYS.items():
        monkeypatch.setenv(name, value)
    chain = S3Config.of().chain
    assert chain()[0]["aws_access_key_id"] == "ENVIRONMENT"
    assert b"ENVIRONMENT" not in pickle.dumps(chain)
    assert pickle.loads(pickle.dumps(chain))()[0] == chain()[0]
