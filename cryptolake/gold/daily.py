"""A market's daily bars as one file a month, made straight from the zips in Bronze.

``gold/daily/market=…/YYYY-MM.parquet``: the 1d klines of every symbol that the lake holds, sorted by symbol and
time. A market has thousands of small 1d files, and a Silver month of each costs more than all of their rows: here
the zips of a month are parsed in one piece. Where a daily and a monthly file both have a day, the daily one
counts, as in Silver. Rows are held to the checks of the schema, as Silver's are: those that break one are left out,
warned of, and kept in ``meta.rejects``.

A month's file says in its Parquet metadata, under ``cryptolake``, which files it was made from. It is made again
where those that the ledger has now are others; only days that a changed file covers are read again.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market, Partition
from cryptolake.archive.keys import prefix_of
from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.periods import Period
from cryptolake.archive.schemas import schema_of
from cryptolake.bronze.ledger import with_key_parts
from cryptolake.errors import IncompleteWarning
from cryptolake.gold.code_hash import code_hash
from cryptolake.gold.daily_zips import DailyZips
from cryptolake.gold.lineage import (
    GoldRecord,
    Input,
    Lineage,
    Written,
    gold_records,
    lineage_row,
)
from cryptolake.listing.folders import CLOCKS_DIFFER
from cryptolake.readers.scans import scan_files
from cryptolake.render.html import plural, some_of
from cryptolake.storage import layout
from cryptolake.storage.identity_columns import AS_TEXT, arrow_metadata, as_text
from cryptolake.storage.scope import Scope
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days
    from cryptolake.archive.schemas import Schema
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.silver.parse import Reject
    from cryptolake.storage.files import Storage

RECIPE = "daily"
VERSION = 2
"""Raised where the same files would give other rows."""

_METADATA = "cryptolake"
_DIGEST = "cryptolake.digest"
"""The Parquet key of what names a month's inputs: enough to see that they are the same."""

_DAY = ["symbol", "day"]
SETTLED = timedelta(days=31)
"""How long after a month's end files of it may still be published."""

_GROUP = 12
"""Months that are recorded, and then placed, together."""


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
        self._seen: dict[tuple[Market, Days], list[MarketMonth]] = {}

    def bars(self, market: Market, days: Days) -> pl.LazyFrame:
        """Return the bars of every symbol, as :func:`daily_bars` does."""
        return _bars(self._lake, market, days, self._months(market, days))

    def _months(self, market: Market, days: Days) -> list[MarketMonth]:
        """Return the months as the ledger had them when they were first asked for."""
        if (market, days) not in self._seen:
            self._seen[market, days] = market_months(self._lake, market, days)
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
        age = datetime.now(UTC) - listed_at
        if age < -CLOCKS_DIFFER:  # asked by a wrong clock: it says nothing of how old the answer is
            return False
        return age < self._lake.listing.max_age or listed_at >= month.days.end + SETTLED

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
            found = json.loads(self._lake.storage.read(self._path(needed)))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return (
            {m: item for m, item in found.items() if _is_note(item)}
            if isinstance(found, dict)
            else {}
        )

    def _path(self, needed: Query) -> str:
        """Return where it is kept what was fetched of a query's symbols, whatever its days."""
        words = needed.selection.model_dump_json(exclude={"first", "last"})
        name = hashlib.sha256(words.encode()).hexdigest()[:16]
        return layout.gold_note_path(RECIPE, needed.selection.markets[0], f"fetched-{name}")

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
    return _bars(lake, market, days, market_months(lake, market, days))


def market_months(lake: LakeContext, market: Market, days: Days | None) -> list[MarketMonth]:
    """Return the months of which Bronze has files: of some days, or all."""
    return [
        MarketMonth(lake.storage, market, month, files)
        for month, files in _files_by_month(lake, market, days).items()
    ]


def _bars(
    lake: LakeContext, market: Market, days: Days, months: Sequence[MarketMonth]
) -> pl.LazyFrame:
    schema = schema_of(market, DataType.KLINES)
    warn_of(make_months(lake, [month for month in months if not month.is_fresh]))
    if not months:
        return none(schema).lazy()
    paths = (month.path for month in months)
    scan = scan_files(lake.storage, paths, none(schema).schema, cast_options=AS_TEXT)
    return scan.filter(_within(days.begin, days.end))


def make_months(lake: LakeContext, months: Sequence[MarketMonth]) -> list[MadeMonth]:
    """Make months: all are recorded in ``meta.lineage`` and ``meta.rejects``, then placed."""
    made = []
    for begin in range(0, len(months), _GROUP):
        group = _recorded(lake, months[begin : begin + _GROUP])
        for one in group:
            lake.storage.write(one.path, one.data)
        made += [one._replace(data=b"") for one in group]
    if made:
        lake.records.forget()
    return made


