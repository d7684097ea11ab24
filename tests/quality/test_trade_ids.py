"""Ids of trades and aggregates: what is lost, what the venue leaves out, what comes twice, what is reused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import polars as pl

import cryptolake as cl
from cryptolake.bronze.ledger import holdings
from cryptolake.quality.trade_ids import LONG_RUN
from cryptolake.silver.build import build
from cryptolake.storage.files import open_storage
from cryptolake.storage.tables import Meta, record_new
from tests.quality.world import key_of

Row = tuple[int, datetime]
UM, CM, SPOT = "futures/um", "futures/cm", "spot"
MARKETS = {UM: "futures_um", CM: "futures_cm", SPOT: "spot"}


def at(text: str, seconds: float = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(seconds=seconds)


def even(day: str, numbers: Iterable[int], step: float) -> list[Row]:
    """Rows in even steps of time, those of absent numbers left out of it."""
    found = list(numbers)
    return [(number, at(day, (number - found[0]) * step)) for number in found]


def trades(rows: Iterable[Row]) -> str:
    return "".join(f"{n},2.5,3,7.5,{when.timestamp() * 1000:.0f},true\n" for n, when in rows)


def aggregates(rows: Iterable[Row], *, ahead: int = 1_000, spot: bool = False) -> str:
    more = ",True" if spot else ""
    return "".join(
        f"{n},2.5,3,{n + ahead},{n + ahead},{when.timestamp() * 1000:.0f},True{more}\n"
        for n, when in rows
    )


def query(market: str, data_type: str, symbol: str, *days: str) -> cl.Query:
    return cl.query().markets(MARKETS[market]).data_types(data_type).symbols(symbol).between(*days)


def test_ids_that_the_venue_leaves_out_are_one_row_a_month_and_a_long_run_is_a_hole(written):
    symbol, first = "1000PEPEUSDT", 812_000
    absent = set(range(first + 40, first + 20_000, 133))
    cut = range(first + 9_000, first + 9_000 + LONG_RUN + 1)
    kept = (n for n in range(first, first + 20_000) if n not in absent and n not in cut)
    key = key_of("2025-11-03", symbol=symbol, data_type="trades")
    here = written({key: trades(even("2025-11-03", kept, 4.3))})
    asked = query(UM, "trades", symbol, "2025-11-03")
    here.pull(asked)
    hole, skipped = here.lake.ids(asked).rows(named=True)
    lost = max(set(cut) | {cut[-1] + 1 if cut[-1] + 1 in absent else cut[-1]}) - cut[0] + 1
    assert (hole["kind"], hole["rows"]) == ("id_hole", lost)
    assert (skipped["kind"], skipped["rows"]) == ("ids_skipped", len(absent - set(cut)))
    assert "no trade is lost" in skipped["detail"]
    assert here.quality(asked)["ids"].to_list() == [
        f"{lost} trades missing, {skipped['rows']} trades skipped"
    ]
    assert here.quality(asked)["findings"].to_list() == [1]


def test_few_ids_beside_a_long_silence_are_a_hole_on_futures(written):
    """Thirty coin-margined trades in an hour that the day's pace fills with them; the rest skips one by one."""
    symbol, first = "ADAUSD_PERP", 55_000
    rows = [row for row in even("2024-02-11", range(first, first + 700), 120) if row[0] % 50]
    begin = rows[300][0]
    cut = range(begin, begin + 30)
    left = [row for row in rows if row[0] not in cut]
    key = key_of("2024-02-11", market=CM, symbol=symbol, data_type="trades")
    here = written({key: trades(left)})
    asked = query(CM, "trades", symbol, "2024-02-11")
    here.pull(asked)
    found = here.lake.ids(asked)
    assert found["kind"].to_list() == ["id_hole", "ids_skipped"]
    assert 30 <= found["rows"][0] <= 31
    assert found["first"][0] < at("2024-02-11", (begin - first) * 120) <= found["last"][0]


def test_some_trades_that_a_busy_symbol_lacks_for_seconds_are_a_hole(written):
    rows = even("2025-01-20", range(30_000, 50_000), 0.5)
    kept = [row for row in rows if row[0] % 97 and not 41_000 <= row[0] < 41_030]
    key = key_of("2025-01-20", market=UM, symbol="TRUMPUSDT", data_type="trades")
    here = written({key: trades(kept)})
    asked = query(UM, "trades", "TRUMPUSDT", "2025-01-20")
    here.pull(asked)
    found = here.lake.ids(asked)
    assert found.select("kind", "rows").row(0) == ("id_hole", 30)
    assert found["kind"].to_list() == ["id_hole", "ids_skipped"]


def test_a_lull_with_one_id_left_out_is_no_hole(written):
    """The day has other lulls as long, without an absent id."""
    rows = even("2024-02-11", range(100, 400), 90)
    later = [(n, when + timedelta(minutes=20 * ((n > 200) + (n > 300)))) for n, when in rows]
    key = key_of("2024-02-11", market=UM, symbol="GTCUSDT", data_type="trades")
    here = written({key: trades(row for row in later if row[0] != 300)})
    asked = query(UM, "trades", "GTCUSDT", "2024-02-11")
    here.pull(asked)
    assert here.lake.ids(asked).select("kind", "rows").rows() == [("ids_skipped", 1)]


