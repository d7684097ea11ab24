"""The lake's format version: written once, at the first write; a newer one is refused before anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.storage import lake_format
from cryptolake.storage.exchange import Change, exchange
from cryptolake.storage.files import Storage, open_storage
from cryptolake.storage.lake_format import FORMAT, check_format, mark_format
from cryptolake.storage.layout import LAKE_FILE
from cryptolake.storage.tables import Meta

Opened = Callable[[], Storage]
_numbers = count()


@pytest.fixture(params=["disk", "bucket"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, bucket_options: dict[str, Any]
) -> Iterator[Opened]:
    """A function that opens the same new lake each time: another process's look at it."""
    if request.param == "disk":
        yield lambda: open_storage(tmp_path / "lake")
    else:
        root = f"s3://lakes/format-{next(_numbers)}"
        yield lambda: open_storage(root, bucket_options)


def said(storage: Storage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(storage.read(LAKE_FILE))
    return found


def test_the_first_write_of_a_lake_says_its_format(opened: Opened) -> None:
    Meta(opened()).read("runs")
    assert opened().list("") == []
    Meta(opened()).append("runs", [{"run_id": "r"}])
    assert said(opened()) == {"format": FORMAT, "written_by": f"cryptolake {cl.__version__}"}


def test_a_lake_of_the_release_before_is_read_as_it_stands(opened: Opened) -> None:
    Meta(opened()).append("runs", [{"run_id": "r"}])
    opened().delete(LAKE_FILE)
    lake = opened()
    check_format(lake)
    assert Meta(lake).read("runs")["run_id"].to_list() == ["r"]
    assert not lake.exists(LAKE_FILE)


def test_it_is_read_once_and_written_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = opened()
    asked: list[str] = []
    written: list[str] = []
    read = storage.read

    def reading(path: str) -> bytes:
        asked.append(path)
        return read(path)

    def exchanging(storage: Storage, path: str, change: Change) -> None:
        written.append(path)
        exchange(storage, path, change)

    monkeypatch.setattr(storage, "read", reading)
    monkeypatch.setattr(lake_format, "exchange", exchanging)
    for _ in range(3):
        check_format(storage)
        mark_format(storage)
    assert written == [LAKE_FILE]
    assert asked in ([LAKE_FILE], [LAKE_FILE] * 2)  # once more while nobody else can write


def test_what_another_release_wrote_in_the_same_format_stays(opened: Opened) -> None:
    text = json.dumps(
        {"format": FORMAT, "archive": {"bucket": "mirror", "endpoint": None}}
    ).encode()
    opened().write(LAKE_FILE, text)
    mark_format(opened())
    assert opened().read(LAKE_FILE) == text


def test_a_newer_lake_is_refused_and_left_alone(opened: Opened) -> None:
    opened().write(LAKE_FILE, json.dumps({"format": 9, "written_by": "cryptolake 9.1"}).encode())
    before = opened().list("")
    words = (
        rf"has format 9 \(written by cryptolake 9\.1\), and cryptolake {cl.__version__} knows "
        rf"formats up to {FORMAT}: upgrade cryptolake"
    )
    for attempt in (check_format, mark_format):
        with pytest.raises(cl.StorageError, match=words) as caught:
            attempt(opened())
        assert (caught.value.format, caught.value.known) == (9, FORMAT)
    with pytest.raises(cl.StorageError, match=words):
        Meta(opened()).append("runs", [{"run_id": "r"}])
    assert opened().list("") == before


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": "1"}', b"\xff\x00"])
def test_a_damaged_file_is_named_and_written_anew(opened: Opened, data: bytes) -> None:
    opened().write(LAKE_FILE, data)
    words = (
        r"meta/lake\.json of the lake at .* does not say which archive .*: it cannot be understood"
    )
    with pytest.warns(cl.DamagedLakeWarning, match=words):
        mark_format(opened())
    assert said(opened())["format"] == FORMAT


@pytest.mark.parametrize("put", [Path.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_named_and_gives_way(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    storage = open_storage(tmp_path / "lake")
    storage.write("meta/runs/x.parquet", b"")
    put(storage.local(LAKE_FILE))
    with pytest.warns(cl.DamagedLakeWarning, match="cannot be understood"):
        mark_format(storage)
    assert said(open_storage(tmp_path / "lake"))["format"] == FORMAT


def test_first_writers_at_the_same_moment_agree(opened: Opened) -> None:
    lakes = [opened() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda lake: Meta(lake).append("runs", [{"run_id": "r"}]), lakes))
    assert said(opened())["format"] == FORMAT
    assert len(opened().list("meta/runs")) == 12
    assert [one.path for one in opened().list("meta") if "lake" in one.path] == [LAKE_FILE]


def test_no_method_of_a_lake_touches_a_newer_one(tmp_path: Path, archive: cl.Archive) -> None:
    root = tmp_path / "lake"
    open_storage(root).write(LAKE_FILE, b'{"format": 2}')
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-12-30")
    calls: list[Callable[[cl.Lake], object]] = [
        lambda lake: lake.plan(query),
        lambda lake: lake.pull(query),
        lambda lake: lake.build(query),
        lambda lake: lake.frame(query),
        lambda lake: lake.silver(query),
        lambda lake: lake.bronze(query),
        lambda lake: lake.sql("select 1"),
        lambda lake: lake.datasets(),
        lambda lake: lake.status(),
        lambda lake: lake.symbols("spot"),
        lambda lake: lake.update(),
        lambda lake: lake.verify(),
    ]
    for call in calls:
        with pytest.raises(cl.StorageError, match="has format 2, and cryptolake"):
            call(cl.Lake(root, source=archive))
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["lake.json"]


def test_a_plan_which_caches_its_listing_is_a_first_write(
    tmp_path: Path, archive: cl.Archive
) -> None:
    lake = cl.Lake(tmp_path / "lake", source=archive)
    lake.plan(cl.query().markets("spot").klines("1h").symbols("BTCUSDT").between("2024-12-30"))
    assert said(lake.storage)["format"] == FORMAT
