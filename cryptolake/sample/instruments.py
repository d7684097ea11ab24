"""The symbols of the sample archive: plain ones, and each awkward kind that the real one has."""

from __future__ import annotations

import fnmatch
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from cryptolake.archive.enums import DataType, Market

_MASK = 0xFFFFFFFF
_PRIMES = (2_147_483_647, 2_147_483_629)
_HALF = 1 << 15

Waves = tuple[tuple[int, int], ...]
"""Waves that are added up: minutes between turns, and height."""

WANDER: Waves = ((57_600, 120_000), (6_480, 40_000), (720, 9_000), (77, 2_000), (7, 400))
"""How a price wanders: minutes between turns, and height in millionths of the price."""


def stream(*words: object) -> int:
    """Return the number that names one series of noise.

    Examples
    --------
    >>> stream(0, "spot", "BTCUSDT") == stream(0, "spot", "BTCUSDT")
    True
    >>> stream(0, "spot", "BTCUSDT") == stream(1, "spot", "BTCUSDT")
    False
    """
    return zlib.crc32("/".join(map(str, words)).encode())


def bits(index: pl.Expr, series: int) -> pl.Expr:
    """Hash an integer column to 31 even bits (Int64, 0 to 2**31 - 1).

    Two rounds of multiplying, adding and squaring modulo a prime. Each step names the one before it only
    once, for Polars would work out a column as often as an expression names it.

    Examples
    --------
    >>> frame = pl.DataFrame({"index": range(3)})
    >>> frame.select(bits(pl.col("index"), 7)).to_series().dtype
    Int64
    """
    return _mixed(index, _start(series))


def _start(series: int) -> int:
    return (series * 0x9E3779B1 + 0x7F4A7C15) & 0x7FFFFFFF


def _mixed(index: pl.Expr, start: pl.Expr | int) -> pl.Expr:
    mixed = index.cast(pl.Int64) % _PRIMES[0]
    for factor, prime in zip((1_103_515_245, 1_289_706_101), _PRIMES, strict=True):
        mixed = ((mixed * factor + start) % prime).pow(2) % prime
    return mixed


def below(index: pl.Expr, series: int, limit: int) -> pl.Expr:
    """Hash an integer column to numbers from 0 to ``limit - 1``."""
    return bits(index, series) % limit


def waves(time_ms: pl.Expr, series: int, periods: Waves) -> pl.Expr:
    """Add up lines between random heights, a turn each so many minutes: slow and high, quick and low.

    The heights at the turns are hashed once, however many times lie between them.

    Examples
    --------
    >>> frame = pl.DataFrame({"time": [0, 30_000, 60_000]})
    >>> first, middle, last = frame.select(waves(pl.col("time"), 7, ((1, 1000),))).to_series()
    >>> min(first, last) <= middle <= max(first, last)
    True
    """

    def added(times: pl.Series) -> pl.Series:
        total = pl.zeros(len(times), pl.Int64, eager=True)
        steps = [minutes * 60_000 for minutes, _ in periods]
        numbers = [(series + 7919 * number) & _MASK for number in range(len(periods))]
        turns = _turns(times, steps, numbers) if len(times) else []
        for (first, heights), step, (_, height) in zip(turns, steps, periods, strict=False):
            total += _line(times, step, height, first, heights)
        return total

    return time_ms.cast(pl.Int64).map_batches(added, return_dtype=pl.Int64)


def wave(time_ms: pl.Expr, series: int, period_ms: int, height: int) -> pl.Expr:
    """Return lines between random heights, a turn each ``period_ms``: from -height to height."""

    def alone(times: pl.Series) -> pl.Series:
        if times.is_empty():
            return times
        ((first, heights),) = _turns(times, [period_ms], [series])
        return _line(times, period_ms, height, first, heights)

    return time_ms.cast(pl.Int64).map_batches(alone, return_dtype=pl.Int64)


