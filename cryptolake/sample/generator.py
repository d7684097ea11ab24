"""Make a folder in archive layout: every row of the matrix, consistent from trades to monthly bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from cryptolake.availability import Row, load_matrix
from cryptolake.keys import ArchiveKey
from cryptolake.periods import DayLike, Days, Period, parse_days
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.instruments import Instrument, instruments_of
from cryptolake.sample.lines import Maker, header_of
from cryptolake.sample.tape import DAY_US, day_number
from cryptolake.vocabulary import (
    DataType,
    Interval,
    Market,
    Partition,
    parse_data_type,
    parse_dataset,
    parse_interval,
    parse_market,
)

DEFAULT_DAYS = parse_days("2024-12-27", "2025-02-02")
"""The sample's days: the change to microseconds in the middle, a month not yet published at the end."""

_WINDOWS: dict[tuple[Market, DataType], Days] = {
    (Market.FUTURES_UM, DataType.BOOK_TICKER): parse_days("2024-03-25", "2024-03-30"),
    (Market.FUTURES_UM, DataType.LIQUIDATION_SNAPSHOT): parse_days("2024-03-28", "2024-03-31"),
    (Market.FUTURES_CM, DataType.BOOK_TICKER): parse_days("2024-09-25", "2024-10-02"),
    (Market.FUTURES_CM, DataType.LIQUIDATION_SNAPSHOT): parse_days("2024-10-10", "2024-10-14"),
    (Market.OPTIONS, DataType.BVOL_INDEX): parse_days("2024-12-31", "2025-01-01"),
    (Market.OPTIONS, DataType.EOH_SUMMARY): parse_days("2023-10-20", "2023-10-23"),
}
"""Days of the rows that stopped before the sample's own, or are long."""

_SHORT = parse_days("2024-12-30", "2025-01-03")
_DENSE = (DataType.TRADES, DataType.AGG_TRADES, DataType.BOOK_DEPTH)

_WITHDRAWN = {(Market.FUTURES_UM, DataType.LIQUIDATION_SNAPSHOT)}
_KLINES = DataType.KLINES
_FEW = tuple(Interval(word) for word in ("15m", "1h", "1d"))
_SOME = tuple(Interval(word) for word in ("1m", "1h", "1d", "1mo"))
_LIQUID = 720  # aggregate trades a day from which a symbol has minutes in the sample
_LISTED_FOR_SECONDS = "FLASHUSDT"


@dataclass
class SampleSummary:
    """What was written: counts, and the manifest of injected defects.

    ``files`` counts zips (each has a sidecar unless a defect took it away); ``bytes`` is the size of the
    zips; ``rows`` counts CSV rows; ``manifest`` has a row per injected defect (see ``defects``).
    """

    root: Path
    seed: int
    files: int = 0
    bytes: int = 0
    rows: int = 0
    datasets: tuple[str, ...] = ()
    manifest: pl.DataFrame = field(default_factory=pl.DataFrame)


class _File(NamedTuple):
    key: ArchiveKey
    text: bytes
    rows: int


