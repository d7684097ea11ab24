"""A Plan, drawn: totals, by dataset, what is missing and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptolake.render.html import drawing, facts, never_raises, number, size, table, text

if TYPE_CHECKING:
    import polars as pl

    from cryptolake.planning.plan import Plan

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
