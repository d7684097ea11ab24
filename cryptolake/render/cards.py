"""Cards: how a Query, a Plan, a Report and a Lake show themselves in a notebook.

A card reads facts of its object. The protocols below name these facts, so this module imports none of the
classes that it draws.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

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
from cryptolake.render.picture import FEWEST_STEPS

if TYPE_CHECKING:
    import polars as pl


MAX_GROUPS = 30
"""Rows shown of each table of a plan; the rest is counted, so that a repr stays small."""

MAX_FAULTS = 20
"""Faults of a report that are shown one by one; the rest is counted."""

MAX_DATASETS = 40
"""Datasets of a lake that are shown; the rest is counted."""


# ---------------------------------------------------------------------- Query


class _Days(Protocol):
    @property
    def first(self) -> date: ...
    @property
    def last(self) -> date: ...
    def __len__(self) -> int: ...


class _Universe(Protocol):
    @property
    def quote(self) -> Sequence[str]: ...
    @property
    def contract(self) -> Sequence[str]: ...
    @property
    def exclude(self) -> Sequence[str]: ...
    @property
    def leave_out(self) -> Sequence[str]: ...
    @property
    def listed_on(self) -> date | None: ...


class _Selection(Protocol):
    @property
    def markets(self) -> Sequence[str]: ...
    @property
    def data_types(self) -> Sequence[str]: ...
    @property
    def intervals(self) -> Sequence[str]: ...
    @property
    def symbols(self) -> Sequence[str]: ...
    @property
    def universe(self) -> _Universe | None: ...
    @property
    def first(self) -> date | None: ...
    @property
    def back(self) -> str | None: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def days(self) -> _Days | None: ...


class _Query(Protocol):
    @property
    def selection(self) -> _Selection: ...
    def problems(self) -> Sequence[str]: ...


@never_raises
def query_html(query: _Query) -> str:
    """Draw a query: one line for each verb, then its problems."""
    verbs = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>'
        for name, value in _verbs(query.selection)
    )
    problems = query.problems()
    if problems:
        items = "".join(f"<li>{text(problem)}</li>" for problem in problems)
        ending = f'<h5 class="bad">To do before it can be planned</h5><ul>{items}</ul>'
    else:
        ending = (
            '<p><span class="good">complete</span> <span class="dim">lake.plan(query)</span></p>'
        )
    box = f'<div class="box"><table><tbody>{verbs}</tbody></table></div>' if verbs else ""
    return drawing("<h4>Query</h4>", box, ending)


def _verbs(selection: _Selection) -> Iterator[tuple[str, str]]:
    for name, values in (
        ("markets", selection.markets),
        ("data types", selection.data_types),
        ("intervals", selection.intervals),
        ("symbols", selection.symbols),
    ):
        if values:
            yield name, words(values, most=12)
    universe = selection.universe
    if universe:
        rules = [
            ("quote", words(universe.quote)),
            ("contract", words(universe.contract)),
            ("without", words(universe.exclude)),
            ("without", words(universe.leave_out)),
            ("listed on", str(universe.listed_on or "")),
        ]
        yield "universe", "; ".join(f"{rule} {value}" for rule, value in rules if value)
    if selection.back:
        yield "last", f"{selection.back}, up to the newest published UTC day"
        return
    if selection.is_open:
        yield "since", f"{selection.first}, up to the newest published UTC day"
        return
    days = selection.days
    if days:
        count = plural(len(days), "UTC day")
        yield "between", f"{days.first} and {days.last} ({count}, both ends in)"


# ---------------------------------------------------------------------- Plan


class _Plan(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def files(self) -> pl.DataFrame: ...
    @property
    def missing_periods(self) -> pl.DataFrame: ...
    @property
    def to_transfer(self) -> int: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def cached(self) -> int: ...
    @property
    def missing(self) -> int: ...
    @property
    def rows_expected(self) -> int | None: ...
    @property
    def listed_at(self) -> datetime | None: ...
    @property
    def notes(self) -> Sequence[str]: ...


@never_raises
def plan_html(plan: _Plan) -> str:
    """Draw a plan: totals, notes, files by dataset, and which periods are missing and why."""
    files = plan.files  # held: each use of a large plan's files reads them from disk
    totals = [
        ("files", number(files.height)),
        ("to move", number(plan.to_transfer)),
        ("to move", size(plan.total_bytes)),
        ("cached", number(plan.cached)),
        ("periods not published", number(plan.missing)),
    ]
    if expected := plan.rows_expected:
        totals.append(("rows expected", number(expected)))
    notes = "".join(f"<li>{text(note)}</li>" for note in plan.notes)
    return drawing(
        f'<h4>Plan <span class="dim">{text(plan.id)}</span></h4>',
        facts(totals),
        _listed_at(plan.listed_at),
        f"<ul>{notes}</ul>" if notes else "",
        _files_by_dataset(files),
        _missing_periods(plan.missing_periods),
    )


def _listed_at(listed: datetime | None) -> str:
    if listed is None:
        return ""
    moment = listed if listed.tzinfo else listed.replace(tzinfo=UTC)
    return f'<p class="dim">by the listing of {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC</p>'


def _files_by_dataset(files: pl.DataFrame) -> str:
    import polars as pl

    if files.is_empty():
        return ""
    status = pl.col("status")
    counts = {
        "symbols": pl.col("symbol").n_unique(),
        "files": pl.len(),
        "new": (status == "new").sum(),
        "updated": (status == "updated").sum(),
        "cached": (status == "cached").sum(),
        "other": (~status.is_in(["new", "updated", "cached"])).sum(),
    }
    rows = (
        files.group_by("market", "data_type", "interval", maintain_order=True)
        .agg(
            **counts,
            first=pl.col("period").min(),
            last=pl.col("period").max(),
            bytes=pl.col("size").sum(),
        )
        .rows(named=True)
    )
    used = _used(rows, counts)
    shown = [
        [
            row["market"],
            row["data_type"],
            row["interval"] or "",
            *(number(row[name]) for name in used),
            row["first"],
            row["last"],
            size(row["bytes"]),
        ]
        for row in rows[:MAX_GROUPS]
    ]
    head = ["market", "data type", "interval", *used, "first", "last", "bytes in all"]
    drawn = table(head, shown, numbers=[*used, "bytes in all"])
    return drawn + _and_more(len(rows) - MAX_GROUPS, "rows more")


def _used(rows: Sequence[Mapping[str, int]], counts: Mapping[str, object]) -> list[str]:
    """Return the counts that are drawn: the rare ones only where they are not zero, for the width."""
    rare = {"updated", "other"}
    return [name for name in counts if name not in rare or any(row[name] for row in rows)]


def _missing_periods(missing: pl.DataFrame) -> str:
    import polars as pl

    if missing.is_empty():
        return ""
    rows = (
        missing.group_by("market", "data_type", "symbol", "interval", "reason", maintain_order=True)
        .agg(
            periods=pl.len(),
            first=pl.col("period").min(),
            last=pl.col("period").max(),
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
        for row in rows[:MAX_GROUPS]
    ]
    head = ["dataset", "symbol", "periods", "first", "last", "why"]
    drawn = table(head, shown, numbers=["periods"])
    return f"<h5>Not published</h5>{drawn}{_and_more(len(rows) - MAX_GROUPS, 'rows more')}"


# ---------------------------------------------------------------------- Lock


class _Lock(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def query(self) -> object: ...
    @property
    def files(self) -> pl.DataFrame: ...
    @property
    def bytes(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def made_by(self) -> str: ...
    @property
    def versions(self) -> Sequence[str]: ...


@never_raises
def lock_html(lock: _Lock) -> str:
    """Draw a lock: its id, what it pins, of which query, and by which versions the rows were made."""
    totals = [
        ("files", number(lock.files.height)),
        ("bytes", size(lock.bytes)),
        ("Silver rows", number(lock.rows)),
    ]
    return drawing(
        f'<h4>Lock <span class="dim">{text(lock.id)}</span></h4>',
        facts(totals),
        f"<p><code>{text(repr(lock.query))}</code></p>",
        f'<p class="dim">made {lock.created_at:%Y-%m-%d %H:%M} UTC by {text(lock.made_by)}; '
        f"{text(words(lock.versions, most=12))}</p>",
    )


# ---------------------------------------------------------------------- Report


class _Chart(Protocol):
    def _repr_html_(self) -> str: ...


class _Report(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def seconds(self) -> float: ...
    @property
    def files(self) -> pl.DataFrame: ...
    @property
    def months(self) -> pl.DataFrame: ...
    @property
    def transferred(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def quarantined(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def built(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def fallbacks(self) -> Mapping[str, int]: ...
    @property
    def retried(self) -> int: ...
    @property
    def retries(self) -> Mapping[str, int]: ...
    def throughput(self) -> pl.DataFrame: ...
    def chart(self) -> _Chart: ...


@never_raises
def report_html(report: _Report) -> str:
    """Draw a report: what went wrong first, then the counts."""
    files = report.files  # held: each use of a large report's files reads them from disk
    state = {"stopped": "stopped before its end"}.get(report.state, "not all well")
    mark = '<span class="good">ok</span>' if report.ok else f'<span class="bad">{state}</span>'
    kind, run = text(report.kind), text(report.run_id)
    return drawing(
        f'<h4>Report: {kind} {mark} <span class="dim">{run}</span></h4>',
        _faults(files, "key", "Files"),
        _faults(report.months, "path", "Silver months"),
        facts(_counts(report, files)),
        _reasons("Moved another way than asked", report.fallbacks),
        _retries(report, files),
        _throughput(report),
    )


def _faults(frame: pl.DataFrame, name: str, title: str) -> str:
    import polars as pl

    faulty = frame.filter(pl.col("status").is_in(["failed", "quarantined"]))
    if faulty.is_empty():
        return ""
    rows = faulty.head(MAX_FAULTS).select(name, "status", pl.col("error").fill_null("")).rows()
    drawn = table([name, "what", "why"], rows)
    heading = f'<h5 class="bad">{text(title)} that need a look: {number(faulty.height)}</h5>'
    return heading + drawn + _and_more(faulty.height - MAX_FAULTS)


def _counts(report: _Report, files: pl.DataFrame) -> Iterator[tuple[str, str]]:
    if files.height:
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


def _retries(report: _Report, files: pl.DataFrame) -> str:
    if not report.retried:
        return ""
    again = number(int(files["retries"].sum()))
    heading = f"{again} requests made again for {plural(report.retried, 'file')}"
    return _reasons(heading, report.retries) or f"<h5>{heading}</h5>"


def _reasons(heading: str, counts: Mapping[str, int]) -> str:
    items = "".join(f"<li>{number(count)}: {text(why)}</li>" for why, count in counts.items())
    return f"<h5>{heading}</h5><ul>{items}</ul>" if items else ""


def _throughput(report: _Report) -> str:
    """Draw the throughput where there are steps enough to see, and a library to draw them with."""
    if importlib.util.find_spec("vl_convert") is None:
        return ""
    if report.throughput().height < FEWEST_STEPS:
        return ""
    return report.chart()._repr_html_()


# ---------------------------------------------------------------------- Lake


_UNKNOWN = "lake.datasets() says what it holds"
_EMPTY = "empty: lake.pull(query) fills it"


def lake_text(root: str, archive: str, datasets: pl.DataFrame | None) -> str:
    """Say a lake in a few lines; parameters as for :func:`lake_html`."""
    head = f"Lake at {root}, of {archive}"
    if datasets is None or datasets.is_empty():
        return f"{head}\n  {_UNKNOWN if datasets is None else _EMPTY}"
    lines = [
        f"  {row['zone']} {row['dataset']}{_spaced(row['intervals'])}: {plural(row['symbols'], 'symbol')}, "
        f"{_day(row['first'])} to {_day(row['last'])}, {plural(row['files'], 'file')}, {size(row['bytes'])}"
        for row in datasets.head(MAX_DATASETS).rows(named=True)
    ]
    total = ", ".join(f"{value} {name}" for name, value in _in_all(datasets))
    return "\n".join([f"{head}: {total}", *lines])


def _spaced(intervals: Sequence[str] | None) -> str:
    return "".join(f" {interval}" for interval in intervals or ())


def _in_all(datasets: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Say Bronze in all: what was fetched; the other zones are made of it."""
    bronze = datasets.filter(zone="bronze")
    yield "zips", number(int(bronze["files"].sum()))
    yield "in all", size(int(bronze["bytes"].sum()))
    if (newest := bronze["last"].max()) is not None:
        yield "newest day", str(newest)[:10]