def generate(
    root: str | Path,
    *,
    rows: Iterable[str | tuple[str, str]] | None = None,
    symbols: Iterable[str] | None = None,
    intervals: Iterable[str] | None = None,
    partitions: Iterable[str] = ("daily", "monthly"),
    days: tuple[DayLike, DayLike] | Days | DayLike | None = None,
    seed: int = 0,
) -> SampleSummary:
    """Write a sample archive: zips and CHECKSUM sidecars below ``<root>/data``.

    The same arguments give the same bytes. Klines of every interval add up from the same trades that the
    trades and aggTrades files hold, and a monthly file is its daily files one after the other. A monthly
    file exists when the month's last day is among the days, as the real one appears after the month.

    Parameters
    ----------
    root
        The folder to write to; made when absent.
    rows
        Datasets, as SQL names (``"futures_um_agg_trades"``) or pairs of market and data type. Left out:
        every row of the matrix of which the archive has files.
    symbols
        Names or globs; a name that the sample does not know is made up. Left out: the built-in ones.
    intervals
        Intervals of klines. Left out: all for the main symbols' klines, a few for the others.
    partitions
        Which of the two trees to write.
    days
        UTC days, both ends in, as ``(first, last)``, or a month as ``"2025-01"``. Left out: 2024-12-27 to
        2025-02-02, and the last days of rows that have been discontinued.
    seed
        Another seed, other prices.

    Returns
    -------
    SampleSummary
        Counts, and the manifest of defects.

    Raises
    ------
    InvalidQuery
        A row, interval or day that does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = generate(
    ...         folder,
    ...         rows=["spot_klines"],
    ...         symbols=["BTCUSDT"],
    ...         intervals=["1h"],
    ...         days="2025-01-01",
    ...     )
    >>> summary.files, summary.rows
    (1, 24)
    """
    folder = ArchiveFolder(Path(root).expanduser())
    wanted = _rows(rows)
    names = None if symbols is None else list(symbols)
    chosen = None if intervals is None else [parse_interval(word) for word in intervals]
    trees = [Partition(word) for word in partitions]
    span = None if days is None else _days(days)
    maker = Maker(seed)
    summary = SampleSummary(folder.root, seed, datasets=tuple(row.dataset for row in wanted))

    def write(file: _File) -> tuple[int, int]:
        moment = published_at(file.key.period, file.key.market)
        return file.rows, folder.write_zip(file.key.key, file.text, moment, file.key.market)

    # Deflate and sha256 release the GIL, so writing overlaps with making the next symbol's rows.
    with ThreadPoolExecutor(2) as pool:
        for row in wanted:
            window = span or _window(row)
            lived = _clip(row, window)
            if lived is None:
                continue
            for instrument in instruments_of(row.market, row.data_type, names):
                files = _files(maker, row, instrument, lived, chosen, trees)
                for count, size in pool.map(write, files):
                    summary.files += 1
                    summary.rows += count
                    summary.bytes += size
    return summary


def _rows(rows: Iterable[str | tuple[str, str]] | None) -> list[Row]:
    matrix = load_matrix()
    if rows is None:
        pairs = [(r.market, r.data_type) for r in matrix.rows if r.status != "never_observed"]
        return [matrix.row(*pair) for pair in pairs if pair not in _WITHDRAWN]
    named = [
        parse_dataset(row)
        if isinstance(row, str)
        else (parse_market(row[0]), parse_data_type(row[1]))
        for row in rows
    ]
    return [matrix.row(market, data_type) for market, data_type in named]


def _days(days: tuple[DayLike, DayLike] | Days | DayLike) -> Days:
    if isinstance(days, Days):
        return days
    return parse_days(*days) if isinstance(days, tuple) else parse_days(days)


def _window(row: Row) -> Days:
    usual = _SHORT if row.data_type in _DENSE else DEFAULT_DAYS
    return _WINDOWS.get((row.market, row.data_type), usual)


def _clip(row: Row, days: Days) -> Days | None:
    last = row.last_date or days.last
    if days.last < row.first_date or days.first > last:
        return None
    return days.clip(Days(row.first_date, last))


def _intervals(row: Row, instrument: Instrument, chosen: list[Interval] | None) -> list[Interval]:
    if chosen is not None:
        return [interval for interval in row.all_intervals if interval in chosen]
    if instrument.symbol == _LISTED_FOR_SECONDS:
        return list(row.all_intervals[:3])
    if instrument.main and row.data_type is _KLINES:
        return [interval for interval in row.all_intervals if interval is not Interval.S1]
    if not instrument.main and row.data_type is not _KLINES:
        return [interval for interval in row.all_intervals if interval in _FEW[1:]]
    few = _SOME if instrument.main or instrument.events >= _LIQUID else _FEW
    return [interval for interval in row.all_intervals if interval in few]


def _files(
    maker: Maker,
    row: Row,
    instrument: Instrument,
    days: Days,
    chosen: list[Interval] | None,
    trees: list[Partition],
) -> Iterator[_File]:
    if row.has_interval:
        levels = _intervals(row, instrument, chosen)
        made: Iterable[tuple[Interval | None, pl.DataFrame]]
        made = maker.bars(row.data_type, instrument, levels, days)
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


_EPOCH = date(1970, 1, 1).toordinal() - day_number(date(1970, 1, 1))


def _of_partition(
    by_day: dict[date, tuple[bytes, int]],
    partition: Partition,
    row: Row,
    symbol: str,
    interval: Interval | None,
    days: Days,
) -> Iterator[_File]:
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
        yield _File(key, text, sum(by_day[day][1] for day in held))
