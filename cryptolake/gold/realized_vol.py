"""``realized_vol``: how much a perpetual has moved, beside how much options expect it to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptolake.archive.enums import Market
from cryptolake.archive.periods import parse_duration
from cryptolake.archive.symbols import split_symbol
from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl

_INDEXED = ("BTC", "ETH")
_DAYS_A_YEAR = 365


def index_of(symbol: str, market: Market = Market.FUTURES_UM) -> dict[str, str]:
    """Return the volatility index of a contract's base, by the name of its input; none of most.

    Examples
    --------
    >>> index_of("BTCUSDT"), index_of("BTCDOMUSDT"), index_of("ETHUSD_PERP", Market.FUTURES_CM)
    ({'index': 'BTCBVOLUSDT'}, {'index': ''}, {'index': 'ETHBVOLUSDT'})
    """
    base = split_symbol(market, symbol).base
    return {"index": f"{base}BVOLUSDT" if base in _INDEXED else ""}


@recipe(
    bars="futures_um_klines:1h",
    index="options_bvol_index",
    before="31d",
    pair=index_of,
    markets=("spot", "futures_cm"),
    intervals=("1m", "3m", "5m", "15m", "30m", "2h", "4h"),
)
def realized_vol(bars: pl.LazyFrame, index: pl.LazyFrame, interval: str = "1h") -> pl.LazyFrame:
    """Give a symbol's annualized realized volatility over 1, 7 and 30 days, beside the index BVOL, bar by bar.

    ``vol = 100 * sqrt(365 * n * mean(r ** 2))`` of the log returns ``r = ln(close / close one bar before)``
    of the window that ends with the bar, where ``n`` is how many bars a day has (24 hours, for USD-margined contracts,
    where the query names no market and interval); no mean is taken off. Source: T. Andersen, T. Bollerslev, F. Diebold,
    P. Labys, "The distribution of realized exchange rate volatility" (2001), annualized by all 365 days of a
    year, since this market has no closing hours. ``bvol`` is the newest value of Binance's volatility index
    (archive ``BVOLIndex``, of BTC and ETH) that was known at the bar's end: what options expect of the next 30
    days, where ``vol_30d`` is what the last 30 were.

    A row is known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the symbol's bars; ``vol_1d``, ``vol_7d`` and ``vol_30d``, percent a year,
        null where fewer than nine tenths of the window's returns are there (a return needs both bars, so a
        gap is never one large return); ``bvol``, percent a year, null where the index has none that is known within the bar.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime, timedelta
    >>> begin = datetime(2024, 1, 1, tzinfo=UTC)
    >>> hours = [begin + timedelta(hours=hour) for hour in range(25)]
    >>> bars = pl.LazyFrame(
    ...     {"open_time": hours, "close": [100.0 * 1.01 ** (hour % 2) for hour in range(25)]}
    ... )
    >>> index = pl.LazyFrame({"time": [begin + timedelta(minutes=50)], "index_value": [55.5]})
    >>> realized_vol(bars, index).select("vol_1d", "bvol").collect()[-1]["vol_1d"].round(2).item()
    93.13
    >>> realized_vol(bars, index).collect()["bvol"].drop_nulls().to_list()
    [55.5]
    """
    import polars as pl

    from cryptolake.research.known import known

    time = pl.col("open_time")
    a_day = timedelta(days=1) // parse_duration(interval)
    step = pl.when(time - time.shift() == parse_duration(interval)).then(
        pl.col("close").log().diff()
    )
    squared = bars.select("open_time", squared=step**2, end=time.dt.offset_by(interval))

    def vol(days: int) -> pl.Expr:
        needed = days * a_day * 9 // 10
        mean = pl.col("squared").rolling_mean_by("open_time", f"{days}d", min_samples=needed)
        return 100 * (mean * (_DAYS_A_YEAR * a_day)).sqrt()

    values = index.select(over=known("options", "BVOLIndex"), bvol="index_value").sort("over")
    joined = squared.with_columns(vol_1d=vol(1), vol_7d=vol(7), vol_30d=vol(30)).join_asof(
        values, left_on="end", right_on="over", strategy="backward"
    )
    recent = pl.col("over") > time
    return joined.select(
        "open_time", "vol_1d", "vol_7d", "vol_30d", bvol=pl.when(recent).then("bvol")
    )
