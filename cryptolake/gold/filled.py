"""Bars that no file has, made from trades or finer bars: only on request, marked, and kept apart.

Silver is what the archive says and nothing else, so made bars go to Gold:
``gold/filled/market=…/data_type=klines/interval=…/symbol=…/YYYY-MM.parquet``, the columns of the klines
and ``origin``, which says what each bar was made from. They are made on request only, and what they were made of
is in ``meta.lineage``, as for every recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import DataType, Interval, Market
from cryptolake.archive.feeds import Feed
from cryptolake.archive.grid import bar_number, expected_numbers, number_of, open_of, opens_of
from cryptolake.archive.schemas import schema_of
from cryptolake.gold.code_hash import code_hash
from cryptolake.gold.lineage import Input, Lineage, Written, lineage_row, standing_lineage
from cryptolake.gold.recipes import input_schema
from cryptolake.gold.targets import Silver
from cryptolake.quality import bars
from cryptolake.quality.assess import assess
from cryptolake.quality.causes import OUTSIDE
from cryptolake.quality.crosscheck import (
    by_folder,
    partner_of,
    rebuilt_parts,
    require_klines,
    whole_days,
)
from cryptolake.quality.survey import SymbolMonth, survey
from cryptolake.readers.silver_files import SilverFile
from cryptolake.silver.records import month_records
from cryptolake.storage import layout
from cryptolake.storage.identity_columns import arrow_metadata, as_text
from cryptolake.storage.tables import new_run_id

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.quality.survey import Survey
    from cryptolake.query import Query

NAME, VERSION = "filled", "1"
COLUMNS: dict[str, pl.DataType] = {
    **input_schema(Feed(Market.SPOT, DataType.KLINES, None)),
    "origin": pl.String(),
}
"""The columns of filled bars; those of coin-margined contracts are named as their klines are."""

_MICROSECONDS_FROM = datetime(2025, 1, 1, tzinfo=UTC)


def fill(query: Query, lake: LakeContext, *, against: str) -> pl.DataFrame:
    """Make the missing klines of a query from another dataset of the lake, and keep them in Gold.

    Parameters
    ----------
    query
        Klines; symbols and days as usual.
    lake
        The lake, with Silver of the other dataset built.
    against
        What to make them from: ``"trades"``, ``"aggTrades"``, or ``"klines"`` (1m bars, or the finest
        that the lake has).

    Returns
    -------
    polars.DataFrame
        The bars made: ``market, symbol``, ``interval``, the columns of Silver's klines, and ``origin``
        (``"trades"``, ``"1m klines"``). Bars of which only a part could be seen are not made.

    Raises
    ------
    InvalidQuery
        ``against`` is another word, or the query asks for other types than klines.
    """
    require_klines(query, against)
    seen = survey(query, lake)
    made = []
    for folder, months in by_folder(seen):
        partner = partner_of(folder, against, query, lake)
        covered = whole_days(partner)
        if not covered or folder.interval is None:
            continue
        against_folder = partner[0].folder
        level = against_folder.interval
        origin = f"{level.value} klines" if level else against_folder.row.data_type.value
        parts = rebuilt_parts(partner, covered, folder.interval, seen)
        if level:
            parts = _complete(parts, partner, level, folder.interval, seen)
        for month in months:
            rows = _filled(month, parts, folder.interval, seen)
            if rows.height:
                named = _shaped(rows, month, folder.interval, origin)
                made.append(named)
                _store(named, month, lake, [month, *partner])
    return pl.concat(made, how="diagonal") if made else pl.DataFrame(schema=COLUMNS)


def _complete(
    parts: pl.DataFrame,
    partner: list[SymbolMonth],
    fine: Interval,
    coarse: Interval,
    seen: Survey,
) -> pl.DataFrame:
    """Keep the coarse bars all of whose finer ones are there."""
    counts = pl.concat(
        seen.collected(
            month,
            seen.rows_of(month, month.days)
            .group_by(bar_number(pl.col("open_time"), coarse).alias(bars.BAR))
            .agg(bar_number(pl.col("open_time"), fine).n_unique().alias("fine")),
        )
        for month in partner
        if month.built
    )
    have = dict(counts.group_by(bars.BAR).agg(pl.col("fine").sum()).iter_rows())
    whole = [
        number
        for number in parts[bars.BAR]
        if have.get(number, 0)
        == len(expected_numbers(fine, open_of(number, coarse), open_of(number + 1, coarse)))
    ]
    return parts.filter(pl.col(bars.BAR).is_in(whole))


def _filled(
    month: SymbolMonth, parts: pl.DataFrame, interval: Interval, seen: Survey
) -> pl.DataFrame:
    missing = [
        number
        for gap in assess(month, seen).gaps
        if not gap.healed and gap.cause not in OUTSIDE
        for number in _numbers(gap.first, gap.bars, interval)
    ]
    return parts.filter(pl.col(bars.BAR).is_in(missing))


def _numbers(first: datetime, count: int, interval: Interval) -> Iterator[int]:
    begin = number_of(first, interval)
    return iter(range(begin, begin + count))


def _shaped(
    rows: pl.DataFrame, month: SymbolMonth, interval: Interval, origin: str
) -> pl.DataFrame:
    row = month.folder.row
    schema = schema_of(row.market, row.data_type)
    opens = opens_of(rows[bars.BAR], interval)
    ends = opens_of(rows[bars.BAR] + 1, interval)
    fine = row.market is Market.SPOT and month.days.begin >= _MICROSECONDS_FROM
    unit = timedelta(microseconds=1) if fine else timedelta(milliseconds=1)
    named = rows.with_columns(opens.alias("open_time"), (ends - unit).alias("close_time"))
    dtypes = schema.silver_dtypes()
    return named.select(
        pl.lit(row.market.value).alias("market"),
        pl.lit(month.folder.symbol).alias("symbol"),
        pl.lit(interval.value).alias("interval"),
        *(
            (pl.col(name) if name in named.columns else pl.lit(None)).cast(dtypes[name]).alias(name)
            for name in schema.silver_names
        ),
        pl.lit(origin).alias("origin"),
    )


def _store(
    rows: pl.DataFrame, month: SymbolMonth, lake: LakeContext, made_of: list[SymbolMonth]
) -> None:
    """Add bars to a month's file; what it was made of before stays in its lineage."""
    storage = lake.storage
    market, data_type, interval, symbol, period = month.silver
    path = layout.GoldPath(NAME, market, symbol, interval, period, data_type).path
    inputs = _inputs(lake, made_of)
    if storage.exists(path):
        before = as_text(pl.read_parquet(BytesIO(storage.read(path))))
        rows = pl.concat([before, rows]).unique("open_time", keep="last").sort("open_time")
        told = (standing_lineage(storage, path) or {}).get("inputs", [])
        inputs = list(
            {item.path: item for item in [*(Input(**item) for item in told), *inputs]}.values()
        )
    lineage = Lineage(NAME, VERSION, code_hash(fill), tuple(sorted(inputs)))
    buffer = BytesIO()
    metadata = lineage.metadata | arrow_metadata(rows.schema, path)
    rows.write_parquet(buffer, compression="zstd", metadata=metadata)
    data, now = buffer.getvalue(), datetime.now(UTC)
    first, last = rows["open_time"].min(), rows["open_time"].max()
    file = Written(len(data), sha256(data).hexdigest(), rows.height, first, last)  # type: ignore[arg-type]
    lake.tables.append("lineage", [lineage_row(path, lineage, file, new_run_id(), now)])
    storage.write(path, data)


def _inputs(lake: LakeContext, months: list[SymbolMonth]) -> list[Input]:
    """Return the Silver files of some months, as they stand."""
    silver = Silver(lake)
    silver.records = month_records(lake.records, [month.silver.path for month in months])
    files = [
        SilverFile(month.silver, size)
        for month in months
        if (size := lake.storage.size(month.silver.path)) is not None
    ]
    return [item for file in files if (item := silver.input(file)) is not None]
