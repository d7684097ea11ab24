"""Make a folder in archive layout: every row of the matrix, consistent from trades to monthly bars."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

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
from cryptolake.archive.matrix import Row, load_matrix
from cryptolake.archive.periods import DayLike, Days, parse_days
from cryptolake.sample.corrupt import damage_folder
from cryptolake.sample.csv_files import Maker
from cryptolake.sample.defects import Defect, parse_defects
from cryptolake.sample.files import MadeFile, make_files
from cryptolake.sample.folder import ArchiveFolder, published_at
from cryptolake.sample.halts import choose_halt, note_halts
from cryptolake.sample.injector import MANIFEST_SCHEMA, Injector
from cryptolake.sample.instruments import Instrument, instruments_of

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
