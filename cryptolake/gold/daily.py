"""A market's daily bars as one file a month, made straight from the zips in Bronze.

``gold/daily/market=…/YYYY-MM.parquet``: the 1d klines of every symbol that the lake holds, sorted by symbol and
time. A market has thousands of small 1d files, and a Silver month of each costs more than all of their rows: here
the zips of a month are parsed in one piece. Where a daily and a monthly file both have a day, the daily one
counts, as in Silver.

A month's file says in its Parquet metadata, under ``cryptolake``, which files it was made from. It is made again
where those that the ledger has now are others; only days that a changed file covers are read again.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.keys import prefix_of
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import with_key_parts
from cryptolake.bronze.sniff import detect
from cryptolake.bronze.zips import inflate
from cryptolake.errors import CorruptArchive, IncompleteWarning, SchemaMismatch
from cryptolake.silver.parse import FILE, Piece, parse_fast, parse_lines, with_optional
from cryptolake.storage import layout
from cryptolake.storage.scope import Scope

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days, Period
    from cryptolake.archive.schemas import Schema
    from cryptolake.bronze.sniff import Layout
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage

RECIPE = "daily"
VERSION = 1
"""Raised where the same files would give other rows."""

_METADATA = "cryptolake"
_DIGEST = "cryptolake.digest"
"""The Parquet key of what names a month's inputs: enough to see that they are the same."""

_DAY = ["symbol", "day"]
SETTLED = timedelta(days=31)
"""How long after a month's end files of it may still be published."""

_HEAD = 4096
_READERS = 16
"""Zips that are read from a bucket at the same time."""
_NAMED = 3


def daily_path(market: Market, month: str) -> str:
    """Return the path of a month's file.

    Examples
    --------
    >>> daily_path(Market.SPOT, "2024-01")
    'gold/daily/market=spot/2024-01.parquet'
    """
    return f"{layout.gold_folder(RECIPE)}/market={market.value}/{month}{layout.PARQUET}"


class Daily:
    """The daily bars of a lake, and up to when their files are known to be all here.

    What a listing had of a month stays true: the month is asked again while new files of it may come, for
    :data:`SETTLED` after its end, each time that the listing in the lake is old.

    Parameters
    ----------
    lake
        The lake.
    """

    def __init__(self, lake: LakeContext) -> None:
        self._lake = lake
        self._seen: dict[tuple[Market, Days], list[_MarketMonth]] = {}

    def bars(self, market: Market, days: Days) -> pl.LazyFrame:
        """Return the bars of every symbol, as :func:`daily_bars` does."""
        return _bars(self._lake.storage, market, days, self._months(market, days))

    def _months(self, market: Market, days: Days) -> list[_MarketMonth]:
        """Return the months as the ledger had them when they were first asked for."""
        if (market, days) not in self._seen:
            self._seen[market, days] = _market_months(self._lake, market, days)
        return self._seen[market, days]

    def is_fetched(self, needed: Query) -> bool:
        """Say whether all that is published of a query was fetched, and is here still."""
        told, here = self._told(needed), self._digests(needed)
        return all(
            (item := told.get(str(month))) is not None
            and item[0] <= str(days.first)
            and str(days.last) <= item[1]
            and item[2] == here.get(str(month), "")
            and self._is_settled(month, datetime.fromisoformat(item[3]))
            for month, days in _months_of(needed)
        )

    def _is_settled(self, month: Period, listed_at: datetime) -> bool:
        fresh = datetime.now(UTC) - listed_at < self._lake.listing.max_age
        return fresh or listed_at >= month.days.end + SETTLED

    def note_fetched(self, needed: Query, listed_at: datetime | None) -> None:
        """Keep that all that a listing of some time has of a query was fetched."""
        self._seen.clear()
        if listed_at is None:
            return
        here = self._digests(needed)
        told = self._told(needed) | {
            str(month): [
                *(str(days.first), str(days.last)),
                *(here.get(str(month), ""), listed_at.isoformat()),
            ]
            for month, days in _months_of(needed)
        }
        self._lake.storage.write(self._path(needed), json.dumps(told).encode())

    def _told(self, needed: Query) -> dict[str, list[str]]:
        """Return, by month: first and last day asked for, what its files were, and when it was listed."""
        try:
            found: dict[str, list[str]] = json.loads(self._lake.storage.read(self._path(needed)))
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def _path(self, needed: Query) -> str:
        """Return where it is kept what was fetched of a query's symbols, whatever its days."""
        words = needed.selection.model_dump_json(exclude={"first", "last"})
        name = hashlib.sha256(words.encode()).hexdigest()[:16]
        market = needed.selection.markets[0].value
        return f"{layout.gold_folder(RECIPE)}/market={market}/fetched-{name}.json"

    def _digests(self, needed: Query) -> dict[str, str]:
        """Return what names the files of each month."""
        (market,), days = needed.selection.markets, needed.selection.days
        months = self._months(market, days) if days else ()
        return {month.month: month.digest for month in months}


