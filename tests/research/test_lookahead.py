"""Nothing looks ahead: what is decided by a moment does not move with what is known after it.

==============================================  ==================================  ===================================
what                                            where                               control that must move
==============================================  ==================================  ===================================
panel, resample (klines, mark)                  here                                bars taken when they open
as-of: funding, metrics, mark, index, premium   here, at the end and at the open    hourly mark by its open time,
                                                                                    metrics by their stamp
as-of: quotes onto trades                       here                                a quote in a trade's own millisecond
universe                                        ``test_universe.py``                days ranked by their open time
==============================================  ==================================  ===================================

The harness is ``tests/research/lookahead.py``. The moments lie off every grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from tests.research.conftest import DAYS, FUTURES
from tests.research.lookahead import Future, Make, Seen, at, end_of_bar

if TYPE_CHECKING:
    import cryptolake as cl

MINUTES = FUTURES.klines("1m").between(*DAYS)
HOURS = FUTURES.klines("1h").between(*DAYS)
MOMENTS = ("2024-12-31T23:58:30.5", "2025-01-01T07:23:17.25")
OWN = pl.exclude("open", "high", "low", "close", "close_time", "trades", "^.*volume$")
OPENS = pl.col("open_time")
TICK = pl.col("time")


def joined(query: cl.Query, *others: str, **how: object) -> Make:
    def make(lake: cl.Lake) -> pl.DataFrame:
        return lake.asof(query, *others, **how).collect()  # type: ignore[arg-type]

    return make


def wrongly(query: cl.Query, other: cl.Query, time: str, value: str, on: pl.Expr) -> Make:
    """Join by the times that rows are stamped with, as is usually done."""

    def make(lake: cl.Lake) -> pl.DataFrame:
        right = lake.silver(other).select(pl.col(time).alias("at"), pl.col(value).alias("value"))
        left = lake.silver(query).select(pl.nth(3), on.alias("decided"))
        return (
            left.sort("decided")
            .join_asof(right.sort("at"), left_on="decided", right_on="at")
            .select("decided", "value")
            .collect()
        )

    return make


@pytest.fixture(scope="module", params=MOMENTS)
def future(request, futures: cl.Lake, tmp_path_factory: pytest.TempPathFactory) -> Future:
    return Future(futures, at(request.param), tmp_path_factory.mktemp("future"))


@pytest.fixture(scope="module")
def tick_future(ticks: cl.Lake, tmp_path_factory: pytest.TempPathFactory) -> Future:
    """A moment that is the time of a trade and of a quote: that quote is not known yet."""
    return Future(ticks, at("2024-03-01T00:33:20"), tmp_path_factory.mktemp("future"))


def stays(seen: Seen) -> bool:
    return seen.decided > 0 and seen.changed == 0 and seen.changed_later > 0


CASES: dict[str, tuple[Make, pl.Expr]] = {
    "panel": (lambda lake: lake.panel(HOURS), end_of_bar("1h")),
    "resample": (lambda lake: lake.resample(MINUTES, "1h").collect(), end_of_bar("1h")),
    "resample of mark": (
        lambda lake: lake.resample(MINUTES.data_types("markPriceKlines"), "15m").collect(),
        end_of_bar("15m"),
    ),
    "funding, metrics and hourly mark at the end": (
        joined(MINUTES, "fundingRate", "metrics", "markPriceKlines:1h"),
        end_of_bar("1m"),
    ),
    "index and premium at the end": (
        joined(HOURS, "indexPriceKlines", "premiumIndexKlines"),
        end_of_bar("1h"),
    ),
    "all at the open": (
        lambda lake: joined(MINUTES, "fundingRate", "metrics", "markPriceKlines", at="open")(
            lake
        ).select(OWN),
        OPENS,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_decided_does_not_move_with_the_future(future: Future, case: str):
    make, decided = CASES[case]
    seen = future.compare(make, decided)
    assert stays(seen), seen


MARK = FUTURES.data_types("markPriceKlines").intervals("1h").between(*DAYS)
METRICS = FUTURES.data_types("metrics").between(*DAYS)
QUOTES = FUTURES.data_types("bookTicker").between("2024-03-01")
TRADES = FUTURES.data_types("trades").between("2024-03-01")
CONTROLS = {
    "hourly mark by its open time": wrongly(MINUTES, MARK, "open_time", "close", OPENS),
    "metrics by their stamp": wrongly(MINUTES, METRICS, "time", "open_interest", OPENS),
    "a panel's rows when they open": CASES["panel"][0],
    "coarser bars when they open": CASES["resample"][0],
}


@pytest.mark.parametrize("control", CONTROLS)
def test_the_usual_mistakes_are_caught(future: Future, control: str):
    taken = pl.col("decided") if " by " in control else OPENS
    assert future.compare(CONTROLS[control], taken).changed > 0


def test_a_quote_in_a_trades_own_millisecond_is_not_known_to_it(tick_future: Future):
    def make(lake: cl.Lake) -> pl.DataFrame:
        frame = lake.asof(TRADES, "bookTicker").collect()
        return frame.drop("price", "quantity", "quote_quantity", "is_buyer_maker")

    assert stays(tick_future.compare(make, TICK))
    control = wrongly(TRADES, QUOTES, "time", "best_bid_price", TICK)
    assert tick_future.compare(control, pl.col("decided")).changed > 0
