"""What a profile is narrowed by: a range or chosen values a column, from a page or from code, to SQL. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptolake.errors import InvalidQuery
from cryptolake.readers.profile_bins import Edge, number_text, time_text
from cryptolake.readers.view_sql import literal, quoted

Kind = Literal["number", "time", "words"]
"""What a column holds, as far as its bins and filters go."""

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Filter:
    """What one column's values must be: within a range, one of some values, or missing.

    ``low`` is in the range, and ``high`` where it is ``closed``. Times are microseconds since 1970.
    """

    column: str
    kind: Kind
    low: Edge | None = None
    high: Edge | None = None
    closed: bool = False
    values: tuple[str | None, ...] = ()

    @property
    def sql(self) -> str:
        r"""The condition.

        Examples
        --------
        >>> Filter("close", "number", 1.0, 2.0).sql
        '"close" >= 1.0 and "close" < 2.0'
        >>> Filter("side", "words", values=("BUY", None)).sql
        '("side" in (\'BUY\') or "side" is null)'
        """
        name = quoted(self.column)
        if self.values:
            named = [literal(value) for value in self.values if value is not None]
            parts = [f"{name} in ({', '.join(named)})"] if named else []
            parts += [f"{name} is null"] if None in self.values else []
            return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"
        below = "<=" if self.closed else "<"
        ends = ((">=", self.low), (below, self.high))
        parts = [f"{name} {sign} {self._literal(end)}" for sign, end in ends if end is not None]
        return " and ".join(parts)

    @property
    def label(self) -> str:
        """The condition in words.

        Examples
        --------
        >>> (
        ...     Filter("close", "number", 1.0, None).label,
        ...     Filter("side", "words", values=(None,)).label,
        ... )
        ('close ≥ 1', 'side is null')
        """
        if self.values:
            return f"{self.column} is {' or '.join(value or 'null' for value in self.values)}"
        text = time_text if self.kind == "time" else number_text
        low = f" ≥ {text(self.low)}" if self.low is not None else ""  # type: ignore[arg-type]
        high = f" {'≤' if self.closed else '<'} {text(self.high)}" if self.high is not None else ""  # type: ignore[arg-type]
        return f"{self.column}{low}{' and' if low and high else ''}{high}"

    def _literal(self, value: Edge) -> str:
        if self.kind != "time":
            return repr(value)
        return f"timestamptz {literal((_EPOCH + timedelta(microseconds=int(value))).isoformat())}"


def parse_filter(given: Any, kinds: Mapping[str, Kind]) -> Filter:
    """Return a filter of what a page or a caller gave: ``column``, and ``low``, ``high``, ``closed`` or ``values``.

    Parameters
    ----------
    given
        Ends may be numbers, times, or text that was typed: ``"2025-01-03"`` is that whole day, so that as the upper end
        it is in the range.
    kinds
        The columns there are, and what each holds.

    Raises
    ------
    InvalidQuery
        There is no such column, an end is no number or time, or nothing is asked of the column.

    Examples
    --------
    >>> parse_filter(
    ...     {"column": "t", "low": "2025-01-03", "high": "2025-01-03"}, {"t": "time"}
    ... ).label
    't ≥ 2025-01-03 and < 2025-01-04'
    """
    if not isinstance(given, Mapping):
        message = f"a filter is an object with a column and its ends or values, not {given!r}."
        raise InvalidQuery(message, given=given)
    column = str(given.get("column"))
    kind = kinds.get(column)
    if kind is None:
        message = f"there is no column {column!r} here; the columns are {', '.join(kinds)}."
        raise InvalidQuery(message, given=column, allowed=tuple(kinds))
    values = given.get("values")
    if values or (values is not None and kind == "words"):
        return _of_values(column, kind, values)
    if kind == "words":
        message = f"{column} holds words: give the values to keep, not a range."
        raise InvalidQuery(message, given=column)
    low, _ = _end(column, kind, given.get("low"))
    high, whole_day = _end(column, kind, given.get("high"))
    if low is None and high is None:
        message = f"say from or to which value of {column}."
        raise InvalidQuery(message, given=column)
    if whole_day and high is not None:
        high = _moment(column, high + _DAY // _MICROSECOND)
    return Filter(column, kind, low, high, bool(given.get("closed")) and not whole_day)


def _of_values(column: str, kind: Kind, values: Any) -> Filter:
    chosen = (
        tuple(None if value is None else str(value) for value in values) if _is_list(values) else ()
    )
    if not chosen or (kind != "words" and chosen != (None,)):
        message = f"say which values of {column} to keep; of numbers and times give low and high."
        raise InvalidQuery(message, given=column)
    return Filter(column, kind, values=chosen)


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str)


def _end(column: str, kind: Kind, given: Any) -> tuple[Edge | None, bool]:
    """Return an end of a range, and whether it is a day that was given as such."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return None, False
    try:
        if kind == "time" and isinstance(given, str | datetime):
            return _time(given)
        value = given if type(given) is int else float(given)
        _ = int(float(value))
    except (TypeError, ValueError, OverflowError):  # infinity is no end either
        what = "a UTC time (2025-01-03, 2025-01-03 12:30)" if kind == "time" else "a number"
        message = f"{given!r} is not {what}, which an end of {column} is."
        raise InvalidQuery(message, given=given) from None
    return (_moment(column, int(value)), False) if kind == "time" else (value, False)


def _moment(column: str, microseconds: Edge) -> int:
    """Return microseconds since 1970 where there is such a time.

    Raises
    ------
    InvalidQuery
        There is none: years have four digits.
    """
    try:
        _ = _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        message = f"an end of {column} is a time of the years 1 to 9999."
        raise InvalidQuery(message, given=microseconds) from None
    return int(microseconds)


def _time(given: str | datetime) -> tuple[int, bool]:
    text = given.strip() if isinstance(given, str) else ""
    when = given if isinstance(given, datetime) else datetime.fromisoformat(text)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - _EPOCH) // _MICROSECOND, len(text) == len("2025-01-03")