def daily_bars(lake: LakeContext, market: Market, days: Days) -> pl.LazyFrame:
    """Return the daily bars of every symbol of a market that the lake holds; months are made where they are stale.

    Parameters
    ----------
    lake
        The lake; nothing is fetched.
    market
        One that has klines.
    days
        The UTC days of the bars.

    Returns
    -------
    polars.LazyFrame
        ``market, symbol, interval`` and the columns of klines, by month, symbol and time.

    Warns
    -----
    IncompleteWarning
        Files of Bronze cannot be used; their rows are left out, and the next call tries them again.
    """
    return _bars(lake.storage, market, days, _market_months(lake, market, days))


def _market_months(lake: LakeContext, market: Market, days: Days) -> list[_MarketMonth]:
    return [
        _MarketMonth(lake.storage, market, month, files)
        for month, files in _files_by_month(lake, market, days).items()
    ]


def _bars(
    storage: Storage, market: Market, days: Days, months: Sequence[_MarketMonth]
) -> pl.LazyFrame:
    schema = schema_of(market, DataType.KLINES)
    _warn([line for month in months if not month.is_fresh for line in month.make(schema)])
    if not months:
        return _none(schema).lazy()
    scan = pl.scan_parquet(
        [storage.url(month.path) for month in months],
        glob=False,
        hive_partitioning=False,
        **storage.polars_arguments,
    )
    return scan.filter(_within(days.begin, days.end))


def _months_of(query: Query) -> Iterator[tuple[Period, Days]]:
    """Yield the months of a query's days, each with those of its days that are asked for."""
    days = query.selection.days
    for month in days.months() if days else ():
        part = days.clip(month.days) if days else None
        if part:
            yield month, part


def _within(begin: datetime, end: datetime) -> pl.Expr:
    return pl.col("open_time").is_between(pl.lit(begin), pl.lit(end), closed="left")


def _none(schema: Schema) -> pl.DataFrame:
    identity = dict.fromkeys(("market", "symbol", "interval"), pl.String())
    return pl.DataFrame(schema={**identity, **schema.silver_dtypes()})


def _files_by_month(lake: LakeContext, market: Market, days: Days) -> dict[str, pl.DataFrame]:
    """Return the 1d klines in Bronze by month: see :func:`_with_days`, and ``id``, what names the bytes."""
    row = load_matrix().row(market, DataType.KLINES)
    scope = Scope.of(prefix_of(row, partition) for partition in Partition)
    of_days = pl.col("key").str.contains(f"/{Interval.D1.value}/", literal=True)
    named = pl.coalesce("sha256", pl.format("etag:{}", "etag"), pl.format("{} B", "size"))
    held = lake.records.ledger(of_days, scope).select("key", named.alias("id"))
    months = [str(month) for month in days.months()]
    files = _with_days(held).filter(pl.col("month").is_in(months)).sort("month", "key")
    parts = files.partition_by("month", as_dict=True, include_key=False, maintain_order=True)
    return {str(month): files for (month,), files in parts.items()}


