"""Files that S3 copied by itself are known by their ETag alone, until Silver reads them for the first time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.cli import main
from tests.transfer.archives import csv_of, put, write_archive, zipped
from tests.transfer.s3bench import KEYS, LAKE, S3Bench, s3_bench

if TYPE_CHECKING:
    from tests.transfer.proxy import Proxy

STALE = "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2020-01-03.zip"
DAYS = 4
QUERY = (
    cl.query()
    .markets("spot")
    .klines("1m")
    .symbols("BTCUSDT")
    .between("2020-01-01", f"2020-01-0{DAYS}")
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[S3Bench]:
    """Four days of bars; the third day's CHECKSUM is not its own."""
    folder = tmp_path / "archive"
    write_archive(folder, DAYS)
    data = (folder / STALE).read_bytes()
    put(folder, STALE, data, f"{'0' * 64}  {Path(STALE).name}\n".encode())
    with s3_bench(folder, same=True) as bench:
        yield bench


def lake_of(bench: S3Bench) -> cl.Lake:
    options: dict[str, Any] = {
        **KEYS,
        "endpoint_url": bench.target.url,
        "client_kwargs": {"region_name": "us-east-1"},
    }
    return cl.Lake(f"s3://{LAKE}/lake", source=bench.archive, storage_options=options)


def zips_read(proxy: Proxy) -> dict[str, int]:
    return {
        key.split("/bronze/")[1]: count
        for (method, key), count in proxy.asked.items()
        if method == "GET" and "/bronze/" in key and key.endswith(".zip")
    }


def sha256_of(bench: S3Bench, key: str) -> str:
    return hashlib.sha256((bench.folder / key).read_bytes()).hexdigest()


