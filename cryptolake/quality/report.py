"""``lake.quality`` and its gaps as frames: what is there, what is not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.bronze.ledger import warn_of_lost_ledger
from cryptolake.quality.assess import Assessment, assess
from cryptolake.quality.causes import CAUSES, OUTSIDE
from cryptolake.quality.clocks import unit_of
from cryptolake.quality.survey import Survey, SymbolMonth, survey
from cryptolake.quality.trade_ids import has_ids, id_findings, ids_in_words
from cryptolake.quality.values import value_findings, values_of
from cryptolake.quality.verdict import TOLD, verdict

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.quality.causes import GapCause
    from cryptolake.query import Query

_TIME = pl.Datetime("us", "UTC")
_WHO = {
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "month": pl.String,
}

QUALITY: dict[str, Any] = {
    **_WHO,
    "rows": pl.Int64,
    "expected": pl.Int64,
    "missing": pl.Int64,
    "coverage": pl.Float64,
    "unit": pl.String,
    "gaps": pl.Int64,
    "causes": pl.String,
    "healed": pl.Int64,
    "duplicates": pl.Int64,
    "overlap": pl.Int64,
    "rejects": pl.Int64,
    "findings": pl.Int64,
    "idle": pl.Int64,
    "thin": pl.Int64,
    "silent": pl.Int64,
    "ids": pl.String,
    "suspect_size": pl.List(pl.String),
    "quarantined": pl.List(pl.String),
    "first": _TIME,
    "last": _TIME,
    "zeros": pl.Int64,
    "nulls": pl.Int64,
    "unchanged": pl.Int64,
    "verdict": pl.String,
}
"""The columns of :func:`quality`."""

GAPS: dict[str, Any] = {
    **_WHO,
    "first": _TIME,
    "last": _TIME,
    "bars": pl.Int64,
    "unit": pl.String,
    "cause": pl.String,
    "evidence": pl.String,
    "healed": pl.Boolean,
    "siblings": pl.List(pl.String),
}
"""The columns of :func:`gaps`."""


def quality(
    query: Query,
    lake: LakeContext,
    *,
    refresh: bool = False,
) -> pl.DataFrame:
    """Return one row per symbol-month: rows, gaps, duplicates, rejects, coverage.

    Parameters
    ----------
    query
        Markets, data types, intervals, symbols and days; a glob means the symbols the lake holds.
    lake
        The lake and its archive.
    refresh
        Ask the archive for its listing again; else its cached copy counts, however old.

    Returns
    -------
    polars.DataFrame
        ``expected`` and ``missing`` count within the listed life what ``unit`` says: bars of the interval,
        bars of five minutes of metrics, fundings by the hours that the rows say, minutes of book depth, seconds of
        volatility indices, hours of option summaries, and days of what comes when it comes; ``coverage`` is the share that is there (0 to 1,
        null where nothing is expected); ``gaps`` the runs missing, by ``causes``; ``idle`` the klines without
        a trade that go on to the symbol's last file, a day of them or more: rows after the end of its life,
        which are not expected; ``silent`` the hours without a row, on days that have some, of trades, aggTrades and
        quotes of a symbol that has rows in nearly every hour: they lower ``coverage``; ``thin`` the bars of a mark, index or premium price made of less than half the
        samples that are usual in the month (those of none are missing); ``healed`` the bars
        that one file lacks and a sibling gave; ``suspect_size`` and ``quarantined`` keys; ``first`` and
        ``last`` the times of the first and last row, UTC. ``duplicates`` are rows that came twice;
        ``overlap`` those of a monthly file that the daily files beside it have too. ``ids`` says what the
        check of trade and aggregate ids found (:mod:`cryptolake.quality.trade_ids`; null for other types);
        ``findings`` counts its rows too, but for ids that the venue left out, which are no fault. ``zeros``, ``nulls`` and
        ``unchanged`` count rows whose values are empty in fact (:mod:`cryptolake.quality.values`). ``verdict`` is
        ``whole``, or names each kind of problem with its count: ``quality.filter(pl.col("verdict") != "whole")``.
    """
    seen = survey(query, lake, listed=True, refresh=refresh)
    if not seen.months:
        warn_of_lost_ledger(lake.storage, lake.records)
    return quality_of(assessed(seen), seen)


class AssessedMonth(NamedTuple):
    """A symbol-month, its assessment, and what was found in it: by its build, by ids, by values."""

    month: SymbolMonth
    assessment: Assessment
    ids: pl.DataFrame
    findings: pl.DataFrame


def assessed(seen: Survey) -> list[AssessedMonth]:
    """Assess every month of a survey, and gather what was found in each."""
    ids = id_findings(seen)
    return [_assessed(month, seen, ids.filter(path=month.path)) for month in seen.months]


def _assessed(month: SymbolMonth, seen: Survey, ids: pl.DataFrame) -> AssessedMonth:
    assessment = assess(month, seen)
    # A reused id is one finding, whether its build saw it or the check of ids.
    recorded = seen.findings.filter(pl.col("kind") != "id_reused", path=month.path)
    values = value_findings(month, seen, assessment.idle)
    parts = [recorded, ids.filter(pl.col("kind") != "ids_skipped"), values]
    return AssessedMonth(month, assessment, ids, pl.concat(parts, how="diagonal_relaxed"))


def quality_of(months: Iterable[AssessedMonth], seen: Survey) -> pl.DataFrame:
    """Return assessed months as :func:`quality` does."""
    rows = [_quality_row(item, seen) for item in months]
    return pl.DataFrame(rows, schema=QUALITY, orient="row")


def gaps(
    query: Query,
    lake: LakeContext,
    *,
    listed: bool = True,
    refresh: bool = False,
) -> pl.DataFrame:
    """Return one row per gap: its first and last missing bar, its cause, and the evidence for it.

    Parameters
    ----------
    query, lake, refresh
        As :func:`quality` takes them.
    listed
        Whether to look at the archive's listing; without it siblings that are not in the lake are not known
        of, nor when a symbol was listed.

    Returns
    -------
    polars.DataFrame
        ``first`` and ``last`` are the open times of the first and the last missing bar, UTC; ``cause``
        is one of :data:`cryptolake.quality.causes.CAUSES`; ``healed`` says that
        another file gave the rows; ``siblings`` are the files that have them, or could have.
    """
    return gaps_of(survey(query, lake, listed=listed, refresh=refresh))


def gaps_of(seen: Survey) -> pl.DataFrame:
    """Return the gaps of a survey, as :func:`gaps` does."""
    rows = [row for month in seen.months for row in gap_rows(month, assess(month, seen))]
    return pl.DataFrame(rows, schema=GAPS, orient="row")


def gap_rows(month: SymbolMonth, assessment: Assessment) -> list[tuple[Any, ...]]:
    """Return the rows of :data:`GAPS` of one month."""
    return [
        (
            *who_of(month),
            v.first,
            v.last,
            v.bars,
            unit_of(month),
            v.cause,
            v.evidence,
            v.healed,
            list(v.siblings),
        )
        for v in assessment.gaps
    ]


def who_of(month: SymbolMonth) -> tuple[str | None, ...]:
    """Return what names a symbol-month: market, data type, symbol, interval, month."""
    folder = month.folder
    interval = folder.interval.value if folder.interval else None
    return (
        folder.row.market.value,
        folder.row.data_type.value,
        folder.symbol,
        interval,
        str(month.month),
    )


def _sparse(assessment: Assessment) -> dict[str, int]:
    """Return the bars of few samples, and the hours without a tick."""
    return {"thin": assessment.rows.thin or 0, "silent": assessment.silent or 0}


def _quality_row(item: AssessedMonth, seen: Survey) -> tuple[Any, ...]:
    month, assessment, ids, findings = item
    open_gaps = [gap for gap in assessment.gaps if not gap.healed]
    counts = _bars_by_cause(open_gaps)
    keys = {key for key, _, _ in month.files()}
    repeats = seen.repeats_of(month)
    rejects = int(seen.sources_of(month)["rejects"].sum())
    suspects, quarantined = keys & month.folder.suspects, keys & month.folder.quarantined
    problems = {
        **{cause: counts[cause] for cause in CAUSES if cause not in OUTSIDE},
        "rejects": rejects,
        "quarantined": len(quarantined),
        "suspect_size": len(suspects),
        "duplicates": repeats[0],
        **_sparse(assessment),
        **_by_kind(findings),
    }
    return (
        *who_of(month),
        assessment.rows.count,
        assessment.expected,
        assessment.missing,
        assessment.coverage,
        unit_of(month),
        len(open_gaps),
        ", ".join(f"{cause} {counts[cause]}" for cause in CAUSES if counts[cause]),
        sum(gap.bars for gap in assessment.gaps if gap.healed),
        *repeats,
        rejects,
        findings.height,
        *(assessment.idle, assessment.rows.thin, assessment.silent),
        ids_in_words(ids) if month.built and has_ids(month) else None,
        sorted(suspects),
        sorted(quarantined),
        assessment.rows.first,
        assessment.rows.last,
        *values_of(month, seen),
        verdict(problems),
    )


def _bars_by_cause(gaps: Iterable[GapCause]) -> Counter[str]:
    counts = Counter[str]()
    for gap in gaps:
        counts[gap.cause] += gap.bars
    return counts


def _by_kind(findings: pl.DataFrame) -> dict[str, int]:
    """Count the rows that the findings of each kind are about."""
    odd = findings.filter(~pl.col("kind").is_in(TOLD))
    by_kind = odd.group_by("kind", maintain_order=True).agg(pl.col("rows").fill_null(1).sum())
    return dict(by_kind.iter_rows())
