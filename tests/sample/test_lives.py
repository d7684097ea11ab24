"""The sample's symbols live when its generator says: a universe as of each month, and of each odd day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import cryptolake as cl
from cryptolake.archive.enums import DataType, Market
from cryptolake.archive.periods import parse_days
from cryptolake.sample.instruments import INSTRUMENTS, life

DAYS = ("2024-11-15", "2025-02-02")
MARKETS = ("spot", "futures_um", "futures_cm")

ARCHIVES: dict[str, dict[str, Any]] = {
    "days and months of 1d": {"intervals": ["1d"]},
    "a mirror with 4h alone": {"intervals": ["4h"]},
    "daily files alone": {"intervals": ["1d"], "partitions": ["daily"]},
}


def lived(market: str, day: str) -> list[str]:
    """Return the symbols that the generator has then, apart from the code under test."""
    days = parse_days(day)
    return sorted(
        instrument.symbol
        for instrument in INSTRUMENTS
        if instrument.market is Market(market) and DataType.KLINES in instrument.data_types
        for opens, closes in [life(instrument)]
        if opens < days.end and closes > days.begin
    )


@pytest.mark.parametrize("what", ARCHIVES)
def test_a_universe_as_of_a_day_holds_exactly_the_symbols_that_lived(what: str, tmp_path: Path):
    datasets = [f"{market}_klines" for market in MARKETS]
    cl.sample_archive(tmp_path / "archive", days=DAYS, datasets=datasets, **ARCHIVES[what])
    border = [date(2024, 12, 26) + timedelta(n) for n in range(8)]
    odd = [*border, date(2025, 1, 8), date(2025, 1, 9), date(2025, 1, 13), date(2025, 1, 14)]
    asked = [
        "2024-12",
        "2025-01",
        "2025-02",
        *(str(day) for day in odd),
        "2025-01-20",
        "2025-01-21",
    ]
    with cl.serve_archive(tmp_path / "archive") as served:
        source = cl.Archive(bucket=served.bucket, endpoint_url=served.endpoint)
        lake = cl.Lake(tmp_path / "lake", source=source)
        for market in MARKETS:
            for day in asked:
                found = lake.symbols(market, listed_on=day, progress=False)["symbol"].to_list()
                assert found == lived(market, day), (market, day)
            states = lake.symbols(market, spans=True, progress=False)
            ended = [i.symbol for i in INSTRUMENTS if i.market is Market(market) and i.closes]
            alive = states.filter(status="live")["symbol"].to_list()
            assert alive == [name for name in states["symbol"] if name not in ended]
