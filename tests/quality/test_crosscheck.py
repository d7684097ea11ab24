"""lake.verify: klines held against trades and finer klines, and bars made where none are."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.gold.filled import fill
from cryptolake.quality.crosscheck import crosscheck
from tests.quality.world import World, key_of

DAYS = ("2024-12-30", "2025-01-02")
SPOT = cl.query().markets("spot").symbols("BTCUSDT").between(*DAYS)
KLINES = SPOT.klines("1m", "1h", "1d")


@pytest.fixture
def here(world):
    """Two days on each side of the change to microseconds: klines, trades and aggTrades."""
    made = world(
        datasets=["spot_klines", "spot_trades", "spot_agg_trades"],
        symbols=["BTCUSDT"],
        intervals=["1m", "1h", "1d"],
        days=DAYS,
        partitions=["daily"],
    )
    assert isinstance(made, World)
    return made


def pulled(here: World) -> World:
    here.pull(KLINES)
    here.pull(SPOT.data_types("trades"))
    here.pull(SPOT.data_types("aggTrades"))
    return here


def change(place: int, value: bytes):
    """Put another value in one field of the sixth line."""

    def edit(lines: list[bytes]) -> list[bytes]:
        fields = lines[5].split(b",")
        fields[place] = value
        return [*lines[:5], b",".join(fields), *lines[6:]]

    return edit


def test_klines_agree_with_trades_aggregates_and_minutes(here):
    lake = pulled(here).lake
    for against in ("trades", "aggTrades", "klines"):
        assert crosscheck(KLINES, lake.context, against=against).height == 0
    assert lake.meta.read("findings").filter(kind="crosscheck").height == 0


def test_a_difference_is_a_finding_with_both_values(here):
    here.edit(key_of("2024-12-31", market="spot"), change(5, b"123.45600000"))
    here.publish()
    lake = pulled(here).lake
    crosscheck(SPOT.klines("1h"), lake.context, against="trades")
    found = crosscheck(SPOT.klines("1h"), lake.context, against="trades")
    [row] = found.rows(named=True)
    assert (row["column"], row["published"], row["against"]) == ("volume", 123.456, "trades")
    assert row["open_time"] == datetime(2024, 12, 31, 5, tzinfo=UTC)
    assert row["rebuilt"] != pytest.approx(123.456)
    [finding] = lake.meta.read("findings").filter(kind="crosscheck").rows(named=True)
    assert finding["first"] == row["open_time"]
    assert "123.456" in finding["detail"]
    assert str(row["rebuilt"])[:6] in finding["detail"]


def test_a_bar_that_trades_have_and_klines_lack_is_told_and_can_be_made(here):
    here.edit(key_of("2024-12-31", market="spot"), lambda lines: [*lines[:5], *lines[7:]])
    here.publish()
    lake = pulled(here).lake
    found = crosscheck(SPOT.klines("1h"), lake.context, against="aggTrades")
    assert found.select("column", "published").rows() == [("trades", None), ("trades", None)]
    whole = lake.silver(SPOT.klines("1m")).collect()
    for against, origin in (("trades", "trades"), ("klines", "1m klines")):
        made = fill(SPOT.klines("1h"), lake.context, against=against)
        assert made.select(pl.col("open_time").dt.hour(), "origin").rows() == [
            (5, origin),
            (6, origin),
        ]
        minutes = whole.filter(pl.col("open_time").dt.truncate("1h") == made["open_time"][0])
        assert made["volume"][0] == pytest.approx(minutes["volume"].sum())
        assert made["close"][0] == minutes["close"][-1]
        assert made["close_time"][0] == minutes["close_time"][-1]
    path = "gold/filled/market=spot/data_type=klines/interval=1h/symbol=BTCUSDT/2024-12.parquet"
    assert pl.read_parquet(lake.storage.url(path)).height == 2
    told = lake.sql("select recipe, rows, inputs from meta.lineage").fetchall()
    assert [row[:2] for row in told] == [("filled", 2)]
    assert all(word in told[0][2] for word in ("data_type=trades", "interval=1m", "interval=1h"))
    assert lake.verify().filter(zone="gold")["status"].to_list() == ["ok"]
    # Silver holds what the archive says, and nothing else.
    assert lake.silver(SPOT.klines("1h")).collect().height == 4 * 24 - 2


def test_what_the_lake_does_not_hold_cannot_be_verified_against(here):
    here.pull(SPOT.klines("1h"))
    with pytest.raises(cl.NotPublished, match="pull them first"):
        crosscheck(SPOT.klines("1h"), here.lake.context, against="trades")


@pytest.mark.parametrize("against", ["trade", "aggtrades"])
def test_another_word_is_refused_and_the_nearest_named(here, against):
    with pytest.raises(cl.InvalidQuery, match="did you mean"):
        crosscheck(KLINES, here.lake.context, against=against)


def test_only_klines_are_verified(here):
    with pytest.raises(cl.InvalidQuery, match="only klines"):
        crosscheck(SPOT.data_types("trades"), here.lake.context, against="trades")


def ids(here: World, data_type: str) -> list[tuple[str, int]]:
    query = SPOT.data_types(data_type)
    here.pull(query)
    here.lake.ids(query)
    found = here.lake.ids(query)  # told each time, recorded once
    recorded = here.lake.meta.read("findings").filter(pl.col("kind").str.starts_with("id_"))
    assert recorded.select("kind", "rows").rows() == found.select("kind", "rows").rows()
    return found.select("kind", "rows").rows()


def test_ids_run_on_across_days_and_months(here):
    assert ids(here, "trades") == []
    assert ids(here, "aggTrades") == []


def test_missing_ids_are_holes_inside_a_file_and_at_its_border(here):
    for period, cut in (("2024-12-31", slice(10, 13)), ("2025-01-01", slice(0, 4))):

        def edit(lines, cut=cut):
            return [
                line
                for number, line in enumerate(lines)
                if number not in range(*cut.indices(len(lines)))
            ]

        here.edit(key_of(period, market="spot", data_type="trades"), edit)
    here.publish()
    assert ids(here, "trades") == [("id_hole", 3), ("id_hole", 4)]


def test_a_lost_aggregate_is_a_hole_in_both_its_counters(here):
    here.edit(
        key_of("2024-12-31", market="spot", data_type="aggTrades"),
        lambda lines: [*lines[:10], *lines[11:]],
    )
    here.publish()
    found = ids(here, "aggTrades")
    assert [kind for kind, _ in found] == ["id_hole", "id_hole"]
    assert min(rows for _, rows in found) == 1


def test_an_id_in_two_files_is_a_repeat(here):
    last = here.folder.read_text(
        key_of("2024-12-30", market="spot", data_type="trades")
    ).splitlines(keepends=True)[-2:]
    here.edit(
        key_of("2024-12-31", market="spot", data_type="trades"), lambda lines: [*lines, *lines[-2:]]
    )
    assert len(last) == 2
    here.publish()
    assert ids(here, "trades") == [("id_repeat", 2)]
