"""``lake.quality_page``: what ``lake.quality`` and ``lake.gaps`` say of a query, as one page for a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.bronze.ledger import holdings, narrowed, with_key_parts
from cryptolake.quality.causes import OUTSIDE
from cryptolake.quality.outliers import RULE, outliers
from cryptolake.quality.report import GAPS, AssessedMonth, assessed, gap_rows, quality_of
from cryptolake.quality.survey import survey
from cryptolake.quality.verdict import TOLD, WHOLE, in_words, summary, worst_first
from cryptolake.render.quality import HeatSpan, QualityFacts, Section, State, quality_page_html
from cryptolake.transfer.kept import recorded_locks
from cryptolake.user_files import user_path, written_whole

if TYPE_CHECKING:
    import os

    from cryptolake.archive.periods import Days
    from cryptolake.listing.context import LakeContext
    from cryptolake.quality.survey import SeriesFiles
    from cryptolake.query import Query

_DAY = timedelta(days=1)
_DISAGREE = ("daily_monthly_disagree", "crosscheck")


class _DayState(NamedTuple):
    """What a day looks like; the worst state of a day is shown."""

    rank: int
    state: str
    part: bool


def write_quality_page(
    query: Query, lake: LakeContext, path: str | os.PathLike[str], *, refresh: bool = False
) -> Path:
    """Write the quality page of a query to a file on this machine; return where it is.

    Parameters
    ----------
    query, lake, refresh
        As :func:`cryptolake.quality.report.quality` takes them.
    path
        The file, ``quality.html``; one that is there is replaced.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    target = user_path(path)
    page = quality_page_html(page_facts(query, lake, refresh=refresh))
    with written_whole(target, "the page") as draft:
        draft.write_text(page, encoding="utf-8")
    return target


def page_facts(query: Query, lake: LakeContext, *, refresh: bool = False) -> QualityFacts:
    """Gather what the page shows, of one look at the lake's tables and the listing."""
    seen = survey(query, lake, listed=True, refresh=refresh)
    months = assessed(seen)
    quality = quality_of(months, seen)
    odd = [outliers(item.month, seen) for item in months]
    gaps = pl.DataFrame(
        [row for item in months for row in gap_rows(item.month, item.assessment)],
        schema=GAPS,
        orient="row",
    )
    days = query.selection.days
    now = datetime.now(UTC)
    first = days.first if days else now.date()
    return QualityFacts(
        title=f"Quality of {_symbols(quality)}, {first} to {days.last if days else first}",
        verdict=summary(quality),
        figures=_figures(quality),
        first=first,
        days=len(days) if days else 0,
        heat=_heat(months, quality, odd, days) if days else (),
        sections=[
            _worst(quality),
            _gaps(gaps),
            _sidecars(months, lake),
            _findings("Files that disagree", months, _DISAGREE),
            _findings("Other findings", months, None),
            _outliers(months, odd),
            *_locks(query, lake),
        ],
        made=f"Made {now:%F %R} UTC of {lake.storage.root}; the same facts: lake.quality, lake.gaps, meta.findings.",
    )


def _locks(query: Query, lake: LakeContext) -> Iterator[Section]:
    """Name the lake's locks that pin files of the query, and how many of those the lake has as they are pinned."""
    rows: list[tuple[str, ...]] = []
    held = None
    for item in recorded_locks(lake.storage):
        if item.lock is None:
            rows.append((item.id, "-", "-", f"it cannot be read: {item.reason}"))
            continue
        pinned = narrowed(with_key_parts(item.lock.files), query)
        if not pinned.height:
            continue
        if held is None:
            held = holdings(lake.records, query).select("key", has="sha256", has_etag="etag")
        # A copy inside S3 has no sha256 before Silver reads it.
        same = pl.coalesce(pl.col("has") == pl.col("sha256"), pl.col("has_etag") == pl.col("etag"))
        here = pinned.join(held, on="key").filter(same).height
        files = f"{here:,} of {pinned.height:,}"
        rows.append((item.id, f"{item.lock.created_at:%F %R} UTC", files, item.lock.made_by))
    if rows:
        note = "What the lake's locks pin of the query; here: files that are in Bronze with the pinned sha256."
        yield Section("Locks", note, ("id", "made", "here", "by"), rows, ("here",))


