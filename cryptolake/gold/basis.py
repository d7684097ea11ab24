"""``basis``: what a perpetual costs above or below spot, bar by bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.archive.assets import load_assets
from cryptolake.archive.enums import Market
from cryptolake.archive.symbols import split_symbol
from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


def spot_of(symbol: str) -> dict[str, str]:
    """Return the spot symbol of a USD-margined contract, by the name of its input.

    Examples
    --------
    >>> spot_of("1000SHIBUSDT"), spot_of("1INCHUSDT"), spot_of("BTCUSDT_250328")
    ({'spot': 'SHIBUSDT'}, {'spot': '1INCHUSDT'}, {'spot': 'BTCUSDT'})
    """
    name = split_symbol(Market.FUTURES_UM, symbol)
    return {"spot": load_assets().unit_of(name.base)[0] + name.quote}


def multiplier(symbol: pl.Expr) -> pl.Expr:
    """Return how many coins one unit of a USD-margined contract's base stands for.

    Examples
    --------
    >>> import polars as pl
    >>> names = pl.DataFrame({"symbol": ["1000SHIBUSDT", "1INCHUSDT"]})
    >>> names.select(multiplier(pl.col("symbol")))["symbol"].to_list()
    [1000, 1]
    """
    import polars as pl

    counts = {base: count for base, (_, count) in load_assets().multiplied.items()}
    base = symbol.str.extract(f"^({'|'.join(counts)})")
    return base.replace_strict(counts, default=1, return_dtype=pl.Int64)


@recipe(
    perp="futures_um_klines:1h",
    spot="spot_klines:1h",
    intervals="all",
    pair=spot_of,
    depends=load_assets().multiplied,
)
def basis(perp: pl.LazyFrame, spot: pl.LazyFrame) -> pl.LazyFrame:
    """Compare a USD-margined contract with spot, as a fraction of spot, at each bar's close.

    ``basis = perp / (multiplier * spot) - 1``, of the closes of the same bar, hourly ones where the query names no
    interval: 0.001 is 0.1 % above spot. It is not
    annualized; of a contract that expires, ``basis * 365 / days to expiry`` is. Source: Binance, "Basis data"
    (``/futures/data/basis``), where ``basisRate = (futuresPrice - indexPrice) / indexPrice``; here spot's own close
    takes the place of the index.

    ``multiplier`` is how many coins the contract's base stands for: 1000 for 1000SHIB, whose spot is SHIB; 1 for
    1INCH, which is a coin. A row is known when its bar is over.

    Returns
    -------
    polars.LazyFrame
        ``open_time`` (UTC) of the contract's bars; ``perp`` and ``spot``, closes in the quote asset; ``multiplier``;
        ``basis``, a fraction. ``spot`` and ``basis`` are null where spot has no bar of that time, or none that opens
        at that instant; nothing is carried forward.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> time = pl.lit(datetime(2024, 1, 1, tzinfo=UTC))
    >>> perp = pl.LazyFrame({"symbol": ["1000SHIBUSDT"], "close": [0.01111]}).with_columns(
    ...     open_time=time
    ... )
    >>> spot = pl.LazyFrame({"symbol": ["SHIBUSDT"], "close": [0.000011]}).with_columns(
    ...     open_time=time
    ... )
    >>> basis(perp, spot).collect()["basis"].round(6).item()
    0.01
    """
    import polars as pl

    own = perp.select("open_time", multiplier=multiplier(pl.col("symbol")), perp="close")
    other = spot.select("open_time", spot="close")
    joined = own.join(other, on="open_time", how="left", maintain_order="left")
    fair = pl.col("multiplier") * pl.col("spot")
    return joined.select("open_time", "perp", "spot", "multiplier", basis=pl.col("perp") / fair - 1)
