"""Silver by symbol: the files of one market, data type, interval and symbol, and frames made of them in turn.

What joins or gathers rows does so a symbol at a time: the rows of one are in the order of time, and memory is
that of the result and a few files.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from cryptolake.archive.matrix import load_matrix
from cryptolake.archive.schemas import schema_of
from cryptolake.archive.symbols import is_glob
from cryptolake.errors import IncompleteWarning, InvalidQuery
from cryptolake.listing.unpublished import unpublished_months
from cryptolake.readers.odd_symbols import without_odd_symbols
from cryptolake.readers.scans import frame_of_parts, scan_files
from cryptolake.readers.silver_files import SilverFile, reading, silver_of
from cryptolake.render.html import some_of
from cryptolake.storage.layout import SilverPath

if TYPE_CHECKING:
    from cryptolake.archive.enums import DataType, Interval, Market
    from cryptolake.archive.periods import Days, Period
    from cryptolake.errors import Damaged
    from cryptolake.listing.context import LakeContext
    from cryptolake.query import Query
    from cryptolake.storage.files import Storage


class SymbolFiles(NamedTuple):
    """The Silver files of one symbol of a dataset, in the order of their months."""

    market: Market
    data_type: DataType
    interval: Interval | None
    symbol: str
    files: tuple[SilverFile, ...]

    @property
    def identity(self) -> dict[str, str | None]:
        """What ``lake.silver`` says of each of its rows."""
        interval = None if self.interval is None else self.interval.value
        return {"market": self.market.value, "symbol": self.symbol, "interval": interval}

    def within(self, days: Days) -> SymbolFiles:
        """Return those of the files whose months have some of the days."""
        files = (file for file in self.files if file.where.month.days.clip(days))
        return self._replace(files=tuple(files))

    def pieces(self, size: int) -> Iterator[SymbolFiles]:
        """Cut the files into runs of months, each of ``size`` bytes or of one file."""
        run: list[SilverFile] = []
        for file in self.files:
            if run and sum(item.size for item in run) + file.size > size:
                yield self._replace(files=tuple(run))
                run = []
            run.append(file)
        if run:
            yield self._replace(files=tuple(run))

    def scan(self, storage: Storage, columns: Iterable[str]) -> pl.LazyFrame:
        """Scan some columns of the schema's; one that a file lacks is null there."""
        types = schema_of(self.market, self.data_type).silver_dtypes()
        schema = {name: types[name] for name in columns}
        if not self.files:
            return pl.LazyFrame(schema=schema)
        return scan_files(storage, (file.path for file in self.files), schema)

    @contextmanager
    def scanned(self, storage: Storage) -> Iterator[None]:
        """Name the file that is damaged, where Polars fails for one while the files are scanned in the block.

        A block may compute as well. Where each file can be read by itself, the error is not of the files, and
        stays as Polars raised it.

        Raises
        ------
        StorageError
            One of the files cannot be read.
        """
        try:
            yield
        except (
            *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
            *(FileNotFoundError, PermissionError),
        ):
            names = schema_of(self.market, self.data_type).silver_names
            for file in self.files:
                with reading(file.path, storage.root):
                    self._replace(files=(file,)).scan(storage, names).collect()
            raise


class HeldSymbols(NamedTuple):
    """What the lake holds of a query's dataset, by symbol, and its files that cannot be read."""

    symbols: list[SymbolFiles]
    bad: list[Damaged]


def held_symbols(
    query: Query, lake: LakeContext, market: Market, data_type: DataType
) -> HeldSymbols:
    """Return the files of a dataset that a query means, by interval and symbol."""
    standing = silver_of(lake.storage, lake.records, query, market, data_type)
    held = without_odd_symbols(standing, lake.storage.root)
    found: dict[tuple[Interval | None, str], list[SilverFile]] = {}
    for file in held.whole:
        found.setdefault((file.where.interval, file.where.symbol), []).append(file)
    symbols = [
        SymbolFiles(market, data_type, interval, symbol, tuple(files))
        for (interval, symbol), files in found.items()
    ]
    return HeldSymbols(symbols, held.bad)


def markets_of(query: Query, data_type: DataType) -> list[Market]:
    """Return the markets that a query names; all that have the type, where it names none.

    Raises
    ------
    InvalidQuery
        A named market does not have the type.
    """
    matrix = load_matrix()
    named = query.selection.markets
    if not named:
        return [row.market for row in matrix.rows if row.data_type is data_type]
    return [matrix.row(market, data_type).market for market in named]


def in_days(time: str, query: Query) -> pl.Expr:
    """Return whether a time is of the query's days; always true where it names none."""
    days = query.selection.days
    if days is None:
        return pl.lit(value=True)
    return pl.col(time).is_between(pl.lit(days.begin), pl.lit(days.end), closed="left")


