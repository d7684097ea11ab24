"""The listing: what the archive says exists, asked no wider than needed, kept with its age."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import parse_days
from cryptolake.listing.folders import Folder
from cryptolake.listing.listing import Listing
from tests.planning.source import FUNDING, METRICS, SPOT, Source


def row(market: Market = Market.SPOT, data_type: DataType = DataType.KLINES) -> Row:
    return load_matrix().row(market, data_type)


@pytest.fixture
def listing(lake: cl.Lake) -> Listing:
    return lake.listing


def test_zips_are_listed_with_their_sidecars_beside_them(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2024-01-01", "2024-01-03")
    origin.months("BTCUSDT", "2023-12")
    lone = SPOT.format(partition="daily", symbol="BTCUSDT", interval="1m", period="2024-01-04")
    origin.put(lone, b"no sidecar", sidecar=False)
    origin.publish()
    files = listing.files(row(), "BTCUSDT", Interval.M1, days=parse_days("2024-01"))
    assert files.select("partition", "period").rows() == [
        ("monthly", "2023-12"),
        *(("daily", f"2024-01-0{n}") for n in (1, 2, 3, 4)),
    ]
    found = {r["key"]: r for r in files.iter_rows(named=True)}
    assert found[lone]["size"] == len(b"no sidecar")
    assert found[lone]["checksum_size"] is None
    assert found[lone]["etag"] == hashlib.md5(b"no sidecar").hexdigest()
    assert found[lone]["last_modified"] <= datetime.now(UTC)
    assert all(r["checksum_size"] for key, r in found.items() if key != lone)


def test_one_symbol_is_listed_by_its_own_prefixes_only(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2024-01-01", "2024-01-03")
    origin.publish()
    listing.files(row(), "BTCUSDT", Interval.M1, days=parse_days("2024-01"))
    assert set(origin.asked) == {
        "data/spot/daily/klines/BTCUSDT/1m/",
        "data/spot/monthly/klines/BTCUSDT/1m/",
    }
    assert len(origin.asked) == 3  # the months, the year's days, and the first day


def test_a_year_of_days_is_one_question_and_ten_years_are_ten(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2022-12-25", "2024-01-05")
    origin.publish()
    days = listing.files(row(), "BTCUSDT", Interval.M1, days=parse_days("2023"))
    assert days.height == 365
    assert len(origin.asked) == 3
    origin.forget()
    every = listing.files(row(), "BTCUSDT", Interval.M1)
    assert every.height == 7 + 365 + 5
    years = datetime.now(UTC).year - row().first_date.year + 1
    assert len(origin.asked) == years - 1  # 2023 is known


def test_files_before_and_after_the_years_asked_for_are_told_of(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2022-03-01", "2022-03-03")
    origin.days("BTCUSDT", "2024-03-01")
    origin.days("ETHUSDT", "2023-03-01")
    origin.publish()
    folders = [Folder(row(), name, Interval.M1) for name in ("BTCUSDT", "ETHUSDT", "NONEUSDT")]
    listed = listing.listed(folders, parse_days("2023"))
    assert listed.folders.rows() == [
        (0, date(2022, 3, 1), True),
        (1, date(2023, 3, 1), False),
        (2, None, False),
    ]


def test_malformed_keys_are_kept_apart_and_never_planned(origin: Source, listing: Listing):
    origin.days("MATICUSDT", "2024-01-01", "2024-01-02", key=METRICS)
    folder = "data/futures/um/daily/metrics/MATICUSDT"
    odd = [
        f"{folder}/MATICUSDT-metrics-1993.zip",
        f"{folder}/MATICUSDT-metrics-2024-1.zip",
        f"{folder}/MATICUSDT-metrics-2024-01-03.zip.CHECKSUM",
        f"{folder}/MATICUSDT-metrics-2024-01-01.zip.bak",
    ]
    for key in odd:
        origin.put(key, sidecar=False)
    origin.publish()
    metrics = row(Market.FUTURES_UM, DataType.METRICS)
    listed = listing.listed([Folder(metrics, "MATICUSDT")], parse_days("2024"))
    assert listed.files["period"].to_list() == ["2024-01-01", "2024-01-02"]
    assert set(listed.strange["key"]) == set(odd[1:])  # 1993 lies before the year asked for
    assert listed.folders["first_daily"].to_list() == [date(2024, 1, 1)]


def test_symbols_come_from_one_level_and_keep_their_letters(origin: Source, listing: Listing):
    for name in ("BTCUSDT", "龙虾USDT", "1000SHIBUSDT"):
        origin.days(name, "2024-01-01")
    origin.months("OLDUSDT", "2020-01")
    origin.publish()
    assert listing.symbols(row(), Partition.DAILY) == ["1000SHIBUSDT", "BTCUSDT", "龙虾USDT"]
    assert listing.symbols(row(), Partition.MONTHLY) == ["OLDUSDT"]
    assert origin.asked == ["data/spot/daily/klines/", "data/spot/monthly/klines/"]


def test_non_ascii_symbols_are_listed_and_cached(origin: Source, listing: Listing):
    origin.days("龙虾USDT", "2024-01-01")
    origin.publish()
    for _ in range(2):
        files = listing.files(row(), "龙虾USDT", Interval.M1, days=parse_days("2024"))
        assert files["key"].to_list() == [
            "data/spot/daily/klines/龙虾USDT/1m/龙虾USDT-1m-2024-01-01.zip"
        ]


def test_types_of_one_partition_ask_for_that_one(origin: Source, listing: Listing):
    origin.months("BTCUSDT", "2024-01", key=FUNDING)
    origin.publish()
    funding = row(Market.FUTURES_UM, DataType.FUNDING_RATE)
    assert listing.files(funding, "BTCUSDT").height == 1
    assert origin.asked == ["data/futures/um/monthly/fundingRate/BTCUSDT/"]


def test_levels_of_more_than_a_page_are_whole(origin: Source, listing: Listing):
    names = [f"S{n:04d}USDT" for n in range(1003)]
    for name in names:
        origin.put(
            SPOT.format(partition="daily", symbol=name, interval="1m", period="2024-01-01"),
            sidecar=False,
        )
    origin.publish()
    assert listing.symbols(row(), Partition.DAILY) == names
    assert len(origin.asked) == 2


# ---------------------------------------------------------------------- the cache


def listed_keys(listing: Listing, **how: Any) -> list[str]:
    return listing.files(row(), "BTCUSDT", Interval.M1, days=parse_days("2024-01"), **how)[
        "period"
    ].to_list()


def test_a_fresh_listing_is_not_asked_for_again(origin: Source, listing: Listing, lake: cl.Lake):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    first = listed_keys(listing)
    origin.forget()
    assert listed_keys(listing) == listed_keys(Listing(lake.source, lake.storage)) == first
    assert origin.asked == []


def test_an_old_one_is_and_so_is_any_with_refresh(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    listed_keys(listing)
    origin.days("BTCUSDT", "2024-01-02")
    origin.publish()
    assert listed_keys(listing) == ["2024-01-01"]
    assert listed_keys(listing, refresh=True) == ["2024-01-01", "2024-01-02"]
    origin.forget()
    listed_keys(listing, max_age=timedelta(0))
    assert len(origin.asked) == 3


def test_windows_are_added_to_what_is_cached(origin: Source, listing: Listing):
    origin.days("BTCUSDT", "2023-12-31", "2024-01-01")
    origin.publish()
    listed_keys(listing)
    origin.forget()
    both = listing.files(row(), "BTCUSDT", Interval.M1, days=parse_days("2023", "2024"))
    assert both["period"].sort().to_list() == ["2023-12-31", "2024-01-01"]
    assert len(origin.asked) == 1
    assert listed_keys(listing) == ["2024-01-01"]


def test_a_symbol_without_files_is_remembered_too(origin: Source, listing: Listing):
    origin.publish()
    assert listed_keys(listing) == []
    origin.forget()
    assert listed_keys(listing) == []
    assert origin.asked == []


def test_a_damaged_cache_counts_as_none(origin: Source, listing: Listing, lake: cl.Lake):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    first = listed_keys(listing)
    listing.symbols(row(), Partition.DAILY)
    for entry in lake.storage.list("meta/listings"):
        lake.storage.write(entry.path, b"PAR1 not really")
    assert listed_keys(listing) == first
    assert listing.symbols(row(), Partition.DAILY) == ["BTCUSDT"]


def _other_types(data: bytes) -> bytes:
    rows = pl.read_parquet(BytesIO(data)).with_columns(added_later=pl.lit(1))
    return _parquet(rows.with_columns(pl.selectors.integer().cast(pl.String) + pl.lit(" units")))


def _no_time(data: bytes) -> bytes:
    return _parquet(pl.read_parquet(BytesIO(data)).with_columns(at=pl.lit(None, pl.Int64)))


def _times_as_text(data: bytes) -> bytes:
    return _parquet(pl.read_parquet(BytesIO(data)).with_columns(pl.col("at").cast(pl.String)))


def _parquet(rows: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("other", [_other_types, _no_time, _times_as_text])
def test_a_cache_of_other_columns_stops_nothing(
    origin: Source, listing: Listing, lake: cl.Lake, other: Callable[[bytes], bytes]
):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    first = listed_keys(listing)
    listing.symbols(row(), Partition.DAILY)
    for entry in list(lake.storage.list("meta/listings")):
        lake.storage.write(entry.path, other(lake.storage.read(entry.path)))
    assert listed_keys(listing) == first
    assert listing.symbols(row(), Partition.DAILY) == ["BTCUSDT"]


def test_a_cache_on_which_polars_panics_counts_as_none(
    origin: Source, listing: Listing, lake: cl.Lake, monkeypatch
):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    first = listed_keys(listing)
    listing.symbols(row(), Partition.DAILY)

    def panics(*_: object, **__: object) -> None:
        message = "called `Option::unwrap()` on a `None` value"
        raise pl.exceptions.PanicException(message)

    with (
        monkeypatch.context() as patch
    ):  # as one of some thousand flipped bits of a footer makes it
        patch.setattr(pl, "scan_parquet", panics)
        patch.setattr(pl, "read_parquet", panics)
        assert listed_keys(listing) == first
        assert listing.symbols(row(), Partition.DAILY) == ["BTCUSDT"]


def test_listings_of_two_archives_are_never_mixed(origin: Source, listing: Listing, lake: cl.Lake):
    origin.days("BTCUSDT", "2024-01-01")
    origin.publish()
    listed_keys(listing)
    other = Listing(
        cl.Archive(bucket="another", endpoint_url=origin.archive.endpoint), lake.storage
    )
    with pytest.raises(cl.ListingError, match="no such bucket"):
        listed_keys(other)


def test_many_folders_read_as_each_one_alone(origin: Source, listing: Listing):
    names = [f"S{n}USDT" for n in range(12)]
    for n, name in enumerate(names):
        origin.days(name, "2024-01-01", f"2024-01-{n + 1:02d}")
    origin.publish()
    folders = [Folder(row(), name, Interval.M1) for name in names]
    for _ in range(2):  # asked, then cached
        listed = listing.listed(folders, parse_days("2024"))
        counted = listed.files.group_by("folder").len().sort("folder")
        assert counted.rows() == [(n, n + 1) for n in range(12)]
        assert listed.files.filter(pl.col("folder") == 3)["key"].str.contains("/S3USDT/").all()


def test_a_listing_that_is_as_it_was_is_not_written_again_while_it_is_fresh(
    origin: Source, listing: Listing
):
    def kept() -> list[tuple[str, datetime]]:
        return [(entry.path, entry.modified) for entry in listing.storage.list("meta/listings")]

    def asked() -> int:
        files = listing.files(
            row(), "BTCUSDT", Interval.M1, days=parse_days("2024-01"), refresh=True
        )
        return files.height

    origin.days("BTCUSDT", "2024-01-01", "2024-01-03")
    origin.publish()
    assert asked() == 3
    before = kept()
    assert asked() == 3
    assert kept() == before
    origin.days("BTCUSDT", "2024-01-04", "2024-01-04")
    origin.publish()
    assert asked() == 4
    assert kept() != before
