"""Each row of the matrix: keys that parse, sidecars that fit, headers and units as the archive has them."""

import hashlib
import io
import zipfile
from datetime import date
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.archive.keys import CHECKSUM, parse_key
from cryptolake.archive.matrix import load_matrix
from cryptolake.sample.folder import ArchiveFolder

ROWS = load_matrix().rows
MAIN = ["BTCUSDT", "BTCUSD_PERP", "BTCUSD", "BTCBVOLUSDT"]
COLUMNS = {
    "klines": 12,
    "markPriceKlines": 12,
    "indexPriceKlines": 12,
    "premiumIndexKlines": 12,
    "fundingRate": 3,
    "metrics": 8,
    "bookDepth": 4,
    "bookTicker": 7,
    "liquidationSnapshot": 10,
    "BVOLIndex": 5,
    "EOHSummary": 26,
}
TRADES = {"spot": {"trades": 7, "aggTrades": 8}, "futures": {"trades": 6, "aggTrades": 7}}


def parsed(key):
    """The parts of a key that must have some."""
    parts = parse_key(key)
    assert parts is not None, key
    return parts


def days_of(row):
    """Three days the row has files of, with a month's end among them where it can be."""
    last = row.last_date or date(2025, 1, 1)
    first = last.replace(day=last.day - 2) if last.day > 2 else date(2024, 12, 30)
    if row.data_type == "fundingRate":
        return ("2024-12-01", "2024-12-31")
    return (first, last)


@pytest.fixture(scope="module", params=ROWS, ids=[row.dataset for row in ROWS])
def made(request, tmp_path_factory):
    row = request.param
    folder = ArchiveFolder(tmp_path_factory.mktemp(row.dataset))
    cl.sample_archive(
        folder.root, datasets=[row.dataset], symbols=MAIN, intervals=["1h"], days=days_of(row)
    )
    return row, folder


def test_every_file_has_a_key_of_its_row(made):
    row, folder = made
    parts = [parsed(key) for key in folder.zip_keys()]
    assert parts
    assert {(one.market, one.data_type) for one in parts} == {(row.market, row.data_type)}
    assert {one.partition for one in parts} <= set(row.partitions)


def test_every_sidecar_names_its_zip_and_holds_its_hash(made):
    _, folder = made
    for key in folder.zip_keys():
        digest = hashlib.sha256(folder.path(key).read_bytes()).hexdigest()
        name = key.rsplit("/", 1)[1]
        assert folder.path(key + CHECKSUM).read_text().strip() == f"{digest}  {name}"


def test_every_zip_holds_one_deflated_csv_named_like_it(made):
    _, folder = made
    for key in folder.zip_keys():
        with zipfile.ZipFile(folder.path(key)) as archive:
            (member,) = archive.infolist()
        assert member.filename == key.rsplit("/", 1)[1].removesuffix(".zip") + ".csv"
        assert member.compress_type == zipfile.ZIP_DEFLATED


def test_only_spot_files_lack_a_header(made):
    row, folder = made
    for key in folder.zip_keys():
        has_header = not folder.read_text(key)[:1].isdigit()
        spot = row.market == "spot" and row.data_type in ("klines", "trades", "aggTrades")
        assert has_header is not spot, key


def test_every_line_has_the_columns_of_its_data_type(made):
    row, folder = made
    market = "spot" if row.market == "spot" else "futures"
    wanted = COLUMNS.get(row.data_type.value) or TRADES[market][row.data_type.value]
    for key in folder.zip_keys():
        lines = folder.read_text(key).splitlines()
        assert {line.count(b",") + 1 for line in lines} == {wanted}, key


def test_monthly_files_are_their_daily_files_one_after_the_other(made):
    row, folder = made
    daily: dict[tuple[str, str], bytes] = {}
    parts = [parsed(key) for key in folder.zip_keys()]
    for one in sorted(parts, key=lambda one: one.period.first):
        if one.partition == "daily":
            month = (one.symbol, str(one.period.of_month))
            daily[month] = daily.get(month, b"") + rows_of(folder, one.key)
    for one in parts:
        if one.partition == "monthly" and "daily" in row.partitions:
            assert rows_of(folder, one.key) == daily[one.symbol, str(one.period)]


def rows_of(folder, key):
    text = folder.read_text(key)
    return text if text[:1].isdigit() else text.split(b"\n", 1)[1]


def test_never_observed_and_withdrawn_rows_have_no_files_unless_asked_for(tmp_path):
    summary = cl.sample_archive(tmp_path, symbols=["BTCUSD"], intervals=["1d"])
    unseen = {row.dataset for row in ROWS if row.status == "never_observed"}
    assert unseen
    assert not unseen & set(summary.datasets)
    assert "futures_um_liquidation_snapshot" not in summary.datasets


