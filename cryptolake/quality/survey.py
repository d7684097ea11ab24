"""What there is to assess: the symbol-months of a query, each with its files and where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Partition
from cryptolake.archive.keys import IN_TREE
from cryptolake.archive.lives import Life
from cryptolake.archive.periods import Days, Period
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import means, scope_of, with_key_parts
from cryptolake.errors import Damaged, ListingError
from cryptolake.listing.folders import Folder as ListedFolder
from cryptolake.listing.lifetimes import Lifetimes, published_of
from cryptolake.planning.estimates import suspect_sizes
from cryptolake.quality.neighbours import Neighbours
from cryptolake.readers.scans import scan_files
from cryptolake.readers.silver_files import (
    damaged_silver,
    reading,
    silver_scope,
    warn_of_damage,
)
from cryptolake.readers.unusable import REFUSED
from cryptolake.silver.records import current
from cryptolake.storage.layout import SilverPath

if TYPE_CHECKING:
    from polars._typing import EngineType

    from cryptolake.archive.enums import Interval
    from cryptolake.archive.matrix import Row
    from cryptolake.listing.context import LakeContext
    from cryptolake.listing.listing import Listing
    from cryptolake.query import Query, Selection
    from cryptolake.storage.files import Storage
    from cryptolake.storage.scope import Scope
    from cryptolake.storage.tables import TableReader

CHECKED = ("crosscheck", "healed", "not_healed")
"""Kinds of findings that checks add after a build and that are not found anew in each report, as ids are."""

_ANY_AGE = timedelta(days=36_500)
_FILES = (
    *("key", "market", "data_type", "symbol", "interval"),
    *("partition", "period", "first", "last", "size"),
)
_OBJECT = ("key", "size", "etag", "last_modified", "checksum_size", "checksum_etag")
_READ_EMPTY = (pl.col("rows_in") == 0) & ~pl.col("warnings").fill_null("").str.contains(
    REFUSED, literal=True
)
"""Sources that were read and hold no row: a header alone."""

_NO_KEYS = pl.DataFrame(schema={"key": pl.String, "size": pl.Int64})


@dataclass(frozen=True)
class SeriesFiles:
    """A symbol of a dataset (and an interval): everything that is published of it, and held here.

    ``listed`` is None where the listing was not seen; it holds the monthly files, and the daily ones of
    the years asked for. ``held`` are ledger rows, ``quarantined`` keys. ``life`` is by the days of files;
    unknown where the listing was not seen.
    """

    row: Row
    symbol: str
    interval: Interval | None
    held: pl.DataFrame
    quarantined: frozenset[str]
    listed: pl.DataFrame | None = None
    life: Life = field(default_factory=Life)

    @cached_property
    def suspects(self) -> frozenset[str]:
        """The keys of files far smaller than their neighbours."""
        return frozenset(self.known.filter(suspect_sizes(self.known))["key"])

    @cached_property
    def known(self) -> pl.DataFrame:
        """Every file known of, published, held or in quarantine, with the parts of its key."""
        listed = [] if self.listed is None else [self.listed.select(_FILES)]
        keys = pl.DataFrame({"key": sorted(self.quarantined)}, schema={"key": pl.String})
        lost = with_key_parts(keys.with_columns(size=pl.lit(None, pl.Int64)))
        frames = [*listed, self.held.select(_FILES), lost.select(_FILES)]
        return pl.concat(frames).unique("key", keep="first").sort("first", "partition")

    def silver(self, month: Period) -> SilverPath:
        """Return what names a month's Silver file."""
        return SilverPath(self.row.market, self.row.data_type, self.interval, self.symbol, month)


