"""A Lake, drawn from what it was last told: looking at it asks neither the disk nor the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptolake.render.html import drawing, never_raises, number, size, table, text

if TYPE_CHECKING:
    import polars as pl

MOST_DATASETS = 40


@never_raises
def lake_html(
    lake: Any,
    datasets: pl.DataFrame | None = None,
    freshness: pl.DataFrame | None = None,
) -> str:
    """Draw a lake: its root and source, and the last answers of ``datasets()`` and ``status()``.

    Parameters
    ----------
    lake
        Anything with a ``root`` and a ``source``.
    datasets
        What ``lake.datasets()`` last returned; None when it was not asked yet.
    freshness
        Any frame to show below it, as it is (days behind, per market and type).
    """
    head = f"<h4>Lake <code>{text(lake.root)}</code></h4>{_source(getattr(lake, 'source', None))}"
    if datasets is None:
        return drawing(head, '<p class="dim">lake.datasets() says what it holds</p>')
    if datasets.is_empty():
        return drawing(head, '<p class="dim">empty: lake.pull(query) fills it</p>')
    return drawing(head, _datasets(datasets), _plainly(freshness))


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


def _plainly(frame: pl.DataFrame | None) -> str:
    if frame is None or frame.is_empty():
        return ""
    return table(frame.columns, frame.head(MOST_DATASETS).rows())


def _count(value: Any) -> str:
    return number(len(value)) if isinstance(value, list | tuple) else str(value)


def _several(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _day(value: Any) -> str:
    return "" if value is None else str(value)[:10]
