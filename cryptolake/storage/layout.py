"""The one place that builds and reads the paths of a lake. Pure.

Paths are relative to the lake's root, with ``/`` between their parts::

    bronze/<the archive's key>
    silver/market=/data_type=/[interval=/]symbol=/YYYY-MM.parquet
    gold/<recipe>/market=/[symbol=/][interval=/]YYYY-MM.parquet
    gold/filled/market=/data_type=/[interval=/]symbol=/YYYY-MM.parquet
    meta/<table>/<segment>.parquet
    meta/listings/<archive>/{files,symbols}/...
    meta/quarantine/<the archive's key>
    meta/locks/<the lock's id>.json, meta/kept/<sha256>.zip
    meta/incoming/, meta/drafts/, meta/lake.json

A name from outside (a key, a symbol, a recipe) is joined to its folder by :func:`inside`, which refuses a
name that would leave it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.periods import Period
from cryptolake.errors import InvalidQuery, StorageError

if TYPE_CHECKING:
    import polars as pl

BRONZE, SILVER, GOLD, META = ZONES = ("bronze", "silver", "gold", "meta")
"""The folders that a lake is made of."""

LAKE_FILE = f"{META}/lake.json"
"""The lake's format version, and the archive that it is of."""

QUARANTINE = f"{META}/quarantine"
"""Files that failed verification, by key; their rows are in the table of that name."""

INCOMING = f"{META}/incoming"
"""Files that are not verified yet, one folder a run."""

DRAFTS = f"{META}/drafts"
"""Silver files and scratch copies that are being written, one folder a process. What a killed build left is removed a day later."""

LISTINGS = f"{META}/listings"
"""Cached listings, one folder an archive."""

LOCKS = f"{META}/locks"
"""The locks that were made of this lake, or restored into it, one file each."""

QUERIES = f"{META}/queries"
"""Stored queries, by name."""

KEPT = f"{META}/kept"
"""Zips that the archive has replaced and that a lock pins, by sha256."""

NO_TABLES = (LISTINGS, INCOMING, DRAFTS, LOCKS, KEPT, f"{QUARANTINE}/data")
"""Folders below ``meta/`` that hold no segments of tables, and may hold many files."""

PARQUET = ".parquet"

MONTH_FILE = f"[0-9][0-9][0-9][0-9]-[0-9][0-9]{PARQUET}"
"""The name of a Silver file, as a glob."""

UNSAFE = r"(?:^|/)\.{0,2}(?:/|$)|[\\\x00]"
"""A pattern, for Python and Polars, of what no path inside the lake has: see :func:`checked`."""

_UNSAFE = re.compile(UNSAFE)
"""An empty part, ``.`` or ``..`` anywhere (so an absolute path, too), a backslash or a NUL."""

_MONTH = r"[0-9]{4}-[0-9]{2}"
_PARTITIONS = (
    r"market=(?<market>[^/]+)/data_type=(?<data_type>[^/]+)/(?:interval=(?<interval>[^/]+)/)?"
    rf"symbol=(?<symbol>[^/]+)/(?<month>{_MONTH})\.parquet"
)

SILVER_PATTERN = rf"^{SILVER}/{_PARTITIONS}$"
"""A Silver file's path as a regular expression of Polars, its parts as named groups."""

_SILVER_REGEX = re.compile(SILVER_PATTERN.replace("(?<", "(?P<"))


class SilverPath(NamedTuple):
    """What a Silver file's path says.

    Examples
    --------
    >>> SilverPath(Market.SPOT, DataType.METRICS, None, "A", Period.parse("2024-01")).path
    'silver/market=spot/data_type=metrics/symbol=A/2024-01.parquet'
    """

    market: Market
    data_type: DataType
    interval: Interval | None
    symbol: str
    month: Period

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return silver_path(self.market, self.data_type, self.symbol, self.interval, self.month)


def checked(path: str) -> str:
    """Return a path if it stays inside the lake.

    Raises
    ------
    StorageError
        It is empty or absolute, or has an empty part, ``.``, ``..``, a backslash or a NUL.

    Examples
    --------
    >>> checked("meta/runs/x.parquet")
    'meta/runs/x.parquet'
    """
    if _UNSAFE.search(path):
        message = f"{path!r} is not a path inside the lake."
        raise StorageError(message, path=path)
    return path


def inside(folder: str, name: str) -> str:
    """Join a name, which may have folders of its own, to a folder that it must not leave.

    Raises
    ------
    StorageError
        The name is no plain relative path: see :func:`checked`.

    Examples
    --------
    >>> inside("bronze", "data/a.zip")
    'bronze/data/a.zip'
    >>> inside("bronze", "../meta/lake.json")
    Traceback (most recent call last):
    cryptolake.errors.StorageError: '../meta/lake.json' is not a path inside the lake.
    """
    return f"{folder}/{checked(name)}"


