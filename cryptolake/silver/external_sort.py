"""Rows that come in parts to one sorted sequence without repeats, in bounded memory.

The archive's files are nearly always in order, so the usual way is :func:`in_passing`: each part is sorted
with the last rows of the one before. Where that is not enough (interleaved files, daily files beside
their monthly one), :class:`SortedRuns` sorts runs to disk and reads them back by ranges of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.silver.assembly import Finding
from cryptolake.silver.dedupe import merge
from cryptolake.silver.parse import FILE

if TYPE_CHECKING:
    from pathlib import Path

    from cryptolake.silver.assembly import MonthAssembler


@dataclass(frozen=True)
class Sizes:
    """How much is in memory at a time: bytes of text, and rows."""

    chunk: int = 16 * 2**20
    """Bytes of CSV parsed at a time."""
    held: int = 20_000
    """Rows held back to be sorted with those that follow."""
    run: int = 1_000_000
    """Rows sorted at a time where a file is out of order."""


DEFAULT_SIZES = Sizes()


class OutOfOrder(Exception):
    """Rows belong before rows that were already passed on."""


def in_passing(
    frames: Iterable[pl.DataFrame], assembler: MonthAssembler, held: int
) -> Iterator[pl.DataFrame]:
    """Yield parts in order, each key once, holding back the last rows until the next part is seen.

    Raises
    ------
    OutOfOrder
        A part reaches back beyond what was held.
    """
    frontier = _Frontier(assembler)
    kept: pl.DataFrame | None = None
    for frame in frames:
        if not frame.height:
            continue
        whole = frame if kept is None else pl.concat([kept, frame], how="diagonal_relaxed")
        part = _merged(whole, assembler)
        if frontier.reaches_back(part):
            raise OutOfOrder
        cut = max(0, part.height - held)
        kept = part.slice(cut)
        if cut:
            yield frontier.passed(part.slice(0, cut))
    if kept is not None:
        yield frontier.passed(kept)


class SortedRuns:
    """Sorted runs of rows in a folder, to be read back in order."""

    def __init__(self, folder: Path, assembler: MonthAssembler, sizes: Sizes) -> None:
        self.folder, self.assembler, self.sizes = folder, assembler, sizes
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._runs: list[tuple[Path, datetime, datetime]] = []
        self._hours: dict[datetime, int] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows in any order."""
        self._waiting.append(frame)
        self._rows += frame.height
        if self._rows >= self.sizes.run:
            self._write()

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield all rows in order, each key once, about a run's worth at a time."""
        self._write()
        frontier = _Frontier(self.assembler)
        time = pl.col(self.assembler.schema.time)
        for begin, end in self._ranges():
            runs = [path for path, first, last in self._runs if first < end and last >= begin]
            wanted = (time >= begin) & (time < end)
            frame = pl.concat(
                [pl.scan_parquet(path, glob=False).filter(wanted) for path in runs],
                how="diagonal_relaxed",
            ).collect()
            self.assembler.compare(frame)
            part = _merged(frame, self.assembler)
            frontier.note_repeats(part)
            yield frontier.passed(part)

    def _write(self) -> None:
        if not self._rows:
            return
        schema = self.assembler.schema
        whole = pl.concat(self._waiting, how="diagonal_relaxed").sort(schema.sort)
        self._waiting, self._rows = [], 0
        times = whole[schema.time]
        hours = whole.group_by(times.dt.truncate("1h").alias("hour")).len()
        for hour, rows in hours.iter_rows():
            self._hours[hour] = self._hours.get(hour, 0) + rows
        path = self.folder / f"run-{len(self._runs):05}.parquet"
        whole.write_parquet(path, compression="lz4", row_group_size=65_536)
        self._runs.append((path, times[0], times[-1]))

    def _ranges(self) -> Iterator[tuple[datetime, datetime]]:
        """Yield ranges of whole hours with about a run's worth of rows each."""
        hour = timedelta(hours=1)
        begin: datetime | None = None
        rows = 0
        for start, count in sorted(self._hours.items()):
            if begin is not None and rows + count > self.sizes.run:
                yield begin, start
                begin, rows = None, 0
            begin = begin or start
            rows += count
        if begin is not None:
            yield begin, max(self._hours) + hour


class _Frontier:
    """The end of what was passed on, so that what comes next can be held against it."""

    def __init__(self, assembler: MonthAssembler) -> None:
        self.assembler, self.schema = assembler, assembler.schema
        self._last: tuple[object, ...] | None = None
        self._highest: int | None = None

    def reaches_back(self, part: pl.DataFrame) -> bool:
        """Whether a sorted part begins before the end, or has running numbers already passed."""
        if self._last is None:
            return False
        first = part.select(self.schema.sort).row(0)
        if first <= self._last:
            return True
        lowest = self._number(part, highest=False)
        return lowest is not None and self._highest is not None and lowest <= self._highest

    def note_repeats(self, part: pl.DataFrame) -> None:
        """Record running numbers that stand at two distant times: both rows are kept."""
        if self.schema.id is None or self._highest is None:
            return
        again = part.filter(pl.col(self.schema.id) <= self._highest)
        for (file,), rows in again.group_by([FILE], maintain_order=True):
            key = self.assembler.files[int(str(file))].key
            times = rows[self.schema.time]
            detail = (
                f"{self.schema.id} falls while time rises; such rows are not compared for repeats"
            )
            self.assembler.find(
                Finding("ids_out_of_order", key, rows.height, times[0], times[-1], detail)
            )

    def passed(self, part: pl.DataFrame) -> pl.DataFrame:
        """Note the end of a part that is passed on, count its rows, and return it."""
        if part.height:
            self._last = part.select(self.schema.sort).row(-1)
            highest = self._number(part, highest=True)
            if highest is not None:
                self._highest = max(highest, self._highest or highest)
            self.assembler.count(part, {})
        return part

    def _number(self, part: pl.DataFrame, *, highest: bool) -> int | None:
        if self.schema.id is None or not part.height:
            return None
        column = pl.col(self.schema.id)
        found: int = part.select(column.max() if highest else column.min()).item()
        return found


def _merged(frame: pl.DataFrame, assembler: MonthAssembler) -> pl.DataFrame:
    merged = merge(frame, assembler.schema, assembler.context.periods)
    assembler.count(merged.frame.clear(), merged.duplicates)
    assembler.disagree(merged.conflicts)
    return merged.frame
