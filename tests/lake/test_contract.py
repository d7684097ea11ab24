"""The public contract, as a stranger would use it, on the sample archive served on loopback."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

import cryptolake as cl
from cryptolake.sample.server import serve_archive

UTC_US = pl.Datetime("us", "UTC")


@pytest.fixture(scope="module")
def query() -> cl.Query:
    return (
        cl.query()
        .markets("spot", "futures_um")
        .klines("1h")
        .symbols("BTCUSDT", "ETH*")
        .between("2024-12-31", "2025-02-01")
    )


@pytest.fixture(scope="module")
def lake(archive: cl.Archive, tmp_path_factory: pytest.TempPathFactory) -> cl.Lake:
    return cl.Lake(tmp_path_factory.mktemp("contract") / "a lake", source=archive)


@pytest.fixture(scope="module")
def pulled(lake: cl.Lake, query: cl.Query) -> cl.Report:
    return lake.pull(query, progress=False)


def test_making_a_lake_touches_nothing(tmp_path: Path) -> None:
    lake = cl.Lake(tmp_path / "lake", source=cl.Archive(endpoint_url="http://127.0.0.1:9"))
    archive = "s3://data.binance.vision at http://127.0.0.1:9"
    assert repr(lake) == f"Lake({str(tmp_path / 'lake')!r}, archive={archive!r})"
    assert not (tmp_path / "lake").exists()


def test_the_root_may_start_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert cl.Lake("~/cryptolake").root == "/home/someone/cryptolake"


def test_the_environment_names_the_endpoint_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRYPTOLAKE_ENDPOINT_URL", "http://127.0.0.1:1234")
    assert cl.Lake("x").source.endpoint == "http://127.0.0.1:1234"
    named = cl.Archive(endpoint_url="http://127.0.0.1:5")
    assert cl.Lake("x", source=named).source.endpoint == "http://127.0.0.1:5"


def test_a_plan_is_the_receipt_before(lake: cl.Lake, query: cl.Query, pulled: cl.Report) -> None:
    fresh = cl.Lake(Path(lake.root).with_name("another"), source=lake.source)
    plan = fresh.plan(query)
    columns = [
        "key",
        "market",
        "data_type",
        "symbol",
        "interval",
        "partition",
        "period",
        "size",
        "etag",
        "status",
    ]
    assert set(columns) <= set(plan.files.columns)
    moving = plan.files.filter(pl.col("status") == "new")
    assert (plan.to_transfer, plan.cached) == (moving.height, 0)
    assert plan.total_bytes == moving["size"].sum()
    # 2024-12-31 from its daily file, January as a month, 2025-02-01 as a day, for 2 + 2 symbols.
    assert dict(plan.files.group_by("partition").len().iter_rows()) == {"daily": 8, "monthly": 4}
    assert plan.missing == 0
    assert pulled.transferred == plan.to_transfer
    assert pulled.bytes == plan.total_bytes
    assert not (Path(fresh.root) / "bronze").exists()


def test_a_plan_is_saved_and_loaded(lake: cl.Lake, query: cl.Query, tmp_path: Path) -> None:
    plan = lake.plan(query)
    plan.save(tmp_path / "plan")
    loaded = cl.Plan.load(tmp_path / "plan")
    assert loaded.files.equals(plan.files)
    assert loaded.commands() == plan.commands()
    assert loaded.query == query


def test_a_pull_is_reported_in_numbers(pulled: cl.Report) -> None:
    assert pulled.ok
    assert (pulled.skipped, pulled.failed, pulled.quarantined) == (0, 0, 0)
    assert pulled.seconds > 0
    assert pulled.files.height == pulled.transferred
    assert "12 files moved" in pulled.summary()


def test_a_second_pull_has_nothing_to_do(lake: cl.Lake, query: cl.Query, pulled: cl.Report) -> None:
    again = lake.pull(query, progress=False)
    assert (again.transferred, again.bytes, again.built) == (0, 0, 0)
    assert again.skipped == pulled.transferred


def test_silver_is_typed_and_says_whose_rows_they_are(
    lake: cl.Lake, query: cl.Query, pulled: cl.Report
) -> None:
    scan = lake.silver(query)
    assert isinstance(scan, pl.LazyFrame)
    schema = scan.collect_schema()
    assert schema["open_time"] == schema["close_time"] == UTC_US
    assert schema["close"] == schema["quote_volume"] == pl.Float64
    assert schema["trades"] == pl.Int64
    assert {"market", "symbol", "interval"} <= set(schema.names())
    frame = scan.collect()
    hours = 33 * 24
    assert dict(frame.group_by("market", "symbol").len().select("market", "len").iter_rows()) == {
        "spot": hours,
        "futures_um": hours,
    }
    times = frame.filter(market="spot", symbol="BTCUSDT")["open_time"]
    assert times.is_sorted()
    assert times.diff().drop_nulls().unique().dt.total_minutes().to_list() == [60]


def test_bronze_is_scanned_zipped_with_its_keys(
    lake: cl.Lake, query: cl.Query, pulled: cl.Report
) -> None:
    frame = lake.bronze(query.markets("spot").symbols("BTCUSDT")).collect()
    assert frame["key"].n_unique() == 3
    assert {"open_time", "close", "ignore"} <= set(frame.columns)
    # The archive's own units: milliseconds in 2024, microseconds from 2025 on.
    assert frame["open_time"].min() < 10**13 < frame["open_time"].max()  # type: ignore[operator]


def test_a_frame_pulls_what_is_missing(lake: cl.Lake) -> None:
    query = (
        cl.query()
        .markets("spot")
        .klines("1d")
        .symbols("BTCUSDT")
        .between("2025-01-05", "2025-01-07")
    )
    frame = lake.frame(query, progress=False)
    assert frame["open_time"].dt.date().to_list() == [date(2025, 1, day) for day in (5, 6, 7)]


def test_sql_sees_every_zone(lake: cl.Lake, pulled: cl.Report) -> None:
    silver = lake.sql(
        "from silver.spot_klines select count(*) where symbol = 'BTCUSDT' and interval = '1h'"
    )
    assert isinstance(silver, duckdb.DuckDBPyRelation)
    assert silver.fetchall() == [(33 * 24,)]
    bronze = lake.sql(
        "select count(*), count(distinct key) from bronze.spot_klines where interval = '1h'"
    )
    assert bronze.fetchall()[0][1] == 6
    assert lake.sql("select count(*) from meta.files").fetchall()[0][0] >= 12


def test_a_connection_can_be_kept_in_a_file(
    lake: cl.Lake, tmp_path: Path, pulled: cl.Report
) -> None:
    lake.connect(tmp_path / "lake.duckdb").close()
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as plain:
        assert plain.sql("select count(*) from silver.spot_klines").fetchall()[0][0] > 0


def test_the_lake_tells_what_it_holds(lake: cl.Lake, pulled: cl.Report) -> None:
    held = lake.datasets()
    columns = ["zone", "dataset", "symbols", "intervals", "first", "last", "files", "bytes", "rows"]
    assert set(columns) <= set(held.columns)
    spot = held.filter(zone="silver", dataset="spot_klines")
    assert spot["symbols"].item() >= 2
    assert lake.status().filter(dataset="spot_klines")["files"].item() >= 6


def test_symbols_come_from_the_listing(lake: cl.Lake) -> None:
    symbols = lake.symbols("spot", "klines")
    assert {"BTCUSDT", "ETHUSDT", "龙虾USDT"} <= set(symbols["symbol"])


def test_quality_is_a_row_a_month(lake: cl.Lake, query: cl.Query, pulled: cl.Report) -> None:
    quality = lake.quality(query)
    assert quality.height == 12
    assert quality["coverage"].min() == quality["coverage"].max() == 1.0


def test_bronze_verifies_and_a_damaged_file_is_found_and_fetched_again(
    lake: cl.Lake, pulled: cl.Report
) -> None:
    query = cl.query().markets("spot").klines("1h").symbols("ETHUSDT").between("2025-01")
    (key,) = lake.plan(query).files["key"]
    path = Path(lake.root) / "bronze" / key
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = lake.verify(query)
    assert found.filter(zone="bronze").select("key", "status").rows() == [(key, "damaged")]
    assert found.filter(zone="silver")["status"].to_list() == ["ok"]
    lake.verify(query, repair=True)
    assert lake.pull(query, progress=False).transferred == 1
    assert path.read_bytes() == whole
    assert set(lake.verify()["status"]) == {"ok"}


def test_words_are_checked_at_the_verb_and_agreement_before_any_io(lake: cl.Lake) -> None:
    with pytest.raises(cl.InvalidQuery, match="did you mean 'spot'"):
        cl.query().markets("spott")
    deaf = cl.Lake(lake.root, source=cl.Archive(endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(cl.InvalidQuery, match="say which symbols"):
        deaf.plan(cl.query().markets("spot").klines("1h").between("2025-01"))


def test_a_name_that_matches_nothing_is_said(lake: cl.Lake) -> None:
    query = cl.query().markets("spot").klines("1h").symbols("BTCUSTD").between("2025-01")
    with pytest.raises(cl.NoSuchSymbol, match="BTCUSDT"):
        lake.plan(query)


def test_two_data_types_are_no_frame(lake: cl.Lake) -> None:
    query = cl.query().markets("spot").data_types("klines", "trades").intervals("1h")
    query = query.symbols("BTCUSDT").between("2025-01-01")
    with pytest.raises(cl.InvalidQuery, match="one data type"):
        lake.silver(query)
    with pytest.raises(cl.InvalidQuery, match="one data type"):
        lake.frame(query)


def test_importing_is_light() -> None:
    program = "import cryptolake, sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    heavy = {"polars", "duckdb", "boto3", "botocore", "s3fs", "ipywidgets", "tqdm", "moto"}
    assert not heavy & set(done.stdout.split())


def test_a_frame_never_lacks_rows_in_silence(sample_archive: Path, tmp_path: Path) -> None:
    part = Path("data/spot/daily/klines/BTCUSDT/1d")
    shutil.copytree(sample_archive / part, tmp_path / "archive" / part)
    stale = tmp_path / "archive" / part / "BTCUSDT-1d-2025-01-06.zip.CHECKSUM"
    stale.write_text(f"{'0' * 64}  {stale.stem}\n")
    query = cl.query().markets("spot").klines("1d").symbols("BTCUSDT")
    query = query.between("2025-01-05", "2025-01-06")
    with serve_archive(tmp_path / "archive") as served:
        lake = cl.Lake(tmp_path / "lake", source=cl.Archive(endpoint_url=served.endpoint))
        with pytest.warns(cl.IncompleteWarning, match="1 file of the range is in quarantine"):
            frame = lake.frame(query, progress=False)
        assert frame.height == 1
        assert lake.pull(query, checksum_policy="accept", progress=False).ok
        assert lake.frame(query, progress=False).height == 2


def test_exact_rows_are_the_published_decimals(lake: cl.Lake, pulled: cl.Report) -> None:
    query = (
        cl.query()
        .markets("spot")
        .klines("1h")
        .symbols("BTCUSDT")
        .between("2024-12-31", "2025-01-02")
    )
    exact = lake.silver(query, exact=True).collect()
    plain = lake.silver(query).collect()
    assert exact.columns == plain.columns
    assert isinstance(exact.schema["close"], pl.Decimal)
    assert exact["open_time"].equals(plain["open_time"])
    assert exact["close"].cast(pl.Float64).equals(plain["close"])
    assert lake.silver(query.symbols("ETHBTC"), exact=True).collect().height == 0
