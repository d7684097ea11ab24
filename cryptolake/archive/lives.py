"""Lives: when a symbol, or one interval of it, is published, as spans of time with their holes. Pure.

One rule for all who ask: ``universe(listed_on=)``, ``lake.symbols(spans=True)``, ``lake.quality``,
``lake.gaps`` and a plan's missing periods. What goes in is what the listing says (:class:`Published`) and
how far the archive is (:class:`Reach`); what rows tell is added by :func:`refined`.

==================  =================================================================================
state               when
==================  =================================================================================
``live``            its files go on as far as the archive's do, or may still come
``delisted``        the archive goes on, and this symbol does not; names with ``SETTLED`` too
``delivered``       a dated contract whose delivery has passed; it ends at 08:00 UTC of that day
``interval_stopped``  the files of this interval end, and other intervals of the symbol go on
``discontinued``    its files go on to the last day of a data type that the archive stopped
``unknown``         no file is known
==================  =================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

from cryptolake.archive.periods import Days, Period

State = Literal["live", "delisted", "delivered", "interval_stopped", "discontinued", "unknown"]
"""How a life ends, or that it does not."""

STATES: tuple[State, ...] = (
    *("live", "delisted", "delivered"),
    *("interval_stopped", "discontinued", "unknown"),
)

LATE = timedelta(days=3)
"""How far one symbol's daily files may trail those of the others and still go on."""

MONTH_LATE = timedelta(days=10)
"""How long after a month ends its monthly files may still come."""

ENDED = timedelta(days=14)
MONTHLY_ENDED = timedelta(days=75)
"""How far an archive's newest day may be behind the day it was asked before it counts as one that ended: a
mirror that is no longer kept, or a sample. The second is for types with monthly files only."""

_DELIVERY = time(8, tzinfo=UTC)
_DAY = timedelta(days=1)


class Span(NamedTuple):
    """One uninterrupted part of a life: its first instant, and the first after it (None: it goes on), UTC."""

    begin: datetime
    end: datetime | None
    begin_known: bool = True
    """Whether a daily file (or a row) says the day; else only the month is known, and ``begin`` is its first."""
    end_known: bool = True
    """The same of the last day."""

    @property
    def first(self) -> date:
        """The first UTC day."""
        return self.begin.date()

    @property
    def last(self) -> date | None:
        """The last UTC day; None where it goes on."""
        return (self.end - timedelta(microseconds=1)).date() if self.end else None

    def meets(self, days: Days) -> bool:
        """Say whether some of the days lie in the span."""
        return self.begin < days.end and (self.end is None or self.end > days.begin)


@dataclass(frozen=True, slots=True)
class Life:
    """The spans in which a symbol is published, earliest first, and how the last one ends."""

    spans: tuple[Span, ...] = ()
    state: State = "unknown"
    newest: date | None = None
    """The last UTC day that a file is known of, also where the life goes on."""

    @property
    def begin(self) -> datetime | None:
        """The first published instant; None where nothing is known."""
        return self.spans[0].begin if self.spans else None

    @property
    def end(self) -> datetime | None:
        """The first instant after the life; None where it goes on, or nothing is known."""
        return self.spans[-1].end if self.spans else None

    @property
    def holes(self) -> list[tuple[datetime, datetime]]:
        """The times between two spans: delisted, and listed again later."""
        return [(a.end, b.begin) for a, b in pairwise(self.spans) if a.end]

    def meets(self, days: Days) -> bool:
        """Say whether the symbol is published on some of the days.

        Examples
        --------
        >>> may, july = (Period.parse(text).days for text in ("2022-05", "2022-07"))
        >>> life = Life((Span(may.begin, may.end), Span(july.begin, None)), "live")
        >>> [life.meets(Period.parse(text).days) for text in ("2022-05-31", "2022-06", "2023")[:2]]
        [True, False]
        """
        return any(span.meets(days) for span in self.spans)


