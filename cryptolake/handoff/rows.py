"""What the shapes share: rows as given are checked, times become an index, and a missing package is named."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cryptolake.errors import InvalidQuery, SchemaMismatch, missing_package

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

PRICES = ("open", "high", "low", "close")
"""The prices of a bar, in the order that every backtester wants."""


def require(package: str, use: str) -> Any:
    """Import an optional package.

    Raises
    ------
    MissingTool
        It is not installed; the message names what installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise missing_package(use, package, "pandas") from None


def rows_of(
    frame: pl.DataFrame | pl.LazyFrame, use: str, columns: Sequence[str], one: Sequence[str]
) -> pl.DataFrame:
    """Return rows in memory, after a check that they have columns, and one value in some of them.

    Parameters
    ----------
    frame
        Rows of :meth:`cryptolake.Lake.frame`, ``silver`` or ``resample``.
    use
        The call that needs them, for messages.
    columns
        Columns that have to be there.
    one
        Columns that may hold one value only, where they are there at all.

    Raises
    ------
    SchemaMismatch
        A column is absent.
    InvalidQuery
        A column holds several values, or there are no rows.
    """
    rows = frame.lazy().collect()
    absent = [name for name in columns if name not in rows.columns]
    if absent:
        message = (
            f"{use} needs the columns {', '.join(columns)}; absent: {', '.join(absent)}."
            " Give it rows of lake.frame, lake.silver or lake.resample."
        )
        raise SchemaMismatch(message, use=use, absent=tuple(absent))
    if rows.is_empty():
        message = f"{use} needs rows, and the frame has none"
        raise InvalidQuery(message, use=use)
    for name in one:
        if name in rows.columns:
            only_one(use, name, rows[name].unique().to_list())
    return rows


def only_one(use: str, what: str, values: Sequence[Any]) -> None:
    """Check that rows are of one market, interval or symbol.

    Raises
    ------
    InvalidQuery
        They are of several.

    Examples
    --------
    >>> only_one("handoff.ohlcv", "interval", ["1m", "1h"])
    Traceback (most recent call last):
    ...
    cryptolake.errors.InvalidQuery: handoff.ohlcv takes rows of one interval, the frame has 1h and 1m: filter it first, as by frame.filter(pl.col("interval") == "1h")
    """
    found = sorted({str(value) for value in values})
    if len(found) > 1:
        message = (
            f"{use} takes rows of one {what}, the frame has {' and '.join(found[:4])}:"
            f' filter it first, as by frame.filter(pl.col("{what}") == "{found[0]}")'
        )
        raise InvalidQuery(message, use=use, given=tuple(found))


def unique_times(rows: pl.DataFrame, use: str, time: str) -> None:
    """Check that a symbol has one row a time.

    Raises
    ------
    InvalidQuery
        It has several.
    """
    repeats = rows.select("symbol", time).is_duplicated()
    if repeats.any():
        symbol, at = rows.filter(repeats).select("symbol", time).row(0)
        message = f"{use} needs one row per symbol and {time}; {symbol} has several at {at}"
        raise InvalidQuery(message, use=use, symbol=symbol)


def utc_index(times: pl.Series, name: str) -> pd.DatetimeIndex:
    """Return times as a pandas index in UTC.

    Examples
    --------
    >>> import polars as pl
    >>> times = pl.Series([0, 3_600_000_000]).cast(pl.Datetime("us", "UTC"))
    >>> utc_index(times, "open_time")[1].isoformat()
    '1970-01-01T01:00:00+00:00'
    """
    import pandas as pd

    naive = pd.DatetimeIndex(times.dt.replace_time_zone(None).to_numpy(), name=name)
    return naive.tz_localize("UTC")