def top(path: str, levels: int) -> str:
    """Return the folder, so many levels from the root, that a path is in.

    Examples
    --------
    >>> top("silver/market=spot/data_type=klines/symbol=A/2024-01.parquet", 3)
    'silver/market=spot/data_type=klines'
    """
    return "/".join(path.split("/")[:levels])


# ---------------------------------------------------------------------------------- Bronze and quarantine


def bronze_path(key: str) -> str:
    """Return where a key's file, or a folder of keys, is in Bronze.

    Examples
    --------
    >>> bronze_path("data/spot/daily/trades/A/A-trades-2024-01-01.zip")
    'bronze/data/spot/daily/trades/A/A-trades-2024-01-01.zip'
    """
    return inside(BRONZE, key)


def bronze_key(path: str) -> str | None:
    """Return the key of a path in Bronze; None for a path elsewhere.

    Examples
    --------
    >>> bronze_key("bronze/data/a.zip"), bronze_key("meta/quarantine/data/a.zip")
    ('data/a.zip', None)
    """
    key = path.removeprefix(f"{BRONZE}/")
    return None if key == path or _UNSAFE.search(key) else key


def quarantine_path(key: str) -> str:
    """Return where a key's file is in quarantine.

    Examples
    --------
    >>> quarantine_path("data/a.zip")
    'meta/quarantine/data/a.zip'
    """
    return inside(QUARANTINE, key)


# ----------------------------------------------------------------------------------------- Silver and Gold


def silver_folder(
    market: Market,
    data_type: DataType,
    interval: Interval | None = None,
    symbol: str | None = None,
) -> str:
    """Return the folder of a dataset's Silver files: of all, of an interval, or of a symbol.

    Examples
    --------
    >>> silver_folder(Market.SPOT, DataType.KLINES, Interval.M1)
    'silver/market=spot/data_type=klines/interval=1m'
    """
    return f"{SILVER}/{_partitions(market, data_type, interval, symbol)}"


def silver_path(
    market: Market, data_type: DataType, symbol: str, interval: Interval | None, month: Period
) -> str:
    """Return the path of a symbol-month's Silver file.

    Examples
    --------
    >>> silver_path(Market.SPOT, DataType.KLINES, "BTCUSDT", Interval.M1, Period.parse("2024-01"))
    'silver/market=spot/data_type=klines/interval=1m/symbol=BTCUSDT/2024-01.parquet'
    """
    return f"{silver_folder(market, data_type, interval, symbol)}/{month}{PARQUET}"


def parse_silver_path(path: str) -> SilverPath | None:
    """Read a Silver file's path; None when it is no such file.

    Examples
    --------
    >>> path = "silver/market=spot/data_type=klines/interval=1m/symbol=BTCUSDT/2024-01.parquet"
    >>> found = parse_silver_path(path)
    >>> found.symbol, found.interval.value, str(found.month), found.path == path
    ('BTCUSDT', '1m', '2024-01', True)
    >>> parse_silver_path("silver/market=spot/data_type=klines/symbol=../2024-01.parquet") is None
    True
    """
    match = _SILVER_REGEX.fullmatch(path)
    if match is None or _UNSAFE.search(match["symbol"]):
        return None
    try:
        interval = match["interval"]
        return SilverPath(
            Market(match["market"]),
            DataType(match["data_type"]),
            None if interval is None else Interval(interval),
            match["symbol"],
            Period.parse(match["month"]),
        )
    except (ValueError, InvalidQuery):
        return None


def silver_level(path: str) -> tuple[str, str, str | None] | None:
    """Return market, data type and interval of a path below a Silver dataset's folder, as text.

    Examples
    --------
    >>> silver_level("silver/market=spot/data_type=klines/interval=1m")
    ('spot', 'klines', '1m')
    >>> silver_level("silver/market=spot/data_type=trades/symbol=A")
    ('spot', 'trades', None)
    """
    zone, *levels = path.split("/")
    parts = dict(level.split("=", 1) for level in levels if "=" in level)
    if zone != SILVER or not {"market", "data_type"} <= parts.keys():
        return None
    return parts["market"], parts["data_type"], parts.get("interval")


def silver_glob(*, interval: str | None) -> str:
    """Return the glob of a dataset's Silver files below its folder, with an interval level or without.

    Examples
    --------
    >>> silver_glob(interval="1m")
    'interval=1m/symbol=*/[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet'
    """
    level = "" if interval is None else f"interval={interval}/"
    return f"{level}symbol=*/{MONTH_FILE}"


