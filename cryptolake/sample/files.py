"""The files of one symbol and row: lines cut into days, days joined into months."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import Interval, Partition
from cryptolake.archive.keys import ArchiveKey
from cryptolake.archive.periods import Days, Period
from cryptolake.sample.csv_files import Maker, header_of
from cryptolake.sample.market import DAY_US

if TYPE_CHECKING:
    from cryptolake.archive.matrix import Row
    from cryptolake.sample.instruments import Instrument

_EPOCH = date(1970, 1, 1).toordinal()


class MadeFile(NamedTuple):
    """One file to be: its key, its CSV with the header it has, and its rows."""

    key: ArchiveKey
    text: bytes
    rows: int


def make_files(
    maker: Maker,
    row: Row,
    instrument: Instrument,
    days: Days,
    intervals: list[Interval],
    trees: list[Partition],
) -> Iterator[MadeFile]:
    """Yield every file of a symbol in a row; a monthly one where the month's last day is covered."""
    if row.has_interval:
        made: Iterable[tuple[Interval | None, pl.DataFrame]]
        made = maker.bars(row.data_type, instrument, intervals, days)
    else:
        made = [(None, maker.lines(row.data_type, instrument, days))]
    for interval, lines in made:
        by_day = _split(lines)
        for partition in row.partitions_of(interval):
            if partition in trees:
                yield from _of_partition(by_day, partition, row, instrument.symbol, interval, days)


def _split(lines: pl.DataFrame) -> dict[date, tuple[bytes, int]]:
    """Cut lines, in order of time, into the text and the number of rows of each day."""
    if lines.is_empty():
        return {}
    text = lines["text"].str.join("\n").item().encode() + b"\n"
    ends = (lines["text"].str.len_bytes().cast(pl.Int64) + 1).cum_sum()
    runs = (
        lines.select(day=pl.col("time") // DAY_US, end=ends)
        .group_by("day", maintain_order=True)
        .agg(pl.col("end").last(), rows=pl.len())
    )
    cut: dict[date, tuple[bytes, int]] = {}
    begin = 0
    for number, end, count in runs.iter_rows():
        cut[date.fromordinal(_EPOCH + number)] = (text[begin:end], count)
        begin = end
    return cut


def _of_partition(
    by_day: dict[date, tuple[bytes, int]],
    partition: Partition,
    row: Row,
    symbol: str,
    interval: Interval | None,
    days: Days,
) -> Iterator[MadeFile]:
    periods: dict[Period, list[date]] = {}
    for day in by_day:
        period = Period.day(day)
        if partition is Partition.MONTHLY:
            period = period.of_month
        periods.setdefault(period, []).append(day)
    for period, held in periods.items():
        if partition is Partition.MONTHLY and period.days.last > days.last:
            continue
        key = ArchiveKey(row.market, row.data_type, symbol, interval, period)
        header = header_of(row.market, row.data_type, period)
        text = b"".join([header, *(by_day[day][0] for day in held)])
        yield MadeFile(key, text, sum(by_day[day][1] for day in held))
