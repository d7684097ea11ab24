"""A lake in a folder: whole files or none, and no path that leaves the root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cryptolake.errors import StorageError
from cryptolake.storage.files import OLD, LocalStorage, Storage, open_storage
from cryptolake.storage.tables import Meta

ODD_ROOTS = [
    "a lake",
    "quo'te",
    'dou"ble',
    "star*",
    "semi;colon",
    "new\nline",
    "[brackets]",
    "ü龙",
    "<i x=1>",
]
MISREAD_ROOTS = [
    ("back\\slash", "the sign '\\\\\\\\'"),
    ("symbol=X/lake", "'symbol=X' as a partition"),
    ("Open=7", "'Open=7' as a partition"),
]
MISREAD_PREFIXES = [("q?m", "[?]"), ("a/star*", "[*]"), ("[brackets]", r"\[")]


@pytest.mark.parametrize("name", ODD_ROOTS)
def test_any_folder_name_can_be_a_root(tmp_path: Path, name: str) -> None:
    storage = open_storage(tmp_path / name)
    storage.write("meta/x/y.bin", b"1")
    assert storage.read("meta/x/y.bin") == b"1"
    assert [entry.path for entry in storage.list("meta")] == ["meta/x/y.bin"]


@pytest.mark.parametrize(("name", "why"), MISREAD_ROOTS)
@pytest.mark.parametrize("above", ["", "s3://bucket/"])
def test_a_root_that_sql_would_misread_is_refused(
    tmp_path: Path, above: str, name: str, why: str
) -> None:
    with pytest.raises(StorageError, match=f"a lake cannot be at .*{why}.*; use a root without"):
        open_storage(f"{above or tmp_path}/{name}")


@pytest.mark.parametrize(("name", "sign"), MISREAD_PREFIXES)
def test_a_prefix_that_httpfs_takes_for_a_pattern_is_refused(name: str, sign: str) -> None:
    with pytest.raises(StorageError, match=f"the sign '{sign}'.*; use a root without"):
        open_storage(f"s3://bucket/{name}")


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_storage(tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_a_path_that_would_leave_the_root_is_refused(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    for path in ("../x", "a/../../x", "/etc/passwd", "a\0b"):
        with pytest.raises(StorageError, match="not a path inside the lake"):
            storage.write(path, b"")


def test_a_write_that_fails_leaves_the_old_files_and_no_draft(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write("a/b/c", b"old")
    with pytest.raises(StorageError, match="directory"):
        storage.write("a/b", b"a file where a folder is")
    assert storage.read("a/b/c") == b"old"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["c"]


def test_a_root_below_a_file_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file, not a folder"):
        open_storage(tmp_path / "file" / "lake").write("meta/x", b"")


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Take the right to read a folder away; root, who has every right, becomes nobody meanwhile."""
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


LOOKS = {
    "list": lambda storage: storage.list("meta"),
    "exists": lambda storage: storage.exists("meta/x"),
    "begun": lambda storage: storage.begun(),
}


@pytest.mark.parametrize("look", ["list", "begun"])
@pytest.mark.parametrize("root", ["file", "file/lake"])
def test_a_root_that_is_a_file_or_below_one_is_no_empty_lake(
    tmp_path: Path, root: str, look: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"{tmp_path / root}: .*a file, not a folder"):
        LOOKS[look](open_storage(tmp_path / root))


@pytest.mark.parametrize("look", LOOKS)
def test_a_root_that_may_not_be_read_is_no_empty_lake(tmp_path: Path, look: str) -> None:
    root = tmp_path / "lake"
    storage = open_storage(root)
    storage.write("meta/x", b"1")
    with without_rights(root), pytest.raises(StorageError, match="permission denied"):
        LOOKS[look](storage)


def test_a_lake_has_begun_when_something_of_it_is_there(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "lake")
    assert not storage.begun()
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "holiday.jpg").touch()
    assert not storage.begun()
    storage.write("meta/x", b"1")
    assert storage.begun()


