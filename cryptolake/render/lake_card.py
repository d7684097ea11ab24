"""The card of a Lake, in a notebook and as text: what it holds, by dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from cryptolake.render.html import (
    and_more,
    drawing,
    facts,
    never_raises,
    number,
    plural,
    size,
    table,
    text,
)

if TYPE_CHECKING:
    import polars as pl

MAX_DATASETS = 40
"""Datasets of a lake that are shown; the rest is counted."""

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
    return drawn + and_more(datasets.height - MAX_DATASETS)


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
