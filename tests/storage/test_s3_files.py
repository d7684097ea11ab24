"""A lake in a bucket, over a real S3 endpoint on loopback."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from cryptolake.errors import StorageError
from cryptolake.storage.files import S3Storage, open_storage
from cryptolake.storage.s3_listing import objects
from cryptolake.storage.tables import Meta, Snapshot
from tests.storage.s3_recorder import recorder


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


def test_an_empty_folder_takes_one_request_and_is_listed_anew_each_time() -> None:
    with recorder() as endpoint:
        endpoint.objects["lakes/race/meta/runs-of-others"] = b""
        options = {"key": "k", "secret": "s", "endpoint_url": endpoint.url}
        storage = S3Storage("s3://lakes/race", options)
        assert storage.list("meta/runs") == []
        assert len(endpoint.requests) == 1
        endpoint.objects["lakes/race/meta/runs/"] = b""  # a folder, as a console makes one
        endpoint.objects["lakes/race/meta/runs/first.parquet"] = b"1"
        assert [entry.path for entry in storage.list("meta/runs")] == ["meta/runs/first.parquet"]
        assert len(endpoint.requests) == 2


def test_a_long_listing_goes_on_behind_the_folders_that_are_left_out(
    bucket_options: dict[str, Any],
) -> None:
    storage = S3Storage("s3://lakes/long", bucket_options)
    names = ["a/1", *(f"b/{number}" for number in range(9)), "b0", "c/1", "c/2", "c/3", "d"]
    for name in names:
        storage.write(f"meta/{name}", b"")
    asked: list[Any] = []

    class Counted:
        def call_s3(self, *what: Any, **given: Any) -> Any:
            asked.append(given)
            return storage.filesystem.call_s3(*what, **given)

    class Heedless(Counted):
        """A store that begins where it likes."""

        def call_s3(self, *what: Any, **given: Any) -> Any:
            return super().call_s3(*what, **{k: v for k, v in given.items() if k != "StartAfter"})

    def listed(store: Counted, *skip: str) -> list[str]:
        asked.clear()
        prefix = "long/meta/"
        left_out = [prefix + name for name in skip]
        found = objects(store, "lakes", prefix, left_out, page_size=3)
        return [item.key.removeprefix(prefix) for item in found]

    assert listed(Counted()) == names
    assert len(asked) == 5
    kept = [name for name in names if not name.startswith("b/")]
    assert listed(Counted(), "b/") == kept
    assert len(asked) == 3
    assert listed(Heedless(), "b/") == kept
    paths = [entry.path for entry in storage.list("meta", skip=("meta/b", "meta/c"))]
    assert paths == ["meta/a/1", "meta/b0", "meta/d"]


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


def test_tables_listed_together_are_read_though_others_merge_them_and_own_rows_are_seen(
    bucket_options: dict[str, Any],
) -> None:
    def tables() -> Meta:
        return Meta(S3Storage("s3://lakes/moment", bucket_options))

    own, other = tables(), tables()
    for number in range(3):
        other.append("months", [{"path": f"a/{number}", "size": number}])
    records = Snapshot(own)
    assert not records.read("runs").height  # lists the segments of all tables
    assert other.compact("months", many=2) == 3
    assert records.read("months")["size"].to_list() == [0, 1, 2]
    other.append("transfers", [{"key": "late"}])
    assert not records.read("transfers").height
    own.append("sources", [{"path": "a/0", "key": "own"}])
    assert records.read("sources")["key"].to_list() == ["own"]
