"""The report of a run as Markdown with tables: what an orchestrator shows to the person who looks at a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import dataset_name
from cryptolake.archive.keys import parse_key
from cryptolake.render.html import plural, size
from cryptolake.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptolake.planning.plan import Plan

_MOST = 30
"""Rows of a table, at most; the rest is counted."""

_LONGEST = 300
"""Characters of a cell, at most."""


@dataclass
class Collected:
    """What a run did: its plans as they were before it, its report, and what was found in the rows.

    Parameters
    ----------
    root
        The lake.
    plans
        A plan for each query that could be planned.
    reports
        Of pulls and Gold, in their order.
    quality
        ``lake.quality`` of the plans' symbols and days; None where it was not asked for.
    errors
        What ended a step: the step, and the error in words.
    started_at
        UTC.
    """

    root: str
    plans: list[Plan] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    quality: pl.DataFrame | None = None
    errors: list[tuple[str, str]] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def report(self) -> Report:
        """One report of all."""
        if self.reports:
            return Report.merge(self.reports)
        seconds = (datetime.now(UTC) - self.started_at).total_seconds()
        return Report("pull", "none", seconds, state="failed" if self.errors else "done")

    @property
    def ok(self) -> bool:
        """Whether nothing failed. Files in quarantine, and holes in what is published, are no failure."""
        return not self.errors and self.report.ok


def run_markdown(run: Collected) -> str:
    """Write a run's report.

    Returns
    -------
    str
        GitHub's Markdown: totals, a table by dataset, coverage, failures, quarantine, months, notes. Sections
        without rows are left out.

    Examples
    --------
    >>> print(run_markdown(Collected("/data/lake")).splitlines()[0])
    # cryptolake: done, nothing to do
    """
    report = run.report
    parts = [
        f"# cryptolake: {_headline(run, report)}",
        _totals(run, report),
        *_section("Datasets", _datasets(run.plans, report)),
        *_section("Failures", _failures(run, report)),
        *_section("Quarantine", _quarantined(report)),
        *_section("Coverage", _coverage(run.quality)),
        *_section("Months built", _months(report)),
        *_notes(run.plans, report),
    ]
    return "\n\n".join(parts) + "\n"


def _headline(run: Collected, report: Report) -> str:
    if not run.ok:
        return "ended with failures" if report.state != "stopped" else "stopped"
    if not report.transferred and not report.built:
        return "done, nothing to do"
    return (
        f"done, {plural(report.transferred, 'file')} moved, {plural(report.built, 'month')} built"
    )


def _totals(run: Collected, report: Report) -> str:
    rate = f", {size(report.bytes / report.seconds)}/s" if report.seconds else ""
    return _table(
        ("what", "value"),
        [
            ("lake", f"`{run.root}`"),
            ("began (UTC)", f"{run.started_at:%Y-%m-%d %H:%M:%S}"),
            ("seconds", f"{report.seconds:,.1f}"),
            ("files moved", f"{report.transferred:,} ({size(report.bytes)}{rate})"),
            ("files here already", f"{report.skipped:,}"),
            ("months built", f"{report.built:,} ({plural(report.rows, 'row')})"),
            ("failed, in quarantine", f"{report.failed:,}, {report.quarantined:,}"),
            ("requests to S3, repeated", f"{report.requests or 0:,}, {sum(report.retries.values()):,}"),
        ],
    )  # fmt: skip


def _datasets(plans: Sequence[Plan], report: Report) -> str:
    """Return a row for each dataset and interval: what was planned, and what came of it."""
    group = ["market", "data_type", "interval"]
    count = pl.len().alias("files")
    planned = [plan.rows.sums(group, count, pl.col("size").sum()) for plan in plans]
    if not planned:
        return ""
    missing = [plan.missing_periods.group_by(group).agg(missing=pl.len()) for plan in plans]
    files = pl.concat(planned).group_by(group).sum()
    lost = pl.concat(missing).group_by(group).sum()
    joined = files.join(lost, on=group, how="full", coalesce=True, nulls_equal=True)
    came = _by_dataset(report)
    rows = []
    for market, data_type, interval, number, total, unpublished in joined.sort(group).iter_rows():
        own = came.get((market, data_type, interval), {})
        rows.append(
            (
                _named(market, data_type, interval),
                f"{number or 0:,}",
                size(total or 0),
                *(f"{own.get(status, 0):,}" for status in ("moved", "here", "quarantined")),
                f"{own.get('failed', 0):,}",
                size(own.get("bytes", 0)),
                f"{unpublished or 0:,}",
            )
        )
    head = ("dataset", "files", "size", "moved", "here already", "quarantined")
    return _table((*head, "failed", "bytes moved", "not published"), rows, right=1)


_WORDS = {"transferred": "moved", "cached": "here", "adopted": "here"}


def _by_dataset(report: Report) -> dict[tuple[str, str, str | None], dict[str, int]]:
    found: dict[tuple[str, str, str | None], dict[str, int]] = {}
    for key, status, moved in report.rows_of_files.select("key", "status", "bytes").iter_rows():
        named = parse_key(key)
        if named is None:
            continue
        counts = found.setdefault((str(named.market), str(named.data_type), named.interval), {})
        word = _WORDS.get(status, status)
        counts[word] = counts.get(word, 0) + 1
        if status == "transferred":
            counts["bytes"] = counts.get("bytes", 0) + (moved or 0)
    return found


def _failures(run: Collected, report: Report) -> str:
    files = report.rows_of_files.filter(pl.col("status") == "failed").select("key", "error").rows()
    months = report.months.filter(pl.col("error").is_not_null()).select("path", "error").rows()
    rows = [*run.errors, *files, *months]
    return _table(("what", "error"), [(what, why or "no reason given") for what, why in rows])


def _quarantined(report: Report) -> str:
    lost = report.rows_of_files.filter(pl.col("status") == "quarantined").select("key", "error")
    return _table(("file", "why"), [(key, why or "") for key, why in lost.rows()])


def _coverage(quality: pl.DataFrame | None) -> str:
    """Return a row a symbol; those that lack most first."""
    if quality is None or not quality.height:
        return ""
    group = ["market", "data_type", "interval", "symbol"]
    found = pl.col("verdict").filter(pl.col("verdict") != "whole")
    rows = (
        quality.group_by(group)
        .agg(
            pl.len().alias("months"),
            pl.col("rows", "expected", "missing", "gaps").sum(),
            found.str.join("; ").alias("found"),
        )
        .with_columns(share=1 - pl.col("missing") / pl.col("expected"))
        .sort("share", *group, nulls_last=True)
    )
    shown = [
        (
            _named(row["market"], row["data_type"], row["interval"]),
            row["symbol"],
            *(f"{row[name] or 0:,}" for name in ("months", "rows", "expected", "missing")),
            "" if row["share"] is None or row["share"] != row["share"] else f"{_floor(row['share'])} %",
            _found(row),
        )
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
    # As many columns as a page of Prefect shows.
    head = ("dataset", "symbol", "months", "rows", "expected", "missing", "coverage", "found")
    return _table(head, shown, right=2, left=(7,))


def _found(row: Mapping[str, Any]) -> str:
    """Return what was found in a symbol's rows, duplicates and rejects among it, and in how many gaps rows are missing."""
    gaps = f" ({plural(row['gaps'], 'gap')})" if row["gaps"] else ""
    return f"{row['found'] or 'whole'}{gaps}"


