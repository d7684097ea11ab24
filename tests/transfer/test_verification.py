"""What arrives is checked: the archive's faults are told apart from the wire's, and bad files set aside."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cryptolake as cl
from cryptolake.bronze.verify import Expected, check_file, parse_sidecar
from tests.transfer.archives import etag_of, put, write_archive, zipped

if TYPE_CHECKING:
    from tests.transfer.conftest import Bench

GOOD = zipped("A-1m-2024-01-01.csv", "1,2,3\n")
NAME = "A-1m-2024-01-01.zip"
KEY = f"data/spot/daily/klines/A/1m/{NAME}"


def with_members(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "1,2\n")
    return buffer.getvalue()


STALE = f"{'0' * 64}  {NAME}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        f"{'ab' * 32}  {NAME}\n",
        f"{'ab' * 32}  {NAME}",
        f"{'AB' * 32} {NAME}\r\n",
        f"{'ab' * 32} *{NAME}",
    ],
)
def test_a_sidecar_is_read_with_or_without_a_line_end(text: str):
    assert parse_sidecar(text.encode(), NAME) == "ab" * 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "holds no sha256"),
        (b"not found", "holds no sha256"),
        (b"ab" * 31 + b"  " + NAME.encode(), "holds no sha256"),
        (b"ab" * 32 + b"  other.zip\n", "names another file: 'other.zip'"),
        (b"ab" * 32 + b"  ../" + NAME.encode(), "names another file"),
        (b"ab" * 32 + b"  " + NAME.encode() + b"\nmore", "holds no sha256"),
    ],
)
def test_a_sidecar_that_is_none_is_refused_by_name(text: bytes, said: str):
    with pytest.raises(cl.CorruptArchive, match=said):
        parse_sidecar(text, NAME)


def test_a_multipart_etag_decides_nothing(tmp_path: Path):
    (tmp_path / NAME).write_bytes(GOOD)
    expected = Expected(len(GOOD), "0" * 32 + "-2")
    assert check_file(tmp_path / NAME, None, expected, NAME).finding == "good"


def test_a_file_rewritten_after_the_listing_is_good_when_its_new_checksum_fits(bench: Bench):
    keys = write_archive(bench.folder, 1)
    plan = bench.plan()
    put(bench.folder, keys[0], zipped("x.csv", "longer than it was\n" * 99))
    assert bench.transfer(plan).transferred == 1
    ledger = bench.meta.ledger().row(0, named=True)
    assert ledger["etag"] == etag_of((bench.folder / keys[0]).read_bytes())


@pytest.mark.parametrize(
    ("data", "sidecar", "reason"),
    [
        (GOOD, STALE, "stale_checksum"),
        (GOOD, b"ab" * 32 + b"  other.zip\n", "bad_sidecar"),
        (GOOD, b"<html>not here</html>", "bad_sidecar"),
        (GOOD[:-30], b"", "corrupt_zip"),
        (with_members("a.csv", "b.csv"), b"", "corrupt_zip"),
        (with_members("../x"), b"", "corrupt_zip"),
        (with_members("B-1m-2024-01-01.csv"), b"", "corrupt_zip"),
        (b"no zip at all", None, "corrupt_zip"),
    ],
)
def test_the_archives_own_faults_go_to_quarantine_and_the_rest_goes_on(
    bench: Bench, data: bytes, sidecar: bytes | None, reason: str
):
    keys = write_archive(bench.folder, 3)
    put(bench.folder, KEY, data, sidecar)
    report = bench.transfer()
    assert (report.transferred, report.quarantined, report.failed) == (3, 1, 0)
    assert bench.whole(keys)
    assert not bench.bronze(KEY).exists()
    assert bench.stray() == []
    row = bench.meta.read("quarantine").row(0, named=True)
    assert (row["key"], row["reason"]) == (KEY, reason)
    assert (bench.root / row["path"]).read_bytes() == data
    assert bench.proxy.gets(KEY) == 1
    assert reason in report.summary()


def test_policy_accept_stores_a_stale_file_with_a_mark(bench: Bench):
    put(bench.folder, KEY, GOOD, STALE)
    report = bench.transfer(checksum_policy="accept")
    assert report.files["verified"].to_list() == ["stale_accepted"]
    assert bench.meta.ledger()["verified"].to_list() == ["stale_accepted"]
    assert bench.bronze(KEY).read_bytes() == GOOD


def test_policy_accept_never_accepts_a_corrupt_zip(bench: Bench):
    put(bench.folder, KEY, GOOD[:-30], b"")
    assert bench.transfer(checksum_policy="accept").quarantined == 1


def test_policy_raise_raises_when_everything_else_is_done(bench: Bench):
    keys = write_archive(bench.folder, 3)
    put(bench.folder, KEY, GOOD, STALE)
    with pytest.raises(cl.ChecksumMismatch, match="Everything else is done") as caught:
        bench.transfer(checksum_policy="raise")
    assert bench.whole(keys)
    assert caught.value.keys == [KEY]
    assert caught.value.report.transferred == 3


def test_policy_accept_takes_a_file_out_of_quarantine_without_a_fetch(bench: Bench):
    put(bench.folder, KEY, GOOD, STALE)
    bench.transfer()
    bench.proxy.forget()
    again = bench.transfer(bench.plan("quarantined"))
    assert (again.quarantined, again.transferred) == (1, 0)
    accepted = bench.transfer(bench.plan("quarantined"), checksum_policy="accept")
    assert accepted.adopted == 1
    assert bench.bronze(KEY).read_bytes() == GOOD
    assert not bench.proxy.asked


def test_a_new_version_that_is_stale_leaves_the_old_one_in_place(bench: Bench):
    put(bench.folder, KEY, GOOD)
    bench.transfer()
    put(bench.folder, KEY, zipped("a.csv", "rewritten\n"), STALE)
    assert bench.transfer(bench.plan("updated")).quarantined == 1
    assert bench.bronze(KEY).read_bytes() == GOOD