@dataclass(frozen=True, slots=True)
class SymbolMonth:
    """One month of a folder, and the days of it that were asked for."""

    folder: SeriesFiles
    month: Period
    days: Days
    built: frozenset[str]
    """The keys that its Silver file was made from; empty when there is none."""
    refused: frozenset[str] = frozenset()
    """The keys that the build could not use."""
    empty: frozenset[str] = frozenset()
    """Those of ``built`` that hold no row: read, and known to hold none."""

    @property
    def silver(self) -> SilverPath:
        """What names the month's Silver file."""
        return self.folder.silver(self.month)

    @property
    def path(self) -> str:
        """The month's Silver file."""
        return self.silver.path

    def files(self) -> Iterator[tuple[str, Partition, Days]]:
        """Yield the files known of that cover some of the days asked for."""
        near = self.folder.known.filter(
            (pl.col("first") <= self.days.last) & (pl.col("last") >= self.days.first)
        )
        for key, partition, first, last in near.select(
            "key", "partition", "first", "last"
        ).iter_rows():
            yield key, Partition(partition), Days(first, last)


@dataclass(frozen=True, slots=True)
class Survey:
    """The tables that an assessment needs, read once, and the symbol-months of a query."""

    storage: Storage
    sources: pl.DataFrame
    rejects: pl.DataFrame
    findings: pl.DataFrame
    months: tuple[SymbolMonth, ...]
    neighbours: Neighbours

    def sources_of(self, month: SymbolMonth) -> pl.DataFrame:
        """Return the source rows of a month's Silver file, as it is now."""
        return self.sources.filter(pl.col("path") == month.path)

    def repeats_of(self, month: SymbolMonth) -> tuple[int, int]:
        """Return a month's rows that came twice, and apart from them those that both partitions have.

        A monthly file cannot share more rows with the daily ones than they gave.
        """
        sources = self.sources_of(month)
        daily = sources.filter(pl.col("key").str.contains(IN_TREE[Partition.DAILY], literal=True))
        both = int(sources["duplicates"].sum())
        own = int(daily["duplicates"].sum())
        shared = min(both - own, int(daily["rows_out"].sum()))
        return both - shared, shared

    def rows_of(self, month: SymbolMonth, days: Days) -> pl.LazyFrame:
        """Scan the Silver rows of some days of a month."""
        time = schema_of(month.folder.row.market, month.folder.row.data_type).time
        scan = scan_files(self.storage, [month.path])
        return scan.filter(pl.col(time).is_between(days.begin, days.end, closed="left"))

    def collected(
        self, month: SymbolMonth, rows: pl.LazyFrame, *, engine: EngineType = "auto"
    ) -> pl.DataFrame:
        """Return what was asked of a month's Silver rows.

        Raises
        ------
        StorageError
            The month's file is damaged in a way that its size does not show.
        """
        with reading(month.path, self.storage.root):
            return rows.collect(engine=engine)


def survey(
    query: Query, lake: LakeContext, *, listed: bool = False, refresh: bool = False
) -> Survey:
    """Find the symbol-months of a query: what is held of them, and what the archive lists of them.

    Parameters
    ----------
    query
        Markets, data types, intervals, symbols and days. A glob means the symbols that the lake holds.
    lake
        The lake.
    listed
        Whether to look at the archive's listing too, however old its cached copy is.
    refresh
        Ask the archive again.

    Warns
    -----
    DamagedLakeWarning
        Silver files of the query are gone, or are not what was recorded; their months count as not built.
    """
    selection = query.check().selection
    days = selection.days
    others = Neighbours(lake.storage, lake.records)
    if days is None:  # check() asks for them
        none = pl.DataFrame()
        return Survey(lake.storage, none, none, none, (), others)
    scope, paths = scope_of(query), silver_scope(query)
    held = _by_folder(with_key_parts(lake.records.ledger(scope=scope)))
    quarantined = _by_folder(with_key_parts(lake.records.quarantined(scope).select("key", "size")))
    sources = current(lake.records, "sources", paths)
    bad = damaged_silver(query, lake)
    warn_of_damage(bad)
    built, refused, empty = _used(sources, bad)
    folders = [
        SeriesFiles(
            row=row,
            symbol=symbol,
            interval=interval,
            held=held.get(name, with_key_parts(_NO_KEYS)),
            quarantined=frozenset(quarantined[name]["key"] if name in quarantined else ()),
        )
        for row in selection.rows()
        for interval in _intervals(row, selection.intervals)
        for symbol in _symbols(row, interval, selection, {*held, *quarantined})
        for name in [(row.market.value, row.data_type.value, symbol, interval and interval.value)]
    ]
    months = [
        month
        for folder in _with_listing(
            folders, days, lake.listing if listed else None, refresh=refresh
        )
        if folder.known.height
        for month in _months(folder, days, built, refused, empty)
    ]
    rejects = current(lake.records, "rejects", paths)
    found = _findings(lake.records, paths)
    return Survey(lake.storage, sources, rejects, found, tuple(months), others)