def _named(market: str, data_type: str, interval: str | None) -> str:
    return " ".join([dataset_name(market, data_type), *([interval] if interval else [])])


def _floor(share: float) -> str:
    """Write a share in percent; what is not whole never reads 100."""
    return f"{int(share * 10_000) / 100:.2f}"


def _months(report: Report) -> str:
    counts = (
        report.months.with_columns(
            table=pl.col("path").str.extract(r"^([^/]+/[^/]+(?:/data_type=[^/]+)?)")
        )
        .group_by("table", "status")
        .agg(months=pl.len(), rows=pl.col("rows").sum(), seconds=pl.col("seconds").sum())
        .sort("table", "status", descending=[True, False])
    )
    rows = [
        (f"`{table}`", status, f"{months:,}", f"{rows or 0:,}", f"{seconds or 0:,.1f}")
        for table, status, months, rows, seconds in counts.iter_rows()
    ]
    return _table(("table", "status", "months", "rows", "seconds"), rows, right=2)


def _notes(plans: Sequence[Plan], report: Report) -> list[str]:
    notes = [note for plan in plans for note in plan.notes]
    notes += [
        f"{plural(count, 'file')} fell back: {why}" for why, count in report.fallbacks.items()
    ]
    notes += [
        f"{plural(count, 'request')} repeated: {why}" for why, count in report.retries.items()
    ]
    lines = [f"- {_escaped(note)}" for note in dict.fromkeys(notes)]
    return ["## Notes", "\n".join(lines)] if lines else []


# ---------------------------------------------------------------------- Markdown


def _section(title: str, table: str) -> list[str]:
    return [f"## {title}", table] if table else []


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: int | None = None,
    left: Sequence[int] = (),
) -> str:
    """Write a table; columns from ``right`` on hold numbers, but for those in ``left``. Empty without rows."""
    given = list(rows)
    if not given:
        return ""
    marks = [
        "---:" if right is not None and right <= n and n not in left else "---"
        for n in range(len(head))
    ]
    cells = [[_escaped(str(cell)) for cell in row] for row in given[:_MOST]]
    lines = [f"| {' | '.join(row)} |" for row in (head, marks, *cells)]
    more = [f"\n… and {len(given) - _MOST:,} more"] if len(given) > _MOST else []
    return "\n".join([*lines, *more])


def _escaped(text: str) -> str:
    """Keep a text in one cell, as it stands."""
    one_line = " ".join(text.split())
    short = one_line if len(one_line) <= _LONGEST else f"{one_line[:_LONGEST]}…"
    if short[:1] == short[-1:] == "`" and short.count("`") == 2:
        return short.replace("|", "\\|")
    for char in "\\|*_<[`":
        short = short.replace(char, f"\\{char}")
    return short