def _recorded(lake: LakeContext, months: Sequence[MarketMonth]) -> list[MadeMonth]:
    """Return months made, and said in the lake's tables what they are."""
    now, run = datetime.now(UTC), new_run_id()
    records = gold_records(lake.records, RECIPE)
    made = [
        month.make(schema_of(month.market, DataType.KLINES), records.get(month.path))
        for month in months
    ]
    lineage = [lineage_row(one.path, one.lineage, one.file, run, now) for one in made]
    rejects = [row | {"at": now, "run_id": run} for one in made for row in one.reject_rows]
    lake.tables.append("lineage", lineage)
    if rejects:
        lake.tables.append("rejects", rejects)
    return made


def _months_of(query: Query) -> Iterator[tuple[Period, Days]]:
    """Yield the months of a query's days, each with those of its days that are asked for."""
    days = query.selection.days
    for month in days.months() if days else ():
        part = days.clip(month.days) if days else None
        if part:
            yield month, part


def _within(begin: datetime, end: datetime) -> pl.Expr:
    return pl.col("open_time").is_between(pl.lit(begin), pl.lit(end), closed="left")


def none(schema: Schema) -> pl.DataFrame:
    """Return no bars, typed."""
    identity = dict.fromkeys(("market", "symbol", "interval"), pl.String())
    return pl.DataFrame(schema={**identity, **schema.silver_dtypes()})


def _files_by_month(
    lake: LakeContext, market: Market, days: Days | None
) -> dict[str, pl.DataFrame]:
    """Return the 1d klines in Bronze by month: see :func:`_with_days`, and ``id``, what names the bytes."""
    row = load_matrix().row(market, DataType.KLINES)
    scope = Scope.of(prefix_of(row, partition) for partition in Partition)
    of_days = pl.col("key").str.contains(f"/{Interval.D1.value}/", literal=True)
    named = pl.coalesce("sha256", pl.format("etag:{}", "etag"), pl.format("{} B", "size"))
    held = lake.records.ledger(of_days, scope).select("key", named.alias("id"))
    files = _with_days(held).sort("month", "key")
    if days is not None:
        files = files.filter(pl.col("month").is_in([str(month) for month in days.months()]))
    parts = files.partition_by("month", as_dict=True, include_key=False, maintain_order=True)
    return {str(month): files for (month,), files in parts.items()}


def _with_days(keys: pl.DataFrame) -> pl.DataFrame:
    """Add what keys of 1d klines say: ``symbol, first, last, daily`` and ``month``; leave out other keys."""
    parts = with_key_parts(keys).filter(pl.col("interval") == Interval.D1.value)
    return parts.select(
        *keys.columns,
        *("symbol", "first", "last", "period"),
        (pl.col("partition") == Partition.DAILY.value).alias("daily"),
        pl.col("period").str.slice(0, 7).alias("month"),
    )


