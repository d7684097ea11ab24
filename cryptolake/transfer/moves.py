"""What a run takes up: the plan's rows that the lake has not got, numbered, a piece at a time."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.planning.plan import TO_MOVE
from cryptolake.rows import Rows
from cryptolake.transfer.jobs import COLUMNS

if TYPE_CHECKING:
    from cryptolake.meta import Meta
    from cryptolake.planning.plan import Plan
    from cryptolake.storage import Storage

_TAKEN_UP = (*TO_MOVE, "unrecorded")
"""Statuses of plan rows that a transfer takes up. ``unrecorded`` ones are only verified."""

_NUMBER = pl.Series("row", [], pl.UInt32)


class Moves:
    """The rows of a plan, sorted by what a run does with them.

    ``rows`` are those to move: ``row``, their number in the plan, and what a job is made of. ``cached`` and
    ``set_aside`` are numbers of rows whose files are in the lake, or in quarantine to stay there.

    Parameters
    ----------
    plan
        What is wanted.
    meta, storage
        The lake: what it got since the plan was made is not moved again.
    quarantined_too
        Whether files that lie in quarantine are to be looked at again.
    """

    def __init__(self, plan: Plan, meta: Meta, storage: Storage, *, quarantined_too: bool) -> None:
        self.cached, self.set_aside = array("I"), array("I")
        self.total_bytes = 0
        self._storage = storage
        self._ledger = meta.ledger().select("key", "etag")
        wanted = (*_TAKEN_UP, "quarantined") if quarantined_too else _TAKEN_UP
        self._wanted = pl.col("status").is_in(wanted)
        self.rows = Rows(self._sorted(_selected(plan)))
        del self._ledger
        self.numbers = array("I", (row for piece in self.pieces() for row in piece["row"]))

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Yield the rows to move, in the plan's order."""
        return self.rows.pieces()

    def among(self, keys: Iterable[str]) -> set[str]:
        """Return those of some keys that are to move."""
        asked = pl.Series("key", list(keys), pl.String).implode()
        found = (piece.filter(pl.col("key").is_in(asked)) for piece in self.pieces())
        return {key for piece in found for key in piece["key"]}

    def _sorted(self, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            here = pl.col("row").is_in(self._recorded(piece).implode())
            cached = piece.filter((pl.col("status") == "cached") | here)["row"]
            self.cached.extend(cached)
            moves = piece.filter(self._wanted & ~here)
            self.total_bytes += int(moves["size"].sum())
            stay = (pl.col("status") == "quarantined") & ~self._wanted & ~here
            self.set_aside.extend(piece.filter(stay)["row"])
            yield moves

    def _recorded(self, piece: pl.DataFrame) -> pl.Series:
        """Return the rows that the lake got after the plan was made: recorded, with the planned ETag."""
        if self._ledger.is_empty():
            return _NUMBER
        same = piece.filter(pl.col("status").is_in([*TO_MOVE, "quarantined"])).join(
            self._ledger, on=["key", "etag"], how="semi", nulls_equal=True
        )
        there = [self._storage.exists(f"bronze/{key}") for key in same["key"]]
        return same["row"].filter(pl.Series(there, dtype=pl.Boolean))


def _selected(plan: Plan) -> Iterator[pl.DataFrame]:
    """Yield the plan's rows with ``row`` and ``selected``: how many files that are to move its selector has."""
    counts: Counter[str] = Counter()
    for piece in plan.rows.pieces():
        counts.update(piece.filter(pl.col("status").is_in(TO_MOVE))["selector"].drop_nulls())
    number = 0
    for piece in plan.rows.pieces():
        selected = pl.Series("selected", [counts[name] for name in piece["selector"]], pl.UInt32)
        numbered = piece.with_row_index("row", offset=number)
        number += piece.height
        yield numbered.with_columns(selected).select("row", *COLUMNS)