def _with_days(keys: pl.DataFrame) -> pl.DataFrame:
    """Add what keys of 1d klines say: ``symbol, first, last, daily`` and ``month``; leave out other keys."""
    parts = with_key_parts(keys).filter(pl.col("interval") == Interval.D1.value)
    return parts.select(
        *keys.columns,
        *("symbol", "first", "last"),
        (pl.col("partition") == Partition.DAILY.value).alias("daily"),
        pl.col("period").str.slice(0, 7).alias("month"),
    )


def _by_day(files: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each symbol and day that files cover, with ``key``."""
    spread = files.select("key", "symbol", pl.date_ranges("first", "last").alias("day"))
    return spread.explode("day")


def _day() -> pl.Expr:
    return pl.col("open_time").dt.date().alias("day")


def _warn(unusable: Sequence[str]) -> None:
    if unusable:
        more = f"; and {len(unusable) - _NAMED:,} more" if len(unusable) > _NAMED else ""
        message = (
            f"{len(unusable):,} files of daily bars cannot be used, so their rows are left out: "
            f"{'; '.join(unusable[:_NAMED])}{more}"
        )
        warnings.warn(message, IncompleteWarning, stacklevel=4)


@dataclass(frozen=True)
class _MarketMonth:
    """One month of a market's daily bars, and the files that it is to be made from."""

    storage: Storage
    market: Market
    month: str
    files: pl.DataFrame

    @property
    def path(self) -> str:
        return daily_path(self.market, self.month)

    @cached_property
    def standing(self) -> dict[str, str]:
        """The metadata of the file that stands there; empty where none does, or none that can be read."""
        if not self.storage.is_local and not self.storage.exists(self.path):
            return {}
        place = self.storage.url(self.path)
        try:
            return pl.read_parquet_metadata(place, **self.storage.polars_arguments)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 - Polars panics on some damage, and a panic is no Exception
            return {}

    @property
    def is_fresh(self) -> bool:
        return self.standing.get(_DIGEST) == self.digest

    @cached_property
    def digest(self) -> str:
        """What names the files."""
        return self._digest(self.files)

    def make(self, schema: Schema) -> list[str]:
        """Write the month's file; return what is wrong with files that could not be used."""
        before, old = self._before(schema)
        changed, gone = (
            one.join(other, on=["key", "id"], how="anti")
            for one, other in ((self.files, before), (before, self.files))
        )
        days = pl.concat([_by_day(changed), _by_day(gone)]).select(_DAY).unique()
        read = _by_day(self.files).join(days, on=_DAY, how="semi")["key"].unique()
        zips = _Zips(self.storage, schema, self.files.filter(pl.col("key").is_in(read.implode())))
        new = zips.rows().with_columns(_day()).join(days, on=_DAY, how="semi")
        # A day's own file counts before its month's.
        once = new.sort("daily").unique(_DAY, keep="last", maintain_order=True)
        kept = old.with_columns(_day()).join(days, on=_DAY, how="anti")
        rows = pl.concat([frame.select(old.columns) for frame in (kept, once)])
        used = self.files.filter(~pl.col("key").is_in(list(zips.unusable)))
        self._write(rows.sort("symbol", "open_time"), used)
        return [f"{key} ({reason})" for key, reason in zips.unusable.items()]

    def _before(self, schema: Schema) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the inputs and the rows of the file that stands there; none where it is of another version."""
        told = json.loads(self.standing.get(_METADATA, "{}"))
        if (told.get("version"), told.get("schema_version")) != (VERSION, schema.version):
            return self.files.clear(), _none(schema)
        inputs = pl.DataFrame(
            told["inputs"], schema={"key": pl.String, "id": pl.String}, orient="row"
        )
        rows = pl.read_parquet(BytesIO(self.storage.read(self.path)), hive_partitioning=False)
        return _with_days(inputs).select(self.files.columns), rows

    def _write(self, rows: pl.DataFrame, used: pl.DataFrame) -> None:
        """Place the month's file. Files that could not be used are not among its inputs: they are tried again."""
        lineage = {
            "recipe": RECIPE,
            "version": VERSION,
            "schema_version": schema_of(self.market, DataType.KLINES).version,
            "inputs": used.select("key", "id").rows(),
        }
        buffer = BytesIO()
        metadata = {_METADATA: json.dumps(lineage), _DIGEST: self._digest(used)}
        rows.write_parquet(buffer, compression="zstd", compression_level=1, metadata=metadata)
        self.storage.write(self.path, buffer.getvalue())

    def _digest(self, files: pl.DataFrame) -> str:
        """Return what names inputs: files of the same bytes, read by the same code and schema, have the same."""
        version = schema_of(self.market, DataType.KLINES).version
        lines = files.select(pl.format("{} {}", "id", "key").str.join("\n")).item() or ""
        return hashlib.sha256(f"{RECIPE} {VERSION} {version}\n{lines}".encode()).hexdigest()


@dataclass(frozen=True)
class _Zips:
    """Zips of daily bars, read together; ``unusable`` says of each file that cannot be used why."""

    storage: Storage
    schema: Schema
    files: pl.DataFrame
    unusable: dict[str, str] = field(default_factory=dict)

    def rows(self) -> pl.DataFrame:
        """Return the rows of all files, typed as in Silver, with ``market, symbol, interval`` and ``daily``."""
        by_columns: dict[tuple[str, ...], list[Piece]] = {}
        for piece in self._pieces():
            by_columns.setdefault(piece.layout.columns, []).append(piece)
        types = self.schema.silver_dtypes()
        parsed = [
            with_optional(frame, self.schema).select(
                FILE, *(pl.col(name).cast(kind) for name, kind in types.items())
            )
            for pieces in by_columns.values()
            for frame in self._parsed(pieces)
        ]
        beside = self.files.select(
            pl.lit(self.schema.market.value).alias("market"),
            "symbol",
            pl.lit(Interval.D1.value).alias("interval"),
            "daily",
        )
        if not parsed:
            return _none(self.schema).with_columns(daily=pl.lit(value=False)).clear()
        rows = pl.concat(parsed)
        return pl.concat([beside[rows[FILE]], rows.drop(FILE)], how="horizontal")

    def _parsed(self, pieces: list[Piece]) -> Iterator[pl.DataFrame]:
        """Parse texts of the same columns: all at once, else one by one, else line by line."""
        whole = parse_fast(pieces, self.schema)
        if whole is not None:
            yield whole.frame
            return
        for piece in pieces:
            parsed = parse_fast([piece], self.schema) or parse_lines(piece, self.schema)[0]
            yield parsed.frame

    def _pieces(self) -> Iterator[Piece]:
        seen: dict[bytes, Layout] = {}
        for place, (key, data) in enumerate(self._bytes()):
            try:
                text = inflate(data, key) if data is not None else b""
                if text:
                    yield self._piece(place, text, key, seen)
            except (CorruptArchive, SchemaMismatch) as error:
                self.unusable[key] = str(error)
            if data is None:
                self.unusable[key] = "it is in the ledger but not in Bronze: cryptolake verify"

    def _piece(self, place: int, text: bytes, key: str, seen: dict[bytes, Layout]) -> Piece:
        """Cut a file's header off; what its first bytes say of its columns is found once for each header."""
        line = text[: text.find(b"\n") + 1]
        known = b"%d" % line.count(b",") if line[:1].isdigit() else line
        found = seen.get(known)
        if found is None:
            found = seen[known] = detect(text[:_HEAD], self.schema, key)
        body = text[found.skip :]
        return Piece(place, body if body.endswith(b"\n") else body + b"\n", found.first_line, found)

    def _bytes(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the files in their order; None for one that is not there."""
        keys = self.files["key"]
        if self.storage.is_local:
            yield from ((key, self._read(key)) for key in keys)
            return
        with ThreadPoolExecutor(_READERS, "cryptolake-daily") as pool:
            yield from zip(keys, pool.map(self._read, keys), strict=True)

    def _read(self, key: str) -> bytes | None:
        try:
            return self.storage.read(layout.bronze_path(key))
        except FileNotFoundError:
            return None
