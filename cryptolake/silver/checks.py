"""Row rules: each row of a month is held to its file's period and to the checks of its schema.

A row that breaks a ``reject`` rule leaves the frame and goes to ``meta.rejects``; one that breaks a
``flag`` rule stays and is counted in ``meta.findings``. Beside the schema's own checks, four rules hold
everywhere: ``time_outside_period``, ``impossible_time`` (a time beside it that Python does not have),
``not_finite`` (a number that is NaN or infinite) and ``wrong_symbol`` (a symbol column that names another symbol
than the file does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.schemas import FLOATS, Check, Schema
from cryptolake.silver.parse import FILE, LINE
from cryptolake.silver.spans import FileSpan, file_spans

if TYPE_CHECKING:
    from cryptolake.archive.enums import Interval
    from cryptolake.archive.periods import Period

_RULE = "_rule"
_BEGIN, _END = (
    (day - date(1970, 1, 1)) // timedelta(microseconds=1)
    for day in (date(1, 1, 2), date(9999, 12, 31))
)
"""Microseconds from 1970 to the second day of the year 1 and to the last one of 9999: between these, Python has
each time in each time zone."""
_TIME = pl.Datetime("us", "UTC")


class Rule(NamedTuple):
    """What is true of rows that break a rule, and a cheaper way to see that none does, where there is one.

    ``broken`` is made when it is needed: that takes longer than ``kept`` does. ``kept`` may say False of a frame
    that breaks nothing: then each row is looked at.
    """

    broken: Callable[[], pl.Expr]
    kept: Callable[[pl.DataFrame], bool] | None = None


class Flag(NamedTuple):
    """Rows of one file that break a ``flag`` rule and stay."""

    file: int
    rule: str
    rows: int
    first: datetime
    last: datetime


@dataclass
class CheckedRows:
    """A frame held to the rules: what stays, what is rejected (file, line, rule), what is flagged.

    ``spans`` are those of the files, where all rows stay.
    """

    frame: pl.DataFrame
    rejected: pl.DataFrame
    flags: list[Flag] = field(default_factory=list)
    spans: list[FileSpan] | None = None


@dataclass(frozen=True)
class RowContext:
    """What rows are held to: the schema, the interval and symbol, and each file's period."""

    schema: Schema
    interval: Interval | None
    symbol: str
    periods: Sequence[Period]

    @cached_property
    def bounds(self) -> list[tuple[datetime, datetime]]:
        """Per file, the first instant its rows may have and the first they may not."""
        early, late = (
            timedelta(seconds=seconds) for seconds in self.schema.tolerance(self.interval)
        )
        days = [period.days for period in self.periods]
        return [(each.begin - early, each.end + late) for each in days]


def check(frame: pl.DataFrame, context: RowContext) -> CheckedRows:
    """Hold every row to the rules; one pass when all is in order, as it nearly always is."""
    schema = context.schema
    spans = file_spans(frame, schema.time) if _all_near(frame[schema.time], context) else None
    rejecting = {**_always(frame, context, spans), **_of(schema.checks, "reject", context)}
    flagging = _of(schema.checks, "flag", context)
    found = _broken(frame, {**rejecting, **flagging})
    rejected = pl.DataFrame(schema={FILE: pl.UInt32, LINE: pl.UInt32, _RULE: pl.String})
    if not found:
        return CheckedRows(frame, rejected, spans=spans)
    hits = [name for name in rejecting if name in found]
    if hits:
        rule = pl.coalesce(
            *(pl.when(rejecting[name].broken()).then(pl.lit(name)) for name in hits),
            pl.lit(None, pl.String),
        )
        marked = frame.with_columns(rule.alias(_RULE))
        rejected = marked.filter(pl.col(_RULE).is_not_null()).select(FILE, LINE, _RULE)
        frame = marked.filter(pl.col(_RULE).is_null()).drop(_RULE)
    flags = [
        Flag(file, name, rows, first, last)
        for name in flagging
        if name in found
        for file, rows, first, last in frame.filter(flagging[name].broken())
        .group_by(FILE)
        .agg(
            pl.len(),
            pl.col(schema.time).min().alias("first"),
            pl.col(schema.time).max().alias("last"),
        )
        .sort(FILE)
        .rows()
    ]
    return CheckedRows(frame, rejected, flags)