def silver_path_of_bars(time: str) -> pl.Expr:
    """Return, for rows with market, symbol, interval and a time, the path of their klines' Silver file."""
    import polars as pl

    return pl.format(
        f"{SILVER}/market={{}}/data_type={DataType.KLINES.value}/interval={{}}/symbol={{}}/{{}}{PARQUET}",
        "market",
        "interval",
        "symbol",
        pl.col(time).dt.strftime("%Y-%m"),
    )


class GoldPath(NamedTuple):
    """What a Gold file's path says: of a symbol-month, or, where ``symbol`` is None, of a market-month.

    ``data_type`` is a level of bars that were filled in, whose tree is Silver's; recipes have none.

    Examples
    --------
    >>> month = Period.parse("2024-01")
    >>> GoldPath("basis", Market.FUTURES_UM, "BTCUSDT", Interval.H1, month).path
    'gold/basis/market=futures_um/symbol=BTCUSDT/interval=1h/2024-01.parquet'
    >>> GoldPath("breadth", Market.SPOT, None, None, month).path
    'gold/breadth/market=spot/2024-01.parquet'
    >>> GoldPath("filled", Market.SPOT, "A", Interval.H1, month, DataType.KLINES).path
    'gold/filled/market=spot/data_type=klines/interval=1h/symbol=A/2024-01.parquet'
    """

    recipe: str
    market: Market
    symbol: str | None
    interval: Interval | None
    month: Period
    data_type: DataType | None = None

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        top = gold_folder(self.recipe)
        if self.data_type is not None:
            below = _partitions(self.market, self.data_type, self.interval, self.symbol)
            return f"{top}/{below}/{self.month}{PARQUET}"
        levels = [f"market={self.market.value}"]
        if self.symbol is not None:
            levels.append(_symbol_level(self.symbol))
        if self.interval is not None:
            levels.append(f"interval={self.interval.value}")
        return f"{top}/{'/'.join(levels)}/{self.month}{PARQUET}"


_GOLD_REGEX = re.compile(
    rf"^{GOLD}/(?P<recipe>[^/]+)/market=(?P<market>[^/]+)/(?:data_type=(?P<data_type>[^/]+)/)?"
    r"(?:interval=(?P<early>[^/]+)/)?(?:symbol=(?P<symbol>[^/]+)/)?(?:interval=(?P<late>[^/]+)/)?"
    rf"(?P<month>{_MONTH})\.parquet$"
)


def parse_gold_path(path: str) -> GoldPath | None:
    """Read a Gold file's path; None when it is no such file.

    Examples
    --------
    >>> path = "gold/basis/market=futures_um/symbol=BTCUSDT/interval=1h/2024-01.parquet"
    >>> found = parse_gold_path(path)
    >>> found.recipe, found.symbol, found.interval.value, found.path == path
    ('basis', 'BTCUSDT', '1h', True)
    >>> parse_gold_path("gold/basis/notes.parquet") is None
    True
    """
    match = _GOLD_REGEX.fullmatch(path)
    if match is None or _UNSAFE.search(path):
        return None
    try:
        interval, data_type = match["early"] or match["late"], match["data_type"]
        return GoldPath(
            match["recipe"],
            Market(match["market"]),
            match["symbol"],
            None if interval is None else Interval(interval),
            Period.parse(match["month"]),
            None if data_type is None else DataType(data_type),
        )
    except (ValueError, InvalidQuery):
        return None


def gold_folder(recipe: str) -> str:
    """Return the folder of a recipe's files.

    Examples
    --------
    >>> gold_folder("basis")
    'gold/basis'
    """
    return inside(GOLD, recipe)


def gold_note_path(recipe: str, market: Market, name: str) -> str:
    """Return where something that is known of a recipe's files of a market is kept, beside them.

    Examples
    --------
    >>> gold_note_path("daily", Market.SPOT, "fetched-a1")
    'gold/daily/market=spot/fetched-a1.json'
    """
    return f"{gold_folder(recipe)}/market={market.value}/{name}.json"


def gold_recipe(path: str) -> str | None:
    """Return the recipe that a Parquet file or folder under ``gold/`` is of; None for any other path.

    Examples
    --------
    >>> gold_recipe("gold/basis/market=spot/2024-01.parquet"), gold_recipe("gold/notes.parquet")
    ('basis', None)
    """
    zone, _, below = path.partition("/")
    recipe, _, name = below.partition("/")
    return recipe if zone == GOLD and recipe and name.endswith(PARQUET) else None


# -------------------------------------------------------------------------------------------------- meta


def table_folder(table: str) -> str:
    """Return the folder of a table's segments.

    Examples
    --------
    >>> table_folder("files")
    'meta/files'
    """
    return inside(META, table)


def table_of(path: str) -> str | None:
    """Return the table whose folder or segment a path is; None for a path outside ``meta/``.

    Examples
    --------
    >>> table_of("meta/files"), table_of("meta/files/a.parquet"), table_of("bronze/data")
    ('files', 'files', None)
    """
    zone, _, below = path.partition("/")
    return below.partition("/")[0] or None if zone == META else None