def _of_ledger(datasets: pl.DataFrame) -> str:
    if set(datasets["zone"].unique()) != {"bronze"}:
        return ""
    return '<p class="dim">by the ledger; lake.datasets() counts Silver and Gold too</p>'


@never_raises
def lake_html(
    root: str,
    archive: str,
    datasets: pl.DataFrame | None = None,
    freshness: tuple[pl.DataFrame, datetime] | None = None,
) -> str:
    """Draw a lake: its root and archive, and the last answers of ``datasets()`` and ``freshness()``.

    Parameters
    ----------
    root, archive
        Where the lake is, and which archive it is of.
    datasets
        What ``lake.datasets()`` last returned; None when it was not asked yet.
    freshness
        What ``lake.freshness()`` last returned and when (UTC), since days behind are soon out of date;
        None when it was not asked yet.
    """
    if datasets is None or datasets.is_empty():
        held = f'<p class="dim">{_UNKNOWN if datasets is None else _EMPTY}</p>'
    else:
        held = facts(_in_all(datasets)) + _datasets(datasets) + _of_ledger(datasets)
    return drawing(
        f"<h4>Lake <code>{text(root)}</code></h4>",
        f'<p class="dim">of {text(archive)}</p>',
        held,
        "" if freshness is None else _freshness(*freshness),
    )