def _broken(frame: pl.DataFrame, rules: Mapping[str, Rule]) -> set[str]:
    """Return the rules that some row breaks."""
    if not frame.height:
        return set()
    open_ = {name: rule for name, rule in rules.items() if not (rule.kept and rule.kept(frame))}
    if not open_:
        return set()
    seen = frame.select(rule.broken().any().alias(name) for name, rule in open_.items())
    return {name for name in open_ if seen[name].item()}


def reason(rule: str, schema: Schema) -> str:
    """Say in words what a rule demands, for ``meta.rejects``.

    Examples
    --------
    >>> from cryptolake.archive.schemas import schema_of
    >>> reason("high_below_low", schema_of("spot", "klines"))
    'breaks low <= high'
    """
    always = {
        "time_outside_period": f"{schema.time} lies outside the period of the file",
        "impossible_time": f"{', '.join(_other_times(schema))} does not lie between 0001-01-02 and 9999-12-30",
        "not_finite": "holds a number that is NaN or infinite",
        "wrong_symbol": "names another symbol than its file does",
    }
    for item in schema.checks:
        if item.rule == rule:
            names = ", ".join(item.columns)
            words = {
                "positive": f"one of {names} is not above zero",
                "not_negative": f"one of {names} is below zero",
                "ordered": f"breaks {' <= '.join(item.columns)}",
                "closes_bar": "close_time is not the last instant of the bar",
                "on_grid": "open_time is no multiple of the interval",
            }
            return words.get(item.test, rule)
    return always.get(rule, rule)


def _rule(
    broken: Callable[[], pl.Expr],
    kept: Callable[[pl.DataFrame], bool] | None = None,
    *,
    empty: bool = False,
) -> Rule:
    """Make a rule; ``empty`` says whether a row without the value breaks it."""
    return Rule(lambda: broken().fill_null(value=empty), kept)


def _always(
    frame: pl.DataFrame, context: RowContext, spans: list[FileSpan] | None
) -> dict[str, Rule]:
    schema = context.schema
    rules = {f"unreadable_{item.name}": _absent(item.name) for item in schema.derived}
    rules["time_outside_period"] = _rule(
        lambda: _outside(context), lambda _: _all_inside(spans, context), empty=True
    )
    if others := _other_times(schema):
        rules["impossible_time"] = _possible(others)
    present = [column for column in schema.silver_columns if column.name in frame.columns]
    floats = [column.name for column in present if column.kind in FLOATS]
    if floats:
        # A sum is finite only when all that it adds are; sums of prices do not overflow.
        rules["not_finite"] = _rule(
            lambda: pl.any_horizontal(~pl.col(name).is_finite() for name in floats),
            lambda rows: isfinite(sum(rows[name].sum() for name in floats)),
        )
    for column in schema.columns:
        if column.names_symbol and column.name in frame.columns:
            rules["wrong_symbol"] = _names_other(column.name, context.symbol)
    return rules


def _other_times(schema: Schema) -> list[str]:
    """Return the columns of times beside the one that puts a row into its period."""
    columns = schema.columns
    return [c.name for c in columns if c.kind in {"time", "text_time"} and c.name != schema.time]


def _possible(names: Sequence[str]) -> Rule:
    """Hold times that no period bounds to those that each reader of Silver has."""

    def kept(times: pl.Series) -> bool:
        numbers = times.cast(pl.Int64)
        least: Any = numbers.min()
        most: Any = numbers.max()
        return least is None or bool(least >= _BEGIN and most < _END)

    def beyond(name: str) -> pl.Expr:
        return ~pl.col(name).cast(pl.Int64).is_between(_BEGIN, _END, closed="left")

    return _rule(
        lambda: pl.any_horizontal(beyond(name) for name in names),
        lambda rows: all(kept(rows[name]) for name in names),
    )


