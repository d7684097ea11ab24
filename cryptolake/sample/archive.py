"""Make a folder in archive layout: every row of the matrix, consistent from trades to monthly bars."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from cryptolake.archive.enums import (
    DataType,
    Interval,
    Market,
    Partition,
    parse_data_type,
    parse_dataset,
    parse_interval,
    parse_market,
)
from cryptolake.archive.keys import ArchiveKey
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import DayLike, Days, Period, parse_days
from cryptolake.errors import InvalidQuery
from cryptolake.sample.corrupt import damage_folder
from cryptolake.sample.csv_files import Maker, header_of
from cryptolake.sample.defects import Defect, parse_defects
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.injector import MANIFEST_SCHEMA, Harm, Injector, group_of
from cryptolake.sample.instruments import INSTRUMENTS, Instrument, instruments_of, life
from cryptolake.sample.klines import make_grid, off_grid_end
from cryptolake.sample.market import DAY_US, Halt, microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptolake.archive.matrix import Row
    from cryptolake.sample.instruments import Instrument


_BEGIN = timedelta(hours=3, minutes=12, seconds=20, milliseconds=250)
_END = timedelta(hours=5, minutes=28, seconds=14, milliseconds=789)

Halts = dict[tuple[Market, str], Halt]
"""Which symbols stop trading, and when."""


def choose_halt(made: Sequence[tuple[Row, Instrument, Days]], seed: int) -> Halts:
    """Choose a symbol with klines and a day in the middle of its days on which it halts.

    Returns
    -------
    dict
        One symbol's halt.

    Raises
    ------
    InvalidQuery
        No symbol has klines.
    """
    places = []
    for row, instrument, days in made:
        middle = days.first + timedelta(days=len(days) // 2)
        day = datetime(middle.year, middle.month, middle.day, tzinfo=UTC)
        opens, closes = life(instrument)
        if row.data_type is DataType.KLINES and opens <= day and closes > day + timedelta(days=1):
            places.append((instrument, day))
    if not places:
        message = (
            "no file here can show exchange_halt: it needs klines of a symbol for a whole day."
        )
        raise InvalidQuery(message, what="defect", given=Defect.EXCHANGE_HALT.value)
    instrument, day = random.Random(f"{seed}/halt").choice(places)
    halt = Halt(microseconds(day + _BEGIN), microseconds(day + _END))
    return {(instrument.market, instrument.symbol): halt}


def note_halts(injector: Injector, halts: Halts) -> None:
    """Write a halt into the manifest, for each daily file of klines, and keep other defects away."""
    for (market, symbol), halt in halts.items():
        day = datetime.fromtimestamp(halt.begin / 1e6, UTC).date()
        for file in injector.files:
            if (file.market, file.symbol) != (market, symbol):
                continue
            injector.claimed.add(group_of(file))
            if file.interval is not None and file.period.days == Days(day, day):
                _note(injector, file, halt)


def _note(injector: Injector, file: ArchiveKey, halt: Halt) -> None:
    interval = file.interval
    if file.data_type is not DataType.KLINES or interval is None:
        return
    like = next((i for i in INSTRUMENTS if i.market is file.market), INSTRUMENTS[0])
    whole = make_grid(file.period.days, interval, like, None)
    left = make_grid(file.period.days, interval, like, halt)
    gone = whole.join(left, on="open_time", how="anti")["open_time"]
    if interval is Interval.H1:
        gone = gone.filter((gone >= halt.begin) & (gone + 3_600_000_000 <= halt.end))
    begin, end = (datetime.fromtimestamp(t / 1e6, UTC) for t in (halt.begin, halt.end))
    detail = f"no trading from {begin:%H:%M:%S} to {end:%H:%M:%S}"
    if interval is Interval.H1:
        back = datetime.fromtimestamp(off_grid_end(halt) / 1e6, UTC)
        detail += f"; bars off the grid until {back:%H:%M}"
    times = gone.sort().to_list()
    first, last = (times[0], times[-1]) if times else (None, None)
    injector.note(Defect.EXCHANGE_HALT, file, Harm(file.key, first, last, len(times), detail))


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
    manifest: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MANIFEST_SCHEMA))


def generate(
    root: str | Path,
    *,
    rows: Iterable[str | tuple[str, str]] | None = None,
    symbols: Iterable[str] | None = None,
    intervals: Iterable[str] | None = None,
    partitions: Iterable[str] = ("daily", "monthly"),
    days: tuple[DayLike, DayLike] | Days | DayLike | None = None,
    defects: Iterable[str] = (),
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
    defects
        Words of :class:`Defect`, or ``"all"``. Each damages a symbol-month of its own; what was done is in
        the summary's ``manifest``, and in ``defects.json`` beside ``data``.
    seed
        Another seed, other prices (and other places for the defects).

    Returns
    -------
    SampleSummary
        Counts, and the manifest of defects.

    Raises
    ------
    InvalidQuery
        A row, interval, day or defect that does not exist, or a defect that no file here can show.

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
    wrong = parse_defects(defects)
    made = [
        (row, instrument, lived)
        for row in wanted
        if (lived := _clip(row, span or _window(row))) is not None
        for instrument in instruments_of(row.market, row.data_type, names)
    ]
    halts = choose_halt(made, seed) if Defect.EXCHANGE_HALT in wrong else {}
    maker = Maker(seed, halts)
    summary = SampleSummary(folder.root, seed, datasets=tuple(row.dataset for row in wanted))

    def write(file: MadeFile) -> tuple[int, int]:
        moment = published_at(file.key.period, file.key.market)
        return file.rows, folder.write_zip(file.key.key, file.text, moment, file.key.market)

    # Deflate and sha256 release the GIL, so writing overlaps with making the next interval's rows.
    with ThreadPoolExecutor(2) as pool:
        for row, instrument, lived in made:
            levels = _intervals(row, instrument, chosen)
            files = make_files(maker, row, instrument, lived, levels, trees)
            for count, size in pool.map(write, files):
                summary.files += 1
                summary.rows += count
                summary.bytes += size
    if wrong:
        injector = Injector(folder, seed)
        note_halts(injector, halts)
        damage_folder(injector, wrong)
        summary.manifest = injector.manifest()
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
    if row.data_type is not _KLINES:
        return [interval for interval in row.all_intervals if interval in _SAMPLED]
    few = _SOME if instrument.main or instrument.events >= _LIQUID else _FEW
    return [interval for interval in row.all_intervals if interval in few]
