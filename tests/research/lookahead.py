"""The look-ahead test: what is decided by a moment must not move when what is known after it changes.

How to use it, for anything that is made of Silver (a panel, a join, a universe, a recipe of Gold)::

    future = Future(
        lake, at("2025-01-01T07:23:17.25"), tmp_path
    )  # a copy of the lake with another future
    seen = future.compare(
        lambda lake: lake.panel(query), END_OF_BAR
    )  # END_OF_BAR: when a row is decided
    assert seen.decided and seen.changed_later and not seen.changed

:class:`Future` copies the lake, and permutes and scales the numbers of every Silver row that is known after the
moment. When a row is known is written out in :func:`known_at`, apart from the code under test. ``compare`` makes
the thing from both lakes and counts the rows decided by the moment, those of them that differ (which must be
none), and the later ones that differ (without which the test proves nothing).

The moment lies off every grid (07:23:17.25, not 08:00): at a full hour a join that looks ahead passes. Beside
each test stands a control that must fail: the same made the usual wrong way has ``changed`` rows. Ticks are
decided at their own time, when they themselves are not known yet: leave their own numbers out of the frame.
Gold is not copied, so that recipes are built anew from the changed Silver. What is made of other files changes them
itself and counts with :func:`compared`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

import cryptolake as cl

Make = Callable[[cl.Lake], pl.DataFrame]

KEPT = frozenset(
    {
        *("trade_id", "agg_trade_id", "first_trade_id", "last_trade_id", "update_id"),
        *("funding_interval_hours", "percentage", "strike_price"),
    }
)
"""Numbers that say which row it is."""

_SECONDS = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
    "3d": 259200,
    "1w": 604800,
}
_LATER = {
    "trades": "1ms",
    "aggTrades": "1ms",
    "bookTicker": "1ms",
    "fundingRate": "0ms",
    "metrics": "5m",
    "bookDepth": "1s",
    "liquidationSnapshot": "1s",
    "BVOLIndex": "1ms",
    "EOHSummary": "1h",
}


def at(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def end_of_bar(interval: str) -> pl.Expr:
    """Return when a bar is over, which is when it is decided."""
    if interval == "1mo":
        return pl.col("open_time").dt.offset_by("1mo")
    return pl.col("open_time") + pl.duration(seconds=_SECONDS[interval])


def known_at(path: Path) -> pl.Expr:
    """Return when the rows of a Silver file are known, from its path."""
    words = dict(part.split("=", 1) for part in path.parts if "=" in part)
    if "interval" in words:
        return pl.max_horizontal(
            end_of_bar(words["interval"]), pl.col("close_time") + pl.duration(microseconds=1)
        )
    kind = words["data_type"]
    stamp = pl.max_horizontal("time", "event_time") if kind == "bookTicker" else pl.col("time")
    return stamp.dt.offset_by(_LATER[kind])


class Seen(NamedTuple):
    """What came of a comparison: rows decided by the moment, those that differ, and later ones that do."""

    decided: int
    changed: int
    changed_later: int


def compared(one: pl.DataFrame, two: pl.DataFrame, early: pl.Expr) -> Seen:
    """Count what differs of two frames, in the rows that are decided early and in the others."""
    assert one.schema == two.schema
    assert one.height == two.height
    marked = one.select(
        early=early,
        differs=pl.any_horizontal([one[name].ne_missing(two[name]) for name in one.columns]),
    )
    first, later = marked.filter("early"), marked.filter(~pl.col("early"))
    return Seen(first.height, int(first["differs"].sum()), int(later["differs"].sum()))


class Future:
    """A lake beside its copy in which everything that is known after a moment is otherwise.

    Parameters
    ----------
    lake
        A lake on a disk; it is only read.
    moment
        The moment, off every grid.
    folder
        Where the copy is made.
    """

    def __init__(self, lake: cl.Lake, moment: datetime, folder: Path, seed: int = 1) -> None:
        self.lake, self.moment, self.rows = lake, moment, 0
        root, copy = Path(lake.root), folder / f"future-{moment:%Y%m%dT%H%M%S%f}"
        shutil.copytree(root / "meta", copy / "meta") if (root / "meta").is_dir() else None
        for file in sorted((root / "silver").rglob("*.parquet")):
            target = copy / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._rewrite(file, target, seed)
        self.other = cl.Lake(copy, source=lake.source)
        assert self.rows, "nothing in the lake is known after the moment"

    def compare(self, make: Make, decided: pl.Expr) -> Seen:
        """Make something from both lakes, and count what differs by the moment and after it."""
        return compared(make(self.lake), make(self.other), decided <= self.moment)

    def _rewrite(self, file: Path, target: Path, seed: int) -> None:
        rows = pl.read_parquet(file, hive_partitioning=False)
        after = rows.select(known_at(file) > self.moment).to_series()
        if not after.any():
            shutil.copy(file, target)
            return
        self.rows += int(after.sum())
        future = rows.filter(after)
        changes: list[pl.Series] = []
        for place, (name, kind) in enumerate(future.schema.items()):
            if name in KEPT:
                continue
            if kind == pl.Boolean:
                changes.append(~future[name])
            elif kind.is_numeric():
                shuffled = future[name].shuffle(seed=seed + place) * (2 + place % 5)
                changes.append((shuffled + 1).cast(kind))
        changed = pl.concat([rows.filter(~after), future.with_columns(changes)])
        time = "open_time" if "open_time" in rows.columns else "time"
        assert rows[time].equals(changed.sort(time, maintain_order=True)[time])
        changed.sort(time, maintain_order=True).write_parquet(
            target, metadata=pl.read_parquet_metadata(file)
        )