def drafts(root: Path) -> list[Path]:
    return [path for path in root.rglob(".*") if path.is_file()]


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Storage, Path]:
    """A lake in which a process was killed while it wrote, and the draft that it left."""
    code = (
        "import sys; from cryptolake.storage.files import open_storage\n"
        "storage, data = open_storage(sys.argv[1]), bytes(2**26)\n"
        "while True: storage.write('silver/month/2024-01.parquet', data)"
    )
    for _ in range(100):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        while not drafts(tmp_path):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if left := drafts(tmp_path):
            return open_storage(tmp_path), left[0]
    pytest.fail("no kill hit a write")


def test_what_a_killed_writer_left_is_swept_when_it_is_old(killed: tuple[Storage, Path]) -> None:
    storage, draft = killed
    assert [entry.path for entry in storage.list("silver") if entry.path.endswith(".parquet")] in (
        [],
        ["silver/month/2024-01.parquet"],
    )
    old = time.time() - OLD - 60
    os.utime(draft, (old, old))
    storage.write("silver/month/2024-02.parquet", b"next")
    assert not draft.exists()


def test_the_draft_of_a_writer_that_may_be_alive_stays(killed: tuple[Storage, Path]) -> None:
    storage, draft = killed
    storage.write("silver/month/2024-02.parquet", b"next")
    assert draft.exists()


def test_only_drafts_are_swept(tmp_path: Path) -> None:
    for name in (".gitignore", ".note.0123456789ag", "x.0123456789ab", "2024-01.parquet"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    open_storage(tmp_path).write("new", b"")
    assert len(list(tmp_path.iterdir())) == 5


def test_absent_files_are_absent_not_errors(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "nowhere")
    assert storage.list("bronze") == []
    assert not storage.exists("bronze/x")
    storage.delete("bronze/x")
    with pytest.raises(FileNotFoundError):
        storage.read("bronze/x")


def test_a_url_that_is_no_place_for_a_lake_is_refused() -> None:
    with pytest.raises(StorageError, match="use a folder or"):
        open_storage("http://example.org/lake")
    with pytest.raises(StorageError, match="names no bucket"):
        open_storage("s3://")


def test_a_home_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStorage("~/lake").root == str(tmp_path / "lake")


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """What is flushed and renamed, in order."""
    found: list[str] = []
    flush, replace = os.fsync, Path.replace

    def flushed(number: int) -> None:
        found.append(f"flush {Path(f'/proc/self/fd/{number}').readlink().suffix or 'folder'}")
        flush(number)

    def replaced(self: Path, target: Path) -> Path:
        found.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", replaced)
    return found


def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_after(tmp_path, calls):
    open_storage(tmp_path).write("meta/runs/x.parquet", b"1")
    assert len(calls) == 3
    assert calls[1:] == ["rename", "flush folder"]


def test_what_the_ledger_names_is_flushed_before_the_ledger_names_it(tmp_path, monkeypatch, calls):
    storage = open_storage(tmp_path)
    monkeypatch.setattr(storage, "sync", lambda: calls.append("flush everything"))
    Meta(storage).append("files", [{"key": "a", "event": "stored"}])  # writes meta/lake.json too
    calls.clear()
    Meta(storage).append("files", [{"key": "b", "event": "stored"}])
    assert calls[0] == "flush everything"
    assert "rename" in calls


def test_flushing_everything_needs_nothing_but_the_root(tmp_path):
    open_storage(tmp_path).sync()


@pytest.mark.parametrize("given", [1, 7, 4096])
def test_a_file_is_read_whole_by_a_system_that_gives_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int
):
    data = bytes(range(256)) * 4
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "file").write_bytes(data)
    read = os.read
    monkeypatch.setattr(os, "read", lambda number, size: read(number, min(size, given)))
    assert open_storage(tmp_path).read("meta/file") == data
