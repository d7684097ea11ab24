"""What a run takes up: the plan's rows that the lake has not got, numbered, a piece at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.planning.plan import TO_MOVE, selected
from cryptolake.storage.spooled import Rows
from cryptolake.transfer.jobs import COLUMNS

if TYPE_CHECKING:
    from cryptolake.planning.plan import Plan
    from cryptolake.storage.files import Storage
    from cryptolake.storage.tables import Meta

_TAKEN_UP = (*TO_MOVE, "unrecorded")
"""Statuses of plan rows that a transfer takes up. ``unrecorded`` ones are only verified."""


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
        self._wanted = {*_TAKEN_UP, "quarantined"} if quarantined_too else {*_TAKEN_UP}
        self.rows = Rows(self._sorted(_numbered(plan)))
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

    # Row by row in Python, which is no slower here than Polars, whose engine takes far more memory.

    def _sorted(self, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            here = self._recorded(piece)
            places = []
            facts = zip(piece["row"], piece["status"], piece["size"], strict=True)
            for place, (row, status, size) in enumerate(facts):
                if status == "cached" or row in here:
                    self.cached.append(row)
                elif status in self._wanted:
                    places.append(place)
                    self.total_bytes += size
                elif status == "quarantined":
                    self.set_aside.append(row)
            whole = len(places) == piece.height
            yield piece if whole else piece[pl.Series(places, dtype=pl.UInt32)]

    def _recorded(self, piece: pl.DataFrame) -> set[int]:
        """Return the rows that the lake got after the plan was made: recorded, with the planned ETag."""
        if self._ledger.is_empty():
            return set()
        same = piece.filter(pl.col("status").is_in([*TO_MOVE, "quarantined"])).join(
            self._ledger, on=["key", "etag"], how="semi", nulls_equal=True
        )
        rows = zip(same["row"], same["key"], strict=True)
        return {row for row, key in rows if self._storage.exists(f"bronze/{key}")}


def _numbered(plan: Plan) -> Iterator[pl.DataFrame]:
    """Yield the plan's rows with ``row`` and ``selected``: how many files that are to move its selector has."""
    counts = selected(plan.rows)
    start = 0
    for piece in plan.rows.pieces():
        numbers = range(start, start + piece.height)
        start = numbers.stop
        told = {name: piece[name] for name in COLUMNS if name != "selected"} | {
            "row": pl.Series(numbers, dtype=pl.UInt32),
            "selected": pl.Series([counts[name] for name in piece["selector"]], dtype=pl.UInt32),
        }
        yield pl.DataFrame({name: told[name] for name in ("row", *COLUMNS)})
