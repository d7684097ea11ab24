"""Why bars are missing: each gap with its cause and the evidence for it. Pure.

====================  =====================================================================
cause                 when
====================  =====================================================================
``not_listed``        before the symbol's first published row, after its last, or between two listings
``interval_stopped``  after the last file of an interval, where the symbol goes on in others
``exchange_halt``     in the table of known halts, or other symbols of the market stop in the same bars
``archive_gap``       a sibling file (the other partition's) has the rows
``rejected``          a file has rows of it that a rule refused (``meta.rejects``)
``off_grid``          the bar beside it holds two rows, one of them at a time off the grid
``not_pulled``        a file that covers it is published, and none is here
``not_published``     every published file that covers it was read and lacks it, or there is none
``unknown``           a file that may have it was not read, or could not be: the evidence says which
====================  =====================================================================

Prices that are not traded (mark, index, premium) and what else is measured go on through a halt: no table
and no neighbour makes a hole of theirs one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from cryptolake.archive.grid import Grid, expected_numbers, number_of, open_of
from cryptolake.quality.gaps import as_gap
from cryptolake.render.html import some_of

if TYPE_CHECKING:
    from cryptolake.archive.enums import Market, Partition
    from cryptolake.archive.lives import Life
    from cryptolake.archive.periods import Days
    from cryptolake.quality.halts import HaltTable, KnownHalt

Cause = Literal[
    "exchange_halt",
    "archive_gap",
    "not_listed",
    "interval_stopped",
    "rejected",
    "off_grid",
    "not_pulled",
    "not_published",
    "unknown",
]
"""The causes."""

State = Literal["built", "stored", "refused", "quarantined", "listed"]
"""Where a file is: read into Silver, in Bronze only, unfit to be read, in quarantine, or not here."""

CAUSES: tuple[Cause, ...] = (
    *("exchange_halt", "archive_gap", "not_listed", "interval_stopped"),
    *("rejected", "off_grid", "not_pulled", "not_published"),
    "unknown",
)

OUTSIDE: tuple[Cause, ...] = ("not_listed", "interval_stopped")
"""The causes of bars outside the life: they are not expected."""

OPEN: tuple[Cause, ...] = ("rejected", "not_pulled", "unknown")
"""The causes of bars that a file which is published and not here may have."""

_STOPS = 2
"""So many other symbols have to stop, and none to go on, before a hole counts as a halt."""


@dataclass(frozen=True)
class Sibling:
    """A file that covers some days of the month, and where it is.

    ``lacks`` are the bars of its days that a file which was read does not have; None where it was not read.
    """

    key: str
    partition: Partition
    days: Days
    state: State
    lacks: tuple[range, ...] | None = None

    @cached_property
    def _starts(self) -> list[int]:
        return [run.start for run in self.lacks or ()]

    def has(self, bar: int) -> bool:
        """Say whether the file was looked into and has the bar; ``lacks`` are in order."""
        if self.lacks is None:
            return False
        place = bisect_right(self._starts, bar)
        return not place or bar not in self.lacks[place - 1]


@dataclass(frozen=True)
class Neighbour:
    """Another symbol of the market: the bars from its first row of the month to its last, and those it lacks."""

    symbol: str
    reach: range
    lacks: tuple[range, ...]

    def goes_on(self, bar: int) -> bool | None:
        """Say whether it has a row in the bar; None where it is not known to live then."""
        if bar not in self.reach:
            return None
        return not any(bar in run for run in self.lacks)


@dataclass(frozen=True, slots=True)
class GapCause:
    """A gap, its cause and the evidence. Times are the open times of its first and last bar, UTC."""

    first: datetime
    last: datetime
    bars: int
    cause: Cause
    evidence: str
    healed: bool = False
    siblings: tuple[str, ...] = ()


@dataclass(frozen=True)
class MonthFacts:
    """All that is known of one symbol-month: what :func:`explain` judges by."""

    market: Market
    interval: Grid
    files: Sequence[Sibling]
    life: Life
    halts: HaltTable
    rejected: Collection[int] = field(default_factory=frozenset)
    listing_seen: bool = True
    halting: bool = True
    """Whether rows of the data type stop when trading does."""
    neighbours: Sequence[Neighbour] = ()
    off_grid: Collection[int] = field(default_factory=frozenset)
    """The missing bars beside one that holds a row off the grid besides its own."""
    empty: Collection[int] = field(default_factory=frozenset)
    """The bars of a price that were made of no sample, where others of the month are."""

    @cached_property
    def borders(self) -> list[int]:
        """Where causes may change: at life's ends, at halts, at what files lack, at rejected rows."""
        cuts = {
            expected_numbers(self.interval, limit, limit).start
            for span in self.life.spans
            for limit in (span.begin, span.end)
            if limit
        }
        for halt in self.halts.of(self.market):
            inside = expected_numbers(self.interval, halt.start, halt.end)
            cuts.update((inside.start, number_of(halt.end, self.interval)))
        for file in self.files:
            for lack in file.lacks or ():
                cuts.update((lack.start, lack.stop))
        for other in self.neighbours:
            for lack in other.lacks:
                cuts.update((lack.start, lack.stop))
        for bar in (*self.rejected, *self.off_grid, *self.empty):
            cuts.update((bar, bar + 1))
        return sorted(cuts)


