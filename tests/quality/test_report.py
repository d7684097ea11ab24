"""lake.quality and its gaps, from archives with holes made on purpose."""

from datetime import UTC, datetime

import polars as pl
import pytest

import cryptolake as cl
from tests.quality.world import key_of, without

MONTH = ("2024-12-01", "2025-01-03")
HOURS = {
    "datasets": ["futures_um_klines"],
    "symbols": ["BTCUSDT"],
    "intervals": ["1h"],
    "days": MONTH,
}
DECEMBER = cl.query().markets("futures_um").klines("1h").symbols("BTCUSDT").between("2024-12")


def causes(gaps: pl.DataFrame) -> list[tuple[str, int, bool]]:
    return gaps.select("cause", "bars", "healed").rows()


def test_a_whole_month_is_covered_and_has_no_gap(world):
    here = world(**HOURS)
    here.pull(DECEMBER)
    [row] = here.quality(DECEMBER).rows(named=True)
    assert (row["rows"], row["expected"], row["missing"], row["coverage"]) == (744, 744, 0, 1.0)
    assert (row["first"], row["last"]) == (
        datetime(2024, 12, 1, tzinfo=UTC),
        datetime(2024, 12, 31, 23, tzinfo=UTC),
    )
    assert here.gaps(DECEMBER).height == 0


def test_a_day_that_the_monthly_file_lacks_is_unknown_until_the_daily_one_is_read(world):
    here = world(**HOURS)
    here.edit(key_of("2024-12"), without("2024-12-09"))
    here.publish()
    here.pull(DECEMBER)
    [gap] = here.gaps(DECEMBER).rows(named=True)
    assert (gap["cause"], gap["bars"]) == ("unknown", 24)
    assert gap["siblings"] == [key_of("2024-12-09")]
    [row] = here.quality(DECEMBER).rows(named=True)
    assert (row["missing"], row["causes"]) == (24, "unknown 24")
    assert row["coverage"] == pytest.approx(720 / 744)


def test_what_the_daily_file_gave_is_a_healed_archive_gap(world):
    here = world(**HOURS)
    here.edit(key_of("2024-12"), without("2024-12-09"))
    here.publish()
    here.pull(DECEMBER)
    here.pull(DECEMBER.between("2024-12-09"))
    assert causes(here.gaps(DECEMBER)) == [("archive_gap", 24, True)]
    [row] = here.quality(DECEMBER).rows(named=True)
    assert (row["missing"], row["healed"], row["coverage"]) == (0, 24, 1.0)


@pytest.mark.parametrize(
    ("stopped", "cause"), [(2, "exchange_halt"), (1, "not_published"), (0, "not_published")]
)
def test_what_both_partitions_lack_is_a_halt_where_other_symbols_stop_too(world, stopped, cause):
    others = ["ETHUSDT", "1000SHIBUSDT"]
    here = world(**HOURS | {"symbols": ["BTCUSDT", *others]})
    for symbol in others[:stopped]:
        here.edit(key_of("2024-12", symbol=symbol), lambda lines: [*lines[:200], *lines[203:]])
    here.edit(key_of("2024-12"), lambda lines: [*lines[:200], *lines[203:]])
    here.edit(key_of("2024-12-09"), lambda lines: [*lines[:8], *lines[11:]])
    here.publish()
    here.pull(DECEMBER.symbols(["BTCUSDT", *others]))
    here.pull(DECEMBER.between("2024-12-09"))
    assert causes(here.gaps(DECEMBER)) == [(cause, 3, False)]


def test_days_before_the_listing_are_not_missing(world):
    here = world(**HOURS | {"days": ("2024-12-10", "2025-01-03")})
    here.pull(DECEMBER)
    assert causes(here.gaps(DECEMBER)) == [("not_listed", 9 * 24, False)]
    [row] = here.quality(DECEMBER).rows(named=True)
    assert (row["expected"], row["missing"], row["coverage"]) == (22 * 24, 0, 1.0)


