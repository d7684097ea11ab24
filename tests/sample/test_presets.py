"""Each part of a preset writes files, and a wrong name is answered with the right ones."""

from datetime import UTC, datetime, timedelta

import pytest

import cryptolake as cl
from cryptolake.archive.keys import parse_key
from cryptolake.archive.matrix import load_matrix
from cryptolake.sample.instruments import life
from cryptolake.sample.presets import PRESETS, parts_of, write_parts
from cryptolake.sample.research import RESEARCH


@pytest.mark.parametrize("preset", PRESETS)
def test_every_part_writes_files_of_every_dataset_it_names(preset, tmp_path):
    for number, part in enumerate(PRESETS[preset]):
        days = part["days"]
        one_day = {**part, "days": days[1] if isinstance(days, tuple) else days}
        for dataset in part["datasets"] or ():
            if dataset.endswith("funding_rate"):  # published by the month
                one_day["days"] = {"research": "2024-03"}.get(preset, "2025-02")
            made = cl.sample_archive(tmp_path / str(number), **one_day | {"datasets": [dataset]})
            assert made.files, (dataset, part)


def test_the_datasets_preset_has_every_dataset_of_which_there_are_files(tmp_path):
    write_parts(tmp_path, PRESETS["datasets"])
    keys = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.zip")]
    found = {(parsed.market, parsed.data_type) for key in keys if (parsed := parse_key(key))}
    seen = {
        (row.market, row.data_type)
        for row in load_matrix().rows
        if row.status != "never_observed" and row.dataset != "futures_um_liquidation_snapshot"
    }
    assert found == seen


def test_the_research_preset_has_what_the_default_has_over_75_days(research_source, tmp_path):
    lake = cl.Lake(tmp_path, source=research_source)
    asked = cl.query().symbols("BTCUSDT", "ETHUSDT").between("2024-01-15", "2024-03-31")
    for market in ("spot", "futures_um"):
        types = ("trades", "fundingRate", "metrics") if market == "futures_um" else ("trades",)
        queries = [asked.klines("1m", "1h"), *(asked.data_types(one) for one in types)]
        for query in queries:
            plan = lake.plan(query.markets(market), progress=False)
            assert plan.missing == 0
            assert {*plan.files["symbol"]} == {"BTCUSDT", "ETHUSDT"}


def test_lives_of_the_research_preset_are_found_from_its_listing(research_source, tmp_path):
    lake = cl.Lake(tmp_path, source=research_source)
    for market in ("spot", "futures_um"):
        for day in ("2023-12-11", "2024-01-17", "2024-01-31", "2024-02-21", "2024-04-02"):
            begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
            expected = sorted(
                one.symbol
                for one in RESEARCH
                if one.market == market
                for opens, closes in [life(one)]
                if opens < begin + timedelta(days=1) and closes > begin
            )
            found = lake.symbols(market, listed_on=day, progress=False)["symbol"].to_list()
            assert found == expected, (market, day)


def test_an_unknown_preset_names_the_valid_ones():
    with pytest.raises(
        cl.InvalidQuery, match=r"'default'.*default, bars, datasets, nightly, research"
    ) as caught:
        parts_of("defualt")
    assert caught.value.nearest == "default"
