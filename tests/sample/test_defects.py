"""Each defect on request, one to a symbol-month, and a manifest that says what was done."""

import hashlib
import itertools
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.archive.keys import CHECKSUM, parse_key
from cryptolake.errors import InvalidQuery
from cryptolake.sample import MANIFEST, Defect
from cryptolake.sample.folder import ArchiveFolder
from cryptolake.sample.injector import MANIFEST_SCHEMA, group_of

ARGUMENTS: dict[str, Any] = {
    "datasets": ["spot_klines", "futures_um_klines", "futures_um_metrics", "futures_um_agg_trades"],
    "symbols": ["BTCUSDT", "ETHUSDT", "1000SHIBUSDT", "ETHBTC"],
    "intervals": ["15m", "30m", "1h", "2h"],
    "days": ("2024-12-28", "2025-01-02"),
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = ArchiveFolder(tmp_path_factory.mktemp("clean"))
    cl.sample_archive(folder.root, **ARGUMENTS)
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = ArchiveFolder(tmp_path_factory.mktemp("damaged"))
    summary = cl.sample_archive(folder.root, **ARGUMENTS, defects=["all"])
    return folder, summary.manifest


def harm(damaged, defect):
    """The folder, the damaged key, and the manifest's line."""
    folder, manifest = damaged
    line = manifest.filter(defect=defect).row(0, named=True)
    return folder, line["key"], line


def month_of(key):
    """The symbol-month of a key; None when it is not one the archive's grammar allows."""
    parts = parse_key(key)
    return group_of(parts) if parts else None


def rows_of(folder, key):
    return [line for line in folder.read_text(key).splitlines() if line[:1].isdigit()]


def test_every_defect_is_in_the_manifest(damaged):
    _, manifest = damaged
    assert set(manifest["defect"]) == {defect.value for defect in Defect}
    assert dict(manifest.schema) == MANIFEST_SCHEMA


def test_the_manifest_lies_beside_the_data_and_says_the_same(damaged):
    folder, manifest = damaged
    written = json.loads((folder.root / MANIFEST).read_text())
    assert [line["key"] for line in written] == manifest["key"].to_list()
    assert not list((folder.root / "data").rglob(MANIFEST))


def test_no_two_defects_share_a_symbol_month(damaged):
    _, manifest = damaged
    seen: dict[object, set[str]] = {}
    for defect, key in manifest.select("defect", "key").iter_rows():
        if month_of(key) is not None:
            seen.setdefault(month_of(key), set()).add(defect)
    assert all(len(defects) == 1 for defects in seen.values())


def test_what_no_defect_names_is_untouched(clean, damaged):
    folder, manifest = damaged
    halted = manifest.filter(defect="exchange_halt").row(0, named=True)
    market = halted["dataset"].removesuffix("_klines")
    touched = set(manifest["key"])
    for key in set(clean.zip_keys()) - touched:
        month = month_of(key)
        if month is None or (month[0] == market and month[2] == halted["symbol"]):
            continue
        assert clean.path(key).read_bytes() == folder.path(key).read_bytes(), key


NO_FITTING_SIDECAR = {
    "stale_checksum",
    "missing_checksum",
    "sidecar_names_other_file",
    "sidecar_without_hash",
    "missing_daily_file",
}


@pytest.mark.parametrize("defect", sorted(set(Defect) - NO_FITTING_SIDECAR))
def test_the_sidecar_fits_the_damaged_bytes(damaged, defect):
    folder, key, _ = harm(damaged, defect)
    digest = hashlib.sha256(folder.path(key).read_bytes()).hexdigest()
    assert folder.path(key + CHECKSUM).read_text().startswith(digest)


def test_a_stale_sidecar_names_the_file_but_not_its_hash(damaged):
    folder, key, _ = harm(damaged, "stale_checksum")
    digest, name = folder.path(key + CHECKSUM).read_text().split()
    assert name == key.rsplit("/", 1)[1]
    assert digest != hashlib.sha256(folder.path(key).read_bytes()).hexdigest()


def test_sidecars_are_absent_wrong_or_no_sidecars_at_all(damaged):
    folder, key, _ = harm(damaged, "missing_checksum")
    assert not folder.path(key + CHECKSUM).exists()
    folder, key, line = harm(damaged, "sidecar_names_other_file")
    assert folder.path(key + CHECKSUM).read_text().split()[1] == line["detail"]
    folder, key, _ = harm(damaged, "sidecar_without_hash")
    assert folder.path(key + CHECKSUM).read_text().startswith("<html>")


def test_zips_are_cut_or_hold_what_they_should_not(damaged):
    folder, key, _ = harm(damaged, "truncated_zip")
    with pytest.raises(zipfile.BadZipFile):
        folder.read_text(key)
    folder, key, _ = harm(damaged, "two_members")
    assert len(zipfile.ZipFile(folder.path(key)).namelist()) == 2
    folder, key, _ = harm(damaged, "member_path")
    assert zipfile.ZipFile(folder.path(key)).namelist() == ["../x.csv"]
    folder, key, line = harm(damaged, "wrong_symbol")
    assert zipfile.ZipFile(folder.path(key)).namelist() == [line["detail"]]
    assert line["symbol"] not in line["detail"]


def test_a_bomb_inflates_a_thousandfold(damaged):
    folder, key, _ = harm(damaged, "bomb")
    (member,) = zipfile.ZipFile(folder.path(key)).infolist()
    assert member.file_size > 900 * member.compress_size


def test_a_tiny_file_is_small_among_its_neighbours(clean, damaged):
    folder, key, _ = harm(damaged, "tiny_file")
    assert len(rows_of(folder, key)) * 10 < len(rows_of(clean, key))


def test_a_missing_day_has_no_file_and_no_month_that_has_it(clean, damaged):
    folder, key, line = harm(damaged, "missing_daily_file")
    assert clean.path(key).exists()
    assert not folder.path(key).exists()
    assert not folder.path(key + CHECKSUM).exists()
    month = month_of(key)
    assert all("/daily/" in k for k in folder.zip_keys() if month_of(k) == month)
    assert (line["last"] - line["first"]).days == 0


def test_malformed_keys_are_not_the_archives_grammar(damaged):
    folder, manifest = damaged
    keys = manifest.filter(defect="malformed_key")["key"].to_list()
    assert len(keys) == 2
    assert all(parse_key(key) is None and folder.path(key).exists() for key in keys)


@pytest.mark.parametrize("defect", ["monthly_lacks_day", "monthly_cut_short", "tiny_file"])
def test_the_manifest_says_which_rows_are_gone(clean, damaged, defect):
    folder, key, line = harm(damaged, defect)
    gone = [row for row in rows_of(clean, key) if row not in set(rows_of(folder, key))]
    assert len(gone) == line["rows"] > 0
    assert (moment(gone[0]), moment(gone[-1])) == (line["first"], line["last"])


def moment(row):
    time = int(row.split(b",")[0])
    return datetime.fromtimestamp(time / (1e6 if time > 10**14 else 1e3), UTC)


def test_an_archive_gap_is_in_the_one_partition_and_not_in_the_other(clean, damaged):
    folder, manifest = damaged
    lines = manifest.filter(defect="archive_gap").rows(named=True)
    assert ["/monthly/" in line["key"] for line in lines] == [True, False]
    for line in lines:
        gone = set(rows_of(clean, line["key"])) - set(rows_of(folder, line["key"]))
        assert len(gone) == line["rows"] == 5
        other = "/daily/" if "/monthly/" in line["key"] else "/monthly/"
        same = [
            key
            for key in folder.zip_keys()
            if other in key and month_of(key) == month_of(line["key"])
        ]
        assert gone <= {row for key in same for row in rows_of(folder, key)}


def test_a_disagreeing_month_has_the_same_bars_with_other_volumes(clean, damaged):
    folder, key, line = harm(damaged, "monthly_disagrees")
    pairs = zip(rows_of(clean, key), rows_of(folder, key), strict=True)
    changed = [(old.split(b","), new.split(b",")) for old, new in pairs if old != new]
    assert len(changed) == line["rows"] == 3
    assert all(old[:5] == new[:5] and old[5] != new[5] for old, new in changed)


def test_rows_are_doubled_interleaved_or_shuffled_but_none_is_lost(clean, damaged):
    folder, key, line = harm(damaged, "doubled_rows")
    assert len(rows_of(folder, key)) == len(rows_of(clean, key)) + line["rows"]
    assert set(rows_of(folder, key)) == set(rows_of(clean, key))
    for defect in ("interleaved_rows", "unsorted_rows"):
        folder, key, _ = harm(damaged, defect)
        assert rows_of(folder, key) != rows_of(clean, key)
        assert sorted(rows_of(folder, key)) == sorted(rows_of(clean, key))


def test_headers_are_lost_or_repeated(clean, damaged):
    folder, key, _ = harm(damaged, "header_flip")
    assert clean.read_text(key)[:1] == b"o"
    assert folder.read_text(key)[:1].isdigit()
    folder, key, _ = harm(damaged, "header_in_middle")
    header = clean.read_text(key).split(b"\n")[0]
    assert folder.read_text(key).count(header) == 2


def test_one_file_has_both_units(damaged):
    folder, key, line = harm(damaged, "mixed_units")
    lengths = [len(row.split(b",")[0]) for row in rows_of(folder, key)]
    assert lengths.count(13) == line["rows"]
    assert set(lengths) == {13, 16}


def test_cells_are_blank_or_no_number(damaged):
    folder, key, line = harm(damaged, "blank_cells")
    assert sum(b",," in row for row in rows_of(folder, key)) == line["rows"]
    folder, key, _ = harm(damaged, "non_finite_price")
    assert folder.read_text(key).count(b"NaN") == 1
    folder, key, _ = harm(damaged, "high_below_low")
    cells = [row.split(b",") for row in rows_of(folder, key)]
    assert sum(float(row[2]) < float(row[3]) for row in cells) == 1


def test_a_stray_row_lies_outside_its_file(damaged):
    folder, key, line = harm(damaged, "outside_period")
    parts = parse_key(key)
    assert parts is not None
    outside = [row for row in rows_of(folder, key) if moment(row).date() not in parts.period.days]
    assert [moment(row) for row in outside] == [line["first"]]


def test_lines_hold_what_no_line_should(damaged):
    folder, key, _ = harm(damaged, "nul_bytes")
    assert b"\0\0\0" in folder.read_text(key)
    folder, key, _ = harm(damaged, "long_line")
    assert max(map(len, folder.read_text(key).splitlines())) == 10_000_000
    folder, key, _ = harm(damaged, "mixed_line_ends")
    assert 0 < folder.read_text(key).count(b"\r\n") < folder.read_text(key).count(b"\n")
    folder, key, _ = harm(damaged, "bom")
    assert folder.read_text(key).startswith(b"\xef\xbb\xbf")


def test_ids_are_absent_or_come_twice(clean, damaged):
    folder, manifest = damaged
    for line in manifest.filter(defect="id_gap").rows(named=True):
        assert len(rows_of(clean, line["key"])) - len(rows_of(folder, line["key"])) == 5
    folder, key, _ = harm(damaged, "duplicate_id")
    ids = [row.split(b",")[0] for row in rows_of(folder, key)]
    assert len(ids) == len(set(ids)) + 1


def test_a_halt_is_in_every_file_of_its_symbol(tmp_path):
    folder = ArchiveFolder(tmp_path)
    rows = ["spot_klines", "spot_trades"]
    summary = cl.sample_archive(
        tmp_path,
        datasets=rows,
        symbols=["BTCUSDT"],
        intervals=["1m", "1h", "1d"],
        days=("2024-12-30", "2024-12-31"),
        defects=["exchange_halt"],
    )
    minutes = summary.manifest.filter(interval="1m").row(0, named=True)
    assert minutes["rows"] == 135
    for key in folder.zip_keys():
        if ("/1m/" in key and "2024-12.zip" in key) or key == minutes["key"]:
            opens = [moment(row) for row in rows_of(folder, key)]
            assert not [o for o in opens if minutes["first"] <= o <= minutes["last"]]
    (hours,) = [rows_of(folder, key) for key in folder.zip_keys() if "1h-2024-12-31.zip" in key]
    opens = [int(row.split(b",")[0]) % 3_600_000 for row in hours]
    closes = [int(row.split(b",")[6]) + 1 - int(row.split(b",")[0]) for row in hours]
    assert set(opens) == {0, 1_694_789}
    assert [length for length in closes if length != 3_600_000] == [740_250, 1_905_211]
    (trades,) = [
        rows_of(folder, key) for key in folder.zip_keys() if "trades-2024-12-31.zip" in key
    ]
    times = [int(row.split(b",")[4]) for row in trades]
    assert max(b - a for a, b in itertools.pairwise(times)) > 2 * 3_600_000


def test_the_same_seed_does_the_same_damage(tmp_path):
    few: dict[str, Any] = {**ARGUMENTS, "defects": ["truncated_zip", "id_gap", "unsorted_rows"]}
    first, second = (cl.sample_archive(tmp_path / name, **few).manifest for name in "ab")
    assert first.equals(second)
    third = cl.sample_archive(tmp_path / "c", **few, seed=3).manifest
    assert not first.equals(third)


def test_an_unknown_defect_names_the_nearest(tmp_path):
    with pytest.raises(InvalidQuery, match="did you mean 'truncated_zip'"):
        cl.sample_archive(
            tmp_path, datasets=["spot_klines"], days="2025-01-01", defects=["truncated"]
        )


def test_a_defect_that_nothing_here_can_show_is_refused(tmp_path):
    with pytest.raises(InvalidQuery, match="no file here can show id_gap"):
        cl.sample_archive(
            tmp_path,
            datasets=["spot_klines"],
            symbols=["BTCUSDT"],
            intervals=["1h"],
            days="2025-01-01",
            defects=["id_gap"],
        )


def test_a_halt_needs_klines(tmp_path):
    with pytest.raises(InvalidQuery, match="no file here can show exchange_halt"):
        cl.sample_archive(
            tmp_path, datasets=["spot_trades"], days="2025-01-01", defects=["exchange_halt"]
        )


def test_without_defects_there_is_no_manifest(clean):
    assert not (clean.root / MANIFEST).exists()


def test_a_wrong_symbol_is_made_up_where_no_other_has_such_a_file(tmp_path):
    one: dict[str, Any] = {"datasets": ["spot_klines"], "symbols": ["ETHBTC"], "intervals": ["1h"]}
    made = cl.sample_archive(tmp_path, days="2024-12", defects=["wrong_symbol"], **one)
    assert made.manifest["detail"].item().startswith("XUSDT-1h-2024-12")