def _figures(quality: pl.DataFrame) -> list[tuple[str, str]]:
    names = ("rows", "expected", "missing", "healed", "rejects", "duplicates", "findings")
    counts = [(name, f"{int(quality[name].sum()):,}") for name in names]
    odd = quality.filter(pl.col("verdict") != WHOLE).height
    return [("symbol-months", f"{quality.height:,}"), ("to look at", f"{odd:,}"), *counts]


# ---------------------------------------------------------------------- the heat map


def _heat(
    months: Sequence[AssessedMonth], quality: pl.DataFrame, odd: Sequence[pl.DataFrame], days: Days
) -> list[tuple[str, list[HeatSpan]]]:
    """Return a row a series: the asked days of its months in runs of one state."""
    by_series: dict[str, list[tuple[date, _DayState]]] = defaultdict(list)
    for item, far, said in zip(months, odd, quality["verdict"], strict=True):
        told = item.findings.filter(~pl.col("kind").is_in(TOLD)).select("kind", "first", "last")
        moments = far.select(kind=pl.lit("outlier"), first="time", last="time")
        states = list(_states(item, pl.concat([told, moments])))
        if said != WHOLE and all(state.rank == 0 for _, state in states):
            # The problem has no day: the month is marked.
            states = [(day, _DayState(2, State.TOLD, part=True)) for day, _ in states]
        by_series[_series(item.month.folder)] += states
    return [(label, list(_runs(states, days.first))) for label, states in by_series.items()]


def _series(folder: SeriesFiles) -> str:
    kind = folder.row.data_type.value
    what = folder.interval.value if folder.interval else ""
    return _unbroken(folder.symbol, what, kind, folder.row.market.value)


def _states(item: AssessedMonth, told: pl.DataFrame) -> Iterator[tuple[date, _DayState]]:
    """Yield the state of each asked day of a month; ``told`` has what is said of rows that are there."""
    found: dict[date, list[_DayState]] = defaultdict(list)
    for gap in item.assessment.gaps:
        state = State.HEALED if gap.healed else gap.cause
        state, rank = (
            (State.OUTSIDE, 9) if gap.cause in OUTSIDE else (state, 1 if gap.healed else 5)
        )
        for day, whole in _days_between(gap.first, gap.last, gap.bars):
            found[day].append(_DayState(rank, state, not whole))
    for kind, first, last in told.drop_nulls().iter_rows():
        frozen = kind == State.FROZEN
        for day, _ in _days_between(first, last, 1):
            state = State.FROZEN if frozen else State.TOLD
            found[day].append(_DayState(4 if frozen else 2, state, part=not frozen))
    newest = item.month.folder.life.newest
    for day in item.month.days:
        late = newest is not None and day > newest and item.month.folder.life.state == "live"
        none = _DayState(0, State.OUTSIDE if late else State.WHOLE, part=False)
        yield day, max(found.get(day, ()), default=none)


def _days_between(first: datetime, last: datetime, bars: int) -> Iterator[tuple[date, bool]]:
    """Yield the days of a run, and whether it holds all of the day, as far as its ends tell."""
    step = (last - first) / (bars - 1) if bars > 1 else _DAY
    day = first.date()
    while day <= last.date():
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        yield day, first <= begin and last + step >= begin + _DAY
        day += _DAY


def _runs(states: Sequence[tuple[date, _DayState]], first: date) -> Iterator[HeatSpan]:
    ordered = sorted(states)
    start = (ordered[0][0] - first).days if ordered else 0
    for (state, part), run in groupby(ordered, key=lambda item: (item[1].state, item[1].part)):
        length = len(list(run))
        yield HeatSpan(state, start, length, part)
        start += length


# ---------------------------------------------------------------------- the tables


