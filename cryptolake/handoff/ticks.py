"""Bars, trades and quotes for nautilus_trader: stamped when they are known, one precision an instrument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptolake.archive.enums import parse_interval
from cryptolake.errors import InvalidQuery, SchemaMismatch
from cryptolake.handoff.clocks import known_at
from cryptolake.handoff.rows import PRICES, only_one, require, rows_of, unique_times, utc_index

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_USE = "handoff.nautilus"
_MOST_DECIMALS = 16
"""What nautilus holds in its widest fixed-point numbers."""
_ROUNDING = 1e-13
"""How far a sum of floats may be from a decimal number, as a part of it, and still be that number."""
_UNITS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}


@dataclass(frozen=True)
class _Kind:
    """One of the three frames of an instrument: which columns it has, and nautilus's names for them."""

    name: str
    prices: Mapping[str, str]
    sizes: Mapping[str, str]
    others: Mapping[str, str]

    @property
    def columns(self) -> dict[str, str]:
        """Our columns and nautilus's, in the order of nautilus's."""
        return {**self.prices, **self.sizes, **self.others}


_BARS = _Kind("bars", {name: name for name in PRICES}, {"volume": "volume"}, {})
_QUOTES = _Kind(
    "quotes",
    {"best_bid_price": "bid_price", "best_ask_price": "ask_price"},
    {"best_bid_quantity": "bid_size", "best_ask_quantity": "ask_size"},
    {},
)


def _trades(number: str) -> _Kind:
    others = {number: "trade_id", "is_buyer_maker": "buyer_maker"}
    return _Kind("trades", {"price": "price"}, {"quantity": "quantity"}, others)


@dataclass(frozen=True)
class NautilusData:
    """The data of one instrument, for nautilus_trader's wranglers.

    Each frame is indexed by ``timestamp``, in UTC with nanoseconds: when the row is known.

    Attributes
    ----------
    symbol
        The archive's name.
    price_precision, size_precision
        Decimals of prices and sizes, the same for all of the instrument's data. Build the instrument with
        them: nautilus refuses data of another precision.
    bars
        ``open high low close volume``, for ``BarDataWrangler``; None if no klines were given.
    bar_step
        The bars' part of a ``BarType``, as ``"1-HOUR"``.
    trades
        ``price quantity trade_id buyer_maker``, for ``TradeTickDataWrangler``; None if none were given.
    quotes
        ``bid_price ask_price bid_size ask_size``, for ``QuoteTickDataWrangler``; None if none were given.

    Examples
    --------
    >>> import cryptolake as cl
    >>> data = cl.handoff.NautilusData("BTCUSDT", price_precision=2, size_precision=5)
    >>> data.price_increment, data.size_increment
    ('0.01', '0.00001')
    """

    symbol: str
    price_precision: int
    size_precision: int
    bars: pd.DataFrame | None = None
    bar_step: str | None = None
    trades: pd.DataFrame | None = None
    quotes: pd.DataFrame | None = None

    @property
    def price_increment(self) -> str:
        """The smallest step of prices, as ``Price.from_str`` reads it: ``"0.01"`` for 2 decimals."""
        return f"{10**-self.price_precision:.{self.price_precision}f}"

    @property
    def size_increment(self) -> str:
        """The smallest step of sizes, as ``Quantity.from_str`` reads it."""
        return f"{10**-self.size_precision:.{self.size_precision}f}"


def nautilus(
    *frames: pl.DataFrame | pl.LazyFrame,
    price_precision: int | None = None,
    size_precision: int | None = None,
) -> dict[str, NautilusData]:
    """Shape klines, trades and quotes for nautilus_trader's wranglers.

    A row is stamped when it is known: a bar at its close, a trade or quote one tick of its clock after its
    own time (``cl.known``). nautilus stamps by the open time only if told so, and then looks a bar ahead.

    Parameters
    ----------
    *frames
        Rows of :meth:`cryptolake.Lake.frame`, ``silver`` or ``resample``, at most one frame of each of:
        klines of one interval; trades or aggTrades; bookTicker. All of one market. Rows without a price are
        left out.
    price_precision, size_precision
        Decimals of the instruments, if you know them. Without: the fewest that hold every value of all
        frames, exactly for ``exact=True`` decimals, and up to the rounding of a sum for floats.

    Returns
    -------
    dict of str to NautilusData
        By symbol.

    Raises
    ------
    InvalidQuery
        Rows of several markets or intervals, two frames of one kind, no rows, or a precision that would
        change a value.
    SchemaMismatch
        A frame is none of the three kinds.
    MissingTool
        pandas is not installed.

    Examples
    --------
    >>> import cryptolake as cl
    >>> import polars as pl
    >>> rows = pl.DataFrame({"market": ["spot"], "symbol": ["BTCUSDT"], "interval": ["1h"]})
    >>> prices = {name: pl.lit(42283.58) for name in ("open", "high", "low", "close")}
    >>> opens = pl.datetime(2024, 1, 1, time_zone="UTC")
    >>> closes = opens + pl.duration(minutes=60) - pl.duration(milliseconds=1)
    >>> rows = rows.with_columns(open_time=opens, close_time=closes, volume=1.068, **prices)
    >>> data = cl.handoff.nautilus(rows)["BTCUSDT"]
    >>> data.price_increment, data.size_increment, data.bar_step, str(data.bars.index[0])
    ('0.01', '0.001', '1-HOUR', '2024-01-01 01:00:00+00:00')
    """
    require("pandas", _USE)
    if not frames:
        message = f"{_USE} needs a frame of klines, trades, aggTrades or bookTicker"
        raise InvalidQuery(message, use=_USE)
    parts: dict[str, dict[str, pl.DataFrame]] = {}
    kinds: dict[str, _Kind] = {}
    markets: set[str] = set()
    for frame in frames:
        kind, rows = _read(frame)
        if kind.name in kinds:
            message = f"{_USE} takes one frame of {kind.name}, and got two: join them first"
            raise InvalidQuery(message, use=_USE)
        kinds[kind.name] = kind
        markets.update(rows["market"].unique())
        for (symbol,), part in rows.partition_by("symbol", as_dict=True).items():
            parts.setdefault(str(symbol), {})[kind.name] = part
    only_one(_USE, "market", sorted(markets))
    wanted = price_precision, size_precision
    return {symbol: _instrument(symbol, kinds, parts[symbol], wanted) for symbol in sorted(parts)}


