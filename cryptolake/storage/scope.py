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
"""Ranges of keys from which on those of a folder are read as one."""


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

        Where the prefixes are many, and are not all of folders, it holds for other keys between them too.
        """
        if "" in self.prefixes:
            return None
        ranges = self._ranges()
        parts = [
            (pl.col(column) >= pl.lit(low)) & (pl.col(column) < pl.lit(high + _HIGHEST))
            for low, high in ranges
        ]
        wide = reduce(or_, parts, pl.lit(value=False)) if len(parts) != 1 else parts[0]
        return wide if len(ranges) == len(self.prefixes) else wide & self._in_folders(column)

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

    def _ranges(self) -> list[tuple[str, str]]:
        """Return the first and the last prefix of each range; many prefixes are one range in a folder above."""
        heads = list(self.prefixes)
        while len(set(heads)) > _MANY:
            heads = ["".join(head.rstrip("/").rpartition("/")[:2]) for head in heads]
        ranges: dict[str, tuple[str, str]] = {}
        for head, prefix in zip(heads, self.prefixes, strict=True):
            first, _ = ranges.get(head, (prefix, prefix))
            ranges[head] = (first, prefix)
        return list(ranges.values())


EVERYTHING = Scope(("",))
NOTHING = Scope(())
