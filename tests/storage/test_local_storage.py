"""A lake in a folder: whole files or none, and no path that leaves the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptolake.errors import StorageError
from cryptolake.storage import LocalStorage, open_storage

ODD_ROOTS = ["a lake", "quo'te", 'dou"ble', "star*", "semi;colon", "new\nline", "[brackets]", "ü龙"]


@pytest.mark.parametrize("name", ODD_ROOTS)
def test_any_folder_name_can_be_a_root(tmp_path: Path, name: str) -> None:
    storage = open_storage(tmp_path / name)
    storage.write("meta/x/y.bin", b"1")
    assert storage.read("meta/x/y.bin") == b"1"
    assert [entry.path for entry in storage.list("meta")] == ["meta/x/y.bin"]


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