def explain(run: range, month: MonthFacts) -> list[GapCause]:
    """Name the cause of one run of missing bars; a run with several causes is cut where they change.

    Parameters
    ----------
    run
        The numbers of the missing bars (see :mod:`cryptolake.archive.grid`).
    month
        The month's files, listed life, halts and rejected rows.

    Returns
    -------
    list[GapCause]
        Earliest first, together as long as the run.
    """
    return _joined((_cause_of(piece, month) for piece in _pieces(run, month)), month.interval)


def explain_healed(month: MonthFacts) -> list[GapCause]:
    """Name the bars that one file lacks and another one gave: archive gaps that are healed."""
    pieces = (
        (file, piece)
        for file in month.files
        for run in file.lacks or ()
        for piece in _pieces(run, month)
    )
    gaps = [gap for file, piece in pieces if (gap := _healed(file, piece, month))]
    gaps.sort(key=lambda gap: (gap.evidence, gap.first))
    return sorted(_joined(iter(gaps), month.interval), key=lambda gap: gap.first)


def _healed(file: Sibling, piece: range, month: MonthFacts) -> GapCause | None:
    """Return the gap of a file that a built file of the other partition fills; None where none does."""
    for giver in _covering(piece, month):
        other = giver.partition is not file.partition and giver.state == "built"
        if other and giver.has(piece.start):
            why = "rejected" if piece.start in month.rejected else "absent"
            lacking, giving = file.partition.value, giver.partition.value
            evidence = f"{why} in the {lacking} file, filled from the {giving} one"
            return _gap(piece, month, "archive_gap", evidence, [giver], healed=True)
    return None


def _cause_of(piece: range, month: MonthFacts) -> GapCause:
    outside = _outside(open_of(piece.start, month.interval), month.life)
    if outside:
        return _gap(piece, month, *outside)
    files = _covering(piece, month)
    having = [file for file in files if file.has(piece.start)]
    if having:
        evidence = (
            f"the {having[0].partition.value} file has it, and Silver is not built from it yet"
        )
        return _gap(piece, month, "archive_gap", evidence, having)
    fetchable = [
        file for file in files if file.lacks is None and file.state in ("stored", "listed")
    ]
    return _gap(piece, month, *_of_absent(piece, files, month), fetchable)


def _of_absent(piece: range, files: Sequence[Sibling], month: MonthFacts) -> tuple[Cause, str]:
    """Return the cause and the evidence for bars of the life that no file which was read has."""
    seen = sorted({file.partition.value for file in files if file.lacks is not None})
    read = f"absent in the {' and '.join(seen)} file" if seen else "no file that covers it was read"
    if any(bar in month.rejected for bar in _some(piece, month)):
        return "rejected", f"its rows were rejected (meta.rejects); {_unseen(files, month)[1]}"
    if piece.start in month.empty:
        return "not_published", f"its bar has no sample in the {' and '.join(seen)} file"
    if piece.start in month.off_grid:
        return "off_grid", f"{read}; the bar beside it holds a row off the grid besides its own"
    if month.halting:
        end = open_of(piece.stop, month.interval)
        halt = month.halts.covering(month.market, open_of(piece.start, month.interval), end)
        if halt:
            return "exchange_halt", f"{_named(halt)}; {read}"
    going, stopping = _others(piece, month)
    if len(stopping) >= _STOPS and not going:
        return "exchange_halt", f"{read}; {some_of(stopping)} stop in the same bars"
    cause, rest = _unseen(files, month)
    if cause == "not_pulled" and seen:  # one file lacks it, the other one may have it
        cause = "unknown"
    if cause != "not_published" or not seen:
        return cause, f"{read}; {rest}"
    return cause, f"{_alike(seen, read, rest)}; {_asked(going, stopping, month)}"


def _alike(seen: Sequence[str], read: str, rest: str) -> str:
    return "absent in the daily and the monthly file alike" if len(seen) > 1 else f"{read}; {rest}"