class MonthFiles(NamedTuple):
    """What is published of a calendar month: its monthly file, and the first and last of its daily ones."""

    monthly: bool = False
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Published:
    """What the listing says of a symbol (and an interval).

    ``months`` are by the first day of the month. ``years`` are those whose daily files are known (None: all,
    as where there is no daily partition), and ``followed`` those of them after which daily files follow;
    ``first_daily`` is the first daily file ever.
    """

    months: Mapping[date, MonthFiles] = field(default_factory=dict)
    first_daily: date | None = None
    years: frozenset[int] | None = None
    followed: frozenset[int] = frozenset()

    @property
    def goes_on(self) -> bool:
        """Whether daily files follow after the known years."""
        return bool(self.years) and max(self.years or ()) in self.followed

    @property
    def covered(self) -> list[date]:
        """The months of which something is published, in order."""
        firsts = {self.first_daily.replace(day=1)} if self.first_daily else set()
        return sorted(firsts | self.months.keys())

    def knows(self, month: date) -> bool:
        """Say whether the daily files of a month are known."""
        return self.years is None or month.year in self.years

    def first_day(self, month: date) -> date:
        """Return the first published day of a covered month."""
        first = self.months.get(month, MonthFiles()).first
        if self.first_daily and self.first_daily.replace(day=1) == month:
            first = self.first_daily
        return first or month

    def last_day(self, month: date) -> date:
        """Return the last published day of a covered month."""
        files = self.months.get(month, MonthFiles())
        if files.last or not files.monthly:
            return files.last or self.first_daily or month
        return _month_end(month)

    def knows_first(self, month: date) -> bool:
        """Say whether a daily file tells on which day a covered month begins to be published."""
        return self.months.get(month, MonthFiles()).first is not None or (
            self.first_daily is not None and self.first_daily.replace(day=1) == month
        )

    def knows_last(self, month: date) -> bool:
        """Say whether a daily file tells on which day a covered month ends to be published."""
        return self.months.get(month, MonthFiles()).last is not None

    def holes(self) -> list[tuple[date, date]]:
        """Return the pairs of covered months with at least one whole month between them."""
        return [(a, b) for a, b in pairwise(self.covered) if _after(a) < b]

    def years_to_ask(self, within: Days | None = None) -> set[int]:
        """Return the years whose daily files decide where the life ends and breaks, and are not known.

        Parameters
        ----------
        within
            Only holes that meet these days matter; all where None.
        """
        asked = set[date]()
        years = self._years_of_the_end()
        for before, after in self.holes():
            if within is None or Days(before, _month_end(after)).clip(within):
                asked.update(_months(before, after))
        return years | {month.year for month in asked if not self.knows(month)}

    def _years_of_the_end(self) -> set[int]:
        covered = self.covered
        if not covered or self.goes_on or self.years is None:
            return set()
        last = covered[-1]
        if not self.months.get(last, MonthFiles()).monthly:
            return set(range(last.year, max(self.years, default=last.year) + 1)) - self.years
        if last.year not in self.years:
            return {last.year}
        return {last.year + 1} - self.years if last.year in self.followed else set()