def _datasets(datasets: pl.DataFrame) -> str:
    head = ["zone", "dataset", "symbols", "intervals", "first", "last", "files", "bytes", "rows"]
    rows = [
        [
            row["zone"],
            row["dataset"],
            number(row["symbols"]),
            ", ".join(row["intervals"] or ()),
            _day(row["first"]),
            _day(row["last"]),
            number(row["files"]),
            size(row["bytes"]),
            number(row["rows"]),
        ]
        for row in datasets.head(MAX_DATASETS).rows(named=True)
    ]
    drawn = table(head, rows, numbers=["symbols", "files", "bytes", "rows"])
    return drawn + _and_more(datasets.height - MAX_DATASETS)


def _freshness(found: pl.DataFrame, at: datetime) -> str:
    if found.is_empty():
        return ""
    head = ["market", "data_type", "archive_newest", "lake_newest", "lake_behind", "status"]
    rows = found.select(head).head(MAX_DATASETS).rows()
    return f"<h5>Freshness, as of {text(f'{at:%Y-%m-%d %H:%M}')} UTC</h5>" + table(
        [name.replace("_", " ") for name in head], rows, numbers=["lake behind"]
    )


def _day(value: date | None) -> str:
    return "" if value is None else str(value)[:10]


def _and_more(count: int, what: str = "more") -> str:
    return f'<p class="dim">and {number(count)} {what}</p>' if count > 0 else ""
