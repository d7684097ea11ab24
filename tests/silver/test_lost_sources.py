"""No source is lost in silence: a file that cannot be used keeps its month as it is, and the report says so."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from cryptolake.bronze.audit import take_out
from cryptolake.bronze.ledger import holdings
from cryptolake.listing.context import LakeContext
from cryptolake.silver.build import BuildRun, build
from cryptolake.silver.records import current, month_records
from cryptolake.storage.tables import Meta
from tests.silver.texts import (
    HEADER,
    as_text,
    bar,
    day_text,
    hours,
    key,
    ledger_row,
    stored,
    zipped,
)

if TYPE_CHECKING:
    from cryptolake.report import Report
    from cryptolake.silver.month import MonthResult
    from cryptolake.storage.files import Storage

PATH = "silver/market=futures_um/data_type=klines/interval=1h/symbol=BTCUSDT/2024-01.parquet"
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
WAYS = [pytest.param(None, id="whole"), pytest.param(0, id="in pieces")]


def zips(days: list[str] = DAYS) -> dict[str, bytes]:
    return {key(day): zipped(day_text(day)) for day in days}


def built(storage: Storage, **options: object) -> Report:
    lake = LakeContext.of(storage)
    return build(lake, holdings(lake.records), progress=False, **options)  # type: ignore[arg-type]


def rows(storage: Storage) -> int:
    return pl.read_parquet(storage.local(PATH)).height


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def in_its_place(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
    "a link that leads nowhere": lambda path: in_its_place(path, lambda p: p.symlink_to("/none")),
    "a link to itself": lambda path: in_its_place(path, lambda p: p.symlink_to(p)),
    "a folder": lambda path: in_its_place(path, Path.mkdir),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_keeps_the_month_and_is_named_until_it_is_whole(
    tmp_path: Path, damage: str
) -> None:
    files = zips()
    storage, meta = stored(tmp_path, files)
    assert built(storage).ok
    bad = storage.local(f"bronze/{key(DAYS[1])}")
    whole = bad.read_bytes()
    DAMAGES[damage](bad)
    for _ in range(2):
        report = rebuilt_with_one_more_day(storage, meta)
        assert report.months["status"].to_list() == ["kept"]
        assert not report.ok
        assert report.failed == 1
        assert key(DAYS[1]) in report.summary()
        assert report.damaged == (key(DAYS[1]),)
        assert rows(storage) == 72
    take_away(bad)
    bad.write_bytes(whole)
    report = built(storage)
    assert report.ok
    assert report.months["status"].to_list() == ["built"]
    assert rows(storage) == 96
    assert built(storage).months["status"].to_list() == ["unchanged"]


@pytest.mark.parametrize("hurt", [DAYS[1:2], DAYS])
def test_a_month_made_anew_loses_no_row_to_a_damaged_file(tmp_path: Path, hurt: list[str]) -> None:
    storage, meta = stored(tmp_path, zips())
    assert built(storage).ok
    for day in hurt:
        flipped(storage.local(f"bronze/{key(day)}"))
    report = built(storage, force=True)
    assert (report.ok, report.months["status"].to_list()) == (False, ["kept"])
    assert rows(storage) == 72
    assert current(meta, "sources")["rows_out"].sum() == 72


def test_a_bit_that_flips_in_a_file_whose_rows_are_in_silver_costs_no_row(tmp_path: Path) -> None:
    """A month is extended without its other files; a build of all of them names the damaged one."""
    storage, meta = stored(tmp_path, zips())
    assert built(storage).ok
    flipped(storage.local(f"bronze/{key(DAYS[1])}"))
    assert rebuilt_with_one_more_day(storage, meta).ok
    assert rows(storage) == 96
    meta.append("files", [ledger_row(key("2024-01-04"), zipped(day_text("2024-01-04") + b"\n"))])
    report = built(storage)
    assert report.months["status"].to_list() == ["kept"]
    assert report.damaged == tuple(map(key, [DAYS[1], "2024-01-04"]))
    assert rows(storage) == 96


METRICS = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{}.zip"


def snapshots(*times: str) -> bytes:
    return zipped("".join(f"{time},BTCUSDT,1,2,3,4,5,6\n" for time in times).encode())


@pytest.mark.parametrize("above", WAYS)
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_file_of_the_month_before_keeps_the_row_that_only_it_has(
    tmp_path: Path, damage: str, above: int | None
) -> None:
    """The last row of a day of metrics is of the next: here of another month."""
    options = {} if above is None else {"stream_above": above}
    before, first, second = (METRICS.format(d) for d in ("2024-01-31", "2024-02-01", "2024-02-02"))
    files = {
        before: snapshots("2024-01-31 23:55:00", "2024-02-01 00:00:00"),
        first: snapshots("2024-02-01 00:05:00"),
    }
    storage, meta = stored(tmp_path, files)
    assert built(storage, **options).ok
    february = storage.local(
        "silver/market=futures_um/data_type=metrics/symbol=BTCUSDT/2024-02.parquet"
    )
    assert pl.read_parquet(february).height == 2
    DAMAGES[damage](storage.local(f"bronze/{before}"))
    data = snapshots("2024-02-02 00:05:00")
    storage.write(f"bronze/{second}", data)
    meta.append("files", [ledger_row(second, data)])
    report = built(storage, **options)
    assert not report.ok
    assert before in report.summary()
    assert pl.read_parquet(february).height == 2
    february.unlink()
    assert before in str(built(storage, **options).months["error"].to_list())
    storage.write(f"bronze/{before}", files[before])
    assert built(storage, **options).ok
    assert pl.read_parquet(february).height == 3


def take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def rebuilt_with_one_more_day(storage: Storage, meta: Meta) -> Report:
    day = "2024-01-04"
    if not storage.exists(f"bronze/{key(day)}"):
        data = zipped(day_text(day))
        storage.write(f"bronze/{key(day)}", data)
        meta.append("files", [ledger_row(key(day), data)])
    return built(storage)


@pytest.mark.parametrize("above", WAYS)
def test_a_month_first_built_without_a_damaged_file_is_built_again_when_it_is_whole(
    tmp_path: Path, above: int | None
) -> None:
    storage, _ = stored(tmp_path, zips())
    options = {} if above is None else {"stream_above": above}
    bad = storage.local(f"bronze/{key(DAYS[1])}")
    whole = bad.read_bytes()
    flipped(bad)
    first = built(storage, **options)
    assert (first.ok, rows(storage)) == (False, 48)
    bad.write_bytes(whole)
    assert built(storage, **options).ok
    assert rows(storage) == 72


def test_a_file_that_was_taken_out_keeps_its_rows_in_silver_until_it_is_fetched(
    tmp_path: Path,
) -> None:
    storage, meta = stored(tmp_path, zips())
    built(storage)
    flipped(storage.local(f"bronze/{key(DAYS[1])}"))
    assert take_out(storage, meta, [key(DAYS[1]), key(DAYS[2])]) == [key(DAYS[1])]
    report = built(storage)
    assert "no longer in the lake" in report.summary()
    assert rows(storage) == 72


@pytest.mark.parametrize("above", WAYS)
@pytest.mark.parametrize(
    ("rows_of_month", "status", "said"),
    [
        pytest.param(72, "built", "other files have all their rows", id="has all rows"),
        pytest.param(47, "kept", "no other file here has all its rows", id="lacks one row"),
    ],
)
def test_a_month_does_without_a_withdrawn_file_where_others_have_its_rows(
    tmp_path: Path, above: int | None, rows_of_month: int, status: str, said: str
) -> None:
    options = {} if above is None else {"stream_above": above}
    storage, meta = stored(tmp_path, zips())
    assert built(storage, **options).ok
    took_out(storage, meta, DAYS[1])
    lines = [bar(hour) for day in DAYS for hour in hours(day)]
    lines[30] = bar(hours(DAYS[1])[6], close=9.5)
    whole = zipped(as_text([HEADER, *lines[:rows_of_month]]))
    storage.write(f"bronze/{key('2024-01')}", whole)
    meta.append("files", [ledger_row(key("2024-01"), whole)])
    assert built(storage, **options).months["status"].to_list() == ["kept"]
    report = built(storage, withdrawn={key(DAYS[1])}, **options)
    assert (report.ok, report.months["status"].to_list()) == (status == "built", [status])
    assert said in report.summary()
    assert rows(storage) == 72
    found = current(meta, "findings").filter(kind="withdrawn_file")
    if status == "kept":
        assert found.is_empty()
        return
    assert found.select("key", "rows").rows() == [(key(DAYS[1]), 24)]
    assert "1 of them with other values" in found["detail"][0]
    assert built(storage, **options).months["status"].to_list() == ["unchanged"]


def test_a_file_that_the_lake_still_has_counts_as_withdrawn_to_no_build(tmp_path: Path) -> None:
    """It is damaged: a pull takes it out and asks the archive, and only then it is known to be withdrawn."""
    storage, meta = stored(tmp_path, zips())
    assert built(storage).ok
    whole = zipped(b"".join(map(day_text, DAYS)))
    storage.write(f"bronze/{key('2024-01')}", whole)
    meta.append("files", [ledger_row(key("2024-01"), whole)])
    flipped(storage.local(f"bronze/{key(DAYS[1])}"))
    report = built(storage)
    assert (report.ok, report.months["status"].to_list()) == (False, ["kept"])
    assert report.damaged == (key(DAYS[1]),)


def took_out(storage: Storage, meta: Meta, day: str) -> None:
    """Damage a day and take it out of Bronze, as ``verify(repair=True)`` does."""
    flipped(storage.local(f"bronze/{key(day)}"))
    assert take_out(storage, meta, [key(day)]) == [key(day)]


def test_a_header_without_rows_is_read_and_an_empty_csv_is_not(tmp_path: Path) -> None:
    header = day_text(DAYS[0]).splitlines(keepends=True)[0]
    files = zips() | {key("2024-01-04"): zipped(header)}
    storage, meta = stored(tmp_path, files)
    assert built(storage).ok
    empty = zipped(b"")
    storage.write(f"bronze/{key('2024-01-05')}", empty)
    meta.append("files", [ledger_row(key("2024-01-05"), empty)])
    report = built(storage)
    assert not report.ok
    assert "empty CSV" in report.summary()
    assert rows(storage) == 72
    again = built(storage)
    assert not again.ok
    assert again.months["status"].to_list() == ["unchanged"]


def test_another_method_of_compression_is_named_each_time(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.csv", day_text(DAYS[1]))
    storage, _ = stored(tmp_path, zips() | {key(DAYS[1]): buffer.getvalue()})
    for status in ("built", "unchanged"):
        report = built(storage)
        assert report.months["status"].to_list() == [status]
        assert not report.ok
        assert key(DAYS[1]) in report.summary()


def test_a_newer_file_that_was_stored_meanwhile_is_not_taken_out(
    tmp_path: Path, monkeypatch
) -> None:
    storage, meta = stored(tmp_path, zips())
    place = storage.local(f"bronze/{key(DAYS[1])}")
    newer = zipped(day_text(DAYS[1]))
    assert take_out(storage, meta, [key(DAYS[1])]) == []
    assert place.read_bytes() == newer
    assert [entry.path for entry in storage.list("meta/quarantine")] == []


def test_the_record_of_a_month_is_that_of_the_file_that_stands(tmp_path: Path) -> None:
    """Another build records after this one, and places before it: the file is ours, the record theirs."""
    storage, meta = stored(tmp_path, zips())
    built(storage)
    (record,) = month_records(meta).values()
    theirs = meta.read("months").with_columns(
        origin=pl.lit("0" * 32), size=1, run_id=pl.lit("other")
    )
    meta.append("months", theirs)
    meta.append("sources", meta.read("sources").with_columns(run_id=pl.lit("other"), rows_out=1))
    report = built(storage)
    assert report.months["status"].to_list() == ["built"]
    assert month_records(meta)[PATH][:3] == record[:3]


def test_a_month_built_twice_in_one_run_is_accounted_for_once(tmp_path: Path, monkeypatch) -> None:
    """Another process stores a day while the month is made: it is built again, by the same run."""
    storage, meta = stored(tmp_path, zips())
    late, place = zipped(day_text("2024-01-04")), BuildRun._place

    def overtaken(self: BuildRun, months: list[MonthResult]) -> None:
        monkeypatch.setattr(BuildRun, "_place", place)
        storage.write(f"bronze/{key('2024-01-04')}", late)
        Meta(storage).append("files", [ledger_row(key("2024-01-04"), late)])
        place(self, months)

    monkeypatch.setattr(BuildRun, "_place", overtaken)
    assert built(storage).ok
    assert rows(storage) == 96
    assert current(meta, "sources")["rows_out"].sum() == 96
    meta.compact("sources", many=1)
    assert current(meta, "sources")["rows_out"].sum() == 96


@pytest.mark.parametrize("moment", ["all", "_place"])
def test_another_build_that_is_faster_leaves_nothing_to_do(
    tmp_path: Path, monkeypatch, moment: str
) -> None:
    """Another process stores a day and builds the month, before or after this one makes it: both end, both are ok."""
    storage, _ = stored(tmp_path, zips())
    late, own = zipped(day_text("2024-01-04")), getattr(BuildRun, moment)

    def overtaken(self: BuildRun, *given: object, **options: object) -> object:
        monkeypatch.setattr(BuildRun, moment, own)
        made = own(self, *given, **options) if moment == "_place" else None
        storage.write(f"bronze/{key('2024-01-04')}", late)
        Meta(storage).append("files", [ledger_row(key("2024-01-04"), late)])
        assert built(storage).ok
        return made if moment == "_place" else own(self, *given, **options)

    monkeypatch.setattr(BuildRun, moment, overtaken)
    report = built(storage)
    assert report.ok, report.summary()
    assert rows(storage) == 96
