"""What the picker may offer, and what a choice does to the Query. Pure: no widget, no I/O.

An option is enabled only where it agrees with what is chosen: a data type that every chosen market has, an
interval that every chosen data type has. A choice drops earlier ones that no longer agree, so the Query
never holds a pair that cannot exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.query import Query

_DAYS = ("first", "last", "latest", "back")
"""What a query's JSON says of its days."""


class Option(NamedTuple):
    """One chip: its word, whether it can be chosen now, and a remark (why it cannot)."""

    value: str
    enabled: bool
    why: str


def market_options() -> list[Option]:
    """Return the markets; each can always be chosen (choices that do not agree are dropped)."""
    matrix = load_matrix()
    return [
        Option(
            market.value,
            enabled=True,
            why=", ".join(row.data_type.value for row in matrix.of_market(market)),
        )
        for market in Market
    ]


def data_type_options(query: Query) -> list[Option]:
    """Return the data types, enabled where every chosen market has them.

    Examples
    --------
    >>> from cryptolake.query import query
    >>> on = [
    ...     option.value
    ...     for option in data_type_options(query().markets("options"))
    ...     if option.enabled
    ... ]
    >>> on
    ['BVOLIndex', 'EOHSummary']
    """
    matrix = load_matrix()
    markets = query.selection.markets
    options = []
    for data_type in DataType:
        lacking = [market.value for market in markets if (market, data_type) not in matrix]
        rows = [matrix.row(m, data_type) for m in markets if (m, data_type) in matrix]
        why = f"not in {', '.join(lacking)}" if lacking else _about(rows)
        options.append(Option(data_type.value, enabled=not lacking, why=why))
    return options


def interval_options(query: Query) -> list[Option]:
    """Return the intervals, enabled where every chosen data type that has intervals has them.

    Examples
    --------
    >>> from cryptolake.query import query
    >>> options = interval_options(query().markets("futures_um").data_types("klines"))
    >>> [option.value for option in options if not option.enabled]
    ['1s']
    """
    rows = [row for row in query.selection.rows() if row.has_interval]
    options = []
    for interval in Interval:
        lacking = [row.dataset for row in rows if interval not in row.all_intervals]
        if not rows:
            options.append(Option(interval.value, enabled=False, why="no interval to choose"))
        else:
            why = f"not in {', '.join(lacking)}" if lacking else ""
            options.append(Option(interval.value, enabled=not lacking, why=why))
    return options


def choose_markets(query: Query, markets: Iterable[str]) -> Query:
    """Set the markets, and drop data types and intervals that one of them lacks.

    Examples
    --------
    >>> from cryptolake.query import query
    >>> choose_markets(query().markets("spot").klines("1h"), ["options"])
    cl.query().markets('options')
    """
    changed = query.markets(*markets)
    return choose_data_types(changed, [kind.value for kind in changed.selection.data_types])


def choose_data_types(query: Query, data_types: Iterable[str]) -> Query:
    """Set the data types, without those that a chosen market lacks, and drop intervals they lack."""
    changed = query.data_types(*data_types)
    allowed = _enabled(data_type_options(changed))
    kept = [kind.value for kind in changed.selection.data_types if kind.value in allowed]
    changed = changed.data_types(*kept)
    return choose_intervals(changed, [interval.value for interval in changed.selection.intervals])


def choose_intervals(query: Query, intervals: Iterable[str]) -> Query:
    """Set the intervals, without those that a chosen data type lacks."""
    changed = query.intervals(*intervals)
    allowed = _enabled(interval_options(changed))
    return changed.intervals(*(i.value for i in changed.selection.intervals if i.value in allowed))


def choose_rule(query: Query, rule: dict[str, Any]) -> Query:
    """Set the rule for symbols from the page's filters; empty filters remove it.

    What the page has no field for (``leave_out``) stays with a rule that has others.

    Raises
    ------
    InvalidQuery
        A filter that cannot be a symbol, a contract or a day.

    Examples
    --------
    >>> from cryptolake.query import query
    >>> choose_rule(
    ...     query(), {"quote": "USDT", "contract": "", "listed_on": "", "exclude": ["BTC*"]}
    ... )
    cl.query().universe(quote=['USDT'], exclude=['BTC*'])
    """
    old = query.selection.universe
    return query.universe(
        leave_out=old.leave_out if old and any(rule.values()) else (),
        quote=_words(rule.get("quote")),
        contract=_words(rule.get("contract")),
        exclude=_words(rule.get("exclude")),
        listed_on=rule.get("listed_on") or None,
    )


