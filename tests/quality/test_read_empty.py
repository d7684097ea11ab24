"""Judged by what a file held: a header alone, first rows that a rule refused, quantities of zero."""

from datetime import UTC, datetime

import pytest

import cryptolake as cl

LIQUIDATIONS = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
    "last_fill_quantity,accumulated_fill_quantity\n"
)
KEY = "data/futures/um/daily/liquidationSnapshot/XLMUSDT/XLMUSDT-liquidationSnapshot-2022-03-{}.zip"
HOUR = 3_600_000


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def liquidation(day: int) -> str:
    return f"{at(2022, 3, day, 5)},SELL,LIMIT,IOC,12,0.2,0.2,FILLED,12,12\n"


QUERY = (
    cl.query()
    .markets("futures_um")
    .data_types("liquidationSnapshot")
    .symbols("XLMUSDT")
    .between("2022-03-14", "2022-03-16")
)


def bars(first: int, count: int, *, price: float = 5.0) -> str:
    lines = [
        f"{t},{price},{price},{price},{price},1,{t + HOUR - 1},{price},2,1,1,0\n"
        for t in range(first, first + count * HOUR, HOUR)
    ]
    return "".join(lines)


def test_a_day_whose_file_holds_a_header_alone_is_known_and_no_gap(written):
    here = written(
        {
            KEY.format("14"): LIQUIDATIONS + liquidation(14),
            KEY.format("15"): LIQUIDATIONS,
            KEY.format("16"): LIQUIDATIONS + liquidation(16),
        }
    )
    here.pull(QUERY)
    assert here.gaps(QUERY).height == 0
    [row] = here.quality(QUERY).rows(named=True)
    assert (row["rows"], row["expected"], row["missing"], row["coverage"]) == (2, 3, 0, 1.0)


def test_a_day_without_a_file_is_a_gap_still(written):
    here = written(
        {
            KEY.format("14"): LIQUIDATIONS,
            KEY.format("16"): LIQUIDATIONS + liquidation(16),
        }
    )
    here.pull(QUERY)
    [gap] = here.gaps(QUERY).rows(named=True)
    assert (gap["first"], gap["bars"]) == (datetime(2022, 3, 15, tzinfo=UTC), 1)


def test_klines_of_which_a_file_holds_a_header_alone_are_missing(written):
    header = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n"
    )
    key = "data/futures/um/daily/klines/XLMUSDT/1h/XLMUSDT-1h-2022-03-{}.zip"
    here = written(
        {
            key.format("14"): header + bars(at(2022, 3, 14), 24),
            key.format("15"): header,
            key.format("16"): header + bars(at(2022, 3, 16), 24),
        }
    )
    query = (
        cl.query()
        .markets("futures_um")
        .klines("1h")
        .symbols("XLMUSDT")
        .between("2022-03-14", "2022-03-16")
    )
    here.pull(query)
    [gap] = here.gaps(query).rows(named=True)
    assert (gap["bars"], gap["first"]) == (24, datetime(2022, 3, 15, tzinfo=UTC))
    assert "could not be used" not in gap["evidence"]


@pytest.mark.parametrize(("where", "first"), [("first", 0), ("last", 28 * 24 - 5)])
def test_rows_that_a_rule_refused_were_held_at_either_end_of_a_life(written, where, first):
    good, bad = bars(at(2022, 2, 1), 28 * 24).splitlines(keepends=True), []
    for number in range(first, first + 5):
        fields = good[number].split(",")
        bad.append(",".join([fields[0], "-1", *fields[2:]]))
    lines = [*good[:first], *bad, *good[first + 5 :]]
    key = "data/spot/monthly/klines/ALGOBNB/1h/ALGOBNB-1h-2022-02.zip"
    here = written({key: "".join(lines)})
    query = cl.query().markets("spot").klines("1h").symbols("ALGOBNB").between("2022-02")
    here.pull(query)
    [gap] = here.gaps(query).rows(named=True)
    assert (gap["cause"] == "not_listed", gap["bars"], where) == (False, 5, where)
    assert "rejected" in gap["evidence"]
    [row] = here.quality(query).rows(named=True)
    assert (row["expected"], row["missing"], row["rejects"]) == (28 * 24, 5, 5)


@pytest.mark.parametrize("data_type", ["trades", "aggTrades"])
def test_quantities_of_zero_stay_and_are_a_finding(written, data_type):
    between = "7,8," if data_type == "aggTrades" else "0.5,"
    lines = [
        f"{n},0.5,{0.0 if n % 3 else 2.5},{between.replace('7,8', f'{n},{n}')}"
        f"{at(2021, 9, 9, 1) + n},true,true\n"
        for n in range(1, 31)
    ]
    key = f"data/spot/daily/{data_type}/IOTABTC/IOTABTC-{data_type}-2021-09-09.zip"
    here = written({key: "".join(lines)})
    query = (
        cl.query().markets("spot").data_types(data_type).symbols("IOTABTC").between("2021-09-09")
    )
    here.pull(query)
    [found] = here.lake.meta.read("findings").filter(kind="quantity_zero").rows(named=True)
    assert (found["rows"], found["key"]) == (20, key)
    [row] = here.quality(query).rows(named=True)
    assert (row["rows"], row["findings"]) == (30, 1)
