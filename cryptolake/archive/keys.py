"""The archive's keys, both ways: parts to key, key to parts. Pure.

Parsing is strict: the archive holds malformed keys (``ADABKRW-1d-2020-8.zip``), and symbols with ``_``,
``-`` or letters outside ASCII, so a key is read by the pattern of its matrix row or not at all.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptolake.archive.enums import SYMBOL, DataType, Interval, Market, Partition
from cryptolake.archive.matrix import Row, load_matrix, shipped_matrix
from cryptolake.archive.periods import DAY_IN_KEY, MONTH_IN_KEY, Period

ZIP = ".zip"
"""What a zip's key ends in, after its stem and period."""

CHECKSUM = ".CHECKSUM"
"""What a sidecar's key has after its zip's key."""

_LONGEST = 80
"""Bytes of a symbol: percent-encoded, three times as long, it is still a file's name on any disk."""

MARKET_PATHS = {
    "spot": Market.SPOT,
    "futures/um": Market.FUTURES_UM,
    "futures/cm": Market.FUTURES_CM,
    "option": Market.OPTIONS,
}
"""Which market a key is of, by what it has between ``data/`` and its tree."""

_HEAD = f"data/(?<path>{'|'.join(MARKET_PATHS)})/(?<partition>{'|'.join(Partition)})"

KEY_PATTERN = (
    rf"^{_HEAD}/(?<data_type>[^/]+)/(?<symbol>[^/]+)/(?:(?<interval>[0-9a-z]+)/)?"
    rf"[^/]+-(?<period>{DAY_IN_KEY}|{MONTH_IN_KEY})\.zip$"
)
"""A zip's key as Polars reads a column of them; of keys that :func:`parse_key` has let in."""

SYMBOL_FOLDER = rf"^({_HEAD}/[^/]+/[^/]+/)".replace("?<path>", "?:").replace("?<partition>", "?:")
"""What a key has up to its symbol."""


IN_TREE = {partition: f"/{partition.value}/" for partition in Partition}
"""What a key or stem of each of the archive's two trees has in it."""


class ArchiveKey(NamedTuple):
    """The parts of one zip's key.

    Examples
    --------
    >>> key = "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-10-20.zip"
    >>> parse_key(key).market.value, parse_key(key).key == key
    ('options', True)
    """

    market: Market
    data_type: DataType
    symbol: str
    interval: Interval | None
    period: Period

    @property
    def partition(self) -> Partition:
        """The tree the file is in."""
        return self.period.partition

    @property
    def key(self) -> str:
        """The zip's S3 key."""
        row = load_matrix().row(self.market, self.data_type)
        return f"{stem_of(row, self.partition, self.symbol, self.interval)}{self.period}{ZIP}"


def parse_key(key: str) -> ArchiveKey | None:
    """Read a zip's key; None when it is not one the archive's grammar allows.

    Examples
    --------
    >>> parsed = parse_key("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip")
    >>> parsed.symbol, str(parsed.period)
    ('BTCUSDT', '2024-01-01')
    >>> parse_key("data/spot/daily/klines/ADABKRW/1d/ADABKRW-1d-2020-8.zip") is None
    True
    """
    row = _row_of(key)
    match = row.match(key) if row else None
    if row is None or match is None:
        return None
    try:
        period = Period.parse(match["period"])
        interval = Interval(match["interval"]) if row.has_interval else None
    except ValueError:
        return None
    if period.partition.value != match["partition"] or not is_plain(match["symbol"]):
        return None
    return ArchiveKey(row.market, row.data_type, match["symbol"], interval, period)


def prefix_of(
    row: Row,
    partition: Partition,
    symbol: str | None = None,
    interval: Interval | None = None,
) -> str:
    """Return the key prefix of a row's files: of all symbols, of one, or of one and an interval.

    Examples
    --------
    >>> row = load_matrix().row(Market.SPOT, DataType.KLINES)
    >>> prefix_of(row, Partition.DAILY, "BTCUSDT", Interval.M1)
    'data/spot/daily/klines/BTCUSDT/1m/'
    """
    head = row.key_pattern.split("{symbol}", 1)[0].format(partition=partition.value)
    if symbol is None:
        return head
    return f"{head}{symbol}/" if interval is None else f"{head}{symbol}/{interval.value}/"