def _worst(quality: pl.DataFrame) -> Section:
    odd = worst_first(quality.filter(pl.col("verdict") != WHOLE))
    rows = [
        (
            *_who(row),
            row["month"],
            "-" if row["coverage"] is None else f"{row['coverage']:.2%}",
            f"{row['missing']:,} of {row['expected']:,}",
            in_words(row["verdict"]),
        )
        for row in odd.iter_rows(named=True)
    ]
    head = ("series", "month", "coverage", "missing", "what")
    note = "Counts are rows (files for quarantined and suspect size)."
    return Section("Symbol-months to look at", note, head, rows, ("coverage", "missing"))


def _gaps(gaps: pl.DataFrame) -> Section:
    inside = gaps.filter(~pl.col("cause").is_in(OUTSIDE))
    open_first = inside.sort("healed", -pl.col("bars"), maintain_order=True)
    rows = [
        (
            *_who(row),
            _time(row["first"]),
            _time(row["last"]),
            f"{row['bars']:,}",
            f"{row['cause'].replace('_', ' ')}{', healed' if row['healed'] else ''}",
            row["evidence"],
        )
        for row in open_first.iter_rows(named=True)
    ]
    head = ("series", "first missing", "last missing", "rows", "cause", "evidence")
    return Section("Gaps", "Times are UTC; open gaps first, then by length.", head, rows, head[1:4])


def _who(row: Mapping[str, str | None]) -> tuple[str]:
    return (_unbroken(*(row[name] for name in ("symbol", "interval", "data_type", "market"))),)


def _unbroken(*parts: str | None) -> str:
    """Join words so that a table does not break the line between them."""
    return "\N{NO-BREAK SPACE}".join(part for part in parts if part)


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else _unbroken(f"{moment:%F}", f"{moment:%R}")


def _symbols(quality: pl.DataFrame) -> str:
    names = quality["symbol"].unique().sort().to_list()
    return ", ".join(names) if 0 < len(names) < 5 else f"{len(names)} symbols"


def _findings(title: str, months: Sequence[AssessedMonth], kinds: Sequence[str] | None) -> Section:
    """Return the findings of some kinds; of all but those that have a section, where none are named."""
    chosen = pl.col("kind").is_in(kinds or _DISAGREE)
    rows = [
        (
            _series(item.month.folder),
            row["kind"].replace("_", " "),
            _time(row["first"]),
            _time(row["last"]),
            f"{row['rows'] or 0:,}",
            row["detail"],
        )
        for item in months
        for row in item.findings.filter(chosen if kinds else ~chosen).iter_rows(named=True)
    ]
    head = ("series", "kind", "first", "last", "rows", "detail")
    return Section(title, "", head, rows, head[2:5])


def _sidecars(months: Sequence[AssessedMonth], lake: LakeContext) -> Section:
    """Return the files of the query whose CHECKSUM does not fit: set aside, or taken in all the same."""
    keys = {key for item in months for key, _, _ in item.month.files()}
    aside = lake.records.quarantined().select("key", "reason", "detail")
    accepted = lake.records.ledger(pl.col("verified") == "stale_accepted").select("key")
    rows = [
        (key, "in quarantine", f"{reason.replace('_', ' ')}: {detail}")
        for key, reason, detail in aside.iter_rows()
        if key in keys
    ]
    rows += [(key, "accepted", "stale CHECKSUM") for key in accepted["key"] if key in keys]
    note = "A stale CHECKSUM is that of other bytes, mostly of a file that was replaced."
    return Section("Stale sidecars and quarantine", note, ("file", "where", "why"), rows)


def _outliers(months: Sequence[AssessedMonth], odd: Sequence[pl.DataFrame]) -> Section:
    rows = [
        (
            _series(item.month.folder),
            _time(row["time"]),
            row["column"],
            f"{row['price']:g}",
            f"{row['typical']:g}",
            f"{row['price'] / row['typical'] - 1:+.1%}",
        )
        for item, far in zip(months, odd, strict=True)
        for row in far.iter_rows(named=True)
    ]
    head = ("series", "time", "column", "price", "neighbours", "off")
    return Section("Outliers", RULE, head, rows, ("time", "price", "neighbours", "off"))
