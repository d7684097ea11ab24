"""The Archive: a value without secrets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import cryptolake as cl
from cryptolake.archive.source import ENDPOINT_VARIABLE


def test_the_public_archive_is_what_an_archive_is_without_words():
    archive = cl.Archive()
    assert (archive.bucket, archive.region, archive.anonymous) == (
        "data.binance.vision",
        "ap-northeast-1",
        True,
    )
    assert archive.endpoint is None


def test_the_environment_says_the_endpoint_where_none_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:9000/")
    assert cl.Archive().endpoint == "http://127.0.0.1:9000"
    assert cl.Archive(endpoint_url="https://s3.example").endpoint == "https://s3.example"


def test_an_environment_that_holds_no_url_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENDPOINT_VARIABLE, "127.0.0.1:9000")
    with pytest.raises(cl.InvalidQuery, match=ENDPOINT_VARIABLE):
        _ = cl.Archive().endpoint


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "nonsense",
        "http://",
        "http://a b",
        "http://h:port",
        "http://h/?x=1",
        "http://'h'",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str):
    with pytest.raises(cl.InvalidQuery, match="endpoint"):
        cl.Archive(endpoint_url=url)


def test_credentials_in_a_url_are_refused_and_not_repeated():
    with pytest.raises(cl.InvalidQuery) as caught:
        cl.Archive(endpoint_url="https://user:hunter2@s3.example")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("bucket", ["", "A", "two words", "x/y", "a'b", "*", "x" * 64])
def test_what_is_no_bucket_name_is_refused(bucket: str):
    with pytest.raises(cl.InvalidQuery, match="bucket"):
        cl.Archive(bucket=bucket)


def test_archives_are_values():
    assert cl.Archive() == cl.Archive(bucket="data.binance.vision")
    assert hash(cl.Archive()) == hash(cl.Archive())
    with pytest.raises(ValidationError):
        cl.Archive().bucket = "other"  # type: ignore[misc]
    assert cl.Archive(endpoint_url="http://a").tag != cl.Archive(endpoint_url="http://b").tag
