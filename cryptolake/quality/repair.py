"""``lake.heal(query)``: fetch the sibling files that could fill each gap, merge them, say what they gave.

Only Bronze files heal Silver, so Silver stays what its files say: the build merges the daily and the
monthly file of a month. Bars made from finer ones or from trades are another matter; they are kept
apart, marked, in Gold (:mod:`cryptolake.gold.filled`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition, dataset_name
from cryptolake.archive.keys import IN_TREE
from cryptolake.archive.periods import Period
from cryptolake.bronze.ledger import holdings, in_months, scope_of_keys
from cryptolake.listing.identity import require_own_archive
from cryptolake.planning.planner import plan_of
from cryptolake.quality.causes import OPEN, OUTSIDE
from cryptolake.quality.report import GAPS, gaps_of, who_of
from cryptolake.quality.survey import Survey, survey
from cryptolake.quality.tick_holes import TickHole, tick_holes
from cryptolake.storage.layout import silver_path
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.tables import Meta, TableReader
    from cryptolake.transfer.pull import RunSettings

_WHO = ["market", "data_type", "symbol", "interval", "month"]

HEALED: dict[str, Any] = {
    **{name: GAPS[name] for name in (*_WHO, "first", "last", "bars")},
    "unit": pl.String,
    "filled": pl.Int64,
    "outcome": pl.String,
    "cause": pl.String,
    "evidence": pl.String,
    "fetched": pl.List(pl.String),
}
"""The columns of :func:`heal`."""


def heal(
    query: Query,
    lake: LakeContext,
    settings: RunSettings,
    *,
    refresh: bool = False,
) -> pl.DataFrame:
    """Fill the gaps of a query from sibling files: bars, days, and ids and hours that ticks lack.

    For each gap the files of the other partition that cover it are fetched, where the archive has them
    and the lake does not; the months are built anew; each gap is looked at again. Gaps inside a known
    halt are left alone, since no file can have them. Of trades, aggTrades and quotes parts of days are
    healed too (:mod:`cryptolake.quality.tick_holes`).

    Parameters
    ----------
    query
        What to heal; a glob means the symbols that the lake holds.
    lake
        The lake and its archive.
    settings
        How to transfer and build.
    refresh
        Ask the archive for its listing again.

    Returns
    -------
    polars.DataFrame
        One row per gap that was there: ``bars`` missing before (in ``unit``: bars, days, ids or hours),
        ``filled`` of them now; ``outcome``:
        ``healed``, ``partly healed``, ``not healed`` (a sibling was read and lacks them too),
        ``failed`` (the sibling could not be fetched) or ``nothing to fetch``; ``cause`` and ``evidence`` as
        they are known now (what was filled is an ``archive_gap``); ``fetched`` the sibling files.
        Outcomes of gaps for which a file was fetched are recorded in ``meta.findings``.
    """
    require_own_archive(lake)
    before = survey(query, lake, listed=True, refresh=refresh)
    broken = gaps_of(before).filter(~pl.col("healed") & ~pl.col("cause").is_in(OUTSIDE))
    ticks = tick_holes(before)
    siblings = broken.filter(pl.col("cause").is_in(OPEN))["siblings"].to_list()
    wanted = _to_fetch([*siblings, *(hole.siblings for hole in ticks)], before)
    if wanted.height:
        plan = plan_of(wanted, lake, notes=["files that may fill gaps"])
        settings.transfer(plan, lake)
    months = _ledger_of([*_months_of(broken), *_months_of_ticks(ticks)], query, lake.records)
    if months.height:
        settings.build(months, lake)
    now = survey(query, lake, listed=True)
    fetched = set(wanted["key"])
    stored = set(lake.records.ledger(scope=scope_of_keys(wanted["key"]))["key"])
    rows = [
        *_outcomes(broken, gaps_of(now), fetched, stored),
        *_tick_outcomes(ticks, tick_holes(now), fetched, stored),
    ]
    healed = pl.DataFrame(rows, schema=HEALED, orient="row")
    _record(healed, lake.tables)
    return healed


def _to_fetch(wanted: Iterable[Iterable[str]], seen: Survey) -> pl.DataFrame:
    """Return the listing's rows of the files to fetch: for each gap the partition with fewer bytes."""
    listed = {
        row["key"]: row
        for folder in {id(month.folder): month.folder for month in seen.months}.values()
        if folder.listed is not None
        for row in folder.listed.iter_rows(named=True)
    }
    held = {
        key
        for month in seen.months
        for key in (*month.folder.held["key"], *month.folder.quarantined)
    }
    chosen: dict[str, dict[str, Any]] = {}
    for siblings in wanted:
        files = [listed[key] for key in siblings if key in listed and key not in held]
        by_partition: dict[str, list[dict[str, Any]]] = {}
        for file in files:
            by_partition.setdefault(file["partition"], []).append(file)
        if by_partition:
            cheapest = min(by_partition.values(), key=lambda group: sum(f["size"] for f in group))
            chosen |= {file["key"]: file for file in cheapest}
    schema = next(
        (m.folder.listed.schema for m in seen.months if m.folder.listed is not None), None
    )
    return pl.DataFrame(list(chosen.values()), schema=schema or {"key": pl.String}, orient="row")


def _months_of(broken: pl.DataFrame) -> Iterator[tuple[str | None, ...]]:
    """Yield the symbol-months that have gaps."""
    yield from broken.select(_WHO).unique(maintain_order=True).iter_rows()