def _by_day(files: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each symbol and day that files cover, with ``key``."""
    spread = files.select("key", "symbol", pl.date_ranges("first", "last").alias("day"))
    return spread.explode("day")


def _day() -> pl.Expr:
    return pl.col("open_time").dt.date().alias("day")


def warn_of(made: Sequence[MadeMonth]) -> None:
    """Name the files that could not be used, and the rows that were rejected."""
    rejected = [line for month in made for line in month.rejected]
    if rejected:
        message = (
            f"{plural(len(rejected), 'row of daily bars was rejected, and is', 'rows of daily bars were rejected, and are')} kept in meta.rejects: "
            f"{some_of(rejected, between='; ')}"
        )
        warnings.warn(message, IncompleteWarning, stacklevel=5)
    unusable = [line for month in made for line in month.unusable]
    if unusable:
        message = (
            f"{plural(len(unusable), 'file')} of daily bars cannot be used, so rows are left out: "
            f"{some_of(unusable, between='; ')}"
        )
        warnings.warn(message, IncompleteWarning, stacklevel=5)


@dataclass(frozen=True)
class MarketMonth:
    """One month of a market's daily bars, and the files that it is to be made from."""

    storage: Storage
    market: Market
    month: str
    files: pl.DataFrame
    whole: bool = False
    """Whether it is made from all its files, whatever stands there."""

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return layout.GoldPath(RECIPE, self.market, None, None, Period.parse(self.month)).path

    @cached_property
    def standing(self) -> dict[str, str]:
        """The metadata of the file that stands there; empty where none does, or none that counts or can be read."""
        if self.whole or (not self.storage.is_local and not self.storage.exists(self.path)):
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
        """Whether the file that stands there was made from the same files."""
        return self.standing.get(_DIGEST) == self.digest

    @cached_property
    def digest(self) -> str:
        """What names the files."""
        return self._digest(self.files)

    def make(self, schema: Schema, record: GoldRecord | None = None) -> MadeMonth:
        """Return the month's file, and what is wrong with files and rows that could not be used.

        The file that stands there is extended where it is the recorded one; without a record, where it can be read.
        """
        before, old = self._before(schema, record)
        changed, gone = (
            one.join(other, on=["key", "id"], how="anti")
            for one, other in ((self.files, before), (before, self.files))
        )
        days = pl.concat([_by_day(changed), _by_day(gone)]).select(_DAY).unique()
        read = _by_day(self.files).join(days, on=_DAY, how="semi")["key"].unique()
        zips = DailyZips(
            self.storage, schema, self.files.filter(pl.col("key").is_in(read.implode()))
        )
        new = zips.rows().with_columns(_day()).join(days, on=_DAY, how="semi")
        # A day's own file counts before its month's.
        once = new.sort("daily").unique(_DAY, keep="last", maintain_order=True)
        kept = old.with_columns(_day()).join(days, on=_DAY, how="anti")
        rows = pl.concat([frame.select(old.columns) for frame in (kept, once)])
        used = self.files.filter(~pl.col("key").is_in(list(zips.unusable)))
        lineage, file, data = self._written(rows.sort("symbol", "open_time"), used)
        bad = tuple(f"{key} ({reason})" for key, reason in zips.unusable.items())
        return MadeMonth(self, lineage, file, data, bad, tuple(zips.rejects))

    def _before(
        self, schema: Schema, record: GoldRecord | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the inputs and the rows of the file that stands there.

        None where it is of another version, or has other bytes than were recorded: the month is made whole.
        """
        told = json.loads(self.standing.get(_METADATA, "{}"))
        if (told.get("version"), told.get("schema_version")) != (VERSION, schema.version):
            return self.files.clear(), none(schema)
        inputs = pl.DataFrame(
            told["inputs"], schema={"key": pl.String, "id": pl.String}, orient="row"
        )
        data = self.storage.read(self.path)
        if record is not None and hashlib.sha256(data).hexdigest() != record.sha256:
            return self.files.clear(), none(schema)
        try:
            rows = as_text(pl.read_parquet(BytesIO(data), hive_partitioning=False))
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 - damaged, and Polars may panic: the month is made whole
            return self.files.clear(), none(schema)
        return _with_days(inputs).select(self.files.columns), rows

    def _written(self, rows: pl.DataFrame, used: pl.DataFrame) -> tuple[Lineage, Written, bytes]:
        """Return the month's file. Files that could not be used are not among its inputs: they are tried again."""
        version = schema_of(self.market, DataType.KLINES).version
        told = {
            "recipe": RECIPE,
            "version": VERSION,
            "schema_version": version,
            "inputs": used.select("key", "id").rows(),
        }
        buffer = BytesIO()
        metadata = {_METADATA: json.dumps(told), _DIGEST: self._digest(used)}
        metadata |= arrow_metadata(rows.schema, self.path)
        rows.write_parquet(buffer, compression="zstd", compression_level=1, metadata=metadata)
        data = buffer.getvalue()
        inputs = tuple(
            Input(layout.bronze_path(key), name, name if ":" not in name else None, version)
            for key, name in used.select("key", "id").iter_rows()
        )
        lineage = Lineage(RECIPE, str(VERSION), code_hash(DailyZips.rows), inputs)
        first, last = rows["open_time"].min(), rows["open_time"].max()
        digest = hashlib.sha256(data).hexdigest()
        return lineage, Written(len(data), digest, rows.height, first, last), data  # type: ignore[arg-type]

    def _digest(self, files: pl.DataFrame) -> str:
        """Return what names inputs: files of the same bytes, read by the same code and schema, have the same."""
        version = schema_of(self.market, DataType.KLINES).version
        lines = files.select(pl.format("{} {}", "id", "key").str.join("\n")).item() or ""
        return hashlib.sha256(f"{RECIPE} {VERSION} {version}\n{lines}".encode()).hexdigest()


class MadeMonth(NamedTuple):
    """A month's file before it is placed, and what was left out of it."""

    month: MarketMonth
    lineage: Lineage
    file: Written
    data: bytes
    """The file; empty once it is placed."""
    unusable: tuple[str, ...]
    """Files of Bronze, and why they cannot be used."""
    rejects: tuple[tuple[str, Reject], ...]
    """Keys, and the rows of them that are rejected."""

    @property
    def path(self) -> str:
        """The path under the lake's root."""
        return self.month.path

    @property
    def rejected(self) -> list[str]:
        """What was rejected, in words."""
        return [f"{key}, line {item.line} ({item.reason})" for key, item in self.rejects]

    @property
    def reject_rows(self) -> list[dict[str, Any]]:
        """The rows of ``meta.rejects``."""
        dataset = schema_of(self.month.market, DataType.KLINES).dataset
        return [
            {
                "dataset": dataset,
                "path": self.path,
                "key": key,
                "line": item.line,
                "rule": item.rule,
                "reason": item.reason,
                "text": item.text,
            }
            for key, item in self.rejects
        ]


def _is_note(item: Any) -> bool:
    """Say whether a damaged file still has what :class:`Daily` kept of a month."""
    try:
        _, _, _, listed_at = map(str, item)
        return datetime.fromisoformat(listed_at).tzinfo is not None
    except (TypeError, ValueError):
        return False
