"""Where what is published ends before the days that were asked for do. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.periods import Period

if TYPE_CHECKING:
    from cryptolake.archive.periods import Days

_ENDING = ("not_yet_published", "not_published", "interval_stopped", "discontinued")
"""The reasons that make an end early. A symbol that was delisted or delivered has all its rows."""

_USUAL = 3
"""So many days may not be published yet without a word: the archive is a day or two behind at all times."""

_FOLDER = ["market", "data_type", "symbol", "interval"]
_NAMED = 3


def ends_early(missing: pl.DataFrame, asked: Days | None) -> str | None:
    """Say which series end before the days asked for do, and by how much; None where none does.

    Parameters
    ----------
    missing
        A plan's missing periods.
    asked
        The days of its query.

    Examples
    --------
    >>> from cryptolake.archive.periods import parse_days
    >>> march = [f"2024-03-{day:02d}" for day in range(1, 15)]
    >>> missing = pl.DataFrame({"period": march}).with_columns(
    ...     market=pl.lit("futures_um"), data_type=pl.lit("fundingRate"), symbol=pl.lit("BTCUSDT"),
    ...     interval=pl.lit(None, pl.String), reason=pl.lit("not_yet_published"))
    >>> print(ends_early(missing, parse_days("2024-01-01", "2024-03-14")))
    The published rows end before the days asked for do: futures_um fundingRate BTCUSDT ends 2024-02-29, 14 days \
early (not yet published). See plan.missing_periods.
    """
    ending = missing.filter(pl.col("reason").is_in(_ENDING))
    if asked is None or not ending.height:
        return None
    tails = _tails(ending, asked.last)
    lasting = (pl.col("reason") != "not_yet_published") | (pl.col("days") > _USUAL)
    late = tails.filter(lasting & (pl.col("first") > asked.first))
    if not late.height:
        return None
    named = [
        f"{' '.join(filter(None, name))} ends {first - timedelta(days=1)}, {days} days early "
        f"({reason.replace('_', ' ')})"
        for *name, first, days, reason in late.head(_NAMED).iter_rows()
    ]
    more = f"; and {late.height - _NAMED:,} more series" if late.height > _NAMED else ""
    return (
        f"The published rows end before the days asked for do: {'; '.join(named)}{more}. "
        "See plan.missing_periods."
    )


def _tails(missing: pl.DataFrame, last: date) -> pl.DataFrame:
    """Return, of each folder, the missing days without a break up to the last one asked for."""
    spans = {text: Period.parse(text).days for text in missing["period"].unique()}
    days = missing.select(
        *_FOLDER,
        "reason",
        pl.col("period")
        .replace_strict({k: v.first for k, v in spans.items()}, return_dtype=pl.Date)
        .alias("a"),
        pl.col("period")
        .replace_strict({k: v.last for k, v in spans.items()}, return_dtype=pl.Date)
        .alias("b"),
    )
    each = (
        days.with_columns(day=pl.date_ranges("a", pl.min_horizontal("b", pl.lit(last))))
        .explode("day")
        .drop_nulls("day")
        .sort("day", descending=True)
        .with_columns(before_last=(pl.lit(last) - pl.col("day")).dt.total_days())
        .with_columns(place=pl.int_range(pl.len()).over(_FOLDER))
        .filter(pl.col("before_last") == pl.col("place"))
    )
    return (
        each.group_by(_FOLDER)
        .agg(pl.col("day").min().alias("first"), pl.len().alias("days"), pl.col("reason").last())
        .sort(_FOLDER)
    )