def _read(frame: pl.DataFrame | pl.LazyFrame) -> tuple[_Kind, pl.DataFrame]:
    """Return what a frame is, and its rows with the time at which each is known, in that order."""
    import polars as pl

    names = frame.lazy().collect_schema().names()
    kind = _kind(names)
    time = ("open_time", "close_time", "interval") if kind is _BARS else ("time",)
    columns = ("market", "symbol", *time, *kind.columns)
    rows = rows_of(frame, _USE, columns, one=("market", "interval") if kind is _BARS else ())
    if kind is _BARS:
        unique_times(rows, _USE, "open_time")
    priced = pl.all_horizontal(pl.col(*kind.prices).cast(pl.Float64).is_finite())
    rows = rows.filter(priced)
    rows = rows.with_columns(
        pl.col("symbol").cast(pl.String),
        pl.col("market").cast(pl.String),
        timestamp=known_at(rows).dt.cast_time_unit("ns"),
    )
    return kind, rows.sort("timestamp", maintain_order=True)


def _kind(names: Sequence[str]) -> _Kind:
    if "open_time" in names:
        return _BARS
    if "best_bid_price" in names:
        return _QUOTES
    for number in ("trade_id", "agg_trade_id"):
        if number in names:
            return _trades(number)
    message = (
        f"{_USE} takes rows of klines, trades, aggTrades or bookTicker,"
        f" told by their columns; this frame has {', '.join(names)}"
    )
    raise SchemaMismatch(message, use=_USE)


def _instrument(
    symbol: str,
    kinds: Mapping[str, _Kind],
    parts: Mapping[str, pl.DataFrame],
    wanted: tuple[int | None, int | None],
) -> NautilusData:
    prices = [parts[name][column] for name in parts for column in kinds[name].prices]
    sizes = [parts[name][column] for name in parts for column in kinds[name].sizes]
    price = _precision(symbol, "price", prices, wanted[0])
    size = _precision(symbol, "size", sizes, wanted[1])
    shaped: dict[str, Any] = {
        name: _pandas(kinds[name], rows, price, size) for name, rows in parts.items()
    }
    step = _bar_step(str(parts["bars"]["interval"][0])) if "bars" in parts else None
    return NautilusData(symbol, price, size, bar_step=step, **shaped)


def _pandas(kind: _Kind, rows: pl.DataFrame, price: int, size: int) -> pd.DataFrame:
    import pandas as pd
    import polars as pl

    def values(ours: str) -> Any:
        if ours in kind.others:
            return rows[ours].to_numpy()
        return rows[ours].cast(pl.Float64).round(price if ours in kind.prices else size).to_numpy()

    shaped = {theirs: values(ours) for ours, theirs in kind.columns.items()}
    return pd.DataFrame(shaped, index=utc_index(rows["timestamp"], "timestamp"))


def _precision(symbol: str, what: str, columns: Sequence[pl.Series], wanted: int | None) -> int:
    found = max((decimals_of(column) for column in columns), default=0)
    if wanted is None or wanted == found:
        return found
    if wanted < found:
        message = (
            f"{symbol} has {what}s of {found} decimals, which {what}_precision={wanted} would change;"
            f" give {found} or more, or none to have it found"
        )
        raise InvalidQuery(message, symbol=symbol, given=wanted, found=found)
    return wanted


def decimals_of(values: pl.Series) -> int:
    """Return the fewest decimals that hold every value.

    Examples
    --------
    >>> import polars as pl
    >>> decimals_of(pl.Series([0.1 + 0.2, 5.0, 1e-5])), decimals_of(pl.Series([3.0, None]))
    (5, 0)
    >>> decimals_of(pl.Series(["1.500", "2.250"]).cast(pl.Decimal(38, 8)))
    2
    """
    import polars as pl

    if isinstance(values.dtype, pl.Decimal):
        parts = values.drop_nulls().cast(pl.String).str.split_exact(".", 1).struct.field("field_1")
        longest = parts.str.strip_chars_end("0").str.len_chars().max()
        return int(str(longest or 0))
    for count in _counts():
        off = (values - values.round(count)).abs() <= values.abs() * _ROUNDING
        if off.all():
            return count
    return _MOST_DECIMALS


def _counts() -> Iterator[int]:
    yield from range(_MOST_DECIMALS)


def _bar_step(interval: str) -> str:
    """Return an interval in nautilus's words: ``1-HOUR``."""
    word = parse_interval(interval).value
    number = word.rstrip("smhdwo")
    return f"{number}-{_UNITS[word[len(number) :]]}"
