"""Write a sample archive: every row of the matrix, consistent from trades to monthly bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from cryptolake.archive.enums import (
    DataType,
    Interval,
    Market,
    Partition,
    parse_data_type,
    parse_interval,
    parse_market,
)
from cryptolake.archive.keys import ArchiveKey
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import DayLike, Days, Period, parse_days
from cryptolake.errors import InvalidQuery, unknown_word
from cryptolake.sample.corrupt import Halts, choose_halt, damage_folder, note_halts
from cryptolake.sample.csv_files import Maker, header_of
from cryptolake.sample.defects import FITTING, Defect, parse_defects
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.injector import MANIFEST_SCHEMA, Injector
from cryptolake.sample.instruments import Instrument, instruments_of
from cryptolake.sample.market import DAY_US, Halt, microseconds
from cryptolake.user_files import user_path

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
_SAMPLED = tuple(Interval(word) for word in ("1h", "1d", "1mo"))  # of mark, index and premium
_LIQUID = 720  # aggregate trades a day from which a symbol has minutes in the sample
_LISTED_FOR_SECONDS = "FLASHUSDT"
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass
class SampleSummary:
    """What was written: counts, and the manifest of injected defects.

    ``files`` counts zips (each has a sidecar unless a defect took it away); ``bytes`` is the size of the
    zips; ``rows`` counts CSV rows; ``manifest`` has a row per injected defect (see ``defects``), and ``left_out``
    says why a defect could not be shown.
    """

    root: Path
    seed: int
    files: int = 0
    bytes: int = 0
    rows: int = 0
    datasets: tuple[str, ...] = ()
    manifest: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MANIFEST_SCHEMA))
    left_out: dict[str, str] = field(default_factory=dict)


def sample_archive(
    folder: str | Path,
    *,
    days: tuple[DayLike, DayLike] | Days | DayLike | None = None,
    symbols: Iterable[str | Instrument] | None = None,
    datasets: Iterable[str | tuple[str, str]] | None = None,
    intervals: Iterable[str] | None = None,
    partitions: Iterable[str] = ("daily", "monthly"),
    daily_from: DayLike | None = None,
    defects: Iterable[str] = (),
    halts: Mapping[str, tuple[datetime, datetime]] | None = None,
    seed: int = 0,
) -> SampleSummary:
    """Write a sample archive: zips and CHECKSUM sidecars below ``<folder>/data``.

    The same arguments give the same bytes. Klines of every interval add up from the same trades that the
    trades and aggTrades files hold, and a monthly file is its daily files one after the other. A monthly
    file exists when the month's last day is among the days, as the real one appears after the month.

    Parameters
    ----------
    folder
        The folder to write to; made when absent. :func:`cryptolake.serve_archive` serves it.
    days
        UTC days, both ends in, as ``(first, last)``, or a month as ``"2025-01"``. Left out: 2024-12-27 to
        2025-02-02, and the last days of rows that have been discontinued.
    symbols
        Names or globs; a name that the sample does not know is made up. An
        :class:`~cryptolake.sample.Instrument` says itself what it is. Left out: the built-in ones.
    datasets
        Datasets, as SQL names (``"futures_um_agg_trades"``) or pairs of market and data type. Left out:
        every row of the matrix of which the archive has files.
    intervals
        Intervals of klines. Left out: all for the main symbols' klines, a few for the others.
    partitions
        Which of the two trees to write.
    daily_from
        From which day on daily files are written; left out: from the first.
    defects
        Words of :class:`~cryptolake.sample.Defect`, ``"all"``, or ``"fitting"``: all that the files can show,
        the others being in the summary's ``left_out``. Each damages a symbol-month of its own;
        what was done is in the summary's ``manifest``, and in ``defects.json`` beside ``data``.
    halts
        By market, from when to when (UTC) all its symbols stop trading: no row in any file, and the bar
        that the stop cuts closes early.
    seed
        Another seed gives other prices, and other places for the defects.

    Returns
    -------
    SampleSummary
        Counts, and the manifest of defects.

    Raises
    ------
    InvalidQuery
        A dataset, interval, day or defect that does not exist, or a defect that no file here can show.

    Examples
    --------
    >>> import cryptolake as cl
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = cl.sample_archive(
    ...         folder,
    ...         datasets=["spot_klines"],
    ...         symbols=["BTCUSDT"],
    ...         intervals=["1h"],
    ...         days="2025-01-01",
    ...     )
    >>> summary.files, summary.rows
    (1, 24)
    """
    written = ArchiveFolder(user_path(folder))
    rows = _rows(datasets)
    names = None if symbols is None else list(symbols)
    chosen = None if intervals is None else [parse_interval(word) for word in intervals]
    trees = [Partition(word) for word in partitions]
    words = [defects] if isinstance(defects, str) else list(defects)
    wanted_defects, fitting = parse_defects(words), FITTING in words
    first_daily = None if daily_from is None else parse_days(daily_from).first
    sources = _sources(rows, names, None if days is None else _days(days))
    chosen_halts, without = _chosen_halts(sources, wanted_defects, seed, fitting=fitting)
    maker = Maker(seed, _market_halts(sources, halts or {}) | chosen_halts)
    summary = SampleSummary(written.root, seed, datasets=tuple(row.dataset for row in rows))
    with ThreadPoolExecutor(2) as pool:
        for row, instrument, lived in sources:
            levels = _intervals(row, instrument, chosen)
            span = _Span(lived, first_daily)
            _write(pool, written, _files(maker, row, instrument, span, levels, trees), summary)
    if wanted_defects:
        injector = Injector(written, seed)
        note_halts(injector, chosen_halts)
        summary.left_out = without | damage_folder(injector, wanted_defects, fitting=fitting)
        summary.manifest = injector.manifest()
    return summary


def _chosen_halts(
    sources: list[tuple[Row, Instrument, Days]], defects: list[Defect], seed: int, *, fitting: bool
) -> tuple[Halts, dict[str, str]]:
    """Return the halt that is a defect, and why there is none where only fitting ones are asked for."""
    if Defect.EXCHANGE_HALT not in defects:
        return {}, {}
    try:
        return choose_halt(sources, seed), {}
    except InvalidQuery as error:
        if not fitting:
            raise
        return {}, {Defect.EXCHANGE_HALT.value: str(error)}


def _market_halts(
    sources: list[tuple[Row, Instrument, Days]], halts: Mapping[str, tuple[datetime, datetime]]
) -> Halts:
    spans = {
        parse_market(market): Halt(*(microseconds(moment) for moment in span))
        for market, span in halts.items()
    }
    return {
        (one.market, one.symbol): spans[one.market] for _, one, _ in sources if one.market in spans
    }


def _sources(
    rows: list[Row], names: list[str | Instrument] | None, span: Days | None
) -> list[tuple[Row, Instrument, Days]]:
    """Return every symbol of every row, with its days; rows without a day in the span fall out."""
    return [
        (row, instrument, lived)
        for row in rows
        if (lived := _clip(row, span or _window(row))) is not None
        for instrument in instruments_of(row.market, row.data_type, names)
    ]


def _write(
    pool: Executor, folder: ArchiveFolder, files: Iterator[_File], summary: SampleSummary
) -> None:
    """Write files as they are made, and count them.

    Deflate and sha256 release the GIL, so writing overlaps with making the next interval's rows.
    """

    def write(file: _File) -> tuple[int, int]:
        moment = published_at(file.key.period, file.key.market)
        return file.rows, folder.write_zip(file.key.key, file.text, moment, file.key.market)

    for count, size in pool.map(write, files):
        summary.files += 1
        summary.rows += count
        summary.bytes += size


def _rows(datasets: Iterable[str | tuple[str, str]] | None) -> list[Row]:
    matrix = load_matrix()
    if datasets is None:
        pairs = [(r.market, r.data_type) for r in matrix.rows if r.status != "never_observed"]
        return [matrix.row(*pair) for pair in pairs if pair not in _WITHDRAWN]
    known = {row.dataset: row for row in matrix.rows}
    return [
        _row_of(one, known)
        if isinstance(one, str)
        else matrix.row(parse_market(one[0]), parse_data_type(one[1]))
        for one in datasets
    ]


def _row_of(name: str, known: dict[str, Row]) -> Row:
    if name not in known:
        raise unknown_word("dataset", name, known)
    return known[name]


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
    if row.data_type is not _KLINES:
        return [interval for interval in row.all_intervals if interval in _SAMPLED]
    few = _SOME if instrument.main or instrument.events >= _LIQUID else _FEW
    return [interval for interval in row.all_intervals if interval in few]


class _File(NamedTuple):
    """A file to write: its key, its CSV with its header, and its number of rows."""

    key: ArchiveKey
    text: bytes
    rows: int


class _Span(NamedTuple):
    """The days of a symbol's files, and from which of them on there are daily ones."""

    days: Days
    first_daily: date | None

    def has(self, period: Period) -> bool:
        """Whether there is a file of a period: a monthly one where the month's last day is covered."""
        if period.partition is Partition.MONTHLY:
            return period.days.last <= self.days.last
        return self.first_daily is None or period.days.first >= self.first_daily


