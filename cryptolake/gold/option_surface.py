"""``option_surface``: the options on an asset at each hour's end, on the clock that their values have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptolake.gold.recipes import recipe

if TYPE_CHECKING:
    import polars as pl


@recipe(summary="options_eoh_summary")
def option_surface(summary: pl.LazyFrame) -> pl.LazyFrame:
    """Give each option on an asset at each hour's end: its terms, quotes, volatility, greeks and open interest.

    The archive labels a row of ``EOHSummary`` with the start of its hour, and its values are of the hour's end:
    ``valued_at = time + 1h``. The evidence is the time to expiry that follows from delta: 7.1, 5.7, 5.1, 4.0 and
    3.1 hours under labels that are 8, 7, 6, 5 and 4 hours before the expiry. Options expire at 08:00 UTC of the day
    in their name (source: Binance, "Options Contract Specifications"); rows that are labelled later repeat the last
    one, so those with ``valued_at`` after ``expiry`` are left out. Of trades the archive has the 24 hours up to
    ``valued_at``, not the hour: their names end in ``_24h``, and neighbouring rows cannot be added up.
    ``volume_usdt`` of the archive repeats the number of contracts, and is left out.

    A row is known at ``valued_at``.

    Returns
    -------
    polars.LazyFrame
        ``time`` (UTC), the label, the hour's start; ``valued_at`` (UTC); ``option_symbol``; ``option_type``, C or P;
        ``expiry`` (UTC); ``strike`` (USDT); ``days_to_expiry``, from ``valued_at``; ``mark_price``, ``bid_price``
        and ``ask_price`` (USDT); ``bid_quantity`` and ``ask_quantity`` (contracts); ``mark_iv`` and ``ask_iv``, a
        year's volatility as a fraction (that of the bid is not published); ``delta``, ``gamma`` (1/USDT), ``vega``
        (USDT), ``theta`` (USDT a day); ``open_interest`` (contracts) and ``open_interest_value`` (USDT);
        ``close_24h`` (USDT) and ``volume_24h`` (contracts). A bid or ask of 0 is none, and null with its quantity;
        ``close_24h`` is null where nothing was traded, open interest where it is not published.

    Examples
    --------
    >>> import polars as pl
    >>> from datetime import UTC, datetime
    >>> hours = [datetime(2023, 10, 20, hour, tzinfo=UTC) for hour in (6, 7, 8)]
    >>> numbers = dict.fromkeys(input_numbers(), 1.0)
    >>> summary = pl.LazyFrame({"time": hours}).with_columns(
    ...     option_symbol=pl.lit("BTC-231020-28000-C"),
    ...     option_type=pl.lit("C"),
    ...     strike=pl.lit("231020-28000"),
    ...     **{name: pl.lit(value) for name, value in numbers.items()},
    ... )
    >>> option_surface(summary).select("valued_at", "strike", "days_to_expiry").collect().rows()[-1]
    (datetime.datetime(2023, 10, 20, 8, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 28000.0, 0.0)
    """
    import polars as pl

    terms = pl.col("strike").cast(pl.String)
    day = terms.str.slice(0, 6).str.to_datetime("%y%m%d", time_unit="us", time_zone="UTC")
    bid, ask, close = (
        pl.when(pl.col(name) > 0).then(pl.col(name))
        for name in ("best_bid_price", "best_ask_price", "close")
    )
    shown = summary.select(
        "time",
        "option_symbol",
        "option_type",
        *_SAME,
        valued_at=pl.col("time").dt.offset_by("1h"),
        expiry=day.dt.offset_by("8h"),
        strike=terms.str.slice(7).cast(pl.Float64),
        bid_price=bid,
        ask_price=ask,
        bid_quantity=pl.when(pl.col("best_bid_price") > 0).then("best_bid_quantity"),
        ask_quantity=pl.when(pl.col("best_ask_price") > 0).then("best_ask_quantity"),
        ask_iv="best_sell_iv",
        close_24h=close,
        volume_24h="volume",
    )
    left = (pl.col("expiry") - pl.col("valued_at")).dt.total_seconds() / 86_400
    return (
        shown.filter(pl.col("valued_at") <= pl.col("expiry"))
        .with_columns(days_to_expiry=left)
        .select(*_FIRST, *_SAME, *_LAST)
    )


_SAME = (
    *("mark_price", "mark_iv", "delta", "gamma", "vega", "theta"),
    *("open_interest", "open_interest_value"),
)
_FIRST = (
    *("time", "valued_at", "option_symbol", "option_type", "expiry", "strike", "days_to_expiry"),
)
_LAST = (
    *("bid_price", "ask_price", "bid_quantity", "ask_quantity", "ask_iv"),
    *("close_24h", "volume_24h"),
)


def input_numbers() -> tuple[str, ...]:
    """Return the numbers of ``EOHSummary`` that the surface is made of.

    Examples
    --------
    >>> input_numbers()[:2]
    ('mark_price', 'mark_iv')
    """
    quotes = ("best_bid_price", "best_ask_price", "best_bid_quantity", "best_ask_quantity")
    return (*_SAME, *quotes, "best_sell_iv", "close", "volume")
