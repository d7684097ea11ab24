"""Symbols as objects: what a name says about base, quote, contract and expiry. Pure.

The archive's names carry all this without a separator between base and quote, so a name is split by the
quote assets that its market has; the longest that fits wins.
"""

from __future__ import annotations

import re
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from cryptolake.archive.enums import Market

_SETTLED = re.compile(r"(?:_?SETTLED\d*)+$")
_EXPIRY = re.compile(r"_(\d{6})$")

_SPOT_QUOTES = """
    USDT USDC FDUSD TUSD BUSD RLUSD BFUSD XUSD USDSB USDS USDP USD1 USDE UST PAX DAI VAI
    BTC ETH BNB XRP TRX SOL DOGE TRY EUR EURI GBP AUD BRL RUB UAH NGN ZAR IDRT BIDR IDR BKRW BVND
    PLN RON ARS JPY MXN COP CZK KZT
"""
_QUOTES: dict[Market, tuple[str, ...]] = {
    Market.SPOT: tuple(sorted(_SPOT_QUOTES.split(), key=len, reverse=True)),
    Market.FUTURES_UM: ("USDT", "USDC", "FDUSD", "BUSD", "USD1", "BTC", "ETH", "BNB", "USD"),
    Market.FUTURES_CM: ("USD",),
    Market.OPTIONS: ("USDT", "USDC", "USD"),
}
"""The quote assets of each market, the longest first. Stablecoins that are only ever a base (AEUR) are
left out, so that ADAEUR is ADA in EUR."""


Contract = Literal["spot", "perpetual", "delivery", "index", "option"]
"""What a symbol is: a spot pair, a perpetual or dated future, an index, or an option underlying."""

CONTRACTS: tuple[Contract, ...] = ("spot", "perpetual", "delivery", "index", "option")


class Universe(BaseModel):
    """A rule that picks symbols: by quote asset, contract kind, day listed, and names left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quote: tuple[str, ...] = ()
    contract: tuple[Contract, ...] = ()
    exclude: tuple[str, ...] = ()
    listed_on: date | None = None


class Symbol(NamedTuple):
    """What a symbol's name says.

    ``quote`` is empty where the name ends in no quote asset that its market has; ``expiry`` is the UTC
    day a delivery contract is named after; ``settled`` marks a name the archive retired with
    ``SETTLED``.
    """

    name: str
    base: str
    quote: str
    contract: Contract
    expiry: date | None
    settled: bool


def split_symbol(market: str, symbol: str) -> Symbol:
    """Split a symbol's name.

    Examples
    --------
    >>> split_symbol("futures_um", "ETHBTC_231229")[1:5]
    ('ETH', 'BTC', 'delivery', datetime.date(2023, 12, 29))
    >>> split_symbol("spot", "1INCHUSDT").base, split_symbol("spot", "ADAEUR").quote
    ('1INCH', 'EUR')
    >>> split_symbol("futures_cm", "BTCUSD_PERP").contract
    'perpetual'
    """
    name = _SETTLED.sub("", symbol)
    settled = name != symbol
    dated = _EXPIRY.search(name)
    pair = name[: dated.start()] if dated else name.removesuffix("_PERP")
    contract = _contract(Market(market), name, pair, dated=dated is not None)
    base, quote = _split_pair(Market(market), pair)
    return Symbol(symbol, base, quote, contract, _day(dated[1]) if dated else None, settled)


def in_universe(universe: Universe, market: str, symbol: str) -> bool:
    """Say whether a rule takes in a symbol by its name; ``listed_on`` needs a listing, not a name.

    Examples
    --------
    >>> rule = Universe(quote=("USDT",), contract=("perpetual",), exclude=("BTC*",))
    >>> [in_universe(rule, "futures_um", name) for name in ("ETHUSDT", "BTCUSDT", "ETHUSDC")]
    [True, False, False]
    """
    if any(fnmatchcase(symbol, word) for word in universe.exclude):
        return False
    if not universe.quote and not universe.contract:
        return True
    split = split_symbol(market, symbol)
    quoted = not universe.quote or split.quote in universe.quote
    return quoted and (not universe.contract or split.contract in universe.contract)


def matching(symbols: list[str], words: tuple[str, ...]) -> list[str]:
    """Return the symbols that some name or glob matches, in their own order.

    A name that is listed counts as itself before it counts as a glob.

    Examples
    --------
    >>> matching(["BTCUSDT", "ETHBTC", "ETHUSDT"], ("ETH*", "BTCUSDT"))
    ['BTCUSDT', 'ETHBTC', 'ETHUSDT']
    """
    names = set(words)
    globs = [word for word in words if is_glob(word)]
    return [
        symbol
        for symbol in symbols
        if symbol in names or any(fnmatchcase(symbol, word) for word in globs)
    ]


def is_glob(word: str) -> bool:
    """Say whether a word has glob signs.

    Examples
    --------
    >>> is_glob("ETH*"), is_glob("ETHUSDT")
    (True, False)
    """
    return bool(set(word) & set("*?["))


def _contract(market: Market, name: str, pair: str, *, dated: bool) -> Contract:
    if market is Market.SPOT:
        return "spot"
    if market is Market.OPTIONS:
        return "index" if "BVOL" in name else "option"
    if dated:
        return "delivery"
    if market is Market.FUTURES_CM and pair == name:
        return "index"
    return "perpetual"


def _split_pair(market: Market, pair: str) -> tuple[str, str]:
    for quote in _QUOTES[market]:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote
    return pair, ""


def _day(digits: str) -> date | None:
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        return None