def _others(piece: range, month: MonthFacts) -> tuple[list[str], list[str]]:
    """Return the other symbols that have a row in the bars, and those that have none."""
    told = [(other.symbol, other.goes_on(piece.start)) for other in month.neighbours]
    return [name for name, goes in told if goes], [name for name, goes in told if goes is False]


def _asked(going: Sequence[str], stopping: Sequence[str], month: MonthFacts) -> str:
    """Say what other symbols tell of bars that are no halt."""
    if not month.halting:
        return "this data type goes on through halts"
    if going:
        return f"{some_of(going)} go on" if len(going) > 1 else f"{going[0]} goes on"
    if stopping:
        return f"{some_of(stopping)} stops in the same bars too, one is too few to tell a halt"
    return "no other symbol of the market is here to ask"


def _outside(first: datetime, life: Life) -> tuple[Cause, str] | None:
    """Return the cause and the evidence for a bar that opens outside the life; None for one inside."""
    if not life.spans or any(
        span.begin <= first and (span.end is None or first < span.end) for span in life.spans
    ):
        return None
    begin, end = life.begin, life.end
    if begin and first < begin:
        return "not_listed", f"before the first published row, {begin:%F %R}"
    for away, back in life.holes:
        if away <= first < back:
            return "not_listed", f"between two listings, {away:%F %R} to {back:%F %R}"
    if life.state == "interval_stopped":
        why = f"the files of this interval end {end:%F %R}; the symbol goes on in others"
        return "interval_stopped", why
    what = {
        "delivered": "after the contract's delivery",
        "discontinued": "after the archive stopped the data type, whose last row ended",
    }.get(life.state, "after the last published row, which ended")
    return "not_listed", f"{what} {end:%F %R}"


def _unseen(files: Sequence[Sibling], month: MonthFacts) -> tuple[Cause, str]:
    """Say where the files are that were not read, and the cause that they make it."""
    states = {file.state: file for file in files if file.lacks is None}

    def of(state: State) -> str:
        return f"the {states[state].partition.value} one"

    if "stored" in states:
        return "unknown", f"{of('stored')} is in Bronze and not built: lake.build"
    if "refused" in states:
        return "unknown", f"{of('refused')} could not be used: see meta.findings"
    if "quarantined" in states:
        return "unknown", f"{of('quarantined')} is in quarantine"
    if "listed" in states:
        how = "lake.heal" if any(file.lacks is not None for file in files) else "lake.pull"
        return "not_pulled", f"{of('listed')} is published and not here: {how}"
    if month.listing_seen:
        return "not_published", "no other is published"
    return "unknown", "the listing was not asked for others"


def _named(halt: KnownHalt) -> str:
    return f"known halt {halt.start:%F %T} to {halt.end:%F %T} ({', '.join(halt.sources)})"


def _covering(piece: range, month: MonthFacts) -> list[Sibling]:
    day = open_of(piece.start, month.interval).date()
    return [file for file in month.files if day in file.days]


def _some(piece: range, month: MonthFacts) -> Iterable[int]:
    """Walk the shorter of the piece and the rejected bars."""
    return piece if len(piece) < len(month.rejected) else (b for b in month.rejected if b in piece)


def _pieces(run: range, month: MonthFacts) -> Iterator[range]:
    """Cut a run at the borders of days and where causes may change."""
    first, end = open_of(run.start, month.interval), open_of(run.stop, month.interval)
    cuts = {run.start, run.stop}
    day = (first + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    while day < end:
        cuts.add(expected_numbers(month.interval, day, end).start)
        day += timedelta(days=1)
    borders = month.borders
    cuts.update(borders[bisect_left(borders, run.start) : bisect_right(borders, run.stop)])
    return (range(start, stop) for start, stop in pairwise(sorted(cuts)))


def _gap(
    piece: range,
    month: MonthFacts,
    cause: Cause,
    evidence: str,
    siblings: Iterable[Sibling] = (),
    *,
    healed: bool = False,
) -> GapCause:
    first, last, bars = as_gap(piece, month.interval)
    keys = tuple(file.key for file in siblings)
    return GapCause(first, last, bars, cause, evidence, healed, keys)


def _joined(gaps: Iterator[GapCause], interval: Grid) -> list[GapCause]:
    """Join neighbours that say the same."""
    joined: list[GapCause] = []
    for gap in gaps:
        before = joined[-1] if joined else None
        if (
            before
            and (before.cause, before.evidence, before.healed)
            == (gap.cause, gap.evidence, gap.healed)
            and number_of(before.last, interval) + 1 == number_of(gap.first, interval)
        ):
            joined[-1] = replace(
                before,
                last=gap.last,
                bars=before.bars + gap.bars,
                siblings=tuple(dict.fromkeys(before.siblings + gap.siblings)),
            )
        else:
            joined.append(gap)
    return joined
