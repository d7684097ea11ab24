"""Bars made anew, and held against published ones."""

from datetime import UTC, datetime, timedelta
from zipfile import ZipFile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import Interval
from cryptolake.archive.grid import number_of
from cryptolake.archive.schemas import schema_of
from cryptolake.quality.bars import (
    bars_of_klines,
    bars_of_trades,
    decimals,
    differences,
    joined,
)

KLINES = "klines/BTCUSDT"
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
TRADE = st.tuples(
    st.integers(0, 7_199), st.integers(1, 10**6), st.integers(1, 10**6), st.booleans()
)


def trades_of(rows: list[tuple[int, int, int, bool]]) -> pl.DataFrame:
    ordered = sorted(rows, key=lambda row: row[0])
    return pl.DataFrame(
        {
            "trade_id": range(len(ordered)),
            "time": pl.Series(
                [BEGIN + timedelta(seconds=s) for s, *_ in ordered], dtype=pl.Datetime("us", "UTC")
            ),
            "price": [price / 100 for _, price, _, _ in ordered],
            "quantity": [quantity / 1000 for _, _, quantity, _ in ordered],
            "is_buyer_maker": [maker for *_, maker in ordered],
        }
    )


@given(st.lists(TRADE, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_a_bar_is_what_its_trades_say_in_whatever_order_they_lie(rows, random):
    trades = trades_of(rows)
    shuffled = trades.sample(fraction=1.0, shuffle=True, seed=random.randrange(999))
    made = bars_of_trades(shuffled.lazy(), schema_of("spot", "trades"), Interval.H1).collect()
    for bar in made.iter_rows(named=True):
        mine = trades.filter(pl.col("time").dt.epoch("s") // 3600 == bar["bar"])
        assert (bar["open"], bar["close"]) == (mine["price"][0], mine["price"][-1])
        assert (bar["high"], bar["low"]) == (mine["price"].max(), mine["price"].min())
        assert bar["trades"] == mine.height
        assert bar["volume"] == pytest.approx(mine["quantity"].sum())
        bought = mine.filter(~pl.col("is_buyer_maker"))
        assert bar["taker_buy_quote_volume"] == pytest.approx(
            (bought["price"] * bought["quantity"]).sum()
        )
    assert made["trades"].sum() == trades.height


@given(st.lists(TRADE, min_size=1, max_size=60))
def test_minutes_make_the_same_hours_as_the_trades(rows):
    schema = schema_of("futures_um", "trades")
    trades = trades_of(rows).lazy()
    minutes = bars_of_trades(trades, schema, Interval.M1).collect()
    opens = [
        BEGIN + timedelta(minutes=bar - number_of(BEGIN, Interval.M1)) for bar in minutes["bar"]
    ]
    klines = minutes.drop("bar").with_columns(
        pl.Series("open_time", opens, dtype=pl.Datetime("us", "UTC"))
    )
    hours = bars_of_klines(klines.lazy(), Interval.H1).collect()
    assert not differences(bars_of_trades(trades, schema, Interval.H1).collect(), hours).height


def test_parts_of_a_bar_join_in_order():
    parts = pl.DataFrame(
        {
            "bar": [5, 5],
            "open": [1.0, 2.0],
            "high": [3.0, 9.0],
            "low": [1.0, 0.5],
            "close": [2.0, 4.0],
            "volume": [1.5, 2.5],
        }
    )
    assert joined(parts.lazy()).collect().row(0) == (5, 1.0, 9.0, 0.5, 4.0, 4.0)


def test_minutes_without_a_trade_give_no_price():
    minutes = pl.DataFrame(
        {
            "open_time": [BEGIN, BEGIN + timedelta(minutes=1)],
            "open": [7.0, 9.0],
            "high": [7.0, 9.5],
            "low": [7.0, 8.5],
            "close": [7.0, 9.1],
            "trades": [0, 3],
        }
    )
    assert bars_of_klines(minutes.lazy(), Interval.H1).collect()["open"].to_list() == [9.0]
    assert bars_of_klines(minutes.head(1).lazy(), Interval.H1).collect()["open"].to_list() == [7.0]


def test_aggregates_count_their_trades_and_coin_margined_ones_no_coin():
    aggregates = pl.DataFrame(
        {
            "agg_trade_id": [1, 2],
            "first_trade_id": [10, 14],
            "last_trade_id": [13, 14],
            "time": [BEGIN, BEGIN],
            "price": [5.0, 6.0],
            "quantity": [1.0, 2.0],
            "is_buyer_maker": [True, False],
        }
    )
    made = bars_of_trades(
        aggregates.lazy(), schema_of("futures_cm", "aggTrades"), Interval.H1
    ).collect()
    assert made["trades"].to_list() == [5]
    assert "base_volume" not in made.columns


@pytest.mark.parametrize(
    ("values", "places"),
    [([43417.1, 43440.0], 1), ([0.00004], 5), ([3.0], 0), ([], 0), ([80006.12345678], 8)],
)
def test_decimals_are_read_off_the_numbers(values, places):
    assert decimals(pl.Series(values, dtype=pl.Float64)) == places


def test_less_than_half_a_published_unit_is_no_difference():
    published = pl.DataFrame({"bar": [1, 2], "volume": [10.125, 3.001], "trades": [4, 4]})
    rebuilt = pl.DataFrame({"bar": [1, 2], "volume": [10.1254, 3.002], "trades": [4, 4]})
    [row] = differences(published, rebuilt).rows(named=True)
    assert (row["bar"], row["column"], row["published"], row["rebuilt"]) == (
        2,
        "volume",
        3.001,
        3.002,
    )


def test_a_bar_that_one_side_lacks_is_a_difference_unless_nothing_was_traded():
    published = pl.DataFrame({"bar": [1, 2], "close": [5.0, 5.0], "trades": [0, 2]})
    rebuilt = pl.DataFrame({"bar": [3], "close": [6.0], "trades": [1]})
    found = differences(published, rebuilt).select("bar", "column", "published", "rebuilt").rows()
    assert found == [(2, "trades", 2.0, None), (3, "trades", None, 1.0)]


@pytest.mark.real
def test_three_real_days_of_minutes_make_the_real_hours(real_archive):
    names = schema_of("spot", "klines").silver_names

    def read(text: bytes) -> pl.DataFrame:
        frame = pl.read_csv(text, has_header=False, new_columns=[*names, "ignore"])
        return frame.with_columns((pl.col("open_time") * 1000).cast(pl.Datetime("us", "UTC")))

    minutes = []
    for day in (1, 2, 3):
        with ZipFile(
            real_archive / f"zips/data/spot/daily/{KLINES}/1m/BTCUSDT-1m-2020-01-0{day}.zip"
        ) as archive:
            minutes.append(read(archive.read(archive.namelist()[0])))
    month = real_archive / f"csv/data/spot/monthly/{KLINES}/1h/BTCUSDT-1h-2020-01.csv"
    hours = read(month.read_bytes())
    published = hours.with_columns((pl.col("open_time").dt.epoch("s") // 3600).alias("bar")).head(
        72
    )
    rebuilt = bars_of_klines(pl.concat(minutes).lazy(), Interval.H1).collect()
    assert rebuilt.height == 72
    assert differences(published, rebuilt).rows() == []