def _months_of_ticks(holes: Iterable[TickHole]) -> Iterator[tuple[str | None, ...]]:
    """Yield the symbol-months that holes lie in; one may reach from one month into the next."""
    for hole in holes:
        for month in hole.days.months():
            yield (*who_of(hole.month)[:-1], str(month))


def _ledger_of(
    months: Iterable[tuple[str | None, ...]], query: Query, records: TableReader
) -> pl.DataFrame:
    """Return the ledger rows of some symbol-months."""
    wanted = pl.DataFrame(
        list(set(months)), schema={name: GAPS[name] for name in _WHO}, orient="row"
    )
    return in_months(holdings(records, query), wanted)


def _outcomes(
    broken: pl.DataFrame, after: pl.DataFrame, fetched: set[str], stored: set[str]
) -> list[tuple[Any, ...]]:
    """Say of each gap there was how many of its bars are filled now, and by what."""
    open_now = after.filter(~pl.col("healed"))
    mended = after.filter("healed")
    rows = []
    for gap in broken.iter_rows(named=True):
        left, mended_here = _inside(open_now, gap), _inside(mended, gap)
        keys = [key for key in gap["siblings"] if key in fetched]
        filled = gap["bars"] - sum(_overlap(row, gap) for row in left)
        outcome = _outcome(filled, gap["bars"], keys, stored)
        now = (left or mended_here or [gap])[0]
        cause, evidence = now["cause"], now["evidence"]
        if outcome == "healed":
            cause = "archive_gap"
            if now is gap:
                evidence = f"{evidence}; filled from the {_givers(keys)} file"
        known = (gap[name] for name in (*_WHO, "first", "last", "bars"))
        rows.append((*known, gap["unit"], filled, outcome, cause, evidence, keys))
    return rows


def _tick_outcomes(
    holes: list[TickHole], after: list[TickHole], fetched: set[str], stored: set[str]
) -> list[tuple[Any, ...]]:
    """Say of each hole of ticks there was how many of its ids or hours are there now, and by what."""
    rows = []
    for hole in holes:
        missing = len(hole.numbers)
        filled = missing - hole.within(after)
        keys = [key for key in hole.siblings if key in fetched]
        outcome = _outcome(filled, missing, keys, stored)
        evidence = f"{hole.detail}; {_told(outcome, keys)}"
        cause = "archive_gap" if filled else "unknown"
        who = (*who_of(hole.month), hole.first, hole.last, missing, hole.unit)
        rows.append((*who, filled, outcome, cause, evidence, keys))
    return rows


def _told(outcome: str, keys: list[str]) -> str:
    """Say what a sibling gave to a hole of ticks."""
    giver = _givers(keys)
    return {
        "healed": f"filled from the {giver} file",
        "partly healed": f"filled in part from the {giver} file, which lacks the rest",
        "not healed": f"the {giver} file lacks them too",
        "failed": f"the {giver} file could not be fetched",
        "nothing to fetch": "no other file is published that is not here",
    }[outcome]


def _outcome(filled: int, bars: int, keys: list[str], stored: set[str]) -> str:
    """Name what came of a gap of so many bars, for which the files ``keys`` were fetched."""
    if filled == bars:
        return "healed"
    if filled:
        return "partly healed"
    if not keys:
        return "nothing to fetch"
    return "not healed" if stored.issuperset(keys) else "failed"


def _givers(keys: list[str]) -> str:
    """Name the partitions that filled a gap."""
    return (
        " and ".join(
            sorted({tree.value for tree in Partition if any(IN_TREE[tree] in key for key in keys)})
        )
        or "other"
    )


def _inside(gaps: pl.DataFrame, gap: dict[str, Any]) -> list[dict[str, Any]]:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(gap[name])) for name in _WHO)
    near = (pl.col("first") <= gap["last"]) & (pl.col("last") >= gap["first"])
    return gaps.filter(same & near).to_dicts()


def _overlap(row: dict[str, Any], gap: dict[str, Any]) -> int:
    """Return how many bars of a gap another one shares; both are runs of the same grid."""
    if gap["first"] >= row["first"] and gap["last"] <= row["last"]:
        return int(gap["bars"])
    if row["first"] >= gap["first"] and row["last"] <= gap["last"]:
        return int(row["bars"])
    step = (gap["last"] - gap["first"]) / max(gap["bars"] - 1, 1)
    first, last = max(row["first"], gap["first"]), min(row["last"], gap["last"])
    return round((last - first) / step) + 1 if step else 1


def _record(healed: pl.DataFrame, meta: Meta) -> None:
    now, run = datetime.now(UTC), new_run_id()
    recorded = healed.filter((pl.col("fetched").list.len() > 0) | (pl.col("filled") > 0))
    rows = [
        {
            "dataset": dataset_name(row["market"], row["data_type"]),
            "path": _path(row),
            "symbol": row["symbol"],
            "interval": row["interval"],
            "kind": "healed" if row["filled"] else "not_healed",
            "first": row["first"],
            "last": row["last"],
            "rows": row["filled"],
            "detail": f"{row['outcome']}: {row['filled']} of {row['bars']} {row['unit']}; {row['evidence']}",
            "key": ", ".join(row["fetched"]) or None,
            "at": now,
            "run_id": run,
        }
        for row in recorded.iter_rows(named=True)
    ]
    meta.append("findings", rows)
    meta.settle()


def _path(row: dict[str, Any]) -> str:
    interval = Interval(row["interval"]) if row["interval"] else None
    market, data_type = Market(row["market"]), DataType(row["data_type"])
    return silver_path(market, data_type, row["symbol"], interval, Period.parse(row["month"]))