def _used(
    sources: pl.DataFrame, bad: Sequence[Damaged]
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    """Return, by Silver path, the keys that were read, those that could not be used, and those without a row."""
    used = sources.filter((pl.col("rows_in") > pl.col("rejects")) | _READ_EMPTY)
    built = _keys_by_path(used) | {item.path: [] for item in bad}
    refused = _keys_by_path(sources.join(used, on=["path", "key"], how="anti"))
    return built, refused, _keys_by_path(sources.filter(_READ_EMPTY))


def _keys_by_path(sources: pl.DataFrame) -> dict[str, list[str]]:
    return dict(sources.group_by("path").agg("key").iter_rows())


def _findings(records: TableReader, paths: Scope) -> pl.DataFrame:
    """Return what holds of Silver as it is, and what later checks found."""
    later = records.within("findings", paths).filter(pl.col("kind").is_in(CHECKED))
    return pl.concat([current(records, "findings", paths), later]).unique(maintain_order=True)


def _months(
    folder: SeriesFiles, days: Days, *keys_of: dict[str, list[str]]
) -> Iterator[SymbolMonth]:
    """Yield a folder's months; ``keys_of`` are the files built, refused and empty, by month."""
    for month in days.months():
        part = days.clip(month.days)
        if part:
            path = folder.silver(month).path
            made, unfit, empty = (frozenset(keys.get(path, ())) for keys in keys_of)
            yield SymbolMonth(folder, month, part, made, unfit, made & empty)


def _by_folder(files: pl.DataFrame) -> dict[tuple[str | None, ...], pl.DataFrame]:
    parts = files.partition_by("market", "data_type", "symbol", "interval", as_dict=True)
    return {tuple(name): part for name, part in parts.items()}


def _symbols(
    row: Row, interval: Interval | None, selection: Selection, folders: set[tuple[str | None, ...]]
) -> list[str]:
    """Return the symbols that are named, and those held that a glob or the universe means."""
    plain = {symbol for symbol in selection.symbols if not set(symbol) & set("*?[")}
    held = {
        symbol
        for market, data_type, symbol, level in folders
        if (market, data_type, level)
        == (row.market.value, row.data_type.value, interval and interval.value)
        and symbol is not None
        and means(selection, row.market.value, symbol)
    }
    return sorted({symbol for symbol in plain if means(selection, row.market.value, symbol)} | held)


def _intervals(row: Row, asked: tuple[Interval, ...]) -> list[Interval | None]:
    return [i for i in asked if i in row.all_intervals] if row.has_interval else [None]


def _with_listing(
    folders: list[SeriesFiles], days: Days, listing: Listing | None, *, refresh: bool
) -> list[SeriesFiles]:
    """Add what the archive lists of each folder; as it is where the archive and its cache are silent."""
    if listing is None or not folders:
        return folders
    asked = [ListedFolder(folder.row, folder.symbol, folder.interval) for folder in folders]
    try:
        listed = listing.listed(asked, days, refresh=refresh, max_age=_ANY_AGE)
    except ListingError:  # the evidence then says that the listing was not seen
        return folders
    files = listed.files.partition_by("folder", as_dict=True)
    none = listed.files.clear()
    # The listing may be of long ago: what is not there yet is judged as of then.
    today = (listed.at or datetime.now(UTC)).date()
    asker = Lifetimes(listing, today, refresh, _ANY_AGE)
    lives = asker.lives(asked, published_of(asked, listed, days), within=days)
    return [
        replace(
            folder,
            listed=with_key_parts(files.get((number,), none).select(*_OBJECT)),
            life=life,
        )
        for number, (folder, life) in enumerate(zip(folders, lives, strict=True))
    ]
