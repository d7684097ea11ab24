"""The symbols of the research archive: perpetuals and their spot pairs, five months, and what befalls them.

Prices of a pair come from one path, a perpetual's funding from its premium, and volumes rise and fall by the
month, so that ranks change. What a careful study must get right is here once at least: a listing
(``JUPUSDT``), a delisting in mid-month (``ANTUSDT``: the perpetual first, its spot pair five weeks later), a
contract that was settled and renamed (``CVCUSDTSETTLED``), funding paid each 8, then 4 hours, then each hour
(``STXUSDT``), a multiplier (``1000SHIBUSDT`` is a thousand SHIB; ``1INCHUSDT`` is one 1INCH), a stable coin, a
fiat pair and leveraged tokens with volumes that would rank, and a stop of all spot trading.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from cryptolake.archive.enums import Market
from cryptolake.sample.instruments import (
    CM_TYPES,
    DATED_TYPES,
    SPOT_TYPES,
    UM_TYPES,
    Instrument,
    Waves,
)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


RESEARCH_DAYS = ("2023-11-01", "2024-04-02")
"""Five whole months, and two days whose month is not out yet."""

HALTS: Mapping[str, tuple[datetime, datetime]] = {
    "spot": (_at("2024-02-14T12:40"), _at("2024-02-14T14:00"))
}
"""When all spot trading stops; the hour from 13:00 is in no file, that from 12:00 closes early."""

FUNDING_8H = ((_at("2019-09-08"), 8),)
FUNDING_CHANGES = (
    (_at("2019-09-08"), 8),
    (_at("2024-01-10T08:00"), 4),
    (_at("2024-02-20T12:00"), 1),
)
"""What STXUSDT pays: the payment at each of these times is the last of the schedule before."""

LIVES: Mapping[tuple[str, str], tuple[datetime | None, datetime | None]] = {
    ("spot", "JUPUSDT"): (_at("2024-01-31T15:00"), None),
    ("futures_um", "JUPUSDT"): (_at("2024-01-31T16:00"), None),
    ("spot", "ANTUSDT"): (None, _at("2024-02-20T03:00")),
    ("futures_um", "ANTUSDT"): (None, _at("2024-01-16T09:00")),
    ("futures_um", "CVCUSDTSETTLED"): (None, _at("2023-12-12T09:00")),
    ("futures_um", "BTCUSDT_240329"): (_at("2023-09-29T08:00"), _at("2024-03-29T08:00")),
}
"""Listings and delistings (UTC); the others live from before the archive begins to after it ends."""

_BEGIN = _at("2019-09-08")
_WALK: Waves = tuple((360 << n, 5_500 * 14**n // 10**n) for n in range(8))
_CALM: Waves = ((5_760, 400), (360, 150))
_PREMIUM: Waves = ((0, 35_000), (14_400, 60_000), (1_440, 30_000), (240, 8_000))
_TRADES_A_DAY = 48
_LOTS_OF_A_TRADE = 132  # in the mean, before `size`


class _Asset(NamedTuple):
    """A row of the table: price in USD, decimals of price and quantity, millions of USD a day."""

    name: str
    price: float
    spot: tuple[int, int]
    perp: tuple[int, int]
    beta: int
    volume: float
    events: int = _TRADES_A_DAY
    multiplier: int = 1


_ASSETS = (
    _Asset("BTC", 42_300, (2, 5), (1, 3), 900, 12_000, 1440),
    _Asset("ETH", 2_350, (2, 4), (2, 3), 1_100, 6_500, 480),
    _Asset("SOL", 92, (2, 2), (3, 0), 1_600, 1_900),
    _Asset("XRP", 0.57, (4, 0), (4, 1), 900, 900),
    _Asset("BNB", 305, (1, 3), (2, 2), 800, 700),
    _Asset("DOGE", 0.085, (5, 0), (5, 0), 1_200, 620),
    _Asset("AVAX", 37, (2, 2), (3, 0), 1_500, 500),
    _Asset("LINK", 15.4, (3, 2), (3, 2), 1_100, 460),
    _Asset("ADA", 0.54, (4, 1), (4, 0), 1_100, 430),
    _Asset("SHIB", 0.0000101, (8, 0), (6, 0), 1_200, 400, multiplier=1000),
    _Asset("MATIC", 0.86, (4, 1), (4, 0), 1_100, 380),
    _Asset("DOT", 7.1, (3, 2), (3, 1), 1_000, 350),
    _Asset("LTC", 71, (2, 3), (2, 3), 700, 330),
    _Asset("INJ", 28, (2, 2), (3, 1), 1_600, 320),
    _Asset("OP", 2.9, (3, 2), (4, 1), 1_500, 300),
    _Asset("ARB", 1.4, (4, 1), (4, 1), 1_400, 290),
    _Asset("TIA", 13.5, (4, 2), (4, 0), 1_700, 280),
    _Asset("SUI", 1.1, (4, 1), (4, 1), 1_500, 270),
    _Asset("FIL", 5.9, (3, 2), (3, 1), 1_200, 250),
    _Asset("ETC", 25, (2, 2), (3, 2), 1_000, 240),
    _Asset("APT", 9.3, (2, 2), (4, 1), 1_300, 230),
    _Asset("NEAR", 3.1, (3, 1), (3, 0), 1_400, 220),
    _Asset("STX", 1.6, (4, 1), (4, 0), 1_500, 620),
    _Asset("TRX", 0.11, (5, 1), (5, 0), 400, 190),
    _Asset("ATOM", 9.9, (3, 2), (3, 2), 900, 180),
    _Asset("UNI", 6.9, (3, 2), (3, 0), 1_100, 170),
    _Asset("AAVE", 96, (2, 3), (2, 1), 1_000, 120),
    _Asset("JUP", 0.58, (4, 1), (4, 0), 1_600, 420),
    _Asset("1INCH", 0.43, (4, 1), (4, 0), 1_200, 60),
    _Asset("ANT", 6.4, (3, 2), (3, 1), 600, 520),
)
_SETTLED = _Asset("CVC", 0.088, (4, 0), (5, 0), 900, 45)
_SPOT_ONLY = (
    _Asset("USDC", 1.0, (4, 0), (4, 0), 0, 900),
    _Asset("EUR", 1.088, (4, 1), (4, 1), 0, 60),
    _Asset("BTCUP", 12.5, (3, 2), (3, 2), 2_700, 350),
    _Asset("BTCDOWN", 0.0093, (6, 0), (6, 0), -2_700, 350),
)
_STEADY = ("USDC", "EUR")


def _size(asset: _Asset, quantity_scale: int, price: float, volume: float) -> int:
    """Return the lots of a small trade that make up a day's volume."""
    trades = asset.events * 1.75
    lots = volume * 1e6 / trades / _LOTS_OF_A_TRADE / price * float(10**quantity_scale)
    return max(round(lots), 1)


