"""Coarser bars are those that the archive publishes; wrong questions are refused in a sentence."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.errors import IncompleteWarning, InvalidQuery, StorageError
from cryptolake.research.resample import Steps, coarser
from cryptolake.research.symbol_rows import held_symbols
from tests.research.conftest import COINS, DAYS, FUTURES, INDEXES, SPOT, silver
from tests.research.lookahead import at

MINUTES = FUTURES.klines("1m").between("2024-01-01")
COUNTS = ["bars", "expected", "whole"]
HOURLY = Steps(DataType.KLINES, Interval.M1, Interval.H1)


OF_THE_SAMPLE = {
    FUTURES: ("klines", *INDEXES),
    SPOT: ("klines",),
    COINS: ("klines", "markPriceKlines", "premiumIndexKlines"),
    COINS.symbols("BTCUSD"): ("indexPriceKlines",),
}


@pytest.mark.parametrize(
    "query", [query.data_types(kind) for query, kinds in OF_THE_SAMPLE.items() for kind in kinds]
)
def test_coarser_bars_are_those_that_are_published(
    futures: cl.Lake, others: cl.Lake, query: cl.Query
) -> None:
    held = futures if query.selection.markets == (Market.FUTURES_UM,) else others
    query = query.between(*DAYS)
    made = held.resample(query.intervals("1m"), "1h").collect()
    published = held.silver(query.intervals("1h")).collect()
    assert published.height >= 48
    assert made.columns == [*published.columns, *COUNTS]
    assert made["whole"].all()
    for name in published.columns:
        one, two = made[name], published[name]
        if name.endswith("volume"):
            assert ((one - two).abs() <= 1e-9 * two.abs() + 1e-9).all(), name
        else:
            assert one.equals(two), name


def test_several_markets_are_made_at_once(others: cl.Lake) -> None:
    names = ("BTCUSDT", "BTCUSD_PERP")
    both = cl.query().markets("spot", "futures_cm").symbols(*names).klines("1m").between(*DAYS)
    made = others.resample(both, "1h").collect()
    apart = [others.resample(q.klines("1m").between(*DAYS), "1h") for q in (SPOT, COINS)]
    assert made.equals(pl.concat(apart, how="diagonal").select(made.columns).collect())
    joined = others.asof(both.intervals("1h"), "klines:1m").collect()
    assert joined["klines_close"].equals(joined["close"], null_equal=False)


def bars(*rows: tuple[str, int, float, float, float, float, int]) -> pl.LazyFrame:
    """Rows of open time, seconds, four prices, trades."""
    return pl.LazyFrame(
        {
            "open_time": [at(row[0]) for row in rows],
            **{name: [row[2 + n] for row in rows] for n, name in enumerate(PRICES)},
            **dict.fromkeys(VOLUMES, [1.5] * len(rows)),
            "close_time": [
                at(row[0]) + timedelta(seconds=row[1]) - timedelta(milliseconds=1) for row in rows
            ],
            "trades": [row[6] for row in rows],
        },
        schema_overrides=dict.fromkeys(("open_time", "close_time"), pl.Datetime("us", "UTC")),
    )


PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")


def test_bars_without_trades_move_no_price_and_absent_ones_are_counted() -> None:
    rows = bars(
        ("2024-01-01T00:00", 60, 9.0, 9.0, 9.0, 9.0, 0),
        ("2024-01-01T00:01", 60, 5.0, 6.0, 4.0, 5.5, 3),
        ("2024-01-01T00:05", 60, 5.5, 5.8, 5.0, 5.2, 2),
        ("2024-01-01T02:00", 60, 7.0, 7.0, 7.0, 7.0, 0),
    )
    found = coarser(rows, Market.SPOT, HOURLY).collect()
    assert found.select("open_time", *PRICES, "volume", "trades", *COUNTS).rows() == [
        (at("2024-01-01T00:00"), 5.0, 6.0, 4.0, 5.2, 4.5, 5, 3, 60, False),
        (at("2024-01-01T02:00"), 7.0, 7.0, 7.0, 7.0, 1.5, 0, 1, 60, False),
    ]


def test_a_bar_with_a_row_off_the_grid_is_not_whole_and_is_known_when_that_row_is() -> None:
    steps = Steps(DataType.KLINES, Interval.H1, Interval.H2)
    rows = bars(
        ("2018-02-09T08:00", 3600, 1.0, 1.0, 1.0, 1.0, 1),
        ("2018-02-09T09:28:14.789", 3600, 2.0, 2.0, 2.0, 2.0, 1),
    )
    found = coarser(rows, Market.SPOT, steps).collect()
    assert found.select(*COUNTS).rows() == [(2, 2, False)]
    assert found.select(cl.known("spot", "klines", "2h")).item() == at("2018-02-09T10:28:14.789")


@pytest.mark.parametrize(
    ("every", "opens", "expected"),
    [("1w", "2024-02-26", 7), ("1mo", "2024-02-01", 29), ("3d", "2024-02-29", 3)],
)
def test_weeks_begin_on_monday_and_months_on_their_first_day(every, opens, expected) -> None:
    steps = Steps(DataType.KLINES, Interval.D1, Interval(every))
    rows = bars(("2024-02-29", 86400, 1.0, 1.0, 1.0, 1.0, 1))
    found = coarser(rows, Market.SPOT, steps).select("open_time", "bars", "expected", "whole")
    assert found.collect().rows() == [(at(opens), 1, expected, False)]


def test_filters_and_columns_are_pushed_down(futures: cl.Lake) -> None:
    made = futures.resample(FUTURES.klines("1m").between(*DAYS), "1h")
    whole = made.collect()
    assert made.collect(engine="streaming").equals(whole)
    assert made.head(5).collect().equals(whole.head(5))
    assert made.filter(pl.col("symbol") == "ETHUSDT").collect().height == 0
    assert made.select("whole", "close").collect().equals(whole.select("whole", "close"))


@pytest.mark.parametrize(
    ("query", "every", "words"),
    [
        (FUTURES.klines("1h"), "1m", "bars of 1m cannot be made of bars of 1h"),
        (FUTURES.klines("1h"), "1h", "bars of 1h cannot be made of bars of 1h"),
        (FUTURES.klines("8h"), "12h", "of 8h those of 1d, 3d, 1w, 1mo can"),
        (FUTURES.klines("1w"), "1mo", "nothing can"),
        (FUTURES.klines("1m"), "2d", "unknown interval '2d'"),
        (FUTURES.klines("1m", "5m"), "1h", "one interval, and this query names 1m, 5m"),
        (FUTURES.klines(), "1h", "one interval, and this query names none"),
        (FUTURES.data_types("trades"), "1h", "trades are no bars"),
        (FUTURES.data_types("klines", "markPriceKlines"), "1h", "one data type"),
    ],
)
def test_wrong_questions_are_refused(futures: cl.Lake, query, every, words) -> None:
    with pytest.raises(InvalidQuery, match=words):
        futures.resample(query, every)


def test_a_symbol_that_is_not_here_is_named(futures: cl.Lake) -> None:
    with pytest.warns(IncompleteWarning, match="holds no klines of NOUSDT"):
        found = futures.resample(FUTURES.symbols("NOUSDT").klines("1m").between(*DAYS), "1h")
    assert found.collect().height == 0


def test_a_damaged_file_is_named_and_an_error_of_the_computation_is_not_said_to_be_damage(
    tmp_path: Path,
) -> None:
    rows = bars(("2024-01-01T00:00", 60, 9.0, 9.0, 9.0, 9.0, 1)).collect().to_dict()
    path = silver(tmp_path / "lake", "futures_um/klines:1m/BTCUSDT/2024-01", rows)
    lake = cl.Lake(tmp_path / "lake")
    files = held_symbols(MINUTES, lake.context, Market.FUTURES_UM, DataType.KLINES).symbols[0]
    with pytest.raises(pl.exceptions.ColumnNotFoundError), files.scanned(lake.storage):
        files.scan(lake.storage, ["open"]).select("close").collect()
    damaged = bytearray(path.read_bytes())
    damaged[4:200] = bytes(196)
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"BTCUSDT/2024-01\.parquet cannot be read"):
        lake.resample(MINUTES, "1h").collect()
