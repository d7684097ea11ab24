"""A Plan, drawn: totals, by dataset, what is missing and why."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptolake.render.html import (
    drawing,
    facts,
    never_raises,
    number,
    plural,
    seconds,
    size,
    table,
    text,
    words,
)
from cryptolake.render.picture import FEW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

    from cryptolake.planning.plan import Plan
    from cryptolake.query import Query, Selection
    from cryptolake.report import Report


MOST_GROUPS = 30
"""Rows shown of each table; the rest is counted, so that a repr stays small."""


@never_raises
def plan_html(plan: Plan) -> str:
    """Draw a plan: what it would move, what is here, what the archive lacks."""
    total = plan.files.height
    parts = [
        f'<h4>Plan <span class="dim">{text(plan.id)}</span></h4>',
        facts(
            [
                ("files", number(total)),
                ("to move", number(plan.to_transfer)),
                ("to move", size(plan.total_bytes)),
                ("cached", number(plan.cached)),
                ("periods not published", number(plan.missing)),
                *_rows(plan),
            ]
        ),
        _listed(plan),
        _notes(plan),
        _groups(plan.files),
        _missing(plan.missing_periods),
    ]
    return drawing(*parts)


def _listed(plan: Plan) -> str:
    listed = getattr(plan, "listed_at", None)
    if not isinstance(listed, datetime):
        return ""
    moment = listed if listed.tzinfo else listed.replace(tzinfo=UTC)
    return f'<p class="dim">by the listing of {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC</p>'


def _rows(plan: Plan) -> list[tuple[str, str]]:
    expected = getattr(plan, "rows_expected", None)
    return [("rows expected", number(expected))] if expected else []


def _notes(plan: Plan) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in getattr(plan, "notes", ()))
    return f"<ul>{items}</ul>" if items else ""


def _groups(files: pl.DataFrame) -> str:
    import polars as pl

    if files.is_empty():
        return ""
    status = pl.col("status")
    group = ["market", "data_type", "interval"]
    rows = (
        files.group_by(group, maintain_order=True)
        .agg(
            pl.col("symbol").n_unique().alias("symbols"),
            pl.len().alias("files"),
            (status == "new").sum().alias("new"),
            (status == "updated").sum().alias("updated"),
            (status == "cached").sum().alias("cached"),
            (~status.is_in(["new", "updated", "cached"])).sum().alias("other"),
            pl.col("period").min().alias("first"),
            pl.col("period").max().alias("last"),
            pl.col("size").sum().alias("bytes"),
        )
        .rows(named=True)
    )
    head = ["market", "data type", "interval", "symbols", "files", "new", "updated", "cached"]
    head += ["other", "first", "last", "bytes in all"]
    shown = [
        [
            row["market"],
            row["data_type"],
            row["interval"] or "",
            *(
                number(row[name])
                for name in ("symbols", "files", "new", "updated", "cached", "other")
            ),
            row["first"],
            row["last"],
            size(row["bytes"]),
        ]
        for row in rows[:MOST_GROUPS]
    ]
    numbers = ["symbols", "files", "new", "updated", "cached", "other", "bytes in all"]
    return table(head, shown, numbers=numbers) + _rest(len(rows))


def _missing(missing: pl.DataFrame) -> str:
    import polars as pl

    if missing.is_empty():
        return ""
    group = ["market", "data_type", "symbol", "interval", "reason"]
    rows = (
        missing.group_by(group, maintain_order=True)
        .agg(
            pl.len().alias("periods"),
            pl.col("period").min().alias("first"),
            pl.col("period").max().alias("last"),
        )
        .rows(named=True)
    )
    shown = [
        [
            f"{row['market']} {row['data_type']} {row['interval'] or ''}".strip(),
            row["symbol"],
            number(row["periods"]),
            row["first"],
            row["last"],
            row["reason"],
        ]
        for row in rows[:MOST_GROUPS]
    ]
    head = ["dataset", "symbol", "periods", "first", "last", "why"]
    return "<h5>Not published</h5>" + table(head, shown, numbers=["periods"]) + _rest(len(rows))


def _rest(rows: int) -> str:
    more = rows - MOST_GROUPS
    return f'<p class="dim">and {number(more)} rows more</p>' if more > 0 else ""


MOST_DATASETS = 40


@never_raises
def lake_html(
    lake: Any,
    datasets: pl.DataFrame | None = None,
    freshness: tuple[pl.DataFrame, datetime] | None = None,
) -> str:
    """Draw a lake: its root and source, and the last answers of ``datasets()`` and ``freshness()``.

    Parameters
    ----------
    lake
        Anything with a ``root`` and a ``source``.
    datasets
        What ``lake.datasets()`` last returned; None when it was not asked yet.
    freshness
        What ``lake.freshness()`` last returned and when (UTC), since days behind are soon out of date;
        None when it was not asked yet.
    """
    head = f"<h4>Lake <code>{text(lake.root)}</code></h4>{_source(getattr(lake, 'source', None))}"
    if datasets is None:
        held = '<p class="dim">lake.datasets() says what it holds</p>'
    elif datasets.is_empty():
        held = '<p class="dim">empty: lake.pull(query) fills it</p>'
    else:
        held = _datasets(datasets)
    return drawing(head, held, "" if freshness is None else _freshness(*freshness))


def _source(source: Any) -> str:
    if source is None:
        return ""
    endpoint = getattr(source, "endpoint_url", None)
    through = f" by {text(endpoint)}" if endpoint else ""
    return f'<p class="dim">from s3://{text(source.bucket)}{through}</p>'


def _datasets(datasets: pl.DataFrame) -> str:
    head = ["zone", "dataset", "symbols", "intervals", "first", "last", "files", "bytes", "rows"]
    rows = [
        [
            row["zone"],
            row["dataset"],
            _count(row["symbols"]),
            _several(row["intervals"]),
            _day(row["first"]),
            _day(row["last"]),
            number(row["files"]),
            size(row["bytes"]),
            number(row["rows"]),
        ]
        for row in datasets.head(MOST_DATASETS).rows(named=True)
    ]
    more = datasets.height - len(rows)
    rest = f'<p class="dim">and {number(more)} more</p>' if more else ""
    return table(head, rows, numbers=["symbols", "files", "bytes", "rows"]) + rest


def _freshness(found: pl.DataFrame, at: datetime) -> str:
    if found.is_empty():
        return ""
    head = ["market", "data_type", "archive_newest", "lake_newest", "lake_behind", "status"]
    rows = found.select(head).head(MOST_DATASETS).rows()
    return f"<h5>Freshness, as of {text(f'{at:%Y-%m-%d %H:%M}')} UTC</h5>" + table(
        [name.replace("_", " ") for name in head], rows, numbers=["lake behind"]
    )


def _count(value: Any) -> str:
    return number(len(value)) if isinstance(value, list | tuple) else str(value)


def _several(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _day(value: Any) -> str:
    return "" if value is None else str(value)[:10]


@never_raises
def query_html(query: Query) -> str:
    """Draw a query: one line per word said, then its problems.

    Examples
    --------
    >>> import cryptolake as cl
    >>> drawn = query_html(cl.query().markets("spot"))
    >>> "To do" in drawn, "<script" in drawn
    (True, False)
    """
    said = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in _said(query.selection)
    )
    problems = query.problems()
    if problems:
        items = "".join(f"<li>{text(problem)}</li>" for problem in problems)
        ending = f'<h5 class="bad">To do before it can be planned</h5><ul>{items}</ul>'
    else:
        ending = (
            '<p><span class="good">complete</span> <span class="dim">lake.plan(query)</span></p>'
        )
    table = f'<div class="box"><table><tbody>{said}</tbody></table></div>' if said else ""
    return drawing("<h4>Query</h4>", table, ending)


def _said(said: Selection) -> Iterator[tuple[str, str]]:
    for name, values in (
        ("markets", said.markets),
        ("data types", said.data_types),
        ("intervals", said.intervals),
        ("symbols", said.symbols),
    ):
        if values:
            yield name, words((getattr(value, "value", value) for value in values), most=12)
    if said.universe:
        rules = [
            ("quote", words(said.universe.quote)),
            ("contract", words(said.universe.contract)),
            ("without", words(said.universe.exclude)),
            ("listed on", str(said.universe.listed_on or "")),
        ]
        yield "universe", "; ".join(f"{rule} {value}" for rule, value in rules if value)
    days = said.days
    if days:
        count = f"{len(days):,} UTC day{'' if len(days) == 1 else 's'}"
        yield "between", f"{days.first} and {days.last} ({count}, both ends in)"


MOST_FAULTS = 20
"""Faults shown one by one; the rest is counted."""

FAULTS = ("failed", "quarantined")


@never_raises
def report_html(report: Report) -> str:
    """Draw a report: what went wrong first, then the counts."""
    state = {"stopped": "stopped before its end"}.get(report.state, "not all well")
    mark = '<span class="good">ok</span>' if report.ok else f'<span class="bad">{state}</span>'
    kind, run = text(report.kind), text(report.run_id)
    head = f'<h4>Report: {kind} {mark} <span class="dim">{run}</span></h4>'
    return drawing(
        head,
        _faults(report.files, "key", "Files"),
        _faults(report.months, "path", "Silver months"),
        facts(_counts(report)),
        _fallbacks(report.fallbacks),
        _retries(report),
        _pace(report),
    )


def _counts(report: Report) -> Iterator[tuple[str, str]]:
    if report.files.height:
        yield "moved", number(report.transferred)
        yield "here before", number(report.skipped)
        yield "failed", number(report.failed)
        yield "quarantined", number(report.quarantined)
        yield "moved", size(report.bytes)
    if report.months.height:
        yield "Silver months built", number(report.built)
        yield "rows", number(report.rows)
        for name in ("duplicates", "rejects"):
            total = int(report.months[name].sum() or 0)
            if total:
                yield name, number(total)
    yield "", seconds(report.seconds)
    if report.bytes and report.seconds:
        yield "a second", size(report.bytes / report.seconds)


def _fallbacks(fallbacks: Mapping[str, int]) -> str:
    items = "".join(f"<li>{number(n)}: {text(why)}</li>" for why, n in fallbacks.items())
    return f"<h5>Moved another way than asked</h5><ul>{items}</ul>" if items else ""


def _retries(report: Report) -> str:
    if not report.retried:
        return ""
    again = int(report.files["retries"].sum())
    items = "".join(f"<li>{number(n)}: {text(why)}</li>" for why, n in report.retries.items())
    told = f"{number(again)} requests made again for {plural(report.retried, 'file')}"
    return f"<h5>{told}</h5><ul>{items}</ul>"


def _pace(report: Report) -> str:
    """Draw the throughput where there is some to see, and something to draw it with."""
    if importlib.util.find_spec("vl_convert") is None or report.throughput().height < FEW:
        return ""
    return report.chart()._repr_html_()


def _faults(frame: pl.DataFrame, name: str, title: str) -> str:
    import polars as pl

    if frame.is_empty():
        return ""
    wrong = frame.filter(pl.col("status").is_in(FAULTS))
    if wrong.is_empty():
        return ""
    rows = wrong.head(MOST_FAULTS).select(name, "status", "error").rows()
    more = wrong.height - len(rows)
    rest = f'<p class="dim">and {number(more)} more</p>' if more else ""
    return (
        f'<h5 class="bad">{text(title)} that need a look: {number(wrong.height)}</h5>'
        + table([name, "what", "why"], [[a, b, c or ""] for a, b, c in rows])
        + rest
    )
