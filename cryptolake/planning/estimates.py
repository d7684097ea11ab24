"""What the listing alone lets one guess: how many rows files hold. Pure."""

from __future__ import annotations

import polars as pl

from cryptolake.archive.enums import Interval

_KLINES = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")

_DAY = 86_400


def rows_expected(files: pl.DataFrame) -> int | None:
    """Return the rows of planned kline files when no bar is absent; None where a file has no fixed count.

    Examples
    --------
    >>> rows_expected(
    ...     pl.DataFrame(
    ...         {
    ...             "data_type": ["klines"],
    ...             "interval": ["1m"],
    ...             "partition": ["monthly"],
    ...             "period": ["2024-02"],
    ...         }
    ...     )
    ... )
    41760
    """
    if files.filter(~pl.col("data_type").is_in(_KLINES)).height:
        return None
    seconds = {i.value: i.length.total_seconds() for i in Interval if i.length is not None}
    monthly = pl.col("partition") == "monthly"
    first = (
        pl.col("period") + pl.when(monthly).then(pl.lit("-01")).otherwise(pl.lit(""))
    ).str.to_date()
    days = pl.when(monthly).then(first.dt.month_end().dt.day()).otherwise(1).cast(pl.Float64)
    step = pl.col("interval").replace_strict(seconds, default=None, return_dtype=pl.Float64)
    # A bar longer than the file still is one row of it; a month's bar is one a month.
    rows = pl.when(step.is_null()).then(1.0).otherwise((days * _DAY / step).ceil())
    return int(files.select(rows.sum()).item() or 0)
