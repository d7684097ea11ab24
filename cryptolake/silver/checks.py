"""Row rules: each row of a month is held to its file's period and to the checks of its schema.

A row that breaks a ``reject`` rule leaves the frame and goes to ``meta.rejects``; one that breaks a
``flag`` rule stays and is counted in ``meta.findings``. Beside the schema's own checks, three rules hold
everywhere: ``time_outside_period``, ``not_finite`` (a number that is NaN or infinite) and
``wrong_symbol`` (a symbol column that names another symbol than the file does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.schemas import FLOATS, Check, Schema
from cryptolake.silver.parse import FILE, LINE

if TYPE_CHECKING:
    from cryptolake.archive.enums import Interval
    from cryptolake.archive.periods import Period

_RULE = "_rule"
_TIME = pl.Datetime("us")


class Rule(NamedTuple):
    """What is true of rows that break a rule, and a cheaper way to see whether any does."""

    broken: pl.Expr
    any_broken: pl.Expr


class Flag(NamedTuple):
    """Rows of one file that break a ``flag`` rule and stay."""

    file: int
    rule: str
    rows: int
    first: datetime
    last: datetime


@dataclass
class CheckedRows:
    """A frame held to the rules: what stays, what is rejected (file, line, rule), what is flagged."""

    frame: pl.DataFrame
    rejected: pl.DataFrame
    flags: list[Flag] = field(default_factory=list)


@dataclass(frozen=True)
class RowContext:
    """What rows are held to: the schema, the interval and symbol, and each file's period."""

    schema: Schema
    interval: Interval | None
    symbol: str
    periods: Sequence[Period]

    @cached_property
    def bounds(self) -> tuple[pl.Series, pl.Series]:
        """Per file, the first instant its rows may have and the first they may not."""
        early, late = self.schema.tolerance(self.interval)
        days = [period.days for period in self.periods]
        begins = pl.Series([each.first for each in days], dtype=pl.Date)
        ends = pl.Series([each.last for each in days], dtype=pl.Date)
        begin = begins.cast(_TIME).dt.replace_time_zone("UTC") - timedelta(seconds=early)
        end = ends.cast(_TIME).dt.replace_time_zone("UTC") + timedelta(days=1, seconds=late)
        return begin, end


def check(frame: pl.DataFrame, context: RowContext) -> CheckedRows:
    """Hold every row to the rules; one pass when all is in order, as it nearly always is."""
    schema = context.schema
    rejecting = {**_always(frame, context), **_of(schema.checks, "reject", context)}
    flagging = _of(schema.checks, "flag", context)
    both = {**rejecting, **flagging}
    seen = frame.select(rule.any_broken.alias(name) for name, rule in both.items())
    found = {name for name in both if seen[name].item()} if frame.height else set()
    empty = frame.select(FILE, LINE).clear().with_columns(pl.lit("", pl.String).alias(_RULE))
    if not found:
        return CheckedRows(frame, empty)
    rejected = empty
    hits = [name for name in rejecting if name in found]
    if hits:
        rule = pl.coalesce(
            *(pl.when(rejecting[name].broken).then(pl.lit(name)) for name in hits),
            pl.lit(None, pl.String),
        )
        marked = frame.with_columns(rule.alias(_RULE))
        rejected = marked.filter(pl.col(_RULE).is_not_null()).select(FILE, LINE, _RULE)
        frame = marked.filter(pl.col(_RULE).is_null()).drop(_RULE)
    flags = [
        Flag(file, name, rows, first, last)
        for name in flagging
        if name in found
        for file, rows, first, last in frame.filter(flagging[name].broken)
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


def _rule(broken: pl.Expr, any_broken: pl.Expr | None = None, *, empty: bool = False) -> Rule:
    """Make a rule; ``empty`` says whether a row without the value breaks it."""
    sure = broken.fill_null(value=empty)
    return Rule(sure, sure.any() if any_broken is None else any_broken)


def _always(frame: pl.DataFrame, context: RowContext) -> dict[str, Rule]:
    schema = context.schema
    rules = {
        f"unreadable_{item.name}": _rule(pl.col(item.name).is_null()) for item in schema.derived
    }
    rules["time_outside_period"] = _rule(_outside(context), empty=True)
    floats = [
        pl.col(column.name)
        for column in schema.columns
        if column.kind in FLOATS and column.name in frame.columns
    ]
    if floats:
        # A sum is finite only when all that it adds are; sums of prices do not overflow.
        sums = pl.sum_horizontal(column.sum() for column in floats)
        endless = pl.any_horizontal(~column.is_finite() for column in floats)
        rules["not_finite"] = _rule(endless, ~sums.is_finite())
    for column in schema.columns:
        if column.names_symbol and column.name in frame.columns:
            named = pl.col(column.name).str.to_uppercase()
            rules["wrong_symbol"] = _rule(named != context.symbol.upper())
    return rules


def _outside(context: RowContext) -> pl.Expr:
    begins, ends = context.bounds
    time = pl.col(context.schema.time)
    if len(begins) == 1:
        return (time < pl.lit(begins)) | (time >= pl.lit(ends))
    begin = pl.lit(begins).gather(pl.col(FILE))
    end = pl.lit(ends).gather(pl.col(FILE))
    return (time < begin) | (time >= end)


def _of(checks: Sequence[Check], action: str, context: RowContext) -> dict[str, Rule]:
    found = {}
    for item in checks:
        rule = _tested(item, context.interval)
        if item.action == action and rule is not None:
            found[item.rule] = rule
    return found


def _tested(item: Check, interval: Interval | None) -> Rule | None:
    """Return the rule that a check of the schema means; None where it cannot apply."""
    columns = [pl.col(name) for name in item.columns]
    least = pl.min_horizontal(column.min() for column in columns)
    if item.test == "positive":
        return _rule(pl.any_horizontal(column <= 0 for column in columns), least <= 0)
    if item.test == "not_negative":
        return _rule(pl.any_horizontal(column < 0 for column in columns), least < 0)
    if item.test == "ordered":
        return _rule(pl.any_horizontal(low > high for low, high in pairwise(columns)))
    length = interval.length if interval else None
    if length is None:
        return None
    whole = int(length.total_seconds() * 1_000_000)
    if item.test == "closes_bar":
        begin, end = columns
        span = (end - begin).dt.total_microseconds()
        return _rule((span != whole - 1000) & (span != whole - 1))
    if length.days > 1:  # three-day and weekly bars stand on no grid from 1970
        return None
    return _rule(columns[0].dt.timestamp("us") % whole != 0)