def _turns(
    times: pl.Series, steps: Sequence[int], numbers: Sequence[int]
) -> list[tuple[int, pl.Series]]:
    """Return each wave's first turn, and the heights from there on, hashed all at once."""
    low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
    spans = [(low // step, high // step + 2) for step in steps]
    waves_of = {
        "first": [first for first, _ in spans],
        "stop": [stop for _, stop in spans],
        "start": [_start(number) for number in numbers],
    }
    turns = pl.LazyFrame(waves_of).with_columns(turn=pl.int_ranges("first", "stop")).explode("turn")
    height = _mixed(pl.col("turn"), pl.col("start")) // _HALF
    heights = turns.select(height.alias("height")).collect()["height"]
    made, place = [], 0
    for first, stop in spans:
        made.append((first, heights.slice(place, stop - first)))
        place += stop - first
    return made


def _line(times: pl.Series, step: int, height: int, first: int, heights: pl.Series) -> pl.Series:
    turn = times // step - first
    part = times % step
    left = heights.gather(turn)
    level = left + (heights.gather(turn + 1) - left) * part // step - _HALF
    return level * height // _HALF


_BEGIN = datetime(2017, 8, 17, 4, tzinfo=UTC)
_PRICE_TYPES = (DataType.MARK_PRICE_KLINES, DataType.PREMIUM_INDEX_KLINES)
_TRADED = (DataType.KLINES, DataType.TRADES, DataType.AGG_TRADES)


@dataclass(frozen=True)
class Instrument:
    """One symbol of the sample archive.

    ``level`` is the price about which it wanders, in ticks of ``10**-price_scale``; ``events`` is how
    many aggregate trades it has a day; ``contract`` is the worth of one coin-margined contract in USD;
    ``opens`` and ``closes`` are its listing and delisting (UTC).

    The others make symbols of one world: ``asset`` names whose price it follows (several contracts share
    it; empty: what the symbol says), ``wander`` how that moves (minutes between turns, and height in
    millionths), ``beta`` how much of the whole market's moves it takes (thousandths), ``premium`` how far
    a perpetual stands from its index (minutes, and height in 1e-8; the first is a constant), ``funding``
    from when on it pays each how many hours, ``size`` the lots of a small trade, ``swing`` whether its
    volume rises and falls by the month, ``quoted`` whether its quotes follow its trades.
    """

    market: Market
    symbol: str
    level: int
    price_scale: int
    qty_scale: int
    events: int = 240
    contract: int = 0
    opens: datetime = _BEGIN
    closes: datetime | None = None
    main: bool = False
    data_types: tuple[DataType, ...] = _TRADED
    asset: str = ""
    wander: Waves = WANDER
    beta: int = 0
    premium: Waves = ()
    funding: tuple[tuple[datetime, int], ...] = ()
    size: int = 1
    swing: bool = False
    quoted: bool = False


UM_TYPES = (
    *_TRADED,
    *_PRICE_TYPES,
    DataType.INDEX_PRICE_KLINES,
    DataType.FUNDING_RATE,
    DataType.METRICS,
    DataType.BOOK_DEPTH,
    DataType.BOOK_TICKER,
    DataType.LIQUIDATION_SNAPSHOT,
)
CM_TYPES = tuple(
    data_type for data_type in UM_TYPES if data_type is not DataType.INDEX_PRICE_KLINES
)
SPOT_TYPES = (*_TRADED, DataType.BOOK_DEPTH, DataType.BOOK_TICKER)
DATED_TYPES = (*_TRADED, DataType.MARK_PRICE_KLINES)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _spot(symbol: str, level: int, price_scale: int, qty_scale: int, **more: object) -> Instrument:
    return _make(Market.SPOT, symbol, level, price_scale, qty_scale, more)


def _um(symbol: str, level: int, price_scale: int, qty_scale: int, **more: object) -> Instrument:
    return _make(Market.FUTURES_UM, symbol, level, price_scale, qty_scale, more)


def _cm(symbol: str, level: int, price_scale: int, contract: int, **more: object) -> Instrument:
    return _make(Market.FUTURES_CM, symbol, level, price_scale, 0, {"contract": contract, **more})


def _option(symbol: str, level: int, data_type: DataType, **more: object) -> Instrument:
    return _make(Market.OPTIONS, symbol, level, 4, 4, {"data_types": (data_type,), **more})


def _make(
    market: Market,
    symbol: str,
    level: int,
    price_scale: int,
    qty_scale: int,
    more: dict[str, object],
) -> Instrument:
    return Instrument(market, symbol, level, price_scale, qty_scale, **more)  # type: ignore[arg-type]


INSTRUMENTS: tuple[Instrument, ...] = (
    _spot("BTCUSDT", 9_450_000, 2, 5, events=2880, main=True, data_types=SPOT_TYPES),
    _spot("ETHUSDT", 335_000, 2, 4, events=720),
    _spot("ETHBTC", 3_540, 5, 4),
    _spot("1INCHUSDT", 3_900, 4, 1),
    _spot("龙虾USDT", 71_200, 6, 0, opens=_at("2025-01-14T08:30")),
    _spot("OMGUSDT", 4_200, 4, 2, closes=_at("2025-01-08T03:00")),
    # Listed for two hours over the New Year: seconds before and after the change to microseconds.
    _spot(
        "FLASHUSDT",
        31_600,
        5,
        0,
        events=8640,
        opens=_at("2024-12-31T23:00"),
        closes=_at("2025-01-01T01:00"),
    ),
    _um("BTCUSDT", 9_455_000, 2, 3, events=2880, main=True, data_types=UM_TYPES),
    _um("ETHUSDT", 335_200, 2, 3, events=720, data_types=UM_TYPES),
    _um("1000SHIBUSDT", 21_400, 6, 0, data_types=UM_TYPES),
    _um("龙虾USDT", 71_300, 6, 0, opens=_at("2025-01-14T10:15")),
    _um("BTCUSDT_241227", 948_000, 1, 3, closes=_at("2024-12-27T08:00"), data_types=DATED_TYPES),
    _um("BTCUSDT_250328", 962_000, 1, 3, opens=_at("2024-12-27T08:00"), data_types=DATED_TYPES),
    _um("OMGUSDTSETTLED", 4_190, 4, 1, closes=_at("2024-12-29T09:00")),
    _cm("BTCUSD_PERP", 945_300, 1, 100, events=2880, main=True, data_types=CM_TYPES),
    _cm("ETHUSD_PERP", 335_100, 2, 10, data_types=CM_TYPES),
    _cm("BTCUSD_250328", 961_000, 1, 100, opens=_at("2024-12-27T08:00"), data_types=DATED_TYPES),
    _cm("FILUSD_PERP_SETTLED2", 4_931, 3, 10, closes=_at("2025-01-20T09:00")),
    _cm("BTCUSD", 945_000, 1, 100, main=True, data_types=(DataType.INDEX_PRICE_KLINES,)),
    _cm("ETHUSD", 335_000, 2, 10, data_types=(DataType.INDEX_PRICE_KLINES,)),
    _option("BTCBVOLUSDT", 540_000, DataType.BVOL_INDEX, main=True),
    _option("ETHBVOLUSDT", 680_000, DataType.BVOL_INDEX),
    _option("BTCUSDT", 296_000_000, DataType.EOH_SUMMARY, main=True),
    _option("ETHUSDT", 16_200_000, DataType.EOH_SUMMARY),
)
"""Every symbol the sample archive has unless others are named."""


def instruments_of(
    market: Market, data_type: DataType, symbols: Iterable[str | Instrument] | None
) -> list[Instrument]:
    """Return a row's symbols: all built-in ones, or those named.

    A name that the sample does not know is made up from its market's pattern, so that a test can ask
    for as many symbols as it likes; a glob chooses among the built-in ones. An instrument stands for itself.

    Examples
    --------
    >>> names = ["BTC*", "SOLUSDT"]
    >>> [i.symbol for i in instruments_of(Market.SPOT, DataType.KLINES, names)]
    ['BTCUSDT', 'SOLUSDT']
    """
    known = [i for i in INSTRUMENTS if i.market is market and data_type in i.data_types]
    if symbols is None:
        return known
    wanted: dict[str, Instrument] = {}
    for name in symbols:
        if isinstance(name, Instrument):
            found = [name] if name.market is market and data_type in name.data_types else []
        elif any(sign in name for sign in "*?["):
            found = [i for i in known if fnmatch.fnmatchcase(i.symbol, name)]
        else:
            found = [i for i in known if i.symbol == name] or _invented(market, data_type, name)
        wanted.update((i.symbol, i) for i in found)
    return list(wanted.values())


def _invented(market: Market, data_type: DataType, symbol: str) -> list[Instrument]:
    if not _fits(market, data_type, symbol):
        return []
    level = 20_000 + stream("level", symbol) % 400_000
    contract = 10 if market is Market.FUTURES_CM else 0
    scale = 0 if contract else 1
    return [Instrument(market, symbol, level, 3, scale, contract=contract, data_types=(data_type,))]


def _fits(market: Market, data_type: DataType, symbol: str) -> bool:
    """Whether the market would name a symbol so: a query over several markets names them all at once."""
    if any(i.symbol == symbol for i in INSTRUMENTS):
        return False
    if market is Market.OPTIONS:
        return ("BVOL" in symbol) is (data_type is DataType.BVOL_INDEX)
    if market is Market.FUTURES_CM:
        index = data_type is DataType.INDEX_PRICE_KLINES
        return bool(re.fullmatch(r".+USD" if index else r".+USD_.+", symbol))
    return "USD_" not in symbol and not symbol.endswith("USD")


def life(instrument: Instrument) -> tuple[datetime, datetime]:
    """Return when the symbol opened and closed (far in the future for one that lives)."""
    return instrument.opens, instrument.closes or instrument.opens + timedelta(days=36500)
