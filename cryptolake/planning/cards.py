"""Cards: how a Plan and a Lock show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.render.html import (
    and_more,
    drawing,
    facts,
    never_raises,
    number,
    size,
    some_of,
    table,
    text,
)

if TYPE_CHECKING:
    from cryptolake.planning.lockfile import Lock
    from cryptolake.planning.plan import Plan

MAX_GROUPS = 30
"""Rows shown of each table of a plan; the rest is counted, so that a repr stays small."""


@never_raises
def plan_html(plan: Plan) -> str:
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
    return drawn + and_more(len(rows) - MAX_GROUPS, "rows more")


def _used(rows: Sequence[Mapping[str, int]], counts: Mapping[str, object]) -> list[str]:
    """Return the counts that are drawn: the rare ones only where they are not zero, for the width."""
    rare = {"updated", "other"}
    return [name for name in counts if name not in rare or any(row[name] for row in rows)]


def _missing_periods(missing: pl.DataFrame) -> str:
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
    return f"<h5>Not published</h5>{drawn}{and_more(len(rows) - MAX_GROUPS, 'rows more')}"


@never_raises
def lock_html(lock: Lock) -> str:
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
        f"{text(some_of(lock.versions, most=12))}</p>",
    )
