"""Causes: what is said of a gap, from what was seen."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptolake.archive.enums import Interval, Market, Partition
from cryptolake.archive.grid import expected_numbers, open_of
from cryptolake.archive.lives import Life, Span
from cryptolake.archive.periods import Period, parse_days
from cryptolake.quality.causes import MonthFacts, Neighbour, Sibling, explain, explain_healed
from cryptolake.quality.halts import load_halts


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bars(first: str, end: str) -> range:
    return expected_numbers(Interval.H1, at(first), at(end))


def file(period: str, state="built", lacks: tuple[range, ...] | None = ()) -> Sibling:
    covered = Period.parse(period)
    return Sibling(
        f"{covered.partition.value}/{period}.zip", covered.partition, covered.days, state, lacks
    )


def month(*files: Sibling, **more: Any) -> MonthFacts:
    said: dict[str, Any] = {"market": Market.FUTURES_UM, "interval": Interval.H1, "life": Life()}
    return MonthFacts(files=files, **{**said, "halts": load_halts(), **more})


GAP = bars("2022-06-09 00:00", "2022-06-10 00:00")


BOTH = (file("2022-06", lacks=(GAP,)), file("2022-06-09", lacks=(GAP,)))


def other(symbol: str, *lacks: range) -> Neighbour:
    return Neighbour(symbol, bars("2022-06-01 00:00", "2022-07-01 00:00"), lacks)


def test_what_both_partitions_lack_is_not_published_where_nobody_can_be_asked():
    [verdict] = explain(GAP, month(*BOTH))
    assert verdict.cause == "not_published"
    assert "daily and the monthly" in verdict.evidence
    assert "no other symbol of the market is here to ask" in verdict.evidence


def test_a_hole_is_a_halt_where_other_symbols_stop_in_the_same_bars():
    [verdict] = explain(GAP, month(*BOTH, neighbours=[other("A", GAP), other("B", GAP)]))
    assert verdict.cause == "exchange_halt"
    assert "A, B stop in the same bars" in verdict.evidence


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ([other("A"), other("B")], "A, B go on"),
        ([other("A", GAP), other("B", GAP), other("C")], "C goes on"),
        ([other("A", GAP)], "A stops in the same bars too, one is too few"),
    ],
)
def test_a_hole_of_one_symbol_is_no_halt_and_the_evidence_says_who_was_asked(others, word):
    [verdict] = explain(GAP, month(*BOTH, neighbours=others))
    assert verdict.cause == "not_published"
    assert word in verdict.evidence


def test_only_the_bars_in_which_others_stop_are_a_halt():
    stop = GAP[6:10]
    verdicts = explain(GAP, month(*BOTH, neighbours=[other("A", stop), other("B", stop)]))
    assert [(v.cause, v.bars) for v in verdicts] == [
        ("not_published", 6),
        ("exchange_halt", 4),
        ("not_published", 14),
    ]


def test_what_goes_on_through_halts_has_none():
    gap = bars("2019-03-12 02:00", "2019-03-12 08:00")
    files = (file("2019-03", lacks=(gap,)), file("2019-03-12", lacks=(gap,)))
    [verdict] = explain(gap, month(*files, market=Market.SPOT, halting=False))
    assert verdict.cause == "not_published"
    assert "goes on through halts" in verdict.evidence


def test_a_bar_beside_one_with_a_row_off_the_grid_is_named_so():
    gap = GAP[4:6]
    both = (file("2022-06", lacks=(gap,)), file("2022-06-09", lacks=(gap,)))
    verdicts = explain(gap, month(*both, off_grid=frozenset([gap[0]])))
    assert [v.cause for v in verdicts] == ["off_grid", "not_published"]


def test_a_bar_without_a_sample_is_named_so():
    gap = GAP[4:6]
    both = (file("2022-06", lacks=(gap,)), file("2022-06-09", lacks=(gap,)))
    verdicts = explain(gap, month(*both, empty=frozenset(gap), halting=False))
    assert [v.cause for v in verdicts] == ["not_published"]
    assert "no sample" in verdicts[0].evidence


def test_a_file_that_is_published_and_not_here_is_not_pulled():
    [verdict] = explain(GAP, month(file("2022-06", "listed", None)))
    assert (verdict.cause, verdict.siblings) == ("not_pulled", ("monthly/2022-06.zip",))


def test_a_known_halt_is_named_with_its_sources_even_from_one_partition():
    gap = bars("2019-03-12 02:00", "2019-03-12 08:00")
    [verdict] = explain(gap, month(file("2019-03", lacks=(gap,)), market=Market.SPOT))
    assert verdict.cause == "exchange_halt"
    assert "2019-03-12 02:00:00 to 2019-03-12 08:00:00" in verdict.evidence
    assert "bpd-365" in verdict.evidence
    assert "absent in the monthly file" in verdict.evidence


def test_only_the_part_inside_a_known_halt_is_one():
    gap = bars("2019-03-12 01:00", "2019-03-12 10:00")
    causes = [
        (v.cause, v.bars)
        for v in explain(gap, month(file("2019-03", lacks=(gap,)), market=Market.SPOT))
    ]
    assert causes == [("not_published", 1), ("exchange_halt", 6), ("not_published", 2)]


def test_what_only_one_partition_was_asked_for_is_unknown_and_the_other_named():
    [verdict] = explain(
        GAP, month(file("2022-06", lacks=(GAP,)), file("2022-06-09", "listed", None))
    )
    assert verdict.cause == "unknown"
    assert verdict.siblings == ("daily/2022-06-09.zip",)
    assert "published and not here" in verdict.evidence


@pytest.mark.parametrize(
    ("state", "word"), [("stored", "lake.build"), ("quarantined", "quarantine")]
)
def test_the_evidence_says_what_became_of_the_other_file(state, word):
    [verdict] = explain(GAP, month(file("2022-06", lacks=(GAP,)), file("2022-06-09", state, None)))
    assert verdict.cause == "unknown"
    assert word in verdict.evidence


def test_what_a_file_has_that_silver_was_not_built_from_is_an_archive_gap():
    [verdict] = explain(GAP, month(file("2022-06", lacks=(GAP,)), file("2022-06-09", "stored", ())))
    assert (verdict.cause, verdict.healed) == ("archive_gap", False)


def test_what_one_file_lacks_and_another_gave_is_a_healed_archive_gap():
    [verdict] = explain_healed(month(file("2022-06", lacks=(GAP,)), file("2022-06-09")))
    assert (verdict.cause, verdict.healed, verdict.bars) == ("archive_gap", True, 24)
    assert verdict.siblings == ("daily/2022-06-09.zip",)


def test_before_the_first_row_and_after_the_last_is_not_listed():
    life = Life((Span(at("2022-06-09 04:00"), at("2022-06-09 20:00")),), "delisted")
    verdicts = explain(GAP, month(file("2022-06", lacks=(GAP,)), life=life))
    assert [(v.cause, v.bars) for v in verdicts] == [
        ("not_listed", 4),
        ("not_published", 16),
        ("not_listed", 4),
    ]


def test_rejected_rows_are_no_halt():
    both = month(
        file("2022-06", lacks=(GAP,)),
        file("2022-06-09", lacks=(GAP,)),
        rejected=frozenset([GAP[3]]),
    )
    verdicts = explain(GAP, both)
    assert [(v.cause, v.bars) for v in verdicts] == [
        ("not_published", 3),
        ("rejected", 1),
        ("not_published", 20),
    ]
    assert "rejected" in verdicts[1].evidence


def test_a_gap_over_two_days_is_one_verdict_when_both_days_say_the_same():
    gap = bars("2018-02-08 01:00", "2018-02-09 10:00")
    [verdict] = explain(gap, month(file("2018-02", lacks=(gap,)), market=Market.SPOT))
    assert (verdict.cause, verdict.bars) == ("exchange_halt", 33)


def test_a_gap_over_two_days_is_cut_where_the_evidence_changes():
    gap = bars("2022-06-09 00:00", "2022-06-11 00:00")
    files = (file("2022-06", lacks=(gap,)), file("2022-06-10", lacks=(gap,)))
    verdicts = explain(gap, month(*files))
    assert [(v.cause, v.bars) for v in verdicts] == [("not_published", 24)] * 2
    assert verdicts[0].evidence != verdicts[1].evidence


def test_a_day_that_no_file_covers_says_so():
    [verdict] = explain(GAP, month(file("2022-06-08")))
    assert verdict.cause == "not_published"
    assert verdict.evidence == "no file that covers it was read; no other is published"


def test_the_days_of_a_file_decide_what_it_covers():
    assert parse_days("2022-06").first in file("2022-06").days
    assert file("2022-06-09").partition is Partition.DAILY


HOURS = bars("2019-03-01 00:00", "2019-04-01 00:00")
RUNS = st.lists(st.integers(HOURS.start, HOURS.stop), min_size=2, max_size=8, unique=True).map(
    lambda cuts: [range(a, b) for a, b in zip(*[iter(sorted(cuts))] * 2, strict=False)]
)


@given(RUNS, RUNS, st.sets(st.sampled_from(HOURS), max_size=5), st.sampled_from(list(Market)[:3]))
def test_verdicts_are_as_long_as_the_gap_and_in_order(monthly, daily, rejected, market):
    known = month(
        file("2019-03", lacks=tuple(monthly)),
        file("2019-03-12", lacks=tuple(run for run in daily)),
        file("2019-03-13", "listed", None),
        market=market,
        rejected=frozenset(rejected),
        life=Life((Span(at("2019-03-02 05:00"), at("2019-03-30 00:00")),), "delisted"),
    )
    for run in monthly:
        verdicts = explain(run, known)
        assert sum(verdict.bars for verdict in verdicts) == len(run)
        assert all(left.last < right.first for left, right in pairwise(verdicts))
        assert verdicts[0].first == open_of(run.start, Interval.H1)
