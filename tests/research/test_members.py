"""A panel of members does not move with the future: neither who is a member by then, nor what is shown of it."""

from __future__ import annotations

import random
from datetime import date, timedelta

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.periods import Days
from cryptolake.research.universe import periods, ranked
from tests.research.conftest import silver
from tests.research.lookahead import Future, at, end_of_bar

NAMES = ("AUSDT", "BUSDT", "CUSDT")
LATER = {"AUSDT": [50.0, 1.0, 1.0], "BUSDT": [40.0, 9e3, 9e3], "CUSDT": [60.0, 9e3, 9e3]}
"""Volumes an hour of the sixth day, on which BUSDT is last, and of the two days after, on which AUSDT is."""
BARS = cl.query().markets("futures_um").klines("1h").symbols(*NAMES)
ASKED = BARS.between("2024-03-02", "2024-03-08")
SPANS = periods(Days(date(2024, 3, 2), date(2024, 3, 8)), "1d")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def future(tmp_path_factory: pytest.TempPathFactory) -> Future:
    """Three symbols whose ranks change from day to day, and another future from within the sixth day on."""
    root = tmp_path_factory.mktemp("members")
    begin = at("2024-03-01")
    opens = [begin + hour * HOUR for hour in range(8 * 24)]
    for name in NAMES:
        dice = random.Random(name)
        sizes = [dice.uniform(1, 100) for _ in range(5)] + LATER[name]
        prices = [dice.uniform(90, 110) for _ in opens]
        whole: dict[str, object] = {
            "open_time": pl.Series(opens, dtype=pl.Datetime("us", "UTC")),
            **dict.fromkeys(("open", "high", "low", "close"), prices),
            **dict.fromkeys(("volume", "taker_buy_volume"), prices),
            "close_time": pl.Series(opens, dtype=pl.Datetime("us", "UTC"))
            + timedelta(microseconds=3_599_999_000),
            "quote_volume": [sizes[n // 24] for n in range(len(opens))],
            "trades": [7] * len(opens),
            "taker_buy_quote_volume": prices,
        }
        silver(root / "lake", f"futures_um/klines:1h/{name}/2024-03", whole)
    return Future(cl.Lake(root / "lake"), at("2024-03-06T07:23:17.25"), root)


def panel_of(lake: cl.Lake, late: timedelta) -> pl.DataFrame:
    """Return a panel of the two symbols that traded most in the day before; ``late`` moves that day."""
    rows = lake.silver(BARS.between("2024-03-01", "2024-03-08")).select(
        "symbol", pl.col("open_time") - late, "quote_volume", known_at=end_of_bar("1h") - late
    )
    how = {"by": "quote_volume", "over": timedelta(days=1), "top": 2, "among": NAMES}
    members = ranked(rows.collect(), SPANS, **how)  # type: ignore[arg-type]
    return lake.panel(ASKED, members=members)


def test_members_do_not_move_with_the_future(future: Future) -> None:
    seen = future.compare(lambda lake: panel_of(lake, timedelta()), end_of_bar("1h"))
    assert seen.decided == 4 * 24 + 7
    assert seen.changed == 0
    assert seen.changed_later > 0
    holes = panel_of(future.lake, timedelta()).null_count().row(0)
    assert sum(holes) == 7 * 24, "one of three is no member at a time"


def test_members_by_the_day_that_begins_are_caught(future: Future) -> None:
    leaks = future.compare(lambda lake: panel_of(lake, timedelta(days=1)), end_of_bar("1h"))
    assert leaks.changed > 0