def _files(
    maker: Maker,
    row: Row,
    instrument: Instrument,
    span: _Span,
    intervals: list[Interval],
    trees: list[Partition],
) -> Iterator[_File]:
    """Yield every file of a symbol in a row."""
    days = span.days
    if row.has_interval:
        made: Iterable[tuple[Interval | None, pl.DataFrame]]
        made = maker.bars(row.data_type, instrument, intervals, days)
    else:
        made = [(None, maker.lines(row.data_type, instrument, days))]
    for interval, lines in made:
        by_day = _split(lines)
        for partition in row.partitions_of(interval):
            if partition in trees:
                yield from _of_partition(by_day, partition, row, instrument.symbol, interval, span)


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
    span: _Span,
) -> Iterator[_File]:
    periods: dict[Period, list[date]] = {}
    for day in by_day:
        period = Period.day(day)
        if partition is Partition.MONTHLY:
            period = period.of_month
        periods.setdefault(period, []).append(day)
    for period, held in periods.items():
        if not span.has(period):
            continue
        key = ArchiveKey(row.market, row.data_type, symbol, interval, period)
        header = header_of(row.market, row.data_type, period)
        text = b"".join([header, *(by_day[day][0] for day in held)])
        yield _File(key, text, sum(by_day[day][1] for day in held))
