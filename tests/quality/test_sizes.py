"""Suspicion from the listing alone."""

from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptolake.planning.estimates import suspect_sizes

START = date(2024, 1, 1)


def listing(sizes: list[int], partition: str = "daily", symbol: str = "BTCUSDT") -> pl.DataFrame:
    days = [
        (START + timedelta(days=i)).isoformat()
        if partition == "daily"
        else f"{2017 + i // 12}-{i % 12 + 1:02}"
        for i in range(len(sizes))
    ]
    named = {"period": pl.String, "size": pl.Int64}
    return pl.DataFrame({"period": days, "size": sizes}, schema=named).with_columns(
        market=pl.lit("spot"),
        data_type=pl.lit("trades"),
        symbol=pl.lit(symbol),
        interval=pl.lit(None, pl.String),
        partition=pl.lit(partition),
    )


def suspects(files: pl.DataFrame) -> list[str]:
    return files.filter(suspect_sizes(files))["period"].to_list()


def test_a_month_of_three_megabytes_among_eight_hundred_is_suspect():
    sizes = [
        800_000_000,
        750_000_000,
        900_000_000,
        820_000_000,
        3_000_000,
        790_000_000,
        860_000_000,
        810_000_000,
    ]
    assert suspects(listing(sizes, "monthly")) == ["2017-05"]


def test_quiet_weekends_are_not():
    week = [100, 104, 98, 101, 99, 40, 38]
    assert suspects(listing([size * 1000 for size in week * 8])) == []


def test_half_a_day_is():
    sizes = [70_000 + (i * 7919) % 3_000 for i in range(30)]
    sizes[17] //= 2
    assert suspects(listing(sizes)) == [(START + timedelta(days=17)).isoformat()]


def test_a_slow_rise_is_not():
    assert suspects(listing([int(1_000 * 1.08**i) for i in range(90)])) == []


def test_the_day_of_listing_and_the_newest_one_may_be_short():
    assert suspects(listing([500, *[70_000] * 20, 800])) == []


def test_few_files_say_nothing():
    assert suspects(listing([70_000, 10, 70_000])) == []


def test_nothing_listed_is_nothing_suspect():
    assert suspect_sizes(listing([])).to_list() == []


def test_symbols_are_not_compared_with_each_other():
    files = pl.concat([listing([70_000] * 20), listing([900] * 20, symbol="DUSTUSDT")])
    assert suspects(files) == []


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(random):
    sizes = [70_000 + (i * 7919) % 3_000 for i in range(30)]
    sizes[9] = 900
    files = listing(sizes)
    mixed = files.sample(fraction=1.0, shuffle=True, seed=random.randrange(1_000))
    assert mixed.filter(suspect_sizes(mixed))["period"].to_list() == [files["period"][9]]
