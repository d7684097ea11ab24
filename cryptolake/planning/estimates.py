"""What the listing alone lets one guess: how many rows files hold. Pure."""

from __future__ import annotations

from collections.abc import Sequence

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


FOLDER = ("market", "data_type", "symbol", "interval")
"""What says whose file it is, beside its partition."""

_AROUND = 15
"""Files in the window around each one."""
_WEEKS = 9
"""Files in the window of the same weekday."""
_ENOUGH = 5
"""Fewer neighbours than this say nothing."""
_RATIO = 0.6
"""A file is far smaller only when it is below this share of its neighbours' median."""
_SPREADS = 6.0
"""... and this many robust standard deviations away from it."""
_LEAST_SPREAD = 0.05


def suspect_sizes(files: pl.DataFrame, by: Sequence[str] = FOLDER) -> pl.Series:
    """Say which files are far smaller than their neighbours.

    Parameters
    ----------
    files
        One row a file: the columns of ``by``, ``partition``, ``period`` (text ``YYYY-MM`` or
        ``YYYY-MM-DD``) and ``size`` in bytes, in any order. Pass all that is listed of a symbol, not
        just what is wanted: the neighbours are the measure.
    by
        The columns that say whose files are each other's neighbours.

    Returns
    -------
    polars.Series
        ``suspect_size``, Boolean, in the order of ``files``. The first and the last file of a symbol
        are never suspect: listing and delisting days are short.

    Examples
    --------
    >>> days = [f"2024-01-{day:02}" for day in range(1, 21)]
    >>> files = pl.DataFrame({"period": days, "size": [70_000] * 9 + [3_000] + [70_000] * 10})
    >>> files = files.with_columns(
    ...     pl.lit("BTCUSDT").alias("symbol"), pl.lit("daily").alias("partition")
    ... )
    >>> files.filter(suspect_sizes(files, by=["symbol"]))["period"].to_list()
    ['2024-01-10']
    """
    group = (*by, "partition")
    day = pl.col("period").str.slice(0, 10)
    ordered = (
        files.select(*group, "period", pl.col("size").cast(pl.Float64))
        .with_row_index("_row")
        .with_columns(
            pl.when(day.str.len_chars() == 10)
            .then(day.str.to_date("%Y-%m-%d", strict=False).dt.weekday())
            .alias("_weekday"),
            pl.col("size").clip(1).log().alias("_log"),
        )
        .sort(*group, "period")
    )
    weekly = (*group, "_weekday")
    measured = ordered.with_columns(
        _rolling("_log", _AROUND).over(group).alias("_near"),
        _rolling("_log", _WEEKS).over(weekly).alias("_week"),
    ).with_columns(
        (pl.col("_log") - pl.col("_near")).abs().alias("_off_near"),
        (pl.col("_log") - pl.col("_week")).abs().alias("_off_week"),
    )
    spread = pl.max_horizontal(
        _rolling("_off_near", _AROUND).over(group), _rolling("_off_week", _WEEKS).over(weekly)
    )
    below = pl.min_horizontal("_near", "_week") - pl.col("_log")
    place = pl.int_range(pl.len()).over(group)
    inner = (place > 0) & (place < pl.len().over(group) - 1)
    # 1.4826: what makes the median deviation of a normal spread its standard deviation.
    far = below > _SPREADS * pl.max_horizontal(1.4826 * spread, pl.lit(_LEAST_SPREAD))
    small = below > -pl.lit(_RATIO).log()
    judged = measured.select(
        "_row", (far & small & inner).fill_null(value=False).alias("suspect_size")
    )
    return judged.sort("_row")["suspect_size"]


def _rolling(column: str, window: int) -> pl.Expr:
    return pl.col(column).rolling_median(window, min_samples=_ENOUGH, center=True)