def stream_every_month(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryptolake.silver.month._LEAST_RATIO", 2**60)


@pytest.mark.parametrize("how", ["whole", "in pieces"])
def test_silver_adds_the_sha256_of_what_it_reads_to_the_ledger_once(
    bench: S3Bench, how: str, monkeypatch: pytest.MonkeyPatch
):
    if how == "in pieces":
        stream_every_month(monkeypatch)
    lake = lake_of(bench)
    moved = lake.transfer(lake.plan(QUERY), progress=False)
    assert moved.modes == {"direct": DAYS}
    assert lake.meta.ledger()["sha256"].null_count() == DAYS
    before = lake.meta.ledger().select(pl.exclude("sha256", "md5", "verified"))
    bench.source.forget()
    lake.build(QUERY, progress=False)
    segments = lake.storage.list("meta/files")
    assert set(zips_read(bench.source).values()) == {1}, "each zip is read once"
    ledger = lake.meta.ledger()
    assert set(ledger["verified"]) == {"sha256"}
    assert dict(ledger.select("key", "sha256").rows()) == {
        key: sha256_of(bench, key) for key in ledger["key"]
    }
    after = ledger.select(before.columns)
    assert after.sort("key").equals(before.filter(pl.col("key") != STALE).sort("key"))
    again = lake.build(QUERY, progress=False)
    assert again.months["status"].to_list() == ["unchanged"]
    assert lake.storage.list("meta/files") == segments


@pytest.mark.filterwarnings("ignore:1 published files of the query:cryptolake.IncompleteWarning")
@pytest.mark.parametrize("how", ["whole", "in pieces"])
def test_a_stale_file_is_set_aside_by_name_and_the_month_made_without_it(
    bench: S3Bench, how: str, monkeypatch: pytest.MonkeyPatch
):
    if how == "in pieces":
        stream_every_month(monkeypatch)
    lake = lake_of(bench)
    report = lake.pull(QUERY, progress=False)
    assert (report.transferred, report.quarantined, report.built) == (DAYS, 1, 1)
    assert f"quarantined: {STALE}: stale_checksum: sha256 is" in report.summary()
    assert report.months["error"][0] is None
    assert "stale_checksum" in report.files.filter(status="quarantined")["error"][0]
    days = lake.silver(QUERY).collect()["open_time"].dt.date().n_unique()
    assert days == DAYS - 1
    held = lake.meta.quarantined().row(0, named=True)
    assert (held["key"], held["reason"]) == (STALE, "stale_checksum")
    assert STALE not in lake.meta.ledger()["key"]
    assert lake.storage.read(held["path"]) == (bench.folder / STALE).read_bytes()
    assert not lake.storage.exists(f"bronze/{STALE}")
    assert not lake.storage.exists(f"bronze/{STALE}.CHECKSUM")
    assert lake.quality(QUERY)["quarantined"].to_list() == [[STALE]]
    plan = lake.plan(QUERY)
    assert (plan.to_transfer, plan.cached) == (0, DAYS - 1)
    assert plan.files.filter(key=STALE)["status"].to_list() == ["quarantined"]
    assert lake.build(QUERY, progress=False).months["status"].to_list() == ["unchanged"]


def test_a_frame_warns_that_rows_are_missing(bench: S3Bench):
    with pytest.warns(cl.IncompleteWarning, match="1 file of the range is in quarantine"):
        lake_of(bench).frame(QUERY, progress=False)


def test_policy_accept_uses_it_with_a_mark(bench: S3Bench):
    lake = lake_of(bench)
    report = lake.pull(QUERY, progress=False, checksum_policy="accept")
    assert (report.quarantined, report.ok) == (0, True)
    row = lake.meta.ledger().filter(key=STALE).row(0, named=True)
    assert (row["verified"], row["sha256"]) == ("stale_accepted", sha256_of(bench, STALE))
    days = lake.silver(QUERY).collect()["open_time"].dt.date().n_unique()
    assert days == DAYS


def test_a_quarantined_file_is_accepted_later_without_asking_the_archive(bench: S3Bench):
    lake = lake_of(bench)
    lake.pull(QUERY, progress=False)
    bench.source.forget()
    report = lake.pull(QUERY, progress=False, checksum_policy="accept")
    assert (report.adopted, report.built) == (1, 1)
    assert not [key for _, key in bench.source.asked if key.startswith("data/")]
    assert lake.silver(QUERY).collect()["open_time"].dt.date().n_unique() == DAYS


def test_policy_raise_raises_when_everything_else_is_done(bench: S3Bench):
    lake = lake_of(bench)
    with pytest.raises(cl.ChecksumMismatch, match="Everything else is done") as caught:
        lake.pull(QUERY, progress=False, checksum_policy="raise")
    assert caught.value.keys == [STALE]
    assert lake.silver(QUERY).collect()["open_time"].dt.date().n_unique() == DAYS - 1


def test_a_corrupt_zip_and_one_without_a_checksum_are_told_apart_too(bench: S3Bench):
    corrupt, plain = STALE.replace("-03.", "-02."), STALE.replace("-03.", "-04.")
    put(bench.folder, corrupt, (bench.folder / corrupt).read_bytes()[:-30])
    (bench.folder / f"{plain}.CHECKSUM").unlink()
    bench.refresh()  # type: ignore[attr-defined]
    lake = lake_of(bench)
    report = lake.pull(QUERY, progress=False)
    assert report.quarantined == 2
    reasons = dict(lake.meta.quarantined().select("key", "reason").rows())
    assert reasons == {STALE: "stale_checksum", corrupt: "corrupt_zip"}
    verified = dict(lake.meta.ledger().select("key", "verified").rows())
    assert verified == {STALE.replace("-03.", "-01."): "sha256", plain: "none_published"}


def test_bytes_that_changed_in_the_bucket_are_refused_and_not_called_stale(bench: S3Bench):
    lake = lake_of(bench)
    lake.transfer(lake.plan(QUERY), progress=False)
    lake.storage.write(f"bronze/{STALE}", zipped("x.csv", "other bytes\n"))
    report = lake.build(QUERY, progress=False)
    assert "is not the file that was copied" in report.months["error"][0]
    assert report.quarantined == 0
    assert lake.verify(QUERY).filter(pl.col("status") == "damaged")["key"].to_list() == [STALE]


def test_exact_rows_of_a_file_never_read_before_are_checked_too(bench: S3Bench):
    lake = lake_of(bench)
    lake.transfer(lake.plan(QUERY), progress=False)
    with pytest.raises(cl.CorruptArchive, match="stale_checksum"):
        lake.silver(QUERY, exact=True).collect()


def test_a_month_that_is_only_a_stale_file_is_failed_by_name(tmp_path: Path):
    folder = tmp_path / "archive"
    csv = csv_of("BTCUSDT", date(2020, 1, 3), 5)
    put(folder, STALE, zipped("BTCUSDT-1m-2020-01-03.csv", csv), b"0" * 64 + b"  other.zip\n")
    with s3_bench(folder, same=True) as bench:
        lake = lake_of(bench)
        report = lake.pull(QUERY, progress=False)
        assert report.months["status"].to_list() == ["failed"]
        assert "(bad_sidecar)" in report.months["error"][0]
        assert not report.ok


def test_what_a_checksum_says_is_known_by_its_etag_where_it_is_not_copied(bench: S3Bench):
    lake = lake_of(bench)
    plan = lake.plan(QUERY)
    bench.source.forget()
    moved = lake.transfer(plan, options={"sidecars": False}, progress=False)
    assert moved.modes == {"direct": DAYS}
    assert puts_of(bench) == sorted(plan.files["key"])
    assert set(lake.meta.ledger()["verified"]) == {"etag"}
    report = lake.build(QUERY, progress=False)
    assert report.files.select("key", "status").rows() == [(STALE, "quarantined")]
    assert "stale_checksum: sha256 is" in report.files["error"][0]
    assert "no CHECKSUM that says so has the ETag of the archive's" in report.files["error"][0]
    ledger = lake.meta.ledger().sort("key")
    assert (ledger.height, set(ledger["verified"])) == (DAYS - 1, {"sha256"})
    assert ledger["sha256"].to_list() == [sha256_of(bench, key) for key in ledger["key"]]
    assert lake.storage.exists(f"meta/quarantine/{STALE}")
    assert not lake.storage.exists(f"bronze/{STALE}")
    assert lake.plan(QUERY).to_transfer == 0

    accepted = lake.pull(QUERY, checksum_policy="accept", progress=False)
    assert (accepted.adopted, accepted.built, accepted.quarantined) == (1, 1, 0)
    assert lake.meta.ledger().filter(key=STALE)["verified"].to_list() == ["stale_accepted"]
    assert lake.silver(QUERY).collect()["open_time"].dt.date().n_unique() == DAYS


def test_a_full_check_needs_no_sidecars_either(bench: S3Bench):
    lake = lake_of(bench)
    options = {"verify": "full", "sidecars": False}
    report = lake.transfer(lake.plan(QUERY), options=options, progress=False)
    assert (report.transferred, report.quarantined) == (DAYS - 1, 1)
    assert report.files.filter(status="quarantined")["key"].to_list() == [STALE]
    assert set(lake.meta.ledger()["verified"]) == {"sha256"}
    assert not any(entry.path.endswith(".CHECKSUM") for entry in lake.storage.list("bronze"))


def test_a_rewritten_file_does_not_stand_beside_the_checksum_of_its_earlier_version(bench: S3Bench):
    lake = lake_of(bench)
    lake.pull(QUERY, progress=False)
    first = STALE.replace("-03.", "-01.")
    put(
        bench.folder, first, zipped("BTCUSDT-1m-2020-01-01.csv", csv_of("NEW", date(2020, 1, 1), 9))
    )
    bench.refresh()  # type: ignore[attr-defined]
    plan = lake.plan(QUERY, refresh=True)
    assert plan.updated == 1
    lake.transfer(plan, options={"sidecars": False}, progress=False)
    for name in (first, f"{first}.CHECKSUM"):
        assert lake.storage.read(f"bronze/{name}") == (bench.folder / name).read_bytes()
    assert lake.build(QUERY, progress=False).ok
    assert lake.meta.ledger().filter(key=first)["verified"].to_list() == ["sha256"]


def test_a_checksum_of_another_version_that_was_left_there_decides_nothing(bench: S3Bench):
    lake = lake_of(bench)
    first = STALE.replace("-03.", "-01.")
    lake.storage.write(f"bronze/{first}.CHECKSUM", f"{'1' * 64}  {Path(first).name}\n".encode())
    lake.transfer(lake.plan(QUERY), options={"sidecars": False}, progress=False)
    lake.build(QUERY, progress=False)
    assert lake.meta.ledger().filter(key=first)["verified"].to_list() == ["sha256"]


def puts_of(bench: S3Bench) -> list[str]:
    """Return the keys of what was put into Bronze."""
    puts = (key for method, key in bench.source.asked if method == "PUT" and "/bronze/" in key)
    return sorted(key.split("/bronze/")[1] for key in puts)


def test_the_programs_word_for_stale_checksums_reaches_silver(
    bench: S3Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", bench.target.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", bench.source.url)
    words = ["-m", "spot", "-i", "1m", "-s", "BTCUSDT", "--from", "2020-01-01", "--to"]
    with pytest.raises(SystemExit) as ended:
        main(["pull", *words, f"2020-01-0{DAYS}", "--root", f"s3://{LAKE}/lake", "-q",
              "--checksums", "accept"])  # fmt: skip
    assert not ended.value.code, capsys.readouterr().err
    ledger = lake_of(bench).meta.ledger()
    assert ledger.filter(key=STALE)["verified"].to_list() == ["stale_accepted"]