def lock_path(lock_id: str) -> str:
    """Return where a lake keeps a lock.

    Examples
    --------
    >>> lock_path("ab12")
    'meta/locks/ab12.json'
    """
    return f"{inside(LOCKS, lock_id)}.json"


def lock_id_of(path: str) -> str | None:
    """Return the id of the lock that is kept at a path; None for any other path.

    Examples
    --------
    >>> lock_id_of("meta/locks/ab12.json"), lock_id_of("meta/locks/notes.txt")
    ('ab12', None)
    """
    return _named_in(LOCKS, path, ".json")


def query_path(name: str) -> str:
    """Return where a lake keeps a query under a name.

    Examples
    --------
    >>> query_path("core")
    'meta/queries/core.json'
    """
    return f"{inside(QUERIES, name)}.json"


def query_name_of(path: str) -> str | None:
    """Return the name of the query that is kept at a path; None for any other path.

    Examples
    --------
    >>> query_name_of("meta/queries/core.json"), query_name_of("meta/queries/a/b.json")
    ('core', None)
    """
    return _named_in(QUERIES, path, ".json")


def kept_path(sha256: str) -> str:
    """Return where a lake keeps a zip that was replaced and that a lock pins.

    Examples
    --------
    >>> kept_path("ab12")
    'meta/kept/ab12.zip'
    """
    return f"{inside(KEPT, sha256)}.zip"


def kept_sha256(path: str) -> str | None:
    """Return the sha256 of the zip that is kept at a path; None for any other path, as that of its CHECKSUM.

    Examples
    --------
    >>> kept_sha256("meta/kept/ab12.zip"), kept_sha256("meta/kept/ab12.zip.CHECKSUM")
    ('ab12', None)
    """
    return _named_in(KEPT, path, ".zip")


def _named_in(folder: str, path: str, ending: str) -> str | None:
    name = path.removeprefix(f"{folder}/").removesuffix(ending)
    return name if name and path == f"{folder}/{name}{ending}" and "/" not in name else None


def listed_files(archive: str) -> str:
    """Return the folder of an archive's cached listings.

    Examples
    --------
    >>> listed_files("a1")
    'meta/listings/a1/files'
    """
    return f"{inside(LISTINGS, archive)}/files"


def listed_files_path(
    archive: str, market: Market, data_type: DataType, symbol: str, interval: Interval | None
) -> str:
    """Return where the listing of a symbol's folder is cached.

    The symbol is percent-encoded: every file system takes such a name.

    Examples
    --------
    >>> listed_files_path("a1", Market.SPOT, DataType.KLINES, "BTCUSDT", Interval.M1)
    'meta/listings/a1/files/spot/klines/BTCUSDT/1m.parquet'
    """
    interval_name = interval.value if interval else "all"
    name = f"{market.value}/{data_type.value}/{quote(symbol, safe='')}/{interval_name}{PARQUET}"
    return inside(listed_files(archive), name)


def listed_symbols_path(
    archive: str, market: Market, data_type: DataType, partition: Partition
) -> str:
    """Return where the symbols of a dataset's partition are cached.

    Examples
    --------
    >>> listed_symbols_path("a1", Market.SPOT, DataType.KLINES, Partition.DAILY)
    'meta/listings/a1/symbols/spot/klines-daily.parquet'
    """
    name = f"{market.value}/{data_type.value}-{partition.value}{PARQUET}"
    return inside(f"{inside(LISTINGS, archive)}/symbols", name)


def _partitions(
    market: Market, data_type: DataType, interval: Interval | None, symbol: str | None
) -> str:
    levels = [f"market={market.value}", f"data_type={data_type.value}"]
    if interval is not None:
        levels.append(f"interval={interval.value}")
    if symbol is not None:
        levels.append(_symbol_level(symbol))
    return "/".join(levels)


def file_stem(symbol: str) -> str:
    """Return a symbol as a file's name, the ending left out: what is no letter, digit, ``_``, ``-`` or ``.`` is quoted.

    Two symbols have two names, and no name is hidden or leaves its folder.

    Examples
    --------
    >>> file_stem("BTCUSDT_250328"), file_stem("龙虾USDT"), file_stem("../a b")
    ('BTCUSDT_250328', '龙虾USDT', '%2E.%2Fa%20b')
    """
    name = "".join(
        sign if sign.isalnum() or sign in "_-." else quote(sign, safe="") for sign in symbol
    )
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _symbol_level(symbol: str) -> str:
    if "/" in symbol:
        checked(f"/{symbol}")  # a symbol is one folder
    return f"symbol={checked(symbol)}"