def test_every_absent_trade_of_spot_is_a_hole(written):
    key = key_of("2022-08-08", market=SPOT, symbol="RUNEBTC", data_type="trades")
    rows = [row for row in even("2022-08-08", range(90, 990), 60) if row[0] not in {200, 700, 701}]
    here = written({key: trades(rows)})
    asked = query(SPOT, "trades", "RUNEBTC", "2022-08-08")
    here.pull(asked)
    found = here.lake.ids(asked).select("kind", "rows").rows()
    assert found == [("id_hole", 1), ("id_hole", 2)]
    assert here.quality(asked)["ids"].to_list() == ["3 trades missing"]


def test_aggregate_ids_are_strict_on_futures_and_show_the_lost_trades(written):
    """One aggregate is lost; of its trades nothing is said to be left out by the venue."""
    rows = even("2023-03-09", range(4_000, 4_800), 100)
    key = key_of("2023-03-09", market=UM, symbol="LTCUSDT", data_type="aggTrades")
    here = written({key: aggregates(row for row in rows if row[0] != 4_321)})
    asked = query(UM, "aggTrades", "LTCUSDT", "2023-03-09")
    here.pull(asked)
    found = here.lake.ids(asked)
    assert found.select("kind", "rows").rows() == [("id_hole", 1), ("id_hole", 1)]
    assert found["detail"].to_list() == [
        "agg_trade_id 4321 to 4321 are not there",
        "trade_id 5321 to 5321 are not there",
    ]


def test_both_rows_of_a_reused_aggregate_id_stay(written):
    """Inside a file, across two days of a month, and across months; exact repeats go, in each."""
    days = ("2022-10-30", "2022-10-31", "2022-11-01")
    texts: dict[str, str] = {}
    for place, day in enumerate(days):
        rows = even(day, range(500 + 100 * place, 600 + 100 * place), 800)
        # The first of a day has the id of the last of the day before, and another trade.
        text = aggregates(rows, ahead=9_000 + place, spot=True).splitlines(keepends=True)
        last = int(rows[0][0]) - 1
        moved = text[0].replace(f"{rows[0][0]},", f"{last},", 1) if place else text[0]
        inside = text[50].replace(f",{rows[50][0] + 9_000 + place}" * 2, ",70,71")
        texts[key_of(day, market=SPOT, symbol="CHRETH", data_type="aggTrades")] = "".join(
            [moved, *text[1:51], inside, text[50], *text[51:]]
        )
    here = written(texts)
    asked = query(SPOT, "aggTrades", "CHRETH", days[0], days[-1])
    report = here.pull(asked)
    rows = here.lake.silver(asked).collect()
    assert rows.height == 3 * 101
    assert rows.select("agg_trade_id", "first_trade_id").is_unique().all()
    assert report.months["duplicates"].to_list() == [2, 1]
    built = here.lake.meta.read("findings").filter(kind="id_reused")
    assert built.height == 3
    found = here.lake.ids(asked).filter(pl.col("detail").str.contains("agg_trade_id"))
    kinds = found.group_by("kind").agg(pl.col("rows").sum())
    assert dict(kinds.iter_rows())["id_reused"] == 5
    assert "reused" in here.quality(asked)["ids"][0]


def test_a_streamed_month_keeps_both_rows_too(written):
    rows = even("2022-10-30", range(500, 1_500), 60)
    lines = aggregates(rows, spot=True).splitlines(keepends=True)
    again = lines[700].replace(",2200,2200,", ",7,9,")
    texts = {
        key_of("2022-10-30", market=SPOT, symbol="CHRETH", data_type="aggTrades"): "".join(
            [*lines[:701], again, *lines[701:]]
        )
    }
    here = written(texts)
    asked = query(SPOT, "aggTrades", "CHRETH", "2022-10-30")
    here.lake.transfer(here.lake.plan(asked), progress=False)
    context = here.lake.context
    report = build(context, holdings(context.records), progress=False, stream_above=0)
    assert report.months["rows"].to_list() == [1_001]
    assert here.lake.silver(asked).filter(agg_trade_id=1_200).collect().height == 2
    assert here.lake.meta.read("findings")["kind"].to_list() == ["id_reused"]


def test_very_many_holes_are_summed_up_and_none_is_hidden(written):
    kept = [row for row in even("2021-05-05", range(3_000), 20) if row[0] % 4]
    far = [row for row in kept if not 2_900 <= row[0] < 2_950]
    key = key_of("2021-05-05", market=SPOT, symbol="OMGUSDT", data_type="trades")
    here = written({key: trades(far)})
    asked = query(SPOT, "trades", "OMGUSDT", "2021-05-05")
    here.pull(asked)
    found = here.lake.ids(asked)
    assert found.height == 201
    assert found["rows"].sum() == far[-1][0] - far[0][0] + 1 - len(far)
    assert 50 in found["rows"]  # the long one is a row of its own, late as it is


def test_a_check_records_of_very_many_findings_how_many_follow(tmp_path):
    meta = Meta(open_storage(tmp_path))
    when = [at("2024-01-01", second) for second in range(10_007)]
    found = pl.DataFrame(
        {"kind": "crosscheck", "path": "a", "first": when, "rows": 2}
    ).with_columns(
        dataset=pl.lit("spot_klines"),
        symbol=pl.lit("X"),
        last="first",
        detail=pl.col("first").cast(pl.String),
    )
    assert record_new(found, meta) == 10_001
    last = meta.read("findings").sort("first").row(-1, named=True)
    assert (last["rows"], last["last"]) == (14, when[-1])
    assert last["detail"].startswith("and 7 more")
    assert record_new(found, meta) == 0
