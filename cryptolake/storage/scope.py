"""Which keys or paths a call is about: those that begin with some prefixes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl

_HIGHEST = "\U0010ffff"
"""Sorts behind every text that begins with the same prefix."""

_MANY = 64
"""Ranges of keys from which on folders are read instead."""


@dataclass(frozen=True)
class Scope:
    """Keys (or paths) that begin with one of some prefixes, none of which begins with another.

    Merged segments are sorted by key, so that a range of keys is read without the rest of a table.

    Examples
    --------
    >>> scope = Scope.of(["data/spot/daily/klines/", "data/spot/daily/klines/BTC", "data/option/"])
    >>> scope.prefixes
    ('data/option/', 'data/spot/daily/klines/')
    >>> scope.covers(Scope.of(["data/option/daily/"])), scope.covers(EVERYTHING)
    (True, False)
    """

    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, prefixes: Iterable[str]) -> Scope:
        """Return the scope of some prefixes; of two that overlap the shorter one stays."""
        kept: list[str] = []
        for prefix in sorted(set(prefixes)):
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        return cls(tuple(kept))

    def covers(self, other: Scope) -> bool:
        """Say whether every key of another scope is in this one."""
        return all(prefix.startswith(self.prefixes) for prefix in other.prefixes)

    def where(self, column: str = "key") -> pl.Expr | None:
        """Return the condition on a table's column; None where everything is meant.

        Where the prefixes are many, it holds for other keys of the same folders too.
        """
        prefixes = self._few()
        if "" in prefixes:
            return None
        ranges = [
            (pl.col(column) >= pl.lit(prefix)) & (pl.col(column) < pl.lit(prefix + _HIGHEST))
            for prefix in prefixes
        ]
        return reduce(or_, ranges, pl.lit(value=False)) if len(ranges) != 1 else ranges[0]

    def _few(self) -> tuple[str, ...]:
        """Return the prefixes, shortened to the folders above while they are many."""
        prefixes = self.prefixes
        while len(prefixes) > _MANY:
            above = (prefix.rstrip("/").rpartition("/") for prefix in prefixes)
            prefixes = Scope.of(folder + slash for folder, slash, _ in above).prefixes
        return prefixes


EVERYTHING = Scope(("",))
NOTHING = Scope(())
