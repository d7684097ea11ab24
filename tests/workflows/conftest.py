"""An archive and a bucket for lakes at one endpoint, and the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from cryptolake.sample.server import serve_archive
from tests.cli.conftest import run

__all__ = ["run"]  # the fixture that runs the program


@pytest.fixture(scope="session")
def one_endpoint(sample_archive: Path) -> Iterator[str]:
    """The sample archive, and beside it the bucket ``flows``: copies inside S3 are possible."""
    with serve_archive(sample_archive, lakes=["flows"]) as served:
        client = boto3.client(
            "s3",
            endpoint_url=served.endpoint,
            aws_access_key_id="k",
            aws_secret_access_key="s",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="flows")
        yield served.endpoint


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, one_endpoint: str) -> dict[str, str]:
    """The environment of somebody who may write the bucket."""
    found = {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": one_endpoint,
        "AWS_REGION": "us-east-1",
        "CRYPTOLAKE_ENDPOINT_URL": one_endpoint,
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found