def _life(market: str, symbol: str) -> dict[str, datetime | None]:
    opens, closes = LIVES.get((market, symbol), (None, None))
    return {"opens": opens or _BEGIN, "closes": closes}


def _path(asset: _Asset) -> dict[str, object]:
    wander = _CALM if asset.name in _STEADY else _WALK
    return {"asset": asset.name, "wander": wander, "beta": asset.beta, "swing": True}


def _spot(asset: _Asset) -> Instrument:
    scale, quantity_scale = asset.spot
    symbol = f"{asset.name}USDT"
    more: dict[str, object] = {**_path(asset), **_life("spot", symbol)}
    return Instrument(
        Market.SPOT,
        symbol,
        round(asset.price * 10**scale),
        scale,
        quantity_scale,
        asset.events,
        data_types=SPOT_TYPES,
        size=_size(asset, quantity_scale, asset.price, asset.volume * 0.35),
        **more,  # type: ignore[arg-type]
    )


def _perpetual(asset: _Asset, symbol: str = "") -> Instrument:
    scale, quantity_scale = asset.perp
    prefix = str(asset.multiplier) if asset.multiplier > 1 else ""
    symbol = symbol or f"{prefix}{asset.name}USDT"
    price = asset.price * asset.multiplier
    more: dict[str, object] = {**_path(asset), **_life("futures_um", symbol)}
    return Instrument(
        Market.FUTURES_UM,
        symbol,
        round(price * 10**scale),
        scale,
        quantity_scale,
        asset.events,
        data_types=UM_TYPES,
        premium=_PREMIUM,
        funding=FUNDING_CHANGES if asset.name == "STX" else FUNDING_8H,
        size=_size(asset, quantity_scale, price, asset.volume),
        quoted=True,
        **more,  # type: ignore[arg-type]
    )


def _coin_margined(asset: _Asset, contract: int) -> Instrument:
    return Instrument(
        Market.FUTURES_CM,
        f"{asset.name}USD_PERP",
        round(asset.price * 10),
        1,
        0,
        contract=contract,
        data_types=CM_TYPES,
        premium=_PREMIUM,
        funding=FUNDING_8H,
        size=max(round(asset.volume * 1e5 / _TRADES_A_DAY / 1.75 / _LOTS_OF_A_TRADE / contract), 1),
        **_path(asset),  # type: ignore[arg-type]
    )


def _dated(asset: _Asset, symbol: str) -> Instrument:
    more: dict[str, object] = {**_path(asset), **_life("futures_um", symbol)}
    return Instrument(
        Market.FUTURES_UM,
        symbol,
        round(asset.price * 10.15),
        1,
        3,
        data_types=DATED_TYPES,
        **more,  # type: ignore[arg-type]
    )


PERPETUALS = tuple(_perpetual(asset) for asset in _ASSETS)
SPOT_PAIRS = tuple(_spot(asset) for asset in _ASSETS)
SPOT_OTHERS = tuple(_spot(asset) for asset in (_SETTLED, *_SPOT_ONLY))
SETTLED = _perpetual(_SETTLED, "CVCUSDTSETTLED")
DATED = _dated(_ASSETS[0], "BTCUSDT_240329")
COIN_MARGINED = (_coin_margined(_ASSETS[0], 100), _coin_margined(_ASSETS[1], 10))

RESEARCH: tuple[Instrument, ...] = (
    *SPOT_PAIRS,
    *SPOT_OTHERS,
    *PERPETUALS,
    SETTLED,
    DATED,
    *COIN_MARGINED,
)
"""Every symbol of the research archive."""


def research_symbols(*names: str) -> tuple[Instrument, ...]:
    """Return the research archive's symbols of these names, in every market that has them.

    Examples
    --------
    >>> [one.market.value for one in research_symbols("JUPUSDT")]
    ['spot', 'futures_um']
    """
    return tuple(one for one in RESEARCH if one.symbol in names)