def test_a_symbol_listed_in_the_middle_of_a_day_misses_nothing_before(world):
    here = world(**HOURS | {"days": ("2024-12-10", "2025-01-03")})
    here.edit(key_of("2024-12"), lambda lines: [lines[0], *lines[6:]])
    here.edit(key_of("2024-12-10"), lambda lines: [lines[0], *lines[6:]])
    here.publish()
    here.pull(DECEMBER)
    assert causes(here.gaps(DECEMBER)) == [("not_listed", 9 * 24 + 5, False)]


def test_days_after_the_last_file_are_not_listed_where_the_archive_goes_on(world):
    here = world(
        **HOURS | {"symbols": ["BTCUSDT", "ETHUSDT"], "days": ("2024-12-01", "2025-01-20")}
    )
    for day in range(4, 21):
        here.remove(key_of(f"2025-01-{day:02d}"))
    here.publish()
    query = DECEMBER.between("2025-01")
    here.pull(query)
    assert causes(here.gaps(query)) == [("not_listed", 28 * 24, False)]


def test_days_after_the_archive_ends_are_not_expected_yet(world):
    here = world(**HOURS)
    query = DECEMBER.between("2025-01")
    here.pull(query)
    assert causes(here.gaps(query)) == []
    [row] = here.quality(query).rows(named=True)
    assert (row["expected"], row["missing"], row["coverage"]) == (3 * 24, 0, 1.0)


def test_a_rejected_row_is_no_halt(world):
    here = world(**HOURS)

    def spoil(lines: list[bytes]) -> list[bytes]:
        fields = lines[30].split(b",")
        return [*lines[:30], b",".join([fields[0], b"-1", *fields[2:]]), *lines[31:]]

    here.edit(key_of("2024-12"), spoil)
    here.publish()
    here.pull(DECEMBER)
    [gap] = here.gaps(DECEMBER).rows(named=True)
    assert (gap["cause"], gap["bars"]) == ("rejected", 1)
    assert "rejected" in gap["evidence"]
    assert here.quality(DECEMBER)["rejects"].to_list() == [1]


def test_a_file_cut_short_is_suspect_by_its_size(world):
    here = world(**HOURS)
    here.edit(key_of("2024-12-20"), lambda lines: lines[:6])
    here.publish()
    here.pull(DECEMBER)
    assert here.quality(DECEMBER)["suspect_size"].to_list() == [[key_of("2024-12-20")]]


def test_without_the_listing_the_evidence_says_so(world):
    here = world(**HOURS)
    here.edit(key_of("2024-12"), without("2024-12-09"))
    here.publish()
    here.pull(DECEMBER)
    from cryptolake.quality.report import gaps

    [gap] = gaps(DECEMBER, here.lake.context, listed=False).rows(named=True)
    assert (gap["cause"], gap["siblings"]) == ("unknown", [])
    assert "listing was not asked" in gap["evidence"]


def test_nothing_held_and_nothing_listed_is_an_empty_frame(world):
    here = world(**HOURS)
    nobody = DECEMBER.symbols("NOBODYUSDT")
    assert here.quality(nobody).height == 0
    assert here.gaps(nobody).height == 0


def test_trades_are_held_to_days(world):
    here = world(
        datasets=["spot_trades"],
        symbols=["BTCUSDT"],
        days=("2024-12-28", "2025-01-03"),
        partitions=["daily"],
    )
    here.remove(key_of("2024-12-30", market="spot", data_type="trades"))
    here.publish()
    query = (
        cl.query()
        .markets("spot")
        .data_types("trades")
        .symbols("BTCUSDT")
        .between("2024-12-28", "2025-01-03")
    )
    here.pull(query)
    [gap] = here.gaps(query).rows(named=True)
    assert (gap["cause"], gap["first"], gap["bars"]) == (
        "not_published",
        datetime(2024, 12, 30, tzinfo=UTC),
        1,
    )
    assert "no other is published" in gap["evidence"]
    assert here.quality(query).select("expected", "missing").rows() == [(4, 1), (3, 0)]
