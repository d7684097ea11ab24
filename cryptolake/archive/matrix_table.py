"""The availability matrix as a frame that shows itself as a grid of markets and data types."""

from __future__ import annotations

from typing import Any

import polars as pl

from cryptolake.archive.matrix import Matrix, Row, load_matrix
from cryptolake.render.html import drawing, never_raises, text, whole

_MARKS = {"live": "●", "discontinued": "◐", "never_observed": "○"}


class MatrixTable(pl.DataFrame):
    """A polars DataFrame of the whole matrix; a part of it is shown as any other frame."""

    @property
    def _is_whole(self) -> bool:
        return self.height == len(load_matrix().rows) and {"market", "notes"} <= set(self.columns)

    def _repr_html_(self, **how: Any) -> str:
        return matrix_html(load_matrix()) if self._is_whole else super()._repr_html_(**how)

    def __repr__(self) -> str:
        return matrix_text(load_matrix()) if self._is_whole else super().__repr__()

    def __str__(self) -> str:
        return repr(self) if self._is_whole else super().__str__()


@never_raises
def matrix_html(matrix: Matrix) -> str:
    """Draw the availability matrix: a row for each data type, a column for each market."""
    markets = list(dict.fromkeys(row.market for row in matrix.rows))
    types = list(dict.fromkeys(row.data_type for row in matrix.rows))
    by_pair = {(row.market, row.data_type): row for row in matrix.rows}
    head = "".join(f'<th scope="col">{text(market)}</th>' for market in markets)
    body = "".join(
        f'<tr><th scope="row">{text(kind)}</th>'
        + "".join(_matrix_cell(by_pair.get((market, kind))) for market in markets)
        + "</tr>"
        for kind in types
    )
    return drawing(
        f"<h4>What can exist in {text(matrix.bucket)}</h4>",
        f'<div class="box"><table><thead><tr><th scope="col">data type</th>{head}</tr></thead>',
        f'<tbody>{body}</tbody></table></div><p class="dim">{text(_legend())}</p>',
    )


def matrix_text(matrix: Matrix) -> str:
    """Say the availability matrix in lines, one for each market and data type, within 80 columns."""
    head = ("market", "data type", "intervals", "files", "first day", "last day", "")
    rows = [
        (
            row.market,
            row.data_type,
            _intervals(row),
            " ".join(row.partitions),
            str(row.first_date),
            str(row.last_date or ""),
            _MARKS.get(row.status, ""),
        )
        for row in matrix.rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        " ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([*lines, _legend()])


def _intervals(row: Row) -> str:
    """Return the shortest and the longest interval of bars; nothing where rows are no bars."""
    words = [interval.value for interval in row.all_intervals]
    return f"{words[0]} to {words[-1]}" if len(words) > 1 else "".join(words)


def _legend() -> str:
    return " ".join(f"{mark} {name.replace('_', ' ')}" for name, mark in _MARKS.items())


def _matrix_cell(row: Row | None) -> str:
    if row is None:
        return '<td class="dim">-</td>'
    partitions = " + ".join(row.partitions)
    days = whole(row.first_date) + (f" to {whole(row.last_date)}" if row.last_date else "")
    status = row.status.replace("_", " ")
    spans = [part for part in (text(_intervals(row)), days) if part]
    since = f"<br><span class='dim'>{'<br>'.join(spans)}</span>"
    return (
        f'<td title="{text(" ".join(row.notes))}"><span aria-label="{text(status)}">'
        f"{_MARKS.get(row.status, '')}</span> {text(partitions)}{since}</td>"
    )