def stem_of(row: Row, partition: Partition, symbol: str, interval: Interval | None = None) -> str:
    """Return what the keys of a symbol's zips begin with: the key up to its period.

    Examples
    --------
    >>> row = load_matrix().row(Market.SPOT, DataType.KLINES)
    >>> stem_of(row, Partition.DAILY, "BTCUSDT", Interval.M1)
    'data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-'
    """
    key = row.key_pattern.format(
        partition=partition.value,
        symbol=symbol,
        interval=interval.value if interval else "",
        period="",
    )
    return key.removesuffix(ZIP)


def stem_in(folder: str) -> str | None:
    """Return what the keys of a folder's zips begin with; None where it is no folder of the archive's grammar.

    Examples
    --------
    >>> stem_in("data/spot/daily/klines/BTCUSDT/1m")
    'data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-'
    >>> stem_in("data/spot/daily/klines/BTCUSDT") is None, stem_in("data/spot/..") is None
    (True, True)
    """
    row, parts = _row_of(f"{folder}/"), folder.split("/")
    if row is None:
        return None
    level = symbol_level(row)
    if len(parts) != level + 1 + row.has_interval or not is_plain(parts[level]):
        return None
    try:
        interval = Interval(parts[level + 1]) if row.has_interval else None
    except ValueError:
        return None
    found = (p for p in row.partitions if prefix_of(row, p, parts[level], interval) == f"{folder}/")
    partition = next(found, None)
    return partition and stem_of(row, partition, parts[level], interval)


def glob_of(row: Row, partition: Partition, interval: Interval | None = None) -> str:
    """Return the glob of a row's zips in one partition: of all symbols, of one interval or of all.

    Examples
    --------
    >>> row = load_matrix().row(Market.SPOT, DataType.KLINES)
    >>> glob_of(row, Partition.DAILY, Interval.M1), glob_of(row, Partition.DAILY)
    ('data/spot/daily/klines/*/1m/*.zip', 'data/spot/daily/klines/*/*/*.zip')
    """
    level = f"{interval.value if interval else '*'}/" if row.has_interval else ""
    return f"{prefix_of(row, partition)}*/{level}*{ZIP}"


def symbol_level(row: Row) -> int:
    """Return how many folders of a key are above its symbol; an interval is the next level.

    Examples
    --------
    >>> symbol_level(load_matrix().row(Market.SPOT, DataType.KLINES))
    4
    """
    return prefix_of(row, row.partitions[0]).count("/")


def symbol_below(prefix: str, folder: str) -> str:
    """Return the symbol of a listed folder below a row's prefix, be it a plain name or not.

    Examples
    --------
    >>> symbol_below("data/spot/daily/klines/", "data/spot/daily/klines/BTCUSDT/")
    'BTCUSDT'
    """
    return folder.removeprefix(prefix).removesuffix("/")


def file_name(key: str) -> str:
    """Return the file's name, the last part of its key.

    Examples
    --------
    >>> file_name("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip")
    'BTCUSDT-1m-2024-01-01.zip'
    """
    return key.rpartition("/")[2]


def folder_name(key: str) -> str:
    """Return the folder of a key, without the ``/`` at its end.

    Examples
    --------
    >>> folder_name("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip")
    'data/spot/daily/klines/BTCUSDT/1m'
    """
    return key.rpartition("/")[0]


def _row_of(key: str) -> Row | None:
    matrix = load_matrix()
    if matrix is not shipped_matrix():  # its keys may begin in any way
        return next((row for row in matrix.rows if row.match(key)), None)
    parts = key.split("/")
    if len(parts) < 5 or parts[0] != "data":
        return None
    two = f"{parts[1]}/{parts[2]}"
    market, rest = (
        (MARKET_PATHS[two], parts[3:])
        if two in MARKET_PATHS
        else (MARKET_PATHS.get(parts[1]), parts[2:])
    )
    if market is None or len(rest) < 2:
        return None
    try:
        data_type = DataType(rest[1])
    except ValueError:
        return None
    return matrix.row(market, data_type) if (market, data_type) in matrix else None


def is_plain(symbol: str) -> bool:
    """Say whether a listed symbol can be a folder's name that every reader of a lake reads alike.

    It has to be a name that a query takes, too. SQL reads ``=`` in a folder's name as a partition, and
    decodes ``%``; globs and hidden files are read differently by each engine.

    Examples
    --------
    >>> is_plain("BTCUSD_PERP"), is_plain("A=BUSDT"), is_plain("A%2FB"), is_plain("..")
    (True, False, False, False)
    """
    plain = SYMBOL.fullmatch(symbol) and symbol.isprintable() and symbol[0] != "."
    return bool(plain) and not set(symbol) & set("*?[]") and len(symbol.encode()) <= _LONGEST