def test_spot_turns_to_microseconds_with_2025_and_futures_never_do(tmp_path):
    folder = ArchiveFolder(tmp_path)
    rows = ["spot_klines", "spot_trades", "futures_um_klines"]
    days = ("2024-12-31", "2025-01-01")
    cl.sample_archive(tmp_path, datasets=rows, symbols=["BTCUSDT"], intervals=["1h"], days=days)
    first = {key: folder.read_text(key).splitlines()[-1].split(b",") for key in folder.zip_keys()}
    for key, cells in first.items():
        cell = 4 if "/trades/" in key else 0
        spot_2025 = "/spot/" in key and "2025-01" in key
        assert len(cells[cell]) == (16 if spot_2025 else 13), key


def test_old_files_look_old(tmp_path):
    folder = ArchiveFolder(tmp_path)
    cl.sample_archive(
        tmp_path,
        datasets=["futures_um_klines", "futures_um_trades"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2020-08-30", "2020-08-31"),
    )
    texts = [folder.read_text(key) for key in folder.zip_keys()]
    assert all(text[:1].isdigit() for text in texts)
    trade = folder.read_text(next(key for key in folder.zip_keys() if "/trades/" in key))
    assert len(trade.split(b",")[3].split(b".")[1]) == 2
    sidecar = folder.path(folder.zip_keys()[0] + CHECKSUM).read_bytes()
    assert not sidecar.endswith(b"\n")


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def bytes_of(name, seed):
        root = tmp_path / name
        rows = ["spot_klines", "futures_um_agg_trades", "options_eoh_summary"]
        cl.sample_archive(
            root, datasets=rows, symbols=["BTCUSDT"], intervals=["1m"], days="2024-12-31", seed=seed
        )
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return [(path.relative_to(root), path.read_bytes()) for path in files]

    assert bytes_of("a", 1) == bytes_of("b", 1)
    assert bytes_of("a", 1) != bytes_of("c", 2)


def test_a_day_is_the_same_whatever_days_are_made_with_it(tmp_path):
    rows = ["spot_klines", "futures_um_mark_price_klines", "futures_um_trades"]
    choice: dict[str, Any] = {"datasets": rows, "symbols": ["BTCUSDT"], "intervals": ["1m"]}
    choice["partitions"] = ["daily"]
    cl.sample_archive(tmp_path / "one", days="2025-01-10", **choice)
    cl.sample_archive(tmp_path / "more", days=("2025-01-08", "2025-01-11"), **choice)
    one, more = ArchiveFolder(tmp_path / "one"), ArchiveFolder(tmp_path / "more")
    assert len(one.zip_keys()) == 3
    for key in one.zip_keys():
        assert one.path(key).read_bytes() == more.path(key).read_bytes(), key


def test_symbols_live_from_their_listing_to_their_end(tmp_path):
    folder = ArchiveFolder(tmp_path)
    names = ["龙虾USDT", "OMGUSDT"]
    cl.sample_archive(tmp_path, datasets=["spot_klines"], symbols=names, intervals=["1h"])
    days: dict[str, list[date]] = {}
    for key in folder.zip_keys():
        one = parsed(key)
        if one.partition == "daily":
            days.setdefault(one.symbol, []).append(one.period.first)
    assert min(days["龙虾USDT"]) == date(2025, 1, 14)
    assert max(days["OMGUSDT"]) == date(2025, 1, 8)


def test_the_month_under_way_has_no_monthly_file(tmp_path):
    folder = ArchiveFolder(tmp_path)
    days = ("2025-01-30", "2025-02-02")
    cl.sample_archive(
        tmp_path, datasets=["spot_klines"], symbols=["BTCUSDT"], intervals=["1h"], days=days
    )
    monthly = [key for key in folder.zip_keys() if "/monthly/" in key]
    assert [key.rsplit("-1h-", 1)[1] for key in monthly] == ["2025-01.zip"]


def test_zips_are_stamped_with_the_day_they_would_appear(tmp_path):
    cl.sample_archive(
        tmp_path, datasets=["spot_klines"], symbols=["BTCUSDT"], intervals=["1d"], days="2025-01-05"
    )
    folder = ArchiveFolder(tmp_path)
    (key,) = folder.zip_keys()
    with zipfile.ZipFile(io.BytesIO(folder.path(key).read_bytes())) as archive:
        assert archive.infolist()[0].date_time[:3] == (2025, 1, 6)
    assert folder.moment(key).date() == date(2025, 1, 6)
