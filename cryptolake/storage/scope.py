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

        Where the prefixes are many, and are not all of folders, it holds for other keys of the same folders too.
        """
        few = self._few()
        if "" in few:
            return None
        ranges = [
            (pl.col(column) >= pl.lit(prefix)) & (pl.col(column) < pl.lit(prefix + _HIGHEST))
            for prefix in few
        ]
        wide = reduce(or_, ranges, pl.lit(value=False)) if len(ranges) != 1 else ranges[0]
        return wide if few == self.prefixes else wide & self._in_folders(column)

    def _in_folders(self, column: str) -> pl.Expr:
        """Return the condition that a text is below one of the prefixes, where those are folders."""
        by_depth: dict[int, list[str]] = {}
        for prefix in self.prefixes:
            if not prefix.endswith("/"):
                return pl.lit(value=True)
            by_depth.setdefault(prefix.count("/"), []).append(prefix)
        return reduce(
            or_,
            (
                pl.col(column).str.extract(rf"^((?:[^/]*/){{{depth}}})").is_in(folders)
                for depth, folders in by_depth.items()
            ),
        )

    def _few(self) -> tuple[str, ...]:
        """Return the prefixes, shortened to the folders above while they are many."""
        prefixes = self.prefixes
        while len(prefixes) > _MANY:
            above = (prefix.rstrip("/").rpartition("/") for prefix in prefixes)
            prefixes = Scope.of(folder + slash for folder, slash, _ in above).prefixes
        return prefixes


EVERYTHING = Scope(("",))
NOTHING = Scope(())
