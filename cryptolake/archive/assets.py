"""Kinds of assets that a universe can leave out: stable money and leveraged tokens. Pure.

The names are data (``matrix/assets.json``); where a listing is known, it says more: a base with both sides
of one coin (``XUP`` and ``XDOWN``) is a leveraged token, and one side alone is a coin, as JUP and SYRUP are.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cryptolake.archive.matrix import data_file

AssetKind = Literal["stable", "leveraged"]
"""``stable``: coins held to a unit of money, and money itself; ``leveraged``: tokens of a coin and a side."""

ASSET_KINDS: tuple[AssetKind, ...] = ("stable", "leveraged")


class Assets(BaseModel):
    """The names that ship with the package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    stable: frozenset[str]
    dollars: frozenset[str]
    """US dollars, and the coins held to one: as quote assets their volumes add up."""
    fiat: frozenset[str]
    sides: tuple[tuple[str, str], ...]
    leveraged: frozenset[str]
    coins: frozenset[str]
    multiplied: dict[str, tuple[str, int]]

    def is_leveraged(self, base: str, bases: Collection[str] = ()) -> bool:
        """Say whether a base is a leveraged token; ``bases`` are those of its market's listing.

        Examples
        --------
        >>> load_assets().is_leveraged("BTCDOWN"), load_assets().is_leveraged("SYRUP")
        (True, False)
        >>> [load_assets().is_leveraged("QUUP", bases) for bases in ([], ["QUUP", "QUDOWN"])]
        [False, True]
        """
        if base in self.coins:
            return False
        for pair in self.sides:
            for side, other in (pair, pair[::-1]):
                coin = base.removesuffix(side)
                if coin and coin != base and (coin in self.leveraged or coin + other in bases):
                    return True
        return False

    def unit_of(self, base: str) -> tuple[str, int]:
        """Return the coin that a futures base stands for, and how many of it.

        Examples
        --------
        >>> [load_assets().unit_of(base) for base in ("1000SHIB", "1INCH", "1000SATS")]
        [('SHIB', 1000), ('1INCH', 1), ('1000SATS', 1)]
        """
        return self.multiplied.get(base, (base, 1))

    def is_a(self, kind: AssetKind, base: str, bases: Collection[str] = ()) -> bool:
        """Say whether a base is of a kind.

        Examples
        --------
        >>> [load_assets().is_a("stable", base) for base in ("FDUSD", "EUR", "BTC")]
        [True, True, False]
        """
        if kind == "stable":
            return base in self.stable or base in self.fiat
        return self.is_leveraged(base, bases)


@lru_cache(maxsize=1)
def load_assets() -> Assets:
    """Load and validate the names that ship with the package."""
    return Assets.model_validate(json.loads(data_file("assets.json").read_bytes()))
