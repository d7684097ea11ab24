"""Whole UTC days, and the days and months that archive files cover. Pure.

A :class:`Days` is a range of UTC days with both ends in; a :class:`Period` is the one day or the one
month that a file covers, written as the archive writes it (``2024-01-31``, ``2024-01``).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from cryptolake.archive.enums import Partition
from cryptolake.errors import InvalidQuery

DayLike = str | date | datetime
"""What may be passed for a day: ``"2024-03-15"``, ``"2024-03"``, ``"2024"``, a date or datetime."""

LATEST = "latest"
"""The end of a range that goes to the newest day that the archive has published."""

MONTH_IN_KEY = r"2[0-9]{3}-[0-9]{2}"
"""The pattern of a month in a key, for Python and for Polars. No other millennium: days of the year 1 or 9999 have no day
before or after them."""

DAY_IN_KEY = rf"{MONTH_IN_KEY}-[0-9]{{2}}"
"""The pattern of a day in a key."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True, slots=True)
class Days:
    """A range of whole UTC days, both ends included.

    Examples
    --------
    >>> days = Days(date(2024, 1, 30), date(2024, 2, 2))
    >>> len(days), [str(month) for month in days.months()]
    (4, ['2024-01', '2024-02'])
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            message = (
                f"the range {self.first} to {self.last} ends before it begins; "
                f"swap the ends: between('{self.last}', '{self.first}')."
            )
            raise InvalidQuery(message, what="dates", given=(self.first, self.last))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        day = self.first
        while day <= self.last:
            yield day
            day += _DAY

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def months(self) -> Iterator[Period]:
        """Yield the calendar months the range touches, first to last."""
        year, month = self.first.year, self.first.month
        while (year, month) <= (self.last.year, self.last.month):
            yield Period.month(year, month)
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)

    def clip(self, other: Days) -> Days | None:
        """Return the days both ranges have, or None.

        Examples
        --------
        >>> march = Period.parse("2024-03").days
        >>> march.clip(Days(date(2024, 3, 30), date(2024, 4, 2)))
        Days(first=datetime.date(2024, 3, 30), last=datetime.date(2024, 3, 31))
        """
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Days(first, last) if first <= last else None

    @property
    def begin(self) -> datetime:
        """Midnight UTC at which the range begins (included)."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Midnight UTC at which the range ends (excluded)."""
        after = self.last + _DAY
        return datetime(after.year, after.month, after.day, tzinfo=UTC)


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """The day or the month that one archive file covers.

    Examples
    --------
    >>> Period.parse("2024-02").days
    Days(first=datetime.date(2024, 2, 1), last=datetime.date(2024, 2, 29))
    >>> str(Period.parse("2024-02-29")), Period.parse("2024-02-29").partition.value
    ('2024-02-29', 'daily')
    """

    first: date
    partition: Partition

    @classmethod
    def day(cls, day: date) -> Period:
        """Return the period of one day."""
        return cls(day, Partition.DAILY)

    @classmethod
    def month(cls, year: int, month: int) -> Period:
        """Return the period of one calendar month."""
        return cls(date(year, month, 1), Partition.MONTHLY)

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Period:
        """Read ``YYYY-MM`` or ``YYYY-MM-DD``, strictly.

        Raises
        ------
        ValueError
            The text is neither, or names no calendar day (the archive has such keys).
        """
        if re.fullmatch(r"\d{4}-\d{2}", text, re.ASCII):
            return cls(date.fromisoformat(f"{text}-01"), Partition.MONTHLY)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return cls(date.fromisoformat(text), Partition.DAILY)
        message = f"{text!r} is neither YYYY-MM nor YYYY-MM-DD"
        raise ValueError(message)

    @property
    def days(self) -> Days:
        """The days the period covers."""
        if self.partition is Partition.DAILY:
            return Days(self.first, self.first)
        length = calendar.monthrange(self.first.year, self.first.month)[1]
        return Days(self.first, self.first.replace(day=length))

    @property
    def of_month(self) -> Period:
        """The month the period lies in (itself, when it is one)."""
        return Period(self.first.replace(day=1), Partition.MONTHLY)

    def __str__(self) -> str:
        day = self.first.isoformat()
        return day if self.partition is Partition.DAILY else day[:7]


