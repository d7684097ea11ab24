"""A Bronze file is here by its record and its size: what is short, or no file at all, is moved again."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptolake.transfer.engine import transfer
from tests.transfer.archives import KEY, csv_of, put, write_archive
from tests.transfer.s3bench import s3_bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.transfer.conftest import Bench


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.zip")


def looped(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def filled_folder(path: Path) -> None:
    folder(path)
    (path / "kept.txt").write_text("somebody's")


FAULTS = [cut, emptied, removed, dangling, looped, folder, filled_folder]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_file_that_is_not_whole_is_moved_again(bench: Bench, fault: Callable[[Path], None]):
    keys = write_archive(bench.folder, 4)
    bench.transfer()
    fault(bench.bronze(keys[2]))
    report = bench.transfer()
    assert (report.transferred, report.skipped, report.failed) == (1, 3, 0), report
    assert not bench.bronze(keys[2]).is_symlink()
    assert bench.whole(keys)


def test_a_folder_in_the_place_of_a_file_is_moved_aside_with_what_is_in_it(bench: Bench):
    [key] = write_archive(bench.folder, 1)
    bench.transfer()
    filled_folder(bench.bronze(key))
    bench.transfer()
    [kept] = (bench.root / "meta" / "quarantine").rglob("kept.txt")
    assert kept.read_text() == "somebody's"


def test_a_folder_in_the_place_of_a_sidecar_does_not_stop_a_rewritten_file(bench: Bench):
    [key] = write_archive(bench.folder, 1)
    bench.transfer()
    folder(bench.bronze(f"{key}.CHECKSUM"))
    removed(bench.bronze(key))
    assert bench.transfer().transferred == 1
    assert bench.whole([key])


def test_an_object_that_is_not_whole_is_copied_again(tmp_path: Path):
    keys = write_archive(tmp_path / "archive", 3)
    with s3_bench(tmp_path / "archive", same=True) as bench:
        bench.transfer(mode="direct")
        bench.storage.write(f"bronze/{keys[1]}", b"short")
        report = bench.transfer(mode="direct")
        assert (report.transferred, report.skipped) == (1, 2)
        assert bench.whole(keys)


def test_files_that_another_process_stores_between_plan_and_transfer_are_adopted(bench: Bench):
    keys = write_archive(bench.folder, 5)
    plan, lake = bench.plan(), bench.lake
    assert lake.records.ledger().is_empty()  # the call has read the ledger
    assert bench.transfer().transferred == len(keys)
    bench.proxy.forget()
    report = transfer(plan, lake, progress=False)  # type: ignore[arg-type]
    assert (report.adopted, report.transferred, report.failed) == (len(keys), 0, 0)
    assert not bench.proxy.asked
    assert bench.whole(keys)


def stored_zip(key: str, text: str) -> bytes:
    """A zip without compression: texts of one length make zips of one length."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        made.writestr(Path(key).name.replace(".zip", ".csv"), text)
    return buffer.getvalue()


def test_a_newer_file_that_another_process_stored_stays_where_the_older_one_cannot_be_fetched(
    bench: Bench,
):
    key = KEY.format(symbol="ETHUSDT", day="2021-07-09")
    put(bench.folder, key, stored_zip(key, csv_of("ETHUSDT", date(2021, 7, 9), 5)))
    plan, lake = bench.plan(), bench.lake
    assert lake.records.ledger().is_empty()
    newer = stored_zip(key, csv_of("ETHUSDT", date(2021, 7, 9), 5).replace("5000", "6000"))
    assert len(newer) == plan.files["size"][0]
    put(bench.folder, key, newer)
    assert bench.transfer().transferred == 1
    (bench.folder / key).unlink()
    options = {"retries": 0, "engine_retries": 0}
    report = transfer(plan, lake, progress=False, options=options)  # type: ignore[arg-type]
    assert report.failed == 1
    assert bench.bronze(key).read_bytes() == newer