class Reach(NamedTuple):
    """How far the archive is, of a market and data type: its newest published day and monthly file."""

    day: date | None = None
    month: date | None = None
    lived: frozenset[date] = frozenset()
    """The months of which some symbol has files."""

    @classmethod
    def of(cls, published: Iterable[Published]) -> Reach:
        """Return how far some symbols together are.

        Examples
        --------
        >>> march = date(2024, 3, 1)
        >>> Reach.of([Published({march: MonthFiles(monthly=True, last=date(2024, 3, 8))})]).day
        datetime.date(2024, 3, 31)
        """
        everything = list(published)
        lived = frozenset(month for one in everything for month in one.covered)
        monthly = [m for one in everything for m, files in one.months.items() if files.monthly]
        days = [one.last_day(one.covered[-1]) for one in everything if one.covered]
        days += [_month_end(month) for month in monthly]
        return cls(max(days, default=None), max(monthly, default=None), lived)

    def together(self, other: Reach) -> Reach:
        """Return how far both are."""
        days = [day for day in (self.day, other.day) if day]
        months = [month for month in (self.month, other.month) if month]
        return Reach(max(days, default=None), max(months, default=None), self.lived | other.lived)

    def goes_on(self, last: date, today: date, *, by_day: bool) -> bool:
        """Say whether a symbol that ends on a day ends only because the archive does not go further yet.

        Parameters
        ----------
        last
            Its last published day.
        today
            The UTC day of the listing.
        by_day
            Whether a daily file says so, rather than a monthly one alone.

        Examples
        --------
        >>> reach = Reach(date(2024, 3, 31), date(2024, 3, 1))
        >>> reach.goes_on(date(2024, 3, 8), date(2026, 1, 1), by_day=True)
        False
        >>> reach.goes_on(date(2024, 3, 31), date(2026, 1, 1), by_day=False)
        True
        """
        if last >= today - LATE or self.day is None:
            return True
        if by_day:
            return last >= self.day - LATE
        # Where only daily files go on, the month two before theirs is due all the same.
        due = max(self.month or date.min, _before(_before(self.day)))
        if today - _month_end(due) <= MONTH_LATE:
            due = _before(due)
        return last >= _month_end(due)


def due_day(newest: date | None, asked: date, today: date, *, monthly: bool = False) -> date:
    """Return the last day that an archive is expected to have files of, which lakes are measured by.

    Yesterday, for one that goes on (the last month that is out, of a type with monthly files only); for one
    that had ended when it was asked, its newest day: nobody is behind what will not come.

    Parameters
    ----------
    newest
        The newest published day; None where it is not known.
    asked
        The UTC day on which the archive said so.
    today
        The UTC day to count from.
    monthly
        Whether the type has monthly files only.

    Examples
    --------
    >>> [due_day(date(2025, 2, 2), date(2025, 2, d), date(2026, 11, 28)) for d in (4, 28)]
    [datetime.date(2026, 11, 27), datetime.date(2025, 2, 2)]
    """
    if newest and asked - newest > (MONTHLY_ENDED if monthly else ENDED):
        return newest
    return _month_end(_before(today - MONTH_LATE)) if monthly else today - _DAY


def settled_without_asking(published: Published, today: date) -> bool:
    """Say whether a life's end is plain from its own files: they are as new as any file can be, or go on."""
    covered = published.covered
    if published.goes_on or not covered:
        return True
    if published.months.get(covered[-1], MonthFiles()).last is None:
        return _month_end(covered[-1]) >= _before((today - MONTH_LATE).replace(day=1))
    return published.last_day(covered[-1]) >= today - LATE


def life_of(
    published: Published,
    reach: Reach,
    today: date,
    *,
    expiry: date | None = None,
    settled: bool = False,
    ends: date | None = None,
) -> Life:
    """Return the life that files tell of.

    Parameters
    ----------
    published
        What the listing says.
    reach
        How far the archive is; a hole counts only where others are published in all of its months.
    today
        The UTC day of the listing.
    expiry
        The day that a dated contract is named after.
    settled
        Whether the name was retired with ``SETTLED``.
    ends
        The last day of a data type that the archive stopped.
    """
    covered = published.covered
    if not covered:
        return Life()
    begins = [covered[0]]
    spans = []
    for left, back in _cuts(published, reach):
        end = Days(published.last_day(left), published.last_day(left)).end
        spans.append(_span(published, begins[-1], end, end_known=published.knows_last(left)))
        begins.append(back)
    last = published.last_day(covered[-1])
    by_day = published.knows_last(covered[-1])
    goes_on = published.goes_on or reach.goes_on(last, today, by_day=by_day)
    state: State = "live" if goes_on else "delisted"
    if expiry and expiry <= (reach.day or today) and (goes_on or last >= expiry - LATE):
        state = "delivered"
    elif settled and not published.goes_on:
        state = "delisted"
    elif ends and not published.goes_on and (goes_on or last >= ends - LATE):
        state = "discontinued"
    ended = None if state == "live" else Days(last, last).end
    if ended and expiry and state == "delivered":
        ended = min(ended, datetime.combine(expiry, _DELIVERY))
    known = by_day or state in ("live", "delivered")
    spans.append(_span(published, begins[-1], ended, end_known=known))
    return Life(tuple(spans), state, None if published.goes_on else last)


