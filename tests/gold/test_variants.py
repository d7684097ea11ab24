"""A query's market and interval pick the variant of a recipe, each with files, lineage and rebuilds of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.enums import Interval, Market
from cryptolake.archive.feeds import Feed
from cryptolake.gold.build import build_gold
from cryptolake.gold.funding import funding, perp_returns
from cryptolake.gold.open_interest import open_interest
from cryptolake.gold.realized_vol import realized_vol
from cryptolake.gold.recipes import OURS, recipe_named
from tests.gold.harness import leaks, truth
from tests.quality.world import World, key_of

DAYS = ("2024-12-31", "2025-01-01")
ASKED = cl.query().symbols("BTCUSDT", "ETHUSDT").between(*DAYS)
BARS = ASKED.markets("spot", "futures_um").klines("1m", "1h")
CUT = datetime(2025, 1, 1, 7, 31, 17, tzinfo=UTC)
MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def pulled(world: World) -> World:
    world.pull(BARS)
    world.pull(ASKED.symbols("BTCUSDT").markets("futures_um").data_types("fundingRate", "metrics"))
    return world


def built(world: World, name: str, query: cl.Query) -> list[str]:
    report = build_gold(world.lake.context, name, query, progress=False)
    assert report.ok, report
    return report.months.filter(status="built")["path"].to_list()


def test_a_querys_market_and_interval_pick_the_panel(pulled: World):
    months = ["2024-12", "2025-01"]
    usual = [f"gold/panel/market=futures_um/interval=1h/{month}.parquet" for month in months]
    minutes = [f"gold/panel/market=spot/interval=1m/{month}.parquet" for month in months]
    assert built(pulled, "panel", ASKED) == usual
    spot = ASKED.symbols("BTCUSDT").markets("spot").klines("1m")
    assert built(pulled, "panel", spot) == minutes
    assert built(pulled, "panel", BARS.markets("spot").intervals("1m")) == []
    key = key_of("2025-01-01", market="spot", interval="1m")
    pulled.edit(key, lambda lines: [*lines[:9], *lines[10:]])
    pulled.publish()
    pulled.pull(spot)
    both = BARS.symbols("BTCUSDT").intervals("1m", "1h")
    assert minutes[1] in built(pulled, "panel", both)
    assert built(pulled, "panel", both) == []

    rows = pulled.lake.gold("panel", spot, progress=False).collect()
    silver = pulled.lake.silver(spot).collect().select(rows.columns)
    assert rows.equals(silver.sort(pl.col("open_time").dt.month_start(), "symbol", "open_time"))
    every = pulled.lake.gold("panel", both, progress=False).collect()
    counted = every.group_by("market", "interval").len().sort("market", "interval").rows()
    assert [level for *level, _ in counted] == [
        [market, interval] for market in ("futures_um", "spot") for interval in ("1h", "1m")
    ]
    text = (
        "select market, interval, count(*) from gold.panel where symbol = 'BTCUSDT' "
        "group by all order by all"
    )
    assert pulled.lake.sql(text).fetchall() == counted
    codes = pulled.lake.meta.read("lineage").group_by("recipe").agg(pl.col("code").n_unique())
    assert dict(codes.iter_rows())["panel"] == 4


def test_other_inputs_follow_the_leading_ones_interval_and_keep_their_market(pulled: World):
    query = ASKED.symbols("BTCUSDT").klines("1m")
    rows = pulled.lake.gold("basis", query, progress=False).collect()
    assert rows["interval"].unique().to_list() == ["1m"]
    assert rows.height == 2 * 24 * 60
    perp, spot = (
        pulled.lake.silver(query.markets(market)).select("open_time", "close").collect()
        for market in ("futures_um", "spot")
    )
    joined = perp.join(spot, on="open_time", how="left", suffix="_spot")
    ratio = joined.select((pl.col("close") / pl.col("close_spot") - 1).alias("basis"))
    assert rows.select(pl.col("basis").round(9)).equals(ratio.select(pl.col("basis").round(9)))
    close = pulled.lake.panel(query.markets("futures_um"), "basis", of="basis")
    assert close.height == rows.height


def test_a_damaged_file_of_a_variant_is_made_anew(pulled: World):
    query = ASKED.markets("spot").klines("1h")
    pulled.lake.gold("panel", query, progress=False)
    path = "gold/panel/market=spot/interval=1h/2025-01.parquet"
    before = pulled.lake.storage.read(path)
    pulled.lake.storage.write(path, before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    found = pulled.lake.verify(query.between("2025-01"), repair=True)
    assert found.filter(zone="gold", status="damaged")["key"].to_list() == [path]
    assert pulled.lake.storage.read(path) == before


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        ("funding", "futures_um_klines:1m"),
        ("perp_returns", "futures_um_klines:1m"),
        ("open_interest", "futures_um_klines:5m"),
        ("realized_vol", "spot_klines:1m"),
    ],
)
def test_no_row_of_another_interval_knows_what_comes_after_it(pulled: World, name: str, feed: str):
    lead = Feed.parse(feed)
    recipe = recipe_named(name).at(lead.market, lead.interval)
    assert recipe is not None
    assert recipe.lead == lead
    bars = pulled.lake.silver(ASKED.symbols("BTCUSDT").markets(lead.market).klines("1m"))
    if lead.interval is Interval.M5:  # the recipe takes nothing but their times
        bars = bars.filter(pl.col("open_time").dt.minute() % 5 == 0)
    rows = {"bars": bars.collect()}
    others = [of for of in recipe.inputs if of not in ("bars", "index")]
    for of in others:
        query = ASKED.symbols("BTCUSDT").markets(lead.market)
        rows[of] = pulled.lake.silver(query.data_types(recipe.inputs[of].data_type)).collect()
    assert lead.interval is not None
    make: Any = partial(recipe.make, interval=lead.interval.value)
    if "index" in recipe.inputs:
        nothing = pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC"), "index_value": pl.Float64})
        make = partial(make, index=nothing)
    inputs = {of: recipe.inputs[of] for of in rows}
    known = truth(lead)
    if "rates" in rows:
        known = pl.max_horizontal(known, pl.col("funding_time").fill_null(known))
    assert leaks(make, rows, inputs, CUT, known).is_empty()
    # The control: bars that are called known at their open do leak, where their values are of the bar.
    if name != "open_interest":
        early = leaks(make, rows, inputs, CUT, pl.col("open_time"))
        assert early.height == (name != "funding")


def test_functions_follow_the_interval_that_they_are_told():
    quarters = [MIDNIGHT + timedelta(minutes=15 * n) for n in range(28, 36)]
    bars = pl.LazyFrame({"open_time": quarters, "close": [100.0] * 8})
    paid = [MIDNIGHT, MIDNIGHT + timedelta(hours=8, milliseconds=3)]
    rates = pl.LazyFrame(
        {"time": paid, "funding_interval_hours": [8, 8], "funding_rate": [0.5, 0.001]}
    )
    rate = funding(bars, rates, "15m").collect()["funding_rate"].to_list()
    assert rate == [0.0, 0.0, 0.0, 0.001, 0.0, 0.0, 0.0, 0.0]
    total = perp_returns(bars, rates, "15m").collect()["total"].to_list()
    assert total == [None, 0.0, 0.0, -0.001, 0.0, 0.0, 0.0, 0.0]

    stamps = [MIDNIGHT + timedelta(minutes=n) for n in (430, 435, 440, 445)]
    metrics = pl.LazyFrame({"time": stamps, "open_interest": [1.0, 2.0, 3.0, 4.0]})
    metrics = metrics.with_columns(open_interest_value=pl.col("open_interest") * 7)
    held = open_interest(bars, metrics, "15m").collect()
    # The first bar ends at minute 435, when the stamp of minute 430 is known; the second at 450, when that of 445 is.
    assert held["open_interest"].to_list()[:3] == [1.0, 4.0, None]
    assert held["snapshot_price"][0] == 7.0

    moves = [100.0 * 1.01 ** (n % 2) for n in range(97)]
    times = [MIDNIGHT + timedelta(minutes=15 * n) for n in range(97)]
    index = pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC"), "index_value": pl.Float64})
    made = realized_vol(pl.LazyFrame({"open_time": times, "close": moves}), index, "15m").collect()
    # 96 returns of ln(1.01) a day, 365 days.
    assert round(made["vol_1d"][-1], 6) == round(100 * (365 * 96) ** 0.5 * 0.00995033085, 6)


def test_a_recipe_of_ones_own_holds_for_more_and_pairs_by_market():
    def paired(symbol: str, market: Market) -> dict[str, str]:
        return {"rates": f"{symbol}-{market.value}"}

    @cl.recipe(
        bars="futures_um_klines:1h",
        rates="futures_um_funding_rate",
        markets=["futures_cm"],
        intervals="all",
        pair=paired,
    )
    def carried(bars, rates, interval="1h"):
        return bars.select("open_time", length=pl.lit(interval))

    recipe = recipe_named("carried")
    other = recipe.at(Market.FUTURES_CM, Interval.M5)
    assert other is not None
    assert [str(feed) for feed in other.inputs.values()] == [
        "futures_cm_klines:5m",
        "futures_cm_funding_rate",
    ]
    assert other.symbol_of("rates", "X") == "X-futures_cm"
    assert other.code != recipe.code
    assert recipe.at(Market.SPOT, Interval.H1) is None
    assert recipe.at(Market.FUTURES_UM, Interval.S1) is None
    empty = pl.LazyFrame({"open_time": [MIDNIGHT]})
    assert other({"bars": empty, "rates": empty}).collect()["length"].item() == "5m"
    row = cl.Lake("/data/none").recipes().filter(name="carried").rows(named=True)[0]
    assert row["markets"] == ["futures_um", "futures_cm"]
    assert row["intervals"][:2] == ["1h", "1m"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"markets": ["spot"], "rates": "futures_um_funding_rate"}, "does not hold for spot"),
        ({"intervals": ["1s"]}, "has its inputs at 1s"),
        ({"intervals": ["7m"]}, "7m"),
        ({"markets": ["moon"]}, "moon"),
    ],
)
def test_what_a_recipe_cannot_hold_for_is_refused(words: dict[str, Any], match: str):
    with pytest.raises(cl.InvalidQuery, match=match):
        cl.recipe(bars="futures_um_klines:1h", **words)
    with pytest.raises(cl.InvalidQuery, match="has no intervals"):
        cl.recipe(trades="spot_trades", intervals="all")


def test_each_variant_of_ours_has_its_columns():
    for name in OURS:
        recipe = recipe_named(name)
        for variant in recipe.variants(recipe.markets, recipe.intervals):
            assert variant.columns.keys() >= {"market", "symbol", "interval"}, variant.inputs


def test_filled_bars_are_exported_as_they_stand(pulled: World, tmp_path: Path):
    lake, query = pulled.lake, ASKED.symbols("BTCUSDT").markets("spot").klines("1h")
    empty = lake.export(query, tmp_path / "none", each="all", of="filled")
    assert empty["rows"].to_list() == [0]
    pulled.edit(key_of("2024-12-31", market="spot"), lambda lines: [*lines[:-5], *lines[-4:]])
    pulled.publish()
    pulled.pull(query)
    bars = lake.fill(query, against="klines")
    assert bars["open_time"].to_list() == [datetime(2024, 12, 31, 19, tzinfo=UTC)]
    made = lake.export(query, tmp_path / "filled", of="filled")
    assert made.select("symbol", "rows").rows() == [("BTCUSDT", 1)]
    assert pl.read_parquet(made["path"][0]).equals(bars.cast({"origin": pl.String}))
    sources = (tmp_path / "filled" / "sources.sha256").read_text("utf-8")
    assert "/1m/" in sources
    assert "Gold: filled" in (tmp_path / "filled" / "README.md").read_text("utf-8")
    with pytest.raises(cl.InvalidQuery, match="has klines"):
        lake.export(ASKED.data_types("trades"), tmp_path / "no", of="filled")