def parse_days(first: DayLike, last: DayLike | None = None) -> Days:
    """Read a range of days: a month or a year stands for all its days; both ends are included.

    ========================  ==========================  =========================
    first                     last                        the range
    ========================  ==========================  =========================
    ``"2024-03"``             left out                    2024-03-01 to 2024-03-31
    ``"2024"``                left out                    2024-01-01 to 2024-12-31
    ``"2024-01"``             ``"2024-03"``               2024-01-01 to 2024-03-31
    ``"2024-01-15"``          ``date(2024, 1, 20)``       2024-01-15 to 2024-01-20
    ========================  ==========================  =========================

    A datetime stands for the UTC day that it begins; one without a zone is taken as UTC.

    Raises
    ------
    InvalidQuery
        A text that is no day, a datetime other than midnight UTC, or a range that ends before it begins.

    Examples
    --------
    >>> parse_days("2024-02")
    Days(first=datetime.date(2024, 2, 1), last=datetime.date(2024, 2, 29))
    """
    begin = _parse_day(first)
    end = begin if last is None else _parse_day(last)
    if last is not None and begin.first > end.last:
        message = (
            f"the range {first} to {last} ends before it begins; "
            f"swap the ends: between({_typed(last)}, {_typed(first)})."
        )
        raise InvalidQuery(message, what="dates", given=(first, last))
    return Days(begin.first, end.last)


def _typed(day: DayLike) -> str:
    """Return what makes the same end, as it was typed: a month stays a month, a date a date."""
    return repr(day).replace("datetime.", "")


def _parse_day(day: DayLike) -> Days:
    if isinstance(day, datetime):
        instant = _midnight(day)
        return Days(instant, instant)
    if isinstance(day, date):
        return Days(day, day)
    if isinstance(day, str):
        try:
            if re.fullmatch(r"\d{4}", day, re.ASCII):
                return Days(date(int(day), 1, 1), date(int(day), 12, 31))
            return Period.parse(day).days
        except ValueError:
            pass
    if day == LATEST:
        message = (
            f"{LATEST!r} is the end of a range, not its start: between('2024-01', {LATEST!r})."
        )
        raise InvalidQuery(message, what="dates", given=day)
    why, near = _nearest_day(str(day))  # what is no text either comes here too
    message = (
        f"cannot read {day!r} as a day{why}; write '2024', '2024-03', '2024-03-15', or pass a date."
    )
    message += f" The nearest is {near!r}." if near else ""
    raise InvalidQuery(message, what="dates", given=day, nearest=near)


_NEARLY_A_DAY = re.compile(r"\s*(\d{4})[-/.]?(\d{1,2})(?:[-/.]?(\d{1,2}))?(?!\d)", re.ASCII)


def _nearest_day(text: str) -> tuple[str, str | None]:
    """Return what is wrong with the numbers of a text that is no day, and the day or month that comes nearest.

    Examples
    --------
    >>> _nearest_day("2024-02-31"), _nearest_day("2024-1-5"), _nearest_day("soon")
    ((' (2024-02 has 29 days)', '2024-02-29'), ('', '2024-01-05'), ('', None))
    """
    found = _NEARLY_A_DAY.match(text)
    if not found:
        return "", None
    year, month = max(1, int(found[1])), min(max(1, int(found[2])), 12)
    near = f"{year:04}-{month:02}"
    if found[3] is None:
        return "", near
    day, length = int(found[3]), calendar.monthrange(year, month)[1]
    why = f" ({near} has {length} days)" if day > length and int(found[2]) == month else ""
    return why, f"{near}-{min(max(1, day), length):02}"


def _midnight(moment: datetime) -> date:
    """Return the UTC day that a moment begins; any other time of day is refused, not dropped."""
    instant = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if instant == datetime(instant.year, instant.month, instant.day, tzinfo=UTC):
        return instant.date()
    given, near = moment.isoformat(" "), instant.date()
    if instant.utcoffset() != moment.utcoffset() and moment.tzinfo is not None:
        given += f" is {instant.replace(tzinfo=None).isoformat(' ')} UTC, which"
        near = moment.date() if moment.time() == time() else near
    message = (
        f"{given} is not midnight UTC, and midnight elsewhere is another time: a query takes whole UTC days and "
        f"drops no time of day; pass '{near}' for that day, and filter its rows by time."
    )
    raise InvalidQuery(message, what="dates", given=moment, nearest=near)


