"""What a frame says where the published rows end before the days asked for do."""

from __future__ import annotations

import warnings

import polars as pl
import pytest

import cryptolake as cl
from cryptolake.archive.periods import parse_days
from cryptolake.errors import IncompleteWarning
from cryptolake.planning.early_ends import ends_early
from cryptolake.planning.serialization import MISSING


def missing(*periods: tuple[str, str], symbol: str = "SOLUSDT") -> pl.DataFrame:
    rows = [("futures_um", "metrics", symbol, None, *period) for period in periods]
    return pl.DataFrame(rows, schema=MISSING, orient="row")


ASKED = parse_days("2024-05-01", "2024-07-05")
JULY = [f"2024-07-0{day}" for day in range(1, 6)]


def test_whole_months_and_days_up_to_the_end_are_counted_together():
    lost = missing(("2024-06", "not_published"), *((day, "not_published") for day in JULY))
    told = ends_early(lost, ASKED)
    assert told is not None
    assert "SOLUSDT ends 2024-05-31, 35 days early (not published)" in told


@pytest.mark.parametrize(
    "periods",
    [
        [(day, "not_published") for day in JULY[:4]],  # a hole: rows follow
        [(day, "not_yet_published") for day in JULY[2:]],  # the archive's usual delay
        [(day, "delisted") for day in JULY],
        [(day, "not_listed") for day in JULY],
        [],
    ],
)
def test_holes_usual_delay_and_ends_of_lives_say_nothing(periods):
    assert ends_early(missing(*periods), ASKED) is None


def test_many_series_are_summed_up():
    one = [(day, "not_yet_published") for day in JULY]
    told = ends_early(pl.concat([missing(*one, symbol=f"S{n}USDT") for n in range(5)]), ASKED)
    assert told is not None
    assert "S0USDT" in told
    assert "and 2 more series" in told


def test_a_frame_warns_of_fundings_that_end_early_and_not_of_whole_ones(tmp_path):
    cl.sample_archive(
        tmp_path / "archive",
        datasets=["futures_cm_funding_rate"],
        symbols=["BTCUSD_PERP"],
        days=("2025-01-01", "2025-02-28"),
    )
    with cl.serve_archive(tmp_path / "archive") as served:
        lake = cl.Lake(tmp_path / "lake", source=cl.Archive(endpoint_url=served.endpoint))
        query = cl.query().markets("futures_cm").data_types("fundingRate").symbols("BTCUSD_PERP")
        with pytest.warns(IncompleteWarning, match=r"ends 2025-02-28, 14 days early"):
            rows = lake.frame(query.between("2025-01-01", "2025-03-14"), progress=False)
        assert rows["time"].dt.month().unique().sort().to_list() == [1, 2]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lake.frame(query.between("2025-01-01", "2025-02-28"), progress=False)
