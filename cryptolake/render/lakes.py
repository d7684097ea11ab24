"""A Lake, drawn from what it was last told: looking at it asks neither the disk nor the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptolake.render.html import drawing, never_raises, number, size, table, text

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

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