def _cuts(published: Published, reach: Reach) -> list[tuple[date, date]]:
    """Return the holes in which others were published: the months before and after each."""
    return [
        (a, b)
        for a, b in published.holes()
        if all(published.knows(month) for month in _months(a, b))
        and reach.lived.issuperset(_months(_after(a), _before(b)))
    ]


def _span(published: Published, month: date, end: datetime | None, *, end_known: bool) -> Span:
    """Return the span that begins in a covered month."""
    day = published.first_day(month)
    begin = Days(day, day).begin
    if end is not None and end <= begin:
        end = begin + _DAY
    return Span(begin, end, published.knows_first(month), end_known)


def with_interval_stopped(life: Life, sibling: Life) -> Life:
    """Return the life of an interval, named as stopped where another interval of the symbol goes on.

    Examples
    --------
    >>> march, april = (Period.parse(text).days for text in ("2024-03", "2024-05"))
    >>> week = Life((Span(march.begin, march.end),), "delisted")
    >>> with_interval_stopped(week, Life((Span(march.begin, None),), "live")).state
    'interval_stopped'
    """
    if life.state != "delisted" or not sibling.spans or life.end is None:
        return life
    if sibling.end is None or sibling.end > life.end + timedelta(days=31):
        return replace(life, state="interval_stopped")
    return life


def refined(life: Life, month: Days, begin: datetime | None, end: datetime | None) -> Life:
    """Return a life whose spans begin and end where the rows of their first and last day do.

    A life ends later than its files say where rows do, but for a contract that was delivered.

    Parameters
    ----------
    life
        By the days of files.
    month
        The days of a month whose rows were read.
    begin, end
        When its first row opens, and the instant at which its last row ends.

    Examples
    --------
    >>> march = Period.parse("2024-03").days
    >>> life = Life((Span(march.begin, march.end, True, False),), "delisted")
    >>> refined(life, march, None, datetime(2024, 3, 8, 3, tzinfo=UTC)).end.isoformat()
    '2024-03-08T03:00:00+00:00'
    """
    spans = [_refined(span, month, begin, end) for span in life.spans]
    if end and spans and life.end and life.state != "delivered" and end > life.end >= month.begin:
        spans[-1] = spans[-1]._replace(end=end)
    return replace(life, spans=tuple(spans))


def _refined(span: Span, month: Days, begin: datetime | None, end: datetime | None) -> Span:
    if begin and span.first in month:
        limit = span.begin + _DAY if span.begin_known else month.end
        if span.begin <= begin < limit:
            span = span._replace(begin=begin)
    if end and span.end and span.last in month:
        limit = span.end - _DAY if span.end_known else month.begin
        if limit < end <= span.end:
            span = span._replace(end=end)
    return span


def ended_at(life: Life, end: datetime) -> Life:
    """Return a life that ended earlier (or later) than its files do: rows without a trade are no life."""
    spans = tuple(span for span in life.spans if span.begin < end)
    if not spans:
        begin = life.begin or end
        return Life((Span(min(begin, end), end),), "delisted", life.newest)
    state: State = "delisted" if life.state in ("live", "unknown") else life.state
    return Life((*spans[:-1], Span(spans[-1].begin, end)), state, life.newest)


def _month_end(month: date) -> date:
    return Period.month(month.year, month.month).days.last


def _after(month: date) -> date:
    return _month_end(month) + _DAY


def _before(month: date) -> date:
    return (month.replace(day=1) - _DAY).replace(day=1)


def _months(first: date, last: date) -> list[date]:
    """Return the months from one to another, both included; none where they are in the wrong order."""
    if first > last:
        return []
    return [month.first for month in Days(first, last).months()]
