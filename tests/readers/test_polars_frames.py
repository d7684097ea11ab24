"""lake.bronze and lake.silver: LazyFrames of what a query means, and of nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.errors import CorruptArchive, InvalidQuery, StorageError
from cryptolake.readers import polars_frames
from cryptolake.readers.conversions import to_polars
from tests.readers.lakes import (
    build_all,
    days,
    header,
    klines_key,
    klines_text,
    put,
    put_days,
)

WEEK = days("2024-01-29", 7)
BARS = cl.query().markets("spot").klines("1m").symbols("BTCUSDT", "ETH*")
ALL = BARS.between("2024-01", "2024-02")


@pytest.fixture
def lake(tmp_path):
    """A lake that was pulled: three symbols, a week of 1m bars each, 60 a day."""
    lake = cl.Lake(tmp_path / "lake")
    put_days(lake.storage, lake.meta, ["BTCUSDT", "ETHUSDT", "XRPUSDT"], WEEK, rows=60)
    build_all(lake.storage, lake.meta)
    return lake


class TestSilver:
    def test_rows_are_typed_and_say_market_symbol_and_interval(self, lake):
        frame = lake.silver(ALL).collect()
        assert frame.columns[:5] == ["market", "symbol", "interval", "open_time", "open"]
        assert frame.schema["open_time"] == pl.Datetime("us", "UTC")
        assert frame.schema["trades"] == pl.Int64
        assert frame.select("market", "symbol", "interval").unique().sort("symbol").rows() == [
            ("spot", "BTCUSDT", "1m"),
            ("spot", "ETHUSDT", "1m"),
        ]
        assert frame.height == 2 * 7 * 60

    def test_the_days_of_the_query_are_whole_and_both_ends_are_in(self, lake):
        frame = lake.silver(BARS.between("2024-01-31", "2024-02-01")).collect()
        assert frame["open_time"].dt.date().unique().sort().to_list() == [
            date(2024, 1, 31),
            date(2024, 2, 1),
        ]
        assert frame["open_time"].min() == datetime(2024, 1, 31, tzinfo=UTC)
        assert frame.height == 2 * 2 * 60

    def test_rows_come_by_symbol_in_the_order_of_time(self, lake):
        frame = lake.silver(ALL).collect()
        assert frame.equals(frame.sort("symbol", "open_time"))

    def test_filters_and_columns_reach_the_files(self, lake):
        lazy = lake.silver(ALL).filter(pl.col("symbol") == "ETHUSDT").select("close")
        assert "SELECTION" in lazy.explain()
        assert lazy.collect()["close"].to_list() == [200.0 + n for n in range(60)] * 7

    def test_the_streaming_engine_gives_the_same(self, lake):
        lazy = lake.silver(ALL).group_by("symbol").agg(pl.col("close").sum()).sort("symbol")
        assert lazy.collect(engine="streaming").equals(lazy.collect())

    def test_nothing_there_is_a_typed_nothing(self, tmp_path):
        frame = cl.Lake(tmp_path).silver(ALL).collect()
        assert frame.height == 0
        assert frame.schema["open_time"] == pl.Datetime("us", "UTC")
        assert frame.columns[:3] == ["market", "symbol", "interval"]

    def test_a_type_without_an_interval_has_a_null_one(self, lake):
        key = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-01-01.zip"
        put(
            lake.storage,
            lake.meta,
            {key: "1,93576.0,0.1,9357.6,1735689600010866,True,True\n"},
        )
        build_all(lake.storage, lake.meta)
        query = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT").between("2025")
        (row,) = lake.silver(query).collect().rows(named=True)
        assert (row["symbol"], row["interval"], row["price"]) == ("BTCUSDT", None, 93576.0)
        assert row["time"] == datetime(2025, 1, 1, 0, 0, 0, 10866, tzinfo=UTC)

    def test_markets_with_other_columns_are_put_side_by_side(self, lake):
        key = klines_key("BTCUSD_PERP", WEEK[0], market="futures_cm")
        put(lake.storage, lake.meta, {key: klines_text(WEEK[0], 2)})
        build_all(lake.storage, lake.meta)
        query = cl.query().markets("spot", "futures_cm").klines("1m").symbols("BTC*")
        frame = lake.silver(query.between("2024-01-29")).collect()
        assert dict(frame.group_by("market").len().rows()) == {"spot": 60, "futures_cm": 2}
        coin = frame.filter(market="futures_cm")
        assert coin["base_volume"].null_count() == 0
        assert coin["quote_volume"].null_count() == 2

    def test_a_query_without_words_for_symbols_means_all(self, lake):
        assert lake.silver(cl.query().klines("1m")).collect()["symbol"].n_unique() == 3

    @pytest.mark.parametrize("types", [(), ("klines", "trades")])
    def test_a_frame_has_one_data_type(self, lake, types):
        query = cl.query().markets("spot").data_types(*types)
        for frame in (lake.silver, lake.bronze):
            with pytest.raises(InvalidQuery, match="a frame holds one data type"):
                frame(query)

    def test_a_market_that_lacks_the_type_is_an_invalid_query(self, lake):
        with pytest.raises(InvalidQuery, match="spot has no metrics"):
            lake.silver(cl.query().markets("spot").data_types("metrics"))

    def test_extra_columns_are_there_as_text(self, lake):
        key = klines_key("XUSDT", WEEK[0], market="futures_um")
        names, line = header("futures_um", "klines").strip(), klines_text(WEEK[0], 1).strip()
        other = klines_key("YUSDT", WEEK[0], market="futures_um")
        put(lake.storage, lake.meta, {key: f"{names},Remark\n{line},odd\n", other: f"{line}\n"})
        build_all(lake.storage, lake.meta)
        frame = lake.silver(cl.query().markets("futures_um").klines("1m")).collect()
        assert frame.sort("symbol")["remark"].to_list() == ["odd", None]


class TestBronze:
    def test_rows_are_as_published_and_say_their_key(self, lake):
        frame = lake.bronze(ALL).collect()
        assert frame.columns[0] == "open_time"
        assert frame.columns[-5:] == ["ignore", "key", "market", "symbol", "interval"]
        assert frame.schema["open_time"] == pl.Int64
        assert frame.schema["count"] == pl.Int64
        assert frame["open_time"].min() == 1706486400000
        assert frame["key"].n_unique() == 14
        assert frame.height == 14 * 60

    def test_files_whose_days_overlap_the_querys_are_read_whole(self, lake):
        frame = lake.bronze(BARS.between("2024-01-31")).collect()
        assert frame["key"].unique().sort().to_list() == [
            klines_key("BTCUSDT", "2024-01-31"),
            klines_key("ETHUSDT", "2024-01-31"),
        ]

    def test_bronze_and_sql_agree(self, lake):
        frame = lake.bronze(ALL).collect().sort("key", "open_time")
        rows = lake.sql(
            "from bronze.spot_klines_1m where symbol in ('BTCUSDT', 'ETHUSDT') order by key, open_time"
        )
        assert to_polars(rows).equals(frame)

    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_cells_past_the_last_column_are_left_out(self, lake, place):
        before = lake.bronze(ALL).collect()
        lines = klines_text(WEEK[place], rows=60).splitlines()
        lines = [f"{line},extra,{n}" for n, line in enumerate(lines)]
        put(lake.storage, lake.meta, {klines_key("BTCUSDT", WEEK[place]): "\n".join(lines) + "\n"})
        frame = lake.bronze(ALL).collect()
        assert frame.equals(before)
        assert lake.bronze(ALL).select("close", "symbol").collect().height == 14 * 60
        sql = lake.sql(
            "from bronze.spot_klines_1m where symbol <> 'XRPUSDT' order by key, open_time"
        )
        assert to_polars(sql).equals(frame.sort("key", "open_time"))

    def test_a_filter_on_the_key_opens_no_other_file(self, lake):
        lake.storage.write(f"bronze/{klines_key('BTCUSDT', WEEK[0])}", b"no zip at all")
        lazy = lake.bronze(ALL)
        assert lazy.filter(pl.col("symbol") == "ETHUSDT").collect().height == 7 * 60
        with pytest.raises(CorruptArchive, match="BTCUSDT-1m-2024-01-29"):
            lazy.collect()

    def test_columns_filters_and_limits_are_handed_in(self, lake):
        lazy = lake.bronze(ALL)
        assert lazy.head(7).collect().height == 7
        found = lazy.filter(pl.col("close") > 158).select("high").collect()
        assert found.columns == ["high"]
        assert found.height == 7 * 61
        assert lazy.select(pl.len()).collect().item() == 14 * 60
        assert lazy.select("symbol").unique().collect().height == 2

    def test_files_are_read_in_batches_that_do_not_show(self, lake, monkeypatch):
        whole = lake.bronze(ALL).collect()
        for size in (1, 999, 20_000):
            monkeypatch.setattr(polars_frames, "BATCH", size)
            assert lake.bronze(ALL).collect().equals(whole)

    def test_odd_cells_are_null_and_no_row_is_lost(self, lake):
        good = klines_text(WEEK[0], 1).strip()
        lines = [good.replace("101.0", "?"), good + ",more", good.rsplit(",", 3)[0], good]
        key = klines_key("AUSDT", WEEK[0])
        put(lake.storage, lake.meta, {key: "\n".join(lines)})
        frame = lake.bronze(BARS.symbols("A*", "ETH*").between("2024-01-29")).collect()
        assert frame.height == 60 + 4
        odd = frame.filter(symbol="AUSDT")
        assert odd["high"].to_list() == [None, 101.0, 101.0, 101.0]
        assert odd["ignore"].to_list() == [0.0, 0.0, None, 0.0]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: text.replace("\n", "\r\n"),
            lambda text: "\n" + text.replace("\n", "\n\n"),
            lambda text: text.rstrip("\n"),
            lambda text: text.replace(",1.5,", ',"",').replace(",2.5,", ',"2.5,'),
        ],
        ids=["carriage returns", "empty lines", "no last line end", "lone quotes"],
    )
    def test_odd_texts_lose_no_row_in_frames_nor_in_sql(self, tmp_path, spoil):
        lake = cl.Lake(tmp_path)
        put(
            lake.storage,
            lake.meta,
            {klines_key("BTCUSDT", WEEK[0]): spoil(klines_text(WEEK[0], 9))},
        )
        frame = lake.bronze(ALL).collect()
        assert frame["close"].to_list() == [100.0 + n for n in range(9)]
        assert frame["ignore"].to_list() == [0.0] * 9
        assert to_polars(lake.sql("from bronze.spot_klines order by open_time")).equals(frame)

    def test_a_name_that_the_archive_uses_itself_is_kept_for_it(self, lake):
        key = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-01.zip"
        line = "2024-01-01 00:00:00,BTCUSDT,1.0,2.0,3.0,4.0,5.0,6.0\n"
        put(lake.storage, lake.meta, {key: header("futures_um", "metrics") + line})
        frame = lake.bronze(cl.query().markets("futures_um").data_types("metrics")).collect()
        assert frame.select("create_time", "symbol", "file_symbol", "market").rows() == [
            ("2024-01-01 00:00:00", "BTCUSDT", "BTCUSDT", "futures_um")
        ]
        assert lake.sql("select symbol, file_symbol from bronze.futures_um_metrics").fetchall() == [
            ("BTCUSDT", "BTCUSDT")
        ]

    def test_nothing_there_is_a_typed_nothing(self, tmp_path):
        frame = cl.Lake(tmp_path).bronze(ALL).collect()
        assert frame.height == 0
        assert frame.schema["open_time"] == pl.Int64

    def test_a_file_that_is_gone_is_said_in_words(self, lake):
        lake.storage.delete(f"bronze/{klines_key('BTCUSDT', WEEK[0])}")
        with pytest.raises(StorageError, match="in the ledger but not in Bronze"):
            lake.bronze(ALL).collect()


@pytest.mark.parametrize("name", ["star*x", "br[ack]et", "new\nline", "q?m", "it's"])
def test_a_root_with_an_odd_name_is_read(tmp_path, name):
    lake = cl.Lake(tmp_path / name)
    put_days(lake.storage, lake.meta, ["BTCUSDT", "ETHUSDT"], WEEK[:2], rows=4)
    build_all(lake.storage, lake.meta)
    for frame in (lake.silver(ALL).collect(), lake.bronze(ALL).collect()):
        assert frame["symbol"].unique().sort().to_list() == ["BTCUSDT", "ETHUSDT"]
        assert frame.height == 16
    found = lake.sql("select symbol, count(*) from silver.spot_klines group by 1 order by 1")
    assert found.fetchall() == [("BTCUSDT", 8), ("ETHUSDT", 8)]