def _absent(name: str) -> Rule:
    return _rule(lambda: pl.col(name).is_null(), lambda rows: not rows[name].has_nulls())


def _names_other(name: str, symbol: str) -> Rule:
    return _rule(lambda: pl.col(name).str.to_uppercase() != symbol.upper())


def _outside(context: RowContext) -> pl.Expr:
    begins, ends = (
        pl.Series(list(bounds), dtype=_TIME) for bounds in zip(*context.bounds, strict=True)
    )
    time = pl.col(context.schema.time)
    if len(begins) == 1:
        return (time < pl.lit(begins)) | (time >= pl.lit(ends))
    begin = pl.lit(begins).gather(pl.col(FILE))
    end = pl.lit(ends).gather(pl.col(FILE))
    return (time < begin) | (time >= end)


def _all_near(times: pl.Series, context: RowContext) -> bool:
    """Say whether all times lie between the first and the last instant that rows of any file may have."""
    if not len(times) or times.has_nulls():
        return False
    # As numbers: of a time that Python does not have, Polars makes a panic.
    numbers = times.cast(pl.Int64)
    begins, ends = (
        pl.Series(list(bounds), dtype=_TIME).cast(pl.Int64)
        for bounds in zip(*context.bounds, strict=True)
    )
    least: Any = numbers.min()
    most: Any = numbers.max()
    first: Any = begins.min()
    last: Any = ends.max()
    return bool(first <= least and most < last)


def _all_inside(spans: list[FileSpan] | None, context: RowContext) -> bool:
    """Say whether the first and the last row of each file lie in its period."""
    bounds = context.bounds
    return spans is not None and all(
        bounds[s.file][0] <= s.first and s.last < bounds[s.file][1] for s in spans
    )


def _of(checks: Sequence[Check], action: str, context: RowContext) -> dict[str, Rule]:
    found = {}
    for item in checks:
        rule = _tested(item, context.interval)
        if item.action == action and rule is not None:
            found[item.rule] = rule
    return found


def _tested(item: Check, interval: Interval | None) -> Rule | None:
    """Return the rule that a check of the schema means; None where it cannot apply."""
    names = item.columns
    if item.test in {"positive", "not_negative"}:
        return _above_zero(names, or_equal=item.test == "not_negative")
    pairs = list(pairwise(names))
    if item.test == "ordered":
        return _rule(
            lambda: pl.any_horizontal(pl.col(low) > pl.col(high) for low, high in pairs),
            lambda rows: not any((rows[low] > rows[high]).any() for low, high in pairs),
        )
    length = interval.length if interval else None
    if length is None:
        return None
    whole = int(length.total_seconds() * 1_000_000)
    if item.test == "closes_bar":
        begin, end = names
        return _closes_bar(begin, end, whole)
    if length.days > 1:  # three-day and weekly bars stand on no grid from 1970
        return None
    (time,) = names
    return _rule(
        lambda: pl.col(time).dt.timestamp("us") % whole != 0,
        lambda rows: not (rows[time].cast(pl.Int64) % whole).max(),
    )


def _above_zero(names: Sequence[str], *, or_equal: bool) -> Rule:
    def below(name: str) -> pl.Expr:
        return pl.col(name) < 0 if or_equal else pl.col(name) <= 0

    def above(values: pl.Series) -> bool:
        least: Any = values.min()
        return least is None or bool(least >= 0 if or_equal else least > 0)

    return _rule(
        lambda: pl.any_horizontal(below(name) for name in names),
        lambda rows: all(above(rows[name]) for name in names),
    )


def _closes_bar(begin: str, end: str, whole: int) -> Rule:
    """Bars end a millisecond, or in newer files a microsecond, before the next one begins."""
    allowed = [whole - 1000, whole - 1]

    def kept(rows: pl.DataFrame) -> bool:
        spans = rows[end].cast(pl.Int64) - rows[begin].cast(pl.Int64)
        return spans.min() == spans.max() and spans.min() in allowed

    return _rule(
        lambda: ~(pl.col(end) - pl.col(begin)).dt.total_microseconds().is_in(allowed), kept
    )
