"""``lake.verify(query, against=...)``: published klines held against bars made from trades or finer bars."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cryptolake.archive.enums import DataType, Interval
from cryptolake.archive.grid import bar_number, expected_numbers, open_of, opens_of
from cryptolake.archive.periods import Days
from cryptolake.archive.schemas import schema_of
from cryptolake.errors import InvalidQuery, NotPublished, unknown_word
from cryptolake.quality import bars
from cryptolake.quality.survey import SeriesFiles, Survey, SymbolMonth, survey
from cryptolake.storage import layout
from cryptolake.storage.tables import record_new

if TYPE_CHECKING:
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query

_ACCEPTED = ("trades", "aggTrades", "klines")

DIFFERENCES: dict[str, Any] = {
    "market": pl.String,
    "data_type": pl.String,
    "symbol": pl.String,
    "interval": pl.String,
    "open_time": pl.Datetime("us", "UTC"),
    "column": pl.String,
    "published": pl.Float64,
    "rebuilt": pl.Float64,
    "difference": pl.Float64,
    "tolerance": pl.Float64,
    "against": pl.String,
}
"""The columns of :func:`crosscheck`."""


def crosscheck(query: Query, lake: LakeContext, *, against: str = "trades") -> pl.DataFrame:
    """Rebuild the klines of a query from another dataset of the lake, and return where they differ.

    Open, high, low, close, volume, value and number of trades are compared per bar, within the published
    decimals. Only bars are compared all of whose days the lake holds on both sides. Each bar that
    differs is also recorded in ``meta.findings``, once.

    Parameters
    ----------
    query
        Klines; symbols and days as usual.
    lake
        The lake, with Silver of both datasets built.
    against
        ``"trades"``, ``"aggTrades"``, or ``"klines"``: 1m bars (or the finest the lake has) against
        coarser ones.

    Returns
    -------
    polars.DataFrame
        One row per value that differs: ``published`` and ``rebuilt`` are both values, ``tolerance`` what
        would have passed; a bar that one side lacks is one row of ``trades``, null on that side.
        Empty when all agree.

    Raises
    ------
    InvalidQuery
        ``against`` is another word, or the query asks for other types than klines.
    NotPublished
        The lake holds nothing of the other dataset for these days.
    """
    require_klines(query, against)
    seen = survey(query, lake)
    found, compared = [], 0
    for folder, months in by_folder(seen):
        partner = partner_of(folder, against, query, lake)
        days = sorted(whole_days(months) & whole_days(partner))
        if not days:
            continue
        compared += len(days)
        found.append(_compare(folder, months, partner, days, seen))
    if not compared:
        message = (
            f"the lake holds no {against} beside these klines for any of their days; "
            f"pull them first: lake.pull(query.data_types({against!r}))."
        )
        raise NotPublished(message, against=against, query=query)
    result = pl.concat([pl.DataFrame(schema=DIFFERENCES), *found])
    record_new(_findings(result), lake.tables)
    return result


def require_klines(query: Query, against: str) -> None:
    """Check that a query asks for klines, and names a dataset that they can be made from.

    Raises
    ------
    InvalidQuery
        It does not.
    """
    if against not in _ACCEPTED:
        raise unknown_word("dataset to verify against", against, _ACCEPTED)
    for row in query.selection.rows():
        if row.data_type is not DataType.KLINES:
            message = f"only klines can be rebuilt, not {row.data_type.value}: say .klines('1h')."
            raise InvalidQuery(message, what="data type", given=row.data_type.value)


def by_folder(seen: Survey) -> Iterator[tuple[SeriesFiles, list[SymbolMonth]]]:
    """Yield each folder of a survey with its months."""
    folders: dict[int, list[SymbolMonth]] = {}
    for month in seen.months:
        folders.setdefault(id(month.folder), []).append(month)
    return ((months[0].folder, months) for months in folders.values())


def partner_of(
    folder: SeriesFiles, against: str, query: Query, lake: LakeContext
) -> list[SymbolMonth]:
    """Return the months of the other dataset: of klines, the finest interval that the lake has built."""
    market, symbol = folder.row.market.value, folder.symbol
    plain = query.markets(market).symbols(symbol).universe()
    if against != "klines":
        return list(survey(plain.data_types(against).intervals(), lake).months)
    finer = [i for i in folder.row.all_intervals if folder.interval and _finer(i, folder.interval)]
    for interval in sorted(finer, key=lambda i: (i is not Interval.M1, list(Interval).index(i))):
        months = survey(plain.intervals(interval.value), lake).months
        if any(month.built for month in months):
            return list(months)
    return []


def _finer(fine: Interval, coarse: Interval) -> bool:
    """Say whether bars of one interval make up bars of the other."""
    if fine is coarse or fine.length is None or fine.length > timedelta(days=1):
        return False
    return coarse.length is None or (
        fine.length < coarse.length and not coarse.length % fine.length
    )


def whole_days(months: list[SymbolMonth]) -> set[date]:
    """Return the asked days that some file covers which Silver was built from."""
    return {
        day
        for month in months
        for key, _, days in month.files()
        if key in month.built
        for day in month.days.clip(days) or ()
    }


def _compare(
    folder: SeriesFiles,
    months: list[SymbolMonth],
    partner: list[SymbolMonth],
    days: list[date],
    seen: Survey,
) -> pl.DataFrame:
    interval = folder.interval or Interval.M1
    whole = set(days)
    rebuilt = rebuilt_parts(partner, whole, interval, seen)
    published = pl.concat(
        _published(month, only, interval, seen) for month, only in _spans(months, whole)
    )
    chosen = pl.col(bars.BAR).is_in(_whole_bars(interval, whole).implode())
    found = bars.differences(published.filter(chosen), rebuilt.filter(chosen))
    against = partner[0].folder
    return found.select(
        pl.lit(folder.row.market.value).alias("market"),
        pl.lit(folder.row.data_type.value).alias("data_type"),
        pl.lit(folder.symbol).alias("symbol"),
        pl.lit(interval.value).alias("interval"),
        opens_of(found[bars.BAR], interval).alias("open_time"),
        *("column", "published", "rebuilt", "difference", "tolerance"),
        pl.lit(
            f"{against.interval.value} klines" if against.interval else against.row.data_type.value
        ).alias("against"),
    )


def rebuilt_parts(
    partner: list[SymbolMonth], days: set[date], interval: Interval, seen: Survey
) -> pl.DataFrame:
    """Make the bars of some days, those at their borders included only where they are whole."""
    parts = [_parts(month, only, interval, seen) for month, only in _day_by_day(partner, days)]
    kept = [part for part in parts if part.height]
    if not kept:
        return pl.DataFrame(schema={bars.BAR: pl.Int64})
    whole = _whole_bars(interval, days).implode()
    return bars.joined(pl.concat(kept).lazy()).filter(pl.col(bars.BAR).is_in(whole)).collect()


def _day_by_day(months: list[SymbolMonth], whole: set[date]) -> Iterator[tuple[SymbolMonth, Days]]:
    """Cut to single days, so that no month of trades is held at once."""
    return ((month, Days(day, day)) for month in months for day in month.days if day in whole)


def _spans(months: list[SymbolMonth], whole: set[date]) -> Iterator[tuple[SymbolMonth, Days]]:
    for month in months:
        inside = [day for day in month.days if day in whole]
        if inside and month.built:
            yield month, Days(inside[0], inside[-1])


def _parts(month: SymbolMonth, days: Days, interval: Interval, seen: Survey) -> pl.DataFrame:
    rows = seen.rows_of(month, days)
    if month.folder.interval:
        return seen.collected(month, bars.bars_of_klines(rows, interval))
    schema = schema_of(month.folder.row.market, month.folder.row.data_type)
    return seen.collected(month, bars.bars_of_trades(rows, schema, interval))


def _published(month: SymbolMonth, days: Days, interval: Interval, seen: Survey) -> pl.DataFrame:
    """Return the published bars that open on the grid: beside halts some do not, and cannot be compared."""
    number = bar_number(pl.col("open_time"), interval)
    numbered = seen.rows_of(month, days).with_columns(number.alias(bars.BAR))
    rows = seen.collected(month, numbered)
    return rows.filter(rows["open_time"] == opens_of(rows[bars.BAR], interval))


def _whole_bars(interval: Interval, days: set[date]) -> pl.Series:
    """Return the numbers of the bars that open and end inside runs of these days."""
    numbers: list[int] = []
    for span in runs_of(days):
        whole = expected_numbers(interval, span.begin, span.end)
        if len(whole) and open_of(whole.stop, interval) > span.end:
            whole = whole[:-1]
        numbers += whole
    return pl.Series(bars.BAR, numbers, dtype=pl.Int64)


def runs_of(days: set[date]) -> Iterator[Days]:
    """Yield the runs of days that follow each other."""
    run: list[date] = []
    for day in sorted(days):
        if run and day - run[-1] > timedelta(days=1):
            yield Days(run[0], run[-1])
            run = []
        run.append(day)
    if run:
        yield Days(run[0], run[-1])


def _findings(found: pl.DataFrame) -> pl.DataFrame:
    """Return one finding for each bar that differs, with both values of each column."""
    text = pl.format("{} {} published, {} from {}", "column", "published", "rebuilt", "against")
    who = ["market", "symbol", "interval", "open_time"]
    return (
        found.with_columns(text.fill_null("one side lacks the bar").alias("text"))
        .group_by(who, maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("text").str.join("; ").alias("detail"))
        .select(
            pl.concat_str("market", pl.lit("_klines")).alias("dataset"),
            layout.silver_path_of_bars("open_time").alias("path"),
            *("symbol", "interval", "rows", "detail"),
            pl.lit("crosscheck").alias("kind"),
            pl.col("open_time").alias("first"),
            pl.col("open_time").alias("last"),
        )
    )