_STRETCH = re.compile(r"0*([1-9][0-9]{0,4})(d|w|mo|y)", re.ASCII)


def parse_stretch(text: str) -> str:
    """Read how far back a range goes: a number of days, weeks, calendar months or years.

    Raises
    ------
    InvalidQuery
        Another unit, or no number; the message says what comes nearest.

    Examples
    --------
    >>> parse_stretch("90d"), parse_stretch("3mo"), parse_stretch("1M")
    ('90d', '3mo', '1mo')
    >>> parse_stretch("36h")
    Traceback (most recent call last):
    ...
    cryptolake.errors.InvalidQuery: cannot read '36h' as a number of days; write '90d', '12w', '3mo' or '1y'. \
The nearest is '2d'.
    """
    if isinstance(text, str):
        found = _STRETCH.fullmatch(re.sub(r"M$", "mo", text))
        if found:
            return f"{found[1]}{found[2]}"
    near = _nearest_stretch(str(text))
    message = (
        f"cannot read {text!r} as a number of days; write '90d', '12w', '3mo' or '1y'. "
        f"The nearest is {near!r}."
    )
    raise InvalidQuery(message, what="stretch", given=text, nearest=near)


def _nearest_stretch(text: str) -> str:
    found = re.search(r"(\d{1,5})\D{0,9}?\s*([a-zA-Z]*)", text)
    if not found:
        return "90d"
    number, unit = max(1, int(found[1])), found[2].lower()
    if unit in ("h", "hour", "hours"):
        return f"{-(-number // 24)}d"
    if unit in ("m", "min", "s"):
        return "1d"
    return (
        f"{number}{'mo' if unit.startswith('mo') else unit[:1] if unit[:1] in ('w', 'y') else 'd'}"
    )


def days_back(stretch: str, newest: date) -> Days:
    """Return the days of a stretch that ends with a day, itself included; ``mo`` and ``y`` are of the calendar.

    Examples
    --------
    >>> days_back("90d", date(2024, 3, 30)).first, days_back("1mo", date(2024, 2, 29)).first
    (datetime.date(2024, 1, 1), datetime.date(2024, 2, 1))
    """
    number, unit = int(stretch.rstrip("dwmoy")), stretch.lstrip("0123456789")
    after = newest + _DAY
    if unit in ("d", "w"):
        ordinal = after.toordinal() - number * (7 if unit == "w" else 1)
        return Days(date.fromordinal(max(1, ordinal)), newest)
    months = after.year * 12 + after.month - 1 - number * (12 if unit == "y" else 1)
    if months < 12:
        return Days(date.min, newest)
    year, month = divmod(months, 12)
    length = calendar.monthrange(year, month + 1)[1]
    return Days(date(year, month + 1, min(after.day, length)), newest)


_UNITS = {
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}


def parse_duration(length: str | timedelta | None) -> timedelta:
    """Read a length of time: a number and a unit (``us ms s m h d w``), or a timedelta; never negative.

    Raises
    ------
    InvalidQuery
        It is no such text, or below zero.

    Examples
    --------
    >>> parse_duration("15m"), parse_duration("1d")
    (datetime.timedelta(seconds=900), datetime.timedelta(days=1))
    >>> parse_duration("1 day")
    Traceback (most recent call last):
    ...
    cryptolake.errors.InvalidQuery: cannot read '1 day' as a duration; write '15m', '8h', '1d' ...
    """
    if isinstance(length, timedelta) and length >= timedelta(0):
        return length
    match = re.fullmatch(r"(\d{1,9})(us|ms|[smhdw])", str(length), re.ASCII)
    if match is None or not isinstance(length, str):
        message = (
            f"cannot read {length!r} as a duration; write '15m', '8h', '1d' (a number and one of "
            f"{', '.join(_UNITS)}), or pass a timedelta that is not negative."
        )
        raise InvalidQuery(message, what="duration", given=length)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def format_days(days: Days) -> tuple[str, str]:
    """Return the two ends as ISO text, the form that :func:`parse_days` reads back.

    Examples
    --------
    >>> format_days(parse_days("2024-02"))
    ('2024-02-01', '2024-02-29')
    """
    return days.first.isoformat(), days.last.isoformat()