def rule_of(query: Query) -> dict[str, Any]:
    """Return the Query's rule as the page shows it; empty where it has none."""
    universe = query.selection.universe
    if universe is None:
        return {}
    return {
        "quote": list(universe.quote),
        "contract": list(universe.contract),
        "listed_on": universe.listed_on.isoformat() if universe.listed_on else "",
        "exclude": list(universe.exclude),
    }


def today() -> date:
    """Return the UTC day it is."""
    return datetime.now(UTC).date()


def newest_day(day: date) -> date:
    """Return the newest day that the archive can have on a UTC day: the one before."""
    return day - timedelta(days=1)


def presets(day: date, first: date) -> list[tuple[str, str, str]]:
    """Return names and ranges: last month, the last 90 days, year to date, all.

    ``day`` is the UTC day it is; ranges end at the latest on the day before it, the newest that can exist.

    Examples
    --------
    >>> presets(date(2024, 3, 10), date(2017, 8, 1))[0]
    ('Last month', '2024-02-01', '2024-02-29')
    >>> presets(date(2024, 1, 1), date(2017, 8, 1))[2]
    ('Year to date', '2023-01-01', '2023-12-31')
    """
    yesterday = newest_day(day)
    end_of_last = day.replace(day=1) - timedelta(days=1)
    ranges = [
        ("Last month", end_of_last.replace(day=1), end_of_last),
        ("90 days", yesterday - timedelta(days=89), yesterday),
        ("Year to date", yesterday.replace(month=1, day=1), yesterday),
        ("All", first, yesterday),
    ]
    return [(name, a.isoformat(), b.isoformat()) for name, a, b in ranges]


def without_days(query: Query) -> Query:
    """Return the query without its days: what is typed on the page is no range.

    Examples
    --------
    >>> without_days(Query().klines("1h").between("2024"))
    cl.query().data_types('klines').intervals('1h')
    """
    said = json.loads(query.to_json())
    return Query.from_json(json.dumps({k: v for k, v in said.items() if k not in _DAYS}))


def shown_days(query: Query, day: date) -> list[str]:
    """Return the two ends that the calendar shows; of an open range up to the newest day that there can be.

    The archive is not asked: the range that a plan comes to may end a day or two before.

    Examples
    --------
    >>> shown_days(Query().last("2d"), date(2024, 3, 10))
    ['2024-03-08', '2024-03-09']
    """
    days = query.selection.days_to(newest_day(day))
    return [days.first.isoformat(), days.last.isoformat()] if days else []


def initial_query(day: date) -> Query:
    """Return the query that a picker starts with: hourly spot klines of last month, no symbol yet."""
    _, first, last = presets(day, load_matrix().first_date)[0]
    return Query().markets("spot").klines("1h").between(first, last)


def code(query: Query, root: str) -> str:
    """Return the query as a cell to paste.

    Examples
    --------
    >>> from cryptolake.query import query
    >>> print(code(query().markets("spot").klines("1h").symbols("BTCUSDT"), "~/lake"))
    import cryptolake as cl
    <BLANKLINE>
    lake = cl.Lake('~/lake')
    query = (
        cl.query()
        .markets('spot')
        .data_types('klines')
        .intervals('1h')
        .symbols('BTCUSDT')
    )
    frame = lake.frame(query)
    """
    verbs = "\n".join(f"    {line}" for line in _verbs(repr(query)))
    lines = f"import cryptolake as cl\n\nlake = cl.Lake({root!r})\nquery = (\n{verbs}\n)"
    return f"{lines}\nframe = lake.frame(query)"


def _verbs(text: str) -> list[str]:
    """Split ``cl.query().a(...).b(...)`` before each verb; quoted words contain no parenthesis."""
    parts: list[str] = []
    depth = 0
    start = 0
    for at, sign in enumerate(text):
        if sign == "." and depth == 0 and at and text[at - 1] == ")":
            parts.append(text[start:at])
            start = at
        depth += (sign == "(") - (sign == ")")
    return [*parts, text[start:]]


def _about(rows: Sequence[Row]) -> str:
    """Return what is known of a data type that is not live everywhere."""
    remarks = []
    for row in rows:
        if row.status == "never_observed":
            remarks.append(f"{row.market.value}: never seen in the archive")
        elif row.last_date:
            remarks.append(f"{row.market.value}: ended {row.last_date}")
    return "; ".join(remarks)


def _enabled(options: Iterable[Option]) -> set[str]:
    return {option.value for option in options if option.enabled}


def _words(value: Any) -> list[str]:
    if not value:
        return []
    return [str(word) for word in value] if isinstance(value, list | tuple) else [str(value)]
