"""Lakes for the readers: empty ones on a disk and in a bucket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cryptolake.meta import Meta
from cryptolake.storage import Storage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "lake")


@pytest.fixture
def meta(storage: Storage) -> Meta:
    return Meta(storage)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback that can be written."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="lakes")
    yield url
    server.stop()


@pytest.fixture
def s3_storage(s3_endpoint: str) -> Storage:
    """A new lake in a bucket."""
    options = {
        "key": "k",
        "secret": "s",
        "endpoint_url": s3_endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    return open_storage(f"s3://lakes/{secrets.token_hex(4)}/my lake", options)
