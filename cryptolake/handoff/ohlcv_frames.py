"""Klines as pandas frames: one a symbol for backtesting.py, or wide for vectorbt and bt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from cryptolake.handoff.rows import PRICES, require, rows_of, unique_times, utc_index

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_USE = "handoff.ohlcv"
_FIELDS = ("Open", "High", "Low", "Close", "Volume")


@overload
def ohlcv(
    frame: pl.DataFrame | pl.LazyFrame, *, wide: Literal[False] = False
) -> dict[str, pd.DataFrame]: ...
@overload
def ohlcv(frame: pl.DataFrame | pl.LazyFrame, *, wide: Literal[True]) -> pd.DataFrame: ...
def ohlcv(
    frame: pl.DataFrame | pl.LazyFrame, *, wide: bool = False
) -> dict[str, pd.DataFrame] | pd.DataFrame:
    """Shape klines for backtesters that read pandas.

    A bar without one of its four prices is left out: backtesting.py refuses NaN. Prices may be ``Float64`` or
    exact decimals; pandas gets ``float64``.

    Parameters
    ----------
    frame
        Rows of :meth:`cryptolake.Lake.frame`, ``silver`` or ``resample``: klines of one market and one
        interval. A bar that ``resample`` says is not ``whole`` is a bar like any other here: filter first.
    wide
        One frame with a column per field and symbol, instead of a frame per symbol.

    Returns
    -------
    dict of str to pandas.DataFrame
        By symbol: ``Open High Low Close Volume``, indexed by ``open_time`` in UTC, in order of time.
    pandas.DataFrame
        With ``wide``: columns ``(field, symbol)``, a row for each open time of any symbol, NaN where a symbol
        has no bar. The field ``Last`` (bool) marks the last bar of each symbol that ends before the others:
        a delisted one. Sell there: vectorbt drops an order where the price is NaN, so a position in a
        delisted symbol stays open for ever.

    Raises
    ------
    InvalidQuery
        The rows are of several markets or intervals, repeat an open time, or there are none.
    SchemaMismatch
        The rows are not klines.
    MissingTool
        pandas is not installed.

    Examples
    --------
    >>> import cryptolake as cl
    >>> import polars as pl
    >>> rows = pl.DataFrame({"symbol": ["AUSDT", "AUSDT", "BUSDT"], "at": [0, 1, 0]}).select(
    ...     "symbol",
    ...     open_time=pl.datetime(2025, 1, 1, time_zone="UTC") + pl.duration(hours="at"),
    ...     **{name: pl.lit(1.5) for name in ("open", "high", "low", "close", "volume")},
    ... )
    >>> sorted(cl.handoff.ohlcv(rows)), list(cl.handoff.ohlcv(rows)["AUSDT"])
    (['AUSDT', 'BUSDT'], ['Open', 'High', 'Low', 'Close', 'Volume'])
    >>> cl.handoff.ohlcv(rows, wide=True)["Last"]["BUSDT"].tolist()
    [True, False]
    """
    require("pandas", _USE)
    rows = _bars(frame)
    return _wide(rows) if wide else _by_symbol(rows)


def _bars(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    import polars as pl

    columns = ("symbol", "open_time", *PRICES, "volume")
    rows = rows_of(frame, _USE, columns, one=("market", "interval"))
    unique_times(rows, _USE, "open_time")
    values = [
        pl.col(name).cast(pl.Float64).fill_nan(None).alias(name.capitalize())
        for name in (*PRICES, "volume")
    ]
    shaped = rows.select(pl.col("symbol").cast(pl.String), "open_time", *values)
    return shaped.drop_nulls(["Open", "High", "Low", "Close"]).sort("symbol", "open_time")


def _by_symbol(rows: pl.DataFrame) -> dict[str, pd.DataFrame]:
    import pandas as pd

    parts = rows.partition_by("symbol", as_dict=True, maintain_order=True)
    return {
        str(symbol): pd.DataFrame(
            {field: part[field].to_numpy() for field in _FIELDS},
            index=utc_index(part["open_time"], "open_time"),
        )
        for (symbol,), part in parts.items()
    }


def _wide(rows: pl.DataFrame) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    times, symbols = rows["open_time"].unique().sort(), rows["symbol"].unique().sort()
    row = times.search_sorted(rows["open_time"]).to_numpy()
    column = symbols.search_sorted(rows["symbol"]).to_numpy()
    cells = np.full((len(times), len(_FIELDS), len(symbols)), np.nan)
    for place, field in enumerate(_FIELDS):
        cells[row, place, column] = rows[field].to_numpy()
    last = np.zeros((len(times), len(symbols)), dtype=bool)
    np.maximum.at(ends := np.zeros(len(symbols), dtype=np.int64), column, row)
    ended = ends < len(times) - 1
    last[ends[ended], np.flatnonzero(ended)] = True

    index = utc_index(times, "open_time")
    names = symbols.to_list()
    labels = pd.MultiIndex.from_product([_FIELDS, names], names=["field", "symbol"])
    values = pd.DataFrame(cells.reshape(len(times), -1), index=index, columns=labels)
    marks = pd.MultiIndex.from_product([["Last"], names], names=["field", "symbol"])
    return pd.concat([values, pd.DataFrame(last, index=index, columns=marks)], axis=1)
