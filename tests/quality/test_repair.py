"""lake.heal: gaps filled from sibling files, and what was found for each."""

from __future__ import annotations

import cryptolake as cl
from cryptolake.quality.repair import heal
from cryptolake.transfer.pull import RunSettings
from cryptolake.transfer.routing import Route
from tests.quality.world import key_of, without

HOURS = {
    "datasets": ["futures_um_klines"],
    "symbols": ["BTCUSDT"],
    "intervals": ["1h"],
    "days": ("2024-12-01", "2025-01-03"),
}
DECEMBER = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between("2024-12")

QUIET = RunSettings(route=Route(("download",), "the lake is on a disk"), progress=False)


def mend(here, query=DECEMBER):
    return heal(query, here.lake.context, QUIET, refresh=True)


def test_each_gap_is_filled_from_its_sibling_and_told(world):
    here = world(**HOURS)
    # Two whole days that the monthly file lacks; three hours that both lack; a day whose daily is gone.
    here.edit(key_of("2024-12"), without("2024-12-09"))
    here.edit(key_of("2024-12"), without("2024-12-10"))
    here.edit(key_of("2024-12"), without("2024-12-20"))
    here.edit(key_of("2024-12"), lambda lines: [*lines[:100], *lines[103:]])
    here.edit(key_of("2024-12-05"), lambda lines: [*lines[:4], *lines[7:]])
    here.remove(key_of("2024-12-20"))
    here.publish()
    here.pull(DECEMBER)
    told = mend(here)
    assert told.select("bars", "filled", "outcome", "cause").rows() == [
        (3, 0, "not healed", "not_published"),
        (48, 48, "healed", "archive_gap"),
        (24, 0, "nothing to fetch", "not_published"),
    ]
    assert told["fetched"].to_list() == [
        [key_of("2024-12-05")],
        [key_of("2024-12-09"), key_of("2024-12-10")],
        [],
    ]
    rows = here.lake.silver(DECEMBER).collect()
    assert rows.height == 744 - 24 - 3
    found = here.lake.meta.read("findings").filter(kind="healed")
    assert found["rows"].to_list() == [48]
    assert found["key"].to_list() == [f"{key_of('2024-12-09')}, {key_of('2024-12-10')}"]
    # Healing what is healed fetches nothing, and tells of the same open gaps.
    again = mend(here)
    assert again.select("bars", "outcome").rows() == [
        (3, "nothing to fetch"),
        (24, "nothing to fetch"),
    ]


def test_a_known_halt_is_left_alone(world):
    here = world(
        datasets=["spot_klines"],
        symbols=["BTCUSDT"],
        intervals=["1h"],
        days=("2020-06-25", "2020-07-02"),
    )
    query = (
        cl.query()
        .markets("spot")
        .klines("1h")
        .symbols("BTCUSDT")
        .between("2020-06-26", "2020-06-30")
    )
    halted = (
        "2020-06",
        lambda lines: [
            line for line in lines if not 1593309600000 <= int(line[:13]) < 1593320400000
        ],
    )
    here.edit(key_of("2020-06", market="spot"), halted[1])
    here.edit(key_of("2020-06-28", market="spot"), halted[1])
    here.publish()
    here.pull(query)
    [row] = mend(here, query).rows(named=True)
    assert (row["bars"], row["outcome"], row["cause"]) == (3, "nothing to fetch", "exchange_halt")
    assert "known halt 2020-06-28 02:00:00" in row["evidence"]


def test_a_lake_without_gaps_has_nothing_to_heal(world):
    here = world(**HOURS)
    here.pull(DECEMBER)
    assert mend(here).height == 0


def test_a_missing_day_of_trades_comes_from_the_monthly_file(world):
    here = world(datasets=["spot_trades"], symbols=["BTCUSDT"], days=("2024-12-27", "2025-01-02"))
    here.remove(key_of("2024-12-29", market="spot", data_type="trades"))
    here.publish()
    query = cl.query().markets("spot").data_types("trades").symbols("BTCUSDT")
    # A part of the month is had by its days, and one of them is not published.
    for day in ("2024-12-28", "2024-12-30"):
        here.pull(query.between(day))
    query = query.between("2024-12-28", "2024-12-30")
    [row] = mend(here, query).rows(named=True)
    assert (row["bars"], row["filled"], row["outcome"]) == (1, 1, "healed")
    assert row["fetched"] == [key_of("2024-12", market="spot", data_type="trades")]
    assert row["evidence"].endswith("filled from the monthly file")
    assert here.lake.ids(query).height == 0
