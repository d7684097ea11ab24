"""One symbol-month assessed: its rows counted, its gaps found, and each gap explained.

Where a month has files of both partitions, each Bronze file is read for the bars that it has: only the
first column of its CSV, piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Interval
from cryptolake.archive.grid import (
    Grid,
    bar_number,
    expected_numbers,
    present_numbers,
)
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.zips import inflate_chunks
from cryptolake.errors import CorruptArchive
from cryptolake.quality.causes import (
    OUTSIDE,
    Cause,
    GapCause,
    MonthFacts,
    Neighbour,
    Sibling,
    State,
    explain,
    explain_healed,
)
from cryptolake.quality.clocks import HALTING, RowCount, grid_of, rows_of
from cryptolake.quality.gaps import missing_runs
from cryptolake.quality.halts import load_halts
from cryptolake.quality.lifetimes import bars_in_life, frozen_run, life_of_month
from cryptolake.quality.tick_holes import silent_hours
from cryptolake.silver.parse import MICROSECONDS
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.quality.survey import Survey, SymbolMonth
    from cryptolake.storage.files import Storage

_HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True)
class Assessment:
    """A symbol-month's rows, and its gaps. ``expected`` leaves out what is not listed.

    ``idle`` counts the bars of a frozen run: without a trade, from some bar to the symbol's last file.
    ``silent`` counts the hours of ticks without a row, on days that have some, where that is rare.
    """

    rows: RowCount
    expected: int
    missing: int
    gaps: Sequence[GapCause]
    idle: int = 0
    silent: int | None = None

    @property
    def coverage(self) -> float | None:
        """The share of what is expected that is there; None where nothing is expected."""
        lacking = self.missing + (self.silent or 0) / _HOURS_A_DAY
        return None if not self.expected else 1 - lacking / self.expected


def assess(month: SymbolMonth, survey: Survey) -> Assessment:
    """Count a symbol-month's rows and name the cause of each of its gaps."""
    grid = grid_of(month, survey)
    rows = rows_of(month, survey, grid, _empty_days(month))
    span = _span(month)
    if span is None:
        return Assessment(rows, 0, 0, ())
    frozen = frozen_run(month, survey, grid)
    rejected = _rejected(month, survey, grid)
    refused = frozenset().union(*rejected.values())
    life = life_of_month(month, survey, grid, frozen, refused)
    expected = expected_numbers(grid, span.begin, span.end)
    runs = missing_runs(rows.present, expected)
    files = _files(month, survey, grid, runs, rejected)
    known = MonthFacts(
        market=month.folder.row.market,
        interval=grid,
        files=files,
        life=life,
        halts=load_halts(),
        rejected=refused,
        listing_seen=month.folder.listed is not None,
        halting=month.folder.row.data_type in HALTING,
        neighbours=_neighbours(month, survey, grid, runs),
        off_grid=frozenset(bar for run in runs for bar in rows.beside if bar in run),
        empty=rows.empty,
    )
    gaps = [_told_of_file_before(gap, month) for run in runs for gap in explain(run, known)]
    missing = sum(gap.bars for gap in gaps if gap.cause not in OUTSIDE)
    healed = explain_healed(known)
    ordered = sorted([*gaps, *healed], key=lambda gap: (gap.first, gap.healed))
    lived = bars_in_life(expected, life, grid)
    idle = len(range(max(frozen.start, expected.start), min(frozen.stop, expected.stop)))
    return Assessment(rows, lived, missing, ordered, idle, silent_hours(month, survey))


def _told_of_file_before(gap: GapCause, month: SymbolMonth) -> GapCause:
    """Say of a day's first row that it stands in the file of the day before, where that was not read."""
    until = schema_of(month.folder.row.market, month.folder.row.data_type).late_until
    day = gap.first.date() - timedelta(days=1)
    if until is None or day > until or gap.bars > 1 or gap.first != Days(day, day).end:
        return gap
    before = month.folder.known.filter(last=day)["key"]
    unread = [key for key in before if key not in month.built]
    if not unread or gap.cause not in ("unknown", "not_published"):
        return gap
    here = not set(unread).isdisjoint(month.folder.held["key"])
    evidence = "it stands in the file of the day before, which is not read: lake.pull"
    cause: Cause = "unknown" if here else "not_pulled"
    return replace(gap, cause=cause, evidence=evidence, siblings=tuple(unread))


def _neighbours(
    month: SymbolMonth, survey: Survey, grid: Grid, runs: Sequence[range]
) -> Sequence[Neighbour]:
    """Return what other symbols did where bars are missing; nobody is asked of a month that is not here."""
    if not runs or not isinstance(grid, Interval) or not month.built:
        return ()
    return survey.neighbours.of(month, grid)


def _empty_days(month: SymbolMonth) -> pl.Series:
    """Return the days of which a file was read that holds no row: that nothing happened is known."""
    days = {
        bar
        for key, _, span in month.files()
        if key in month.empty
        for bar in _bars_of(span, month, Interval.D1)
    }
    return pl.Series("bar", sorted(days), dtype=pl.Int64)


