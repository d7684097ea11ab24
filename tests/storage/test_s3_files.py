"""A lake in a bucket, over a real S3 endpoint on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl
import pytest

from cryptolake.errors import StorageError
from cryptolake.storage.files import S3Storage, open_storage
from cryptolake.storage.tables import Meta


def test_files_round_trip_below_the_prefix(bucket_options: dict[str, Any]) -> None:
    storage = open_storage("s3://lakes/one", bucket_options)
    assert storage.list("meta") == []
    storage.write("meta/a/b", b"12")
    (entry,) = storage.list("meta")
    assert (entry.path, entry.size) == ("meta/a/b", 2)
    assert storage.read("meta/a/b") == b"12"
    assert storage.exists("meta/a/b")
    assert not storage.exists("meta/a")
    storage.delete("meta/a/b")
    storage.delete("meta/a/b")
    with pytest.raises(FileNotFoundError):
        storage.read("meta/a/b")


def test_a_folder_that_gets_its_first_object_while_it_is_listed_is_no_file(
    bucket_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, other = (S3Storage("s3://lakes/race", bucket_options) for _ in range(2))
    real = storage.filesystem._lsdir
    seen: list[Any] = []

    async def listed(*asked: Any, **given: Any) -> Any:
        found = await real(*asked, **given)
        if not seen:  # another process writes just after the listing
            seen.append(found)
            await asyncio.to_thread(other.write, "meta/runs/first.parquet", b"1")
        return found

    monkeypatch.setattr(storage.filesystem, "_lsdir", listed)
    assert storage.list("meta/runs") == []
    assert seen == [[]]
    assert [entry.path for entry in storage.list("meta/runs")] == ["meta/runs/first.parquet"]


def test_a_missing_bucket_is_said_in_words(bucket_options: dict[str, Any]) -> None:
    storage = open_storage("s3://absent/x", bucket_options)
    asks = [lambda: storage.write("meta/x", b""), lambda: storage.list("meta"), storage.begun]
    for ask in asks:
        with pytest.raises(StorageError, match="there is no bucket 'absent'"):
            ask()


def test_a_lake_has_begun_when_something_of_it_is_there(bucket_options: dict[str, Any]) -> None:
    storage = open_storage("s3://lakes/begun", bucket_options)
    assert not storage.begun()
    storage.write("holiday.jpg", b"")
    assert not storage.begun()
    storage.write("meta/x", b"")
    assert storage.begun()


def test_an_endpoint_that_refuses_is_said_in_words() -> None:
    options = {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9"}
    storage = open_storage(
        "s3://lakes", {**options, "config_kwargs": {"retries": {"max_attempts": 0}}}
    )
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
        storage.write("meta/x", b"")


def test_credentials_are_in_no_text(bucket_options: dict[str, Any]) -> None:
    storage = open_storage("s3://lakes/x", {**bucket_options, "secret": "hunter2"})
    assert "hunter2" not in f"{storage.root} {storage.url('a')} {storage!r}"


def test_polars_reads_where_the_storage_wrote(bucket_options: dict[str, Any]) -> None:
    storage = open_storage("s3://lakes/two", bucket_options)
    Meta(storage).append("runs", [{"run_id": "r", "files": 3}])
    scan = pl.scan_parquet(storage.url("meta/runs/*.parquet"), **storage.polars_arguments)
    assert scan.select("files").collect().item() == 3


def test_the_endpoint_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5")
    assert S3Storage("s3://b").config.endpoint == "http://127.0.0.1:5"
