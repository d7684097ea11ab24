"""The zips of a month of daily bars, read together: typed rows that hold to the schema's checks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from cryptolake.archive.enums import Interval
from cryptolake.archive.periods import Period
from cryptolake.bronze.sniff import BOM, detect, lone_returns
from cryptolake.bronze.zips import inflate
from cryptolake.errors import CorruptArchive, SchemaMismatch
from cryptolake.silver.checks import RowContext, check, reason
from cryptolake.silver.parse import (
    FILE,
    Piece,
    Reject,
    clip,
    parse_fast,
    parse_lines,
    split_lines,
    with_optional,
)
from cryptolake.storage import layout

if TYPE_CHECKING:
    from cryptolake.archive.schemas import Schema
    from cryptolake.bronze.sniff import Layout
    from cryptolake.storage.files import Storage

_HEAD = 4096
_READERS = 16
"""Zips that are read from a bucket at the same time."""


@dataclass(frozen=True)
class DailyZips:
    """Zips of daily bars, read together; ``unusable`` says of each file that cannot be used why, ``rejects`` of each row."""

    storage: Storage
    schema: Schema
    files: pl.DataFrame
    unusable: dict[str, str] = field(default_factory=dict)
    rejects: list[tuple[str, Reject]] = field(default_factory=list)

    def rows(self) -> pl.DataFrame:
        """Return the rows of all files, typed as in Silver, with ``market, symbol, interval`` and ``daily``."""
        by_columns: dict[tuple[str, ...], list[Piece]] = {}
        for piece in self._pieces():
            by_columns.setdefault(piece.layout.columns, []).append(piece)
        types = self.schema.silver_dtypes()
        periods = [Period.parse(text) for text in self.files["period"]]
        held_to = RowContext(self.schema, Interval.D1, "", periods)
        parsed = [
            with_optional(self._checked(frame, pieces, held_to), self.schema).select(
                FILE, *(pl.col(name).cast(kind) for name, kind in types.items())
            )
            for pieces in by_columns.values()
            for frame in self._parsed(pieces)
        ]
        beside = self.files.select(
            pl.lit(self.schema.market.value).alias("market"),
            "symbol",
            pl.lit(Interval.D1.value).alias("interval"),
            "daily",
        )
        if not parsed:
            return beside.clear().with_columns(pl.lit(None, t).alias(n) for n, t in types.items())
        rows = pl.concat(parsed)
        return pl.concat([beside[rows[FILE]], rows.drop(FILE)], how="horizontal")

    def _checked(
        self, frame: pl.DataFrame, pieces: list[Piece], held_to: RowContext
    ) -> pl.DataFrame:
        """Return the rows that hold to the schema's checks; keep the others as rejects, with their lines."""
        checked = check(frame, held_to)
        by_file = {piece.file: piece for piece in pieces}
        for place, line, rule in checked.rejected.iter_rows():
            piece = by_file[place]
            text = split_lines(piece.text)[line - piece.first_line]
            told = Reject(place, line, rule, reason(rule, self.schema), clip(text))
            self.rejects.append((self.files["key"][place], told))
        return checked.frame

    def _parsed(self, pieces: list[Piece]) -> Iterator[pl.DataFrame]:
        """Parse texts of the same columns: all at once, else one by one, else line by line."""
        whole = parse_fast(pieces, self.schema)
        if whole is not None:
            yield whole.frame
            return
        for piece in pieces:
            parsed = parse_fast([piece], self.schema)
            if parsed is None:
                parsed, rejects = parse_lines(piece, self.schema)
                self.rejects.extend((self.files["key"][piece.file], item) for item in rejects)
            yield parsed.frame

    def _pieces(self) -> Iterator[Piece]:
        seen: dict[bytes, Layout] = {}
        for place, (key, data) in enumerate(self._bytes()):
            try:
                text = inflate(data, key) if data is not None else b""
                if text:
                    yield self._piece(place, text, key, seen)
            except (CorruptArchive, SchemaMismatch) as error:
                self.unusable[key] = str(error)
            if data is None:
                self.unusable[key] = "it is in the ledger but not in Bronze: cryptolake verify"

    def _piece(self, place: int, text: bytes, key: str, seen: dict[bytes, Layout]) -> Piece:
        """Cut a file's header off; what its first bytes say of its columns is found once for each header."""
        line = text[: text.find(b"\n") + 1]
        known = b"%d" % line.count(b",") if line[:1].isdigit() else line
        plain = line.removeprefix(BOM).strip() and not lone_returns(line)
        found = seen.get(known) if plain else detect(text[:_HEAD], self.schema, key)
        if found is None:
            found = seen[known] = detect(text[:_HEAD], self.schema, key)
        body = text[found.skip :]
        return Piece(place, body if body.endswith(b"\n") else body + b"\n", found.first_line, found)

    def _bytes(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield the files in their order; None for one that is not there."""
        keys = self.files["key"]
        if self.storage.is_local:
            yield from ((key, self._read(key)) for key in keys)
            return
        with ThreadPoolExecutor(_READERS, "cryptolake-daily") as pool:
            yield from zip(keys, pool.map(self._read, keys), strict=True)

    def _read(self, key: str) -> bytes | None:
        try:
            return self.storage.read(layout.bronze_path(key))
        except FileNotFoundError:
            return None