def never_published(
    query: Query, lake: LakeContext, data_type: DataType, names: Iterable[str]
) -> set[str]:
    """Return those of some symbols that are known to have no file in any month of a query's days.

    Only cached listings are read. Without days, nothing is known.
    """
    days = query.selection.days
    if days is None:
        return set()
    folders = [
        (market, data_type, interval)
        for market in markets_of(query, data_type)
        for interval in _intervals(query, market, data_type)
    ]
    places = {
        name: [SilverPath(*folder, name, month) for folder in folders for month in days.months()]
        for name in names
    }
    never = unpublished_months(lake.listing, chain.from_iterable(places.values()))
    return {name for name, months in places.items() if months and never.issuperset(months)}


def _intervals(query: Query, market: Market, data_type: DataType) -> Sequence[Interval | None]:
    if not load_matrix().row(market, data_type).has_interval:
        return [None]
    return query.selection.intervals


def warn_of_absent(
    query: Query, lake: LakeContext, data_type: DataType, symbols: Sequence[SymbolFiles]
) -> None:
    """Name the symbols that a query names in full, and of which the lake holds no rows.

    Those that are known to have had no files in the query's days are not named.

    Warns
    -----
    IncompleteWarning
        There are such symbols.
    """
    here = {item.symbol for item in symbols}
    absent = [word for word in query.selection.symbols if not is_glob(word) and word not in here]
    never = never_published(query, lake, data_type, absent)
    named = [word for word in absent if word not in never]
    if named or not (symbols or never):
        days = query.selection.days
        when = f" from {days.first} to {days.last}" if days else ""
        message = (
            f"the lake holds no {data_type.value} of {some_of(named or ['the query'])}{when}, so the result has no "
            "rows of it; lake.pull(query) fetches what is published."
        )
        warnings.warn(message, IncompleteWarning, stacklevel=5)


def warn_of_missing_months(
    missing: Mapping[str, Sequence[Period]], dataset: str, data_type: DataType
) -> None:
    """Name the symbols of which the lake lacks months of a dataset that is to be joined.

    Warns
    -----
    IncompleteWarning
        ``missing`` names any.
    """
    if not missing:
        return
    told = [
        f"{symbol} in {months[0]}" + (f" to {months[-1]}" if len(months) > 1 else "")
        for symbol, months in missing.items()
    ]
    message = (
        f"the lake holds no {dataset} of {some_of(told)}, so its columns are null there; "
        f"lake.pull(query.data_types({data_type.value!r})) fetches what is published."
    )
    warnings.warn(message, IncompleteWarning, stacklevel=5)


def one_of(what: str, words: Sequence[Any], use: str) -> Any:
    """Return the one word of a query that a call needs one of.

    Raises
    ------
    InvalidQuery
        The query names none, or several.
    """
    if len(words) == 1:
        return words[0]
    names = ", ".join(word.value for word in words) or "none"
    message = f"{use} takes one {what}, and this query names {names}."
    raise InvalidQuery(message, what=what, given=names)


MakeRows = Callable[[SymbolFiles, Sequence[str]], Iterable[pl.DataFrame]]
"""Makes the rows of one symbol's files, with the columns that are needed at least."""


def frames_in_turn(
    parts: Sequence[SymbolFiles], schema: Mapping[str, Any], make: MakeRows
) -> pl.LazyFrame:
    """Return a LazyFrame whose rows are made symbol by symbol when it is collected.

    Parameters
    ----------
    parts
        What rows are made of. A symbol that a filter on market and symbol alone leaves out is not read.
    schema
        The columns of the result and their types.
    make
        Makes the frames of one symbol. Columns that a frame lacks are null.
    """

    def frames(needed: list[str], predicate: pl.Expr | None) -> Iterator[pl.DataFrame]:
        for part in parts:
            if predicate is None or _kept(part, predicate):
                yield from (_filled(frame, schema, needed) for frame in make(part, needed))

    return frame_of_parts(schema, frames)


def _kept(part: SymbolFiles, predicate: pl.Expr) -> bool:
    if not set(predicate.meta.root_names()) <= {"market", "symbol"}:
        return True
    row = pl.DataFrame(
        {name: [word] for name, word in part.identity.items()},
        schema=dict.fromkeys(part.identity, pl.String),
    )
    return row.filter(predicate).height > 0


def _filled(frame: pl.DataFrame, schema: Mapping[str, Any], needed: Sequence[str]) -> pl.DataFrame:
    absent = [name for name in needed if name not in frame.columns]
    return frame.with_columns(pl.lit(None, schema[name]).alias(name) for name in absent)
