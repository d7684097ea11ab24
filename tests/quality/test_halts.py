"""The table of known halts."""

import csv
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from cryptolake.archive.enums import Interval, Market
from cryptolake.archive.grid import expected_numbers, present_numbers
from cryptolake.archive.periods import Period
from cryptolake.quality.gaps import as_gap, missing_runs
from cryptolake.quality.halts import load_halts

HOURS = "csv/data/spot/monthly/klines/BTCUSDT/1h"
LISTED = datetime(2017, 8, 17, 4, tzinfo=UTC)


def test_every_halt_names_sources_that_the_table_cites():
    table = load_halts()
    for halt in table.halts:
        assert all(table.sources[name].url for name in halt.sources)


def test_halts_of_a_market_do_not_overlap():
    halts = load_halts().of(Market.SPOT)
    assert all(left.end <= right.start for left, right in pairwise(halts))


def test_a_span_that_ends_after_trading_resumed_is_not_covered():
    table = load_halts()
    assert table.covering(
        Market.SPOT, datetime(2019, 3, 12, 2, tzinfo=UTC), datetime(2019, 3, 12, 8, tzinfo=UTC)
    )
    assert not table.covering(
        Market.SPOT, datetime(2019, 3, 12, 2, tzinfo=UTC), datetime(2019, 3, 12, 9, tzinfo=UTC)
    )


def test_a_halt_of_spot_is_none_of_futures():
    noon = datetime(2018, 2, 8, 12, tzinfo=UTC)
    assert load_halts().covering(Market.FUTURES_UM, noon, noon.replace(hour=13)) is None


@pytest.mark.real
def test_every_hour_absent_from_the_real_monthly_files_lies_in_a_known_halt(real_archive):
    table, absent = load_halts(), 0
    for path in sorted((real_archive / HOURS).glob("*.csv")):
        month = Period.parse(path.stem[-7:]).days
        with path.open() as lines:
            opens = [int(row[0]) * 1000 for row in csv.reader(lines)]
        times = pl.Series(opens).cast(pl.Datetime("us", "UTC"))
        present = present_numbers(times, Interval.H1)
        expected = expected_numbers(Interval.H1, max(month.begin, LISTED), month.end)
        for gap in (as_gap(run, Interval.H1) for run in missing_runs(present, expected)):
            absent += gap.bars
            after = gap.last + timedelta(hours=1)
            assert table.covering(Market.SPOT, gap.first, after), gap
    assert absent > 80