def _span(month: SymbolMonth) -> Days | None:
    """Return the asked days, less those that are younger than the newest published one of a live symbol."""
    life = month.folder.life
    newest = life.newest
    if life.state != "live" or newest is None:
        return month.days
    return month.days.clip(Days(min(month.days.first, newest), newest))


def _files(
    month: SymbolMonth,
    survey: Survey,
    grid: Grid,
    runs: Sequence[range],
    rejected: Mapping[str, frozenset[int]],
) -> list[Sibling]:
    """Say of each file that covers the month where it is, and what it lacks where that can be seen."""
    held = frozenset(month.folder.held["key"])
    both = len({partition for key, partition, _ in month.files() if key in month.built}) > 1
    files = []
    for key, partition, days in month.files():
        state = _state_of(key, month, held)
        lacks = None
        if state == "built" and not (both and month.folder.interval):
            # Silver holds all rows of its files: what it lacks, each of them lacks.
            lacks = _clipped(runs, _bars_of(days, month, grid))
        elif state == "built":
            gone = [*runs, *(range(bar, bar + 1) for bar in rejected.get(key, ()))]
            lacks = _lacks(key, days, month, survey, grid, gone)
        elif state == "stored" and runs and month.folder.interval:
            lacks = _lacks(key, days, month, survey, grid)
        files.append(Sibling(key, partition, days, state, lacks))
    return files


def _state_of(key: str, month: SymbolMonth, held: frozenset[str]) -> State:
    """Say where a file is; ``held`` are the keys in Bronze."""
    states: tuple[tuple[State, frozenset[str]], ...] = (
        ("built", month.built),
        ("refused", month.refused),
        ("quarantined", month.folder.quarantined),
        ("stored", held),
    )
    return next((state for state, keys in states if key in keys), "listed")


def _lacks(
    key: str,
    days: Days,
    month: SymbolMonth,
    survey: Survey,
    grid: Grid,
    gone: Sequence[range] = (),
) -> tuple[range, ...] | None:
    """Return the bars that a Bronze file does not have, and those of it that Silver did not take."""
    try:
        bars = bars_of_file(survey.storage, key, month.folder.interval or Interval.D1)
    except (CorruptArchive, FileNotFoundError):
        return None
    for run in gone:
        bars = bars.filter((bars < run.start) | (bars >= run.stop))
    return tuple(missing_runs(bars, _bars_of(days, month, grid)))


def _bars_of(days: Days, month: SymbolMonth, grid: Grid) -> range:
    both = days.clip(month.days)
    return expected_numbers(grid, both.begin, both.end) if both else range(0)


def _clipped(runs: Sequence[range], inside: range) -> tuple[range, ...]:
    cut = (range(max(run.start, inside.start), min(run.stop, inside.stop)) for run in runs)
    return tuple(run for run in cut if len(run))


def _rejected(month: SymbolMonth, survey: Survey, grid: Grid) -> dict[str, frozenset[int]]:
    """Return, per file, the bars whose rows were rejected, as far as their lines say a time."""
    schema = schema_of(month.folder.row.market, month.folder.row.data_type)
    if schema.columns[0].name != schema.time or not survey.rejects.height:
        return {}
    mine = survey.rejects.filter(pl.col("key").is_in(sorted(month.built | month.refused)))
    first = pl.col("text").str.split(",").list.first()
    opens = mine.select("key", opens_of_text(first).alias("open")).drop_nulls()
    return {
        str(key): frozenset(present_numbers(rows["open"], grid))
        for (key,), rows in opens.partition_by("key", as_dict=True).items()
    }


def bars_of_file(storage: Storage, key: str, interval: Interval) -> pl.Series:
    """Return the sorted, unique bar numbers of a kline file in Bronze.

    Lines whose first field is no number (headers, damage) have no bar.

    Raises
    ------
    CorruptArchive
        The file is no zip of one CSV.
    """
    parts = []
    rest = b""
    for chunk in inflate_chunks(BytesIO(storage.read(layout.bronze_path(key))), key):
        text, newline, tail = (rest + chunk).rpartition(b"\n")
        if newline:
            parts.append(_bars(text, interval))
        rest = tail
    if rest:
        parts.append(_bars(rest, interval))
    if len(parts) == 1:  # as nearly always
        return parts[0]
    return pl.concat([pl.Series("bar", [], dtype=pl.Int64), *parts]).unique().sort()


def opens_of_text(first_fields: pl.Expr) -> pl.Expr:
    """Return the times that the first fields of lines say, null where they say none."""
    said = first_fields.str.strip_chars()
    number = said.cast(pl.Int64, strict=False)
    micros = pl.when(number < MICROSECONDS).then(number * 1000).otherwise(number)
    words = said.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC", strict=False)
    return pl.coalesce(micros.cast(pl.Datetime("us", "UTC")), words)


def _bars(text: bytes, interval: Interval) -> pl.Series:
    lines = pl.read_csv(
        BytesIO(text),
        has_header=False,
        columns=[0],
        infer_schema=False,
        quote_char=None,
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )
    bars = bar_number(opens_of_text(pl.first()), interval)
    return lines.select(bars.drop_nulls().unique().sort().alias("bar"))["bar"]
