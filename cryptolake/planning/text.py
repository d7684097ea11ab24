"""A plan as plain text: one table of totals and what a reader should know. Pure; never raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import dataset_name

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan

_HEAD = ("dataset", "interval", "symbols", "files", "cached", "new", "updated", "other", "missing")
_MOST_ROWS = 20


def size_text(size: float) -> str:
    """Write bytes with a decimal unit.

    Examples
    --------
    >>> size_text(512), size_text(23_400_000)
    ('512 B', '23.4 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def plan_text(plan: Plan) -> str:
    """Draw a plan in plain text."""
    from cryptolake.planning.plan import age_of

    try:
        rows = _rows(plan)
        shown = [_HEAD, *rows[:_MOST_ROWS]]
        widths = [max(len(row[i]) for row in shown) for i in range(len(_HEAD))]
        table = [
            "  ".join(_cell(row, i, w) for i, w in enumerate(widths)).rstrip() for row in shown
        ]
        if len(rows) > _MOST_ROWS:
            table.append(f"… and {len(rows) - _MOST_ROWS} rows more")
        moving = f"to move: {plan.to_transfer:,} files, {size_text(plan.total_bytes)}"
        if plan.to_transfer:
            moving += f" (and {size_text(plan.sidecar_bytes)} of checksums)"
        listing = f"listing of {plan.archive}: {age_of(plan.listed_at, plan.created_at)}"
        notes = [f"note: {note}" for note in plan.notes]
        return "\n".join([f"Plan {plan.id}", f"{plan.query!r}", *table, moving, listing, *notes])
    except Exception as error:  # noqa: BLE001 - a repr never raises
        return f"Plan {plan.id} (cannot be drawn: {type(error).__name__}: {error})"


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    group = ["market", "data_type", "interval"]
    status = pl.col("status")
    other = ~status.is_in(["cached", "new", "updated"])
    counts = plan.rows.sums(
        group,
        pl.len().alias("files"),
        (status == "cached").sum().alias("cached"),
        (status == "new").sum().alias("new"),
        (status == "updated").sum().alias("updated"),
        other.sum().alias("other"),
    )
    named = (
        plan.rows.select(*group, "symbol").group_by(group).agg(symbols=pl.col("symbol").unique())
    )
    files = counts.join(named, on=group, nulls_equal=True)
    missing = plan.missing_periods.group_by(group).agg(
        missing=pl.len(), without=pl.col("symbol").unique()
    )
    both = files.join(missing, on=group, how="full", coalesce=True, nulls_equal=True).sort(group)
    return [
        (
            dataset_name(row["market"], row["data_type"]),
            row["interval"] or "",
            f"{len({*(row['symbols'] or ()), *(row['without'] or ())}):,}",
            *(f"{row[name] or 0:,}" for name in ("files", "cached", "new", "updated", "other")),
            f"{row['missing'] or 0:,}",
        )
        for row in both.iter_rows(named=True)
    ]


def _cell(row: tuple[str, ...], index: int, width: int) -> str:
    return row[index].ljust(width) if index < 2 else row[index].rjust(width)
