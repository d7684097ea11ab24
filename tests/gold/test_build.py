"""Gold files: only what is stale is made, nothing is lost in silence, and files are what their records say."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.gold import month, recipes
from cryptolake.gold.build import build_gold
from cryptolake.gold.lineage import gold_records
from tests.gold.test_recipes import gold_months
from tests.quality.world import World, key_of

BARS = cl.query().markets("spot", "futures_um").klines("1h")
ASKED = cl.query().symbols("BTCUSDT").between("2024-12-30", "2025-02-01")
MONTHS = ["2024-12", "2025-01", "2025-02"]


@pytest.fixture(scope="module")
def pulled(world: World) -> World:
    world.pull(BARS.symbols("BTCUSDT", "ETHUSDT").between("2024-12-30", "2025-02-01"))
    return world


def built(world: World, name: str, query: cl.Query = ASKED, **how: Any) -> list[str]:
    report = build_gold(world.lake.context, name, query, progress=False, **how)
    assert report.ok, report
    return gold_months(report.months, "built")


def test_warm_up_rows_make_the_month_before_an_input(pulled: World):
    @cl.recipe(bars="spot_klines:1h", before="31d")
    def trailing(bars):
        mean = pl.col("close").rolling_mean_by("open_time", "7d", min_samples=24)
        return bars.select("open_time", mean)

    assert built(pulled, "trailing") == MONTHS
    assert built(pulled, "trailing") == []
    rows = pulled.lake.gold("trailing", ASKED, progress=False).collect()
    whole = trailing(pulled.lake.silver(ASKED.markets("spot").klines("1h"))).collect()
    assert (
        rows["close"].null_count() == 23
    )  # before the first month there is nothing to warm up with
    near = pl.col("close").round(6)  # a rolling sum's last digits depend on where it began
    assert rows.select("open_time", near).equals(whole.with_columns(near))
    key = key_of("2025-01", market="spot")
    pulled.edit(key, lambda lines: [*lines[:9], *lines[10:]])
    pulled.publish()
    pulled.pull(BARS.symbols("BTCUSDT").between("2025-01"))
    assert built(pulled, "trailing") == ["2025-01", "2025-02"]


@pytest.mark.parametrize("backwards", [False, True])
def test_few_rows_are_made_in_one_piece_and_give_the_same_file(
    pulled: World, monkeypatch: pytest.MonkeyPatch, backwards: bool
):
    @cl.recipe(bars="spot_klines:1h", before="31d")
    def pieces(bars):
        mean = pl.col("close").rolling_mean_by("open_time", "7d", min_samples=24)
        rows = bars.select("open_time", mean)
        return rows.reverse() if backwards else rows

    def facts(force: bool) -> list[Any]:
        assert built(pulled, "pieces", force=force) == MONTHS
        newest = pulled.lake.meta.read("lineage").unique("path", keep="last")
        names = ("sha256", "size", "rows", "first", "last")
        return newest.filter(recipe="pieces").sort("path").select(names).rows()

    whole = facts(force=False)
    streamed: list[str] = []
    sink = month._sink

    def counted(rows: pl.LazyFrame, draft: Path, metadata: dict[str, str]) -> None:
        streamed.append(draft.name)
        sink(rows, draft, metadata)

    monkeypatch.setattr(month, "_sink", counted)
    assert facts(force=True) == whole
    assert streamed == []
    monkeypatch.setattr(month, "_SMALL", 0)
    assert facts(force=True) == whole
    assert len(streamed) == (6 if backwards else 3)


def test_records_say_what_went_in_where_that_is_asked(pulled: World):
    built(pulled, "panel")
    records = pulled.lake.context.records
    every = gold_records(records, "panel")
    one = next(iter(every))
    slim = gold_records(records, "panel", paths=list(every), inputs_of=[one])
    assert set(gold_records(records, "panel", paths=[one])) == {one}
    assert {path for path, record in slim.items() if record.paths} == {one}
    assert {path: record._replace(inputs=None) for path, record in every.items()} == {
        path: record._replace(inputs=None) for path, record in slim.items()
    }


def test_another_function_or_version_makes_all_months_anew(pulled: World):
    def registered(factor: int, version: int) -> None:
        @cl.recipe(bars="spot_klines:1h", version=version)
        def scaled(bars):
            return bars.select("open_time", x=pl.col("close") * factor)

    registered(2, 1)
    assert built(pulled, "scaled") == MONTHS
    registered(2, 1)
    assert built(pulled, "scaled") == []
    registered(3, 1)
    assert built(pulled, "scaled", ASKED.between("2025-01")) == ["2025-01"]
    registered(3, 2)
    assert built(pulled, "scaled") == MONTHS
    assert built(pulled, "scaled", force=True) == MONTHS
    said = pl.read_parquet_metadata(pulled.lake.storage.url(path_of("scaled")))["cryptolake"]
    row = pulled.lake.meta.read("lineage").filter(path=path_of("scaled")).rows(named=True)[-1]
    lineage = json.loads(said)
    assert (lineage["recipe"], lineage["version"], lineage["code"]) == ("scaled", "2", row["code"])
    assert json.loads(row["inputs"]) == lineage["inputs"]
    [source] = lineage["inputs"]
    known = pulled.lake.meta.read("months").filter(path=source["path"]).rows(named=True)[-1]
    assert (source["sha256"], source["schema_version"]) == (
        known["sha256"],
        known["schema_version"],
    )


def path_of(name: str, market: str = "spot") -> str:
    return f"gold/{name}/market={market}/symbol=BTCUSDT/interval=1h/2025-01.parquet"


def test_a_function_that_raises_fails_its_month_and_the_others_go_on(pulled: World):
    @cl.recipe(bars="spot_klines:1h")
    def picky(bars):
        def check(frame: pl.DataFrame) -> pl.DataFrame:
            if frame.height > 100:
                message = "too many bars"
                raise ValueError(message)
            return frame.select("open_time", "close")

        return check(bars.collect()).lazy()

    report = pulled.lake.build(ASKED, gold=["picky"], progress=False)
    assert gold_months(report.months, "built") == ["2024-12", "2025-02"]
    [error] = report.months["error"].drop_nulls()
    assert error == "recipe 'picky' fails for BTCUSDT in 2025-01: ValueError: too many bars"
    assert not report.ok
    with pytest.raises(cl.BuildError, match="'picky' fails for BTCUSDT in 2025-01") as raised:
        pulled.lake.gold("picky", ASKED, progress=False)
    assert gold_months(raised.value.report.months, "unchanged") == ["2024-12", "2025-02"]


def test_an_input_that_is_missing_is_said(pulled: World):
    asked = ASKED.between("2025-01", "2025-03")

    @cl.recipe(bars="spot_klines:1h", funding="futures_um_funding_rate")
    def lacking(bars, funding):
        rates = funding.select(open_time=pl.col("time").dt.truncate("1h"), rate="funding_rate")
        return bars.select("open_time", "close").join(rates, on="open_time", how="left")

    report = build_gold(pulled.lake.context, "lacking", asked, progress=False)
    assert report.ok
    assert gold_months(report.months, "built") == ["2025-01", "2025-02"]
    assert gold_months(report.months, "missing") == ["2025-03"]
    assert "futures_um/data_type=fundingRate" in report.months["missing"][0]
    assert "1 month without its input" in report.summary()
    with pytest.warns(cl.IncompleteWarning, match="lacks 3 Silver files"):
        rows = pulled.lake.gold("lacking", asked, progress=False).collect()
    assert rows["rate"].null_count() == rows.height
    pulled.pull(ASKED.markets("futures_um").data_types("fundingRate").between("2025-01"))
    assert built(pulled, "lacking", asked) == ["2025-01"]


def test_a_market_month_has_all_symbols_by_symbol_and_time(pulled: World):
    @cl.recipe(bars="spot_klines:1h", each="market-month")
    def breadth(bars):
        up = (pl.col("close") > pl.col("open")).mean().over("open_time")
        return bars.select("open_time", "symbol", up=up).sort("open_time")

    assert built(pulled, "breadth", cl.query().between("2025-01")) == ["2025-01"]
    path = pulled.lake.storage.url("gold/breadth/market=spot/interval=1h/2025-01.parquet")
    kept = pl.read_parquet(path)
    assert kept["symbol"].unique().sort().to_list() == ["BTCUSDT", "ETHUSDT"]
    assert kept.equals(kept.sort("symbol", "open_time"))
    rows = pulled.lake.gold("breadth", ASKED.between("2025-01"), progress=False).collect()
    assert rows.equals(kept.filter(symbol="BTCUSDT"))


def test_a_market_month_says_which_symbols_lack_an_input(pulled: World):
    @cl.recipe(bars="spot_klines:1h", minutes="spot_klines:1m", each="market-month")
    def both(bars, minutes):
        finest = minutes.group_by("symbol", open_time=pl.col("open_time").dt.truncate("1h")).len()
        return bars.select("symbol", "open_time").join(finest, on=["symbol", "open_time"])

    asked = cl.query().between("2025-01")
    day = BARS.markets("spot").klines("1m").symbols("BTCUSDT").between("2025-01-01", "2025-01-01")
    pulled.pull(day)
    build = partial(build_gold, pulled.lake.context, "both", progress=False)
    report = build(asked)
    line = "ETHUSDT of 2 symbols without silver/market=spot/data_type=klines/interval=1m/symbol=*/2025-01.parquet"
    assert report.months.select("status", "missing").rows() == [("built", line)]
    with pytest.warns(cl.IncompleteWarning, match="ETHUSDT of 2 symbols without"):
        pulled.lake.gold("both", asked, progress=False)
    named = build(asked.symbols("BTCUSDT", "NOSUCHUSDT")).months["missing"][0]
    assert named.startswith("NOSUCHUSDT of 3 symbols without silver/market=spot/data_type=klines/")

    # What a month was made of is not left out of it in silence.
    path = "silver/market=spot/data_type=klines/interval=1h/symbol=ETHUSDT/2025-01.parquet"
    storage = pulled.lake.storage
    whole = storage.read(path)
    storage.delete(path)
    try:
        report = build(asked)
        assert report.months["status"].to_list() == ["kept"]
        assert report.months["error"].to_list() == [f"{path} cannot be read: it is gone"]
        assert not report.ok
    finally:
        storage.write(path, whole)
    assert build(asked).months["status"].to_list() == ["unchanged"]


def test_a_query_that_leaves_the_first_input_out_is_refused(pulled: World):
    with pytest.raises(cl.InvalidQuery, match=r"led by futures_um_klines:1h, .* the markets spot"):
        pulled.lake.gold("basis", ASKED.markets("spot"))
    with pytest.raises(cl.InvalidQuery, match="the intervals 1s; name one of '1h', '1m'"):
        pulled.lake.build(ASKED.klines("1s"), gold="basis")


def test_an_input_that_cannot_be_read_keeps_the_month_that_stands(pulled: World):
    pulled.lake.gold("basis", ASKED, progress=False)
    path = "silver/market=spot/data_type=klines/interval=1h/symbol=BTCUSDT/2025-02.parquet"
    storage = pulled.lake.storage
    whole = storage.read(path)
    storage.write(path, whole[:100])
    try:
        report = build_gold(pulled.lake.context, "basis", ASKED, progress=False)
        assert gold_months(report.months, "kept") == ["2025-02"]
        assert not report.ok
        assert storage.exists(path_of("basis", "futures_um").replace("2025-01", "2025-02"))
    finally:
        storage.write(path, whole)
    assert built(pulled, "basis") == []


def test_a_file_that_is_not_the_recorded_one_is_made_anew(pulled: World):
    pulled.lake.gold("basis", ASKED, progress=False)
    storage, path = pulled.lake.storage, path_of("basis", "futures_um")
    before = storage.read(path)
    storage.write(path, before[:-1])
    assert built(pulled, "basis") == ["2025-01"]
    assert storage.read(path) == before
    storage.delete(path)
    assert built(pulled, "basis") == ["2025-01"]
    assert storage.read(path) == before


def test_recipes_are_a_table(pulled: World):
    row = pulled.lake.recipes().filter(name="basis").rows(named=True)[0]
    assert row["inputs"] == ["perp=futures_um_klines:1h", "spot=spot_klines:1h"]
    assert row["source"] == "cryptolake.gold.basis.basis"
    assert "basis Float64" in row["columns"]
    assert row["what"].startswith("Compare a USD-margined contract with spot")


def test_verify_finds_a_flipped_bit_and_repair_makes_the_file_anew(pulled: World):
    pulled.lake.gold("basis", ASKED, progress=False)
    storage, path = pulled.lake.storage, path_of("basis", "futures_um")
    whole = storage.read(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    storage.write(path, bytes(flipped))
    bad = pulled.lake.verify(ASKED, repair=True).filter(pl.col("status") != "ok")
    assert bad.select("zone", "key", "status").rows() == [("gold", path, "damaged")]
    assert storage.read(path) == whole
    assert pulled.lake.verify(ASKED).filter(zone="gold")["status"].unique().to_list() == ["ok"]


def test_what_verify_cannot_make_anew_is_said(pulled: World, monkeypatch):
    @cl.recipe(bars="spot_klines:1h")
    def passing(bars):
        return bars.select("open_time", "close")

    assert built(pulled, "passing") == MONTHS
    pulled.lake.storage.delete(path_of("passing"))
    known = {name: each for name, each in recipes._RECIPES.items() if name != "passing"}
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "_RECIPES", known)
        with pytest.warns(
            cl.IncompleteWarning, match="'passing' is not registered in this process"
        ):
            pulled.lake.verify(repair=True)
    assert built(pulled, "passing") == ["2025-01"]


def test_datasets_show_gold(pulled: World):
    pulled.lake.gold("basis", ASKED, progress=False)
    found = pulled.lake.datasets().filter(zone="gold", dataset="basis").rows(named=True)[0]
    facts = {name: found[name] for name in ("symbols", "intervals", "files", "rows")}
    rows = pulled.lake.gold("basis", ASKED, progress=False).collect().height
    assert facts == {"symbols": 1, "intervals": ["1h"], "files": 3, "rows": rows}
    assert (str(found["first"]), str(found["last"])) == ("2024-12-30", "2025-02-01")


def test_in_a_bucket(pulled: World, bucket_options):
    lake = cl.Lake("s3://lakes/recipes", source=pulled.lake.source, storage_options=bucket_options)
    asked = BARS.symbols("BTCUSDT").between("2025-01-30", "2025-02-01")
    assert lake.pull(asked, progress=False).ok
    rows = lake.gold("basis", asked, progress=False).collect()
    assert rows.equals(pulled.lake.gold("basis", asked, progress=False).collect())
    again = lake.build(asked, gold=["basis"], progress=False)
    assert gold_months(again.months, "unchanged") == ["2025-01", "2025-02"]
    [(held,)] = lake.sql("select count(*) from gold.basis").fetchall()
    assert held >= rows.height
    assert lake.verify(asked).filter(zone="gold")["status"].to_list() == ["ok", "ok"]
