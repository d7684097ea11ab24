"""Symbols as objects: what a name says about base, quote, contract and expiry. Pure.

The archive's names carry all this without a separator between base and quote, so a name is split by the
quote assets that its market has; the longest that fits wins. New quote assets are learned from a listing:
:class:`Vocabulary`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from cryptolake.archive.assets import AssetKind, load_assets
from cryptolake.archive.enums import Market

_SETTLED = re.compile(r"(?:_?SETTLED\d*)+$")
_EXPIRY = re.compile(r"_(\d{6})$")

_SPOT_QUOTES = """
    USDT USDC FDUSD TUSD BUSD RLUSD BFUSD XUSD USDSB USDS USDP USD1 USDE UST PAX DAI VAI
    BTC ETH BNB XRP TRX SOL DOGE TRY EUR EURI GBP AUD BRL RUB UAH NGN ZAR IDRT BIDR IDR BKRW BVND
    PLN RON ARS JPY MXN COP CZK KZT U
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

_LONGEST_QUOTE = 6
_SHARED_BY = 3
"""A suffix is a quote asset where so many bases have it that other pairs of the listing have too."""

CONTRACTS: tuple[Contract, ...] = ("spot", "perpetual", "delivery", "index", "option")


class Universe(BaseModel):
    """A rule that picks symbols: by quote asset, contract kind, day listed, and what is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quote: tuple[str, ...] = ()
    contract: tuple[Contract, ...] = ()
    exclude: tuple[str, ...] = ()
    listed_on: date | None = None
    leave_out: tuple[AssetKind, ...] = ()


class Vocabulary(NamedTuple):
    """What a market's listing says beside the table: quote assets it does not have, and every base."""

    quotes: tuple[str, ...] = ()
    bases: frozenset[str] = frozenset()

    @classmethod
    def learn(cls, market: str, symbols: Iterable[str]) -> Vocabulary:
        """Learn from the names of a market: a suffix that several known bases share is a quote asset.

        Examples
        --------
        >>> names = [
        ...     f"{base}{quote}" for base in ("BTC", "ETH", "SOL") for quote in ("USDT", "QQD")
        ... ]
        >>> Vocabulary.learn("spot", names).quotes
        ('QQD',)
        """
        split = [split_symbol(market, symbol) for symbol in symbols]
        bases = frozenset(name.base for name in split if name.quote)
        shared: dict[str, set[str]] = {}
        for name in split:
            if name.quote or name.contract in ("index", "option"):
                continue
            for length in range(1, min(_LONGEST_QUOTE, len(name.base) - 1) + 1):
                base, quote = name.base[:-length], name.base[-length:]
                if base in bases:
                    shared.setdefault(quote, set()).add(base)
        learned = [quote for quote, found in shared.items() if len(found) >= _SHARED_BY]
        return cls(tuple(sorted(learned, key=lambda quote: (-len(quote), quote))), bases)


_TABLE_ONLY = Vocabulary()


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


def split_symbol(market: str, symbol: str, quotes: Iterable[str] = ()) -> Symbol:
    """Split a symbol's name; ``quotes`` are further quote assets, for names that the table does not split.

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
    base, quote = _split_pair(pair, _QUOTES[Market(market)])
    if not quote:
        base, quote = _split_pair(pair, quotes)
    return Symbol(symbol, base, quote, contract, _day(dated[1]) if dated else None, settled)


def in_universe(
    universe: Universe, market: str, symbol: str, vocabulary: Vocabulary = _TABLE_ONLY
) -> bool:
    """Say whether a rule takes in a symbol by its name; ``listed_on`` needs a listing, not a name.

    The quote assets that the rule names count as such, whether the table has them or not.

    Examples
    --------
    >>> rule = Universe(quote=("USDT",), contract=("perpetual",), exclude=("BTC*",))
    >>> [in_universe(rule, "futures_um", name) for name in ("ETHUSDT", "BTCUSDT", "ETHUSDC")]
    [True, False, False]
    >>> coins = Universe(leave_out=("stable", "leveraged"))
    >>> [in_universe(coins, "spot", name) for name in ("JUPUSDT", "ADAUPUSDT", "TUSDUSDT")]
    [True, False, False]
    """
    if any(fnmatchcase(symbol, word) for word in universe.exclude):
        return False
    if not (universe.quote or universe.contract or universe.leave_out):
        return True
    split = split_symbol(market, symbol, (*vocabulary.quotes, *universe.quote))
    if universe.quote and split.quote not in universe.quote:
        return False
    if universe.contract and split.contract not in universe.contract:
        return False
    return not any(
        load_assets().is_a(kind, split.base, vocabulary.bases) for kind in universe.leave_out
    )


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


def _split_pair(pair: str, quotes: Iterable[str]) -> tuple[str, str]:
    for quote in quotes:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote
    return pair, ""


def _day(digits: str) -> date | None:
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        return None
